//! Applications that answer with what they got, behave as a test tells them to, and count; and
//! calls of them, one or many, over HTTP/1.1 and gRPC.

mod app;
mod asked;
mod behaviour;
mod call;
mod client;
mod load;

use serde_json::Value;

use crate::mesh::Mesh;
use crate::role;

pub(crate) use app::serve;
pub(crate) use asked::{Expected, Reply, answered, check, not_found, redirected, status};
pub(crate) use call::Call;
pub(crate) use client::ask;
pub(crate) use load::{Load, Tally, UnderWay};

/// Where an application is told things, on its loopback address.
const CONTROL: u16 = 9999;

/// How an application is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct App<'a> {
    /// `name`, or `namespace/name`.
    name: &'a str,
    labels: &'a [&'a str],
    account: &'a str,
    /// Whom it asks before it answers.
    next: &'a str,
}

// === impl App ===

impl<'a> App<'a> {
    /// HTTP/1.1 at port 8080, gRPC at 7070, and at 9090 TCP, where it says its name first.
    pub(crate) const PORTS: [&'static str; 3] = ["8080", "7070", "9090"];

    pub(crate) fn new(name: &'a str) -> Self {
        Self { name, labels: &[], account: "default", next: "" }
    }

    /// The labels of its workload, as `key=value`.
    pub(crate) fn labels(self, labels: &'a [&'a str]) -> Self {
        Self { labels, ..self }
    }

    /// The service account of its workload.
    pub(crate) fn account(self, account: &'a str) -> Self {
        Self { account, ..self }
    }

    /// It calls this authority for each request, and answers as it was answered.
    pub(crate) fn calls(self, next: &'a str) -> Self {
        Self { next, ..self }
    }
}

impl Mesh {
    /// A mesh with these documents, and these applications in it.
    pub(crate) fn of(documents: &str, apps: &[App<'_>]) -> Self {
        let mut mesh = Self::with(documents, &[]);
        for app in apps {
            mesh.echo(app);
        }
        mesh
    }

    /// Starts an application, and waits until it listens.
    pub(crate) fn echo(&mut self, app: &App<'_>) {
        let mut arguments = vec!["--service-account", app.account];
        App::PORTS.iter().for_each(|port| arguments.extend(["--port", port]));
        app.labels.iter().for_each(|label| arguments.extend(["--label", label]));
        let short = app.name.rsplit('/').next().unwrap();
        let argv = role::command("echo", &format!("{short} {}", app.next));
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        self.run(app.name, &arguments, &argv);
    }

    /// How an application behaves from now on (see [`behaviour`]); `""` is well.
    pub(crate) fn tell(&self, name: &str, behaviour: &str) {
        self.control(name, &["-X", "PUT", "-d", behaviour]);
    }

    /// How many requests an application got since it was last told to [`forget`](Self::forget).
    pub(crate) fn seen(&self, name: &str) -> u64 {
        self.heard(name)["count"].as_u64().unwrap()
    }

    /// The same with the last of the requests themselves, as they are in answers.
    pub(crate) fn heard(&self, name: &str) -> Value {
        self.control(name, &[])
    }

    /// An application counts from nothing again.
    pub(crate) fn forget(&self, name: &str) {
        self.control(name, &["-X", "DELETE"]);
    }

    fn control(&self, name: &str, arguments: &[&str]) -> Value {
        let url = format!("http://127.0.0.1:{CONTROL}/");
        self.get(name, &[arguments, &[&url]].concat()).json()
    }

    /// One call from a workload.
    pub(crate) fn call(&self, from: &str, call: &Call) -> Reply {
        self.calls(from, &Load::once(call)).remove(0)
    }

    /// What became of all calls of a load.
    pub(crate) fn calls(&self, from: &str, load: &Load) -> Vec<Reply> {
        let argv = load.argv(from);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        load::replies(&self.machine.output(&argv))
    }
}
