//! What fails, and what does not fail because of it.

use rustix::process::Signal;
use serde_json::{Map, Value};
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

/// Waits for the end of a load; how many requests failed in which way, and who answered the others.
fn ended(mut load: Process) -> (Vec<String>, Map<String, Value>) {
    assert_eq!(load.code(), Some(0), "{}", load.printed());
    let seen: Value = serde_json::from_str(&load.printed()).unwrap();
    let kinds = seen["seen"].as_object().unwrap();
    let failed = kinds.iter().filter(|(kind, _)| *kind != "200");
    let failed = failed.map(|(kind, count)| format!("{count} x {kind}"));
    (failed.collect(), seen["names"].as_object().unwrap().clone())
}

/// The same of a load all of which was answered well.
fn all_answered(load: Process) -> Map<String, Value> {
    let (failed, names) = ended(load);
    assert!(failed.is_empty(), "{failed:?}");
    names
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_killed_and_replaced_under_load_fails_nothing_that_had_not_reached_it() {
    let mut mesh = Mesh::with(SERVICE, &[]);
    let label = ["--label", "app=payments"];
    mesh.serve("payments-a", "http", 8080, &label);
    mesh.serve("payments-b", "http", 8080, &label);
    mesh.caller("shop", &[]);
    let loads = [load(&mesh, "new", "10"), load(&mesh, "kept", "10")];
    wait::pass(std::time::Duration::from_secs(1));
    // The application dies without a word, with everything it has under way.
    let pids = mesh.machine.output(&["ip", "netns", "pids", "wf-payments-a"]);
    for pid in pids.split_whitespace() {
        let name = mesh.machine.output(&["cat", &format!("/proc/{pid}/comm")]);
        if name.starts_with("python") {
            mesh.machine.output(&["kill", "-KILL", pid]);
        }
    }
    let mut killed = mesh.take("payments-a");
    assert_ne!(killed.code(), Some(0));
    mesh.serve("payments-c", "http", 8080, &label);
    // What the application had in its hands when it died is lost: it may have been done.
    let lost = "1 x 502 the service closed the connection: default/payments-a\n";
    for load in loads {
        let (failed, names) = ended(load);
        assert!(failed.is_empty() || failed == [lost], "{failed:?}");
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
