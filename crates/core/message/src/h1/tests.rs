use super::*;
use crate::authority::InvalidHost;
use crate::fields::Fields;
use crate::known::Known;
use crate::method::Method;
use crate::path::{InvalidTarget, PathRules};
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::version::{Scheme, Version};

type RequestResult = Result<(RequestHead, RequestFacts, usize), ParseError>;
type ResponseResult = Result<(ResponseHead, ResponseFacts), ParseError>;

/// Parses `input` whole; panics when it is not complete.
fn request(input: &[u8]) -> RequestResult {
    request_within(input, &HeadLimits::DEFAULT)
}

fn request_within(input: &[u8], limits: &HeadLimits) -> RequestResult {
    let mut head = RequestHead::new();
    let rules = PathRules::default();
    match parse_request(input, &mut HeadScan::new(), limits, &rules, &mut head)? {
        Parsed::Complete { consumed, facts } => Ok((head, facts, consumed)),
        Parsed::Partial => panic!("incomplete: {:?}", String::from_utf8_lossy(input)),
    }
}

fn response(input: &str, method: Method) -> ResponseResult {
    let mut head = ResponseHead::new();
    let mut scan = HeadScan::new();
    let limits = HeadLimits::DEFAULT;
    match parse_response(input.as_bytes(), &mut scan, &limits, &method, &mut head)? {
        Parsed::Complete { consumed, facts } => {
            assert_eq!(consumed, input.len(), "{input:?}");
            Ok((head, facts))
        }
        Parsed::Partial => panic!("incomplete: {input:?}"),
    }
}

/// `lines` come after `POST / HTTP/1.1` and a Host field.
#[track_caller]
fn check_fields(lines: &str, expected: Result<BodyFraming, ParseError>) {
    let input = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    let got = request(input.as_bytes()).map(|(_, facts, _)| facts.framing);
    assert_eq!(got, expected, "{lines:?}");
}

#[track_caller]
fn refused(input: &[u8], expected: ParseError) {
    let got = request(input).map(|(head, ..)| head);
    assert_eq!(got, Err(expected), "{:?}", String::from_utf8_lossy(input));
}

#[test]
fn reads_a_request() {
    let input = b"POST /a/b?x=1 HTTP/1.1\r\nHost: Shop.Example:8080\r\nX-One:  1 \r\n\
        Content-Length: 3\r\nConnection: keep-alive\r\nX-Two: 2\r\n\r\nabcGET";
    let (head, facts, consumed) = request(input).unwrap();
    assert_eq!(head.method(), &Method::Post);
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.host(), "shop.example");
    assert_eq!(head.port(), Some(8080));
    assert_eq!(head.authority(), "shop.example:8080");
    assert_eq!((head.path(), head.query()), ("/a/b", Some("x=1")));
    assert_eq!(head.fields.get("x-one"), Some(&b"1"[..]));
    assert!(!head.fields.contains(Known::Host));
    assert_eq!(&input[consumed..], b"abcGET");
    let expected = RequestFacts {
        framing: BodyFraming::Length(3),
        keep_alive: true,
        expect_continue: false,
        expect_unknown: false,
        upgrade: false,
    };
    assert_eq!(facts, expected);
}

// gateway.md, "Framing and smuggling".

#[test]
fn content_length_with_transfer_encoding_is_refused() {
    check_fields(
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        Err(ParseError::LengthAndEncoding),
    );
    check_fields(
        "transfer-encoding: chunked\r\nCONTENT-LENGTH: 0",
        Err(ParseError::LengthAndEncoding),
    );
}

#[test]
fn content_length_is_digits_once() {
    check_fields("Content-Length: 0", Ok(BodyFraming::Length(0)));
    check_fields("Content-Length: 42", Ok(BodyFraming::Length(42)));
    check_fields("Content-Length:\t42 \t", Ok(BodyFraming::Length(42)));
    check_fields("Content-Length: 18446744073709551615", Ok(BodyFraming::Length(u64::MAX)));
    for value in [
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "0x5",
        "",
        " ",
        "18446744073709551616",
        "99999999999999999999",
        "000000000000000000005",
        "05",
        "00",
        "5 5",
        "5a",
        "5;",
        "\u{ff15}",
        "5\t5",
        "1e3",
        "\"5\"",
    ] {
        check_fields(&format!("Content-Length: {value}"), Err(ParseError::ContentLength));
    }
    for second in ["5", "6"] {
        check_fields(
            &format!("Content-Length: 5\r\nContent-Length: {second}"),
            Err(ParseError::RepeatedContentLength),
        );
    }
}

