//! The edges of framing over HTTP/1.1: what looks like it and is not, what is cut off, what comes
//! early. The plain cases are in `refuse.rs`.
//!
//! Where a message is refused, a whole second request stands behind it, `/smuggled`. Whoever reads
//! the framing otherwise than we do would see that one; no origin ever may.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::time::Duration;

use weft_testkit::documents::ingress_route;
use weft_testkit::{Gateway, Next, RawClient, RawOrigin, wait};

const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn pair() -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .start();
    (origin, gateway)
}

/// Sends `bytes` and the smuggled request; the answer must have that status, say that the
/// connection closes, and be the last.
fn check_refused(gateway: &Gateway, bytes: &[u8], status: u16) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let mut client = gateway.client();
    // The gateway may close before it has read everything.
    let _ = client.try_send([bytes, SMUGGLED].concat());
    let response = match client.try_response(bytes.starts_with(b"HEAD ")) {
        Ok(Some(response)) => response,
        other => panic!("no answer to {shown:?}: {other:?}"),
    };
    assert_eq!(response.status, status, "{shown:?}");
    assert!(response.says_close(), "{shown:?}: {}", String::from_utf8_lossy(&response.head));
    assert!(client.closed().is_empty(), "{shown:?}");
}

/// Names that some servers take for the framing fields, but which are other names, pass as the
/// unknown fields they are: behind our framing they cannot be read as such.
#[test]
fn look_alikes_of_framing_fields_do_not_frame() {
    let (origin, gateway) = pair();
    let mut client = gateway.client();
    let echo = client
        .request(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer_Encoding: chunked\r\n\
             X-Content-Length: 99\r\nContent-Length: 5\r\n\r\nhello",
        )
        .echo();
    assert_eq!(echo.body.as_deref(), Some("hello"));
    let head = origin.requests()[0].head_text().to_lowercase();
    assert_eq!(head.matches("\ncontent-length: 5\r\n").count(), 1, "{head}");
    assert!(!head.contains("\ntransfer-encoding"), "{head}");
    client.request(SMUGGLED).echo();
}

/// What is not HTTP at all gets no long wait and no crash.
#[test]
fn other_protocols_are_told_off_and_closed() {
    let (origin, gateway) = pair();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO mail.test\r\n\r\n",
        b"\x00\x00\x00\x00\x00\x00\x00\x00\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ] {
        let mut client = gateway.client();
        client.send(bytes);
        client.shutdown_write();
        let rest = String::from_utf8_lossy(&client.closed()).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{bytes:?}: {rest}");
    }
    assert!(origin.connections().is_empty());
}

/// The body is refused where it breaks. The head may have gone upstream by then; the origin must
/// see a body that breaks off, and nothing behind it.
fn check_bodies_refused(cases: &[&[u8]]) {
    let (origin, gateway) = pair();
    for body in cases {
        let before = origin.connections().len();
        let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        check_refused(&gateway, &[&head[..], body].concat(), 400);
        for index in before..origin.connections().len() {
            origin.wait_for("the end", |_, connections| connections[index].is_closed);
            let log = &origin.connections()[index];
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            assert!(log.closed_by_peer, "{shown:?}");
            assert!(!log.bytes.ends_with(b"0\r\n\r\n"), "{shown:?} looks complete");
        }
    }
    assert!(origin.requests_for("/smuggled").is_empty());
    assert_eq!(
        gateway.metric("weftway_request_failures_total", &[("reason", "bad_request")]),
        cases.len() as f64
    );
}

#[test]
fn chunk_extensions_are_bounded_and_hide_nothing() {
    let long = [b"5;a=", &vec![b'x'; 1 << 20][..], b"\r\nhello\r\n0\r\n\r\n"].concat();
    check_bodies_refused(&[
        b"5;a=b\rc\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\nc\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\r\nc\"\r\nhello\r\n0\r\n\r\n",
        b"5;\0\r\nhello\r\n0\r\n\r\n",
        b"0;\n\r\n\r\n",
        &long,
    ]);
}

#[test]
fn trailers_follow_the_grammar_and_are_bounded() {
    let many = [b"0\r\n", "X: y\r\n".repeat(10_000).as_bytes(), b"\r\n"].concat();
    let long = [b"0\r\nX: ", &vec![b'y'; 1 << 20][..], b"\r\n\r\n"].concat();
    check_bodies_refused(&[
        b"0\r\nNoColon\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\r\n folded\r\n\r\n",
        b"0\r\nX: y\nZ: a\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        &many,
        &long,
    ]);
}

