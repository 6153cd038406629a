//! Servers of bytes.

use std::net::{IpAddr, Ipv4Addr};

use weft_model::route::TcpTls;
use weft_route::{TcpAsk, TcpTable};

use super::{clean, gateway, service, words, world};
use crate::World;
use crate::gateway_api::tests::tls::secret;
use crate::gateway_api::tests::{assert_reported, served};

/// Where a connection to a port leads, with what becomes of its TLS.
fn connect(world: &World, port: u16, sni: Option<&str>) -> String {
    let is_tls = sni.is_some();
    let table = TcpTable::new(&served(world, port, is_tls).tcp);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ask = TcpAsk { sni, alpn: &[], client_ip: local, local_ip: local, tls: is_tls };
    match table.find(&ask) {
        None => "closed".into(),
        Some(route) => {
            let tls = match &route.tls {
                TcpTls::Plain => "plain",
                TcpTls::Passthrough => "through",
                TcpTls::Terminate(_) => "ended",
            };
            format!("{} {tls}", words(&route.target))
        }
    }
}

#[test]
fn bytes_go_where_the_rules_for_tcp_lead() {
    let rules = "  tcp:
  - {match: [{port: 9999}], route: [{destination: {host: reviews}}]}
  - {match: [{port: 3306}], route: [{destination: {host: ratings}}]}
";
    let world = world(&[
        &gateway(&["port: {number: 3306, name: db, protocol: TCP}, hosts: ['*']"]),
        &service("a", 1, "'*'", rules),
    ]);
    assert_eq!(connect(&world, 3306, None), "ratings plain");
    assert_eq!(connect(&world, 3306, Some("a.example")), "ratings through");
}

#[test]
fn shares_hold_for_connections_too() {
    let rules = "  tcp:
  - route:
    - {destination: {host: reviews}, weight: 80}
    - {destination: {host: ratings}, weight: 20}
";
    let world = clean(&[
        &gateway(&["port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']"]),
        &service("a", 1, "'*'", rules),
    ]);
    assert_eq!(connect(&world, 9000, None), "reviews:80 ratings:20 plain");
}

#[test]
fn mongo_is_bytes_and_says_so() {
    let rules = "  tcp: [{route: [{destination: {host: ratings}}]}]\n";
    let world = world(&[
        &gateway(&["port: {number: 27017, name: db, protocol: MONGO}, hosts: ['*']"]),
        &service("a", 1, "'*'", rules),
    ]);
    assert_eq!(connect(&world, 27017, None), "ratings plain");
    assert_reported(&world, "it is served as TCP");
}

const THROUGH: &str = "port: {number: 443, name: tls, protocol: TLS}, \
                       hosts: ['*.example.com', other.org], tls: {mode: PASSTHROUGH}";

#[test]
fn tls_goes_through_by_server_name() {
    let rules = "  tls:
  - {match: [{sniHosts: ['*.example.com']}], route: [{destination: {host: ratings}}]}
  - {match: [{sniHosts: [a.example.com]}], route: [{destination: {host: reviews}}]}
";
    let world = clean(&[&gateway(&[THROUGH]), &service("a", 1, "'*.example.com'", rules)]);
    // The most specific name holds, wherever it stands.
    assert_eq!(connect(&world, 443, Some("a.example.com")), "reviews through");
    assert_eq!(connect(&world, 443, Some("b.example.com")), "ratings through");
    assert_eq!(connect(&world, 443, Some("other.org")), "closed");
}

#[test]
fn tls_ends_in_front_of_bytes() {
    let rules = "  tcp: [{route: [{destination: {host: ratings}}]}]\n";
    let world = clean(&[
        &secret("shop", "cert", &["db.example.com"]),
        &gateway(&["port: {number: 6380, name: tls, protocol: TLS}, hosts: [db.example.com], \
                    tls: {mode: SIMPLE, credentialName: cert}"]),
        &service("a", 1, "db.example.com", rules),
    ]);
    assert_eq!(connect(&world, 6380, Some("db.example.com")), "ratings ended");
    assert_eq!(connect(&world, 6380, Some("x.example.com")), "closed");
}

#[test]
fn names_of_servers_where_tls_ends_do_not_go_through() {
    let rules = "  tls: [{match: [{sniHosts: ['*.example.com']}], route: [{destination: {host: ratings}}]}]\n";
    let ends = "port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example.com], \
                tls: {mode: SIMPLE, credentialName: cert}";
    let world = clean(&[
        &secret("shop", "cert", &["a.example.com"]),
        &gateway(&[THROUGH, ends]),
        &service("a", 1, "'*.example.com'", rules),
    ]);
    assert_eq!(connect(&world, 443, Some("a.example.com")), "closed");
    assert_eq!(connect(&world, 443, Some("b.example.com")), "ratings through");
}

#[test]
fn bytes_share_their_port_with_nobody() {
    let world = world(&[&gateway(&[
        "port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']",
        "port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']",
    ])]);
    assert_reported(&world, "where bytes cannot be told from other connections");
}
