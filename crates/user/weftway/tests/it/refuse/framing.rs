//! How a message of HTTP/1.1 is cut from its connection: lengths, codings, chunks, trailers, lines.
//!
//! Behind each attack stands a whole second request, `/smuggled`. Whoever reads the framing otherwise
//! than we do would see that one; no origin ever may.

use weft_testkit::{Gateway, H2Frames, Outcome, Response, kind};

use super::{SMUGGLED, check_none_is_complete, post};
use crate::common::pair;

fn post_with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n")
}

/// Sends an attack with another request behind it. Whatever is answered is the last answer, and
/// says so.
fn attack(gateway: &Gateway, attack: &[u8]) -> Response {
    let shown = String::from_utf8_lossy(&attack[..attack.len().min(200)]).into_owned();
    let mut client = gateway.client();
    // The gateway may close before it has read everything.
    let _ = client.try_send([attack, SMUGGLED.as_bytes()].concat());
    let answer = client.try_response(false);
    let Ok(Some(answer)) = answer else { panic!("no answer to {shown:?}: {answer:?}") };
    assert!(answer.says_close(), "{shown:?}");
    let rest = client.closed();
    assert!(rest.is_empty(), "{shown:?}: a second answer {}", String::from_utf8_lossy(&rest));
    answer
}

/// Each attack is refused with this status, and nothing of it arrives.
fn check_refused<T: AsRef<[u8]>>(attacks: impl IntoIterator<Item = T>, status: u16) {
    let (origin, gateway) = pair(&[]);
    for bytes in attacks {
        let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
        assert_eq!(attack(&gateway, bytes.as_ref()).status, status, "{shown:?}");
        assert!(origin.requests().is_empty(), "{shown:?} arrived");
    }
}

/// Each body of chunks is refused where it breaks. Its head may have gone upstream by then; the
/// origin must see a body that breaks off, and nothing behind it.
fn check_bodies_refused(bodies: &[&[u8]]) {
    let (origin, gateway) = pair(&[]);
    let head = post_with("Transfer-Encoding: chunked");
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = attack(&gateway, &[head.as_bytes(), body].concat());
        assert_eq!(answer.status, 400, "{shown:?}");
    }
    check_none_is_complete(&origin, &gateway, bodies.len());
    let reason = [("reason", "bad_request")];
    let count = bodies.len() as f64;
    assert_eq!(gateway.metric("weftway_request_failures_total", &reason), count);
}

/// Row: CL and TE together; two CLs, equal and different; `+5`, `5,5`, `0x5`, blank, huge, leading
/// zeros.
#[test]
fn lengths_that_can_be_read_in_two_ways() {
    let fields = [
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
    ];
    check_refused(fields.map(|fields| format!("{}0\r\n\r\n", post_with(fields))), 400);
}

