//! What is an error and which, in the order of RFC 9113.

use super::*;
use crate::h2::frame::{PADDED, PRIORITY};
use crate::h2::testing::{block, give};

/// What comes of bytes.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    Reset(u32, Reason),
    Over(Reason),
}

use Fate::{Fine, Over as End, Reset};

fn fate(session: &mut Session, bytes: &[u8]) -> Fate {
    session.receive(bytes, &epoch);
    let said = frames(session);
    if let [.., (_, code)] = codes(&said, FrameKind::GoAway)[..] {
        assert!(session.over().is_some());
        return Fate::Over(code.into());
    }
    match codes(&said, FrameKind::ResetStream)[..] {
        [.., (stream, code)] => Fate::Reset(stream, code.into()),
        [] => Fate::Fine,
    }
}

fn check(section: &str, session: &mut Session, pieces: &[Vec<u8>], expected: Fate) {
    assert_eq!(fate(session, &pieces.concat()), expected, "{section}");
}

const E: Reason = Reason::PROTOCOL_ERROR;
const CLOSED: Reason = Reason::STREAM_CLOSED;
const SIZE: Reason = Reason::FRAME_SIZE_ERROR;
const FLOW: Reason = Reason::FLOW_CONTROL_ERROR;
const OPEN: u8 = END_HEADERS;

fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(FrameKind::Headers, flags, stream, block)
}

fn data(flags: u8, stream: u32, data: &[u8]) -> Vec<u8> {
    frame(FrameKind::Data, flags, stream, data)
}

fn update(stream: u32, by: u32) -> Vec<u8> {
    frame(FrameKind::WindowUpdate, 0, stream, &by.to_be_bytes())
}

fn settings(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(FrameKind::Settings, 0, 0, &payload)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(FrameKind::ResetStream, 0, stream, &8_u32.to_be_bytes())
}

fn unknown(length: usize) -> Vec<u8> {
    let mut bytes = data(0xff, 0, &vec![0; length]);
    bytes[3] = 0xfa;
    bytes
}

#[test]
fn sections_3_and_4_the_beginning_and_the_shape_of_frames() {
    let fresh = || Session::server(CONFIG, Spares::default(), epoch());
    let preface = crate::h2::frame::PREFACE;
    check("3.4 no preface", &mut fresh(), &[b"GET / HTTP/1.1\r\n\r\n".to_vec()], End(E));
    let ping = frame(FrameKind::Ping, 0, 0, &[0; 8]);
    check("3.4 no settings", &mut fresh(), &[preface.to_vec(), ping], End(E));
    let ack = frame(FrameKind::Settings, ACK, 0, &[]);
    check("3.4 only an ack", &mut fresh(), &[preface.to_vec(), ack], End(E));
    let get = get(&[]);
    for (section, pieces, expected) in [
        ("4.1 unknown kind", vec![unknown(100)], Fine),
        ("4.1 unknown and empty", vec![unknown(0), unknown(16_384)], Fine),
        ("4.1 unknown flags", vec![headers(0xc2 | WHOLE, 1, &get)], Fine),
        ("4.2 too large", vec![headers(OPEN, 1, &get), data(0, 1, &[0; 16_385])], End(SIZE)),
        ("4.2 as large as can be", vec![headers(OPEN, 1, &get), data(0, 1, &[0; 16_384])], Fine),
        ("4.2 unknown, too large", vec![unknown(16_385)], End(SIZE)),
        (
            "4.3 no such index",
            vec![headers(WHOLE, 1, &[0xff, 0xff, 0x03])],
            End(Reason::COMPRESSION_ERROR),
        ),
        ("4.3 interrupted", vec![headers(0, 1, &get), data(0, 1, b"")], End(E)),
        (
            "4.3 another stream",
            vec![headers(0, 1, &get), frame(FrameKind::Continuation, OPEN, 3, b"")],
            End(E),
        ),
        ("4.3 unknown in between", vec![headers(0, 1, &get), unknown(1)], End(E)),
    ] {
        check(section, &mut server(CONFIG), &pieces, expected);
    }
}

