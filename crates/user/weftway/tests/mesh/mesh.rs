//! A mesh on a machine: `weftway up`, and workloads.

use std::net::IpAddr;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use weft_testkit::wait;

use crate::machine::{Machine, Process};

/// The real binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_weftway");

/// Debian's own, because Python that is installed for root is not found by others.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The header of clients that read problem documents (RFC 9457).
pub(crate) const PROBLEMS: &str = "accept: application/problem+json";

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mesh");

/// A mesh, with its documents in one file.
pub(crate) struct Mesh {
    // Processes before their machine: what is declared first is dropped first.
    workloads: Vec<(String, Process)>,
    pub(crate) up: Process,
    pub(crate) machine: Machine,
}

/// What a client of HTTP got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// How the node calls a workload, `name` or `namespace/name`.
fn handle(workload: &str) -> String {
    workload.strip_prefix("default/").unwrap_or(workload).replace('/', ".")
}

/// A script of these tests.
pub(crate) fn script(name: &str) -> String {
    format!("{SCRIPTS}/{name}")
}

// === impl Mesh ===

impl Mesh {
    /// A mesh without documents.
    pub(crate) fn start() -> Self {
        Self::with("", &[])
    }

    /// A mesh with these documents, whose `up` has these arguments as well, without a gateway.
    pub(crate) fn with(documents: &str, arguments: &[&str]) -> Self {
        Self::up(&[], documents, &[&["--no-gateway"], arguments].concat())
    }

    /// A mesh with these documents, whose gateway has the entry point `web` at 127.0.0.1:8000. Who
    /// starts it has typed `sudo`.
    pub(crate) fn with_gateway(documents: &str) -> Self {
        let sudo = ["env", "SUDO_UID=65534", "SUDO_GID=65534"];
        Self::up(&sudo, documents, &["--http", "127.0.0.1:8000"])
    }

    fn up(before: &[&str], documents: &str, arguments: &[&str]) -> Self {
        let machine = Machine::start();
        let documents = machine.write("mesh.yaml", documents);
        let state = machine.folder().join("state");
        let mut argv = before.to_vec();
        argv.extend([BINARY, "up", "--state", state.to_str().unwrap()]);
        argv.extend(["-f", documents.to_str().unwrap()]);
        argv.extend(arguments);
        let up = machine.spawn("up", &argv);
        up.until_printed("The mesh is up");
        let mesh = Self { workloads: Vec::new(), up, machine };
        wait::until_true("the node's socket", || mesh.state().join("node.sock").exists());
        mesh
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.machine.folder().join("state")
    }

    /// Replaces the documents, and waits until the control plane has published what follows.
    pub(crate) fn change(&self, documents: &str) {
        let generations = || self.up.printed().matches("published generation").count();
        let before = generations();
        self.machine.write("mesh.yaml", documents);
        wait::until_true("a generation", || generations() > before);
    }

    /// Adds a workload that stays, with more arguments for `weftway run`, and waits until its
    /// application runs.
    pub(crate) fn run(&mut self, name: &str, arguments: &[&str], application: &[&str]) {
        let process = self.spawn(name, arguments, application);
        process.until_printed("the application is being started");
        if arguments.contains(&"--port") {
            process.until_printed("the application listens");
            self.until_in_force();
        }
        self.workloads.push((name.to_owned(), process));
    }

    /// Waits until every proxy has what the control plane has published last.
    pub(crate) fn until_in_force(&self) {
        let state = self.state();
        let argv = [BINARY, "proxies", "-o", "json", "--state", state.to_str().unwrap()];
        wait::until_true("the newest configuration in force", || {
            let view: Value = serde_json::from_str(&self.machine.output(&argv)).unwrap();
            view["in_force"] == view["connected"]
        });
    }

