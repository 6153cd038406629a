//! Finding a route allocates nothing.

use std::net::IpAddr;
use std::sync::Arc;

use weft_message::RequestHead;
use weft_model::id::{BackendId, RouteId};
use weft_model::route::{Origin, Rank, Route, Target, TcpRoute, TcpTls, Timeouts};
use weft_route::rule::{default_priority, parse_http, parse_tcp};
use weft_route::{HttpTable, TcpAsk, TcpTable};

fn rank(tie: u32, rule: &str) -> Rank {
    Rank { major: default_priority(rule), tie, ..Rank::default() }
}

fn route(tie: u32, rule: &str) -> Arc<Route> {
    Arc::new(Route {
        id: RouteId::new(rule),
        origin: Origin::default(),
        rank: rank(tie, rule),
        matcher: parse_http(rule).expect("the rule is valid"),
        steps: Arc::new([]),
        target: Target::Backend(BackendId::new("backend")),
        timeouts: Timeouts::default(),
    })
}

fn tcp_route(tie: u32, rule: &str) -> Arc<TcpRoute> {
    Arc::new(TcpRoute {
        id: RouteId::new(rule),
        origin: Origin::default(),
        rank: rank(tie, rule),
        matcher: parse_tcp(rule).expect("the rule is valid"),
        tls: TcpTls::Passthrough,
        in_flight_max: None,
        allow: Vec::new(),
        target: Target::Backend(BackendId::new("backend")),
    })
}

fn request(host: &str, path: &str, query: Option<&str>) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_authority(host).expect("the request is valid");
    head.set_path(path).expect("the request is valid");
    head.set_query(query).expect("the request is valid");
    head.fields.append("x-team", b"one").expect("the request is valid");
    head.fields.append("x-team", b"two").expect("the request is valid");
    head
}

/// The number of allocations of `find`, after one that may fill caches.
fn allocations(mut find: impl FnMut()) -> u64 {
    find();
    allocation_counter::measure(find).count_total
}

#[test]
fn finding_an_http_route_allocates_nothing() {
    let rules = [
        "Host(`shop.example`) && PathPrefix(`/a`)",
        "Host(`shop.example`) && PathPrefix(`/a`) && Header(`x-team`, `two`)",
        "Host(`*.shop.example`) && PathRegexp(`^/v[0-9]+/`)",
        "HostRegexp(`^.+\\.shop\\.example$`) && HeaderRegexp(`x-team`, `^t.*`)",
        "PathPrefix(`/q`) && QueryRegexp(`q`, `^1 2/3$`)",
        "PathPrefix(`/q`) && Query(`q`, `4 5`) && !Method(`POST`) && ClientIP(`10.0.0.0/8`)",
    ];
    let routes: Vec<_> = (0..).zip(rules).map(|(tie, rule)| route(tie, rule)).collect();
    let table = HttpTable::new(&routes);
    let client_ip = IpAddr::from([10, 0, 0, 1]);
    for (host, path, query, expected) in [
        ("shop.example", "/abc", None, Some(1)),
        ("eu.shop.example:8443", "/v12/x", None, Some(3)),
        ("a.eu.shop.example", "/", None, Some(3)),
        ("other.example", "/q", Some("a=b&%71=1+2%2F3"), Some(4)),
        ("other.example", "/q", Some("q=4%205"), Some(5)),
        ("other.example", "/x", None, None),
    ] {
        let head = request(host, path, query);
        let mut found = None;
        let count = allocations(|| found = table.find(&head, client_ip).map(|one| one.index()));
        assert_eq!((found, count), (expected, 0), "{host}{path}");
    }
}

#[test]
fn finding_a_tcp_route_allocates_nothing() {
    let rules = ["HostSNI(`*`)", "HostSNI(`db.example`)", "HostSNIRegexp(`^.+-db\\.example$`)"];
    let routes: Vec<_> = (0..).zip(rules).map(|(tie, rule)| tcp_route(tie, rule)).collect();
    let table = TcpTable::new(&routes);
    let client_ip = IpAddr::from([10, 0, 0, 1]);
    for (name, expected) in [(None, 0), (Some("db.example"), 1), (Some("eu-db.example"), 2)] {
        let mut found = None;
        let count = allocations(|| {
            let ask =
                TcpAsk { sni: name, alpn: &[b"h2"], client_ip, local_ip: client_ip, tls: true };
            found = table.find(&ask).map(|route| route.rank.tie);
        });
        assert_eq!((found, count), (Some(expected), 0), "{name:?}");
    }
}