#[test]
fn section_5_states_of_streams() {
    let get = get(&[]);
    let request = || headers(WHOLE, 1, &get);
    let open = || headers(OPEN, 1, &get);
    let priority = |stream| frame(FrameKind::Priority, 0, stream, &[0, 0, 0, 0, 1]);
    for (section, pieces, expected) in [
        ("5.1 idle: DATA", vec![data(0, 1, b"a")], End(E)),
        ("5.1 idle: RST_STREAM", vec![reset(1)], End(E)),
        ("5.1 idle: WINDOW_UPDATE", vec![update(1, 1)], End(E)),
        ("5.1 idle: PRIORITY", vec![priority(9)], Fine),
        ("5.1 half closed: DATA", vec![request(), data(0, 1, b"a")], Reset(1, CLOSED)),
        ("5.1 half closed: HEADERS", vec![request(), headers(WHOLE, 1, &get)], Reset(1, CLOSED)),
        ("5.1 half closed: others", vec![request(), update(1, 1), priority(1), reset(1)], Fine),
        ("5.1.1 even", vec![headers(WHOLE, 2, &get)], End(E)),
        ("5.1.1 not growing", vec![headers(WHOLE, 3, &get), headers(WHOLE, 1, &get)], End(CLOSED)),
        ("5.1.1 zero", vec![headers(WHOLE, 0, &get)], End(E)),
        ("5.1 reset: DATA", vec![open(), reset(1), data(0, 1, b"a")], End(CLOSED)),
        ("5.4 the rest is not looked at", vec![data(0, 1, b"a"), request()], End(E)),
        ("5.5 an unknown setting", vec![settings(0xff, 1)], Fine),
    ] {
        check(section, &mut server(CONFIG), &pieces, expected);
    }
    // What we reset ourselves is forgiven, and the table of fields stays right.
    let mut session = server(CONFIG);
    give(&mut session, &open());
    let (key, _) = accept(&mut session);
    session.reset(key, Reason::CANCEL);
    session.release(key);
    take(&mut session);
    let field = [&[0x40, 1, b'x', 1, b'y'][..]].concat();
    let late = [data(0, 1, b"late"), update(1, 1), headers(WHOLE, 1, &field), reset(1)];
    check("5.1 closed by us", &mut session, &late, Fine);
    let indexed = [&get[..], &[0xbe]].concat();
    give(&mut session, &headers(WHOLE, 3, &indexed));
    assert_eq!(accept(&mut session).1.fields.get_str("x"), Some("y"));
    // And what ended in order is not.
    let mut session = server(CONFIG);
    give(&mut session, &request());
    let (key, _) = accept(&mut session);
    session.respond(key, &response(200), true).unwrap();
    session.release(key);
    take(&mut session);
    check("5.1 closed", &mut session, &[data(0, 1, b"a")], End(CLOSED));
    // 5.1.2: one more than was announced.
    let mut session = server(CONFIG);
    let pieces: Vec<_> = (0..11).map(|index| headers(WHOLE, 2 * index + 1, &get)).collect();
    check("5.1.2", &mut session, &pieces, Reset(21, Reason::REFUSED_STREAM));
}

