//! What is refused over HTTP/2: heads that break the rules, and floods. Frames are written by hand,
//! because no library sends them.

use weft_testkit::documents::ingress_route;
use weft_testkit::{Gateway, H2Frames, Outcome, RawOrigin, flags, kind};

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

impl Setup {
    fn frames(&self) -> H2Frames {
        H2Frames::connect(self.gateway.web(), &[])
    }

    /// A good request on a connection of its own still works, and memory has stayed small.
    fn is_well(&self, before: u64) {
        assert_eq!(self.gateway.get("a.test", "/well").status, 200);
        let grown = self.gateway.memory_bytes().saturating_sub(before);
        assert!(grown < 32 << 20, "memory grew by {grown} bytes");
    }
}

const CALM: u32 = 0xb;

/// The pseudo-fields of a good GET.
const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];

fn ask_with(more: &[(&str, &str)]) -> Vec<(String, String)> {
    GET.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn block(fields: &[(String, String)]) -> Vec<u8> {
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    H2Frames::block(&fields)
}

/// A good GET in which one pseudo-field has another value.
fn ask_but(name: &str, value: &str) -> Vec<(String, String)> {
    let mut fields = ask_with(&[]);
    for field in &mut fields {
        if field.0 == name {
            field.1 = value.into();
        }
    }
    fields
}

#[test]
fn heads_that_break_the_rules() {
    let setup = setup();
    let without = |name: &str| -> Vec<(String, String)> {
        ask_with(&[]).into_iter().filter(|(have, _)| have != name).collect()
    };
    let mut after_regular = ask_with(&[("x", "y")]);
    after_regular.swap(3, 4);
    let cases: Vec<(&str, Vec<(String, String)>)> = vec![
        ("CR in a value", ask_with(&[("x", "a\rb")])),
        ("LF in a value", ask_with(&[("x", "a\nb")])),
        ("CRLF in a value", ask_with(&[("x", "a\r\nHost: evil")])),
        ("NUL in a value", ask_with(&[("x", "a\0b")])),
        ("CRLF in a name", ask_with(&[("x\r\ny", "a")])),
        ("a colon in a name", ask_with(&[("x:y", "a")])),
        ("a space in a name", ask_with(&[("x y", "a")])),
        ("an empty name", ask_with(&[("", "a")])),
        ("an upper-case name", ask_with(&[("X-Upper", "a")])),
        ("transfer-encoding", ask_with(&[("transfer-encoding", "chunked")])),
        ("connection", ask_with(&[("connection", "close")])),
        ("keep-alive", ask_with(&[("keep-alive", "5")])),
        ("proxy-connection", ask_with(&[("proxy-connection", "x")])),
        ("upgrade", ask_with(&[("upgrade", "websocket")])),
        ("te other than trailers", ask_with(&[("te", "gzip")])),
        ("a space in the path", ask_but(":path", "/a b")),
        ("a CR in the path", ask_but(":path", "/a\r\nX: y")),
        ("an empty path", ask_but(":path", "")),
        ("a path without a slash", ask_but(":path", "a")),
        ("an asterisk for GET", ask_but(":path", "*")),
        ("a method with a space", ask_but(":method", "GET / HTTP/1.1\r\nX:")),
        ("an empty method", ask_but(":method", "")),
        ("user information", ask_but(":authority", "user@a.test")),
        ("a path in the authority", ask_but(":authority", "a.test/x")),
        ("another host", ask_with(&[("host", "b.test")])),
        ("two hosts", ask_with(&[("host", "a.test"), ("host", "b.test")])),
        ("a length that is none", ask_with(&[("content-length", "+3")])),
        ("two lengths", ask_with(&[("content-length", "3"), ("content-length", "4")])),
        ("a length without a body", ask_with(&[("content-length", "3")])),
        ("a pseudo-field after a regular one", after_regular),
        ("two paths", ask_with(&[(":path", "/b")])),
        ("two methods", ask_with(&[(":method", "POST")])),
        ("two authorities", ask_with(&[(":authority", "b.test")])),
        ("an unknown pseudo-field", ask_with(&[(":x", "y")])),
        ("a response's pseudo-field", ask_with(&[(":status", "200")])),
        ("no path", without(":path")),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no authority", without(":authority")),
    ];
    for (what, fields) in cases {
        let mut frames = setup.frames();
        frames.headers(1, &block(&fields), true);
        let outcome = frames.outcome(1);
        assert!(outcome.is_refusal(), "{what}: {outcome:?}");
        assert_eq!(setup.origin.requests().len(), 0, "{what} arrived");
        if !matches!(outcome, Outcome::GoAway(_)) {
            // Only the stream was in error.
            frames.headers(3, &H2Frames::get("a.test", "/good", &[]), true);
            assert_eq!(frames.outcome(3), Outcome::Status(200), "after {what}");
            setup.origin.wait_for("the good one", |requests, _| !requests.is_empty());
            return_to_zero(&setup);
        }
    }
}

#[test]
fn a_fragment_never_reaches_anybody() {
    let setup = setup();
    let mut frames = setup.frames();
    frames.headers(1, &block(&ask_but(":path", "/a#b")), true);
    // The library that reads the head takes it off before anything is decided, so there is one view.
    let outcome = frames.outcome(1);
    assert!(outcome == Outcome::Status(200) || outcome.is_refusal(), "{outcome:?}");
    assert!(setup.origin.requests().iter().all(|request| request.target == "/a"));
}

/// The origin's record is of the good requests only.
fn return_to_zero(setup: &Setup) {
    assert!(setup.origin.requests().iter().all(|request| request.target == "/good"));
    setup.origin.forget();
}

#[test]
fn bodies_that_differ_from_their_length() {
    let setup = setup();
    let post = |length: &str| {
        let mut fields = ask_but(":method", "POST");
        fields.push(("content-length".into(), length.into()));
        block(&fields)
    };
    for (length, pieces) in
        [("3", vec!["abcd"]), ("3", vec!["ab"]), ("3", vec!["ab", "cd"]), ("0", vec!["a"])]
    {
        let mut frames = setup.frames();
        frames.headers(1, &post(length), false);
        for (index, piece) in pieces.iter().enumerate() {
            let end = if index + 1 == pieces.len() { flags::END_STREAM } else { 0 };
            let _ = frames.try_send(kind::DATA, end, 1, piece.as_bytes());
        }
        let outcome = frames.outcome(1);
        assert!(outcome.is_refusal(), "{length} {pieces:?}: {outcome:?}");
        // If anything arrived, it was never completed.
        setup.origin.wait_for("the end upstream", |_, connections| {
            connections.iter().all(|connection| connection.is_closed)
        });
        assert!(setup.origin.connections().iter().all(|connection| connection.closed_by_peer));
    }
}

#[test]
fn trailers_that_break_the_rules() {
    let setup = setup();
    for fields in [
        &[(":path", "/evil")][..],
        &[("connection", "close")],
        &[("X-Upper", "a")],
        &[("x", "a\r\nb")],
    ] {
        let mut frames = setup.frames();
        frames.headers(1, &block(&ask_but(":method", "POST")), false);
        frames.send(kind::DATA, 0, 1, b"x");
        frames.headers(1, &H2Frames::block(fields), true);
        let outcome = frames.outcome(1);
        // The library that reads them drops pseudo-fields; then nobody sees them.
        let is_dropped = outcome == Outcome::Status(200) && fields[0].0.starts_with(':');
        assert!(outcome.is_refusal() || is_dropped, "{fields:?}: {outcome:?}");
    }
    assert!(setup.origin.requests().iter().all(|request| request.trailers.is_empty()));
    assert!(setup.origin.requests().iter().all(|request| request.target == "/"));
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let setup = setup();
    let before = setup.gateway.memory_bytes();
    let attacks: [(&str, Vec<u8>); 8] = [
        ("data on stream 0", H2Frames::encode(kind::DATA, 0, 0, b"x")),
        ("data on an idle stream", H2Frames::encode(kind::DATA, 0, 5, b"x")),
        (
            "an even stream",
            H2Frames::encode(kind::HEADERS, 5, 2, &H2Frames::get("a.test", "/", &[])),
        ),
        ("a push promise", H2Frames::encode(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82])),
        ("a continuation alone", H2Frames::encode(kind::CONTINUATION, 4, 1, &[0x82])),
        ("settings of a wrong size", H2Frames::encode(kind::SETTINGS, 0, 0, &[0; 5])),
        ("a frame beyond the size", H2Frames::encode(kind::DATA, 0, 1, &[0; 20_000])),
        (
            "a block that is no HPACK",
            H2Frames::encode(kind::HEADERS, 5, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
    ];
    for (what, attack) in attacks {
        let mut frames = setup.frames();
        let _ = frames.try_send_bytes(&attack);
        let code = frames.goaway();
        assert!(code.is_none_or(|code| code != 0), "{what}: {code:?}");
    }
    assert!(setup.origin.requests().is_empty());
    setup.is_well(before);
}

/// Sends pieces until the gateway ends the connection, at most so many; the GOAWAY's code.
fn flood(
    frames: &mut H2Frames,
    count: usize,
    mut piece: impl FnMut(usize) -> Vec<u8>,
) -> Option<u32> {
    for index in 0..count {
        if frames.try_send_bytes(&piece(index)).is_err() {
            break;
        }
    }
    frames.goaway()
}

#[test]
fn rapid_reset_is_calmed() {
    // CVE-2023-44487
    let setup = setup();
    setup.origin.on("/hang", |x| x.wait_for_close());
    let before = setup.gateway.memory_bytes();
    let mut frames = setup.frames();
    let code = flood(&mut frames, 5_000, |index| {
        let stream = 2 * index as u32 + 1;
        let get = H2Frames::get("a.test", "/hang", &[]);
        let mut bytes = H2Frames::encode(kind::HEADERS, 5, stream, &get);
        bytes.extend(H2Frames::encode(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    });
    assert!(matches!(code, None | Some(CALM)), "{code:?}");
    let limit = [("limit", "h2_resets")];
    setup.gateway.wait_metric("weftway_limit_reached_total", &limit, |count| count >= 1.0);
    setup.is_well(before);
}

#[test]
fn resets_that_we_are_made_to_send_are_calmed() {
    // CVE-2025-8671, MadeYouReset: each kind makes the server reset a stream.
    let setup = setup();
    setup.origin.on("/hang", |x| x.wait_for_close());
    let before = setup.gateway.memory_bytes();
    type Frame = fn(u32) -> Vec<u8>;
    let kinds: [(&str, Frame); 4] = [
        ("a window update of 0", |stream| {
            H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())
        }),
        ("a window beyond its bound", |stream| {
            H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())
        }),
        ("data on a half-closed stream", |stream| H2Frames::encode(kind::DATA, 0, stream, b"x")),
        ("a priority that depends on itself", |stream| {
            let mut payload = stream.to_be_bytes().to_vec();
            payload.push(1);
            H2Frames::encode(kind::PRIORITY, 0, stream, &payload)
        }),
    ];
    for (what, attack) in kinds {
        let mut frames = setup.frames();
        let code = flood(&mut frames, 5_000, |index| {
            let stream = 2 * index as u32 + 1;
            let get = H2Frames::get("a.test", "/hang", &[]);
            let mut bytes = H2Frames::encode(kind::HEADERS, 5, stream, &get);
            bytes.extend(attack(stream));
            bytes
        });
        assert!(code.is_none_or(|code| code != 0), "{what}: {code:?}");
        setup.is_well(before);
    }
}

#[test]
fn a_flood_of_continuations_ends() {
    // CVE-2024-27316
    let setup = setup();
    let before = setup.gateway.memory_bytes();
    for piece in [H2Frames::block(&[("x", &"y".repeat(1000))]), Vec::new()] {
        let mut frames = setup.frames();
        let get = H2Frames::get("a.test", "/", &[]);
        frames.send(kind::HEADERS, flags::END_STREAM, 1, &get);
        let code =
            flood(&mut frames, 100_000, |_| H2Frames::encode(kind::CONTINUATION, 0, 1, &piece));
        assert!(code.is_none_or(|code| code != 0), "{code:?}");
        setup.is_well(before);
    }
    assert!(setup.origin.requests().iter().all(|request| request.target == "/well"));
}

#[test]
fn floods_of_small_frames_hold_no_memory() {
    // The floods of 2019: the peer never reads what it asks for.
    let setup = setup();
    let before = setup.gateway.memory_bytes();
    let floods: [(&str, Vec<u8>); 4] = [
        ("PING", H2Frames::encode(kind::PING, 0, 0, &[0; 8])),
        ("SETTINGS", H2Frames::encode(kind::SETTINGS, 0, 0, &[])),
        ("PRIORITY", H2Frames::encode(kind::PRIORITY, 0, 99, &[0, 0, 0, 1, 1])),
        ("unknown", H2Frames::encode(0xfa, 0, 0, &[0; 8])),
    ];
    for (what, frame) in floods {
        let mut frames = setup.frames();
        frames.set_write_timeout(std::time::Duration::from_millis(500));
        let many = frame.repeat(1_000);
        for _ in 0..300 {
            if frames.try_send_bytes(&many).is_err() {
                break;
            }
        }
        let grown = setup.gateway.memory_bytes().saturating_sub(before);
        assert!(grown < 32 << 20, "{what}: memory grew by {grown} bytes");
        assert_eq!(setup.gateway.get("a.test", "/well").status, 200, "{what}");
    }
}

#[test]
fn empty_data_frames_are_bounded() {
    let setup = setup();
    let before = setup.gateway.memory_bytes();
    let mut frames = setup.frames();
    frames.headers(1, &block(&ask_but(":method", "POST")), false);
    let code = flood(&mut frames, 200_000, |_| H2Frames::encode(kind::DATA, 0, 1, b""));
    assert!(matches!(code, None | Some(CALM)), "{code:?}");
    setup.is_well(before);
}

#[test]
fn many_tiny_headers_are_counted_by_their_number() {
    let setup = setup();
    let before = setup.gateway.memory_bytes();
    // A bomb: each crumb is one byte on the wire once it stands in the dynamic table.
    for (what, count) in [("crumbs", 4_000), ("a few too many", 200)] {
        let mut fields = H2Frames::get("a.test", "/", &[]);
        fields.push(0x40);
        fields.extend_from_slice(b"\x06cookie\x01a");
        fields.extend(std::iter::repeat_n(0xbe, count));
        let mut frames = setup.frames();
        frames.headers(1, &fields, true);
        let outcome = frames.outcome(1);
        let is_refused = outcome.is_refusal();
        assert!(is_refused, "{what}: {outcome:?}");
    }
    assert!(setup.origin.requests().is_empty());
    setup.is_well(before);
}

#[test]
fn heads_beyond_the_limit_are_431() {
    let setup = setup();
    let long = "v".repeat(10_000);
    let more: Vec<(&str, &str)> = (0..7).map(|_| ("x-long", &*long)).collect();
    let mut frames = setup.frames();
    let get = H2Frames::get("a.test", "/", &more);
    let pieces: Vec<&[u8]> = get.chunks(16_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let end = if index + 1 == pieces.len() { flags::END_HEADERS } else { 0 };
        let (kind, more) =
            if index == 0 { (kind::HEADERS, flags::END_STREAM) } else { (kind::CONTINUATION, 0) };
        let _ = frames.try_send(kind, end | more, 1, piece);
    }
    let outcome = frames.outcome(1);
    assert!(outcome == Outcome::Status(431) || outcome.is_refusal(), "{outcome:?}");
    let target = format!("/{}", "x".repeat(17_000));
    let mut frames = setup.frames();
    let get = H2Frames::get("a.test", &target, &[]);
    let (first, second) = get.split_at(10_000);
    frames.send(kind::HEADERS, flags::END_STREAM, 1, first);
    frames.send(kind::CONTINUATION, flags::END_HEADERS, 1, second);
    assert_eq!(frames.outcome(1), Outcome::Status(414));
    assert!(setup.origin.requests().is_empty());
}

#[test]
fn readers_with_a_window_of_one_hold_no_memory() {
    let setup = setup();
    setup.origin.on("/big", |x| {
        x.respond(200, &[], vec![b'x'; 4 << 20])?;
        Ok(weft_testkit::Next::KeepAlive)
    });
    let before = setup.gateway.memory_bytes();
    // SETTINGS_INITIAL_WINDOW_SIZE = 1
    let mut frames = H2Frames::connect(setup.gateway.web(), &[(4, 1)]);
    for index in 0..100 {
        frames.headers(2 * index + 1, &H2Frames::get("a.test", "/big", &[]), true);
    }
    setup.origin.wait_for("all requests", |requests, _| requests.len() >= 100);
    setup.is_well(before);
}

#[test]
fn the_table_of_fields_cannot_be_thrashed() {
    let setup = setup();
    let before = setup.gateway.memory_bytes();
    // SETTINGS_HEADER_TABLE_SIZE as large as it goes.
    let mut frames = H2Frames::connect(setup.gateway.web(), &[(1, u32::MAX)]);
    frames.send(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    for index in 0..500_u32 {
        let mut fields = H2Frames::get("a.test", "/", &[]);
        for extra in 0..20_u32 {
            // Literals that are put into the table, all different.
            let name = format!("x-{index}-{extra}");
            fields.push(0x40);
            fields.push(name.len() as u8);
            fields.extend_from_slice(name.as_bytes());
            fields.push(1);
            fields.push(b'v');
        }
        let stream = 2 * index + 1;
        if frames
            .try_send(kind::HEADERS, flags::END_HEADERS | flags::END_STREAM, stream, &fields)
            .is_err()
        {
            break;
        }
        assert_eq!(frames.outcome(stream), Outcome::Status(200));
    }
    setup.is_well(before);
}

#[test]
fn more_streams_than_allowed_are_refused_one_by_one() {
    let origin = RawOrigin::start("echo");
    origin.on("/hang", |x| x.wait_for_close());
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .args(&["--h2-streams-max", "10"])
        .start();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    for index in 0..11 {
        frames.headers(2 * index + 1, &H2Frames::get("a.test", "/hang", &[]), true);
    }
    // REFUSED_STREAM
    assert_eq!(frames.outcome(21), Outcome::Reset(7));
    origin.wait_for("ten requests", |requests, _| requests.len() == 10);
}
