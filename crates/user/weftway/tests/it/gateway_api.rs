//! Gateway API: listeners, attachment and matching. Each test restates a case of the upstream
//! conformance suite and has its name.

use std::collections::BTreeMap;

use weft_testkit::conformance::{
    Conformance, INFRA, WEB, backend_ref, gateway, path, route, route_to, rule, same_namespace,
};
use weft_testkit::{Certificates, H2Client, RawClient, TlsDial};

use crate::common::BINARY;

fn start(documents: &[&str]) -> Conformance {
    Conformance::start(BINARY, documents)
}

#[test]
fn http_route_simple_same_namespace() {
    let rules = format!("  - backendRefs: [{}]\n", backend_ref("v1"));
    let it = start(&[&same_namespace(), &route("HTTPRoute", "simple", &rules)]);
    it.check(&[("any.test", "/", &[], "v1"), ("other.test:80", "/x/y?z", &[], "v1")]);
}

#[test]
fn http_route_exact_path_matching() {
    let rules = rule(&path("Exact", "/one"), "v1") + &rule(&path("Exact", "/two"), "v2");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "exact", &rules)]);
    it.check(&[
        ("a.test", "/one", &[], "v1"),
        ("a.test", "/two", &[], "v2"),
        ("a.test", "/", &[], "404"),
        ("a.test", "/one/example", &[], "404"),
        ("a.test", "/two/", &[], "404"),
        ("a.test", "/Two", &[], "404"),
    ]);
}

#[test]
fn http_route_matching() {
    let version = "{headers: [{name: version, value: two}]}";
    let both = "{path: {type: PathPrefix, value: /v2}, headers: [{name: version, value: two}]}";
    let rules = rule(&path("PathPrefix", "/"), "v1")
        + &rule(version, "v1")
        + &rule(&path("PathPrefix", "/v2"), "v2")
        + &rule(both, "v2");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "matching", &rules)]);
    it.check(&[
        ("a.test", "/", &[], "v1"),
        ("a.test", "/example", &[], "v1"),
        ("a.test", "/", &[("Version", "one")], "v1"),
        ("a.test", "/v2", &[], "v2"),
        ("a.test", "/v2example", &[], "v1"),
        ("a.test", "/foo/v2/example", &[], "v1"),
        ("a.test", "/v2/", &[("Version", "two")], "v2"),
        ("a.test", "/", &[("Version", "two")], "v1"),
    ]);
}

#[test]
fn http_route_matching_across_routes() {
    let part = |name: &str, hosts: &str, rules: &str| {
        let spec = format!("  hostnames: [{hosts}]\n  rules:\n{rules}");
        route_to("HTTPRoute", name, "[{name: same-namespace}]", &spec)
    };
    let header = "{headers: [{name: version, value: two}]}";
    let first = part(
        "part1",
        "example.com, example.net",
        &(rule(&path("PathPrefix", "/"), "v1") + &rule(header, "v1")),
    );
    let second = part(
        "part2",
        "example.com",
        &(rule(&path("PathPrefix", "/v2"), "v2")
            + &rule(&format!("{{path: {{type: PathPrefix, value: /}}, {}", &header[1..]), "v2")),
    );
    let it = start(&[&same_namespace(), &first, &second]);
    it.check(&[
        ("example.com", "/", &[], "v1"),
        ("example.com", "/example", &[], "v1"),
        ("example.net", "/example", &[], "v1"),
        ("example.com", "/", &[("Version", "one")], "v1"),
        ("example.com", "/v2", &[], "v2"),
        ("example.com", "/v2/example", &[], "v2"),
        ("example.net", "/v2", &[], "v1"),
        ("example.org", "/", &[], "404"),
    ]);
}

#[test]
fn http_route_header_matching() {
    let header = |pairs: &[(&str, &str)]| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{{name: {name}, value: {value}}}")).collect();
        format!("{{headers: [{}]}}", pairs.join(", "))
    };
    let rules = rule(&header(&[("version", "one")]), "v1")
        + &rule(&header(&[("version", "two")]), "v2")
        + &rule(&header(&[("version", "two"), ("color", "orange")]), "v1")
        + &rule(
            &format!("{}, {}", header(&[("color", "blue")]), header(&[("color", "green")])),
            "v1",
        )
        + &rule("{headers: [{name: flavor, type: RegularExpression, value: '^van.*la$'}]}", "v3");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "headers", &rules)]);
    it.check(&[
        ("a.test", "/", &[("Version", "one")], "v1"),
        ("a.test", "/", &[("Version", "two")], "v2"),
        ("a.test", "/", &[("Version", "two"), ("Color", "orange")], "v1"),
        ("a.test", "/", &[("Color", "blue")], "v1"),
        ("a.test", "/", &[("Color", "green")], "v1"),
        ("a.test", "/", &[("Color", "purple")], "404"),
        ("a.test", "/", &[("Some-Other-Header", "one")], "404"),
        ("a.test", "/", &[("Flavor", "vanilla")], "v3"),
    ]);
}