#[test]
fn section_6_frames() {
    let get = get(&[]);
    let open = || headers(OPEN, 1, &get);
    let padded = |padding: u8, rest: &[u8]| [&[padding][..], rest].concat();
    let with_priority = [&[0, 0, 0, 0, 9][..], &get].concat();
    let max = (1_u32 << 31) - 1;
    for (section, pieces, expected) in [
        ("6.1 stream 0", vec![data(0, 0, b"a")], End(E)),
        ("6.1 padding", vec![open(), data(PADDED, 1, &padded(2, b"abc"))], Fine),
        ("6.1 only padding", vec![open(), data(PADDED, 1, &padded(3, b"abc"))], Fine),
        ("6.1 too much padding", vec![open(), data(PADDED, 1, &padded(4, b"abc"))], End(E)),
        ("6.1 no padding length", vec![open(), data(PADDED, 1, b"")], End(E)),
        ("6.2 priority", vec![headers(WHOLE | PRIORITY, 1, &with_priority)], Fine),
        ("6.2 too much padding", vec![headers(WHOLE | PADDED, 1, &padded(200, &get))], End(E)),
        ("6.2 too short", vec![headers(WHOLE | PRIORITY, 1, b"abc")], End(E)),
        ("6.3 stream 0", vec![frame(FrameKind::Priority, 0, 0, &[0; 5])], End(E)),
        ("6.3 length", vec![open(), frame(FrameKind::Priority, 0, 1, &[0; 4])], Reset(1, SIZE)),
        (
            "6.3 on itself",
            vec![open(), frame(FrameKind::Priority, 0, 1, &[0, 0, 0, 1, 9])],
            Reset(1, E),
        ),
        ("6.4 length", vec![open(), frame(FrameKind::ResetStream, 0, 1, &[0; 3])], End(SIZE)),
        ("6.4 stream 0", vec![reset(0)], End(E)),
        ("6.5 ack with payload", vec![frame(FrameKind::Settings, ACK, 0, &[0; 6])], End(SIZE)),
        ("6.5 on a stream", vec![frame(FrameKind::Settings, 0, 1, &[])], End(E)),
        ("6.5 length", vec![frame(FrameKind::Settings, 0, 0, &[0; 5])], End(SIZE)),
        ("6.5.2 push", vec![settings(2, 2)], End(E)),
        ("6.5.2 window", vec![settings(4, 1 << 31)], End(FLOW)),
        ("6.5.2 small frames", vec![settings(5, 16_383)], End(E)),
        ("6.5.2 large frames", vec![settings(5, 1 << 24)], End(E)),
        (
            "6.6 from a client",
            vec![open(), frame(FrameKind::PushPromise, OPEN, 1, &[0; 4])],
            End(E),
        ),
        ("6.7 length", vec![frame(FrameKind::Ping, 0, 0, &[0; 7])], End(SIZE)),
        ("6.7 on a stream", vec![frame(FrameKind::Ping, 0, 1, &[0; 8])], End(E)),
        ("6.8 on a stream", vec![frame(FrameKind::GoAway, 0, 1, &[0; 8])], End(E)),
        ("6.8 length", vec![frame(FrameKind::GoAway, 0, 0, &[0; 7])], End(SIZE)),
        ("6.9 by nothing", vec![update(0, 0)], End(E)),
        ("6.9 by nothing, a stream", vec![open(), update(1, 0)], Reset(1, E)),
        ("6.9 length", vec![frame(FrameKind::WindowUpdate, 0, 0, &[0; 3])], End(SIZE)),
        ("6.9.1 overflow", vec![update(0, max)], End(FLOW)),
        ("6.9.1 overflow, a stream", vec![open(), update(1, max)], Reset(1, FLOW)),
        (
            "6.9.2 overflow by settings",
            vec![open(), update(1, max - 65_535), settings(4, 65_536)],
            End(FLOW),
        ),
        ("6.10 of nothing", vec![frame(FrameKind::Continuation, OPEN, 1, b"")], End(E)),
        (
            "6.10",
            vec![
                headers(END_STREAM, 1, &get[..9]),
                frame(FrameKind::Continuation, OPEN, 1, &get[9..]),
            ],
            Fine,
        ),
    ] {
        check(section, &mut server(CONFIG), &pieces, expected);
    }
    let mut session = server(Config { stream_window_bytes: 65_535, ..CONFIG });
    let full = [open(), data(0, 1, &[0; 16_384]).repeat(3), data(0, 1, &[0; 16_383])].concat();
    check("6.9.1 all of the window", &mut session, &[full, data(0, 1, b"")], Fine);
    check("6.9.1 and one more", &mut session, &[data(0, 1, b"a")], Reset(1, FLOW));
}

#[test]
fn section_6_7_pings_are_answered() {
    let mut session = server(CONFIG);
    give(&mut session, &frame(FrameKind::Ping, 0, 0, b"abcdefgh"));
    assert_eq!(frames(&mut session), [(FrameKind::Ping, ACK, 0, b"abcdefgh".to_vec())]);
    give(&mut session, &frame(FrameKind::Ping, ACK, 0, b"abcdefgh"));
    assert_eq!((session.pongs(), session.has_output()), (1, false));
}

