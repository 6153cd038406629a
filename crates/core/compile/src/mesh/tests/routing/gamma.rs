//! Routes whose parent is a Service.

use std::time::Duration;

use weft_model::backend::Endpoints;
use weft_model::policy::{HeaderEdits, PathRewrite, Redirect, Rewrite};
use weft_model::route::Affinity;

use super::*;

const TO: &str = "backendRefs: [{name: v1, port: 80}]";

fn rules(rules: &str) -> MeshWorld {
    clean_routing(&[&http_route("r", &format!("rules: [{rules}]"))])
}

#[test]
fn weights_share_requests_out() {
    let world = rules(
        "{backendRefs: [{name: v1, port: 80, weight: 70}, {name: v2, port: 80, weight: 30}]}",
    );
    check(&world, &[("GET /", "v1:80 x70, v2:80 x30")]);
    let traffic = traffic(&world, "a");
    assert_eq!(traffic.backends.len(), 2);
    let v1 = &traffic.backends["v1.default.svc.cluster.local:80"];
    let name = ServiceName::new("v1.default.svc.cluster.local");
    assert_eq!(v1.endpoints, Endpoints::Service { name, port: 80, subset: None });
    assert_eq!(traffic.lines.values().copied().collect::<Vec<_>>(), [24]);
}

#[test]
fn matches_have_the_precedence_of_the_gateway_api() {
    let world = rules(
        "{matches: [{path: {value: /v2}}], backendRefs: [{name: v2, port: 80}]},
         {matches: [{headers: [{name: version, value: two}]}], backendRefs: [{name: v2, port: 80}]},
         {matches: [{path: {type: Exact, value: /v2/x}}], backendRefs: [{name: v1, port: 80}]},
         {matches: [{path: {value: /}, method: POST}], backendRefs: [{name: v1, port: 80}]},
         {matches: [{path: {value: /q}, queryParams: [{name: n, value: '1'}]}],
          backendRefs: [{name: v2, port: 80}]}",
    );
    check(
        &world,
        &[
            ("GET /v2", "v2:80"),
            ("GET /v2/x", "v1:80"),
            ("GET /v2/y", "v2:80"),
            ("POST /z", "v1:80"),
            ("POST /z version: two", "v1:80"),
            ("GET /z version: two", "v2:80"),
            ("GET /q?n=1", "v2:80"),
            ("GET /q?n=2", "404"),
            ("GET /v22", "404"),
        ],
    );
}

#[test]
fn a_route_may_be_for_one_port() {
    let route = |name: &str, parent: &str, to: &str| {
        document(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            &format!("name: {name}"),
            &format!(
                "parentRefs: [{{group: '', kind: Service, name: a, {parent}}}],
                 rules: [{{backendRefs: [{{name: {to}, port: 80}}]}}]"
            ),
        )
    };
    let ask = |documents: &[&str], port| {
        super::ask(&clean_routing(documents), "a", From { port, ..HERE }, "GET /")
    };
    let by_number = route("r", "port: 80", "v1");
    assert_eq!(
        (ask(&[&by_number], 80), ask(&[&by_number], 9000)),
        ("v1:80".into(), "as is".into())
    );
    let by_name = route("s", "sectionName: tcp", "v2");
    let both = [&*by_number, &*by_name];
    assert_eq!((ask(&both, 80), ask(&both, 9000)), ("v1:80".into(), "v2:80".into()));
    let lost = routing(&[&route("r", "port: 81", "v1")]);
    reports(&lost, "Service a has no port 81");
    assert_eq!(super::ask(&lost, "a", HERE, "GET /"), "as is");
}

#[test]
fn a_route_elsewhere_is_for_the_callers_there() {
    let consumer = document(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "name: consumer, namespace: other",
        "parentRefs: [{group: '', kind: Service, name: a, namespace: default}],
         rules: [{backendRefs: [{name: a, namespace: default, port: 80}]}]",
    );
    let producer =
        http_route("producer", &format!("rules: [{{matches: [{{path: {{value: /v1}}}}], {TO}}}]"));
    let there = From { namespace: "other", ..HERE };
    let world = clean_routing(&[&consumer]);
    assert_eq!(ask(&world, "a", there, "GET /v1"), "a:80");
    assert_eq!(ask(&world, "a", HERE, "GET /v1"), "as is");
    // It comes before that of the service's own namespace, and is all there is.
    let world = clean_routing(&[&consumer, &producer]);
    assert_eq!(ask(&world, "a", there, "GET /v1"), "a:80");
    assert_eq!(ask(&world, "a", HERE, "GET /v1"), "v1:80");
    assert_eq!(ask(&world, "a", HERE, "GET /"), "404");
}

