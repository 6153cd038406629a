//! Workloads without root: on loopback addresses, through a node and its Unix socket.

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/helper.rs"]
mod helper;

use std::io::Read as _;

use weft_node::Node;
use weft_node::api::{Phase, Port, RefusalKind};
use weft_node::attest::{Caller, Side};
use weft_node::client::{Client, ClientError, Notice};
use weft_node::life::{Event, Exit, Outcome};
use weft_node::network::PROXY_UID;
use weft_node::node::{Ground, bind};

fn block_on<F: Future>(test: F) -> F::Output {
    let bounded = weft_runtime::time::timeout(std::time::Duration::from_secs(60), test);
    let ended = weft_runtime::worker::block_on(bounded).expect("a runtime");
    ended.expect("it ends within a minute")
}

fn port(number: u16) -> Port {
    Port { number, name: String::new(), protocol: None }
}

fn node(state: &std::path::Path) -> Node {
    fixture::node(state, Ground::Loopback { domain: "cluster.local".into() })
}

/// Other tests of this file share the machine's loopback, so no two may have the same names:
/// addresses are given out from the beginning of the range in every folder.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn helper() {
    helper::run();
}

#[test]
fn an_application_runs_beside_its_proxy_and_ends_with_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let node = node(folder.path());
        let commands = "dial 127.77.0.2:15001; say done";
        let said = fixture::said(&node, fixture::run("web", commands)).await;
        assert_eq!(said, ["outbound none", "done"]);
        assert!(node.registry().borrow().is_empty());
        // The proxy is gone, too.
        assert_eq!(helper::dial(([127, 77, 0, 2], 15001).into()), "ConnectionRefused");
    });
}

#[test]
fn a_workload_is_told_of_its_proxy() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let node = node(folder.path());
        let mut run = fixture::run("web", "");
        let print = "echo \"> $http_proxy $HTTPS_PROXY $WEFTWAY_WORKLOAD $WEFTWAY_ADDRESS $KEPT\"";
        run.application.argv = ["sh", "-c", print].map(str::to_owned).into();
        run.application.env.push(("KEPT".into(), "kept".into()));
        run.application.env.push(("http_proxy".into(), "http://elsewhere".into()));
        let said = fixture::said(&node, run).await;
        let expected =
            "http://127.77.0.2:15001 http://127.77.0.2:15001 default/web 127.77.0.2 kept";
        assert_eq!(said, [expected]);
    });
}

#[test]
fn a_lost_proxy_is_replaced() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let node = node(folder.path());
        let (stdio, output) = fixture::stdio();
        let run = fixture::run("web", "stay");
        let mut running = node.run(run, stdio, fixture::own_user()).await.expect("it runs");
        let (_, _output) = fixture::until_stays(output).await;
        let proxy = node.registry().borrow()[0].proxy_pid.expect("it runs");
        let application = node.registry().borrow()[0].application_pid.expect("it runs");
        let own = fixture::own_user().uid;
        let proxies = if own == 0 { PROXY_UID } else { own };
        let who = |pid, uid| node.who(Caller { pid, uid }).map(|found| found.process);
        assert_eq!(who(proxy, proxies), Some(Side::Proxy));
        assert_eq!(who(application, own), Some(Side::Application));
        assert_eq!(who(std::process::id(), own), None);

        let pid = rustix::process::Pid::from_raw(proxy.cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
        let mut events = Vec::new();
        while !matches!(events.last(), Some(Event::ProxyLost { .. })) {
            events.push(running.events.recv().await.expect("it lives"));
        }
        assert_eq!(node.registry().borrow()[0].phase, Phase::WithoutProxy);
        assert_eq!(running.events.recv().await, Some(Event::ProxyReady));
        let registered = node.registry().borrow()[0].clone();
        assert_eq!(registered.phase, Phase::Running);
        assert_ne!(registered.proxy_pid, Some(proxy));
        assert_eq!(registered.application_pid, Some(application), "it has not noticed");

        node.close().await.expect("nothing remains");
        let outcome = running.outcome.await.expect("it ends");
        assert_eq!(outcome, Outcome::Exited(Exit::Signal(15)));
    });
}

