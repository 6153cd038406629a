//! HTTP/2 on both sides, and gRPC of all four kinds.

use weft_testkit::documents::{ingress_route, secure_ingress_route};
use weft_testkit::{
    Certificates, Gateway, H2Client, H2Origin, H2Request, Next, RawClient, RawOrigin, Reserved,
    TlsDial, decode_messages, wait,
};

use crate::common::{GET, builder};

/// Everything under `/h1` goes to the HTTP/1.1 origin, the rest to the HTTP/2 one.
fn documents() -> String {
    let routes = ingress_route(&[
        ("PathPrefix(`/h1`)", "one:80"),
        ("PathPrefix(`/nowhere`)", "nowhere:80"),
        ("PathPrefix(`/`)", "two:80"),
    ]);
    routes.replace(
        "    - name: two\n      port: 80\n",
        "    - name: two\n      port: 80\n      scheme: h2c\n",
    )
}

struct Setup {
    one: RawOrigin,
    two: H2Origin,
    gateway: Gateway,
    /// The address of `nowhere`, where nobody listens.
    _nowhere: Reserved,
}

fn setup() -> Setup {
    let (one, two, nowhere) = (RawOrigin::start("one"), H2Origin::start("two"), Reserved::any());
    let gateway = builder()
        .document("routes.yaml", &documents())
        .backend("one:80", one.addr())
        .backend("two:80", two.addr())
        .backend("nowhere:80", nowhere.addr())
        .start();
    Setup { one, two, gateway, _nowhere: nowhere }
}

#[test]
fn prior_knowledge_reaches_http1_and_http2_origins() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let echo =
        client.request(H2Request::post("a.test", "/h1/x?y=z", "abc").header("a", "b")).echo();
    assert_eq!((&*echo.backend, &*echo.version), ("one", "HTTP/1.1"));
    assert_eq!((&*echo.target, &*echo.host), ("/h1/x?y=z", "a.test"));
    assert_eq!((echo.body.as_deref(), echo.header("a")), (Some("abc"), Some("b")));
    let echo = client.request(H2Request::post("a.test", "/x?y=z", "abc").header("a", "b")).echo();
    assert_eq!((&*echo.backend, &*echo.version), ("two", "HTTP/2"));
    assert_eq!((&*echo.target, &*echo.host), ("/x?y=z", "a.test"));
    assert_eq!((echo.body.as_deref(), echo.header("a")), (Some("abc"), Some("b")));
}

#[test]
fn http1_clients_reach_http2_origins() {
    let setup = setup();
    let mut client = setup.gateway.client();
    let echo = client
        .request("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .echo();
    assert_eq!(
        (&*echo.version, &*echo.host, echo.body.as_deref()),
        ("HTTP/2", "a.test", Some("abc"))
    );
    // One upstream connection carries them all.
    for _ in 0..5 {
        client.request(GET).echo();
    }
    assert_eq!(setup.two.connections(), 1);
}

#[test]
fn alpn_chooses_http2() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["a.test"]);
    let origin = RawOrigin::start("one");
    let gateway = builder()
        .document("routes.yaml", &secure_ingress_route(&[("PathPrefix(`/`)", "one:80")]))
        .backend("one:80", origin.addr())
        .certificate(&leaf)
        .start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let client = H2Client::connect_tls(gateway.websecure(), &dial);
    let echo = client.get("a.test", "/x").echo();
    assert_eq!((&*echo.target, echo.header("x-forwarded-proto")), ("/x", Some("https")));
    let mut client = RawClient::connect_tls(gateway.websecure(), &dial);
    assert_eq!(client.tls_facts().1.as_deref(), Some("http/1.1"));
    client.request(GET).echo();
}

#[test]
fn grpc_of_all_four_kinds_with_trailers() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    for (method, sent, expected) in [
        ("Unary", vec!["a"], vec!["a"]),
        ("ServerStream", vec!["a"], vec!["a 1", "a 2", "a 3"]),
        ("ClientStream", vec!["a", "b", "c"], vec!["a,b,c"]),
        ("Bidi", vec!["a", "b"], vec!["a", "b"]),
    ] {
        let reply = client.grpc("a.test", &format!("/weft.test.Echo/{method}"), &sent);
        assert_eq!((reply.http_status, reply.status), (200, Some(0)), "{method}");
        assert!(reply.has_trailers, "{method}");
        let expected: Vec<Vec<u8>> = expected.into_iter().map(Into::into).collect();
        assert_eq!(reply.messages, expected, "{method}");
    }
    let reply = client.grpc("a.test", "/weft.test.Echo/Fail", &[]);
    assert_eq!((reply.status, &*reply.message), (Some(7), "not%20today"));
}

