//! Listeners: hosts, isolation, who may attach, and conflicts.

use super::{
    ask, assert_reported, check, clean, gateway, http_route, plain_gateway, problems, route, rule,
    world,
};

/// A rule that takes everything.
fn all(backend: &str) -> String {
    rule("", backend)
}

fn attached(name: &str, parents: &str, hosts: &str, rules: &str) -> String {
    let spec = format!("  parentRefs: [{parents}]\n  hostnames: [{hosts}]\n  rules:\n{rules}");
    route("HTTPRoute", name, &spec)
}

/// HTTPRouteHostnameIntersection
#[test]
fn hosts_of_listener_and_route_intersect() {
    let gateway = gateway(&[
        "name: one, port: 80, protocol: HTTP, hostname: very.specific.com",
        "name: two, port: 80, protocol: HTTP, hostname: '*.wildcard.io'",
        "name: three, port: 80, protocol: HTTP, hostname: '*.anotherwildcard.io'",
    ]);
    let prefix = |path: &str, backend| rule(&format!("{{path: {{value: {path}}}}}"), backend);
    let world = world(&[
        &gateway,
        &attached(
            "specific-specific",
            "{name: gw}",
            "non.matching.com, '*.nonmatchingwildcard.io', very.specific.com",
            &prefix("/s1", "v1"),
        ),
        &attached(
            "specific-wildcard",
            "{name: gw}",
            "non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io",
            &prefix("/s2", "v2"),
        ),
        &attached(
            "wildcard-specific",
            "{name: gw}",
            "non.matching.com, '*.specific.com'",
            &prefix("/s3", "v3"),
        ),
        &attached(
            "wildcard-wildcard",
            "{name: gw}",
            "'*.anotherwildcard.io'",
            &prefix("/s4", "v1"),
        ),
        &attached(
            "none",
            "{name: gw}",
            "specific.but.wrong.com, wildcard.io",
            &prefix("/s5", "v2"),
        ),
    ]);
    check(
        &world,
        &[
            ("GET very.specific.com/s1", "v1"),
            ("GET very.specific.com:1234/s1", "v1"),
            ("GET non.matching.com/s1", "404"),
            ("GET foo.nonmatchingwildcard.io/s1", "404"),
            ("GET foo.wildcard.io/s1", "404"),
            ("GET very.specific.com/non-matching-prefix", "404"),
            ("GET foo.wildcard.io/s2", "v2"),
            ("GET bar.wildcard.io/s2", "v2"),
            ("GET foo.bar.wildcard.io/s2", "v2"),
            ("GET wildcard.io/s2", "404"),
            ("GET very.specific.com/s2", "404"),
            ("GET very.specific.com/s3", "v3"),
            ("GET foo.specific.com/s3", "404"),
            ("GET foo.anotherwildcard.io/s4", "v1"),
            ("GET foo.bar.anotherwildcard.io/s4", "v1"),
            ("GET anotherwildcard.io/s4", "404"),
            ("GET foo.wildcard.io/s4", "404"),
            ("GET specific.but.wrong.com/s5", "404"),
            ("GET wildcard.io/s5", "404"),
        ],
    );
    assert_reported(&world, "`non.matching.com` fits no listener");
    assert_reported(&world, "no host of the route fits the listener");
}

/// HTTPRouteHostnameIntersection, listener without a host
#[test]
fn a_listener_without_a_host_takes_those_of_the_route() {
    let world = clean(&[
        &plain_gateway(),
        &attached("r", "{name: gw}", "first.com, sub.first.com, '*.wild.com'", &all("v2")),
    ]);
    check(
        &world,
        &[
            ("GET first.com/", "v2"),
            ("GET sub.first.com/", "v2"),
            ("GET a.b.wild.com/", "v2"),
            ("GET wild.com/", "404"),
            ("GET third.com/", "404"),
            ("GET sub.third.com/", "404"),
        ],
    );
}

#[test]
fn the_longest_host_wins_before_any_path() {
    let prefix = |path: &str, backend| rule(&format!("{{path: {{value: {path}}}}}"), backend);
    let world = clean(&[
        &plain_gateway(),
        &attached("a", "{name: gw}", "'*.example.com'", &prefix("/long/path", "v1")),
        &attached("b", "{name: gw}", "'*.foo.example.com'", &prefix("/", "v2")),
        &attached("c", "{name: gw}", "a.foo.example.com", &prefix("/", "v3")),
    ]);
    check(
        &world,
        &[
            ("GET x.example.com/long/path", "v1"),
            ("GET x.foo.example.com/long/path", "v2"),
            ("GET a.foo.example.com/long/path", "v3"),
        ],
    );
}