#[test]
fn transfer_encoding_is_chunked_alone() {
    check_fields("Transfer-Encoding: chunked", Ok(BodyFraming::Chunked));
    check_fields("Transfer-Encoding:   CHUNKED  ", Ok(BodyFraming::Chunked));
    for value in [
        "chunked, identity",
        "identity, chunked",
        "xchunked",
        "chunkedx",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "",
        "\"chunked\"",
        "chunked;q=1",
        "chunked\u{a0}",
        "chun ked",
    ] {
        check_fields(&format!("Transfer-Encoding: {value}"), Err(ParseError::TransferEncoding));
    }
    check_fields("Transfer-Encoding: chunked\u{b}", Err(ParseError::ControlByte));
    check_fields("Transfer-Encoding : chunked", Err(ParseError::FieldName));
    check_fields(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        Err(ParseError::RepeatedTransferEncoding),
    );
    check_fields(
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        Err(ParseError::RepeatedTransferEncoding),
    );
    refused(
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ParseError::TransferEncodingVersion,
    );
}

#[test]
fn field_lines_are_strict() {
    let table: &[(&[u8], ParseError)] = &[
        (b"X: a\r\n folded", ParseError::FoldedLine),
        (b"X: a\r\n\tfolded: b", ParseError::FoldedLine),
        (b" X: a", ParseError::FoldedLine),
        (b"X : a", ParseError::FieldName),
        (b"X\t: a", ParseError::FieldName),
        (b"X: a\0b", ParseError::ControlByte),
        (b"X: a\rb", ParseError::BareCr),
        (b"X: a\nY: b", ParseError::BareLf),
        (b"X\rY: a", ParseError::BareCr),
        (b"X: a\r\r", ParseError::BareCr),
        (b"X: a\x7f", ParseError::ControlByte),
        (b"X: a\x1b[31m", ParseError::ControlByte),
        (b"X\0: a", ParseError::ControlByte),
        (b": a", ParseError::FieldName),
        (b"X(y): a", ParseError::FieldName),
        (b"X\xc3\xa9: a", ParseError::FieldName),
        (b"X Y: a", ParseError::FieldName),
        (b"no colon", ParseError::MissingColon),
        (b"Host\x00: b", ParseError::ControlByte),
    ];
    for (line, expected) in table {
        let input = [b"GET / HTTP/1.1\r\nHost: a\r\n", *line, b"\r\n\r\n"].concat();
        refused(&input, *expected);
        // And with a line after it, so that it is not at the end of the buffer.
        let tail = b"\r\nAccept: text/html, application/xhtml+xml\r\n\r\n";
        refused(&[b"GET / HTTP/1.1\r\nHost: a\r\n", *line, tail].concat(), *expected);
    }
    let (head, ..) = request(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\tb \xe9\r\nY:\r\n\r\n").unwrap();
    assert_eq!(head.fields.get("x"), Some(&b"a\tb \xe9"[..]));
    assert_eq!(head.fields.get("y"), Some(&b""[..]));
}

#[test]
fn start_lines_are_strict() {
    let table: &[(&[u8], ParseError)] = &[
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::LeadingBlankLine),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::LeadingBlankLine),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::ControlByte),
        (b"\x16\x03\x01\x02\x00\x01", ParseError::ControlByte),
        (b"GET / HTTP/1.1\nHost: a\n\n", ParseError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", ParseError::BareLf),
        (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", ParseError::RequestLine),
        (b"GET /\r\nHost: a\r\n\r\n", ParseError::RequestLine),
        (b"GET\r\n\r\n", ParseError::RequestLine),
        (b"GET HTTP/1.1\r\n\r\n", ParseError::RequestLine),
        (b"GET  HTTP/1.1\r\n\r\n", ParseError::RequestLine),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ParseError::RequestLine),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", ParseError::RequestLine),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", ParseError::RequestLine),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", ParseError::Version),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", ParseError::Version),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", ParseError::Version),
        (b"PRI * HTTP/2.0\r\n\r\n", ParseError::Version),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::Method),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::Method),
        (b"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::ControlByte),
    ];
    for (input, expected) in table {
        refused(input, *expected);
    }
    refused(b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::Target(InvalidTarget::Form));
    refused(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::Target(InvalidTarget::Control));
    refused(b"GET /\tb HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::Target(InvalidTarget::Control));
}

