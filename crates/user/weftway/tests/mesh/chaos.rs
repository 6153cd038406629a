//! Instances that die, fail, flap, are slow, refuse, or close idle connections, while requests flow:
//! what callers get to feel of it has a bound.

use rustix::process::Signal;
use weft_testkit::wait;

use crate::echo::{App, Call, Load, Tally, UnderWay};
use crate::mesh::Mesh;

/// Requests at one time.
const AT_ONCE: usize = 8;

const CALLER: &str = "shop";

const APPS: [&str; 4] = ["orders-1", "orders-2", "orders-3", "orders-4"];

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: default}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
";

/// Three failures in a row, and an instance is left alone for so long, at most half of them.
fn rule(base: &str) -> String {
    format!(
        "{SERVICE}\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: orders, namespace: default}}
spec:
  host: orders
  trafficPolicy:
    outlierDetection:
      consecutive5xxErrors: 3
      interval: 1s
      baseEjectionTime: {base}
      maxEjectionPercent: 50
"
    )
}

/// Failures that an ejection costs: what ejects, and what was under way meanwhile.
const PER_EJECTION: usize = 3 + AT_ONCE;

/// A mesh in which instances that were ejected are back after a second.
fn mesh() -> Mesh {
    mesh_with(&rule("1s"))
}

fn mesh_with(documents: &str) -> Mesh {
    let apps = APPS.map(|name| App::new(name).labels(&["app=orders"]));
    let mut mesh = Mesh::of(documents, &apps);
    mesh.echo(&App::new(CALLER));
    mesh.until_in_force();
    mesh
}

fn flow(mesh: &Mesh) -> UnderWay {
    let flow = mesh.flow(CALLER, &Call::get("orders/"), AT_ONCE);
    goes_on(mesh, &APPS, 20);
    flow
}

/// Waits until each of these got so many more requests.
fn goes_on(mesh: &Mesh, apps: &[&str], more: u64) {
    for app in apps {
        let before = mesh.seen(app);
        wait::until_true("more requests", || mesh.seen(app) >= before + more);
    }
}

