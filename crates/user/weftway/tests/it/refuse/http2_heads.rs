//! What HTTP/2 can say and HTTP/1.1 cannot: heads, trailers and lengths that have no meaning, and
//! frames out of place.

use weft_testkit::{Gateway, H2Client, H2Frames, H2Request, Outcome, RawOrigin, flags, kind};

use super::{Ask, Memory, WHOLE, Wire, check_none_is_complete, get, post};
use crate::common::pair;

type Fields<'a> = &'a [(&'a str, &'a str)];

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "a.test");
const PATH: (&str, &str) = (":path", "/");

/// A head whose stream is to be refused; its neighbours go on.
fn check_refused(origin: &RawOrigin, gateway: &Gateway, what: &str, block: &[u8]) {
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, block, true);
    let outcome = frames.outcome(1);
    assert!(outcome.is_refusal(), "{what}: {outcome:?}");
    assert!(origin.requests().is_empty(), "{what} arrived");
    if !matches!(outcome, Outcome::GoAway(_)) {
        frames.headers(3, &get("/next"), true);
        assert_eq!(frames.outcome(3), Outcome::Status(200), "after {what}");
        assert_eq!(origin.requests().len(), 1, "{what}");
        origin.forget();
    }
}

/// Row: pseudo-header after regular, duplicate `:path`, and whatever else is missing or too much.
#[test]
fn pseudo_fields_stand_first_once_and_whole() {
    let (origin, gateway) = pair(&[]);
    let cases: [(&str, Fields<'_>); 15] = [
        ("path after regular", &[METHOD, SCHEME, AUTHORITY, ("x", "a"), PATH]),
        ("authority after regular", &[METHOD, SCHEME, PATH, ("x", "a"), AUTHORITY]),
        ("two paths", &[METHOD, SCHEME, AUTHORITY, PATH, (":path", "/other")]),
        ("two equal paths", &[METHOD, SCHEME, AUTHORITY, PATH, PATH]),
        ("two methods", &[METHOD, (":method", "POST"), SCHEME, AUTHORITY, PATH]),
        ("two authorities", &[METHOD, SCHEME, AUTHORITY, (":authority", "b.test"), PATH]),
        ("two schemes", &[METHOD, SCHEME, (":scheme", "https"), AUTHORITY, PATH]),
        ("an unknown one", &[METHOD, SCHEME, AUTHORITY, PATH, (":evil", "1")]),
        ("a response's", &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]),
        ("a protocol without CONNECT", &[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "x")]),
        ("no method", &[SCHEME, AUTHORITY, PATH]),
        ("no scheme", &[METHOD, AUTHORITY, PATH]),
        ("no path", &[METHOD, SCHEME, AUTHORITY]),
        ("no authority and no host", &[METHOD, SCHEME, PATH]),
        ("an odd scheme", &[METHOD, (":scheme", "ht tp"), AUTHORITY, PATH]),
    ];
    for (what, fields) in cases {
        check_refused(&origin, &gateway, what, &H2Frames::block(fields));
    }
    let cut = &get("/")[..20];
    check_refused(&origin, &gateway, "a block that is cut", cut);
    check_refused(&origin, &gateway, "an index that is not in the table", &[0xff, 0xff, 0x7f]);
}

/// Row: `:path` with space or `#`; CR and LF. What would be a request line, or two.
#[test]
fn pseudo_fields_hold_what_a_request_line_can() {
    let (origin, gateway) = pair(&[]);
    for path in
        ["", "x", "*", "http://b.test/", "/a b", "/a\tb", "/a\r\nb", "/a\0b", "/ HTTP/1.1\r\nX: y"]
    {
        check_refused(&origin, &gateway, path, &get(path));
    }
    for method in ["", "GET\r\nX: y", "GET /smuggled HTTP/1.1", "GET / HTTP/1.1\r\nX:"] {
        let block = H2Frames::request(method, "a.test", "/", &[]);
        check_refused(&origin, &gateway, method, &block);
    }
    for authority in ["a.test\r\nX: y", "a.test/x", "user@a.test"] {
        let block = H2Frames::get(authority, "/", &[]);
        check_refused(&origin, &gateway, authority, &block);
    }
}

/// As over HTTP/1.1.
#[test]
fn a_fragment_never_reaches_anybody() {
    let (origin, gateway) = pair(&[]);
    for target in ["/a#b", "/a?b#c", "/#"] {
        Wire::Http2.check_refused(&gateway, &Ask::get(target), 400);
    }
    assert!(origin.requests().is_empty());
}

