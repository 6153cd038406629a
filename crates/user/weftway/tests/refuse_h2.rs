//! The edges of what is refused over HTTP/2: lengths, trailers, tunnels, and floods that are slow
//! or that we are made to answer. The plain cases are in `refuse_http2.rs`.

use weft_testkit::documents::ingress_route;
use weft_testkit::{
    ConnectionLog, Gateway, GatewayBuilder, H2Client, H2Frames, H2Request, Next, Outcome,
    RawOrigin, flags, kind, wait,
};

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
const CALM: u32 = 11;

/// More than this a gateway that keeps its bounds does not grow by, whatever one peer does.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

fn builder(origin: &RawOrigin) -> GatewayBuilder {
    Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
}

fn pair() -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = builder(&origin).start();
    (origin, gateway)
}

fn limit(gateway: &Gateway, name: &str) -> f64 {
    gateway.metric("weftway_limit_reached_total", &[("limit", name)])
}

/// The peer may see the end of its connection before it is counted.
fn wait_limit(gateway: &Gateway, name: &str, count: f64) {
    gateway.wait_metric("weftway_limit_reached_total", &[("limit", name)], |n| n >= count);
}

/// The pseudo-fields of a POST, then `more`.
fn post<'a>(more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let pseudo =
        [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    H2Frames::block(&[&pseudo[..], more].concat())
}

/// Each block is refused on a connection of its own, and the origin sees nothing.
fn check_blocks_refused(blocks: &[(&str, Vec<u8>)]) {
    let (origin, gateway) = pair();
    for (what, block) in blocks {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, block, true);
        let outcome = frames.outcome(1);
        assert!(outcome.is_refusal(), "{what}: {outcome:?}");
        // An error of the stream only: its neighbours go on.
        if !matches!(outcome, Outcome::GoAway(_)) {
            frames.headers(3, &H2Frames::get("a.test", "/next", &[]), true);
            assert_eq!(frames.outcome(3), Outcome::Status(200), "after {what}");
        }
    }
    assert!(origin.requests().iter().all(|request| request.target == "/next"));
}

