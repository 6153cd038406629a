use super::*;
use crate::authority::InvalidHost;
use crate::path::InvalidTarget;

fn begin(method: &str, authority: Option<&str>, path: &str) -> Result<RequestHead, ParseError> {
    let mut head = RequestHead::new();
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    head.begin_h2(method, Scheme::Https, authority, path, &limits, &rules)?;
    Ok(head)
}

fn with(name: &str, value: &[u8]) -> Result<RequestHead, ParseError> {
    let mut head = begin("GET", Some("a"), "/")?;
    head.append_h2(name, value, &HeadLimits::DEFAULT)?;
    head.finish_h2()?;
    Ok(head)
}

#[test]
fn the_view_is_that_of_http_1() {
    let head = begin("GET", Some("A.b:443"), "/x/%2e%2e//y?q").unwrap();
    assert_eq!((head.authority(), head.host(), head.port()), ("a.b:443", "a.b", Some(443)));
    assert_eq!((head.path(), head.query()), ("/y", Some("q")));
    assert_eq!((head.version(), head.scheme()), (Version::Http2, Scheme::Https));
    let head = begin("CONNECT", Some("a:1"), "").unwrap();
    assert_eq!((head.path(), head.authority()), ("", "a:1"));
    assert_eq!(begin("CONNECT", Some("a"), "/chat").unwrap().path(), "/chat");
    assert_eq!(begin("OPTIONS", Some("a"), "*").unwrap().path(), "*");
}

// gateway.md 4.2: "H2 to h1".
#[test]
fn bad_pseudo_fields_are_refused() {
    for (path, expected) in [
        ("/a b", InvalidTarget::Control),
        ("/a#b", InvalidTarget::Fragment),
        ("/a?b#c", InvalidTarget::Fragment),
        ("/a?b c", InvalidTarget::Control),
        ("/a\r\nb", InvalidTarget::Control),
        ("", InvalidTarget::Form),
        ("*", InvalidTarget::Form),
        ("a", InvalidTarget::Form),
        ("http://a/", InvalidTarget::Form),
        ("/x%2fy", InvalidTarget::EncodedSlash),
    ] {
        assert_eq!(begin("GET", Some("a"), path), Err(ParseError::Target(expected)), "{path:?}");
    }
    assert_eq!(begin("G T", Some("a"), "/"), Err(ParseError::Method));
    let user = Err(ParseError::Host(InvalidHost::UserInfo));
    assert_eq!(begin("GET", Some("u@a"), "/"), user);
    let long = format!("/{}", "a".repeat(HeadLimits::DEFAULT.target_bytes_max));
    assert_eq!(begin("GET", Some("a"), &long), Err(ParseError::TargetTooLong));
}

#[test]
fn bad_fields_are_refused() {
    for (name, value, expected) in [
        ("X-Upper", &b"a"[..], ParseError::FieldName),
        ("Accept", b"a", ParseError::FieldName),
        ("a b", b"a", ParseError::FieldName),
        ("a\r\nb", b"a", ParseError::FieldName),
        ("a\0", b"a", ParseError::FieldName),
        ("content\rlength", b"1", ParseError::FieldName),
        (":path", b"/", ParseError::FieldName),
        ("", b"/", ParseError::FieldName),
        ("x", b"a\r\nb: c", ParseError::ControlByte),
        ("x", b"a\nb", ParseError::ControlByte),
        ("x", b"a\0b", ParseError::ControlByte),
        ("connection", b"x", ParseError::ConnectionField),
        ("transfer-encoding", b"chunked", ParseError::ConnectionField),
        ("keep-alive", b"1", ParseError::ConnectionField),
        ("proxy-connection", b"close", ParseError::ConnectionField),
        ("upgrade", b"h2c", ParseError::ConnectionField),
        ("te", b"gzip", ParseError::ConnectionField),
        ("te", b"trailers, gzip", ParseError::ConnectionField),
        ("host", b"b", ParseError::HostMismatch),
        ("content-length", b"+1", ParseError::ContentLength),
    ] {
        assert_eq!(with(name, value), Err(expected), "{name:?}");
    }
    assert!(with("te", b"trailers").is_ok());
    assert!(with("host", b"A").is_ok_and(|head| head.fields.is_empty()));
    assert_eq!(with("content-length", b"12").unwrap().fields.content_length(), Ok(Some(12)));
}

#[test]
fn host_stands_in_for_the_authority() {
    let mut head = begin("GET", None, "/x").unwrap();
    assert_eq!(head.clone().finish_h2(), Err(ParseError::MissingHost));
    head.append_h2("host", b"A:80", &HeadLimits::DEFAULT).unwrap();
    assert_eq!(head.append_h2("host", b"b", &HeadLimits::DEFAULT), Err(ParseError::HostMismatch));
    assert_eq!((head.authority(), head.path()), ("a:80", "/x"));
    head.finish_h2().unwrap();
}

#[test]
fn crumbs_become_one_cookie() {
    let mut head = begin("GET", Some("a"), "/").unwrap();
    for crumb in ["a=1", "b=2", "c=3"] {
        head.append_h2("cookie", crumb.as_bytes(), &HeadLimits::DEFAULT).unwrap();
    }
    head.finish_h2().unwrap();
    assert_eq!(head.fields.get_all(Known::Cookie).collect::<Vec<_>>(), [b"a=1; b=2; c=3"]);
}

#[test]
fn many_tiny_fields_count_for_their_memory() {
    let limits = HeadLimits { head_bytes_max: 4096, fields_max: 1000, target_bytes_max: 100 };
    let mut head = begin("GET", Some("a"), "/").unwrap();
    let refused = (0..1000).find_map(|_| head.append_h2("a", b"", &limits).err());
    assert_eq!(refused, Some(ParseError::HeadTooLarge));
    assert!(head.fields.len() < 130);
    let limits = HeadLimits { fields_max: 2, ..HeadLimits::DEFAULT };
    let mut head = begin("GET", Some("a"), "/").unwrap();
    head.append_h2("cookie", b"a", &limits).unwrap();
    head.append_h2("cookie", b"b", &limits).unwrap();
    assert_eq!(head.append_h2("cookie", b"c", &limits), Err(ParseError::TooManyFields));
}

#[test]
fn responses_are_checked_too() {
    let mut head = ResponseHead::new();
    head.begin_h2(404);
    assert_eq!((head.status(), head.version()), (404, Version::Http2));
    let limits = HeadLimits::DEFAULT;
    head.append_h2("x", b"1", &limits).unwrap();
    assert_eq!(head.append_h2("x", b"1\r\n", &limits), Err(ParseError::ControlByte));
    assert_eq!(head.append_h2("connection", b"x", &limits), Err(ParseError::ConnectionField));
}
