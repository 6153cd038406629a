//! What is slow or big: bounded in time and memory, with a metric for each bound.

use std::time::Duration;

use weft_testkit::documents::{ingress_route, secure_ingress_route, with_middlewares};
use weft_testkit::{Gateway, GatewayBuilder, H2Frames, Next, RawClient, RawOrigin, kind, wait};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn builder(origin: &RawOrigin) -> GatewayBuilder {
    Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
}

fn pair(arguments: &[&str]) -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin).args(arguments).start();
    (origin, gateway)
}

fn reached(gateway: &Gateway, limit: &str) -> f64 {
    gateway.metric("weftway_limit_reached_total", &[("limit", limit)])
}

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
    // Bytes that trickle in do not prolong it.
    let mut client = gateway.client();
    let (status, time) = wait::timed(|| {
        client.set_read_timeout(Duration::from_millis(50));
        let mut bytes =
            b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
        loop {
            let _ = client.try_send([*bytes.next().expect("it has no end")]);
            match client.try_response(false) {
                Ok(Some(response)) => return response.status,
                Ok(None) => return 0,
                Err(_) => {}
            }
        }
    });
    assert!(matches!(status, 408 | 0), "{status}");
    assert!(time < Duration::from_secs(10), "{time:?}");
    assert!(reached(&gateway, "head_timeout") >= 4.0);
    assert!(origin.requests().is_empty());
    // A second request on a connection has the same bound.
    let mut client = gateway.client();
    client.request(GET).echo();
    client.send("GET /");
    assert_eq!(client.response().status, 408);
}

#[test]
fn slow_bodies_are_408_but_not_bodies_that_move() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "400ms"]);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.says_close()), (408, true));
    assert!(client.closed().is_empty());
    origin.wait_for("the end upstream", |_, connections| connections[0].closed_by_peer);
    assert!(reached(&gateway, "body_idle_timeout") >= 1.0);
    // Slower in all than the bound, yet never idle for so long.
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        wait::pass(Duration::from_millis(100));
        client.send("x");
    }
    assert_eq!(client.response().echo().body_bytes, 10);
}

#[test]
fn slow_bodies_of_http2_are_408() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "300ms"]);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let post = H2Frames::block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/"),
    ]);
    frames.headers(1, &post, false);
    frames.send(kind::DATA, 0, 1, b"abc");
    let outcome = frames.outcome(1);
    assert!(outcome.is_refusal(), "{outcome:?}");
    origin.wait_for("the end upstream", |_, connections| {
        connections.iter().all(|connection| connection.is_closed)
    });
}

#[test]
fn readers_that_stop_are_cut_off() {
    let (origin, gateway) = pair(&["--body-idle-timeout", "300ms"]);
    origin.on("/big", |x| {
        x.respond(200, &[], vec![b'x'; 64 << 20])?;
        Ok(Next::KeepAlive)
    });
    let before = gateway.memory_bytes();
    let mut client = gateway.client();
    client.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // The client reads nothing; the gateway gives up and frees the origin.
    origin.wait_for("the end upstream", |requests, connections| {
        requests.len() == 1 && connections[0].is_closed
    });
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
    assert!(reached(&gateway, "body_idle_timeout") >= 1.0);
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
    frames.headers(1, &H2Frames::get("a.test", "/", &[]), true);
    assert_eq!(frames.goaway(), Some(0));
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
}

#[test]
fn handshakes_that_stall_end() {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .args(&["--handshake-timeout", "300ms", "--head-timeout", "300ms"])
        .start();
    for start in [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut client = RawClient::connect(gateway.websecure());
        client.send(start);
        client.closed();
    }
    assert!(reached(&gateway, "handshake_timeout") >= 1.0);
    let (_origin, gateway) =
        pair(&["--trust-proxy-protocol-from", "127.0.0.1", "--handshake-timeout", "300ms"]);
    let mut client = gateway.client();
    client.send("PROXY TCP4 ");
    assert!(client.closed().is_empty());
}