#[test]
fn http_route_method_matching() {
    let rules = rule("{method: POST}", "v1")
        + &rule("{method: GET}", "v2")
        + &rule("{method: PATCH, path: {type: PathPrefix, value: /path}}", "v3");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "methods", &rules)]);
    for (method, target, expected) in [
        ("POST", "/", "v1"),
        ("GET", "/", "v2"),
        ("PATCH", "/path/x", "v3"),
        ("HEAD", "/", "404"),
        ("PATCH", "/", "404"),
    ] {
        assert_eq!(it.send(method, "a.test", target, &[]).who(), expected, "{method} {target}");
    }
}

#[test]
fn http_route_query_param_matching() {
    let query = |text: &str| format!("{{queryParams: [{text}]}}");
    let rules = rule(&query("{name: animal, value: whale}"), "v1")
        + &rule(&query("{name: animal, value: dolphin}"), "v2")
        + &rule(&query("{name: animal, value: dolphin}, {name: color, value: blue}"), "v3")
        + &rule(&query("{name: ANIMAL, value: Whale}"), "v3");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "query", &rules)]);
    it.check(&[
        ("a.test", "/?animal=whale", &[], "v1"),
        ("a.test", "/?animal=dolphin", &[], "v2"),
        ("a.test", "/?animal=dolphin&color=blue", &[], "v3"),
        ("a.test", "/?ANIMAL=Whale", &[], "v3"),
        ("a.test", "/?animal=whale&otherparam=irrelevant", &[], "v1"),
        ("a.test", "/?animal=%77hale", &[], "v1"),
        ("a.test", "/", &[], "404"),
        ("a.test", "/?animal=shark", &[], "404"),
        ("a.test", "/?color=blue", &[], "404"),
    ]);
}

#[test]
fn http_route_path_match_order() {
    let rules = rule(&path("Exact", "/match/exact"), "v3")
        + &rule(&path("Exact", "/match"), "v2")
        + &rule(&path("Exact", "/match/exact/one"), "v1")
        + &rule(&path("PathPrefix", "/match/"), "v1")
        + &rule(&path("PathPrefix", "/match/prefix/"), "v2")
        + &rule(&path("PathPrefix", "/match/prefix/one"), "v3");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "order", &rules)]);
    it.check(&[
        ("a.test", "/match/exact/one", &[], "v1"),
        ("a.test", "/match/exact", &[], "v3"),
        ("a.test", "/match", &[], "v2"),
        ("a.test", "/match/prefix/one/any", &[], "v3"),
        ("a.test", "/match/prefix/any", &[], "v2"),
        ("a.test", "/match/any", &[], "v1"),
    ]);
}

#[test]
fn http_route_path_regular_expression() {
    let rules = rule(&path("RegularExpression", "'/users/[0-9]+'"), "v1");
    let it = start(&[&same_namespace(), &route("HTTPRoute", "regex", &rules)]);
    it.check(&[("a.test", "/users/42", &[], "v1"), ("a.test", "/users/x", &[], "404")]);
}