#[test]
fn what_is_not_there_gets_its_share_of_errors() {
    let route = http_route(
        "r",
        "rules: [{backendRefs: [{name: v1, port: 80, weight: 3}, {name: lost, port: 80},
                                {name: v2, port: 81}, {name: far, namespace: other, port: 80}]}]",
    );
    let world = routing(&[&route]);
    check(&world, &[("GET /", "v1:80 x3, 500 x1, 500 x1, 500 x1")]);
    reports(&world, "there is no Service default/lost");
    reports(&world, "the Service default/v2 has no port 81");
    reports(
        &world,
        "no ReferenceGrant in the namespace `other` allows HTTPRoute default/r to refer",
    );
    let grant = document(
        "gateway.networking.k8s.io/v1beta1",
        "ReferenceGrant",
        "name: g, namespace: other",
        "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}],
         to: [{group: '', kind: Service}]",
    );
    let world = routing(&[&route, &grant]);
    check(&world, &[("GET /", "v1:80 x3, 500 x1, 500 x1, far.other.svc.cluster.local:80 x1")]);
}

#[test]
fn a_route_without_its_service_says_so() {
    let route = http_route("r", "rules: []").replace("name: a}", "name: lost}");
    reports(&routing(&[&route]), "spec.parentRefs[0]: there is no Service default/lost");
    let route = http_route("r", "rules: []").replace("group: '', ", "");
    reports(&routing(&[&route]), "routes attach to Services of the core group only");
}

#[test]
fn timeouts_and_retries() {
    let world = rules(
        "{backendRefs: [{name: v1, port: 80}], timeouts: {request: 3s, backendRequest: 1s},
          retry: {attempts: 2, codes: [503], backoff: 100ms}}",
    );
    let timeouts = &route(&world, "GET /").timeouts;
    assert_eq!(timeouts.request, Some(Duration::from_secs(3)));
    assert_eq!(timeouts.attempt, Some(Duration::from_secs(1)));
    let retry = timeouts.retry.clone().expect("it retries");
    assert_eq!((retry.attempts, &*retry.statuses), (3, &[(503, 503)][..]));
}

#[test]
fn filters_are_steps() {
    let world = rules(
        "{matches: [{path: {value: /headers}}], backendRefs: [{name: v1, port: 80}],
          filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}]}},
                    {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-b]}}]},
         {matches: [{path: {value: /redirect}}],
          filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 301}}]},
         {matches: [{path: {value: /rewrite}}], backendRefs: [{name: v1, port: 80}],
          filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /one}}}]},
         {matches: [{path: {value: /mirror}}], backendRefs: [{name: v1, port: 80}],
          filters: [{type: RequestMirror, requestMirror: {percent: 20, backendRef: {name: v2, port: 80}}}]}",
    );
    let edits = |set: &[(&str, &str)], remove: &[&str]| HeaderEdits {
        set: set
            .iter()
            .map(|(name, value)| (weft_message::FieldName::new(name).unwrap(), (*value).into()))
            .collect(),
        remove: remove.iter().map(|name| weft_message::FieldName::new(name).unwrap()).collect(),
        ..HeaderEdits::default()
    };
    assert_eq!(
        steps(&world, "GET /headers"),
        [
            StepKind::RequestHeaders(edits(&[("x-a", "b")], &[])),
            StepKind::ResponseHeaders(edits(&[], &["x-b"])),
        ]
    );
    assert_eq!(
        steps(&world, "GET /redirect"),
        [StepKind::Redirect(Redirect {
            scheme: None,
            host: Some("example.org".into()),
            port: None,
            path: None,
            status: 301,
        })]
    );
    let (matched, replacement) = ("/rewrite".into(), "/one".into());
    let path = Some(PathRewrite::Prefix { matched, replacement });
    assert_eq!(steps(&world, "GET /rewrite"), [StepKind::Rewrite(Rewrite { host: None, path })]);
    let [StepKind::Mirror { parts_per_million: 200_000, backend, compared: None }] =
        &*steps(&world, "GET /mirror")
    else {
        panic!("a mirror is a step");
    };
    assert!(traffic(&world, "a").backends.contains_key(backend));
}

#[test]
fn hosts_have_no_effect_and_that_is_said() {
    let world = routing(&[&http_route("r", &format!("hostnames: [b.example], rules: [{{{TO}}}]"))]);
    check(&world, &[("GET /", "v1:80")]);
    reports(&world, "`hostnames` have no effect where the parent is a Service");
}