#[test]
fn heads_beyond_their_bounds() {
    let (origin, gateway) = pair(&[]);
    let before = gateway.memory_bytes();
    let one = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let few = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(200));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(64 << 10));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(20 << 10));
    let method = format!("{} / HTTP/1.1\r\nHost: a.test\r\n\r\n", "M".repeat(64 << 10));
    for (attack, statuses, what) in [
        (&one, &[431][..], "one large field"),
        (&many, &[431], "ten thousand fields"),
        (&few, &[431], "two hundred fields"),
        (&target, &[414, 431], "a target of 64 KiB"),
        (&long, &[414], "a target of 20 KiB"),
        (&method, &[400, 414, 431, 501], "a method of 64 KiB"),
    ] {
        let mut client = gateway.client();
        let _ = client.try_send(attack);
        let response = client.response();
        assert!(statuses.contains(&response.status), "{}: {what}", response.status);
        assert!(response.says_close(), "{what}");
        client.closed();
    }
    assert!(origin.requests().is_empty());
    assert!(reached(&gateway, "head_bytes") >= 1.0);
    assert!(reached(&gateway, "target_bytes") >= 1.0);
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
}

#[test]
fn bounds_of_heads_can_be_set() {
    let (_origin, gateway) =
        pair(&["--head-bytes-max", "1000", "--head-fields-max", "10", "--target-bytes-max", "100"]);
    let send = |head: String| gateway.client().request(head).status;
    let fields = |count: usize| {
        format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(count))
    };
    assert_eq!((send(fields(9)), send(fields(20))), (200, 431));
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(length));
    assert_eq!((send(target(90)), send(target(200))), (200, 414));
    let value = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(length))
    };
    assert_eq!((send(value(800)), send(value(2000))), (200, 431));
}

#[test]
fn a_body_without_end_meets_the_cap_of_its_route() {
    let origin = RawOrigin::start("echo");
    let cap = "  buffering:\n    maxRequestBodyBytes: 1048576";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &with_middlewares("echo:80", &[("cap", cap)]))
        .backend("echo:80", origin.addr())
        .start();
    let before = gateway.memory_bytes();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 64 << 10], b"\r\n".to_vec()].concat();
    let mut sent = 0_u64;
    while sent < 1 << 30 && client.try_send(&chunk).is_ok() {
        sent += chunk.len() as u64;
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    // The answer may be lost to the reset that sending on provokes; it was sent all the same.
    gateway.log_line("the refusal", |line| line.contains("\"status\":413"));
    assert!(origin.requests().is_empty());
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
    // A client that listens gets it.
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1073741824\r\n\r\n");
    assert_eq!(client.response().status, 413);
}

#[test]
fn connections_beyond_their_bound_are_closed() {
    let (_origin, gateway) = pair(&["--connections-max", "10"]);
    let mut clients: Vec<RawClient> = (0..10).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.request(GET).echo();
    }
    let mut more = gateway.client();
    assert!(more.closed().is_empty());
    assert!(reached(&gateway, "connections") >= 1.0);
    clients.pop();
    wait::until_true("room again", || {
        let mut client = gateway.client();
        client.try_send(GET).is_ok()
            && client.try_response(false).is_ok_and(|response| response.is_some())
    });
}

#[test]
fn a_connection_can_be_bounded_in_its_requests() {
    let (_origin, gateway) = pair(&["--requests-per-connection-max", "3"]);
    let mut client = gateway.client();
    for last in [false, false, true] {
        let response = client.request(GET);
        assert_eq!(response.says_close(), last);
        response.echo();
    }
    assert!(client.closed().is_empty());
}

#[test]
fn an_army_of_idle_connections_costs_little() {
    let (_origin, gateway) = pair(&[]);
    let mut army: Vec<RawClient> = (0..300).map(|_| gateway.client()).collect();
    for client in &mut army {
        client.request(GET).echo();
    }
    let first = gateway.memory_bytes();
    let mut more: Vec<RawClient> = (0..300).map(|_| gateway.client()).collect();
    for client in &mut more {
        client.request(GET).echo();
    }
    let each = gateway.memory_bytes().saturating_sub(first) / 300;
    // A debug build is fatter than the release that the benchmark measures.
    assert!(each < 16 << 10, "{each} bytes for each idle connection");
}