#[test]
fn pseudo_fields_stand_first_once_and_whole() {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const AUTHORITY: (&str, &str) = (":authority", "a.test");
    const PATH: (&str, &str) = (":path", "/");
    let block = |fields: &[(&str, &str)]| H2Frames::block(fields);
    check_blocks_refused(&[
        ("pseudo after regular", block(&[METHOD, SCHEME, AUTHORITY, ("x", "a"), PATH])),
        ("authority after regular", block(&[METHOD, SCHEME, PATH, ("x", "a"), AUTHORITY])),
        ("two paths", block(&[METHOD, SCHEME, AUTHORITY, PATH, (":path", "/other")])),
        ("two equal paths", block(&[METHOD, SCHEME, AUTHORITY, PATH, PATH])),
        ("two methods", block(&[METHOD, (":method", "POST"), SCHEME, AUTHORITY, PATH])),
        ("two authorities", block(&[METHOD, SCHEME, AUTHORITY, (":authority", "b.test"), PATH])),
        ("two schemes", block(&[METHOD, SCHEME, (":scheme", "https"), AUTHORITY, PATH])),
        ("unknown pseudo", block(&[METHOD, SCHEME, AUTHORITY, PATH, (":evil", "1")])),
        ("status in a request", block(&[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")])),
        ("protocol without CONNECT", block(&[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "x")])),
        ("no method", block(&[SCHEME, AUTHORITY, PATH])),
        ("no scheme", block(&[METHOD, AUTHORITY, PATH])),
        ("no path", block(&[METHOD, SCHEME, AUTHORITY])),
        ("no authority and no host", block(&[METHOD, SCHEME, PATH])),
        ("empty path", block(&[METHOD, SCHEME, AUTHORITY, (":path", "")])),
        ("path without a slash", block(&[METHOD, SCHEME, AUTHORITY, (":path", "x")])),
        ("absolute path", block(&[METHOD, SCHEME, AUTHORITY, (":path", "http://b.test/")])),
        ("asterisk for GET", block(&[METHOD, SCHEME, AUTHORITY, (":path", "*")])),
        ("space in the path", block(&[METHOD, SCHEME, AUTHORITY, (":path", "/a b")])),
        (
            "request line in the path",
            block(&[METHOD, SCHEME, AUTHORITY, (":path", "/ HTTP/1.1\r\nX: y")]),
        ),
        ("tab in the path", block(&[METHOD, SCHEME, AUTHORITY, (":path", "/a\tb")])),
        ("CR LF in the path", block(&[METHOD, SCHEME, AUTHORITY, (":path", "/a\r\nb")])),
        ("NUL in the path", block(&[METHOD, SCHEME, AUTHORITY, (":path", "/a\0b")])),
        ("CR LF in the method", block(&[(":method", "GET\r\nX: y"), SCHEME, AUTHORITY, PATH])),
        (
            "space in the method",
            block(&[(":method", "GET /smuggled HTTP/1.1"), SCHEME, AUTHORITY, PATH]),
        ),
        ("empty method", block(&[(":method", ""), SCHEME, AUTHORITY, PATH])),
        (
            "CR LF in the authority",
            block(&[METHOD, SCHEME, (":authority", "a.test\r\nX: y"), PATH]),
        ),
        ("path in the authority", block(&[METHOD, SCHEME, (":authority", "a.test/x"), PATH])),
        ("odd scheme", block(&[METHOD, (":scheme", "ht tp"), AUTHORITY, PATH])),
        ("cut block", H2Frames::get("a.test", "/", &[("x", "a")])[..20].to_vec()),
        ("index out of the table", vec![0xff, 0xff, 0x7f]),
    ]);
}

/// The head goes upstream before the body is known to be wrong; the origin sees a body that breaks
/// off, never one with a length that is not its own.
#[test]
fn a_content_length_that_differs_from_the_data_is_refused() {
    let (origin, gateway) = pair();
    for (what, length, data) in [
        ("more data", "3", &b"hello"[..]),
        ("less data", "9", b"hello"),
        ("no data", "5", b""),
        ("data beyond none", "0", b"hello"),
    ] {
        let before = origin.requests().len();
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &post(&[("content-length", length)]), false);
        frames.send(kind::DATA, flags::END_STREAM, 1, data);
        let outcome = frames.outcome(1);
        assert!(outcome.is_refusal(), "{what}: {outcome:?}");
        drop(frames);
        for request in origin.requests().split_off(before) {
            let log = |all: &[ConnectionLog]| all[request.connection].clone();
            origin.wait_for("the end", |_, all| log(all).is_closed);
            assert!(log(&origin.connections()).closed_by_peer, "{what}");
            assert!(!request.body_raw.ends_with(b"hello"), "{what}: {request:?}");
        }
    }
    check_blocks_refused(&[
        ("a length but no body", post(&[("content-length", "5")])),
        ("two lengths", post(&[("content-length", "0"), ("content-length", "0")])),
        ("a list", post(&[("content-length", "0, 0")])),
        ("a sign", post(&[("content-length", "+0")])),
        ("hexadecimal", post(&[("content-length", "0x0")])),
        ("empty", post(&[("content-length", "")])),
        ("huge", post(&[("content-length", "18446744073709551616")])),
    ]);
}

#[test]
fn trailers_over_http2_cannot_say_what_only_a_head_may() {
    let (origin, gateway) = pair();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &post(&[]), false).send(kind::DATA, 0, 1, b"hello");
    let trailers =
        [("host", "b.test"), ("content-length", "9"), ("authorization", "x"), ("kept", "yes")];
    frames.headers(1, &H2Frames::block(&trailers), true);
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.trailers, [("kept".to_owned(), "yes".to_owned())]);
    assert_eq!(request.body, b"hello");

    // A pseudo-field among trailers is lost in the `h2` crate, so it cannot be refused; it says
    // nothing to anybody.
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &post(&[]), false).send(kind::DATA, 0, 1, b"hello");
    frames.headers(1, &H2Frames::block(&[(":path", "/other"), ("kept", "yes")]), true);
    frames.outcome(1);
    let request = origin.requests().pop().unwrap();
    assert_eq!((&*request.target, request.trailers.len()), ("/", 1));

    for (what, block) in [
        ("CR LF", H2Frames::block(&[("x", "a\r\nb")])),
        ("upper case", H2Frames::block(&[("X", "a")])),
    ] {
        let before = origin.requests().len();
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &post(&[]), false).send(kind::DATA, 0, 1, b"hello");
        frames.headers(1, &block, true);
        let outcome = frames.outcome(1);
        assert!(outcome.is_refusal(), "{what}: {outcome:?}");
        drop(frames);
        for request in origin.requests().split_off(before) {
            origin.wait_for("the end", |_, all| all[request.connection].is_closed);
            let raw = &origin.connections()[request.connection].bytes;
            assert!(!raw.ends_with(b"0\r\n\r\n"), "{what} looks complete");
        }
    }
}

