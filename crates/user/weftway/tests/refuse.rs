//! What is refused over HTTP/1.1: framing and smuggling. Each case says what the client gets and
//! what the origin saw.

use weft_testkit::documents::ingress_route;
use weft_testkit::{Gateway, Next, RawOrigin, Response};

struct Setup {
    origin: RawOrigin,
    gateway: Gateway,
}

fn setup() -> Setup {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .start();
    Setup { origin, gateway }
}

/// Sent behind every attack: it must never arrive anywhere.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

impl Setup {
    /// Sends an attack with another request behind it, and reads the answer to the attack.
    fn attack(&self, attack: impl AsRef<[u8]>) -> Option<Response> {
        let mut client = self.gateway.client();
        let mut bytes = attack.as_ref().to_vec();
        bytes.extend_from_slice(SMUGGLED.as_bytes());
        let _ = client.try_send(&bytes);
        let answer = client.try_response(false).ok().flatten();
        let rest = client.closed();
        assert!(rest.is_empty(), "a second answer: {}", String::from_utf8_lossy(&rest));
        answer
    }

    /// The attack is answered with one of the statuses, the connection is closed, and neither it
    /// nor what stands behind it reaches the origin.
    fn refused(&self, attack: impl AsRef<[u8]>, statuses: &[u16]) {
        let shown = String::from_utf8_lossy(attack.as_ref()).chars().take(200).collect::<String>();
        let answer = self.attack(&attack);
        assert!(answer.is_some(), "no answer to {shown:?}");
        let Some(answer) = answer else { return };
        assert!(statuses.contains(&answer.status), "{} for {shown:?}", answer.status);
        assert!(answer.says_close(), "{shown:?}");
        assert_eq!(self.origin.requests().len(), 0, "{shown:?} arrived");
    }

    /// The same for a body that breaks the rules: its head may have been sent on, but the request
    /// is never completed.
    fn cut_off(&self, head: &str, body: impl AsRef<[u8]>) {
        let shown = String::from_utf8_lossy(body.as_ref()).chars().take(100).collect::<String>();
        let before = self.origin.connections().len();
        let mut attack = head.as_bytes().to_vec();
        attack.extend_from_slice(body.as_ref());
        let answer = self.attack(&attack);
        let status = answer.map(|answer| answer.status);
        assert_eq!(status, Some(400), "{shown:?}");
        self.origin.wait_for("the end upstream", |_, connections| {
            connections[before..].iter().all(|connection| connection.is_closed)
        });
        for connection in &self.origin.connections()[before..] {
            assert!(connection.closed_by_peer, "{shown:?}: the origin took it for complete");
        }
        let seen = self.origin.requests_for("/smuggled");
        assert!(seen.is_empty(), "{shown:?} smuggled a request");
    }
}

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n")
}

#[test]
fn lengths_that_can_be_read_in_two_ways() {
    let setup = setup();
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\ncontent-length: 0",
        "Content-Length: 5,5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5a",
        "Content-Length: 5 5",
        "Content-Length: 5.0",
        "Content-Length:",
        "Content-Length: ",
        "Content-Length: 05",
        "Content-Length: 00",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999999999",
        "Content-Length: \u{665}",
        "Content_Length: 3\r\nContent-Length: 3\r\nContent-Length: 3",
    ] {
        setup.refused(format!("{}0\r\n\r\n", post(fields)), &[400]);
    }
}

#[test]
fn transfer_codings_that_are_not_chunked() {
    let setup = setup();
    for value in [
        "chunked, identity",
        "identity, chunked",
        "xchunked",
        "chunkedx",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\u{c}",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "gzip, chunked",
        "gzip",
        "identity",
        "\"chunked\"",
        "chunked;q=1",
        "",
    ] {
        setup.refused(format!("{}0\r\n\r\n", post(&format!("Transfer-Encoding: {value}"))), &[400]);
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding\u{b}: chunked",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chun\r\n ked",
        "Transfer-Encoding\r\n: chunked",
    ] {
        setup.refused(format!("{}0\r\n\r\n", post(fields)), &[400]);
    }
    let old = "POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    setup.refused(old, &[400]);
}

#[test]
fn a_chunked_coding_in_other_case_is_the_same_one() {
    let setup = setup();
    let echo = setup
        .gateway
        .client()
        .request(format!("{}3\r\nabc\r\n0\r\n\r\n", post("transfer-encoding:\tCHUNKED")))
        .echo();
    assert_eq!(echo.body.as_deref(), Some("abc"));
    assert_eq!(echo.header("transfer-encoding"), Some("chunked"));
}