#[test]
fn http_route_hostname_intersection() {
    let listeners = [
        "name: specific, hostname: very.specific.com, port: 80, protocol: HTTP",
        "name: wildcard, hostname: '*.wildcard.io', port: 80, protocol: HTTP",
        "name: wildcard2, hostname: '*.anotherwildcard.io', port: 80, protocol: HTTP",
    ];
    let part = |name: &str, hosts: &str, prefix: &str, backend: &str| {
        let spec = format!(
            "  hostnames: [{hosts}]\n  rules:\n{}",
            rule(&path("PathPrefix", prefix), backend)
        );
        route_to("HTTPRoute", name, "[{name: intersection}]", &spec)
    };
    let it = start(&[
        &gateway("intersection", &listeners),
        &part("r1", "non.matching.com, '*.nonmatchingwildcard.io', very.specific.com", "/s1", "v1"),
        &part(
            "r2",
            "non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io",
            "/s2",
            "v2",
        ),
        &part("r3", "non.matching.com, '*.specific.com'", "/s3", "v3"),
        &part("r4", "'*.anotherwildcard.io'", "/s4", "v1"),
    ]);
    it.check(&[
        ("very.specific.com", "/s1", &[], "v1"),
        ("very.specific.com:1234", "/s1", &[], "v1"),
        ("non.matching.com", "/s1", &[], "404"),
        ("foo.nonmatchingwildcard.io", "/s1", &[], "404"),
        ("foo.wildcard.io", "/s2", &[], "v2"),
        ("foo.bar.wildcard.io", "/s2", &[], "v2"),
        ("non.matching.com", "/s2", &[], "404"),
        ("wildcard.io", "/s2", &[], "404"),
        ("very.specific.com", "/s3", &[], "v3"),
        ("foo.specific.com", "/s3", &[], "404"),
        ("one.anotherwildcard.io", "/s4", &[], "v1"),
        ("one.two.three.anotherwildcard.io", "/s4", &[], "v1"),
        ("anotherwildcard.io", "/s4", &[], "404"),
    ]);
}

#[test]
fn http_route_listener_hostname_matching() {
    let listeners = [
        "name: listener-1, hostname: bar.com, port: 80, protocol: HTTP",
        "name: listener-2, hostname: foo.bar.com, port: 80, protocol: HTTP",
        "name: listener-3, hostname: '*.bar.com', port: 80, protocol: HTTP",
        "name: listener-4, hostname: '*.foo.com', port: 80, protocol: HTTP",
    ];
    let part = |name: &str, parents: &str, backend: &str| {
        let spec = format!("  rules:\n  - backendRefs: [{}]\n", backend_ref(backend));
        route_to("HTTPRoute", name, parents, &spec)
    };
    let it = start(&[
        &gateway("listeners", &listeners),
        &part("one", "[{name: listeners, sectionName: listener-1}]", "v1"),
        &part("two", "[{name: listeners, sectionName: listener-2}]", "v2"),
        &part(
            "three",
            "[{name: listeners, sectionName: listener-3}, {name: listeners, sectionName: listener-4}]",
            "v3",
        ),
    ]);
    it.check(&[
        ("bar.com", "/", &[], "v1"),
        ("foo.bar.com", "/", &[], "v2"),
        ("baz.bar.com", "/", &[], "v3"),
        ("boo.bar.com", "/", &[], "v3"),
        ("multiple.prefixes.bar.com", "/", &[], "v3"),
        ("multiple.prefixes.foo.com", "/", &[], "v3"),
        ("foo.com", "/", &[], "404"),
        ("no.matching.host", "/", &[], "404"),
    ]);
}

#[test]
fn gateway_http_listener_isolation() {
    let listeners = [
        "name: empty, port: 80, protocol: HTTP",
        "name: wildcard, hostname: '*.example.com', port: 80, protocol: HTTP",
        "name: foo, hostname: '*.foo.example.com', port: 80, protocol: HTTP",
        "name: abc, hostname: abc.foo.example.com, port: 80, protocol: HTTP",
    ];
    let mut documents = vec![gateway("isolation", &listeners)];
    for section in ["empty", "wildcard", "foo", "abc"] {
        let rules = rule(&path("PathPrefix", &format!("/{section}")), "v1");
        let parents = format!("[{{name: isolation, sectionName: {section}}}]");
        documents.push(route_to("HTTPRoute", section, &parents, &format!("  rules:\n{rules}")));
    }
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let it = start(&documents);
    for (host, section) in [
        ("bar.com", "empty"),
        ("bar.example.com", "wildcard"),
        ("bar.foo.example.com", "foo"),
        ("abc.foo.example.com", "abc"),
    ] {
        for target in ["empty", "wildcard", "foo", "abc"] {
            let expected = if target == section { "v1" } else { "404" };
            assert_eq!(it.who(host, &format!("/{target}"), &[]), expected, "{host}/{target}");
        }
    }
}