#[test]
fn a_session_is_kept_by_a_cookie_of_the_backend() {
    let world = rules(
        "{backendRefs: [{name: v1, port: 80}], sessionPersistence: {sessionName: s, type: Cookie}}",
    );
    let backend = backend(&world, "GET /");
    assert_eq!(backend.id.as_str(), "v1.default.svc.cluster.local:80+sticky=s");
    let cookie = backend.calling.sticky.as_ref().and_then(Affinity::cookie);
    assert_eq!(cookie.map(|cookie| &*cookie.name), Some("s"));
}

#[test]
fn grpc_routes_take_methods() {
    let route = document(
        "gateway.networking.k8s.io/v1",
        "GRPCRoute",
        "name: r",
        "parentRefs: [{group: '', kind: Service, name: a}],
         rules: [{matches: [{method: {service: echo.Echo, method: Say}}],
                  backendRefs: [{name: v1, port: 80}]},
                 {matches: [{method: {service: echo.Echo}}], backendRefs: [{name: lost, port: 80}]}]",
    );
    let world = routing(&[&route]);
    let table = [
        ("POST /echo.Echo/Say", "v1:80"),
        ("POST /echo.Echo/Other", "503"),
        ("POST /x.Y/Z", "404"),
    ];
    check(&world, &table);
}

#[test]
fn connections_are_led_by_their_own_routes() {
    let route = |kind: &str, name: &str, spec: &str| {
        document(
            "gateway.networking.k8s.io/v1",
            kind,
            &format!("name: {name}"),
            &format!("parentRefs: [{{group: '', kind: Service, name: a, port: 9000}}], {spec}"),
        )
    };
    let tcp = route(
        "TCPRoute",
        "r",
        "rules: [{backendRefs: [{name: v1, port: 9000, weight: 9}, {name: v2, port: 9000}]}]",
    );
    let tls = route(
        "TLSRoute",
        "s",
        "hostnames: [b.example, '*.c.example'], rules: [{backendRefs: [{name: v2, port: 9000}]}]",
    );
    let world = clean_routing(&[&tcp, &tls]);
    let from = From { port: 9000, ..HERE };
    assert_eq!(
        connections(&world, "a", from),
        ["b.example or *.c.example -> v2:9000", "all -> v1:9000 x9, v2:9000 x1"]
    );
    assert_eq!(connections(&world, "a", HERE), ["as is"]);
    assert_eq!(ask(&world, "a", HERE, "GET /"), "as is");
}

#[test]
fn requests_go_where_a_route_of_connections_leads() {
    let route = document(
        "gateway.networking.k8s.io/v1alpha2",
        "TCPRoute",
        "name: r",
        "parentRefs: [{group: '', kind: Service, name: a}],
         rules: [{backendRefs: [{name: v1, port: 80}]}]",
    );
    check(&clean_routing(&[&route]), &[("GET /", "v1:80")]);
}

#[test]
fn routes_for_grpc_come_before_those_for_http_on_a_port() {
    let service = service_document("b", "ports: [{port: 80, name: http}, {port: 81, name: grpc}]");
    let route = |kind: &str, port: &str, rule: &str| {
        let parent = format!("parentRefs: [{{group: '', kind: Service, name: b{port}}}]");
        let spec = format!("{parent}, rules: [{{{rule}}}]");
        document("gateway.networking.k8s.io/v1", kind, "name: r", &spec)
    };
    let to_v1 = "matches: [{method: {service: pay}}], backendRefs: [{name: v1, port: 80}]";
    let grpc = |port: &str| route("GRPCRoute", port, to_v1);
    let http = |port: &str| route("HTTPRoute", port, "backendRefs: [{name: v2, port: 80}]");
    let goes = |world: &MeshWorld, port| {
        let from = From { port, ..HERE };
        ["POST /pay/Charge", "GET /"].map(|line| ask(world, "b", from, line))
    };
    let both = routing(&[&service, &http(""), &grpc("")]);
    assert_eq!(goes(&both, 80), ["v1:80", "404"]);
    reports(&both, "GRPCRoute default/r is for the same port, and gRPC comes before HTTP");
    // Other ports are left to the other.
    let apart = routing(&[&service, &http(""), &grpc(", port: 81")]);
    assert_eq!(
        (goes(&apart, 80), goes(&apart, 81)),
        (["v2:80", "v2:80"].map(Into::into), ["v1:80", "404"].map(Into::into))
    );
    reports(&apart, "it does not hold on some of its ports");
    let clean = clean_routing(&[&service, &http(", port: 80"), &grpc(", port: 81")]);
    assert_eq!(goes(&clean, 80), ["v2:80", "v2:80"]);
}
