//! TLSRoute and TCPRoute.

use std::net::{IpAddr, Ipv4Addr};

use weft_model::route::TcpTls;
use weft_route::{TcpAsk, TcpTable};

use super::tls::secret;
use super::{assert_reported, clean, gateway, route, served, words, world};
use crate::World;

/// What a connection gets: the backend, a status for refused, or nothing.
fn dial(world: &World, port: u16, sni: Option<&str>) -> String {
    let is_tls = sni.is_some();
    let table = TcpTable::new(&served(world, port, is_tls).tcp);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ask = TcpAsk { sni, alpn: &[], client_ip: peer, local_ip: peer, tls: is_tls };
    match table.find(&ask) {
        None => "nothing".into(),
        Some(route) => {
            let how = match &route.tls {
                TcpTls::Plain => "",
                TcpTls::Passthrough => " passed",
                TcpTls::Terminate(_) => " ended",
            };
            format!("{}{how}", words(&route.target))
        }
    }
}

fn attached(kind: &str, name: &str, section: &str, hosts: &str, backends: &str) -> String {
    let hosts =
        if kind == "TLSRoute" { format!("  hostnames: [{hosts}]\n") } else { String::new() };
    let spec = format!(
        "  parentRefs: [{{name: gw, sectionName: {section}}}]\n{hosts}\
         \x20 rules: [{{backendRefs: [{backends}]}}]\n"
    );
    route(kind, name, &spec)
}

const V1: &str = "{name: v1, port: 8080}";
const V2: &str = "{name: v2, port: 8080}";

fn passthrough(name: &str, host: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!("hostname: '{host}', ") };
    format!("name: {name}, port: 443, protocol: TLS, {host}tls: {{mode: Passthrough}}")
}

/// TLSRouteHostnameIntersection
#[test]
fn server_names() {
    let check = |listener: &str, routes: &[(&str, &str)], asked: &[(&str, &str)]| {
        let mut documents = vec![gateway(&[&passthrough("l", listener)])];
        for (index, (hosts, backend)) in routes.iter().enumerate() {
            documents.push(attached("TLSRoute", &format!("r{index}"), "l", hosts, backend));
        }
        let world = clean(&documents.iter().map(|text| &**text).collect::<Vec<_>>());
        for (sni, expected) in asked {
            assert_eq!(dial(&world, 443, Some(sni)), *expected, "{sni} at {listener}");
        }
    };
    check(
        "abc.example.com",
        &[("'*.example.com'", V1)],
        &[("abc.example.com", "v1 passed"), ("other.example.com", "nothing")],
    );
    check(
        "*.example.com",
        &[("abc.example.com", V1), ("'*.com'", V2)],
        &[
            ("abc.example.com", "v1 passed"),
            ("other.example.com", "v2 passed"),
            ("other.com", "nothing"),
        ],
    );
    check(
        "*.com",
        &[("abc.example.com", V1), ("'*.example.com'", V2)],
        &[
            ("abc.example.com", "v1 passed"),
            ("x.other.example.com", "v2 passed"),
            ("other.com", "nothing"),
        ],
    );
    check(
        "",
        &[("abc.example.com", V1), ("'*.com'", V2)],
        &[
            ("abc.example.com", "v1 passed"),
            ("other.example.com", "v2 passed"),
            ("other.example.org", "nothing"),
        ],
    );
}

/// TLSRouteTerminateSimpleSameNamespace, TLSRouteMixedTerminationSameNamespace
#[test]
fn ended_and_passed_on_one_port() {
    let ended = "name: ended, port: 443, protocol: TLS, hostname: tls.example.com, \
                 tls: {mode: Terminate, certificateRefs: [{name: cert}]}";
    let world = clean(&[
        &secret("infra", "cert", &["tls.example.com"]),
        &gateway(&[ended, &passthrough("passed", "abc.example.com")]),
        &attached("TLSRoute", "a", "ended", "tls.example.com", V1),
        &attached("TLSRoute", "b", "passed", "abc.example.com", V2),
    ]);
    assert_eq!(dial(&world, 443, Some("tls.example.com")), "v1 ended");
    assert_eq!(dial(&world, 443, Some("abc.example.com")), "v2 passed");
    assert_eq!(dial(&world, 443, Some("else.example.com")), "nothing");
    let tls = world.snapshot.listeners[0].tls.as_ref().unwrap();
    let hosts: Vec<&str> = tls.terminate.entries.iter().map(|entry| &*entry.host).collect();
    assert_eq!(hosts, ["tls.example.com"]);
    assert!(!tls.served.http.enabled, "no HTTP is spoken here");
}

