//! A node, and workloads on it that run the helper.

use std::io::{PipeReader, Read as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use weft_node::api::{Registered, Run};
use weft_node::launch::{Application, Proxy, User};
use weft_node::life::{Outcome, Times};
use weft_node::node::{Ground, Node, Running, Settings, Stdio};
use weft_node::permit::Permit;
use weft_node::plan::Exclusions;

use crate::helper;

/// A node whose proxies are helpers.
pub(crate) fn node(state: &Path, ground: Ground) -> Node {
    node_with(state, ground, Vec::new())
}

/// One on which others than root and its owner may run something.
pub(crate) fn node_with(state: &Path, ground: Ground, permits: Vec<Permit>) -> Node {
    let owner = rustix::process::geteuid().as_raw();
    let proxy = Box::new(|workload: &Registered| helper_proxy(workload.addrs.v4));
    let settings = Settings {
        state: state.into(),
        owner,
        permits,
        times: Times::DEFAULT,
        environment: Vec::new(),
        proxy,
    };
    Node::open(settings, ground).expect("a fresh folder")
}

fn helper_proxy(ip: Ipv4Addr) -> Proxy {
    let (program, args) = helper::argv();
    let env = vec![(helper::ROLE.to_owned(), format!("proxy {ip}"))];
    Proxy { program, args, env, log: None }
}

/// A workload whose application runs commands of the helper.
pub(crate) fn run(name: &str, commands: &str) -> Run {
    let (program, args) = helper::argv();
    let mut argv = vec![program.to_str().expect("a plain path").to_owned()];
    argv.extend(args);
    let env = vec![
        (helper::ROLE.to_owned(), commands.to_owned()),
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
    ];
    Run {
        name: name.parse().expect("a valid name"),
        service_account: None,
        labels: [("app".to_owned(), name.to_owned())].into(),
        ports: Vec::new(),
        exclusions: Exclusions::default(),
        application: Application { argv, env, cwd: "/".into(), umask: 0o022 },
        user: None,
        grace_ms: None,
        detach: false,
    }
}

/// The user of this process.
pub(crate) fn own_user() -> User {
    let uid = rustix::process::geteuid().as_raw();
    User { uid, gid: rustix::process::getegid().as_raw(), groups: Vec::new() }
}

/// Standard input, output and error, and where what is written can be read.
pub(crate) fn stdio() -> (Stdio, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().expect("a descriptor");
    let stdin = OwnedFd::from(std::fs::File::open("/dev/null").expect("there is one"));
    (Stdio { stdin, stdout: writer.into(), stderr }, reader)
}

/// Waits until the commands stay, and gives what they said before.
pub(crate) async fn until_stays(mut output: PipeReader) -> (Vec<String>, PipeReader) {
    let read = weft_runtime::task::blocking(move || {
        let mut bytes = Vec::new();
        let mut one = [0];
        while !bytes.ends_with(b"> stays\n") {
            assert_eq!(output.read(&mut one).expect("a pipe"), 1, "it ended: {bytes:?}");
            bytes.push(one[0]);
        }
        (helper::said(&String::from_utf8(bytes).expect("plain text")), output)
    });
    read.await.expect("the application stays")
}

/// Runs commands to their end, and gives what they said.
pub(crate) async fn said(node: &Node, run: Run) -> Vec<String> {
    let (stdio, mut output) = stdio();
    let user = run.user.clone().unwrap_or_else(own_user);
    let running = node.run(run, stdio, user).await.expect("it can be run");
    let read = weft_runtime::task::blocking(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let text = read.await.expect("no panic").expect("a pipe");
    let Running { outcome, .. } = running;
    let outcome = outcome.await.expect("it ends");
    assert!(matches!(outcome, Outcome::Exited(exit) if exit.code() == 0), "{outcome:?}: {text}");
    helper::said(&text)
}
