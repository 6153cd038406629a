//! Ending in order.

use weft_testkit::{Gate, H2Client, RawClient, RawOrigin, wait};

use crate::common::{GET, to_echo};

/// An origin that holds `/slow` back until the gate is open.
fn slow() -> (RawOrigin, Gate) {
    let origin = RawOrigin::start("echo");
    let gate = origin.hold("/slow");
    (origin, gate)
}

#[test]
fn a_request_under_way_is_finished_and_the_exit_code_is_0() {
    let (origin, gate) = slow();
    let mut gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    gateway.terminate();
    // It takes no new connections while it finishes.
    let web = gateway.web();
    wait::until_true("closed doors", || RawClient::try_connect(web).is_err());
    assert!(gateway.is_running());
    gate.open();
    let response = client.response();
    assert!(response.says_close());
    assert_eq!(response.echo().target, "/slow");
    assert!(client.closed().is_empty());
    drop(client);
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn idle_connections_are_closed_at_once() {
    let origin = RawOrigin::start("echo");
    let mut gateway = to_echo(&origin).start();
    let mut used = gateway.client();
    used.request(GET).echo();
    let mut fresh = gateway.client();
    let h2 = H2Client::connect(gateway.web());
    assert_eq!(h2.get("a.test", "/").status, 200);
    gateway.terminate();
    assert!(used.closed().is_empty());
    assert!(fresh.closed().is_empty());
    drop((used, fresh));
    assert_eq!(gateway.exit().code(), Some(0));
    wait::until("the end of HTTP/2", || h2.ended());
}

#[test]
fn readiness_ends_first() {
    let (origin, gate) = slow();
    let mut gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    assert_eq!(gateway.admin("/readyz").status, 200);
    gateway.terminate();
    wait::until_true("not ready", || gateway.admin("/readyz").status == 503);
    assert!(gateway.admin("/readyz").text().contains("draining"));
    // Alive all the same, and its metrics can still be read.
    assert_eq!(gateway.admin("/healthz").status, 200);
    assert_eq!(gateway.admin("/metrics").status, 200);
    gate.open();
    client.response().echo();
    drop(client);
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn the_deadline_cuts_off_what_still_runs() {
    let origin = RawOrigin::start("echo");
    origin.hang("/hang");
    let mut gateway = to_echo(&origin).args(&["--drain-timeout", "200ms"]).start();
    let mut client = gateway.client();
    client.send("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    gateway.terminate();
    gateway.exit();
    let rest = client.closed();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 503"), "{rest:?}");
    origin.wait_for("the end upstream", |_, connections| connections[0].closed_by_peer);
}

#[test]
fn a_second_signal_forces() {
    let origin = RawOrigin::start("echo");
    origin.hang("/hang");
    let mut gateway = to_echo(&origin).args(&["--drain-timeout", "1h"]).start();
    let mut client = gateway.client();
    client.send("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    gateway.terminate();
    wait::until_true("not ready", || gateway.admin("/readyz").status == 503);
    assert!(gateway.is_running());
    gateway.terminate();
    gateway.exit();
    let rest = client.closed();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 503"), "{rest:?}");
}

#[test]
fn a_pipelined_request_after_the_signal_is_not_lost_in_silence() {
    let (origin, gate) = slow();
    let mut gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    client.send(format!("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n{GET}"));
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    gateway.terminate();
    wait::until_true("not ready", || gateway.admin("/readyz").status == 503);
    gate.open();
    // The answer to the first says that the second is not served.
    assert!(client.response().says_close());
    assert!(client.closed().is_empty());
    drop(client);
    assert_eq!(gateway.exit().code(), Some(0));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_websocket_is_given_until_the_deadline() {
    let origin = RawOrigin::start("echo");
    origin.on("/ws", |x| x.upgrade_and_echo("websocket"));
    let mut gateway = to_echo(&origin).args(&["--drain-timeout", "500ms"]).start();
    let mut client = gateway.client();
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.head().status, 101);
    gateway.terminate();
    client.send("still");
    assert_eq!(client.read_exact(5).unwrap(), b"still");
    gateway.exit();
    client.closed();
}