#[test]
fn host_is_there_once_and_well_formed() {
    let bad = |error| ParseError::Host(error);
    for (host, expected) in [
        ("u@a", bad(InvalidHost::UserInfo)),
        ("u:p@a", bad(InvalidHost::UserInfo)),
        ("a:", bad(InvalidHost::Port)),
        ("a:x", bad(InvalidHost::Port)),
        ("a:http", bad(InvalidHost::Port)),
        ("a:65536", bad(InvalidHost::Port)),
        ("a/b", bad(InvalidHost::Byte)),
        ("[fe80::1%eth0]", bad(InvalidHost::Zone)),
        ("[fe80::1%25eth0]", bad(InvalidHost::Zone)),
        ("", bad(InvalidHost::Empty)),
        ("b\u{fc}cher.example", bad(InvalidHost::Byte)),
    ] {
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), expected);
    }
    refused(b"GET / HTTP/1.1\r\n\r\n", ParseError::MissingHost);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ParseError::RepeatedHost);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", ParseError::RepeatedHost);
    refused(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", ParseError::RepeatedHost);
    for (host, expected) in
        [("A.Example.", "a.example"), ("a_b", "a_b"), ("[::1]", "[::1]"), ("10.0.0.1", "10.0.0.1")]
    {
        let input = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(request(input.as_bytes()).unwrap().0.host(), expected);
    }
    assert_eq!(request(b"GET / HTTP/1.0\r\n\r\n").unwrap().0.host(), "");
}

#[test]
fn absolute_form_agrees_with_host() {
    let get = |target: &str, host: &str| {
        let input = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        request(input.as_bytes()).map(|(head, ..)| {
            (head.scheme(), head.authority().to_owned(), head.path_and_query().to_owned())
        })
    };
    let seen =
        |scheme, authority: &str, target: &str| Ok((scheme, authority.into(), target.into()));
    assert_eq!(get("http://A.b/x?y", "a.B"), seen(Scheme::Http, "a.b", "/x?y"));
    assert_eq!(get("HTTPS://a", "a:443"), seen(Scheme::Https, "a", "/"));
    assert_eq!(get("http://a?q=1", "a"), seen(Scheme::Http, "a", "/?q=1"));
    assert_eq!(get("http://a:80/", "a"), seen(Scheme::Http, "a:80", "/"));
    assert_eq!(get("http://a/", "b"), Err(ParseError::HostMismatch));
    assert_eq!(get("http://a/", "a:8080"), Err(ParseError::HostMismatch));
    assert_eq!(get("http://a:8080/", "a"), Err(ParseError::HostMismatch));
    assert_eq!(get("http://u@a/", "a"), Err(ParseError::Host(InvalidHost::UserInfo)));
    assert_eq!(get("http:///x", "a"), Err(ParseError::Host(InvalidHost::Empty)));
    assert_eq!(get("ftp://a/", "a"), Err(ParseError::Target(InvalidTarget::Scheme)));
    assert_eq!(get("https:evil", "a"), Err(ParseError::Target(InvalidTarget::Form)));
    assert_eq!(get("http://a\\@b/", "a"), Err(ParseError::Target(InvalidTarget::Backslash)));
    assert_eq!(get("a.b", "a"), Err(ParseError::Target(InvalidTarget::Form)));
    assert_eq!(get("*", "a"), Err(ParseError::Target(InvalidTarget::Form)));
    refused(b"GET http://a/ HTTP/1.1\r\n\r\n", ParseError::MissingHost);
}