#[test]
fn section_8_1_messages() {
    let open = |more: &[(&str, &str)]| headers(OPEN, 1, &get(more));
    let five = || open(&[("content-length", "5")]);
    let trailers = |fields: &[(&str, &str)]| headers(WHOLE, 1, &block(fields));
    for (section, pieces, expected) in [
        ("8.1 trailers", vec![open(&[]), data(0, 1, b"a"), trailers(&[("x", "y")])], Fine),
        (
            "8.1 trailers that do not end",
            vec![open(&[]), headers(OPEN, 1, &block(&[("x", "y")]))],
            Reset(1, E),
        ),
        (
            "8.1 pseudo-fields in trailers",
            vec![open(&[]), trailers(&[("x", "y"), (":path", "/")])],
            Reset(1, E),
        ),
        ("8.1 upper case in trailers", vec![open(&[]), trailers(&[("X", "y")])], Reset(1, E)),
        ("8.1.1 as long as promised", vec![five(), data(END_STREAM, 1, b"abcde")], Fine),
        ("8.1.1 in parts", vec![five(), data(0, 1, b"abc"), data(END_STREAM, 1, b"de")], Fine),
        ("8.1.1 shorter", vec![five(), data(END_STREAM, 1, b"abcd")], Reset(1, E)),
        ("8.1.1 longer", vec![five(), data(0, 1, b"abcdef")], Reset(1, E)),
        ("8.1.1 shorter, trailers", vec![five(), trailers(&[("x", "y")])], Reset(1, E)),
    ] {
        check(section, &mut server(CONFIG), &pieces, expected);
    }
}