#[test]
fn chunks_that_break_the_rules() {
    let setup = setup();
    let head = post("Transfer-Encoding: chunked");
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(1 << 20));
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\n\r\n",
        ";a=b\r\nhello\r\n0\r\n\r\n",
        "11111111111111111\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        "5;a=\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\nb\r\nhello\r\n0\r\n\r\n",
        "5\rX\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\nX\r\n\r\n",
        "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n",
        &long,
    ] {
        setup.cut_off(&head, body);
    }
}

#[test]
fn trailers_cannot_change_what_was_decided() {
    let setup = setup();
    let mut client = setup.gateway.client();
    let trailers = "Content-Length: 99\r\nHost: evil.test\r\nAuthorization: Basic eDp5\r\n\
                    Transfer-Encoding: chunked\r\nX-Forwarded-For: 10.0.0.1\r\nCookie: a=b\r\n\
                    Connection: close\r\nX_Forwarded_For: 10.0.0.1\r\nX-Checksum: 42\r\n";
    let echo = client
        .request(format!(
            "{}1\r\nx\r\n0\r\n{trailers}\r\n",
            post("TE: trailers\r\nTransfer-Encoding: chunked")
        ))
        .echo();
    let names: Vec<String> = echo.trailers.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert_eq!(names, ["x-checksum"]);
    assert_eq!((&*echo.host, echo.header("authorization")), ("a.test", None));
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
}

#[test]
fn lines_that_break_the_rules() {
    let setup = setup();
    for attack in [
        // Folding, spaces, and line ends that others read differently.
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX\t: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\nY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\u{7f}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\u{1}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX Y: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX(Y): a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX\u{e9}: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX\0: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\nHost: a.test\n\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\n\r\n",
        "GET / HTTP/1.1\rHost: a.test\r\n\r\n",
        // What stands before the request line.
        "\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        // The request line.
        "GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n",
        "GET / http/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1x\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/11\r\nHost: a.test\r\n\r\n",
        "GET /\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "G\0T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        // Not this protocol at all.
        "HELO mail.test\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n",
    ] {
        setup.refused(attack, &[400]);
    }
    for version in ["1.2", "1.9", "2.0", "0.9", "3.0"] {
        setup.refused(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n"), &[400, 505]);
    }
}

#[test]
fn hosts_that_can_be_read_in_two_ways() {
    let setup = setup();
    for host in [
        "a.test\r\nHost: a.test",
        "a.test\r\nHost: b.test",
        "user@a.test",
        "a.test:port",
        "a.test:",
        "a.test:0",
        "a.test:65536",
        "a.test:80:80",
        "a.test/b",
        "a.test?b",
        "a.test#b",
        "a test",
        "a..test",
        ".a.test",
        "a.test, b.test",
        "a\\b",
        "a%2etest",
        "[::1%25eth0]",
        "[::1",
        "::1",
        "[not]",
        "b\u{fc}cher.test",
    ] {
        setup.refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]);
    }
    setup.refused("GET / HTTP/1.1\r\n\r\n", &[400]);
    setup.refused("GET http://user@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", &[400]);
}