#[test]
fn connect_and_options_have_their_forms() {
    let (head, facts, _) = request(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").unwrap();
    assert_eq!((head.authority(), head.path(), head.query()), ("a:443", "", None));
    assert_eq!(facts.framing, BodyFraming::None);
    let form = ParseError::Target(InvalidTarget::Form);
    refused(b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", form);
    refused(b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", ParseError::Host(InvalidHost::Byte));
    refused(b"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", ParseError::HostMismatch);
    for body in ["Content-Length: 1", "Content-Length: 0", "Transfer-Encoding: chunked"] {
        let input = format!("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n{body}\r\n\r\n");
        refused(input.as_bytes(), ParseError::UnexpectedBody);
    }
    let (head, ..) = request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.path_and_query()), ("*", "*"));
    let (head, ..) = request(b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.path(), "*");
    let (head, ..) = request(b"OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.path(), "/x");
}

#[test]
fn connection_upgrade_and_expect() {
    let facts = |version: &str, lines: &str| {
        let input = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        request(input.as_bytes()).unwrap().1
    };
    assert!(facts("1.1", "").keep_alive);
    assert!(!facts("1.1", "Connection: close\r\n").keep_alive);
    assert!(!facts("1.1", "Connection: keep-alive, Close\r\n").keep_alive);
    assert!(!facts("1.1", "Connection: x\r\nConnection: close\r\n").keep_alive);
    assert!(!facts("1.0", "").keep_alive);
    assert!(facts("1.0", "Connection: Keep-Alive\r\n").keep_alive);
    assert!(facts("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n").upgrade);
    assert!(!facts("1.1", "Upgrade: websocket\r\n").upgrade);
    assert!(!facts("1.1", "Connection: upgrade\r\n").upgrade);
    assert!(!facts("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n").upgrade);
    assert!(facts("1.1", "Expect: 100-Continue\r\n").expect_continue);
    assert!(facts("1.1", "Expect: 200-ok\r\n").expect_unknown);
    assert!(facts("1.1", "Expect: 100-continue\r\nExpect: x\r\n").expect_unknown);
    assert!(!facts("1.0", "Expect: 100-continue\r\n").expect_continue);

    let many = "a,".repeat(65);
    check_fields(&format!("Connection: {many}"), Err(ParseError::ConnectionOptions));
}

#[test]
fn limits_hold_to_the_byte() {
    let input = b"GET /abc HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
    let exact =
        HeadLimits { head_bytes_max: input.len(), fields_max: 2, target_bytes_max: "/abc".len() };
    assert!(request_within(input, &exact).is_ok());
    let less = |change: fn(&mut HeadLimits)| {
        let mut limits = exact;
        change(&mut limits);
        request_within(input, &limits).map(|(head, ..)| head)
    };
    assert_eq!(less(|l| l.head_bytes_max -= 1), Err(ParseError::HeadTooLarge));
    assert_eq!(less(|l| l.fields_max -= 1), Err(ParseError::TooManyFields));
    assert_eq!(less(|l| l.target_bytes_max -= 1), Err(ParseError::TargetTooLong));
    assert_eq!(ParseError::HeadTooLarge.class().status(), 431);
    assert_eq!(ParseError::TooManyFields.class().status(), 431);
    assert_eq!(ParseError::TargetTooLong.class().status(), 414);
    assert_eq!(ParseError::Version.class().status(), 505);
    assert_eq!(ParseError::LengthAndEncoding.class().status(), 400);
}

#[test]
fn limits_hold_while_incomplete() {
    let limits = HeadLimits { head_bytes_max: 200, fields_max: 10, target_bytes_max: 20 };
    let feed = |all: &[u8], step: usize| {
        let (mut scan, mut head) = (HeadScan::new(), RequestHead::new());
        let rules = PathRules::default();
        let mut end = 0;
        while end < all.len() {
            end = (end + step).min(all.len());
            let parsed = parse_request(&all[..end], &mut scan, &limits, &rules, &mut head);
            match parsed {
                Ok(Parsed::Partial) => {}
                Ok(Parsed::Complete { .. }) => panic!("complete"),
                Err(error) => return Some((error, end)),
            }
        }
        None
    };
    let long_target = [b"GET /".as_slice(), &[b'a'; 300]].concat();
    for step in [1, 7, 400] {
        let (error, end) = feed(&long_target, step).unwrap();
        assert_eq!(error, ParseError::TargetTooLong);
        assert!(end < 100 || step == 400);
    }
    let long_head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 300]].concat();
    for step in [1, 7, 400] {
        let (error, end) = feed(&long_head, step).unwrap();
        assert_eq!(error, ParseError::HeadTooLarge);
        assert!(end <= 207 || step == 400);
    }
    assert_eq!(feed(b"GET / HTTP/1.1\nHost: a\n\n", 1), Some((ParseError::BareLf, 15)));
    assert_eq!(feed(b"GET / HTTP/1.1\r\nHost: a\r\n", 1), None);
    // A bad start line is refused as soon as it is complete.
    assert_eq!(feed(b"GET / HTTP/9.9\r\nHost: a\r\n", 1), Some((ParseError::Version, 16)));
}

