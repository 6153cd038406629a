use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;
use weft_model::route::Rank;

use super::*;
use crate::rule::parse_tcp;
use crate::testing::{any_client, client, tcp_matcher, tcp_route};

fn table(rules: &[(&str, TcpTls)]) -> TcpTable {
    let routes: Vec<_> = (0_u32..)
        .zip(rules)
        .map(|(tie, (rule, tls))| {
            let major = crate::rule::default_priority(rule);
            let rank = Rank { major, tie, ..Rank::default() };
            tcp_route(rank, parse_tcp(rule).unwrap(), tls.clone())
        })
        .collect();
    TcpTable::new(&routes)
}

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn plain(client_ip: IpAddr) -> TcpAsk<'static> {
    TcpAsk { sni: None, alpn: &[], client_ip, local_ip: LOCAL, tls: false }
}

#[test]
fn names_protocols_and_tls_decide() {
    let table = table(&[
        ("HostSNI(`*`)", TcpTls::Plain),
        ("HostSNI(`db.example`)", TcpTls::Passthrough),
        ("HostSNI(`*.example`) && ALPN(`h2`)", TcpTls::Passthrough),
        ("HostSNI(`*`) && ClientIP(`10.0.0.9`)", TcpTls::Plain),
    ]);
    let check = |sni: Option<&str>, alpn: &[&[u8]], tls: bool, expected: &str| {
        let found = table
            .find(&TcpAsk { sni, alpn, tls, ..plain(client()) })
            .expect("the star takes the rest");
        assert_eq!(found.matcher, parse_tcp(expected).unwrap(), "{sni:?} {alpn:?} {tls}");
    };
    check(None, &[], false, "HostSNI(`*`)");
    check(None, &[], true, "HostSNI(`*`)");
    check(Some("db.example"), &[], true, "HostSNI(`db.example`)");
    check(Some("DB.Example."), &[], true, "HostSNI(`db.example`)");
    check(Some("db.example"), &[], false, "HostSNI(`*`)");
    check(Some("db.example"), &[b"h2"], true, "HostSNI(`*.example`) && ALPN(`h2`)");
    check(Some("x.example"), &[b"http/1.1"], true, "HostSNI(`*`)");
    let nine = IpAddr::from([10, 0, 0, 9]);
    let found = table.find(&plain(nine)).expect("two take it");
    assert_eq!(found.rank.tie, 3);
    assert!(TcpTable::default().find(&plain(nine)).is_none());
}

#[test]
fn the_address_that_was_dialled_decides() {
    let to = |net: &str| TcpMatcher::Destination(net.parse().unwrap());
    let route = |tie, matcher| tcp_route(Rank { tie, ..Rank::default() }, matcher, TcpTls::Plain);
    let table = TcpTable::new(&[
        route(2, to("10.0.0.0/30")),
        route(1, TcpMatcher::Not(Box::new(to("10.9.0.0/16")))),
    ]);
    let check = |local_ip: &str, expected: Option<u32>| {
        let ask = TcpAsk { local_ip: local_ip.parse().unwrap(), ..plain(client()) };
        assert_eq!(table.find(&ask).map(|route| route.rank.tie), expected, "{local_ip}");
    };
    check("10.0.0.2", Some(2));
    check("::ffff:10.0.0.2", Some(2));
    check("10.0.0.4", Some(1));
    check("10.9.0.1", None);
}

/// Offers of application protocols.
const PROTOCOLS: &[&[&[u8]]] = &[&[], &[b"h2"], &[b"http/1.1", b"h2"]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_table_finds_what_a_look_at_each_route_finds(
        routes in prop::collection::vec((tcp_matcher(), -2..3_i64, any::<bool>()), 0..16),
        names in prop::collection::vec(
            select(vec![None, Some("a"), Some("b.a"), Some("d.c.b.a"), Some("C.A"), Some("x.y")]),
            1..6,
        ),
        alpn in select(PROTOCOLS),
        client_ip in any_client(),
        tls in any::<bool>(),
    ) {
        let routes: Vec<_> = (0_u32..).zip(routes).map(|(tie, (matcher, major, plain))| {
            let rank = Rank { major, tie, ..Rank::default() };
            tcp_route(rank, matcher, if plain { TcpTls::Plain } else { TcpTls::Passthrough })
        }).collect();
        let table = TcpTable::new(&routes);
        for name in names {
            let lower = name.map(str::to_lowercase);
            let expected = routes
                .iter()
                .filter(|route| tls || route.tls == TcpTls::Plain)
                .filter(|route| {
                    let sni = lower.as_deref();
                    tcp_holds(&route.matcher, &TcpAsk { sni, alpn, ..plain(client_ip) })
                })
                .max_by_key(|route| route.rank);
            let found = table.find(&TcpAsk { sni: name, alpn, tls, ..plain(client_ip) });
            prop_assert_eq!(found.map(|route| &route.id), expected.map(|route| &route.id));
        }
    }
}