/// HTTPRouteListenerHostnameMatching
#[test]
fn sections_with_hosts() {
    let gateway = gateway(&[
        "name: one, port: 80, protocol: HTTP, hostname: bar.com",
        "name: two, port: 80, protocol: HTTP, hostname: foo.bar.com",
        "name: three, port: 80, protocol: HTTP, hostname: '*.bar.com'",
        "name: four, port: 80, protocol: HTTP, hostname: '*.foo.com'",
    ]);
    let world = clean(&[
        &gateway,
        &attached("one", "{name: gw, sectionName: one}", "", &all("v1")),
        &attached("two", "{name: gw, sectionName: two}", "", &all("v2")),
        &attached(
            "three",
            "{name: gw, sectionName: three}, {name: gw, sectionName: four}",
            "",
            &all("v3"),
        ),
    ]);
    check(
        &world,
        &[
            ("GET bar.com/", "v1"),
            ("GET foo.bar.com/", "v2"),
            ("GET baz.bar.com/", "v3"),
            ("GET boo.bar.com/", "v3"),
            ("GET multiple.prefixes.bar.com/", "v3"),
            ("GET multiple.prefixes.foo.com/", "v3"),
            ("GET foo.com/", "404"),
            ("GET no.matching.host/", "404"),
        ],
    );
}

/// The four listeners of the isolation cases.
const NESTED: [&str; 4] = [
    "name: empty, port: 80, protocol: HTTP",
    "name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'",
    "name: foo, port: 80, protocol: HTTP, hostname: '*.foo.example.com'",
    "name: abc, port: 80, protocol: HTTP, hostname: abc.foo.example.com",
];

const NESTED_HOSTS: [(&str, &str); 4] = [
    ("bar.com", "empty"),
    ("bar.example.com", "wild"),
    ("bar.foo.example.com", "foo"),
    ("abc.foo.example.com", "abc"),
];

/// GatewayHTTPListenerIsolation
#[test]
fn a_request_belongs_to_the_most_specific_listener() {
    let mut documents = vec![gateway(&NESTED)];
    for name in ["empty", "wild", "foo", "abc"] {
        let rules = rule(&format!("{{path: {{value: /{name}}}}}"), "v1");
        let parent = format!("{{name: gw, sectionName: {name}}}");
        documents.push(attached(name, &parent, "", &rules));
    }
    let world = clean(&documents.iter().map(|text| &**text).collect::<Vec<_>>());
    for (host, own) in NESTED_HOSTS {
        for path in ["empty", "wild", "foo", "abc"] {
            let expected = if path == own { "v1" } else { "404" };
            let line = format!("GET {host}/{path}");
            assert_eq!(ask(&world, 80, &line), expected, "{line}");
        }
    }
}

/// GatewayHTTPListenerIsolation, with hosts in the routes
#[test]
fn hosts_of_a_route_do_not_cross_listeners() {
    let hosts = "bar.com, '*.example.com', '*.foo.example.com', abc.foo.example.com";
    let mut documents = vec![gateway(&NESTED)];
    for name in ["empty", "wild", "foo", "abc"] {
        let rules = rule(&format!("{{path: {{value: /{name}}}}}"), "v1");
        let parent = format!("{{name: gw, sectionName: {name}}}");
        documents.push(attached(name, &parent, hosts, &rules));
    }
    let world = world(&documents.iter().map(|text| &**text).collect::<Vec<_>>());
    for (host, own) in NESTED_HOSTS {
        for path in ["empty", "wild", "foo", "abc"] {
            let expected = if path == own { "v1" } else { "404" };
            let line = format!("GET {host}/{path}");
            assert_eq!(ask(&world, 80, &line), expected, "{line}");
        }
    }
}

/// HTTPRouteListenerPortMatching
#[test]
fn parents_by_port() {
    let gateway = gateway(&[
        "name: one, port: 80, protocol: HTTP, hostname: foo.com",
        "name: two, port: 8080, protocol: HTTP, hostname: foo.com",
        "name: three, port: 8080, protocol: HTTP, hostname: bar.com",
        "name: four, port: 8090, protocol: HTTP, hostname: foo.com",
        "name: five, port: 8090, protocol: HTTP, hostname: bar.com",
    ]);
    let world = clean(&[
        &gateway,
        &attached("one", "{name: gw, port: 80}", "", &all("v1")),
        &attached("two", "{name: gw, port: 8080}", "", &all("v2")),
        &attached("three", "{name: gw, port: 8090, sectionName: four}", "", &all("v3")),
    ]);
    let asked = [
        (80, "GET foo.com/", "v1"),
        (8080, "GET foo.com:8080/", "v2"),
        (8080, "GET bar.com:8080/", "v2"),
        (8090, "GET foo.com:8090/", "v3"),
        (8090, "GET bar.com:8090/", "404"),
    ];
    for (port, line, expected) in asked {
        assert_eq!(ask(&world, port, line), expected, "{line}");
    }
}