#[test]
fn byte_by_byte_is_the_same_as_whole() {
    let input: &[u8] = b"PUT /x/../y?z HTTP/1.1\r\nHost: a.b:81\r\nA: 1\r\nContent-Length: 9\r\n\
        Connection: close, a\r\n\r\nbody";
    let (whole, facts, consumed) = request(input).unwrap();
    for step in 1..input.len() {
        let (mut scan, mut head) = (HeadScan::new(), RequestHead::new());
        let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
        let mut end = 0;
        let parsed = loop {
            end = (end + step).min(input.len());
            match parse_request(&input[..end], &mut scan, &limits, &rules, &mut head).unwrap() {
                Parsed::Partial => assert!(end < consumed),
                complete => break complete,
            }
        };
        assert_eq!(parsed, Parsed::Complete { consumed, facts });
        assert_eq!(head, whole);
    }
}

#[test]
fn a_head_is_empty_until_it_is_complete() {
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    let empty = RequestHead::new();
    for input in
        [&b"GET /x HTTP/1.1\r\nHost: a\r\nX: 1\r\n"[..], b"GET /x HTTP/1.1\r\nX: 1\r\n\r\n"]
    {
        let mut head = request(b"PUT /y?z HTTP/1.1\r\nHost: b\r\nY: 2\r\n\r\n").unwrap().0;
        let parsed = parse_request(input, &mut HeadScan::new(), &limits, &rules, &mut head);
        assert!(matches!(parsed, Ok(Parsed::Partial) | Err(ParseError::MissingHost)));
        assert_eq!(head, empty);
        assert_eq!(format!("{head:?}"), format!("{empty:?}"));
    }
    let mut head = ResponseHead::new();
    let mut scan = HeadScan::new();
    let input = b"HTTP/1.1 404 x\r\nX: 1\r\n";
    let parsed = parse_response(input, &mut scan, &limits, &Method::Get, &mut head);
    assert_eq!(parsed, Ok(Parsed::Partial));
    assert_eq!(head, ResponseHead::new());
}

#[test]
fn what_decides_the_form_of_an_answer_outlives_a_refusal() {
    let accept = "Accept: application/problem+json\r\nContent-Type: a/b\r\n";
    for (input, kept) in [
        (format!("PUT /a%2fb HTTP/1.1\r\nHost: a\r\nX: 1\r\n{accept}\r\n"), true),
        (format!("PUT /a HTTP/1.1\r\n{accept}\r\n"), true),
        (format!("PUT /a HTTP/1.1\r\nHost: a\r\n{accept}Content-Length: x\r\n\r\n"), true),
        (format!("PUT /a HTTP/1.1\r\nHost: a\r\n{accept}X : 1\r\n\r\n"), true),
        (format!("PUT /a HTTP/1.1\r\nHost: a\r\nX : 1\r\n{accept}\r\n"), false),
        (format!("P/T /a HTTP/1.1\r\nHost: a\r\n{accept}\r\n"), false),
    ] {
        let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
        let mut head = RequestHead::new();
        let parsed =
            parse_request(input.as_bytes(), &mut HeadScan::new(), &limits, &rules, &mut head);
        assert!(parsed.is_err(), "{input}");
        let expected = if kept { Some("application/problem+json") } else { None };
        assert_eq!(head.fields.get_str(Known::Accept), expected, "{input}");
        assert_eq!(head.fields.len(), if kept { 2 } else { 0 }, "and nothing else: {input}");
        assert_eq!((head.method(), head.authority(), head.path()), (&Method::Get, "", ""));
    }
}

// Responses.