#[test]
fn http_route_weight() {
    let refs = "  - backendRefs:\n    - {name: infra-backend-v1, port: 8080, weight: 70}\n    - {name: \
                infra-backend-v2, port: 8080, weight: 30}\n    - {name: infra-backend-v3, port: 8080, \
                weight: 0}\n";
    let it = start(&[&same_namespace(), &route("HTTPRoute", "weights", refs)]);
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..200 {
        *shares.entry(it.who("a.test", "/", &[])).or_default() += 1;
    }
    let share = |name: &str| shares.get(name).copied().unwrap_or(0);
    assert_eq!(share("v3"), 0, "{shares:?}");
    assert!((120..=160).contains(&share("v1")) && share("v1") + share("v2") == 200, "{shares:?}");
}

#[test]
fn http_route_cross_namespace() {
    let listener = "name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}";
    let foreign = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: cross, \
         namespace: {WEB}}}\nspec:\n  parentRefs: [{{name: all, namespace: {INFRA}}}]\n  rules:\n  \
         - backendRefs: [{{name: web-backend, port: 8080}}]\n"
    );
    let it = start(&[&gateway("all", &[listener]), &foreign]);
    it.check(&[("a.test", "/", &[], "web")]);
    // Without the permission of the listener, the route does not attach.
    let it = start(&[&gateway("all", &["name: http, port: 80, protocol: HTTP"]), &foreign]);
    it.check(&[("a.test", "/", &[], "404")]);
}

fn grant(name: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: \
         {name}, namespace: {WEB}}}\nspec:\n  from: [{{group: gateway.networking.k8s.io, kind: \
         HTTPRoute, namespace: {INFRA}}}]\n  to: [{{group: '', kind: Service, name: web-backend}}]\n"
    )
}

fn to_web() -> String {
    format!("  - backendRefs: [{{name: web-backend, namespace: {WEB}, port: 8080}}]\n")
}

#[test]
fn http_route_reference_grant() {
    let route = route("HTTPRoute", "granted", &to_web());
    let it = start(&[&same_namespace(), &route, &grant("allow")]);
    it.check(&[("a.test", "/", &[], "web")]);
    // When the grant goes, so does the route's right.
    it.gateway.remove("2.yaml");
    weft_testkit::wait::until_true("500", || it.who("a.test", "/", &[]) == "500");
}

#[test]
fn http_route_invalid_cross_namespace_backend_ref() {
    let it = start(&[&same_namespace(), &route("HTTPRoute", "denied", &to_web())]);
    it.check(&[("a.test", "/", &[], "500")]);
}

#[test]
fn http_route_partially_invalid_via_invalid_reference_grant() {
    let rules = "  - {matches: [{path: {type: PathPrefix, value: /v2}}], backendRefs: [{name: \
                 infra-backend-v1, port: 8080}]}\n"
        .to_owned()
        + &to_web();
    let it = start(&[&same_namespace(), &route("HTTPRoute", "partly", &rules)]);
    it.check(&[("a.test", "/v2", &[], "v1"), ("a.test", "/", &[], "500")]);
}

#[test]
fn http_route_invalid_backend_ref_unknown_kind() {
    let rules = "  - backendRefs: [{group: example.com, kind: Nothing, name: x, port: 8080}]\n";
    let it = start(&[&same_namespace(), &route("HTTPRoute", "unknown", rules)]);
    it.check(&[("a.test", "/", &[], "500")]);
}

#[test]
fn http_route_invalid_non_existent_backend_ref() {
    let rules = "  - backendRefs: [{name: missing, port: 8080}]\n";
    let it = start(&[&same_namespace(), &route("HTTPRoute", "missing", rules)]);
    it.check(&[("a.test", "/", &[], "500")]);
}

#[test]
fn http_route_disallowed_kind() {
    let listener =
        "name: tls, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}";
    let rules = rule(&path("PathPrefix", "/"), "v1");
    let it = start(&[
        &gateway("same-namespace", &[listener]),
        &route("HTTPRoute", "disallowed", &rules),
    ]);
    it.check(&[("a.test", "/", &[], "404")]);
}

#[test]
fn http_route_invalid_parent_ref_section_name_not_matching() {
    let rules = format!("  rules:\n{}", rule(&path("PathPrefix", "/"), "v1"));
    let parents = "[{name: same-namespace, sectionName: nothing}]";
    let it = start(&[&same_namespace(), &route_to("HTTPRoute", "nowhere", parents, &rules)]);
    it.check(&[("a.test", "/", &[], "404")]);
}