/// CONNECT opens no tunnel, and an extended one (RFC 8441) was not offered.
#[test]
fn connect_over_http2_opens_nothing() {
    let (origin, gateway) = pair();
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
        match frames.outcome(1) {
            Outcome::Status(status) => assert_eq!(status, 501),
            other => assert!(other.is_refusal(), "{other:?}"),
        }
    }
    assert!(origin.connections().is_empty());
}

/// The same at a pace at which each request reaches the origin before it is reset.
#[test]
fn resets_are_counted_however_late_they_come() {
    let origin = RawOrigin::start("echo");
    origin.on("/hang", |x| x.wait_for_close());
    let gateway = builder(&origin).args(&["--h2-resets-max", "5"]).start();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    for index in 0..6_usize {
        let stream = 2 * index as u32 + 1;
        frames.headers(stream, &H2Frames::get("a.test", "/hang", &[]), true);
        origin.wait_for("the request", |requests, _| requests.len() > index);
        frames.send(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }
    assert_eq!(frames.goaway(), Some(CALM));
    wait_limit(&gateway, "h2_resets", 1.0);
    origin.wait_for("the ends", |_, all| all.iter().all(|connection| connection.is_closed));
}

/// CVE-2025-8671: frames that make the server reset its own streams.
#[test]
fn made_you_reset_ends_the_connection() {
    let origin = RawOrigin::start("echo");
    origin.on("/hang", |x| x.wait_for_close());
    let gateway = builder(&origin).args(&["--h2-resets-max", "20"]).start();
    let open = |stream: u32, end: u8| {
        H2Frames::encode(
            kind::HEADERS,
            flags::END_HEADERS | end,
            stream,
            &H2Frames::get("a.test", "/hang", &[]),
        )
    };
    type Attack<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let attacks: [(&str, Attack<'_>); 5] = [
        ("WINDOW_UPDATE of 0", &|stream| {
            [open(stream, 1), H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
        }),
        ("WINDOW_UPDATE beyond the window", &|stream| {
            let most =
                H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
            [open(stream, 1), most.clone(), most].concat()
        }),
        ("DATA on a half-closed stream", &|stream| {
            [open(stream, 1), H2Frames::encode(kind::DATA, 0, stream, b"x")].concat()
        }),
        ("PRIORITY on itself", &|stream| {
            let mut priority = stream.to_be_bytes().to_vec();
            priority.push(1);
            [open(stream, 1), H2Frames::encode(kind::PRIORITY, 0, stream, &priority)].concat()
        }),
        ("DATA beyond its length", &|stream| {
            let block = post(&[("content-length", "1")]);
            [
                H2Frames::encode(kind::HEADERS, flags::END_HEADERS, stream, &block),
                H2Frames::encode(kind::DATA, 0, stream, b"hello"),
            ]
            .concat()
        }),
    ];
    for (what, attack) in attacks {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        for index in 0..1_000_u32 {
            if frames.try_send_bytes(&attack(2 * index + 1)).is_err() {
                break;
            }
        }
        let code = frames.goaway();
        // Some of these the library holds for errors of the connection at once, which is stricter.
        assert!(code.is_some_and(|code| code != 0), "{what}: {code:?}");
    }
    assert!(origin.connections().len() < 500, "{} connections", origin.connections().len());
    wait_limit(&gateway, "h2_resets", 1.0);
    assert_eq!(gateway.get("a.test", "/").status, 200);
}

/// The floods of 2019 (CVE-2019-9512, 9513, 9515, 9518): frames that cost an answer or an effort
/// each. The peer does not read, so answers pile up.
#[test]
fn floods_of_control_frames_are_bounded() {
    let (_origin, gateway) = pair();
    let memory = gateway.memory_bytes();
    let window = [0, 0, 0, 1];
    let floods: [(&str, Vec<u8>); 5] = [
        ("SETTINGS", H2Frames::encode(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("PING", H2Frames::encode(kind::PING, 0, 0, b"12345678")),
        ("PRIORITY", H2Frames::encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("WINDOW_UPDATE", H2Frames::encode(kind::WINDOW_UPDATE, 0, 0, &window)),
        ("an unknown kind", H2Frames::encode(0x42, 0, 0, b"1234")),
    ];
    for (what, frame) in floods {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        let flood = frame.repeat(500);
        let _ = (0..60).any(|_| frames.try_send_bytes(&flood).is_err());
        assert!(gateway.memory_bytes() < memory + GROWTH_BYTES_MAX, "{what}");
        // Whoever floods may be cut off or not; others are served meanwhile.
        assert_eq!(gateway.get("a.test", "/").status, 200, "{what}");
    }
}

/// The "HTTP/2 bomb" of 2026: fields of a byte each, by reference to the table; counted by what
/// they take, not by what they weigh on the wire.
#[test]
fn many_tiny_fields_count_for_what_they_take() {
    let (origin, gateway) = pair();
    let memory = gateway.memory_bytes();
    for name in ["x", "cookie"] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        let mut block = H2Frames::get("a.test", "/", &[]);
        // A literal with incremental indexing, then references to it: index 62 is the newest.
        block.push(0x40);
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.extend_from_slice(b"\x01y");
        block.resize(16_000, 0x80 | 62);
        // As an attacker does: the windows are kept shut, and streams are opened one by one.
        for index in 0..100_u32 {
            let _ = frames.try_send(kind::HEADERS, 5, 2 * index + 1, &block);
            if index == 0 {
                let outcome = frames.outcome(1);
                assert!(outcome.is_refusal(), "{name}: {outcome:?}");
            }
        }
        let grown = gateway.memory_bytes().saturating_sub(memory);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes for {name}");
    }
    assert!(origin.connections().is_empty());
    // A head that is within HTTP/2's own bound, but has too many lines for ours.
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("x-{n}"), "y".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &H2Frames::get("a.test", "/", &many), true);
    assert_eq!(frames.outcome(1), Outcome::Status(431));
    let crumbs = vec![("cookie", "a=b"); 200];
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &H2Frames::get("a.test", "/", &crumbs), true);
    assert_eq!(frames.outcome(1), Outcome::Status(431));
    wait_limit(&gateway, "head_fields", 2.0);
    assert!(origin.connections().is_empty());
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    let (origin, gateway) = pair();
    let large = vec![0; 20_000];
    for (what, frame) in [
        ("DATA for the connection", H2Frames::encode(kind::DATA, 0, 0, b"x")),
        ("DATA for an idle stream", H2Frames::encode(kind::DATA, 0, 1, b"x")),
        (
            "HEADERS on an even stream",
            H2Frames::encode(kind::HEADERS, 5, 2, &H2Frames::get("a.test", "/", &[])),
        ),
        ("CONTINUATION out of place", H2Frames::encode(kind::CONTINUATION, 4, 1, b"")),
        ("PUSH_PROMISE of a client", H2Frames::encode(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])),
        ("SETTINGS of five bytes", H2Frames::encode(kind::SETTINGS, 0, 0, &[0; 5])),
        ("PING of three bytes", H2Frames::encode(kind::PING, 0, 0, &[0; 3])),
        ("a frame larger than agreed", H2Frames::encode(kind::HEADERS, 5, 1, &large)),
        (
            "a window beyond 2^31",
            H2Frames::encode(kind::SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255]),
        ),
        (
            "padding beyond the frame",
            H2Frames::encode(kind::HEADERS, 5 | flags::PADDED, 1, &[255, 0]),
        ),
    ] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.send(
            frame[3],
            frame[4],
            u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]),
            &frame[9..],
        );
        assert!(frames.goaway().is_some_and(|code| code != 0), "{what}");
    }
    assert!(origin.connections().is_empty());
}