#[test]
fn response_framing() {
    use BodyFraming::{Chunked, Length, None, UntilClose};
    let check = |lines: &str, method: Method, expected: (BodyFraming, BodyFraming, bool)| {
        let got = response(&format!("HTTP/1.1 {lines}\r\n\r\n"), method.clone())
            .map(|(_, facts)| (facts.framing, facts.declared, facts.keep_alive));
        assert_eq!(got, Ok(expected), "{lines:?} to {method}");
    };
    check("200 OK\r\nContent-Length: 5", Method::Get, (Length(5), Length(5), true));
    check("200 OK\r\nTransfer-Encoding: chunked", Method::Get, (Chunked, Chunked, true));
    check("200 OK", Method::Get, (UntilClose, None, false));
    check("200", Method::Get, (UntilClose, None, false));
    check("200 OK\r\nContent-Length: 5", Method::Head, (None, Length(5), true));
    check("200 OK\r\nTransfer-Encoding: chunked", Method::Head, (None, Chunked, true));
    check("200 OK", Method::Head, (None, None, true));
    check("204 No Content", Method::Get, (None, None, true));
    check("204 No Content\r\nContent-Length: 0", Method::Get, (None, None, true));
    check("204 No Content\r\nContent-Length: 3", Method::Get, (None, None, false));
    check("204 No Content\r\nTransfer-Encoding: chunked", Method::Get, (None, None, false));
    check("304 Not Modified\r\nContent-Length: 9", Method::Get, (None, Length(9), true));
    check("100 Continue", Method::Post, (None, None, true));
    check("101 Switching Protocols", Method::Get, (None, None, false));
    check("200 OK", Method::Connect, (None, None, false));
    check(
        "200 OK\r\nContent-Length: 0\r\nConnection: close",
        Method::Get,
        (Length(0), Length(0), false),
    );
}

#[test]
fn response_kinds() {
    let facts = |line: &str, method| response(&format!("{line}\r\n\r\n"), method).unwrap().1;
    assert!(facts("HTTP/1.1 100 Continue", Method::Get).interim);
    assert!(facts("HTTP/1.1 103 Early Hints", Method::Get).interim);
    assert!(!facts("HTTP/1.1 101 x", Method::Get).interim);
    assert!(facts("HTTP/1.1 101 x", Method::Get).tunnel);
    assert!(facts("HTTP/1.1 204 x", Method::Connect).tunnel);
    assert!(!facts("HTTP/1.1 404 x", Method::Connect).tunnel);
    assert!(!facts("HTTP/1.0 200 OK\r\nContent-Length: 0", Method::Get).keep_alive);
}

#[test]
fn bad_responses_are_refused() {
    for (input, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
            ParseError::LengthAndEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1",
            ParseError::RepeatedContentLength,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", ParseError::TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", ParseError::TransferEncodingVersion),
        ("HTTP/1.1 100 Continue\r\nContent-Length: 1", ParseError::UnexpectedBody),
        ("HTTP/1.1 101 x\r\nTransfer-Encoding: chunked", ParseError::UnexpectedBody),
        ("HTTP/1.1 20 OK", ParseError::StatusLine),
        ("HTTP/1.1 2000 OK", ParseError::StatusLine),
        ("HTTP/1.1 099 OK", ParseError::StatusLine),
        ("HTTP/1.1 2x0 OK", ParseError::StatusLine),
        ("HTTP/1.1  200 OK", ParseError::StatusLine),
        ("HTTP/1.1 200\tOK", ParseError::StatusLine),
        ("HTTP/1.1", ParseError::StatusLine),
        ("HTTP/2.0 200 OK", ParseError::Version),
        ("ICY 200 OK", ParseError::StatusLine),
        ("\r\nHTTP/1.1 200 OK", ParseError::LeadingBlankLine),
        ("HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b", ParseError::BareLf),
        ("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b", ParseError::BareCr),
        ("HTTP/1.1 200 OK\r\n folded", ParseError::FoldedLine),
    ] {
        let got = response(&format!("{input}\r\n\r\n"), Method::Get).map(|(head, _)| head);
        assert_eq!(got, Err(expected), "{input:?}");
    }
}

// Writing.