#[test]
fn a_bidirectional_stream_is_not_held_back() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let mut stream = client.open(H2Request::grpc("a.test", "/weft.test.Echo/Bidi"));
    // Each answer is read before the next message is sent.
    for message in ["one", "two", "three"] {
        stream.send_message(message);
        assert_eq!(stream.messages(1), [message.as_bytes()]);
    }
    stream.end();
    assert!(stream.data().is_none());
    assert_eq!(stream.trailers()["grpc-status"], "0");
}

#[test]
fn grpc_callers_get_a_grpc_status_for_our_own_errors() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let reply = client.grpc("a.test", "/nowhere", &["a"]);
    assert_eq!((reply.http_status, reply.status), (200, Some(14)));
    assert!(!reply.message.contains("127.0.0.1"), "{}", reply.message);
}

#[test]
fn trailers_pass_between_versions() {
    let setup = setup();
    setup.one.on("/h1/trailers", |x| {
        x.read_body()?;
        x.send(
            "HTTP/1.1 200 OK\r\nTrailer: sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\nsum: 42\r\n\r\n",
        )?;
        Ok(Next::KeepAlive)
    });
    let client = H2Client::connect(setup.gateway.web());
    let request = H2Request::post("a.test", "/h1/trailers", "body").header("te", "trailers");
    let response = client.request(request.trailer("check", "7"));
    assert_eq!(response.trailers["sum"], "42");
    assert_eq!(setup.one.requests()[0].trailers, [("check".to_owned(), "7".to_owned())]);
}

#[test]
fn cookie_crumbs_become_one_field_for_http1() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let request = H2Request::get("a.test", "/h1").header("cookie", "a=1").header("cookie", "b=2");
    let echo = client.request(request).echo();
    assert_eq!(echo.headers_named("cookie").collect::<Vec<_>>(), ["a=1; b=2"]);
}

#[test]
fn head_and_bodiless_answers_end_with_their_head() {
    let setup = setup();
    setup.one.on_raw(
        "/h1/head",
        "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        Next::KeepAlive,
    );
    setup.one.on_raw("/h1/204", "HTTP/1.1 204 No Content\r\n\r\n", Next::KeepAlive);
    let client = H2Client::connect(setup.gateway.web());
    let response = client.request(H2Request::new("HEAD", "a.test", "/h1/head"));
    assert_eq!((response.header("content-length"), response.body.len()), (Some("1234"), 0));
    assert_eq!(client.get("a.test", "/h1/204").status, 204);
    assert_eq!(client.get("a.test", "/status/304").status, 304);
}

#[test]
fn two_hundred_streams_at_once() {
    let setup = setup();
    let gate = setup.one.hold("/h1/slow");
    let client = H2Client::connect(setup.gateway.web());
    let mut streams: Vec<_> = (0..200)
        .map(|index| {
            let mut stream = client.open(H2Request::get("a.test", &format!("/h1/slow?{index}")));
            stream.end();
            stream
        })
        .collect();
    setup.one.wait_for("all requests", |requests, _| requests.len() == 200);
    gate.open();
    for (index, stream) in streams.iter_mut().enumerate() {
        let echo = stream.try_finish().unwrap().echo();
        assert_eq!(echo.target, format!("/h1/slow?{index}"));
    }
}

#[test]
fn a_slow_reader_holds_the_origin_back_and_not_memory() {
    let setup = setup();
    setup.one.on("/h1/big", |x| {
        x.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 32 << 20))?;
        for _ in 0..(32 << 20) / (64 << 10) {
            x.send(vec![b'x'; 64 << 10])?;
        }
        Ok(Next::KeepAlive)
    });
    let before = setup.gateway.memory_bytes();
    let client = H2Client::connect(setup.gateway.web());
    let mut stream = client.open(H2Request::get("a.test", "/h1/big"));
    stream.end();
    assert_eq!(stream.head().0, 200);
    // Others go on while this one is stuck.
    for _ in 0..20 {
        assert_eq!(client.get("a.test", "/h1").echo().backend, "one");
    }
    let held = setup.gateway.memory_bytes().saturating_sub(before);
    assert!(held < 16 << 20, "{held} bytes are held");
    let mut length = 0;
    while let Some(data) = stream.data() {
        length += data.len();
    }
    assert_eq!(length, 32 << 20);
}

