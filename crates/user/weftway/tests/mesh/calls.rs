//! Calls in other forms: gRPC with streams, over IPv6, and by the application itself.

use crate::mesh::{BINARY, Mesh, PYTHON, script};
use crate::traffic::{Load, PORTS, Traffic};

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn grpc_is_called_with_single_answers_and_with_streams_in_both_directions() {
    let mut mesh = Mesh::start();
    let mut traffic = Traffic::new(mesh.machine.folder());
    let load = Load { grpc: 2, streams: 2, ..Load::NONE };
    for (name, other, load) in [("payments", "shop", Load::NONE), ("shop", "payments", load)] {
        let argv = traffic.application(name, other, load, "0.0.0.0", "");
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let ports = PORTS.iter().flat_map(|port| ["--port", port]);
        mesh.run(name, &ports.collect::<Vec<_>>(), &argv);
    }
    traffic.go();
    traffic.stop_clean();
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn services_are_called_over_ipv6() {
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http6", 8080, &["--service-account", "payments"]);
    mesh.serve("cache", "echo6", 7001, &[]);
    mesh.caller("shop", &["--service-account", "shop"]);
    let answer = mesh.get("shop", &["-6", "-w", "\n%{remote_ip}", "http://payments:8080/"]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let (body, ip) = answer.body.rsplit_once('\n').unwrap();
    assert!(ip.starts_with("fd78:"), "{ip}");
    assert!(body.contains("URI=spiffe://cluster.local/ns/default/sa/shop"), "{body}");
    let argv = Mesh::beside("shop", &["getent", "ahostsv6", "cache"]);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let found = mesh.machine.output(&argv);
    let ip = found.split_whitespace().next().unwrap();
    assert!(ip.starts_with("fd78:"), "{found}");
    let said = mesh.client("shop", &["echo", ip, "7001", "1000000"]);
    assert_eq!((&said["same"], &said["ended"]), (&true.into(), &true.into()));
}

/// Elsewhere in these tests programs beside an application call, as root.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_application_calls_as_the_user_who_has_started_it() {
    const USER: &str = "65534";
    let mut mesh = Mesh::with("", &["--allow-user", &format!("{USER}=default/shop")]);
    mesh.serve("payments", "http", 8080, &["--service-account", "payments"]);
    mesh.serve("cache", "echo", 7001, &[]);
    let state = mesh.state();
    let calls = format!(
        "id -u && curl -sS --max-time 10 http://payments:8080/ && echo && \
         {PYTHON} {} echo cache 7001 100000",
        script("client.py")
    );
    let user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"];
    let run = [BINARY, "run", "shop", "--service-account", "shop"];
    let rest = ["--state", state.to_str().unwrap(), "--", "sh", "-c", &calls];
    let mut shop = mesh.machine.spawn("shop", &[&user[..], &run, &rest].concat());
    assert_eq!(shop.code(), Some(0), "{}", shop.printed());
    let printed = shop.printed();
    assert!(printed.lines().any(|line| line == USER), "{printed}");
    assert!(printed.contains("URI=spiffe://cluster.local/ns/default/sa/shop"), "{printed}");
    assert!(printed.contains(r#"{"same": true, "ended": true}"#), "{printed}");
}