/// Row: CR and LF in names and values, upper-case names, `transfer-encoding`, `connection`.
#[test]
fn heads_that_break_the_rules() {
    let (origin, gateway) = pair(&[]);
    for (name, value) in [
        ("x", "a\rb"),
        ("x", "a\nb"),
        ("x", "a\r\nHost: evil"),
        ("x", "a\0b"),
        ("x\r\ny", "a"),
        ("x:y", "a"),
        ("x y", "a"),
        ("", "a"),
        ("X-Upper", "a"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("connection", "x-forwarded-for"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        let block = H2Frames::get("a.test", "/", &[(name, value)]);
        check_refused(&origin, &gateway, &format!("{name:?}: {value:?}"), &block);
    }
}

/// Row: content-length different from DATA. The head goes upstream before the body is known to be
/// wrong; the origin sees a body that breaks off, never one with a length that is not its own.
#[test]
fn a_content_length_that_differs_from_the_data_is_refused() {
    let (origin, gateway) = pair(&[]);
    let cases: [(&str, &[&str]); 6] = [
        ("3", &["hello"]),
        ("9", &["hello"]),
        ("3", &["ab", "cd"]),
        ("3", &["ab"]),
        ("5", &[""]),
        ("0", &["hello"]),
    ];
    for (length, pieces) in cases {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &post(&[("content-length", length)]), false);
        for (index, piece) in pieces.iter().enumerate() {
            let end = if index + 1 == pieces.len() { flags::END_STREAM } else { 0 };
            frames.send(kind::DATA, end, 1, piece.as_bytes());
        }
        let outcome = frames.outcome(1);
        assert!(outcome.is_refusal(), "{length} {pieces:?}: {outcome:?}");
    }
    check_none_is_complete(&origin, &gateway, cases.len());
    for request in origin.requests() {
        let length = request.header("content-length").and_then(|text| text.parse().ok());
        assert!(length.is_some_and(|length: usize| request.body.len() < length), "{request:?}");
    }
    origin.forget();
    for length in ["5", "+0", "+3", "0, 0", "0x0", "", "18446744073709551616"] {
        let block = post(&[("content-length", length)]);
        check_refused(&origin, &gateway, &format!("a length of {length:?}"), &block);
    }
    for other in ["0", "4"] {
        let block = post(&[("content-length", "0"), ("content-length", other)]);
        check_refused(&origin, &gateway, "two lengths", &block);
    }
}

/// A POST with a piece of its body, and trailers; how it ends.
fn trailers(gateway: &Gateway, trailers: Fields<'_>) -> Outcome {
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &post(&[]), false).send(kind::DATA, 0, 1, b"hello");
    frames.headers(1, &H2Frames::block(trailers), true);
    frames.outcome(1)
}

#[test]
fn trailers_that_break_the_rules() {
    let (origin, gateway) = pair(&[]);
    let fields = [("connection", "close"), ("X-Upper", "a"), ("x", "a\r\nb"), (":path", "/evil")];
    for field in fields {
        let outcome = trailers(&gateway, &[field]);
        assert!(outcome.is_refusal(), "{field:?}: {outcome:?}");
    }
    check_none_is_complete(&origin, &gateway, fields.len());
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    let (origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    let large = vec![0; 20_000];
    let frame = H2Frames::encode;
    for (what, bytes) in [
        ("DATA for the connection", frame(kind::DATA, 0, 0, b"x")),
        ("DATA for an idle stream", frame(kind::DATA, 0, 1, b"x")),
        ("DATA for a later idle stream", frame(kind::DATA, 0, 5, b"x")),
        ("HEADERS on an even stream", frame(kind::HEADERS, WHOLE, 2, &get("/"))),
        ("CONTINUATION out of place", frame(kind::CONTINUATION, flags::END_HEADERS, 1, b"")),
        ("PUSH_PROMISE of a client", frame(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82])),
        ("SETTINGS of five bytes", frame(kind::SETTINGS, 0, 0, &[0; 5])),
        ("PING of three bytes", frame(kind::PING, 0, 0, &[0; 3])),
        ("HEADERS larger than agreed", frame(kind::HEADERS, WHOLE, 1, &large)),
        ("DATA larger than agreed", frame(kind::DATA, 0, 1, &large)),
        ("a window beyond 2^31", frame(kind::SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255])),
        ("padding beyond the frame", frame(kind::HEADERS, WHOLE | flags::PADDED, 1, &[255, 0])),
        ("a block that is no HPACK", frame(kind::HEADERS, WHOLE, 1, &[0xff; 6])),
    ] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.try_send_bytes(&bytes).expect("the connection takes frames");
        let code = frames.goaway();
        assert!(code.is_some_and(|code| code != 0), "{what}: {code:?}");
    }
    assert!(origin.connections().is_empty());
    memory.is_flat_and_others_are_served("all of them");
}

/// What a peer that is refused leaves behind is nothing.
#[test]
fn connections_and_streams_are_gone_after_an_error() {
    let (origin, gateway) = pair(&[]);
    origin.hang("/hang");
    for _ in 0..20 {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &get("/hang"), true);
        frames.send(kind::DATA, 0, 0, b"x");
        assert!(frames.goaway().is_some());
    }
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
    origin.wait_for("the ends", |_, all| all.iter().all(|connection| connection.is_closed));
    let client = H2Client::connect(gateway.web());
    client.request(H2Request::post("a.test", "/", "hello")).echo();
    drop(client);
    gateway.wait_metric("weftway_connections_open", &[], |open| open == 0.0);
}
