//! Routes and requests for the tests of this crate: few hosts, paths and values, so that random
//! ones meet.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use weft_message::{FieldName, Method, RequestHead, Scheme};
use weft_model::id::{BackendId, RouteId};
use weft_model::route::{
    HostMatch, Matcher, Origin, PathMatch, Rank, Route, Target, TcpMatcher, TcpRoute, TcpTls,
    Timeouts,
};
use weft_model::text::{Pattern, TextMatch};

/// A route with that rank and nothing else.
pub(crate) fn route(rank: Rank, matcher: Matcher) -> Arc<Route> {
    Arc::new(Route {
        id: RouteId::new(format!("route/{}", rank.tie)),
        origin: Origin::default(),
        rank,
        matcher,
        steps: Arc::new([]),
        target: Target::Backend(BackendId::new("backend")),
        timeouts: Timeouts::default(),
    })
}

/// Routes by Traefik's rules; the priority is the length of the rule.
pub(crate) fn rules(rules: &[&str]) -> Vec<Arc<Route>> {
    let routes = (0_u32..).zip(rules).map(|(tie, rule)| {
        let major = crate::rule::default_priority(rule);
        let rank = Rank { major, tie: u32::MAX - tie, ..Rank::default() };
        route(rank, crate::rule::parse_http(rule).unwrap())
    });
    routes.collect()
}

/// A request for `host` and `target`, with header fields.
pub(crate) fn request(
    method: &str,
    host: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> RequestHead {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut head = RequestHead::new();
    head.set_method(method.parse().unwrap());
    if !host.is_empty() {
        head.set_authority(host).unwrap();
    }
    head.set_path(path).unwrap();
    head.set_query(query).unwrap();
    for (name, value) in fields {
        head.fields.append(*name, value.as_bytes()).unwrap();
    }
    head
}

/// The address of a client.
pub(crate) fn client() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

fn boxed<T: Clone + std::fmt::Debug + 'static>(
    texts: &'static [&'static str],
    make: impl Fn(&str) -> T + Clone + 'static,
) -> BoxedStrategy<T> {
    select(texts).prop_map(make).boxed()
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

/// Conditions on the host.
pub(crate) fn host_match() -> impl Strategy<Value = HostMatch> {
    const NAMES: &[&str] = &["a", "b.a", "c.b.a", "d.c.b.a", "x.y", "[::1]"];
    const SUFFIXES: &[&str] = &["a", "b.a", "y"];
    const PATTERNS: &[&str] = &[
        r"^b\.a$",
        r"^(b|c)\.a$",
        r"^.+\.a$",
        r"^[a-c]+\.b\.a$",
        r"\.a$",
        r"^.*b\.a$",
        "b",
        "^$",
        "^(?i)B",
        "a$",
        r"^(x|.*\.b)\.[ay]$",
    ];
    prop_oneof![
        4 => boxed(NAMES, |name| HostMatch::Exact(name.into())),
        2 => boxed(SUFFIXES, |suffix| HostMatch::OneLabel(suffix.into())),
        2 => boxed(SUFFIXES, |suffix| HostMatch::AnyLabels(suffix.into())),
        2 => boxed(PATTERNS, |text| HostMatch::Regex(pattern(text))),
        1 => Just(HostMatch::Any),
    ]
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    const PATHS: &[&str] =
        &["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/abc", "/b", "/a/b%20c", "/a/bc", ""];
    const PATTERNS: &[&str] = &[
        "^/a",
        "^/a/b$",
        "^/(a|b)",
        "b",
        "/c$",
        "^/a/[bc]+",
        "^/a.*c$",
        "^(/a)?/b",
        "(?i)^/A/B",
        "",
    ];
    prop_oneof![
        2 => boxed(PATHS, |path| PathMatch::Exact(path.into())),
        3 => boxed(PATHS, |path| PathMatch::Prefix(path.into())),
        3 => boxed(PATHS, |path| PathMatch::Segments(path.into())),
        2 => boxed(PATTERNS, |text| PathMatch::Regex(pattern(text))),
    ]
}

fn text_match() -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        boxed(&["", "1", "1 2", "é"], |text| TextMatch::Exact(text.into())),
        boxed(&["^1", " ", ""], |text| TextMatch::Regex(pattern(text))),
        Just(TextMatch::Present),
    ]
}