/// Row: TE `chunked, identity`, `identity, chunked`, `xchunked`, ` chunked`, `chunked\x0b`, repeated
/// TE, TE in HTTP/1.0.
#[test]
fn transfer_codings_that_are_not_chunked() {
    let values = [
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
    ];
    let values = values.map(|value| format!("Transfer-Encoding: {value}"));
    let fields = [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding\u{b}: chunked",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chun\r\n ked",
        "Transfer-Encoding\r\n: chunked",
    ];
    let all = values.iter().map(String::as_str).chain(fields);
    check_refused(all.map(|fields| format!("{}0\r\n\r\n", post_with(fields))), 400);
    check_refused(
        ["POST / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        400,
    );
}

#[test]
fn a_chunked_coding_in_other_case_is_the_same_one() {
    let (_origin, gateway) = pair(&[]);
    let head = post_with("transfer-encoding:\tCHUNKED");
    let echo = gateway.client().request(format!("{head}3\r\nabc\r\n0\r\n\r\n")).echo();
    assert_eq!(echo.body.as_deref(), Some("abc"));
    assert_eq!(echo.header("transfer-encoding"), Some("chunked"));
}

/// Names that some servers take for the framing fields, but which are other names, pass as the
/// unknown fields they are: behind our framing they cannot be read as such.
#[test]
fn look_alikes_of_framing_fields_do_not_frame() {
    let (origin, gateway) = pair(&[]);
    let mut client = gateway.client();
    let fields = "Transfer_Encoding: chunked\r\nX-Content-Length: 99\r\nContent-Length: 5";
    let echo = client.request(format!("{}hello", post_with(fields))).echo();
    assert_eq!(echo.body.as_deref(), Some("hello"));
    let head = origin.requests()[0].head_text().to_lowercase();
    assert_eq!(head.matches("\ncontent-length: 5\r\n").count(), 1, "{head}");
    assert!(!head.contains("\ntransfer-encoding"), "{head}");
    assert_eq!(client.request(SMUGGLED).echo().target, "/smuggled");
}

/// Row: chunk size with `0x`, `+`, `_`, spaces, 17 digits, negative; missing CRLF after data; bare LF
/// line ends.
#[test]
fn chunks_that_break_the_rules() {
    check_bodies_refused(&[
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"11111111111111111\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        b"5\rX\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    ]);
}

/// Row: chunk extension with bare CR, with LF in a quoted string, 1 MiB long.
#[test]
fn chunk_extensions_are_bounded_and_hide_nothing() {
    let long = [b"5;a=", &vec![b'x'; 1 << 20][..], b"\r\nhello\r\n0\r\n\r\n"].concat();
    check_bodies_refused(&[
        b"5;a=b\rc\r\nhello\r\n0\r\n\r\n",
        b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\nc\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\r\nc\"\r\nhello\r\n0\r\n\r\n",
        b"5;\0\r\nhello\r\n0\r\n\r\n",
        b"0;\n\r\n\r\n",
        b";a=b\r\nhello\r\n0\r\n\r\n",
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

/// Row: trailers carrying Content-Length, Host, Authorization. Over both versions.
#[test]
fn trailers_cannot_change_what_was_decided() {
    let (origin, gateway) = pair(&[]);
    let trailers = [
        ("content-length", "99"),
        ("host", "evil.test"),
        ("authorization", "Basic eDp5"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x_forwarded_for", "10.0.0.1"),
        ("cookie", "a=b"),
        ("x-checksum", "42"),
    ];
    let mut client = gateway.client();
    let lines: String =
        trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    // In HTTP/2 these two are errors in themselves.
    let lines = lines + "Transfer-Encoding: chunked\r\nConnection: close\r\n";
    let head = post_with("TE: trailers\r\nTransfer-Encoding: chunked");
    client.request(format!("{head}1\r\nx\r\n0\r\n{lines}\r\n")).echo();
    // The connection is where it has to be.
    client.request("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();

    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &post(&[]), false).send(kind::DATA, 0, 1, b"x");
    frames.headers(1, &H2Frames::block(&trailers), true);
    assert_eq!(frames.outcome(1), Outcome::Status(200));

    let requests = origin.requests_for("/");
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
        assert_eq!(
            (request.header("host"), request.header("authorization")),
            (Some("a.test"), None)
        );
        assert_eq!(request.body, b"x");
    }
}

/// Row: obs-fold, space before colon, NUL, CR and LF in a value, empty and non-token names, a line
/// without colon, leading blank lines.
#[test]
fn lines_that_break_the_rules() {
    let lines = [
        "X: a\r\n b",
        "X: a\r\n\tb",
        "X\t: a",
        "X : a",
        "X: a\0b",
        "X: a\rb",
        "X: a\nY: b",
        "X: a\n",
        "X: a\u{7f}b",
        "X: a\u{1}b",
        ": a",
        "X Y: a",
        "X(Y): a",
        "X\u{e9}: a",
        "X\0: a",
        "no colon",
    ];
    let heads = lines.map(|line| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n"));
    check_refused(heads, 400);
    let before = ["\r\n", "\n", "\r\n\r\n\r\n", " "];
    check_refused(before.map(|text| format!("{text}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")), 400);
    check_refused(
        [
            "GET / HTTP/1.1\nHost: a.test\n\n",
            "GET / HTTP/1.1\rHost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
            "GET /\r\n\r\n",
        ],
        400,
    );
}

#[test]
fn request_lines_that_break_the_rules() {
    let lines = [
        "GET\t/ HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/11",
        "G@T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://a.test/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET a.test:80 HTTP/1.1",
    ];
    check_refused(lines.map(|line| format!("{line}\r\nHost: a.test\r\n\r\n")), 400);
    let versions = ["1.2", "1.9", "2.0", "0.9", "3.0"];
    check_refused(
        versions.map(|version| format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n")),
        505,
    );
}

/// What is not HTTP at all gets no long wait and no crash.
#[test]
fn other_protocols_are_told_off_and_closed() {
    let (origin, gateway) = pair(&[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
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
