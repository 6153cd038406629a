//! HTTP/1.1 and 1.0 through the real binary, with an origin that keeps the bytes it got.

use weft_testkit::{Gate, H2Client, H2Request, Next, RawClient};

use crate::common::{GET, pair, pattern};

#[test]
fn a_connection_serves_many_requests_over_one_upstream_connection() {
    let (origin, gateway) = pair(&[]);
    let mut client = gateway.client();
    for index in 0..20 {
        let echo = client
            .request(format!("GET /{index}?q={index} HTTP/1.1\r\nHost: a.test\r\nA: b\r\n\r\n"))
            .echo();
        assert_eq!(echo.target, format!("/{index}?q={index}"));
        assert_eq!((&*echo.host, echo.header("a")), ("a.test", Some("b")));
    }
    assert_eq!(origin.connections().len(), 1);
    assert_eq!(gateway.metric("weftway_connections_total", &[]), 1.0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (origin, gateway) = pair(&[]);
    origin.on("/slow", |x| {
        x.pause(std::time::Duration::from_millis(30));
        x.echo()
    });
    let mut client = gateway.client();
    client.send(
        "GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n\
         POST /second HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc\
         GET /third HTTP/1.1\r\nHost: a.test\r\n\r\n",
    );
    assert_eq!(client.response().echo().target, "/slow");
    let second = client.response().echo();
    assert_eq!((&*second.target, second.body.as_deref()), ("/second", Some("abc")));
    assert_eq!(client.response().echo().target, "/third");
}

#[test]
fn head_keeps_the_length_and_has_no_body() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw("/", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", Next::KeepAlive);
    let mut client = gateway.client();
    let response = client.request("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(response.header("content-length"), Some("1234"));
    assert_eq!(client.request("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n").echo().target, "/next");
    assert_eq!(origin.requests()[0].method, "HEAD");
}

#[test]
fn head_of_a_chunked_answer_is_complete_at_once() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw("/", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Next::KeepAlive);
    let mut client = gateway.client();
    assert_eq!(client.request("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 200);
    assert_eq!(client.request("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n").echo().target, "/next");
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw("/204", "HTTP/1.1 204 No Content\r\n\r\n", Next::KeepAlive);
    origin.on_raw("/304", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", Next::KeepAlive);
    let mut client = gateway.client();
    for status in [204, 304, 204] {
        let response = client.request(format!("GET /{status} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(response.status, status);
        assert_eq!(response.header("transfer-encoding"), None);
    }
}

/// An origin may answer 411 to a POST of which it does not know the length (RFC 9110 section 8.6).
#[test]
fn a_request_without_content_says_so_where_some_is_expected() {
    let (origin, gateway) = pair(&[]);
    let mut client = gateway.client();
    for (method, length) in
        [("POST", Some("0")), ("GET", None), ("PUT", Some("0")), ("DELETE", None)]
    {
        client.request(format!("{method} /{method} HTTP/1.1\r\nHost: a.test\r\n\r\n")).echo();
        let requests = origin.requests_for(&format!("/{method}"));
        assert_eq!(requests[0].header("content-length"), length, "{method}");
    }
    // Nothing was taken for a body: one connection carried them all.
    assert_eq!(origin.connections().len(), 1);
    H2Client::connect(gateway.web()).request(H2Request::new("POST", "a.test", "/h2")).echo();
    assert_eq!(origin.requests_for("/h2")[0].header("content-length"), Some("0"));
}

#[test]
fn http10_closes_unless_asked_not_to() {
    let (origin, gateway) = pair(&[]);
    let mut client = gateway.client();
    let response = client.request("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert_eq!(response.echo().version, "HTTP/1.1");
    assert!(client.closed().is_empty());

    let mut client = gateway.client();
    for _ in 0..2 {
        let response =
            client.request("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(
            response.header("connection").map(str::to_ascii_lowercase).as_deref(),
            Some("keep-alive")
        );
        response.echo();
    }

    // A peer of HTTP/1.0 does not know chunks: the end of the connection ends the body.
    origin.on_raw(
        "/chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Next::KeepAlive,
    );
    let mut client = gateway.client();
    let response =
        client.request("GET /chunked HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.body, b"abc");
}

#[test]
fn chunked_bodies_pass_both_ways_and_are_framed_anew() {
    let (origin, gateway) = pair(&[]);
    origin.on("/", |x| {
        x.read_body()?;
        x.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for piece in x.request().body.clone().chunks(3) {
            x.send(format!("{:x}\r\n", piece.len()))?;
            x.send(piece)?;
            x.send("\r\n")?;
        }
        x.send("0\r\n\r\n")?;
        Ok(Next::KeepAlive)
    });
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n0007;ext=1\r\n, world\r\n");
    client.send("0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.body, b"hello, world");
    let [request] = &origin.requests()[..] else { panic!("one request") };
    assert_eq!(request.body, b"hello, world");
    // What was written is what we wrote: extensions and odd sizes do not pass.
    let raw = String::from_utf8_lossy(&request.body_raw).into_owned();
    assert!(!raw.contains("ext") && !raw.contains("0007"), "{raw:?}");
    assert_eq!(client.request(GET).body, b"");
}

#[test]
fn trailers_pass_both_ways() {
    let (origin, gateway) = pair(&[]);
    origin.on("/", |x| {
        x.read_body()?;
        x.send(
            "HTTP/1.1 200 OK\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\nSum: 42\r\n\r\n",
        )?;
        Ok(Next::KeepAlive)
    });
    let mut client = gateway.client();
    let response = client.request(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: Check\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nCheck: 7\r\n\r\n",
    );
    let lower = |fields: &[(String, String)]| -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()
    };
    assert_eq!(lower(&response.trailers), [("sum".to_owned(), "42".to_owned())]);
    assert_eq!(lower(&origin.requests()[0].trailers), [("check".to_owned(), "7".to_owned())]);
}

#[test]
fn expect_continue_waits_for_the_origin() {
    let (origin, gateway) = pair(&[]);
    origin.on("/", |x| {
        x.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        x.echo()
    });
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    assert_eq!(client.head().status, 100);
    // The origin was asked before it got anything of the body.
    assert!(origin.connections()[0].bytes.ends_with(b"\r\n\r\n"));
    client.send("body");
    assert_eq!(client.response().echo().body.as_deref(), Some("body"));
}

#[test]
fn connection_close_is_obeyed_on_each_side_alone() {
    let (origin, gateway) = pair(&[]);
    let mut client = gateway.client();
    let response = client.request("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert!(response.says_close());
    response.echo();
    assert!(client.closed().is_empty());

    origin.on_raw(
        "/close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        Next::Close,
    );
    let mut client = gateway.client();
    for _ in 0..3 {
        let response = client.request("GET /close HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!((&*response.body, response.says_close()), (&b"ok"[..], false));
    }
    // Closing towards the client did not cost the upstream connection.
    assert_eq!(origin.connections().len(), 1 + 2);
}

#[test]
fn large_bodies_are_streamed_unchanged() {
    let (origin, gateway) = pair(&[]);
    let body = pattern(20 << 20);
    origin.send_back("/");
    let mut client = gateway.client();
    let head = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head).send(&body);
    let response = client.response();
    assert!(response.body == body, "the answer differs from what was sent");
    assert!(gateway.memory_bytes() < 200 << 20, "{} bytes", gateway.memory_bytes());
}

#[test]
fn a_body_until_close_is_chunked_for_the_client() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw("/", "HTTP/1.0 200 OK\r\n\r\nuntil the end", Next::Close);
    let mut client = gateway.client();
    let response = client.request(GET);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.body, b"until the end");
    assert_eq!(client.request(GET).body, b"until the end");
}

#[test]
fn a_body_that_breaks_off_does_not_look_complete() {
    let (origin, gateway) = pair(&[]);
    for framing in
        ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    {
        let gate = Gate::new();
        let held = gate.clone();
        origin.on("/", move |x| {
            x.send(format!("HTTP/1.1 200 OK\r\n{framing}"))?;
            x.wait(&held);
            Ok(Next::Close)
        });
        let mut client = gateway.client();
        client.send(GET);
        assert_eq!(client.head().status, 200);
        gate.open();
        let rest = client.closed();
        assert!(framing.ends_with(&*String::from_utf8_lossy(&rest)), "{rest:?} looks complete");
    }
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    let (origin, gateway) = pair(&[]);
    let gate = Gate::new();
    let held = gate.clone();
    origin.on("/events", move |x| {
        x.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
        )?;
        x.wait(&held);
        x.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n")?;
        Ok(Next::KeepAlive)
    });
    let mut client = gateway.client();
    client.send("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.head().status, 200);
    // The origin goes on only after the first event has come through.
    assert_eq!(client.chunk().unwrap(), b"data: 1\n\n");
    gate.open();
    assert_eq!(client.chunk().unwrap(), b"data: 2\n\n");
    assert_eq!(client.chunk().unwrap(), b"");
}

#[test]
fn an_upload_reaches_the_origin_piece_by_piece() {
    let (origin, gateway) = pair(&[]);
    origin.on("/", |x| {
        while x.read_piece()? {}
        x.echo()
    });
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\n");
    for (piece, so_far) in [("ab", "ab"), ("cd", "abcd")] {
        client.send(piece);
        origin.wait_for("the piece", |requests, _| {
            requests.first().is_some_and(|request| request.body == so_far.as_bytes())
        });
    }
    client.send("ef");
    assert_eq!(client.response().echo().body.as_deref(), Some("abcdef"));
}

#[test]
fn interim_answers_pass() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw(
        "/",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Next::KeepAlive,
    );
    let mut client = gateway.client();
    let response = client.request(GET);
    assert_eq!((response.status, &*response.interim), (200, &[103][..]));
    assert_eq!(client.request("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").interim.len(), 0);
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_websocket_passes_bytes_both_ways() {
    let (origin, gateway) = pair(&[]);
    origin.on("/ws", |x| x.upgrade_and_echo("websocket"));
    let mut client = gateway.client();
    client.send(UPGRADE);
    let response = client.head();
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    let frames = pattern(300_000);
    let mut sent = 0;
    for piece in frames.chunks(10_000) {
        client.send(piece);
        sent += piece.len();
        assert!(client.read_exact(piece.len()).unwrap() == piece, "up to {sent}");
    }
    let request = &origin.requests()[0];
    assert_eq!(request.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(request.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    client.shutdown_write();
    assert!(client.closed().is_empty());
    origin.wait_for("the end", |_, connections| connections[0].is_closed);
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let (origin, gateway) = pair(&[]);
    origin.on_status("/ws", 426, "not here");
    let mut client = gateway.client();
    let response = client.request(UPGRADE);
    assert_eq!((response.status, &*response.text()), (426, "not here"));
}

#[test]
fn a_client_that_leaves_ends_the_request_upstream() {
    let (origin, gateway) = pair(&[]);
    origin.hang("/hang");
    let mut client = gateway.client();
    client.send("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    drop(client);
    origin.wait_for("the end", |_, connections| connections[0].closed_by_peer);
    gateway.wait_metric("weftway_request_failures_total", &[("reason", "client_gone")], |value| {
        value == 1.0
    });
    let line = gateway.log_line("the log line", |line| line.contains("/hang"));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"], 499);
}

#[test]
fn a_client_that_leaves_during_the_answer_ends_it_upstream() {
    let (origin, gateway) = pair(&[]);
    origin.on("/endless", |x| {
        x.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            x.send("5\r\nagain\r\n")?;
        }
    });
    let mut client = gateway.client();
    client.send("GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.head().status, 200);
    drop(client);
    origin.wait_for("the end", |_, connections| connections[0].is_closed);
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let (origin, gateway) = pair(&[]);
    origin.on_raw(
        "/",
        "HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nX-Open: 1\r\nContent-Length: 0\r\n\r\n",
        Next::KeepAlive,
    );
    let mut client = gateway.client();
    let response = client.request(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: x-mine, keep-alive\r\nX-Mine: 1\r\n\
         Keep-Alive: 5\r\nTE: gzip\r\nProxy-Connection: x\r\nX-Open: 1\r\n\r\n",
    );
    for name in ["x-secret", "keep-alive"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-open"), Some("1"));
    let request = &origin.requests()[0];
    for name in ["x-mine", "keep-alive", "te", "proxy-connection"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("x-open"), Some("1"));
}

#[test]
fn the_client_is_named_to_the_origin() {
    let (_origin, gateway) = pair(&[]);
    let mut client = gateway.client();
    let echo = client.request(GET).echo();
    assert_eq!(echo.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(echo.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(echo.header("x-forwarded-proto"), Some("http"));
    assert_eq!(echo.header("x-forwarded-host"), Some("a.test"));
    assert_eq!(echo.header("x-forwarded-server"), Some(&*weft_testkit::host_name()));
}

#[test]
fn a_thousand_connections_at_once() {
    let (_origin, gateway) = pair(&[]);
    let mut clients: Vec<RawClient> = (0..1000).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        client.response().echo();
    }
    assert_eq!(gateway.metric("weftway_connections_open", &[]), 1000.0);
    drop(clients);
    gateway.wait_metric("weftway_connections_open", &[], |value| value == 0.0);
}
