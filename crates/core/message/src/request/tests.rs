use super::*;
use crate::h1::{HeadLimits, HeadScan, Parsed, parse_request};

fn head(target: &str) -> RequestHead {
    let input = format!("GET {target} HTTP/1.1\r\nHost: a.b:81\r\nX: 1\r\n\r\n");
    let mut head = RequestHead::new();
    let parsed = parse_request(
        input.as_bytes(),
        &mut HeadScan::new(),
        &HeadLimits::DEFAULT,
        &PathRules::default(),
        &mut head,
    );
    assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{parsed:?}");
    head
}

#[track_caller]
fn check(head: &RequestHead, path: &str, query: Option<&str>, authority: &str) {
    assert_eq!((head.path(), head.query(), head.authority()), (path, query, authority));
    let whole = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
    assert_eq!(head.path_and_query(), whole);
}

#[test]
fn parts_are_set_one_by_one() {
    let mut head = head("/x/../y?q=1");
    check(&head, "/y", Some("q=1"), "a.b:81");
    head.set_path("/longer/path").unwrap();
    check(&head, "/longer/path", Some("q=1"), "a.b:81");
    head.set_path("/").unwrap();
    check(&head, "/", Some("q=1"), "a.b:81");
    head.set_query(Some("")).unwrap();
    check(&head, "/", Some(""), "a.b:81");
    head.set_query(Some("a=b&c=%2F")).unwrap();
    check(&head, "/", Some("a=b&c=%2F"), "a.b:81");
    head.set_query(None).unwrap();
    check(&head, "/", None, "a.b:81");
    head.set_authority("C.D").unwrap();
    check(&head, "/", None, "c.d");
    assert_eq!((head.host(), head.port()), ("c.d", None));
    head.set_path("/z%2F").unwrap();
    head.set_query(Some("y")).unwrap();
    check(&head, "/z%2F", Some("y"), "c.d");
    head.set_authority("").unwrap();
    check(&head, "/z%2F", Some("y"), "");
    assert_eq!(head.host(), "");
}

#[test]
fn setters_refuse_and_change_nothing() {
    let mut head = head("/y?q");
    for (path, expected) in [
        ("/a/../b", InvalidTarget::NotCanonical),
        ("//a", InvalidTarget::NotCanonical),
        ("/%61", InvalidTarget::NotCanonical),
        ("/%c3%a9", InvalidTarget::NotCanonical),
        ("/../a", InvalidTarget::AboveRoot),
        ("/a#b", InvalidTarget::Fragment),
        ("/a?b", InvalidTarget::Form),
        ("a", InvalidTarget::Form),
        ("", InvalidTarget::Form),
        ("/\u{e9}", InvalidTarget::NonAscii),
    ] {
        assert_eq!(head.set_path(path), Err(expected), "{path:?}");
        check(&head, "/y", Some("q"), "a.b:81");
    }
    for query in ["a b", "a#", "a\r\n", "\u{e9}"] {
        assert!(head.set_query(Some(query)).is_err(), "{query:?}");
        check(&head, "/y", Some("q"), "a.b:81");
    }
    for authority in ["a b", "a:x", "u@a", "\u{e9}"] {
        assert!(head.set_authority(authority).is_err(), "{authority:?}");
        check(&head, "/y", Some("q"), "a.b:81");
    }
}

#[test]
fn query_values_are_decoded() {
    let head = head("/?a=1&b&a=x+y%20z&%61=%C3%A9&c=;d=5&a=%zz&&=e&a");
    let values = |name| head.query_values(name).collect::<Vec<_>>();
    assert_eq!(values("a"), ["1", "x y z", "\u{e9}", "%zz", ""]);
    assert_eq!(values("b"), [""]);
    assert_eq!(values("c"), [";d=5"]);
    assert_eq!(values("d"), [""; 0]);
    assert_eq!(values(""), ["e"]);
    assert!(matches!(head.query_values("a").next(), Some(std::borrow::Cow::Borrowed("1"))));
}

#[test]
fn clearing_forgets_everything() {
    let mut head = head("/y?q");
    head.clear();
    assert_eq!(head, RequestHead::new());
    assert_eq!((head.path(), head.query(), head.authority(), head.host()), ("", None, "", ""));
}