/// An `Upgrade` that `Connection` does not name, or in HTTP/1.0, asks for nothing.
#[test]
fn half_an_upgrade_is_none() {
    let (origin, gateway) = pair();
    origin.on_raw(
        "/ws",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        Next::KeepAlive,
    );
    for request in [
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\r\n",
        "GET /ws HTTP/1.0\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ] {
        let mut client = gateway.client();
        // A 101 that nobody asked for is no answer.
        assert_eq!(client.request(request).status, 502, "{request:?}");
    }
    for request in origin.requests() {
        assert_eq!((request.header("upgrade"), request.header("connection")), (None, None));
    }
}

#[test]
fn an_early_final_answer_to_expect_ends_the_connection() {
    let (origin, gateway) = pair();
    origin.on("/early", |x| {
        x.respond(401, &[], "who?")?;
        Ok(Next::Close)
    });
    let mut client = gateway.client();
    client.send(
        "POST /early HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 41\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, response.says_close()), (401, true));
    // Body or next request? Nobody can tell, so neither is read.
    let _ = client.try_send(SMUGGLED);
    assert!(client.closed().is_empty());
    assert!(origin.requests_for("/smuggled").is_empty());

    let request =
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: the-unexpected\r\nContent-Length: 0\r\n\r\n";
    check_refused(&gateway, request.as_bytes(), 417);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_204_carries_no_length() {
    let (origin, gateway) = pair();
    origin.on_raw("/", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Next::KeepAlive);
    let mut client = gateway.client();
    let response = client.request("DELETE / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((response.status, response.header("content-length")), (204, None));
}

/// Nothing that was refused leaves anything behind: the next client is served as ever.
#[test]
fn pipelined_requests_before_the_bad_one_are_answered() {
    let (origin, gateway) = pair();
    let mut client = gateway.client();
    client.send(
        "GET /one HTTP/1.1\r\nHost: a.test\r\n\r\nGET /two HTTP/1.1\r\nHost: a.test\r\n\r\n\
         POST /bad HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    );
    client.send(SMUGGLED);
    assert_eq!(client.response().echo().target, "/one");
    assert_eq!(client.response().echo().target, "/two");
    assert_eq!(client.response().status, 400);
    assert!(client.closed().is_empty());
    assert_eq!(origin.requests().len(), 2);
    wait::until_true("no connection", || gateway.metric("weftway_connections_open", &[]) == 0.0);
    RawClient::get(gateway.web(), "a.test", "/three").echo();
}

/// A client that ends its side within a body has not sent a whole request.
#[test]
fn a_truncated_request_is_never_completed() {
    let (origin, gateway) = pair();
    for (head, seen) in
        [("Content-Length: 10", &b"half"[..]), ("Transfer-Encoding: chunked", b"half\r\n")]
    {
        let before = origin.connections().len();
        let mut client = gateway.client();
        let size = if head.ends_with("chunked") { "4\r\n" } else { "" };
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n{size}half"));
        origin.wait_for("the body", |_, all| {
            all.get(before).is_some_and(|log| log.bytes.ends_with(seen))
        });
        client.shutdown_write();
        let _ = client.closed();
        origin.wait_for("the end", |_, all| all[before].is_closed);
        assert!(origin.connections()[before].closed_by_peer);
        assert!(!origin.connections()[before].bytes.ends_with(b"0\r\n\r\n"));
    }
    let mut client = gateway.client();
    client.set_read_timeout(Duration::from_secs(5));
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
}

/// Whoever asks and asks, and never reads an answer, is answered until the system's buffers are
/// full, and then given up.
#[test]
fn a_client_that_pipelines_and_does_not_read_is_given_up() {
    let origin = RawOrigin::start("echo");
    origin.on("/large", |x| {
        x.respond(200, &[], vec![b'x'; 256 << 10])?;
        Ok(Next::KeepAlive)
    });
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .args(&["--body-idle-timeout", "300ms"])
        .start();
    let memory = gateway.memory_bytes();
    let mut client = gateway.client();
    let _ = client.try_send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(2_000));
    gateway.wait_metric("weftway_limit_reached_total", &[("limit", "body_idle_timeout")], |n| {
        n >= 1.0
    });
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
    assert!(origin.requests().len() < 200, "{} requests", origin.requests().len());
    let grown = gateway.memory_bytes().saturating_sub(memory);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
    drop(client);
}