/// HTTPRouteInvalidParentRefNotMatchingSectionName, ...NotMatchingListenerPort,
/// ...SectionNameNotMatchingPort
#[test]
fn parents_that_are_not_there() {
    let check = |parent: &str, reason: &str| {
        let world = world(&[&plain_gateway(), &attached("r", parent, "", &all("v1"))]);
        assert_eq!(ask(&world, 80, "GET h/"), "404", "{parent}");
        assert_reported(&world, reason);
    };
    check("{name: gw, sectionName: http1}", "has no listener `http1`");
    check("{name: gw, port: 81}", "has no listener on port 81");
    check("{name: gw, sectionName: http, port: 81}", "has no listener `http` on port 81");
    check("{name: gw2}", "Gateway infra/gw2 is not found");
    check("{name: gw, namespace: other}", "Gateway other/gw is not found");
    check("{name: gw, kind: Foo}", "routes do not attach to a Foo");
    check("", "the route attaches to nothing");
}

/// HTTPRouteCrossNamespace, HTTPRouteInvalidCrossNamespaceParentRef
#[test]
fn routes_of_other_namespaces_need_permission() {
    let route = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: other}
spec:
  parentRefs: [{name: gw, namespace: infra}]
  rules: [{backendRefs: [{name: v1, port: 8080}]}]
---
";
    let namespace = "apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {team: a}}
---
";
    let check = |from: &str, expected: &str| {
        let listener = format!(
            "name: http, port: 80, protocol: HTTP, allowedRoutes: {{namespaces: {{{from}}}}}"
        );
        let world = world(&[namespace, &gateway(&[&listener]), route]);
        assert_eq!(ask(&world, 80, "GET h/"), expected, "{from}");
        if expected == "404" {
            assert_reported(&world, "does not allow routes from the namespace `other`");
        }
    };
    check("from: Same", "404");
    check("from: All", "other/v1");
    check("from: Selector, selector: {matchLabels: {team: a}}", "other/v1");
    check("from: Selector, selector: {matchLabels: {team: b}}", "404");
    check(
        "from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}",
        "other/v1",
    );
    check(
        "from: Selector, selector: {matchExpressions: [{key: team, operator: Exists}]}",
        "other/v1",
    );
}

/// HTTPRouteDisallowedKind, GatewayInvalidRouteKind
#[test]
fn kinds_that_are_not_allowed() {
    let only_grpc = gateway(&[
        "name: http, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}",
    ]);
    let one = world(&[&only_grpc, &attached("r", "{name: gw}", "", &all("v1"))]);
    assert_eq!(ask(&one, 80, "GET h/"), "404");
    assert_reported(&one, "does not take routes of kind HTTPRoute");

    let mixed = gateway(&[
        "name: http, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: Foo}, {kind: HTTPRoute}]}",
    ]);
    let two = world(&[&mixed, &attached("r", "{name: gw}", "", &all("v1"))]);
    assert_eq!(ask(&two, 80, "GET h/"), "v1");
    assert_reported(&two, "routes of kind Foo do not fit the protocol HTTP");
}

#[test]
fn listeners_that_cannot_be_told_apart_are_all_left_out() {
    let gateway = gateway(&[
        "name: a, port: 80, protocol: HTTP, hostname: x.com",
        "name: b, port: 80, protocol: HTTP, hostname: X.com",
        "name: c, port: 80, protocol: HTTP, hostname: y.com",
        "name: d, port: 81, protocol: HTTP",
        "name: e, port: 81, protocol: TCP",
        "name: f, port: 82, protocol: UDP",
    ]);
    let world = world(&[&gateway, &attached("r", "{name: gw}", "", &all("v1"))]);
    check(&world, &[("GET x.com/", "404"), ("GET y.com/", "v1")]);
    assert!(!world.snapshot.listeners.iter().any(|listener| listener.addr.port() == 81));
    assert_reported(&world, "it cannot be told from the listener `b`");
    assert_reported(&world, "it cannot be told from the listener `d`");
    assert_reported(&world, "the protocol UDP is not supported");
}

