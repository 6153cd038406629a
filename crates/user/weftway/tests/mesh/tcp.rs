//! TCP between workloads, with nothing declared, on ports of which nothing is known beforehand: who
//! begins is found out.

use crate::mesh::{Mesh, PROBLEMS, PYTHON};

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn bytes_pass_and_each_direction_ends_by_itself() {
    let mut mesh = Mesh::start();
    mesh.serve("cache", "echo", 7001, &[]);
    mesh.caller("shop", &[]);
    let said = mesh.client("shop", &["echo", "cache", "7001", "1000000"]);
    assert_eq!((&said["same"], &said["ended"]), (&true.into(), &true.into()));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn many_that_do_not_read_hold_nobody_up() {
    let mut mesh = Mesh::start();
    mesh.serve("cache", "echo", 7001, &[]);
    mesh.caller("shop", &[]);
    let said = mesh.client("shop", &["stalled", "cache", "7001", "100"]);
    assert_eq!((&said["same"], &said["ended"]), (&true.into(), &true.into()));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_server_that_speaks_first_is_heard_at_once() {
    let mut mesh = Mesh::start();
    mesh.serve("mail", "greeter", 2525, &[]);
    mesh.caller("shop", &[]);
    for _ in 0..3 {
        let said = mesh.client("shop", &["greeting", "mail", "2525"]);
        assert_eq!(said["first"], "220 who is it");
        assert_eq!(said["then"], "250 it is me");
        // Others wait for the client here, 5 s or 10 s, until they give up.
        assert!(said["took"].as_f64().unwrap() < 2.0, "{said}");
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn who_calls_a_closed_port_is_told_so() {
    const CLOSES: &str = "import os, socket, sys, time\n\
                          with socket.create_server(('0.0.0.0', 9000)):\n    \
                              while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n\
                          print('closed', flush=True)\n\
                          time.sleep(600)";
    let mut mesh = Mesh::start();
    let close = mesh.machine.folder().join("close");
    let application = [PYTHON, "-c", CLOSES, close.to_str().unwrap()];
    mesh.run("idle", &["--port", "9000"], &application);
    mesh.caller("shop", &[]);
    std::fs::write(&close, "").unwrap();
    mesh.process("idle").until_printed("closed");
    let answer = mesh.get("shop", &["-H", PROBLEMS, "http://idle:9000/"]);
    assert_eq!(answer.status, 502, "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["reason"], "connect_failed");
    assert_eq!(problem["service"], "idle.default.svc.cluster.local");
}
