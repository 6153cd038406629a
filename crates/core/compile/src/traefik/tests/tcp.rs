//! TCP routers.

use std::sync::Arc;
use std::time::Duration;

use weft_model::calling::ProxyVersion;
use weft_model::route::{HostMatch, Target, TcpMatcher, TcpRoute, TcpTls};

use super::{backend, object, problems, side, world};
use crate::World;

fn route(entry_point: &str, rule: &str, rest: &str) -> String {
    object(
        "IngressRouteTCP",
        "t",
        &format!("  entryPoints: [{entry_point}]\n  routes:\n  - match: {rule}\n{rest}"),
    )
}

fn tcp<'a>(world: &'a World, name: &str, is_tls: bool) -> &'a [Arc<TcpRoute>] {
    side(world, name, is_tls).map(|served| &*served.tcp).unwrap_or_default()
}

#[test]
fn plain() {
    let world =
        world(&route("web", "HostSNI(`*`)", "    services: [{name: greeter, port: 8080}]\n"));
    assert_eq!(problems(&world), [""; 0]);
    let [route] = tcp(&world, "web", false) else { panic!("no route") };
    assert_eq!(route.matcher, TcpMatcher::Sni(HostMatch::Any));
    assert_eq!(route.tls, TcpTls::Plain);
    assert_eq!(route.rank.major, -1);
    let backend = backend(&world, &route.target);
    assert_eq!(backend.id.as_str(), "tcp/default/greeter:8080");
    assert_eq!(backend.termination_delay, Some(Duration::from_millis(100)));
}

#[test]
fn passed_through_or_ended_here() {
    let services = "    services: [{name: greeter, port: 8080}]\n";
    let rule = "HostSNI(`db.example`)";
    let through =
        world(&route("websecure", rule, &format!("{services}  tls: {{passthrough: true}}\n")));
    assert_eq!(tcp(&through, "websecure", true)[0].tls, TcpTls::Passthrough);
    let ended = world(&route("websecure", rule, &format!("{services}  tls: {{}}\n")));
    assert!(matches!(tcp(&ended, "websecure", true)[0].tls, TcpTls::Terminate(_)));
    assert_eq!(tcp(&ended, "websecure", false).len(), 0);
}

#[test]
fn a_name_without_tls_matches_nothing() {
    let text =
        route("web", "HostSNI(`a.example`)", "    services: [{name: greeter, port: 8080}]\n");
    let found = problems(&world(&text));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("t.yaml:8:12: error: spec.routes[0].match: a router without"));
}

#[test]
fn services_have_settings() {
    let transport = object(
        "ServersTransportTCP",
        "st",
        "  dialTimeout: 3s\n  terminationDelay: 1s\n  proxyProtocol: {version: 1}\n  tls: {serverName: db.example}\n",
    );
    let text = format!(
        "{}{transport}",
        route(
            "web",
            "HostSNI(`*`)",
            "    services:\n    - {name: greeter, port: 8080, weight: 3, proxyProtocol: {}, terminationDelay: -1}\n    - {name: other, port: 8080, serversTransport: st}\n"
        )
    );
    let world = world(&text);
    assert_eq!(problems(&world), [""; 0]);
    let target = &tcp(&world, "web", false)[0].target;
    let Target::Weighted(weighted) = target else { panic!("{target:?}") };
    assert_eq!(weighted.choices.iter().map(|choice| choice.weight).collect::<Vec<_>>(), [3, 1]);
    let first = backend(&world, &weighted.choices[0].target);
    assert_eq!(
        (first.calling.proxy_protocol, first.termination_delay),
        (Some(ProxyVersion::V2), None)
    );
    assert_eq!(first.calling.tls, None);
    let second = backend(&world, &weighted.choices[1].target);
    assert_eq!(second.calling.proxy_protocol, Some(ProxyVersion::V1));
    assert_eq!(second.termination_delay, Some(Duration::from_secs(1)));
    assert_eq!(second.calling.pool.connect_timeout, Duration::from_secs(3));
    let tls = second.calling.tls.as_deref().expect("tls");
    assert_eq!(tls.server_name.as_deref(), Some("db.example"));
}

#[test]
fn middlewares_bound_and_lists_intersect() {
    let text = [
        route(
            "web",
            "HostSNI(`*`)",
            "    middlewares: [{name: a}, {name: b}, {name: c}]\n    services: [{name: greeter, port: 8080}]\n",
        ),
        object("MiddlewareTCP", "a", "  inFlightConn: {amount: 7}\n"),
        object(
            "MiddlewareTCP",
            "b",
            "  ipAllowList: {sourceRange: [10.0.0.0/8, 192.168.0.0/16]}\n",
        ),
        object("MiddlewareTCP", "c", "  ipWhiteList: {sourceRange: [10.1.0.0/16]}\n"),
    ];
    let world = world(&text.concat());
    assert_eq!(problems(&world), [""; 0]);
    let route = &tcp(&world, "web", false)[0];
    assert_eq!(route.in_flight_max, Some(7));
    assert_eq!(route.allow, ["10.1.0.0/16".parse().expect("a network")]);
}

#[test]
fn what_protects_is_never_dropped() {
    let check = |middlewares: &str, expected: &str| {
        let text = [
            route(
                "web",
                "HostSNI(`*`)",
                &format!(
                    "    middlewares: {middlewares}\n    services: [{{name: greeter, port: 8080}}]\n"
                ),
            ),
            object("MiddlewareTCP", "b", "  ipAllowList: {sourceRange: [10.0.0.0/8]}\n"),
            object("MiddlewareTCP", "c", "  ipAllowList: {sourceRange: [192.168.0.0/16]}\n"),
        ];
        let world = world(&text.concat());
        let found = problems(&world);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
        assert!(matches!(tcp(&world, "web", false)[0].target, Target::Refuse(_)));
    };
    check("[{name: gone}]", "MiddlewareTCP `default/gone` is not found");
    check("[{name: b}, {name: c}]", "together these lists allow nobody");
}