#[test]
fn an_absolute_target_and_its_host_are_one() {
    let setup = setup();
    // A different host is refused, or the target wins for everybody.
    let mut client = setup.gateway.client();
    let response = client.request("GET http://a.test/x HTTP/1.1\r\nHost: b.test\r\n\r\n");
    match response.status {
        200 => {
            let echo = response.echo();
            assert_eq!((&*echo.host, echo.header("x-forwarded-host")), ("a.test", Some("a.test")));
        }
        status => assert_eq!(status, 400),
    }
    for (target, host, expected) in [
        ("http://a.test/x?y", "a.test", "a.test"),
        ("HTTP://A.Test/x?y", "a.test", "a.test"),
        ("/x?y", "A.TEST.", "a.test"),
        ("/x?y", "a.test:8080", "a.test:8080"),
        ("/x?y", "under_score.test", "under_score.test"),
        ("/x?y", "[2001:DB8::1]:80", "[2001:db8::1]:80"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let echo = setup.gateway.client().request(request).echo();
        assert_eq!((&*echo.host, &*echo.target), (expected, "/x?y"), "{target} {host}");
    }
}

#[test]
fn connect_is_not_served() {
    let setup = setup();
    setup.refused("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", &[501]);
    let with_body = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 3\r\n\r\nabc";
    setup.refused(with_body, &[400, 501]);
    setup.refused("CONNECT /x HTTP/1.1\r\nHost: a.test\r\n\r\n", &[400, 501]);
}

#[test]
fn other_expectations_are_417() {
    let setup = setup();
    setup.refused("GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 200-ok\r\n\r\n", &[417]);
    let twice = "GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n";
    setup.refused(twice, &[417]);
}

#[test]
fn bytes_are_raw_only_after_101() {
    let setup = setup();
    // The origin takes no notice of the upgrade: what follows is the next request, read as one.
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut client = setup.gateway.client();
    client.send(format!(
        "GET /first HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\nGET /second HTTP/1.1\r\nHost: a.test\r\n\r\n"
    ));
    assert_eq!(client.response().echo().target, "/first");
    assert_eq!(client.response().echo().target, "/second");
    // With a body, the body is a body.
    let mut client = setup.gateway.client();
    client.send(format!(
        "POST /third HTTP/1.1\r\nHost: a.test\r\n{upgrade}Content-Length: {}\r\n\r\n{SMUGGLED}",
        SMUGGLED.len()
    ));
    let echo = client.response().echo();
    assert_eq!((&*echo.target, echo.body_bytes), ("/third", SMUGGLED.len()));
    assert!(setup.origin.requests_for("/smuggled").is_empty());
    // And bytes behind a refused one are checked like any other.
    let mut client = setup.gateway.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n\u{1}\u{2}raw\r\n\r\n"));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    assert!(client.closed().is_empty());
}

#[test]
fn nothing_is_served_after_an_error() {
    let setup = setup();
    let mut client = setup.gateway.client();
    client.send(format!(
        "GET /ok HTTP/1.1\r\nHost: a.test\r\n\r\nGET / HTTP/1.1\r\nbad\r\n\r\n{SMUGGLED}"
    ));
    assert_eq!(client.response().echo().target, "/ok");
    assert_eq!(client.response().status, 400);
    assert!(client.closed().is_empty());
    assert_eq!(setup.origin.requests().len(), 1);
}

/// What an origin may answer to `/`, and the status or body that the client gets.
#[test]
fn answers_that_break_the_rules() {
    let setup = setup();
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
        setup.origin.on_raw("/", answer, Next::KeepAlive);
        let before = setup.origin.connections().len();
        let response = setup.gateway.get("a.test", "/");
        assert_eq!(response.status, 502, "{answer:?}");
        let shown = response.text();
        assert!(!shown.contains("chunked") && !shown.contains("127.0.0.1"), "{shown}");
        // The connection is not used again.
        assert_eq!(setup.gateway.get("a.test", "/ok").status, 200);
        assert_eq!(setup.origin.connections().len(), before + 2, "{answer:?}");
        setup.origin.close_connections();
    }
}

#[test]
fn bodies_where_there_is_none_do_not_desynchronise() {
    let setup = setup();
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, answer) in [
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{poison}")),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")),
        (
            "GET",
            format!("HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{poison}", poison.len()),
        ),
        (
            "GET",
            format!(
                "HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{poison}",
                poison.len()
            ),
        ),
        ("GET", format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{poison}")),
        ("GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{poison}")),
    ] {
        setup.origin.on_raw("/", answer.clone(), Next::KeepAlive);
        let mut client = setup.gateway.client();
        let response = client.request(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert!(response.body.is_empty(), "{answer:?}");
        // The next requests, on this connection and others, get their own answers.
        for _ in 0..3 {
            let echo = client.request("GET /ok HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
            assert_eq!(echo.target, "/ok", "{method} {answer:?}");
            assert_eq!(setup.gateway.get("a.test", "/other").echo().target, "/other");
        }
    }
}

#[test]
fn a_flood_of_interim_answers_ends() {
    let setup = setup();
    setup.origin.on("/", |x| {
        for _ in 0..100_000 {
            x.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10))?;
        }
        x.echo()
    });
    let response = setup.gateway.get("a.test", "/");
    assert_eq!(response.status, 502);
    assert!(response.interim.len() < 100, "{} came through", response.interim.len());
}

#[test]
fn chunked_answers_that_break_the_rules_end_the_connection() {
    let setup = setup();
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\r\n-1\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        setup.origin.on_raw("/", answer, Next::KeepAlive);
        let mut client = setup.gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        match client.try_response(false) {
            // What has begun cannot become an error any more, but it must not look complete.
            Err(_) | Ok(None) => {}
            Ok(Some(response)) => assert_eq!(response.status, 502, "{body:?}"),
        }
        assert!(client.closed().is_empty());
    }
}