/// What a peer that is refused leaves behind is nothing.
#[test]
fn connections_and_streams_are_gone_after_all_that() {
    let (origin, gateway) = pair();
    origin.on("/hang", |x| x.wait_for_close());
    for _ in 0..20 {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &H2Frames::get("a.test", "/hang", &[]), true);
        frames.send(kind::DATA, 0, 0, b"x");
        assert!(frames.goaway().is_some());
    }
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
    origin.wait_for("the ends", |_, all| all.iter().all(|connection| connection.is_closed));
    let client = H2Client::connect(gateway.web());
    client.request(H2Request::post("a.test", "/", "hello")).echo();
    drop(client);
    wait::until_true("the last end", || gateway.metric("weftway_connections_open", &[]) == 0.0);
}

/// A reader whose window stays shut is given up like one that does not read at all.
#[test]
fn a_window_that_stays_shut_is_given_up() {
    let origin = RawOrigin::start("echo");
    origin.on("/large", |x| {
        x.respond(200, &[], vec![b'x'; 8 << 20])?;
        Ok(Next::KeepAlive)
    });
    let gateway = builder(&origin).args(&["--body-idle-timeout", "300ms"]).start();
    let mut frames = H2Frames::connect(gateway.web(), &[(4, 0)]);
    frames.headers(1, &H2Frames::get("a.test", "/large", &[]), true);
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    let frame = frames.until(|frame| frame.kind == kind::RST_STREAM).expect("a reset");
    assert_eq!(frame.stream, 1);
    origin.wait_for("the end", |_, all| all[0].is_closed);
    wait_limit(&gateway, "body_idle_timeout", 1.0);
    // Its connection is as good as before.
    frames.send(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]);
    frames.headers(3, &H2Frames::get("a.test", "/", &[]), true);
    assert_eq!(frames.outcome(3), Outcome::Status(200));
}