    /// Adds a workload, whatever becomes of it.
    pub(crate) fn spawn(&self, name: &str, arguments: &[&str], application: &[&str]) -> Process {
        let state = self.state();
        let mut argv = vec![BINARY, "run", name, "--state", state.to_str().unwrap()];
        argv.extend(arguments);
        argv.push("--");
        argv.extend(application);
        self.machine.spawn(&handle(name), &argv)
    }

    /// A workload that serves with `service.py`, once it listens.
    pub(crate) fn serve(&mut self, name: &str, kind: &str, port: u16, arguments: &[&str]) {
        let (script, port) = (script("service.py"), port.to_string());
        let mut all = vec!["--port", &port];
        all.extend(arguments);
        self.run(name, &all, &[PYTHON, &script, kind, &port, name]);
        self.process(name).until_printed(&format!("{kind} "));
    }

    /// A workload to call others from.
    pub(crate) fn caller(&mut self, name: &str, arguments: &[&str]) {
        self.run(name, arguments, &["sleep", "600"]);
    }

    pub(crate) fn process(&self, name: &str) -> &Process {
        &self.workloads.iter().find(|(have, _)| have == name).unwrap().1
    }

    /// Takes a workload out of the books, to see its end.
    pub(crate) fn take(&mut self, name: &str) -> Process {
        let index = self.workloads.iter().position(|(have, _)| have == name).unwrap();
        self.workloads.remove(index).1
    }

    /// A program beside a workload's application: in its network, with its resolver.
    pub(crate) fn beside(workload: &str, argv: &[&str]) -> Vec<String> {
        let namespace = format!("wf-{}", handle(workload));
        let before = ["ip", "netns", "exec", &namespace];
        before.iter().chain(argv).map(|word| (*word).to_owned()).collect()
    }

    /// Calls from a workload with curl and these arguments.
    pub(crate) fn get(&self, from: &str, arguments: &[&str]) -> Answer {
        let mut argv = vec!["curl", "-sS", "-i", "--max-time", "10"];
        argv.extend(arguments);
        let argv = Self::beside(from, &argv);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Answer::read(&self.machine.output(&argv))
    }

    /// The same from outside of the mesh, from the machine itself; `None` if the connection breaks.
    pub(crate) fn plainly(&self, url: &str) -> Option<Answer> {
        let output = self.machine.run(&["curl", "-sS", "-i", "--max-time", "10", url]);
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| Answer::read(&text))
    }

    /// What `client.py` reports when it is run in a workload.
    pub(crate) fn client(&self, from: &str, arguments: &[&str]) -> Value {
        let script = script("client.py");
        let mut argv = vec![PYTHON, &script];
        argv.extend(arguments);
        let argv = Self::beside(from, &argv);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        serde_json::from_str(&self.machine.output(&argv)).unwrap()
    }

    /// The IPv4 address of a workload.
    pub(crate) fn addr(&self, workload: &str) -> IpAddr {
        let argv = ["ip", "-4", "-o", "addr", "show", "dev", "eth0"];
        let argv = Self::beside(workload, &argv);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let text = self.machine.output(&argv);
        let addr = text.split_whitespace().find(|word| word.contains('/')).unwrap();
        addr.split('/').next().unwrap().parse().unwrap()
    }

    /// Replaces the documents, which have to be without errors, and waits until what follows is in
    /// force everywhere.
    pub(crate) fn apply(&self, documents: &str) {
        if self.machine.read("mesh.yaml") != documents {
            let before = self.up.printed().len();
            self.change(documents);
            let said = &self.up.printed()[before..];
            assert!(!said.contains("error: "), "{said}\n{documents}");
            self.until_in_force();
        }
    }

    /// Ends the mesh as a user does, and waits for it.
    pub(crate) fn stop(mut self) -> Machine {
        self.workloads.clear();
        self.up.signal(Signal::TERM);
        assert_eq!(self.up.code(), Some(0));
        self.machine
    }
}

// === impl Answer ===

impl Answer {
    /// Reads what `curl -i` prints.
    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// The body, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