#[test]
fn http_route_parent_ref_port() {
    let listeners =
        ["name: one, port: 80, protocol: HTTP", "name: two, port: 8080, protocol: HTTP"];
    let part = |name: &str, port: u16, backend: &str| {
        let rules = format!("  rules:\n{}", rule(&path("PathPrefix", "/"), backend));
        route_to("HTTPRoute", name, &format!("[{{name: ports, port: {port}}}]"), &rules)
    };
    let it =
        start(&[&gateway("ports", &listeners), &part("one", 80, "v1"), &part("two", 8080, "v2")]);
    assert_eq!(it.send_to(80, "GET", "a.test", "/", &[]).who(), "v1");
    assert_eq!(it.send_to(8080, "GET", "a.test", "/", &[]).who(), "v2");
}

#[test]
fn http_route_https_listener() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["example.org", "*.example.org"]);
    let secret = leaf
        .secret("tls")
        .replace("  name: tls\n", &format!("  name: tls\n  namespace: {INFRA}\n"));
    let listeners = [
        "name: https, port: 443, protocol: HTTPS, hostname: example.org, tls: {certificateRefs: [{name: tls}]}",
        "name: second, port: 443, protocol: HTTPS, hostname: second.example.org, tls: {certificateRefs: [{name: tls}]}",
    ];
    let part = |host: &str, section: &str, backend: &str| {
        let rules =
            format!("  hostnames: [{host}]\n  rules:\n{}", rule(&path("PathPrefix", "/"), backend));
        let parents = format!("[{{name: same-namespace, sectionName: {section}}}]");
        route_to("HTTPRoute", section, &parents, &rules)
    };
    let it = start(&[
        &gateway("same-namespace", &listeners),
        &secret,
        &part("example.org", "https", "v1"),
        &part("second.example.org", "second", "v2"),
    ]);
    for (host, backend) in [("example.org", "v1"), ("second.example.org", "v2")] {
        let dial = TlsDial::http1(host, authority.roots());
        let mut client = RawClient::connect_tls(it.gateway.port(443), &dial);
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(client.request(request).echo().backend, backend);
    }
    // HTTPRouteHTTPSListenerDetectMisdirectedRequests
    let dial = TlsDial::http1("example.org", authority.roots());
    let client = H2Client::connect_tls(it.gateway.port(443), &dial);
    assert_eq!(client.get("example.org", "/").status, 200);
    assert_eq!(client.get("second.example.org", "/").status, 421);
    assert_eq!(client.get("unknown.example.org", "/").status, 404);
}

#[test]
fn http_route_service_types() {
    // A Service with slices of its own: ports are the slices', and an address that is not ready
    // gets nothing.
    let it = start(&[&same_namespace()]);
    let addr = it.origins["v2"].addr();
    let documents = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: manual, namespace: {INFRA}}}\nspec: \
         {{ports: [{{name: first, port: 8080, targetPort: 3000}}]}}\n---\napiVersion: \
         discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: manual-1\n  namespace: {INFRA}\n  \
         labels: {{kubernetes.io/service-name: manual}}\naddressType: IPv4\nports: [{{name: first, port: \
         {}}}]\nendpoints:\n- {{addresses: [127.0.0.1], conditions: {{ready: true}}}}\n- {{addresses: \
         [127.9.9.9], conditions: {{ready: false}}}}\n",
        addr.port()
    );
    let route = route("HTTPRoute", "manual", "  - backendRefs: [{name: manual, port: 8080}]\n");
    it.gateway.write("more.yaml", &(documents + &route));
    weft_testkit::wait::until_true("v2", || it.who("a.test", "/", &[]) == "v2");
    for _ in 0..10 {
        assert_eq!(it.who("a.test", "/", &[]), "v2");
    }
}

#[test]
fn a_class_of_somebody_else_is_left_alone() {
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: \
                 theirs}\nspec: {controllerName: example.com/other}\n";
    let theirs = same_namespace().replace("gatewayClassName: weftway", "gatewayClassName: theirs");
    let rules = rule(&path("PathPrefix", "/"), "v1");
    let ours = gateway("ours", &["name: http, port: 8080, protocol: HTTP"]);
    let it = start(&[class, &theirs, &route("HTTPRoute", "theirs", &rules), &ours]);
    assert!(RawClient::try_connect(it.gateway.port(80)).is_err());
    assert_eq!(it.send_to(8080, "GET", "a.test", "/", &[]).status, 404);
}