/// Failures of answers that no application has given, or the whole.
fn failed(found: &Tally) -> usize {
    println!("{found:?}");
    assert!(found.total() > 500, "{found:?}");
    found.failed()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_dies_takes_with_it_what_it_had_and_nothing_else() {
    let mut mesh = mesh();
    let flow = flow(&mesh);
    let mut dying = mesh.take(APPS[0]);
    dying.signal(Signal::INT);
    dying.signal(Signal::INT);
    dying.code();
    goes_on(&mesh, &APPS[1..], 50);
    let found = flow.stop();
    assert!(failed(&found) <= AT_ONCE, "{found:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_fails_costs_what_ejects_it() {
    let mesh = mesh();
    let flow = flow(&mesh);
    mesh.tell(APPS[0], "status=500");
    goes_on(&mesh, &APPS[1..], 100);
    mesh.tell(APPS[0], "");
    // It is back.
    goes_on(&mesh, &APPS, 20);
    let found = flow.stop();
    // It may have been back while it still failed.
    assert!((3..=3 * PER_EJECTION).contains(&failed(&found)), "{found:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_is_ejected_is_not_picked() {
    const LOAD: u64 = 500;
    let mesh = mesh_with(&rule("300s"));
    let flow = flow(&mesh);
    mesh.tell(APPS[0], "status=500");
    goes_on(&mesh, &APPS[1..], 100);
    // What was under way when it was ejected has come to its end.
    let before = mesh.seen(APPS[0]);
    mesh.tell(APPS[0], "");
    goes_on(&mesh, &APPS[1..], LOAD);
    assert_eq!(mesh.seen(APPS[0]), before, "it was picked all the same");
    let found = flow.stop();
    assert!((3..=PER_EJECTION).contains(&failed(&found)), "{found:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_flaps_costs_as_much_each_time() {
    const TIMES: usize = 4;
    let mesh = mesh();
    let flow = flow(&mesh);
    for _ in 0..TIMES {
        mesh.tell(APPS[0], "status=503");
        goes_on(&mesh, &APPS[1..], 30);
        mesh.tell(APPS[0], "");
        goes_on(&mesh, &APPS[1..], 30);
    }
    let found = flow.stop();
    assert!((3..=2 * TIMES * PER_EJECTION).contains(&failed(&found)), "{found:?}");
}

/// What it had when it closed its port may be lost: it may have been done. What it refuses is not.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_refuses_costs_what_it_had_and_nothing_more() {
    let mesh = mesh();
    let flow = flow(&mesh);
    mesh.tell(APPS[0], "refuse");
    goes_on(&mesh, &APPS[1..], 100);
    mesh.tell(APPS[0], "");
    goes_on(&mesh, &APPS, 20);
    let found = flow.stop();
    assert!(failed(&found) <= AT_ONCE, "{found:?}");
}

/// Least request is Istio's default: who is slow has most under way, and gets little more.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_is_slow_gets_little_and_fails_nobody() {
    let mesh = mesh();
    let flow = flow(&mesh);
    mesh.tell(APPS[0], "delay=500");
    APPS.iter().for_each(|app| mesh.forget(app));
    goes_on(&mesh, &APPS[1..], 200);
    let slow = mesh.seen(APPS[0]);
    let others: u64 = APPS[1..].iter().map(|app| mesh.seen(app)).sum();
    mesh.tell(APPS[0], "");
    let found = flow.stop();
    assert_eq!(failed(&found), 0, "{found:?}");
    assert!(slow * 10 < others, "the slow one got {slow}, the others {others}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn when_all_fail_half_of_them_stay_and_all_are_back_when_they_are_well() {
    let mesh = mesh();
    let flow = flow(&mesh);
    APPS.iter().for_each(|app| mesh.tell(app, "status=500"));
    APPS.iter().for_each(|app| mesh.forget(app));
    let total = || -> u64 { APPS.iter().map(|app| mesh.seen(app)).sum() };
    wait::until_true("requests to those that stay", || total() > 400);
    APPS.iter().for_each(|app| mesh.tell(app, ""));
    goes_on(&mesh, &APPS, 20);
    let found = flow.stop();
    // The applications have answered all of it: nobody was told that there is no instance.
    assert_eq!(found.total(), found.status(200) + found.status(500), "{found:?}");
    let by_apps: usize = found.names.values().sum();
    assert_eq!(by_apps, found.total(), "{found:?}");
}

/// What the proxy beside a workload has counted, of all labels.
fn metric(mesh: &Mesh, workload: &str, name: &str) -> u64 {
    let url = format!("http://{}:15020/metrics", mesh.addr(workload));
    let text = mesh.plainly(&url).unwrap().body;
    let begin = format!("{name}{{");
    let values = text.lines().filter(|line| line.starts_with(&begin));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The instances close each connection, which was idle until then, at the very moment at which its
/// second request comes: nobody can know whether they have seen it.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn instances_that_close_idle_connections_fail_nobody() {
    const CALLS: usize = 200;
    let mut mesh = Mesh::with(SERVICE, &[]);
    for name in &APPS[..2] {
        mesh.serve(name, "hasty", 8080, &["--label", "app=orders"]);
    }
    mesh.echo(&App::new(CALLER));
    mesh.until_in_force();
    let call = Call::get("orders/");
    for at_once in [1, 20] {
        let load = Load::times(&call, CALLS).at_once(at_once);
        let found = Tally::of(&mesh.calls(CALLER, &load));
        assert_eq!((found.total(), found.failed()), (CALLS, 0), "{at_once} at once: {found:?}");
    }
    // Only who found no idle connection was spared.
    let count = |name| APPS[..2].iter().map(|app| metric(&mesh, app, name)).sum::<u64>();
    let (requests, replays) =
        (count("weftway_upstream_requests_total"), count("weftway_upstream_replays_total"));
    assert!(replays >= CALLS as u64 / 2, "{replays} replays of {requests} requests");
    assert_eq!(count("weftway_upstream_attempts_total"), requests + replays);
}
