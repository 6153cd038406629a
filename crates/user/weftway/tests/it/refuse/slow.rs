//! What is slow: bounded in time, with a metric for each bound.

use std::time::Duration;

use weft_testkit::documents::secure_ingress_route;
use weft_testkit::{
    H2Client, H2Frames, H2Request, Next, Outcome, RawClient, RawOrigin, kind, wait,
};

use super::{Memory, get, post};
use crate::common::{GET, builder, pair, reached, to_echo, wait_reached};

/// Row: slow headers. Bytes that trickle in do not prolong the time for a head.
#[test]
fn slow_heads_are_408() {
    let (origin, gateway) = pair(&["--head-timeout", "300ms"]);
    for start in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\nX: "] {
        let mut client = gateway.client();
        client.send(start);
        let response = client.response();
        assert_eq!((response.status, response.says_close()), (408, true), "{start:?}");
        assert!(client.closed().is_empty());
    }
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nX: ");
    wait::until_true("the end of a head that trickles in", || {
        let is_open =
            client.try_send("x").is_ok() && client.is_silent_for(Duration::from_millis(20));
        !is_open
    });
    wait_reached(&gateway, "head_timeout", 4.0);
    assert!(origin.requests().is_empty());
    // A second request on a connection has the same bound.
    let mut client = gateway.client();
    client.request(GET).echo();
    client.send("GET /");
    assert_eq!(client.response().status, 408);
}

/// The same over HTTP/2: a head that begins and does not go on; a preface that does not. All at
/// once, because each is given some seconds to end in order.
#[test]
fn heads_and_prefaces_that_stall_end() {
    let timeouts = ["--idle-timeout", "--head-timeout", "--handshake-timeout"];
    let arguments: Vec<&str> = timeouts.iter().flat_map(|name| [*name, "300ms"]).collect();
    let (origin, gateway) = pair(&arguments);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &get("/first"), true);
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    frames.send(kind::HEADERS, 0, 3, &get("/second")[..20]);
    let mut stalled: Vec<_> = (0..2).map(|_| gateway.client()).collect();
    stalled[0].send("PRI * HTTP/2.0\r\n");
    stalled[1].send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(frames.goaway(), Some(0));
    for mut client in stalled {
        client.closed();
    }
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
    assert_eq!(origin.requests().len(), 1);
}

/// Row: slow body. Over both versions.
#[test]
fn slow_bodies_are_408() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "300ms"]);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.says_close()), (408, true));
    assert!(client.closed().is_empty());
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &post(&[]), false).send(kind::DATA, 0, 1, b"abc");
    assert_eq!(frames.outcome(1), Outcome::Status(408));
    origin.wait_for("the ends upstream", |requests, all| {
        requests.len() == 2 && all.iter().all(|connection| connection.closed_by_peer)
    });
    wait_reached(&gateway, "body_idle_timeout", 2.0);
}

/// Slower in all than the bound, yet never idle for so long: an upload on a slow line.
#[test]
fn bodies_that_move_have_all_the_time() {
    let (_origin, gateway) = pair(&["--body-idle-timeout", "1s"]);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\n");
    let h2 = H2Client::connect(gateway.web());
    let mut stream = h2.open(H2Request::post("a.test", "/", ""));
    for _ in 0..8 {
        wait::pass(Duration::from_millis(200));
        client.send("x");
        stream.send("x", false);
    }
    stream.end();
    assert_eq!(client.response().echo().body_bytes, 8);
    assert_eq!(stream.try_finish().expect("it is answered").echo().body_bytes, 8);
    assert_eq!(reached(&gateway, "body_idle_timeout"), 0.0);
}

/// Row: slow read. The client reads nothing; the gateway gives up and frees the origin.
#[test]
fn readers_that_stop_are_cut_off() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "300ms"]);
    origin.on_status("/big", 200, vec![b'x'; 64 << 20]);
    let memory = Memory::of(&gateway);
    let mut client = gateway.client();
    client.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the end upstream", |requests, connections| {
        requests.len() == 1 && connections[0].is_closed
    });
    wait_reached(&gateway, "body_idle_timeout", 1.0);
    memory.is_flat("a reader that stops");
}

