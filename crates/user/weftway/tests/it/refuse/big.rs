//! What is big: bounded in memory, with a metric for each bound.

use weft_testkit::{H2Client, H2Frames, Outcome, RawClient, RawOrigin, flags, kind, wait};

use super::{Ask, Memory, WIRES};
use crate::common::{GET, pair, through, wait_reached};

/// Row: 1 MiB header, 10,000 headers, 64 KiB URL.
#[test]
fn heads_beyond_their_bounds() {
    let (origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    let head =
        |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
    let method = format!("{} / HTTP/1.1\r\nHost: a.test\r\n\r\n", "M".repeat(64 << 10));
    let path = |length: usize| format!("/{}", "x".repeat(length));
    for (attack, status, what) in [
        (head("/", &format!("X: {}\r\n", "x".repeat(1 << 20))), 431, "a large field"),
        (head("/", &"X: y\r\n".repeat(10_000)), 431, "ten thousand fields"),
        (head("/", &"X: y\r\n".repeat(200)), 431, "two hundred fields"),
        (head(&path(64 << 10), ""), 414, "a target of 64 KiB"),
        (head(&path(20 << 10), ""), 414, "a target of 20 KiB"),
        (method, 414, "a method of 64 KiB"),
    ] {
        let mut client = gateway.client();
        let _ = client.try_send(attack);
        let response = client.response();
        assert_eq!((response.status, response.says_close()), (status, true), "{what}");
        client.closed();
    }
    assert!(origin.requests().is_empty());
    for limit in ["head_bytes", "head_fields", "target_bytes"] {
        wait_reached(&gateway, limit, 1.0);
    }
    memory.is_flat("large heads");
}

/// Sends a head in as many frames as it takes; how its stream ends.
fn in_pieces(frames: &mut H2Frames, block: &[u8]) -> Outcome {
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let (kind, end_stream) = match index {
            0 => (kind::HEADERS, flags::END_STREAM),
            _ => (kind::CONTINUATION, 0),
        };
        let end_headers = if index + 1 == pieces.len() { flags::END_HEADERS } else { 0 };
        // It may be refused before it was sent to its end.
        if frames.try_send(kind, end_headers | end_stream, 1, piece).is_err() {
            break;
        }
    }
    frames.outcome(1)
}

/// The same over HTTP/2.
#[test]
fn heads_beyond_the_limit_are_431() {
    let (origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    let outcome = |target: &str, fields: &[(&str, &str)]| {
        let block = H2Frames::get("a.test", target, fields);
        in_pieces(&mut H2Frames::connect(gateway.web(), &[]), &block)
    };
    let long = "v".repeat(10_000);
    assert_eq!(outcome("/", &[("x-long", &*long); 7]), Outcome::Status(431));
    let huge = outcome("/", &[("x-long", &"v".repeat(1 << 20))]);
    assert!(huge.is_refusal(), "{huge:?}");
    let many = outcome("/", &[("x", "y"); 10_000]);
    assert!(many.is_refusal(), "{many:?}");
    assert_eq!(outcome(&format!("/{}", "x".repeat(17_000)), &[]), Outcome::Status(414));
    let target = outcome(&format!("/{}", "x".repeat(64 << 10)), &[]);
    assert!(target.is_refusal(), "{target:?}");
    assert!(origin.requests().is_empty());
    memory.is_flat("large heads");
}

#[test]
fn bounds_of_heads_can_be_set() {
    let (_origin, gateway) =
        pair(&["--head-bytes-max", "1000", "--head-fields-max", "10", "--target-bytes-max", "100"]);
    let fields = |count: usize| Ask::get("/").fields(vec![("x", "y"); count]);
    let target = |length: usize| Ask::get(&format!("/{}", "x".repeat(length)));
    let value = |length: usize| Ask::get("/").field("x", &"x".repeat(length));
    for wire in WIRES {
        for (within, beyond, status) in [
            (fields(8), fields(20), 431),
            (target(90), target(200), 414),
            (value(700), value(2000), 431),
        ] {
            assert_eq!(
                wire.outcome(&gateway, &within),
                Outcome::Status(200),
                "{wire:?} {within:?}"
            );
            assert_eq!(
                wire.outcome(&gateway, &beyond),
                Outcome::Status(status),
                "{wire:?} {beyond:?}"
            );
        }
    }
}

/// Row: 1 GiB chunked body to a route with a 1 MiB cap.
#[test]
fn a_body_without_end_meets_the_cap_of_its_route() {
    let origin = RawOrigin::start("echo");
    let cap = "  buffering:\n    maxRequestBodyBytes: 1048576";
    let gateway = through(&origin, &[("cap", cap)]).start();
    let memory = Memory::of(&gateway);
    let mut client = gateway.client();
    client.send("POST /h1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 64 << 10], b"\r\n".to_vec()].concat();
    let mut sent = 0_u64;
    while sent < 1 << 30 && client.try_send(&chunk).is_ok() {
        sent += chunk.len() as u64;
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    // The answer may be lost to the reset that sending on provokes; it was sent all the same.
    assert_eq!(gateway.log_entry("path", "/h1")["status"], 413);
    // A client that listens gets it, before it has sent anything.
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1073741824\r\n\r\n");
    assert_eq!(client.response().status, 413);
    // Over HTTP/2 the window bounds what can be sent.
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &super::post(&[("content-length", "1073741824")]), false);
    assert_eq!(frames.outcome(1), Outcome::Status(413));
    let client = H2Client::connect(gateway.web());
    let large = weft_testkit::H2Request::post("a.test", "/", vec![b'x'; 4 << 20]);
    assert_eq!(client.request(large).status, 413);
    assert!(origin.requests().is_empty());
    memory.is_flat("a body without end");
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
    wait_reached(&gateway, "connections", 1.0);
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
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    for stream in [1, 3, 5] {
        frames.headers(stream, &super::get("/"), true);
        assert_eq!(frames.outcome(stream), Outcome::Status(200));
    }
    assert_eq!(frames.goaway(), Some(0));
}