#[test]
fn a_listener_of_bytes_keeps_its_names_from_a_wider_one() {
    let world = clean(&[
        &gateway(&[&passthrough("wide", ""), &passthrough("own", "db.example.com")]),
        &attached("TLSRoute", "r", "wide", "", V1),
        &attached("TLSRoute", "other", "own", "db.example.com", V2),
    ]);
    assert_eq!(dial(&world, 443, Some("web.example.com")), "v1 passed");
    assert_eq!(dial(&world, 443, Some("db.example.com")), "v2 passed");
    let world = clean(&[
        &gateway(&[&passthrough("wide", ""), &passthrough("own", "db.example.com")]),
        &attached("TLSRoute", "r", "wide", "", V1),
    ]);
    assert_eq!(dial(&world, 443, Some("db.example.com")), "404 passed", "refused, not passed on");
}

#[test]
fn an_https_listener_keeps_its_names_from_a_wildcard_of_bytes() {
    let https = "name: web, port: 443, protocol: HTTPS, hostname: web.example.com, \
                 tls: {certificateRefs: [{name: cert}]}";
    let world = clean(&[
        &secret("infra", "cert", &["web.example.com"]),
        &gateway(&[https, &passthrough("l", "*.example.com")]),
        &attached("TLSRoute", "r", "l", "", V1),
    ]);
    assert_eq!(dial(&world, 443, Some("db.example.com")), "v1 passed");
    assert_eq!(dial(&world, 443, Some("web.example.com")), "nothing", "it is for HTTP");
}

/// TCPRouteWeightedRouting, TCPRouteInvalidBackendRefNonexistent
#[test]
fn tcp_backends() {
    let check = |backends: &str, expected: &str| {
        let world = world(&[
            &gateway(&["name: l, port: 9000, protocol: TCP"]),
            &attached("TCPRoute", "r", "l", "", backends),
        ]);
        assert_eq!(dial(&world, 9000, None), expected, "{backends}");
        // A client that speaks TLS to its own server goes through as well.
        assert_eq!(dial(&world, 9000, Some("x.example")), format!("{expected} passed"));
    };
    check(V1, "v1");
    check("{name: v1, port: 8080, weight: 7}, {name: v2, port: 8080, weight: 3}", "v1:7 v2:3");
    check("{name: nobody, port: 8080}", "500");
    check("{name: v1, port: 8080}, {name: nobody, port: 8080}", "v1:1 500:1");
    check("{name: v1, namespace: other, port: 8080}", "500");
}

/// TCPRouteMultipleRoutesAttachment
#[test]
fn the_oldest_tcp_route_wins() {
    let dated = |name: &str, created: &str, backend: &str| {
        attached("TCPRoute", name, "l", "", backend).replace(
            "namespace: infra",
            &format!("namespace: infra, creationTimestamp: '{created}'"),
        )
    };
    let world = clean(&[
        &gateway(&["name: l, port: 9000, protocol: TCP"]),
        &dated("a", "2024-01-02T00:00:00Z", V2),
        &dated("b", "2024-01-01T00:00:00Z", V1),
    ]);
    assert_eq!(dial(&world, 9000, None), "v1");
}

/// TLSRouteInvalidNoMatchingListener, TCPRouteInvalidNonTCPListener
#[test]
fn routes_of_bytes_need_their_protocol() {
    let check = |kind: &str, listener: &str| {
        let world = world(&[&gateway(&[listener]), &attached(kind, "r", "l", "a.example", V1)]);
        assert_reported(&world, &format!("does not take routes of kind {kind}"));
    };
    check("TCPRoute", "name: l, port: 80, protocol: HTTP");
    check("TLSRoute", "name: l, port: 80, protocol: HTTP");
    check("TLSRoute", "name: l, port: 80, protocol: TCP");
    check("TCPRoute", &passthrough("l", ""));
}

#[test]
fn udp_is_named() {
    let route = "apiVersion: gateway.networking.k8s.io/v1alpha2
kind: UDPRoute
metadata: {name: r, namespace: infra}
spec: {rules: []}
---
";
    assert_reported(&world(&[route]), "UDPRoute infra/r is not served: UDP is not proxied");
}

#[test]
fn a_rule_for_connections_has_its_name() {
    let text = attached("TCPRoute", "r", "l", "", V1);
    let gateway = gateway(&["name: l, port: 5432, protocol: TCP"]);
    for (rule, expected) in [("", "0"), ("name: data, ", "data")] {
        let text = text.replace("{backendRefs:", &format!("{{{rule}backendRefs:"));
        let world = clean(&[&gateway, &text]);
        let id = served(&world, 5432, false).tcp[0].id.to_string();
        assert_eq!(id, format!("tcproute/infra/r/{expected}"));
    }
}