#[test]
fn an_origin_that_does_not_read_holds_the_client_back() {
    let setup = setup();
    let gate = setup.one.hold("/h1/slow");
    let before = setup.gateway.memory_bytes();
    let client = H2Client::connect(setup.gateway.web());
    let mut request = H2Request::post("a.test", "/h1/slow", vec![b'x'; 8 << 20]);
    request = request.header("x", "y");
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| client.request(request).echo());
        setup.one.wait_for("the request", |requests, _| requests.len() == 1);
        let held = setup.gateway.memory_bytes().saturating_sub(before);
        assert!(held < 16 << 20, "{held} bytes are held");
        gate.open();
        assert_eq!(sending.join().unwrap().body_bytes, 8 << 20);
    });
}

#[test]
fn a_stream_that_is_reset_ends_the_request_upstream() {
    let setup = setup();
    setup.one.hang("/h1/hang");
    let client = H2Client::connect(setup.gateway.web());
    let mut stream = client.open(H2Request::get("a.test", "/h1/hang"));
    stream.end();
    setup.one.wait_for("the request", |requests, _| requests.len() == 1);
    stream.reset();
    setup.one.wait_for("the end", |_, connections| connections[0].closed_by_peer);

    let stream = client.open(H2Request::grpc("a.test", "/weft.test.Echo/Hang"));
    setup.two.wait_for("the call", |streams| streams.len() == 1);
    stream.reset();
    setup.two.wait_for("the reset", |streams| streams[0].is_reset);
    // The connection, and the one upstream, serve on.
    assert_eq!(client.get("a.test", "/").echo().backend, "two");
    assert_eq!(setup.two.connections(), 1);
}

#[test]
fn a_reset_by_the_origin_is_an_error_for_the_client() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    assert_eq!(client.get("a.test", "/reset").status, 502);
    assert_eq!(client.get("a.test", "/").echo().backend, "two");
}

#[test]
fn a_body_that_breaks_off_resets_the_stream() {
    let setup = setup();
    setup.one.on_raw("/h1/half", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Next::Close);
    let client = H2Client::connect(setup.gateway.web());
    assert!(client.try_request(H2Request::get("a.test", "/h1/half")).is_err());
    assert_eq!(client.get("a.test", "/h1").status, 200);
}

#[test]
fn goaway_lets_what_runs_finish() {
    let mut setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let mut stream = client.open(H2Request::grpc("a.test", "/weft.test.Echo/Bidi"));
    stream.send_message("before");
    assert_eq!(stream.messages(1), [b"before"]);
    setup.gateway.terminate();
    wait::until_true("GOAWAY", || client.is_refusing());
    stream.send_message("after");
    assert_eq!(stream.messages(1), [b"after"]);
    stream.end();
    assert!(stream.data().is_none());
    assert_eq!(stream.trailers()["grpc-status"], "0");
    assert!(setup.gateway.exit().success());
    wait::until("the end of the connection", || client.ended());
    assert_eq!(client.ended(), Some(None));
}

#[test]
fn a_goaway_of_the_origin_costs_no_request() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    for round in 0..20 {
        assert_eq!(client.get("a.test", "/").echo().backend, "two", "{round}");
        setup.two.shut_down_connections();
    }
    assert!(setup.two.connections() > 1);
}

#[test]
fn messages_cut_anywhere_are_whole_again() {
    let setup = setup();
    let client = H2Client::connect(setup.gateway.web());
    let mut stream = client.open(H2Request::grpc("a.test", "/weft.test.Echo/Bidi"));
    let message = weft_testkit::encode_message("x".repeat(50_000));
    for piece in message.chunks(777) {
        stream.send(piece, false);
    }
    stream.end();
    let mut body = Vec::new();
    while let Some(data) = stream.data() {
        body.extend_from_slice(&data);
    }
    assert_eq!(decode_messages(&mut body), [vec![b'x'; 50_000]]);
}
