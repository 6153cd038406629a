//! Workloads in network namespaces of their own: capture, what is exempt from it, and that nothing
//! stays behind. As root, with `cargo test -p weft-node --test namespaces -- --ignored`.

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/helper.rs"]
mod helper;

use std::io::PipeReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weft_node::api::{Phase, Registered, Run};
use weft_node::attest::{Caller, Side};
use weft_node::host::{Host, HostError};
use weft_node::launch::{Proxy, User};
use weft_node::life::{Event, Exit, Outcome, Times};
use weft_node::network::{Network, Range};
use weft_node::node::{Ground, Node, Running, Settings};
use weft_node::plan::Exclusions;

const PREFIX: &str = "wft-";
const BRIDGE: &str = "wftbr0";
const TABLE: &str = "weft_test";

/// A user that exists nowhere.
const USER: User = User { uid: 4711, gid: 4712, groups: Vec::new() };

/// Names and addresses that no node of a user has.
fn network() -> Network {
    let range = |v4: &str, v6: &str| Range {
        v4: v4.parse().expect("a range"),
        v6: Some(v6.parse().expect("a range")),
    };
    Network {
        prefix: PREFIX.into(),
        bridge: BRIDGE.into(),
        table: TABLE.into(),
        workloads: range("10.97.0.0/16", "fd97::/64"),
        services: range("10.98.0.0/16", "fd98::/64"),
        domain: "cluster.local".into(),
    }
}

/// The machine's network, one test at a time. Whatever a test leaves is removed, without the code
/// that is tested.
struct Machine {
    state: tempfile::TempDir,
    forwarding: String,
    _alone: MutexGuard<'static, ()>,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

impl Machine {
    fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let state = tempfile::tempdir().expect("a folder");
        // Applications run as others, and have to get at their scripts.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(state.path(), open).expect("it is ours");
        let forwarding = std::fs::read_to_string(FORWARDING).expect("there is a network");
        Self { state, forwarding, _alone: alone }
    }

    async fn host(&self) -> Host {
        Host::open(network(), self.state.path()).await.expect("the machine has everything")
    }

    async fn node(&self) -> Node {
        fixture::node(self.state.path(), Ground::Namespaces(self.host().await))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let foreign = names("/run/netns", "xwft-");
        for namespace in names("/run/netns", PREFIX).into_iter().chain(foreign) {
            let pids = run(&["ip", "netns", "pids", &namespace]);
            for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                let pid = rustix::process::Pid::from_raw(pid).expect("a process");
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            run(&["ip", "netns", "delete", &namespace]);
        }
        for link in names("/sys/class/net", "wft") {
            run(&["ip", "link", "delete", &link]);
        }
        for folder in names("/etc/netns", PREFIX) {
            let _ = std::fs::remove_dir_all(Path::new("/etc/netns").join(folder));
        }
        run(&["nft", "delete", "table", "inet", TABLE]);
        let _ = std::fs::write(FORWARDING, &self.forwarding);
    }
}

