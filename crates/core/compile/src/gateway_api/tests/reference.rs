//! Backends: shares, permission, and what is missing.

use super::{
    addresses, ask, assert_reported, backend, check, clean, http_route, plain_gateway, world,
};

fn backends(list: &str) -> String {
    http_route(&format!("  - {{backendRefs: [{list}]}}\n"))
}

/// HTTPRouteWeight, HTTPRouteAllBackendsWeightZero
#[test]
fn weights() {
    let world = clean(&[
        &plain_gateway(),
        &backends(
            "{name: v1, port: 8080, weight: 70}, {name: v2, port: 8080, weight: 30}, \
             {name: v3, port: 8080, weight: 0}",
        ),
    ]);
    assert_eq!(ask(&world, 80, "GET h/"), "v1:70 v2:30 v3:0");
    let list = "{name: v1, port: 8080, weight: 0}, {name: v2, port: 8080, weight: 0}";
    let zero = super::world(&[&plain_gateway(), &backends(list)]);
    assert_eq!(ask(&zero, 80, "GET h/"), "500");
    assert_reported(&zero, "every weight is 0");
}

/// HTTPRouteInvalidNonExistentBackendRef, HTTPRouteInvalidBackendRefUnknownKind
#[test]
fn invalid_backends_answer_their_share() {
    let check = |list: &str, expected: &str, reason: &str| {
        let world = world(&[&plain_gateway(), &backends(list)]);
        assert_eq!(ask(&world, 80, "GET h/"), expected, "{list}");
        assert_reported(&world, reason);
    };
    check("{name: nobody, port: 8080}", "500", "service `infra/nobody` is not found");
    check("{name: v1, port: 81}", "500", "has no port `81`");
    check("{name: v1}", "500", "`port` is required for a Service");
    check("{name: v1, kind: Foo, port: 1}", "500", "requests cannot be sent to a Foo");
    check(
        "{name: v1, port: 8080}, {name: nobody, port: 8080, weight: 3}",
        "v1:1 500:3",
        "spec.rules[0].backendRefs[1]",
    );
}

#[test]
fn services_of_several_clusters_are_backends() {
    let documents = "apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceImport
metadata: {name: pay, namespace: infra}
spec: {type: ClusterSetIP, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: pay-east
  namespace: infra
  labels: {multicluster.kubernetes.io/service-name: pay}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.1]}]
---
";
    let import = |port: u16| {
        format!("{{group: multicluster.x-k8s.io, kind: ServiceImport, name: pay, port: {port}}}")
    };
    let found = clean(&[&plain_gateway(), documents, &backends(&import(80))]);
    assert_eq!(addresses(&backend(&found, "GET h/")), ["10.1.0.1:8080"]);
    let missing = world(&[&plain_gateway(), &backends(&import(80))]);
    assert_eq!(ask(&missing, 80, "GET h/"), "500");
    assert_reported(&missing, "service `infra/pay.infra.svc.clusterset.local` is not found");
}

/// HTTPRouteNoBackendRefs
#[test]
fn rules_without_backends() {
    let rules = "  - {matches: [{path: {type: Exact, value: /omitted}}]}
  - {matches: [{path: {type: Exact, value: /empty}}], backendRefs: []}
  - {backendRefs: [{name: v1, port: 8080}]}
";
    let world = world(&[&plain_gateway(), &http_route(rules)]);
    check(&world, &[("GET h/omitted", "500"), ("GET h/empty", "500"), ("GET h/x", "v1")]);
}

/// HTTPRouteServiceTypes: a Service without endpoints is no error of the route
#[test]
fn services_without_endpoints_are_for_the_balancer() {
    let world = world(&[&plain_gateway(), &backends("{name: empty, port: 8080}")]);
    assert!(!world.report.has_errors());
    assert_reported(&world, "Service empty:8080 has no endpoint; it is answered 503");
    assert_eq!(addresses(&backend(&world, "GET h/")), Vec::<String>::new());
}

fn grant(from: &str, to: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: g, namespace: other}}
spec:
  from: [{{group: gateway.networking.k8s.io, {from}}}]
  to: [{{group: '', {to}}}]
---
"
    )
}