/// The node of [`a_node_that_is_killed_takes_everything_with_it`].
#[test]
fn node_to_be_killed() {
    let Some(folder) = helper::switch("WEFT_NODE_TEST_FOLDER") else { return };
    block_on(async {
        let node = node(folder.as_ref());
        let (stdio, output) = fixture::stdio();
        let run = fixture::run("web", "stay");
        let _running = node.run(run, stdio, fixture::own_user()).await.expect("it runs");
        let (_, _output) = fixture::until_stays(output).await;
        let workload = node.registry().borrow()[0].clone();
        let pids = [workload.proxy_pid, workload.application_pid].map(|pid| pid.expect("it runs"));
        helper::say("");
        helper::say(&format!("{} {}", pids[0], pids[1]));
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_node_that_is_killed_takes_everything_with_it() {
    use std::io::BufRead as _;

    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("a test has a file");
    let mut child = std::process::Command::new(program)
        .args(["--exact", "node_to_be_killed", "--nocapture"])
        .env("WEFT_NODE_TEST_FOLDER", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it can be run");
    let output = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map(|line| line.expect("plain text"));
    let pids = lines.find_map(|line| line.strip_prefix("> ").map(str::to_owned));
    let descriptors: Vec<_> = pids
        .expect("it runs")
        .split(' ')
        .map(|pid| {
            let pid = rustix::process::Pid::from_raw(pid.parse().expect("a number"));
            let flags = rustix::process::PidfdFlags::empty();
            rustix::process::pidfd_open(pid.expect("a process"), flags).expect("it runs")
        })
        .collect();
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    for descriptor in &descriptors {
        let mut ended = [rustix::event::PollFd::new(descriptor, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
        let count = rustix::event::poll(&mut ended, Some(&limit)).expect("it can be waited for");
        assert_eq!(count, 1, "it ends");
    }
}

#[test]
fn ports_that_are_taken_are_explained_before_the_start() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let node = node(folder.path());
        let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
        let number = taken.local_addr().expect("it is bound").port();
        let refused = async |number: u16| {
            let (stdio, _output) = fixture::stdio();
            let mut run = fixture::run("web", "stay");
            run.ports = vec![port(number)];
            let error = node.run(run, stdio, fixture::own_user()).await.expect_err("it is taken");
            assert_eq!(error.kind, RefusalKind::Conflict);
            error.reason
        };
        assert!(refused(15006).await.contains("its proxy uses it"));
        assert!(refused(number).await.contains("another program of this machine"));
        drop(taken);

        let (stdio, output) = fixture::stdio();
        let mut run = fixture::run("holder", "stay");
        run.ports = vec![port(number)];
        let running = node.run(run, stdio, fixture::own_user()).await.expect("it is free now");
        let (_, _output) = fixture::until_stays(output).await;
        assert!(refused(number).await.contains("default/holder does"));
        node.close().await.expect("nothing remains");
        drop(running);
    });
}

#[test]
fn an_application_that_cannot_begin_says_why() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let node = node(folder.path());
        let mut run = fixture::run("web", "");
        run.application.argv = vec!["no-such-program".into()];
        let (stdio, _output) = fixture::stdio();
        let running = node.run(run, stdio, fixture::own_user()).await.expect("it begins");
        let outcome = running.outcome.await.expect("it ends");
        assert_eq!(outcome, Outcome::Exited(Exit::Code(127)));
        // Nothing of it stays behind.
        let scripts = std::fs::read_dir(folder.path().join("launch")).expect("the folder is there");
        assert_eq!(scripts.count(), 0);
    });
}

#[test]
fn instances_of_one_name_are_numbered_and_keep_their_addresses() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let mut before = Vec::new();
    for _ in 0..2 {
        block_on(async {
            let node = node(folder.path());
            let mut outputs = Vec::new();
            for _ in 0..2 {
                let (stdio, output) = fixture::stdio();
                let run = fixture::run("shop/web", "stay");
                node.run(run, stdio, fixture::own_user()).await.expect("it runs");
                outputs.push(fixture::until_stays(output).await);
            }
            let workloads = node.registry().borrow().clone();
            let found: Vec<_> = workloads
                .iter()
                .map(|workload| (workload.name.to_string(), workload.addrs.v4.to_string()))
                .collect();
            assert_eq!([&*found[0].0, &*found[1].0], ["shop/web", "shop/web-2"]);
            assert!(workloads.iter().all(|workload| workload.service.to_string() == "shop/web"));
            if before.is_empty() {
                before = found;
            } else {
                assert_eq!(found, before);
            }
            node.close().await.expect("nothing remains");
        });
    }
}

/// A node with its socket, and what the test does as a client of it.
fn with_socket(test: impl AsyncFnOnce(&Node, &std::path::Path)) {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let node = node(folder.path());
        let socket = folder.path().join("node.sock");
        let listener = bind(&socket).expect("a fresh folder");
        let (drain, watch) = weft_runtime::drain::drain();
        let serving = {
            let node = node.clone();
            weft_runtime::task::spawn("serve", async move { node.serve(listener, watch).await })
        };
        test(&node, &socket).await;
        node.close().await.expect("nothing remains");
        let limit = std::time::Duration::from_secs(30);
        let drained = drain.run(limit, std::future::pending()).await;
        assert_eq!(drained, weft_runtime::drain::Drained::InTime);
        serving.await.expect("no panic");
    });
}

/// Runs commands through a client that stays.
async fn run_by_socket(
    socket: &std::path::Path,
    name: &str,
    commands: &str,
) -> (weft_node::client::Running, std::io::PipeReader) {
    let client = Client::connect(socket).await.expect("it listens");
    let (stdio, output) = fixture::stdio();
    let run = fixture::run(name, commands);
    let running = client.run(run, &stdio.stdin, &stdio.stdout, &stdio.stderr).await;
    (running.expect("it runs"), output)
}