/// What a program writes; failures are fine.
fn run(argv: &[&str]) -> String {
    let output = Command::new(argv[0]).args(&argv[1..]).output().expect("it is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn names(folder: &str, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Everything on the machine that is called like ours.
fn remains() -> Vec<String> {
    let mut found = names("/run/netns", PREFIX);
    found.extend(names("/sys/class/net", "wft"));
    found.extend(names("/etc/netns", PREFIX));
    found.extend(
        run(&["nft", "list", "tables"])
            .lines()
            .filter(|line| line.contains(TABLE))
            .map(str::to_owned),
    );
    found
}

fn block_on<F: Future>(test: F) -> F::Output {
    let bounded = weft_runtime::time::timeout(std::time::Duration::from_secs(120), test);
    let ended = weft_runtime::worker::block_on(bounded).expect("a runtime");
    ended.expect("it ends within two minutes")
}

/// A workload that serves and stays.
async fn stays(node: &Node, name: &str, commands: &str) -> (Registered, Running, PipeReader) {
    stays_with(node, fixture::run(name, &format!("{commands};stay"))).await
}

async fn stays_with(node: &Node, run: Run) -> (Registered, Running, PipeReader) {
    let (stdio, output) = fixture::stdio();
    let running = node.run(run, stdio, USER).await.expect("it can be run");
    let (_, output) = fixture::until_stays(output).await;
    (running.registered.clone(), running, output)
}

/// What an application of this user says to these commands.
async fn says(node: &Node, commands: &[String]) -> Vec<String> {
    let mut run = fixture::run("caller", &commands.join(";"));
    run.user = Some(USER);
    fixture::said(node, run).await
}

/// The same as the proxy's user, in the namespace of a workload.
fn says_as_proxy(workload: &Registered, commands: &[String]) -> Vec<String> {
    let namespace = workload.namespace.as_deref().expect("it has one");
    let (program, args) = helper::argv();
    let before = ["netns", "exec", namespace, "setpriv", "--reuid", "2102", "--regid", "2102"];
    let output = Command::new("ip")
        .args(before)
        .args(["--clear-groups", "--"])
        .arg(program)
        .args(args)
        .env(helper::ROLE, commands.join(";"))
        .output()
        .expect("it is installed");
    helper::said(&String::from_utf8(output.stdout).expect("plain text"))
}

/// Both addresses of a workload with a port.
fn both(workload: &Registered, port: u16) -> [SocketAddr; 2] {
    let v6 = workload.addrs.v6.expect("it has one");
    [(workload.addrs.v4, port).into(), (v6, port).into()]
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn commands(verb: &str, addrs: &[SocketAddr]) -> Vec<String> {
    addrs.iter().map(|addr| format!("{verb} {addr}")).collect()
}

#[test]
fn helper() {
    helper::run();
}

#[test]
#[ignore = "needs root, ip and nft"]
fn connections_of_an_application_go_to_its_proxy() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let (web, _running, _output) = stays(&node, "web", "serve [::]:8080").await;
        // Another workload, a service, a host outside, and what nobody knows.
        let mut addrs = both(&web, 8080).to_vec();
        addrs.extend(
            ["10.98.0.9:80", "[fd98::9]:80", "198.51.100.7:443", "[2001:db8::7]:443"].map(addr),
        );
        let expected: Vec<String> = addrs.iter().map(|addr| format!("outbound {addr}")).collect();
        assert_eq!(says(&node, &commands("dial", &addrs)).await, expected);
        node.close().await.expect("nothing remains");
    });
    assert_eq!(remains(), [""; 0]);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn connections_to_an_application_go_to_its_proxy() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let (web, _running, _output) = stays(&node, "web", "serve [::]:8080").await;
        for addr in both(&web, 8080).into_iter().chain(both(&web, 9999)) {
            assert_eq!(helper::dial(addr), format!("inbound {addr}"));
        }
        // Ports of the proxy are its own, and those of captured connections take nothing else.
        for port in [15000, 15001, 15006, 15053] {
            for addr in both(&web, port) {
                assert_eq!(helper::dial(addr), "ConnectionRefused", "{addr}");
            }
        }
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn connections_of_the_proxy_are_its_own() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let (web, _running, _output) = stays(&node, "web", "serve [::]:8080").await;
        let (shop, _running2, _output2) = stays(&node, "shop", "serve [::]:8080").await;
        // To a neighbour: captured there and not here.
        let addrs = both(&shop, 8080);
        let expected = addrs.map(|addr| format!("inbound {addr}"));
        assert_eq!(says_as_proxy(&web, &commands("dial", &addrs)), expected);
        // To its own application: captured nowhere.
        let own = commands("dial", &both(&web, 8080));
        assert_eq!(says_as_proxy(&web, &own), ["direct", "direct"]);
        // Virtual addresses are nobody's; a proxy that dials one by mistake learns so at once.
        let nobody = commands("dial", &[addr("10.98.0.9:80"), addr("[fd98::9]:80")]);
        assert_eq!(says_as_proxy(&web, &nobody), ["ConnectionRefused", "ConnectionRefused"]);
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn loopback_and_own_addresses_are_not_captured() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        // The first address that is given out is the caller's.
        let mut commands = vec!["serve [::]:8080".to_owned()];
        for to in
            ["127.0.0.1:8080", "127.9.9.9:8080", "[::1]:8080", "10.97.0.2:8080", "[fd97::2]:8080"]
        {
            commands.push(format!("dial {to}"));
        }
        // Its own service is one like any other.
        commands.push("dial 10.98.0.2:80".into());
        let said = says(&node, &commands).await;
        assert_eq!(
            said,
            ["direct", "direct", "direct", "direct", "direct", "outbound 10.98.0.2:80"]
        );
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn exclusions_pass_by_the_proxy() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let mut run =
            fixture::run("web", "serve [::]:9000; serve [::]:9005; serve [::]:8080; stay");
        run.exclusions.inbound = "9000-9004".parse().expect("valid ports");
        let (web, _running, _output) = stays_with(&node, run).await;
        for addr in both(&web, 9000) {
            assert_eq!(helper::dial(addr), "direct");
        }
        for addr in both(&web, 9005) {
            assert_eq!(helper::dial(addr), format!("inbound {addr}"));
        }

        let addrs: Vec<SocketAddr> = [both(&web, 9000), both(&web, 8080)].concat();
        let mut caller = fixture::run("caller", &commands("dial", &addrs).join(";"));
        caller.user = Some(USER);
        caller.exclusions.outbound = "9000".parse().expect("valid ports");
        let mut expected = vec!["direct".to_owned(), "direct".to_owned()];
        expected.extend(both(&web, 8080).map(|addr| format!("outbound {addr}")));
        assert_eq!(fixture::said(&node, caller.clone()).await, expected);

        caller.exclusions = Exclusions {
            networks: vec!["10.97.0.0/16".parse().expect("a network")],
            ..Exclusions::default()
        };
        let [v4, v6] = both(&web, 9000);
        let [v4_web, v6_web] = both(&web, 8080);
        let expected = [
            "direct".to_owned(),
            format!("outbound {v6}"),
            format!("inbound {v4_web}"),
            format!("outbound {v6_web}"),
        ];
        assert_eq!(v4.port(), 9000);
        assert_eq!(fixture::said(&node, caller).await, expected);
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn questions_of_dns_go_to_the_proxy() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let servers =
            ["10.97.0.1:53", "198.51.100.7:53", "[fd97::1]:53", "[2001:db8::7]:53"].map(addr);
        assert_eq!(says(&node, &commands("ask", &servers)).await, ["name!"; 4]);
        let expected = servers.map(|server| format!("dns {server}"));
        assert_eq!(says(&node, &commands("dial", &servers)).await, expected);

        let files = ["cat /etc/resolv.conf".to_owned(), "cat /etc/hosts".into()];
        let said = says(&node, &files).await;
        let expected =
            "nameserver 10.97.0.1|search default.svc.cluster.local svc.cluster.local cluster.local";
        assert!(said[0].starts_with(expected), "{said:?}");
        assert!(said[1].contains("10.97.0.1 host.weftway.internal|"), "{said:?}");
        // Outside nothing has changed.
        let outside = std::fs::read_to_string("/etc/hosts").expect("there is one");
        assert!(!outside.contains("weftway"), "{outside}");
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn applications_run_as_their_user() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let mut run = fixture::run("web", "id");
        run.user = Some(User { groups: vec![4713, 4714], ..USER });
        let said = fixture::said(&node, run).await;
        let expected = "Uid: 4711 4711 4711 4711|Gid: 4712 4712 4712 4712|Groups: 4713 4714";
        assert_eq!(said, [expected]);
        assert_eq!(
            says(&node, &["id".into()]).await,
            [expected.replace("4713 4714", "").replace("Groups: ", "Groups:")]
        );

        // What stands before the application runs as root and must not load what a user names: only
        // the application itself complains that it cannot.
        let mut run = fixture::run("web", "id");
        run.application.env.push(("LD_PRELOAD".into(), "/no/such/library.so".into()));
        let (mut stdio, output) = fixture::stdio();
        stdio.stderr = stdio.stdout.try_clone().expect("a descriptor");
        let running = node.run(run, stdio, USER).await.expect("it can be run");
        assert_eq!(running.outcome.await.expect("it ends"), Outcome::Exited(Exit::Code(0)));
        let text = std::io::read_to_string(output).expect("a pipe");
        assert_eq!(text.matches("/no/such/library.so").count(), 1, "{text}");

        let (web, _running, _output) = stays(&node, "web", "").await;
        let status = |pid: Option<u32>| {
            let path = format!("/proc/{}/status", pid.expect("it runs"));
            std::fs::read_to_string(path).expect("it runs")
        };
        let registered = node.registry().borrow()[0].clone();
        let proxy = status(registered.proxy_pid);
        assert!(proxy.contains("Uid:\t2102\t2102\t2102\t2102\n"), "{proxy}");
        assert!(proxy.contains("NoNewPrivs:\t1\n"), "{proxy}");
        assert!(proxy.contains("CapEff:\t0000000000000000\n"), "{proxy}");

        let who = |pid: Option<u32>, uid| {
            let found = node.who(Caller { pid: pid.expect("it runs"), uid })?;
            assert_eq!(found.workload, web.name);
            Some(found.process)
        };
        assert_eq!(who(registered.proxy_pid, 2102), Some(Side::Proxy));
        assert_eq!(who(registered.application_pid, 4711), Some(Side::Application));
        assert_eq!(who(Some(std::process::id()), 0), None);
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn hosts_beyond_the_machine_are_reached_and_do_not_reach_in() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let (web, _running, _output) = stays(&node, "web", "serve [::]:8080").await;
        // A host on another link, which knows no way to workloads.
        for args in [
            "netns add xwft-beyond",
            "link add wftbeyond type veth peer name eth0 netns xwft-beyond",
            "address add 198.18.0.1/30 dev wftbeyond",
            "link set wftbeyond up",
            "-netns xwft-beyond address add 198.18.0.2/30 dev eth0",
            "-netns xwft-beyond link set eth0 up",
        ] {
            run(&["ip"].into_iter().chain(args.split(' ')).collect::<Vec<_>>());
        }
        let (program, args) = helper::argv();
        let in_beyond = |commands: &str| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", "xwft-beyond"]).arg(&program).args(&args);
            command.env(helper::ROLE, commands).stdout(std::process::Stdio::piped());
            command
        };
        let mut server = in_beyond("serve 198.18.0.2:80; stay").spawn().expect("it is installed");
        let output = server.stdout.take().expect("it is piped");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
        lines
            .find(|line| line.as_ref().is_ok_and(|line| line == "> stays"))
            .expect("it stays")
            .expect("a pipe");

        let dial = commands("dial", &[addr("198.18.0.2:80")]);
        assert_eq!(says_as_proxy(&web, &dial), ["direct"]);

        // Now it knows the way, and finds it closed.
        run(&["ip", "-netns", "xwft-beyond", "route", "add", "10.97.0.0/16", "via", "198.18.0.1"]);
        let [v4, _] = both(&web, 8080);
        let output = in_beyond(&format!("dial {v4}")).output().expect("it is installed");
        let said = helper::said(&String::from_utf8(output.stdout).expect("plain text"));
        assert_eq!(said, ["TimedOut"]);
        assert_eq!(helper::dial(v4), format!("inbound {v4}"));
        server.kill().expect("it is ours");
        server.wait().expect("it is ours");
        node.close().await.expect("nothing remains");
    });
}