#[test]
fn section_8_2_and_8_3_fields() {
    let with = |name: &'static str, value: &'static str| get(&[(name, value)]);
    let without = |name: &str| {
        let kept = crate::h2::testing::GET.iter().filter(|field| field.0 != name);
        block(&kept.copied().collect::<Vec<_>>())
    };
    let first = |field| block(&[&[field], crate::h2::testing::GET].concat());
    for (section, block) in [
        ("8.2.1 upper case", with("X", "y")),
        ("8.2.1 no name", with("", "y")),
        ("8.2.1 space in a name", with("x y", "z")),
        ("8.2.1 line feed", with("x", "a\nb")),
        ("8.2.1 carriage return", with("x", "a\rb")),
        ("8.2.1 zero", with("x", "a\0b")),
        ("8.2.1 space before", with("x", " a")),
        ("8.2.1 space behind", with("x", "a\t")),
        ("8.2.2 connection", with("connection", "close")),
        ("8.2.2 keep-alive", with("keep-alive", "1")),
        ("8.2.2 proxy-connection", with("proxy-connection", "close")),
        ("8.2.2 transfer-encoding", with("transfer-encoding", "chunked")),
        ("8.2.2 upgrade", with("upgrade", "h2c")),
        ("8.2.2 te", with("te", "trailers, gzip")),
        ("8.3 unknown", with(":foo", "bar")),
        ("8.3 unknown, first", first((":foo", "bar"))),
        ("8.3 of responses", first((":status", "200"))),
        ("8.3 behind fields", block(&[&[("x", "y")], crate::h2::testing::GET].concat())),
        ("8.3.1 repeated", first((":path", "/"))),
        ("8.3.1 repeated method", first((":method", "GET"))),
        ("8.3.1 no method", without(":method")),
        ("8.3.1 no scheme", without(":scheme")),
        ("8.3.1 an odd scheme", block(&[(":method", "GET"), (":scheme", "ht tp"), (":path", "/")])),
        ("8.3.1 no path", without(":path")),
        ("8.3.1 empty path", block(&[(":method", "GET"), (":scheme", "http"), (":path", "")])),
        ("8.1.1 content length", with("content-length", "+5")),
        ("8.1.1 lengths", get(&[("content-length", "5"), ("content-length", "5")])),
        ("8.5 path", block(&[(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")])),
        ("8.5 no authority", block(&[(":method", "CONNECT")])),
        ("RFC 8441, unannounced", first((":protocol", "websocket"))),
    ] {
        check(section, &mut server(CONFIG), &[headers(WHOLE, 1, &block)], Reset(1, E));
    }
    for block in [
        with("te", "trailers"),
        with("x", "a \t b"),
        block(&[(":method", "CONNECT"), (":authority", "a:1")]),
        without(":authority"),
    ] {
        check("8.2 and 8.3, good", &mut server(CONFIG), &[headers(WHOLE, 1, &block)], Fine);
    }
}

#[test]
fn what_a_client_takes_from_a_server() {
    let ok = || headers(OPEN, 1, &[0x88]);
    let status = |status| block(&[(":status", status)]);
    let length = block(&[(":status", "200"), ("content-length", "3")]);
    for (section, pieces, expected) in [
        ("5.1 idle", vec![headers(OPEN, 9, &[0x88])], End(E)),
        ("5.1.1 even", vec![headers(OPEN, 2, &[0x88])], End(E)),
        ("6.5.2 push of a server", vec![settings(2, 1)], End(E)),
        ("6.6 push", vec![frame(FrameKind::PushPromise, OPEN, 1, &[0, 0, 0, 2])], End(E)),
        (
            "8.1 interim",
            vec![headers(OPEN, 1, &status("103")), ok(), data(END_STREAM, 1, b"a")],
            Fine,
        ),
        ("8.1 interim that ends", vec![headers(WHOLE, 1, &status("103"))], Reset(1, E)),
        ("8.1 too many interim", vec![headers(OPEN, 1, &status("103")).repeat(33)], Reset(1, E)),
        ("8.1 data first", vec![data(0, 1, b"a")], Reset(1, E)),
        ("8.1.1 shorter", vec![headers(OPEN, 1, &length), data(END_STREAM, 1, b"ab")], Reset(1, E)),
        ("8.1.1 nothing", vec![headers(WHOLE, 1, &length)], Reset(1, E)),
        ("8.3.2 no status", vec![headers(OPEN, 1, &block(&[("x", "y")]))], Reset(1, E)),
        ("8.3.2 bad status", vec![headers(OPEN, 1, &status("20"))], Reset(1, E)),
        ("8.3.2 not a number", vec![headers(OPEN, 1, &status("2x0"))], Reset(1, E)),
        ("8.6 no 101", vec![headers(OPEN, 1, &status("101"))], Reset(1, E)),
    ] {
        let mut session = client(CONFIG);
        session.open(&request(), true).unwrap();
        take(&mut session);
        check(section, &mut session, &pieces, expected);
    }
    let mut session = client(CONFIG);
    let mut head = request();
    head.set_method(crate::Method::Head);
    session.open(&head, true).unwrap();
    take(&mut session);
    check("an answer to HEAD", &mut session, &[headers(WHOLE, 1, &length)], Fine);
}

#[test]
fn section_10_too_much() {
    let calm = Reason::ENHANCE_YOUR_CALM;
    let get = get(&[]);
    let many = CONFIG.control_frames_max as usize + 20;
    let pings = frame(FrameKind::Ping, ACK, 0, &[0; 8]).repeat(many);
    let empty = data(0, 1, b"").repeat(many);
    let endless =
        [headers(0, 1, &get), frame(FrameKind::Continuation, 0, 1, &[0; 16_384]).repeat(3)];
    // A field of 3,000 bytes in the table, and then one byte for each use of it.
    let mut bomb = get.clone();
    bomb.extend([0x40, 1, b'x', 127, ((3_000 - 127) % 128) as u8 | 128, (3_000 - 127) as u8 / 128]);
    bomb[get.len() + 5] = ((3_000 - 127) / 128) as u8;
    bomb.extend([b'v'; 3_000]);
    bomb.extend([0xbe; 2_000]);
    for (section, pieces) in [
        ("10.5 pings", vec![pings]),
        ("10.5 empty data", vec![headers(OPEN, 1, &get), empty]),
        ("10.5.1 endless", endless.to_vec()),
        (
            "10.5 empty continuations",
            vec![headers(0, 1, &get), frame(FrameKind::Continuation, 0, 1, b"").repeat(50)],
        ),
        ("10.5.1 a bomb", vec![headers(WHOLE, 1, &bomb)]),
    ] {
        let mut session = server(CONFIG);
        check(section, &mut session, &pieces, End(calm));
        assert!(session.take_excess().is_some(), "{section}");
    }
    // Somewhat too large is answered.
    let mut session = server(CONFIG);
    let mut large = get;
    for _ in 0..200 {
        large.extend(block(&[("x", &"v".repeat(100))]));
    }
    let pieces: Vec<_> = large.chunks(16_384).collect();
    give(&mut session, &headers(END_STREAM, 1, pieces[0]));
    give(&mut session, &frame(FrameKind::Continuation, OPEN, 1, pieces[1]));
    let said = frames(&mut session);
    assert_eq!(
        (said[0].0, said[0].1, session.take_heads_exceeded()),
        (FrameKind::Headers, WHOLE, 1)
    );
    assert_eq!((session.open_streams(), session.accept()), (0, None));
}
