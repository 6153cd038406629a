//! What fails, and what does not fail because of it.

use rustix::process::Signal;
use weft_testkit::wait;

use crate::machine::Process;
use crate::mesh::{Mesh, PYTHON, script};

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: default}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 8080}]
";

/// Calls a service from a workload for a while, each call on its own connection or all on one.
fn load(mesh: &Mesh, connections: &str, seconds: &str) -> Process {
    let script = script("client.py");
    let argv = [PYTHON, &script, "load", "payments", "8080", seconds, connections];
    let argv = Mesh::beside("shop", &argv);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    mesh.machine.spawn(&format!("load-{connections}"), &argv)
}

/// Waits for the end of a load, all of which was answered well; by whom.
fn all_answered(mut load: Process) -> serde_json::Map<String, serde_json::Value> {
    assert_eq!(load.code(), Some(0), "{}", load.printed());
    let seen: serde_json::Value = serde_json::from_str(&load.printed()).unwrap();
    let kinds: Vec<&String> = seen["seen"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["200"], "{seen}");
    seen["names"].as_object().unwrap().clone()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_killed_and_replaced_under_load_fails_no_request() {
    let mut mesh = Mesh::with(SERVICE, &[]);
    let label = ["--label", "app=payments"];
    mesh.serve("payments-a", "http", 8080, &label);
    mesh.serve("payments-b", "http", 8080, &label);
    mesh.caller("shop", &[]);
    let loads = [load(&mesh, "new", "6"), load(&mesh, "kept", "6")];
    wait::pass(std::time::Duration::from_secs(1));
    // The application dies without a word, with everything it has under way.
    let pids = mesh.machine.output(&["ip", "netns", "pids", "wf-payments-a"]);
    for pid in pids.split_whitespace() {
        let name = mesh.machine.output(&["cat", &format!("/proc/{pid}/comm")]);
        if name.starts_with("python") {
            mesh.machine.output(&["kill", "-KILL", pid]);
        }
    }
    let mut ended = mesh.take("payments-a");
    assert_ne!(ended.code(), Some(0));
    mesh.serve("payments-c", "http", 8080, &label);
    for load in loads {
        let names = all_answered(load);
        assert!(names.contains_key("payments-b"), "{names:?}");
        assert!(names.contains_key("payments-c"), "{names:?}");
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_is_stopped_finishes_what_it_has() {
    let mut mesh = Mesh::with(SERVICE, &[]);
    let label = ["--label", "app=payments"];
    mesh.serve("payments-a", "http", 8080, &label);
    mesh.serve("payments-b", "http", 8080, &label);
    mesh.caller("shop", &[]);
    let loads = [load(&mesh, "new", "4"), load(&mesh, "kept", "4")];
    wait::pass(std::time::Duration::from_secs(1));
    let mut stopped = mesh.take("payments-a");
    stopped.signal(Signal::TERM);
    stopped.code();
    for load in loads {
        assert!(all_answered(load).contains_key("payments-b"));
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn while_the_control_plane_hangs_traffic_and_new_connections_go_on() {
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http", 8080, &[]);
    mesh.serve("mail", "greeter", 2525, &[]);
    mesh.caller("shop", &[]);
    assert_eq!(mesh.get("shop", &["http://payments:8080/"]).status, 200);
    mesh.client("shop", &["greeting", "mail", "2525"]);
    mesh.up.signal(Signal::STOP);
    let load = load(&mesh, "new", "3");
    assert_eq!(mesh.client("shop", &["greeting", "mail", "2525"])["then"], "250 it is me");
    assert!(all_answered(load).contains_key("payments"));
    mesh.up.signal(Signal::CONT);
    mesh.serve("late", "http", 8080, &[]);
    assert_eq!(mesh.get("shop", &["http://late:8080/"]).status, 200);
}