/// A head that begins and does not go on; a preface that does not. All at once, because each is
/// given some seconds to end in order.
#[test]
fn heads_and_prefaces_that_stall_end() {
    let origin = RawOrigin::start("echo");
    let timeouts = ["--idle-timeout", "--head-timeout", "--handshake-timeout"];
    let arguments: Vec<&str> = timeouts.iter().flat_map(|name| [*name, "300ms"]).collect();
    let gateway = builder(&origin).args(&arguments).start();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &H2Frames::get("a.test", "/first", &[]), true);
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    frames.send(kind::HEADERS, 0, 3, &H2Frames::get("a.test", "/second", &[])[..20]);
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

/// Heads of requests that wait are memory too.
#[test]
fn the_memory_of_a_connection_is_bounded() {
    let origin = RawOrigin::start("echo");
    origin.on("/hang", |x| x.wait_for_close());
    let gateway = builder(&origin).args(&["--connection-memory-bytes-max", "65536"]).start();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let long = "v".repeat(12_000);
    for index in 0..40_u32 {
        let block = H2Frames::get("a.test", "/hang", &[("x-long", &long)]);
        frames.headers(2 * index + 1, &block, true);
    }
    // The last one is refused, in a way that lets the client send it again.
    let outcome = frames.outcome(79);
    assert!(matches!(outcome, Outcome::Reset(7 | CALM) | Outcome::GoAway(CALM)), "{outcome:?}");
    wait_limit(&gateway, "connection_memory_bytes", 1.0);
    assert!(origin.requests().len() < 40, "{} requests", origin.requests().len());
}

#[test]
fn reaching_the_bound_of_streams_is_counted() {
    let origin = RawOrigin::start("echo");
    origin.on("/hang", |x| x.wait_for_close());
    let gateway = builder(&origin).args(&["--h2-streams-max", "3"]).start();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    for stream in [1, 3] {
        frames.headers(stream, &H2Frames::get("a.test", "/hang", &[]), true);
    }
    origin.wait_for("two requests", |requests, _| requests.len() == 2);
    assert_eq!(limit(&gateway, "h2_streams"), 0.0);
    frames.headers(5, &H2Frames::get("a.test", "/hang", &[]), true);
    frames.headers(7, &H2Frames::get("a.test", "/hang", &[]), true);
    assert_eq!(frames.outcome(7), Outcome::Reset(7));
    gateway.wait_metric("weftway_limit_reached_total", &[("limit", "h2_streams")], |n| n == 1.0);
}
