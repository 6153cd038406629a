//! The file provider.

use weft_model::backend::Endpoints;
use weft_model::policy::StepKind;
use weft_model::route::{Target, TcpTls};

use super::{backend, kinds, only_route, problems, routes, side, world};

#[test]
fn routers_services_and_middlewares() {
    let world = world(
        "---
http:
  routers:
    app:
      entryPoints: [web]
      rule: Host(`a.example`)
      middlewares: [strip, all]
      service: app
  middlewares:
    strip: {stripPrefix: {prefixes: [/x]}}
    all: {chain: {middlewares: [strip@file]}}
  services:
    app:
      loadBalancer:
        servers:
        - {url: 'http://127.0.0.1:9000/'}
        - {url: 'http://127.0.0.2:9000', weight: 5}
",
    );
    assert_eq!(problems(&world), [""; 0]);
    let route = only_route(&world);
    assert_eq!(route.id.as_str(), "router/app@file");
    assert_eq!(
        (&*route.origin.kind, &*route.origin.name, world.snapshot.line(&route.id)),
        ("Router", "app@file", 4)
    );
    assert_eq!(kinds(route).len(), 2);
    let backend = backend(&world, &route.target);
    assert_eq!(backend.id.as_str(), "app@file");
    let Endpoints::Static(list) = &backend.endpoints else { panic!("{backend:?}") };
    let list: Vec<_> =
        list.iter().map(|endpoint| (endpoint.addr.to_string(), endpoint.weight)).collect();
    assert_eq!(list, [("127.0.0.1:9000".to_owned(), 1), ("127.0.0.2:9000".to_owned(), 5)]);
}

#[test]
fn a_server_that_keeps_its_path_is_not_used() {
    let check = |keeps: &str, is_used: bool| {
        let world = world(&format!(
            "---
http:
  routers: {{r: {{rule: Path(`/a`), service: s, entryPoints: [web]}}}}
  services:
    s: {{loadBalancer: {{servers: [{{url: 'http://10.0.0.1:80', preservePath: {keeps}}}]}}}}
"
        ));
        let target = &only_route(&world).target;
        assert_eq!(matches!(target, Target::Backend(_)), is_used, "{target:?}");
        let said = problems(&world);
        let is_said =
            said.iter().any(|line| line.contains("`preservePath: true` is not supported"));
        assert_eq!(is_said, !is_used, "{said:?}");
    };
    check("false", true);
    check("true", false);
}

#[test]
fn names_and_schemes_are_backends_of_their_own() {
    let world = world(
        "---
http:
  routers: {r: {rule: Path(`/a`), service: s, entryPoints: [web]}}
  services:
    s:
      loadBalancer:
        serversTransport: t
        servers: [{url: 'https://up.example'}, {url: 'h2c://10.0.0.1:50'}, {url: 'http://[::1]:81'}]
  serversTransports: {t: {maxIdleConnsPerHost: 3}}
",
    );
    assert_eq!(problems(&world), [""; 0]);
    let target = &only_route(&world).target;
    let Target::Weighted(weighted) = target else { panic!("{target:?}") };
    let parts: Vec<String> = weighted
        .choices
        .iter()
        .map(|choice| {
            let backend = backend(&world, &choice.target);
            assert_eq!(backend.calling.pool.idle_per_endpoint_max, 3);
            format!("{} {:?} {}", backend.id, backend.protocol, backend.calling.tls.is_some())
        })
        .collect();
    assert_eq!(parts, ["s@file/0 Auto false", "s@file/1 Auto true", "s@file/2 Http2 false"]);
}

#[test]
fn services_of_services() {
    let world = world(
        "---
http:
  routers: {r: {rule: Path(`/a`), service: w, entryPoints: [web]}}
  services:
    w: {weighted: {services: [{name: m, weight: 2}, {name: f}], healthCheck: {}}}
    m: {mirroring: {service: a, mirrorBody: false, mirrors: [{name: b, percent: 1}]}}
    f: {failover: {service: a, fallback: h}}
    h: {highestRandomWeight: {services: [{name: b}]}}
    a: {loadBalancer: {servers: [{url: 'http://127.0.0.1:1'}]}}
    b: {loadBalancer: {servers: [{url: 'http://127.0.0.1:2'}]}}
",
    );
    assert_eq!(problems(&world), [""; 0]);
    assert!(matches!(only_route(&world).target, Target::Weighted(_)));
    assert_eq!(world.snapshot.backends.len(), 2);
}

#[test]
fn a_mistake_costs_only_its_own_router() {
    let world = world(
        "---
http:
  routers:
    good: {rule: Path(`/a`), service: s, entryPoints: [web]}
    bad: {rule: Path(`/b`), service: s, entryPoints: [web], prority: 5}
    worse: {service: s}
    missing: {rule: Path(`/c`), service: nope, entryPoints: [web], middlewares: [gone]}
  services:
    s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:1'}]}}
    none: {loadBalancer: {servers: [{url: '127.0.0.1:1'}]}}
",
    );
    assert_eq!(
        problems(&world),
        [
            "t.yaml:5:61: error: http.routers.bad.prority: unknown field `prority` \
             [did you mean `priority`?]",
            "t.yaml:6:12: error: http.routers.worse: the field `rule` is required",
            "t.yaml:7:42: error: http.routers.missing.service: answered 503: Service `nope` is not \
             found [add Service nope to what is read, which is services.yaml, t.yaml]",
            "t.yaml:7:82: error: http.routers.missing.middlewares[0]: not served (503): Middleware \
             `gone` is not found [add Middleware gone to what is read, which is services.yaml, t.yaml]",
            "t.yaml:10:43: error: http.services.none.loadBalancer.servers[0].url: `127.0.0.1:1` is \
             not the URL of a server [write a URL such as http://10.0.0.5:8080]",
        ]
    );
    assert_eq!(routes(&world).len(), 2);
}

#[test]
fn unknown_sections_are_said() {
    let world = world("---\nhttp:\n  router: {}\ntcp: {}\n");
    assert_eq!(
        problems(&world),
        ["t.yaml:3:3: error: http.router: unknown field `router` [did you mean `routers`?]"]
    );
}

#[test]
fn tcp_and_udp() {
    let world = world(
        "---
tcp:
  routers:
    db: {rule: HostSNI(`db.example`), service: db, entryPoints: [websecure], tls: {passthrough: true}, middlewares: [few]}
  services:
    db: {loadBalancer: {servers: [{address: '10.0.0.1:5432'}, {address: 'db.internal:5432', tls: true}], proxyProtocol: {}}}
  middlewares: {few: {inFlightConn: {amount: 2}}}
udp:
  routers: {d: {service: x}}
",
    );
    assert_eq!(
        problems(&world),
        ["t.yaml:9:1: warning: kind: RouterUDP d is not served: UDP is not served"]
    );
    let served = side(&world, "websecure", true).expect("TLS");
    let [route] = served.tcp.as_slice() else { panic!("{served:?}") };
    assert_eq!((route.id.as_str(), &route.tls), ("routertcp/db@file", &TcpTls::Passthrough));
    assert_eq!(route.in_flight_max, Some(2));
    assert!(matches!(&route.target, Target::Weighted(weighted) if weighted.choices.len() == 2));
}

#[test]
fn parents_are_not_served() {
    let world = world(
        "---
http:
  routers:
    leaf: {rule: Path(`/a`), service: s, entryPoints: [web], parentRefs: [root]}
  services: {s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:1'}]}}}
",
    );
    assert!(matches!(kinds(only_route(&world))[..], [StepKind::Refuse(_)]));
}