/// What a program of that user says, on the machine.
async fn as_user(uid: u32, commands: String) -> Vec<String> {
    let uid = uid.to_string();
    let (program, args) = helper::argv();
    let run = weft_runtime::task::blocking(move || {
        Command::new("setpriv")
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"])
            .arg(program)
            .args(args)
            .env(helper::ROLE, commands)
            .output()
            .expect("it is installed")
    });
    let output = run.await.expect("no panic");
    helper::said(&String::from_utf8(output.stdout).expect("plain text"))
}

#[test]
#[ignore = "needs root, ip and nft"]
fn an_identity_is_not_for_everybody_to_choose() {
    let machine = Machine::new();
    block_on(async {
        let ground = Ground::Namespaces(machine.host().await);
        let permits = vec!["4999=guests/visitor".parse().expect("a permit")];
        let node = fixture::node_with(machine.state.path(), ground, permits);
        let socket = machine.state.path().join("node.sock");
        let listener = weft_node::node::bind(&socket).expect("a fresh folder");
        let (drain, watch) = weft_runtime::drain::drain();
        let serving = node.clone();
        let serving =
            weft_runtime::task::spawn("serve", async move { serving.serve(listener, watch).await });
        let run = |what: &str| format!("run {} {what}", socket.display());

        let refused = as_user(4999, run("shop/web admin")).await;
        for part in ["user 4999 may not", "shop/admin", "--allow-user 4999=shop/admin"] {
            assert!(refused.len() == 1 && refused[0].contains(part), "{part}: {refused:?}");
        }
        let refused = as_user(4998, run("guests/web visitor")).await;
        assert!(refused.len() == 1 && refused[0].contains("user 4998 may not"), "{refused:?}");
        assert_eq!(as_user(4999, run("guests/web visitor")).await, ["started guests/web"]);
        assert_eq!(as_user(0, run("shop/web admin")).await, ["started shop/web"]);

        node.close().await.expect("nothing remains");
        let limit = std::time::Duration::from_secs(30);
        drain.run(limit, std::future::pending()).await;
        serving.await.expect("no panic");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn users_touch_only_what_is_theirs() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let socket = machine.state.path().join("node.sock");
        let listener = weft_node::node::bind(&socket).expect("a fresh folder");
        let (drain, watch) = weft_runtime::drain::drain();
        let serving = node.clone();
        let serving =
            weft_runtime::task::spawn("serve", async move { serving.serve(listener, watch).await });
        let (web, running, _output) = stays(&node, "web", "").await;

        // Programs of another user, of the user, and of root, on the machine.
        let list = format!("list {}", socket.display());
        let stop = format!("stop {} {}", socket.display(), web.name);
        let said = as_user(4999, format!("{list};{stop}")).await;
        assert!(said.len() == 1 && said[0].contains("another user's"), "{said:?}");
        assert_eq!(as_user(0, list.clone()).await, ["default/web"]);
        assert_eq!(as_user(USER.uid, format!("{list};{stop}")).await, ["default/web", "stopped"]);
        assert_eq!(running.outcome.await.expect("it ends"), Outcome::Exited(Exit::Signal(15)));

        node.close().await.expect("nothing remains");
        let limit = std::time::Duration::from_secs(30);
        let drained = drain.run(limit, std::future::pending()).await;
        assert_eq!(drained, weft_runtime::drain::Drained::InTime);
        serving.await.expect("no panic");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_proxy_may_be_where_its_user_cannot_look() {
    let machine = Machine::new();
    block_on(async {
        let home = tempfile::tempdir().expect("a folder that is closed to others");
        let (program, args) = helper::argv();
        let hidden = home.path().join("proxy");
        std::fs::copy(program, &hidden).expect("there is room");
        let proxy = move |workload: &Registered| Proxy {
            program: hidden.clone(),
            args: args.clone(),
            env: vec![(helper::ROLE.into(), format!("proxy {}", workload.addrs.v4))],
            log: None,
        };
        let settings = Settings {
            state: machine.state.path().into(),
            owner: 0,
            permits: Vec::new(),
            environment: Vec::new(),
            times: Times::DEFAULT,
            proxy: Box::new(proxy),
        };
        let node = Node::open(settings, Ground::Namespaces(machine.host().await));
        let node = node.expect("a fresh folder");
        let (web, _running, _output) = stays(&node, "web", "").await;
        for addr in both(&web, 8080) {
            assert_eq!(helper::dial(addr), format!("inbound {addr}"));
        }
        node.close().await.expect("nothing remains");
    });
}

#[test]
#[ignore = "needs root, ip and nft"]
fn nothing_passes_while_the_proxy_is_away() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        let (web, mut running, _output) = stays(&node, "web", "serve [::]:8080").await;
        let proxy = node.registry().borrow()[0].proxy_pid.expect("it runs");
        let pid = rustix::process::Pid::from_raw(proxy.cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
        while !matches!(running.events.recv().await.expect("it lives"), Event::ProxyLost { .. }) {}
        assert_eq!(node.registry().borrow()[0].phase, Phase::WithoutProxy);
        for addr in both(&web, 8080) {
            assert_eq!(helper::dial(addr), "ConnectionRefused");
        }
        while running.events.recv().await.expect("it lives") != Event::ProxyReady {}
        for addr in both(&web, 8080) {
            assert_eq!(helper::dial(addr), format!("inbound {addr}"));
        }
        node.close().await.expect("nothing remains");
    });
    assert_eq!(remains(), [""; 0]);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn nothing_stays_behind() {
    let machine = Machine::new();
    block_on(async {
        let node = machine.node().await;
        assert_eq!(std::fs::read_to_string(FORWARDING).expect("it is there").trim(), "1");
        // A process that leaves its group and its parent, and ignores SIGTERM.
        let mut run = fixture::run("web", "");
        let script = "trap '' TERM; (setsid sh -c \"trap '' TERM; while :; do sleep 1; done\" &) ; echo '> started'";
        run.application.argv = ["sh", "-c", script].map(str::to_owned).into();
        let (stdio, _output) = fixture::stdio();
        let running = node.run(run, stdio, USER).await.expect("it can be run");
        let outcome = running.outcome.await.expect("it ends");
        assert_eq!(outcome, Outcome::Exited(Exit::Code(0)));
        assert_eq!(remains().iter().filter(|name| name.starts_with(PREFIX)).count(), 0);
        node.close().await.expect("nothing remains");
    });
    assert_eq!(remains(), [""; 0]);
    let forwarding = std::fs::read_to_string(FORWARDING).expect("it is there");
    assert_eq!(forwarding, machine.forwarding);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn what_a_crash_has_left_is_removed() {
    let machine = Machine::new();
    let foreign = "xwft-other";
    block_on(async {
        let host = machine.host().await;
        let name = "web".parse().expect("a name");
        let addrs = network().workloads.at(5).expect("inside of the range");
        let plan = host.plan(name, addrs, Exclusions::default());
        host.create(&plan).await.expect("it can be made");
        run(&["ip", "netns", "add", foreign]);
        let sleeper = |namespace: &str| {
            Command::new("ip")
                .args(["netns", "exec", namespace, "sleep", "60"])
                .spawn()
                .expect("it is installed")
        };
        let (mut ours, mut other) = (sleeper(&plan.namespace), sleeper(foreign));

        let busy = Host::open(network(), machine.state.path()).await.expect_err("it is in use");
        let HostError::Busy { pid, .. } = &busy else { panic!("{busy}") };
        assert_eq!(*pid, std::process::id().to_string());
        let elsewhere = tempfile::tempdir().expect("a folder");
        let busy = Host::open(network(), elsewhere.path()).await.expect_err("it is in use");
        assert!(matches!(busy, HostError::NetworkBusy { .. }), "{busy}");

        // A crash: nobody cleans up.
        drop(host);
        assert!(!remains().is_empty());
        let host = machine.host().await;
        assert_eq!(names("/run/netns", PREFIX), [""; 0]);
        assert!(!ours.wait().expect("a child").success(), "it was ended");
        assert!(other.try_wait().expect("a child").is_none(), "another's was not");
        assert_eq!(names("/run/netns", foreign), [foreign]);
        other.kill().expect("a child");
        other.wait().expect("a child");
        run(&["ip", "netns", "delete", foreign]);
        host.close().await.expect("nothing remains");
    });
    assert_eq!(remains(), [""; 0]);
    let forwarding = std::fs::read_to_string(FORWARDING).expect("it is there");
    assert_eq!(forwarding, machine.forwarding, "a crash does not make forwarding stay");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn taken_addresses_are_refused() {
    let machine = Machine::new();
    block_on(async {
        run(&["ip", "link", "add", "wftx", "type", "bridge"]);
        run(&["ip", "link", "set", "wftx", "up"]);
        run(&["ip", "address", "add", "10.97.3.1/24", "dev", "wftx"]);
        let error = Host::open(network(), machine.state.path()).await.expect_err("it is taken");
        assert!(matches!(&error, HostError::Taken { by, .. } if by.contains("wftx")), "{error}");
    });
    assert_eq!(names("/sys/class/net", BRIDGE), [""; 0]);
}
