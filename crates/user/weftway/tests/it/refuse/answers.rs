//! Answers of origins that break the rules, and what becomes of the connections they came over.
//! Over both versions: what the client speaks changes nothing.

use weft_testkit::{H2Client, Next};

use super::{Ask, WIRES};
use crate::common::{GET, pair};

/// Row: response with CL and TE; response header splitting. The connection is not used again.
#[test]
fn answers_that_break_the_rules() {
    let (origin, gateway) = pair(&[]);
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "garbage\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
    ] {
        origin.on_raw("/", answer, Next::KeepAlive);
        for wire in WIRES {
            let before = origin.connections().len();
            let response = wire.response(&gateway, &Ask::get("/"));
            assert_eq!(response.status, 502, "{wire:?} {answer:?}");
            let shown = response.text();
            assert!(!shown.contains("chunked") && !shown.contains("127.0.0.1"), "{shown}");
            assert_eq!(wire.response(&gateway, &Ask::get("/ok")).status, 200);
            assert_eq!(origin.connections().len(), before + 2, "{wire:?} {answer:?}");
            origin.close_connections();
        }
    }
}

/// Row: HEAD, 204 and 304 with body from origin. The next requests get their own answers, on the
/// same connection and on others.
#[test]
fn bodies_where_there_is_none_do_not_desynchronise() {
    let (origin, gateway) = pair(&[]);
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let length = format!("Content-Length: {}", poison.len());
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5"),
        ("GET", "HTTP/1.1 204 No Content"),
        ("GET", &format!("HTTP/1.1 204 No Content\r\n{length}")),
        ("GET", &format!("HTTP/1.1 304 Not Modified\r\n{length}")),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0"),
    ] {
        origin.on_raw("/", format!("{head}\r\n\r\n{poison}"), Next::KeepAlive);
        let mut h1 = gateway.client();
        let response = h1.request(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert!(response.body.is_empty(), "{head:?}");
        let h2 = H2Client::connect(gateway.web());
        let response = super::Wire::Http2.response(&gateway, &Ask::get("/").method(method));
        assert!(response.body.is_empty(), "{head:?}");
        for _ in 0..3 {
            let echo = h1.request("GET /ok HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
            assert_eq!(echo.target, "/ok", "{method} {head:?}");
            assert_eq!(h2.get("a.test", "/also").echo().target, "/also", "{method} {head:?}");
            assert_eq!(gateway.get("a.test", "/other").echo().target, "/other", "{head:?}");
        }
    }
}

#[test]
fn a_204_carries_no_length() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw("/", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Next::KeepAlive);
    for wire in WIRES {
        let response = wire.response(&gateway, &Ask::get("/").method("DELETE"));
        assert_eq!((response.status, response.header("content-length")), (204, None), "{wire:?}");
    }
}

/// Row: 1xx flood.
#[test]
fn a_flood_of_interim_answers_ends() {
    let (origin, gateway) = pair(&[]);
    origin.on("/", |x| {
        for _ in 0..100_000 {
            x.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10))?;
        }
        x.echo()
    });
    for wire in WIRES {
        let response = wire.response(&gateway, &Ask::get("/"));
        assert_eq!(response.status, 502, "{wire:?}");
        assert!(response.interim.len() < 100, "{} came through", response.interim.len());
    }
    origin.wait_for("the ends", |_, all| all.iter().all(|connection| connection.is_closed));
}

/// What has begun cannot become an error any more, but it must not look complete.
#[test]
fn chunked_answers_that_break_the_rules_end_the_connection() {
    let (origin, gateway) = pair(&[]);
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\r\n-1\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        origin.on_raw("/", answer, Next::KeepAlive);
        let mut client = gateway.client();
        client.send(GET);
        let all = String::from_utf8_lossy(&client.closed()).into_owned();
        assert!(all.starts_with("HTTP/1.1 502 ") || !all.ends_with("0\r\n\r\n"), "{body:?}: {all}");
        let client = H2Client::connect(gateway.web());
        match client.try_request(weft_testkit::H2Request::get("a.test", "/")) {
            Ok(response) => assert_eq!(response.status, 502, "{body:?}"),
            Err(error) => assert!(error.is_reset(), "{body:?}: {error}"),
        }
        // Only the stream was in error.
        client.get("a.test", "/ok").echo();
    }
}