#[test]
fn a_client_lends_its_terminal_and_learns_the_end() {
    with_socket(async |_, socket| {
        let (mut running, mut output) = run_by_socket(socket, "web", "say hello; exit 7").await;
        let mut notices = Vec::new();
        let outcome = loop {
            match running.next().await.expect("the node is there") {
                Notice::Event(event) => notices.push(event),
                Notice::Ended(outcome) => break outcome,
            }
        };
        assert_eq!(outcome, Outcome::Exited(Exit::Code(7)));
        let expected =
            [Event::ProxyReady, Event::ApplicationStarted, Event::ApplicationEnded(Exit::Code(7))];
        assert_eq!(notices, expected);
        // Nobody else holds the other end any more, so this ends.
        let mut text = String::new();
        output.read_to_string(&mut text).expect("a pipe");
        assert_eq!(helper::said(&text), ["hello"]);
    });
}

#[test]
fn signals_reach_the_application() {
    with_socket(async |_, socket| {
        let (mut running, output) = run_by_socket(socket, "web", "stay").await;
        let (_, _output) = fixture::until_stays(output).await;
        let mut other = Client::connect(socket).await.expect("it listens");
        let listed = other.list().await.expect("it answers");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, running.registered().name);
        assert_eq!(listed[0].phase, Phase::Running);
        let pid = listed[0].application_pid.expect("it runs");
        let who =
            other.who(Caller { pid, uid: fixture::own_user().uid }).await.expect("it answers");
        assert_eq!(who.map(|found| found.process), Some(Side::Application));

        let usr1 = rustix::process::Signal::USR1.as_raw();
        running.signal(usr1).await.expect("it is sent");
        loop {
            if let Notice::Ended(outcome) = running.next().await.expect("the node is there") {
                assert_eq!(outcome, Outcome::Exited(Exit::Signal(usr1)));
                break;
            }
        }
        let error = other.stop(listed[0].name.clone()).await.expect_err("it is gone");
        assert!(matches!(&error, ClientError::Refused(why) if why.kind == RefusalKind::Unknown));
        let error = other.signal(listed[0].name.clone(), 999).await.expect_err("no signal");
        assert!(matches!(&error, ClientError::Refused(why) if why.kind == RefusalKind::Invalid));
    });
}

#[test]
fn a_client_that_goes_away_takes_its_workload_with_it() {
    with_socket(async |node, socket| {
        let (running, output) = run_by_socket(socket, "web", "stay").await;
        let (_, _output) = fixture::until_stays(output).await;
        drop(running);
        let mut registry = node.registry();
        registry.wait_for(|workloads| workloads.is_empty()).await.expect("the node is there");
    });
}

#[test]
fn a_detached_workload_stays() {
    with_socket(async |node, socket| {
        let client = Client::connect(socket).await.expect("it listens");
        let (stdio, output) = fixture::stdio();
        let mut run = fixture::run("web", "stay");
        run.detach = true;
        let running = client.run(run, &stdio.stdin, &stdio.stdout, &stdio.stderr).await;
        drop(running.expect("it runs"));
        let (_, _output) = fixture::until_stays(output).await;
        let mut other = Client::connect(socket).await.expect("it listens");
        assert_eq!(other.list().await.expect("it answers").len(), 1);
        other.stop("web".parse().expect("a name")).await.expect("it is there");
        let mut registry = node.registry();
        registry.wait_for(|workloads| workloads.is_empty()).await.expect("the node is there");
    });
}

#[test]
fn what_cannot_be_run_is_refused() {
    with_socket(async |_, socket| {
        let refused = async |change: &dyn Fn(&mut weft_node::api::Run)| {
            let client = Client::connect(socket).await.expect("it listens");
            let (stdio, _output) = fixture::stdio();
            let mut run = fixture::run("web", "stay");
            change(&mut run);
            let run = client.run(run, &stdio.stdin, &stdio.stdout, &stdio.stderr).await;
            match run {
                Err(ClientError::Refused(refusal)) => refusal,
                other => panic!("{other:?}"),
            }
        };
        let empty = refused(&|run| run.application.argv.clear()).await;
        assert_eq!(empty.kind, RefusalKind::Invalid);
        let zero = refused(&|run| run.application.argv.push("a\0b".into())).await;
        assert!(zero.reason.contains("zero byte"), "{zero}");
        let variable = refused(&|run| run.application.env.push(("A=B".into(), "c".into()))).await;
        assert!(variable.reason.contains("environment"), "{variable}");
        let user = |uid: u32| weft_node::launch::User { uid, gid: uid, groups: Vec::new() };
        let as_proxy = refused(&|run| run.user = Some(user(2102))).await;
        let expected = if rustix::process::geteuid().is_root() { "2102" } else { "only root" };
        assert!(as_proxy.reason.contains(expected), "{as_proxy}");
    });
}

#[test]
fn there_is_a_way_out_where_no_node_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("node.sock");
    let error = block_on(Client::connect(&socket)).expect_err("nobody listens");
    assert!(error.to_string().contains("weftway up"), "{error}");
}