fn condition() -> impl Strategy<Value = Matcher> {
    prop_oneof![
        4 => host_match().prop_map(Matcher::Host),
        4 => path_match().prop_map(Matcher::Path),
        1 => boxed(&["GET", "POST", "PURGE"], |name| {
            Matcher::Method(Method::parse(name.as_bytes()).unwrap())
        }),
        1 => (select(vec!["x-a", "x-b", "host"]), text_match()).prop_map(|(name, text)| {
            Matcher::Header(FieldName::new(name).unwrap(), text)
        }),
        1 => (select(vec!["q", "r s"]), text_match())
            .prop_map(|(name, text)| Matcher::Query(name.into(), text)),
        1 => boxed(&["10.0.0.0/24", "10.0.0.1/32", "::1/128"], |net| {
            Matcher::ClientIp(net.parse().unwrap())
        }),
        1 => boxed(&["a", "b.a:8080", "x.y"], |text| {
            Matcher::Authority(TextMatch::Exact(text.into()))
        }),
        1 => select(vec![Scheme::Http, Scheme::Https]).prop_map(Matcher::Scheme),
    ]
}

/// Conditions on a request.
pub(crate) fn matcher() -> impl Strategy<Value = Matcher> {
    let nested = condition().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Matcher::All),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Matcher::Any),
            1 => inner.prop_map(|inner| Matcher::Not(Box::new(inner))),
        ]
    });
    // Most rules are a host and a path.
    let usual = (host_match(), path_match())
        .prop_map(|(host, path)| Matcher::All(vec![Matcher::Host(host), Matcher::Path(path)]));
    prop_oneof![nested, usual]
}

/// Requests that meet the conditions of [`matcher`].
pub(crate) fn any_request() -> impl Strategy<Value = RequestHead> {
    let host = select(vec![
        "", "a", "b.a", "c.b.a", "d.c.b.a", "c.a", "z.y", "x.y", "e.x.y", "[::1]", "b.a:8080",
        "nowhere",
    ]);
    let target = select(vec![
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/",
        "/a/b/c",
        "/ab",
        "/abc",
        "/abc/d",
        "/b",
        "/b/c",
        "/c",
        "/a/b%20c",
        "/a/bc",
        "/a?q=1",
        "/a?q=%31+2",
        "/a/b?q=%31&r+s=",
        "/?q&q=1",
        "/?%71=1%202",
    ]);
    let fields = prop::collection::vec(
        (select(vec!["x-a", "X-B"]), select(vec!["", "1", "1 2", "é"])),
        0..3,
    );
    (select(vec!["GET", "POST", "PURGE"]), host, target, fields)
        .prop_map(|(method, host, target, fields)| request(method, host, target, &fields))
}

/// Addresses that meet the conditions of [`matcher`].
pub(crate) fn any_client() -> impl Strategy<Value = IpAddr> {
    let addresses = vec!["10.0.0.1", "10.0.0.2", "10.1.0.1", "::1", "::ffff:10.0.0.1"];
    select(addresses).prop_map(|address| address.parse().unwrap())
}

/// Routes of different ranks.
pub(crate) fn routes() -> impl Strategy<Value = Vec<Arc<Route>>> {
    let one = (0..3_u8, -2..3_i64, 0..3_u64, matcher());
    prop::collection::vec(one, 0..24).prop_map(|all| {
        let ranked = (0..).zip(all).map(|(tie, (dialect, major, minor, matcher))| {
            route(Rank { dialect, major, minor, detail: 0, tie }, matcher)
        });
        ranked.collect()
    })
}

/// A TCP route with that rank and nothing else.
pub(crate) fn tcp_route(rank: Rank, matcher: TcpMatcher, tls: TcpTls) -> Arc<TcpRoute> {
    Arc::new(TcpRoute {
        id: RouteId::new(format!("route/{}", rank.tie)),
        origin: Origin::default(),
        rank,
        matcher,
        tls,
        in_flight_max: None,
        allow: Vec::new(),
        target: Target::Backend(BackendId::new("backend")),
    })
}

/// Conditions on a connection.
pub(crate) fn tcp_matcher() -> impl Strategy<Value = TcpMatcher> {
    let condition = prop_oneof![
        4 => host_match().prop_map(TcpMatcher::Sni),
        1 => boxed(&["10.0.0.0/24", "::1/128"], |net| {
            TcpMatcher::ClientIp(net.parse().unwrap())
        }),
        1 => boxed(&["h2", "http/1.1"], |name| TcpMatcher::Alpn(name.into())),
        1 => boxed(&["10.0.0.0/24", "10.0.0.2/32"], |net| {
            TcpMatcher::Destination(net.parse().unwrap())
        }),
    ];
    condition.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(TcpMatcher::All),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(TcpMatcher::Any),
            1 => inner.prop_map(|inner| TcpMatcher::Not(Box::new(inner))),
        ]
    })
}