/// The same over HTTP/2, by a window that stays shut. Its connection is as good as before.
#[test]
fn a_window_that_stays_shut_is_given_up() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "300ms"]);
    origin.on_status("/large", 200, vec![b'x'; 8 << 20]);
    let mut frames = H2Frames::connect(gateway.web(), &[(4, 0)]);
    frames.headers(1, &get("/large"), true);
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    let frame = frames.until(|frame| frame.kind == kind::RST_STREAM).expect("a reset");
    assert_eq!(frame.stream, 1);
    origin.wait_for("the end", |_, all| all[0].is_closed);
    wait_reached(&gateway, "body_idle_timeout", 1.0);
    frames.send(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]);
    frames.headers(3, &get("/"), true);
    assert_eq!(frames.outcome(3), Outcome::Status(200));
}

/// Whoever asks and asks, and never reads an answer, is answered until the system's buffers are
/// full, and then given up.
#[test]
fn a_client_that_pipelines_and_does_not_read_is_given_up() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "300ms"]);
    origin.on_status("/large", 200, vec![b'x'; 256 << 10]);
    let memory = Memory::of(&gateway);
    let mut client = gateway.client();
    // The gateway stops to read, and ends, before all of this is sent.
    let _ = client.try_send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(2_000));
    wait_reached(&gateway, "body_idle_timeout", 1.0);
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
    assert!(origin.requests().len() < 200, "{} requests", origin.requests().len());
    memory.is_flat("a client that does not read");
    drop(client);
}

#[test]
fn an_origin_that_pauses_is_not_a_client_that_stops() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "100ms"]);
    origin.on("/events", |x| {
        x.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        x.pause(Duration::from_millis(500));
        x.send("1\r\nb\r\n0\r\n\r\n")?;
        Ok(Next::KeepAlive)
    });
    assert_eq!(gateway.get("a.test", "/events").body, b"ab");
    assert_eq!(H2Client::connect(gateway.web()).get("a.test", "/events").body, b"ab");
}

#[test]
fn idle_connections_end() {
    let (_origin, gateway) = pair(&["--idle-timeout", "300ms"]);
    let mut used = gateway.client();
    used.request(GET).echo();
    assert!(used.closed().is_empty());
    let mut silent = gateway.client();
    assert!(silent.closed().is_empty());
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &get("/"), true);
    assert_eq!(frames.goaway(), Some(0));
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
}

/// Row: idle keep-alive army.
#[test]
fn an_army_of_idle_connections_costs_little() {
    let (_origin, gateway) = pair(&[]);
    let army = || {
        let mut clients: Vec<RawClient> = (0..300).map(|_| gateway.client()).collect();
        for client in &mut clients {
            client.request(GET).echo();
        }
        clients
    };
    let _first = army();
    let before = gateway.memory_bytes();
    let _second = army();
    let each = gateway.memory_bytes().saturating_sub(before) / 300;
    // A debug build is fatter than the release that the benchmark measures.
    assert!(each < 16 << 10, "{each} bytes for each idle connection");
}

/// Row: TLS handshake stall. So is a PROXY header that does not go on.
#[test]
fn handshakes_that_stall_end() {
    let origin = RawOrigin::start("echo");
    let gateway = builder()
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .args(&["--handshake-timeout", "300ms", "--head-timeout", "300ms"])
        .start();
    for start in [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut client = RawClient::connect(gateway.websecure());
        client.send(start);
        client.closed();
    }
    wait_reached(&gateway, "handshake_timeout", 2.0);
    let gateway = to_echo(&origin)
        .args(&["--trust-proxy-protocol-from", "127.0.0.1", "--handshake-timeout", "300ms"])
        .start();
    let mut client = gateway.client();
    client.send("PROXY TCP4 ");
    assert!(client.closed().is_empty());
}