/// HTTPRouteReferenceGrant, HTTPRouteInvalidReferenceGrant,
/// HTTPRouteInvalidCrossNamespaceBackendRef
#[test]
fn backends_of_other_namespaces_need_a_grant() {
    let route = backends("{name: v1, namespace: other, port: 8080}");
    let check = |grant: &str, expected: &str| {
        let world = world(&[&plain_gateway(), &route, grant]);
        assert_eq!(ask(&world, 80, "GET h/"), expected, "{grant}");
        if expected == "500" {
            assert_reported(&world, "no ReferenceGrant in the namespace `other` allows");
        }
    };
    check("", "500");
    check(&grant("kind: HTTPRoute, namespace: infra", "kind: Service, name: v1"), "other/v1");
    check(&grant("kind: HTTPRoute, namespace: infra", "kind: Service"), "other/v1");
    check(&grant("kind: HTTPRoute, namespace: infra", "kind: Service, name: v2"), "500");
    check(&grant("kind: HTTPRoute, namespace: third", "kind: Service"), "500");
    check(&grant("kind: GRPCRoute, namespace: infra", "kind: Service"), "500");
    check(&grant("kind: HTTPRoute, namespace: infra", "kind: Secret"), "500");
    // A grant counts in its own namespace only.
    let grant = grant("kind: HTTPRoute, namespace: infra", "kind: Service");
    check(&grant.replace("namespace: other", "namespace: infra"), "500");
}

/// HTTPRoutePartiallyInvalidViaInvalidReferenceGrant
#[test]
fn a_rule_without_its_grant_costs_no_other() {
    let rules = "  - matches: [{path: {value: /v2}}]
    backendRefs: [{name: v2, namespace: other, port: 8080}]
  - backendRefs: [{name: v1, namespace: other, port: 8080}]
";
    let world = world(&[
        &plain_gateway(),
        &http_route(rules),
        &grant("kind: HTTPRoute, namespace: infra", "kind: Service, name: v1"),
    ]);
    check(&world, &[("GET h/v2", "500"), ("GET h/", "other/v1")]);
}

/// HTTPRouteBackendProtocolH2C, HTTPRouteBackendProtocolWebSocket
#[test]
fn app_protocols() {
    use weft_model::backend::UpstreamProtocol::{Auto, Http1, Http2};
    let check = |protocol: &str, expected, tls: bool| {
        let service = format!(
            "apiVersion: v1
kind: Service
metadata: {{name: app, namespace: infra}}
spec: {{ports: [{{port: 8080, appProtocol: {protocol}}}]}}
---
"
        );
        let world =
            clean(&[&service, SLICE, &plain_gateway(), &backends("{name: app, port: 8080}")]);
        let backend = backend(&world, "GET h/");
        assert_eq!(
            (backend.protocol, backend.calling.tls.is_some()),
            (expected, tls),
            "{protocol}"
        );
    };
    check("kubernetes.io/h2c", Http2, false);
    check("kubernetes.io/ws", Http1, false);
    check("kubernetes.io/wss", Http1, true);
    check("https", Auto, true);
    check("http", Auto, false);
    check("example.com/own", Auto, false);
}

#[test]
fn slices_may_tell_the_protocol_of_a_port() {
    use weft_model::backend::UpstreamProtocol::{Auto, Http2};
    for (of_port, expected) in [("", Http2), (", appProtocol: http", Auto)] {
        let service = format!(
            "apiVersion: v1
kind: Service
metadata: {{name: app, namespace: infra}}
spec: {{ports: [{{port: 8080{of_port}}}]}}
---
"
        );
        let slice = SLICE.replace("{port: 3000}", "{port: 3000, appProtocol: kubernetes.io/h2c}");
        assert_ne!(slice, SLICE);
        let world =
            clean(&[&service, &slice, &plain_gateway(), &backends("{name: app, port: 8080}")]);
        assert_eq!(backend(&world, "GET h/").protocol, expected, "{of_port}");
    }
}

/// Where `app` is.
const SLICE: &str = "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-1, namespace: infra, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
ports: [{port: 3000}]
endpoints: [{addresses: [10.0.0.9]}]
---
";
