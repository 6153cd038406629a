use weft_model::text::Pattern;

use super::*;
use crate::testing::{client, request};

fn matches(matcher: &Matcher, head: &RequestHead, client_ip: IpAddr) -> bool {
    holds(matcher, &Ask::new(head, client_ip))
}

#[test]
fn hosts() {
    let check = |host: HostMatch, names: &[&str], others: &[&str]| {
        names.iter().for_each(|name| assert!(host_holds(&host, name), "{host:?} {name}"));
        others.iter().for_each(|name| assert!(!host_holds(&host, name), "{host:?} {name}"));
    };
    check(HostMatch::Exact("a.b".into()), &["a.b"], &["", "b", "x.a.b"]);
    check(HostMatch::OneLabel("a.b".into()), &["x.a.b"], &["", "a.b", ".a.b", "y.x.a.b", "xa.b"]);
    check(HostMatch::AnyLabels("a.b".into()), &["x.a.b", "y.x.a.b"], &["a.b", ".a.b", "xa.b"]);
    check(HostMatch::Any, &["", "a"], &[]);
    check(HostMatch::Regex(Pattern::new("a").unwrap()), &["cab"], &["", "b"]);
}

#[test]
fn paths() {
    let check = |path: PathMatch, texts: &[&str], others: &[&str]| {
        texts.iter().for_each(|text| assert!(path_holds(&path, text), "{path:?} {text}"));
        others.iter().for_each(|text| assert!(!path_holds(&path, text), "{path:?} {text}"));
    };
    check(PathMatch::Exact("/a".into()), &["/a"], &["/a/", "/", "/ab"]);
    check(PathMatch::Prefix("/a".into()), &["/a", "/a/", "/ab"], &["/", "/b", "*"]);
    check(PathMatch::Segments("/a".into()), &["/a", "/a/", "/a/b"], &["/", "/ab", "*"]);
    check(PathMatch::Segments("/a/".into()), &["/a", "/a/", "/a/b"], &["/", "/ab"]);
    check(PathMatch::Segments("/".into()), &["/", "/a", "/a/b"], &["*"]);
    check(PathMatch::Regex(Pattern::new("b$").unwrap()), &["/b"], &["/b/"]);
}

#[test]
fn headers_are_compared_value_by_value() {
    let head =
        request("GET", "shop.example:8080", "/", &[("x-a", "1"), ("X-A", "2"), ("y", "1, 2")]);
    let check = |name: &str, text: TextMatch, expected: bool| {
        let matcher = Matcher::Header(FieldName::new(name).unwrap(), text.clone());
        assert_eq!(matches(&matcher, &head, client()), expected, "{name} {text:?}");
    };
    let exact = |text: &str| TextMatch::Exact(text.into());
    check("X-A", exact("1"), true);
    check("x-a", exact("2"), true);
    check("x-a", exact("1, 2"), false);
    check("y", exact("1"), false);
    check("y", TextMatch::Regex(Pattern::new("1").unwrap()), true);
    check("y", TextMatch::Present, true);
    check("z", TextMatch::Present, false);
    check("z", TextMatch::Regex(Pattern::new("").unwrap()), false);
    check("host", exact("shop.example:8080"), true);
}

#[test]
fn values_that_are_no_text_are_read_with_replacements() {
    let mut head = request("GET", "a", "/", &[]);
    head.fields.append("x", b"a\xffb").unwrap();
    let name = FieldName::new("x").unwrap();
    let check = |text: TextMatch, expected: bool| {
        let matcher = Matcher::Header(name.clone(), text);
        assert_eq!(matches(&matcher, &head, client()), expected, "{matcher:?}");
    };
    check(TextMatch::Regex(Pattern::new("^a.b$").unwrap()), true);
    check(TextMatch::Regex(Pattern::new("^b$").unwrap()), false);
    check(TextMatch::Exact("a\u{fffd}b".into()), false);
}

#[test]
fn addresses_in_ipv6_form_are_ipv4() {
    let head = request("GET", "a", "/", &[]);
    let matcher = Matcher::ClientIp("10.0.0.0/8".parse().unwrap());
    assert!(matches(&matcher, &head, "::ffff:10.1.1.1".parse().unwrap()));
    assert!(!matches(&matcher, &head, "::ffff:11.1.1.1".parse().unwrap()));
    let matcher = TcpMatcher::ClientIp("10.0.0.0/8".parse().unwrap());
    let client_ip = "::ffff:10.1.1.1".parse().unwrap();
    let ask = TcpAsk { sni: None, alpn: &[], client_ip, local_ip: client(), tls: false };
    assert!(tcp_holds(&matcher, &ask));
}

#[test]
fn empty_lists() {
    let head = request("GET", "a", "/", &[]);
    assert!(matches(&Matcher::All(Vec::new()), &head, client()));
    assert!(!matches(&Matcher::Any(Vec::new()), &head, client()));
}
