//! What follows what on a connection: upgrades, tunnels, expectations, early answers, and what
//! comes after an error.

use weft_testkit::{H2Frames, Next, Outcome, RawClient, kind};

use super::{Ask, SMUGGLED, Wire};
use crate::common::{GET, pair};

/// Row: `Upgrade` with a body or Content-Length; pipelined bytes after an `Upgrade` that the origin
/// refuses.
#[test]
fn bytes_are_raw_only_after_101() {
    let (origin, gateway) = pair(&[]);
    let head = |target: &str, more: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n{more}\r\n"
        )
    };
    // The origin takes no notice of the upgrade: what follows is the next request, read as one.
    let mut client = gateway.client();
    client.send(head("/first", "") + "GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response().echo().target, "/first");
    assert_eq!(client.response().echo().target, "/second");
    // With a body, the body is a body.
    let chunked = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let plain = format!("Content-Length: {}\r\n", SMUGGLED.len());
    for (framing, body) in [(&*plain, SMUGGLED), ("Transfer-Encoding: chunked\r\n", &chunked)] {
        let mut client = gateway.client();
        client.send(head("/third", framing) + body);
        let echo = client.response().echo();
        assert_eq!((&*echo.target, echo.body_bytes), ("/third", SMUGGLED.len()));
        client.request(GET).echo();
    }
    assert!(origin.requests_for("/smuggled").is_empty());
    // And bytes behind a refused one are checked like any other.
    let mut client = gateway.client();
    client.send(head("/fourth", "") + "\u{1}\u{2}raw\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    assert!(client.closed().is_empty());
}

/// An `Upgrade` that `Connection` does not name, or in HTTP/1.0, asks for nothing.
#[test]
fn half_an_upgrade_is_none() {
    let (origin, gateway) = pair(&[]);
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
        // A 101 that nobody asked for is no answer.
        assert_eq!(gateway.client().request(request).status, 502, "{request:?}");
    }
    assert_eq!(Wire::Http2.outcome(&gateway, &Ask::get("/ws")), Outcome::Status(502));
    let requests = origin.requests();
    assert_eq!(requests.len(), 4);
    for request in requests {
        assert_eq!((request.header("upgrade"), request.header("connection")), (None, None));
    }
}

/// Row: CONNECT with body. No tunnel is opened, in neither version; an extended one (RFC 8441) was
/// not offered.
#[test]
fn connect_opens_nothing() {
    let (origin, gateway) = pair(&[]);
    for (request, status) in [
        ("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", 501),
        ("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("CONNECT /x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ] {
        let mut client = gateway.client();
        client.send(format!("{request}{SMUGGLED}"));
        let response = client.response();
        assert_eq!((response.status, response.says_close()), (status, true), "{request:?}");
        assert!(client.closed().is_empty(), "{request:?}");
    }
    for block in [
        H2Frames::block(&[(":method", "CONNECT"), (":authority", "a.test:80")]),
        H2Frames::block(&[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a.test"),
        ]),
    ] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &block, false);
        let outcome = frames.outcome(1);
        let is_refused = matches!(outcome, Outcome::Status(501) | Outcome::Reset(1));
        assert!(is_refused, "{outcome:?}");
    }
    assert!(origin.connections().is_empty());
}

/// Row: `Expect: 100-continue` with an early final answer.
#[test]
fn an_early_final_answer_to_expect_ends_the_connection() {
    let (origin, gateway) = pair(&[]);
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
    assert!(response.interim.is_empty());
    // Body or next request? Nobody can tell, so neither is read.
    let _ = client.try_send(SMUGGLED);
    assert!(client.closed().is_empty());
    assert!(origin.requests_for("/smuggled").is_empty());
}

#[test]
fn other_expectations_are_417() {
    let (origin, gateway) = pair(&[]);
    for fields in [
        "Expect: 200-ok\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
        "Expect: the-unexpected\r\nContent-Length: 0\r\n",
    ] {
        let mut client = gateway.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{SMUGGLED}"));
        let response = client.response();
        assert_eq!((response.status, response.says_close()), (417, true), "{fields:?}");
        assert!(client.closed().is_empty(), "{fields:?}");
    }
    let ask = Ask::get("/").field("expect", "200-ok");
    assert_eq!(Wire::Http2.outcome(&gateway, &ask), Outcome::Status(417));
    assert!(origin.requests().is_empty());
}

/// Row: keep-alive reuse after any parse error. What stood before the bad one is answered, nothing
/// behind it.
#[test]
fn nothing_is_served_after_an_error() {
    let (origin, gateway) = pair(&[]);
    for bad in [
        "GET / HTTP/1.1\r\nbad\r\n\r\n",
        "POST /bad HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        origin.forget();
        let mut client = gateway.client();
        client.send(format!(
            "GET /one HTTP/1.1\r\nHost: a.test\r\n\r\nGET /two HTTP/1.1\r\nHost: a.test\r\n\r\n\
             {bad}{SMUGGLED}"
        ));
        assert_eq!(client.response().echo().target, "/one", "{bad:?}");
        assert_eq!(client.response().echo().target, "/two", "{bad:?}");
        assert_eq!(client.response().status, 400, "{bad:?}");
        assert!(client.closed().is_empty(), "{bad:?}");
        assert_eq!(origin.requests().len(), 2, "{bad:?}");
    }
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
    RawClient::get(gateway.web(), "a.test", "/three").echo();
}

/// Row: keep-alive reuse after an early response. What is left of the body is not the next request.
#[test]
fn nothing_is_served_after_an_early_answer() {
    let (origin, gateway) = pair(&[]);
    origin.on("/early", |x| {
        x.respond(413, &[], "too much")?;
        Ok(Next::Close)
    });
    let mut client = gateway.client();
    client.send("POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\na part");
    let response = client.response();
    assert_eq!((response.status, &*response.text()), (413, "too much"));
    assert!(response.says_close());
    let _ = client.try_send(SMUGGLED);
    assert!(client.closed().is_empty());
    assert!(origin.requests_for("/smuggled").is_empty());

    // Over HTTP/2 only the stream ends.
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let block = H2Frames::request("POST", "a.test", "/early", &[("content-length", "1000000")]);
    frames.headers(1, &block, false).send(kind::DATA, 0, 1, b"a part");
    assert_eq!(frames.outcome(1), Outcome::Status(413));
    frames.headers(3, &super::get("/next"), true);
    assert_eq!(frames.outcome(3), Outcome::Status(200));
}

/// A client that ends its side within a body has not sent a whole request.
#[test]
fn a_truncated_request_is_never_completed() {
    let (origin, gateway) = pair(&[]);
    for (framing, body, seen) in [
        ("Content-Length: 10", "half", &b"half"[..]),
        ("Transfer-Encoding: chunked", "4\r\nhalf", b"half\r\n"),
    ] {
        let before = origin.connections().len();
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n{body}"));
        origin.wait_for("the body", |_, all| {
            all.get(before).is_some_and(|log| log.bytes.ends_with(seen))
        });
        client.shutdown_write();
        client.closed();
        origin.wait_for("the end", |_, all| all[before].is_closed);
        assert!(origin.connections()[before].closed_by_peer);
        assert!(!origin.connections()[before].bytes.ends_with(b"0\r\n\r\n"));
    }
    gateway.client().request(GET).echo();
}