#[test]
fn gateways_on_one_address_are_served_together() {
    let second = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw2, namespace: infra}
spec:
  gatewayClassName: weftway
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
";
    let one = rule("{path: {value: /1}}", "v1");
    let two = rule("{path: {value: /2}}", "v2");
    let both = rule("{path: {value: /3}}", "v3");
    let world = clean(&[
        &plain_gateway(),
        second,
        &attached("one", "{name: gw}", "", &one),
        &attached("two", "{name: gw2}", "", &two),
        &attached("both", "{name: gw}, {name: gw2}", "", &both),
    ]);
    check(&world, &[("GET h/1", "v1"), ("GET h/2", "v2"), ("GET h/3", "v3")]);
    assert_eq!(super::served(&world, 80, false).http.routes.len(), 3);
    assert_reported(&world, "the routes of both are served together");
}

#[test]
fn gateways_can_have_addresses_of_their_own() {
    let second = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw2, namespace: infra}
spec:
  gatewayClassName: weftway
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
";
    let mut options = crate::Options::new(Vec::new());
    options.port_map.insert(80, 8080);
    options.gateway_addresses.insert("infra/gw2".into(), [127, 0, 0, 2].into());
    let text = format!("{}{second}", plain_gateway());
    let world = crate::compile(&weft_resources::load(&[("a.yaml", text)]), &options, None);
    let addrs: Vec<String> =
        world.snapshot.listeners.iter().map(|listener| listener.addr.to_string()).collect();
    assert_eq!(addrs, ["0.0.0.0:8080", "127.0.0.2:8080"]);
}

#[test]
fn classes_of_other_controllers_are_not_ours() {
    let class = |controller: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: weftway}}
spec: {{controllerName: {controller}}}
---
"
        )
    };
    let route = attached("r", "{name: gw}", "", &all("v1"));
    let ours = clean(&[&class("weftway.io/gateway-controller"), &plain_gateway(), &route]);
    check(&ours, &[("GET h/", "v1")]);
    let theirs = world(&[&class("istio.io/gateway-controller"), &plain_gateway(), &route]);
    assert!(theirs.snapshot.listeners.is_empty());
    assert_reported(&theirs, "belongs to the controller `istio.io/gateway-controller`");
    assert_eq!(problems(&theirs), Vec::<String>::new(), "others' Gateways are no fault");
}

/// ListenerSetAllowedNamespace*, ListenerSetDefaultNotAllowed, ListenerSetHostnameConflict
#[test]
fn listener_sets_add_listeners_where_they_may() {
    let gateway = |allowed: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: infra}}
spec:
  gatewayClassName: weftway
  {allowed}
  listeners: [{{name: http, port: 80, protocol: HTTP, hostname: a.com}}]
---
"
        )
    };
    let set = "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: set, namespace: other}
spec:
  parentRef: {name: gw, namespace: infra}
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: b.com}
  - {name: clash, port: 80, protocol: HTTP, hostname: a.com}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: other}
spec:
  parentRefs: [{kind: ListenerSet, name: set}]
  rules: [{backendRefs: [{name: v1, port: 8080}]}]
---
";
    let own = attached("own", "{name: gw}", "", &all("v2"));
    let all = world(&[&gateway("allowedListeners: {namespaces: {from: All}}"), set, &own]);
    check(&all, &[("GET b.com/", "other/v1"), ("GET a.com/", "v2")]);
    assert_reported(&all, "the listener `clash` is not served: it conflicts with");
    for allowed in ["", "allowedListeners: {namespaces: {from: Same}}"] {
        let none = world(&[&gateway(allowed), set, &own]);
        check(&none, &[("GET b.com/", "404"), ("GET a.com/", "v2")]);
        assert_reported(&none, "does not allow ListenerSets of this namespace");
    }
}

#[test]
fn a_gateway_that_is_rejected_is_not_called_missing() {
    let broken = plain_gateway().replace("  listeners:", "  listener: 1\n  listeners:");
    let world = world(&[&broken, &http_route(&rule("", "v1"))]);
    assert_reported(&world, "is rejected");
    let problems = world.report.problems();
    let problem = problems.iter().find(|problem| problem.message.contains("is rejected"));
    let problem = problem.expect("it was just found");
    assert!(problem.message.starts_with("Gateway infra/gw ("), "{problem}");
    assert_eq!(problem.fix.as_deref(), Some("correct what is said about it"));
}