#[test]
fn the_codec_writes_what_it_owns() {
    let input =
        b"POST /a?b HTTP/1.1\r\nHost: A:80\r\nX-1: 1\r\nConnection: close, x-2\r\nX-2: 2\r\n\
        Keep-Alive: timeout=5\r\nX-3:3\r\nContent-Length: 7\r\nX-4: 4\r\nX-5: 5\r\n\r\n";
    let (mut head, facts, _) = request(input).unwrap();
    head.fields.strip_hop_by_hop();
    head.fields.set("x-4", b"four").unwrap();
    // Whatever is put in under these names is not written.
    head.fields.set(Known::ContentLength, b"99").unwrap();
    head.fields.set(Known::Host, b"evil").unwrap();
    head.fields.set(Known::TransferEncoding, b"gzip").unwrap();
    let mut out = Vec::new();
    write_request(&head, facts.framing, &mut out);
    let expected = "POST /a?b HTTP/1.1\r\nHost: a:80\r\nX-1: 1\r\nX-3: 3\r\nx-4: four\r\n\
        X-5: 5\r\nContent-Length: 7\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// RFC 9110 section 8.6: some origins answer 411 to a POST that says nothing of a length.
#[test]
fn no_content_is_told_where_there_usually_is_some() {
    for (method, line) in [
        ("GET", ""),
        ("HEAD", ""),
        ("DELETE", ""),
        ("OPTIONS", ""),
        ("QUERY", ""),
        ("POST", "Content-Length: 0\r\n"),
        ("PUT", "Content-Length: 0\r\n"),
        ("PATCH", "Content-Length: 0\r\n"),
    ] {
        let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, facts, _) = request(input.as_bytes()).unwrap();
        assert_eq!(facts.framing, BodyFraming::None, "{method}");
        let mut out = Vec::new();
        write_request(&head, facts.framing, &mut out);
        let expected = format!("{method} / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn upgrade_and_te_are_told_in_connection() {
    let input = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, TE\r\nUpgrade: websocket\r\n\
        TE: trailers, deflate\r\n\r\n";
    let (mut head, ..) = request(input).unwrap();
    let hop = head.fields.strip_hop_by_hop();
    assert_eq!(hop.upgrade.as_deref(), Some(&b"websocket"[..]));
    assert!(hop.te_trailers);
    assert!(head.fields.is_empty());
    head.fields.set(Known::Te, b"trailers").unwrap();
    let mut out = Vec::new();
    write_upgrade_request(&head, BodyFraming::None, b"websocket", &mut out);
    let expected = "GET /ws HTTP/1.1\r\nHost: a\r\nte: trailers\r\nConnection: upgrade, te\r\n\
        Upgrade: websocket\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    write_request(&head, BodyFraming::Chunked, &mut out);
    let expected = "GET /ws HTTP/1.1\r\nHost: a\r\nte: trailers\r\nTransfer-Encoding: chunked\r\n\
        Connection: te\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn responses_are_written() {
    let write = |status, framing, persistence: Persistence<'_>| {
        let mut head = ResponseHead::new();
        head.set_status(status);
        head.fields.append("X-A", b"1").unwrap();
        let mut out = Vec::new();
        write_response(&head, framing, persistence, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        write(200, BodyFraming::Length(3), Persistence::KeepAlive),
        "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\n\r\n"
    );
    assert_eq!(
        write(404, BodyFraming::Chunked, Persistence::Close),
        "HTTP/1.1 404 Not Found\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(
        write(204, BodyFraming::Length(0), Persistence::KeepAliveHttp10),
        "HTTP/1.1 204 No Content\r\nX-A: 1\r\nConnection: keep-alive\r\n\r\n"
    );
    assert_eq!(
        write(101, BodyFraming::None, Persistence::Upgrade(b"websocket")),
        "HTTP/1.1 101 Switching Protocols\r\nX-A: 1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    assert_eq!(
        write(799, BodyFraming::UntilClose, Persistence::Close),
        "HTTP/1.1 799 \r\nX-A: 1\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn chunks_are_written() {
    let mut out = Vec::new();
    for len in [0, 1, 15, 16, 0xabc, 65536] {
        write_chunk_head(len, &mut out);
    }
    assert_eq!(out, b"1\r\nf\r\n10\r\nabc\r\n10000\r\n");
    let mut trailers = Fields::new();
    trailers.append("X-Sum", b"1").unwrap();
    trailers.append(Known::ContentLength, b"9").unwrap();
    out.clear();
    write_last_chunk(Some(&trailers), &mut out);
    assert_eq!(out, b"0\r\nX-Sum: 1\r\n\r\n");
    out.clear();
    write_last_chunk(None, &mut out);
    assert_eq!(out, b"0\r\n\r\n");
}
