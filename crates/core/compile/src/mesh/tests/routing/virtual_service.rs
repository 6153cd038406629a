//! VirtualServices for sidecars.

use std::time::Duration;

use weft_message::FieldName;
use weft_model::calling::Source;
use weft_model::policy::{
    Abort, Cors, Fact, FixedAnswer, HeaderEdits, MadeHeader, MessagePart, PathRewrite, Redirect,
    RetryPolicy, ValuePart,
};
use weft_model::route::Bound;
use weft_model::text::Pattern;
use weft_resilience::settings::BackoffSettings;

use super::*;

/// A DestinationRule of the host `v1` with the subsets `old` and `new`.
fn subsets() -> String {
    istio(
        "DestinationRule",
        "name: v1",
        "host: v1, subsets: [{name: old, labels: {version: '1'}}, {name: new, labels: {version: '2'}}]",
    )
}

/// The usual services with one VirtualService of these rules for HTTP.
fn http(rules: &str) -> MeshWorld {
    clean_routing(&[&virtual_service("r", &format!("http: [{rules}]"))])
}

fn retry(rule: &str) -> Option<RetryPolicy> {
    let route = format!("route: [{{destination: {{host: v1, port: {{number: 80}}}}}}], {rule}");
    super::route(&http(&format!("{{{route}}}")), "GET /").timeouts.retry.clone()
}

const TO: &str = "route: [{destination: {host: v1, port: {number: 80}}}]";

fn field(name: &str) -> FieldName {
    FieldName::new(name).unwrap()
}

#[test]
fn subsets_and_weights_and_ports() {
    let route = virtual_service(
        "r",
        "http: [{match: [{uri: {prefix: /v2}}],
                 route: [{destination: {host: v1, subset: new, port: {number: 80}}, weight: 90},
                         {destination: {host: v2.default, port: {number: 9000}}, weight: 10}]},
                {route: [{destination: {host: v1.default.svc.cluster.local, subset: old}}]}]",
    );
    let world = routing(&[&route, &subsets()]);
    // `v2.default` is no whole name, and no service.
    reports(&world, "the mesh has no service `v2.default`");
    check(&world, &[("GET /v2/x", "v1:80/new x90, 503 x10"), ("GET /", "v1:80/old")]);
    let at = |port| ask(&world, "a", From { port, ..HERE }, "GET /");
    assert_eq!((at(80), at(9000)), ("v1:80/old".into(), "v1:9000/old".into()));
    let lost = routing(&[&virtual_service(
        "r",
        "http: [{route: [{destination: {host: v1, subset: x}}]}]",
    )]);
    reports(&lost, "no DestinationRule of `v1.default.svc.cluster.local` has a subset `x`");
}

#[test]
fn a_short_name_is_one_of_the_namespace_of_the_rule() {
    let route = istio(
        "VirtualService",
        "name: r, namespace: other",
        "hosts: [a.default.svc.cluster.local], http: [{route: [{destination: {host: far}}]}]",
    );
    let world = clean_routing(&[&route]);
    check(&world, &[("GET /", "far.other.svc.cluster.local:80")]);
    let lost =
        routing(&[&virtual_service("r", &format!("http: [{{{TO}}}]")).replace("[a]", "[b]")]);
    reports(&lost, "the mesh has no service `b.default.svc.cluster.local`: no call is for it");
}

#[test]
fn the_first_rule_that_takes_a_request_holds() {
    let to =
        |name: &str| format!("route: [{{destination: {{host: {name}, port: {{number: 80}}}}}}]");
    let (v1, v2) = (to("v1"), to("v2"));
    let world = http(&format!(
        "{{match: [{{uri: {{prefix: /a}}}}], {v1}}}, {{match: [{{uri: {{exact: /ab}}}}], {v2}}},
         {{match: [{{uri: {{exact: /c}}}}, {{uri: {{regex: '/d[0-9]+'}}}}], {v2}}},
         {{match: [{{uri: {{prefix: /E}}, ignoreUriCase: true}}], {v2}}},
         {{match: [{{method: {{exact: PUT}}, headers: {{x-a: {{prefix: b}}, x-c: {{}}}}}}], {v2}}},
         {{match: [{{withoutHeaders: {{x-a: {{exact: b}}}}, queryParams: {{n: {{exact: '1'}}}}}}], {v2}}},
         {{match: [{{authority: {{exact: a.b:8080}}}}], {v2}}},
         {{match: [{{method: {{regex: 'P(OST|ATCH)'}}, scheme: {{exact: http}}}}], {v2}}}"
    ));
    check(
        &world,
        &[
            ("GET /abc", "v1:80"),
            ("GET /ab", "v1:80"),
            ("GET /c", "v2:80"),
            ("GET /c/d", "404"),
            ("GET /d12", "v2:80"),
            ("GET /d", "404"),
            ("GET /eF", "v2:80"),
            ("PUT / x-a: bc x-c: d", "v2:80"),
            ("PUT / x-a: bc", "404"),
            ("GET /?n=1", "v2:80"),
            ("GET /?n=1 x-a: b", "404"),
            ("GET / host: a.b:8080", "v2:80"),
            ("GET / host: a.b", "404"),
            ("PATCH /", "v2:80"),
        ],
    );
}

#[test]
fn callers_are_told_apart_by_labels_namespace_and_port() {
    let world = clean_routing(&[&virtual_service(
        "r",
        "http: [{match: [{sourceLabels: {app: web}, uri: {prefix: /x}}],
                 route: [{destination: {host: v1, port: {number: 80}}}]},
                {match: [{sourceNamespace: other}], route: [{destination: {host: v2, port: {number: 80}}}]},
                {match: [{port: 9000}], route: [{destination: {host: v2, port: {number: 9000}}}]}]",
    )]);
    let ask = |from, line| ask(&world, "a", from, line);
    let web = From { labels: &[("app", "web"), ("x", "y")], ..HERE };
    assert_eq!(ask(web, "GET /x"), "v1:80");
    assert_eq!(ask(web, "GET /"), "404");
    let other = From { namespace: "other", ..HERE };
    assert_eq!(ask(other, "GET /"), "v2:80");
    assert_eq!(ask(From { port: 9000, ..HERE }, "GET /"), "v2:9000");
    // Of these callers and this port no rule speaks.
    assert_eq!(ask(HERE, "GET /"), "as is");
}

#[test]
fn who_sees_a_document_is_said_by_export_to() {
    let route = |spec: &str| virtual_service("r", &format!("{spec}, http: [{{{TO}}}]"));
    let world = clean_routing(&[&route("exportTo: ['.']")]);
    let there = From { namespace: "other", ..HERE };
    assert_eq!(ask(&world, "a", HERE, "GET /"), "v1:80");
    assert_eq!(ask(&world, "a", there, "GET /"), "as is");
    let world = clean_routing(&[&route("exportTo: ['other']")]);
    assert_eq!(ask(&world, "a", HERE, "GET /"), "as is");
    assert_eq!(ask(&world, "a", there, "GET /"), "v1:80");
}

#[test]
fn documents_that_mesh_config_shows_nobody_are_for_their_own_namespace() {
    let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultVirtualServiceExportTo: [\"~\"]'}
---
";
    let route = |spec: &str| virtual_service("r", &format!("{spec}http: [{{{TO}}}]"));
    let there = From { namespace: "other", ..HERE };
    let world = clean_routing(&[config, &route("")]);
    assert_eq!(ask(&world, "a", HERE, "GET /"), "v1:80");
    assert_eq!(ask(&world, "a", there, "GET /"), "as is");
    let world = clean_routing(&[config, &route("exportTo: ['*'], ")]);
    assert_eq!(ask(&world, "a", there, "GET /"), "v1:80");
}

#[test]
fn several_for_one_host_are_merged_oldest_first() {
    let aged = |name: &str, created: &str, spec: &str| {
        let metadata = format!("name: {name}, creationTimestamp: '{created}'");
        istio("VirtualService", &metadata, &format!("hosts: [a], {spec}"))
    };
    let first = aged(
        "z",
        "2026-01-01T00:00:00Z",
        "http: [{match: [{uri: {prefix: /z}}], route: [{destination: {host: v1, port: {number: 80}}}]}]",
    );
    let second = aged(
        "b",
        "2026-01-02T00:00:00Z",
        "http: [{match: [{uri: {prefix: /z/z}}], route: [{destination: {host: v2, port: {number: 80}}}]},
                {match: [{uri: {prefix: /b}}], route: [{destination: {host: v2, port: {number: 80}}}]}]",
    );
    let world = clean_routing(&[&second, &first]);
    check(&world, &[("GET /z/z", "v1:80"), ("GET /b", "v2:80"), ("GET /", "404")]);
    reports(&world, "its rules come behind those of VirtualService default/z (a.yaml:");
    reports(&world, "the rules of VirtualService default/b (a.yaml:");
}

#[test]
fn a_pattern_of_hosts_has_what_no_name_has() {
    let wide = istio(
        "VirtualService",
        "name: wide",
        "hosts: ['*.default.svc.cluster.local'],
         http: [{route: [{destination: {host: v2, port: {number: 80}}}]}]",
    );
    let near = virtual_service(
        "near",
        "http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: v1, port: {number: 80}}}]}]",
    );
    let world = clean_routing(&[&wide, &near]);
    check(&world, &[("GET /x", "v1:80"), ("GET /", "404")]);
    assert_eq!(ask(&world, "v1", HERE, "GET /"), "v2:80");
    assert_eq!(ask(&world, "far.other", HERE, "GET /"), "as is");
    reports(&world, "for `a.default.svc.cluster.local` the rules of VirtualService default/near (");
}

#[test]
fn retries_are_istios_own_where_nothing_is_said() {
    let usual = RetryPolicy {
        attempts: 3,
        backoff: BackoffSettings::envoy(Duration::from_millis(25)),
        grpc_statuses: vec![14, 1],
        body_bytes_max: 1 << 20,
        on_unreached: true,
        non_idempotent: true,
        by_default: true,
        ..RetryPolicy::NEVER
    };
    assert_eq!(retry(""), Some(usual.clone()));
    assert_eq!(retry("retries: {attempts: 0}"), None);
    let full = retry(
        "retries: {attempts: 4, perTryTimeout: 2s, retryOn: 'gateway-error,retriable-4xx,504',
                   retryRemoteLocalities: true, retryIgnorePreviousHosts: false, backoff: 50ms}",
    );
    let expected = RetryPolicy {
        attempts: 5,
        backoff: BackoffSettings::envoy(Duration::from_millis(50)),
        attempt_timeout: Some(Duration::from_secs(2)),
        statuses: vec![(502, 504), (409, 409), (504, 504)],
        grpc_statuses: Vec::new(),
        on_network_error: true,
        on_timeout: true,
        same_endpoint: true,
        elsewhere: true,
        by_default: false,
        ..usual
    };
    assert_eq!(full, Some(expected));
}

#[test]
fn mesh_config_may_say_what_is_retried() {
    let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultHttpRetryPolicy: {attempts: 7, retryOn: 5xx, perTryTimeout: 2s, backoff: 50ms,
      retryRemoteLocalities: true, retryIgnorePreviousHosts: false}
    defaultVirtualServiceExportTo: [default]
---
";
    let world = routing(&[config, &virtual_service("r", &format!("http: [{{{TO}}}]"))]);
    let retry = route(&world, "GET /").timeouts.retry.clone().expect("it retries");
    assert_eq!((retry.attempts, &*retry.statuses), (8, &[(500, 599)][..]));
    assert_eq!(retry.attempt_timeout, Some(Duration::from_secs(2)));
    assert_eq!(retry.backoff, BackoffSettings::envoy(Duration::from_millis(50)));
    assert!(retry.elsewhere && retry.same_endpoint);
    // It says who sees documents that do not say so themselves, too.
    let there = From { namespace: "other", ..HERE };
    assert_eq!(ask(&world, "a", there, "GET /"), "as is");
}

#[test]
fn words_without_effect_are_told() {
    let rule = format!("{TO}, retries: {{attempts: 1, retryOn: 'envoy-ratelimited,5xx'}}");
    let world = routing(&[&virtual_service("r", &format!("http: [{{{rule}}}]"))]);
    reports(&world, "spec.http[0].retries: `envoy-ratelimited` has no effect");
}

#[test]
fn timeouts_bound_the_whole_request() {
    let world = http(&format!("{{{TO}, timeout: 1500ms}}"));
    assert_eq!(route(&world, "GET /").timeouts.request, Some(Duration::from_millis(1500)));
    assert_eq!(route(&http(&format!("{{{TO}}}")), "GET /").timeouts.request, None);
}

#[test]
fn headers_of_rules_and_destinations() {
    let world = http(
        "{headers: {request: {set: {x-a: rule, host: b.example}, remove: [x-z]}, response: {add: {x-r: rule}}},
          route: [{destination: {host: v1, port: {number: 80}}, weight: 1,
                   headers: {request: {set: {x-a: own}}, response: {set: {x-r: own}}}},
                  {destination: {host: v2, port: {number: 80}}, weight: 1}]}",
    );
    let found = route(&world, "GET /");
    let Target::Weighted(weighted) = &found.target else { panic!("there are two") };
    let kinds = |steps: &[Arc<weft_model::policy::Step>]| {
        steps.iter().map(|step| step.kind.clone()).collect::<Vec<_>>()
    };
    let set = |pairs: &[(&str, &str)]| HeaderEdits {
        set: pairs.iter().map(|(name, value)| (field(name), (*value).into())).collect(),
        ..HeaderEdits::default()
    };
    let add = HeaderEdits { add: vec![(field("x-r"), "rule".into())], ..HeaderEdits::default() };
    assert_eq!(kinds(&found.steps), [StepKind::ResponseHeaders(add)]);
    // What the rule sets comes after what a destination does, as in Envoy.
    let rule = HeaderEdits { remove: vec![field("x-z")], ..set(&[("x-a", "rule")]) };
    let host = weft_model::policy::Rewrite { host: Some("b.example".into()), path: None };
    let rule = [StepKind::RequestHeaders(rule), StepKind::Rewrite(host)];
    let mut first = vec![
        StepKind::ResponseHeaders(set(&[("x-r", "own")])),
        StepKind::RequestHeaders(set(&[("x-a", "own")])),
    ];
    first.extend(rule.clone());
    assert_eq!(kinds(&weighted.choices[0].steps), first);
    assert_eq!(kinds(&weighted.choices[1].steps), rule);
}

#[test]
fn what_is_removed_first_may_be_set_again() {
    let world =
        http(&format!("{{{TO}, headers: {{request: {{remove: [x-a], set: {{x-a: b}}}}}}}}"));
    let removed = HeaderEdits { remove: vec![field("x-a")], ..HeaderEdits::default() };
    let set = HeaderEdits { set: vec![(field("x-a"), "b".into())], ..HeaderEdits::default() };
    assert_eq!(
        steps(&world, "GET /"),
        [StepKind::RequestHeaders(removed), StepKind::RequestHeaders(set)]
    );
    let rule = format!(
        "{{{TO}, headers: {{request: {{set: {{x-a: '%UPSTREAM_HOST%', content-length: '1'}}}}}}}}"
    );
    let world = routing(&[&virtual_service("r", &format!("http: [{rule}]"))]);
    reports(&world, "the header `x-a` is left alone: `UPSTREAM_HOST` is not filled in here");
    reports(&world, "the header `content-length` stays as it is");
}

#[test]
fn values_may_be_made_of_the_message() {
    let world = http(&format!(
        "{{{TO}, headers: {{request: {{set: {{x-a: 'by %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', x-b: '9%%'}}}},
           response: {{add: {{x-c: '%RESP(x-d)%'}}}}}}}}"
    ));
    let found = steps(&world, "GET /");
    let [StepKind::ResponseHeaders(response), StepKind::RequestHeaders(request)] = &*found else {
        panic!("{found:?}")
    };
    assert_eq!(request.set, [(field("x-b"), "9%".into())]);
    let client = [ValuePart::Text("by ".into()), ValuePart::Fact(Fact::ClientIp)];
    let made = MadeHeader { name: field("x-a"), adds: false, parts: client.into() };
    assert_eq!(request.made, [made]);
    let parts = vec![MessagePart::Field(field("x-d"))];
    let named = ValuePart::Fact(Fact::Named { parts, bytes_max: None });
    let made = MadeHeader { name: field("x-c"), adds: true, parts: vec![named] };
    assert_eq!(response.made, [made]);
}

#[test]
fn paths_are_rewritten_by_what_matched() {
    let rewrite = |matched: &str, rewrite: &str| {
        let rule = format!("{{match: [{{uri: {{{matched}}}}}], {TO}, rewrite: {{{rewrite}}}}}");
        let world = http(&rule);
        let Some(set) = traffic(&world, "a").routing.first() else { panic!("there are rules") };
        let routed = &set.http.as_ref().expect("for HTTP")[0];
        let [step] = &*routed.route.steps else { panic!("one step") };
        step.kind.clone()
    };
    let path =
        |path| StepKind::Rewrite(weft_model::policy::Rewrite { host: None, path: Some(path) });
    let regex = |pattern: &str, replacement: &str| {
        let pattern = Pattern::new(pattern).unwrap();
        path(PathRewrite::Regex { pattern, replacement: replacement.into() })
    };
    assert_eq!(rewrite("prefix: /a", "uri: /b"), regex("^/a", "/b"));
    assert_eq!(rewrite("prefix: /a", "uri: /"), regex("^/a/?", "/"));
    assert_eq!(rewrite("prefix: /a/", "uri: /"), regex("^/a/", "/"));
    assert_eq!(rewrite("exact: /a", "uri: /b"), path(PathRewrite::Full("/b".into())));
    assert_eq!(
        rewrite("prefix: /a", r"uriRegexRewrite: {match: '/a/(.*)$', rewrite: '/\1/$'}"),
        regex("/a/(.*)$", "/${1}/$$")
    );
}

#[test]
fn redirects_and_answers() {
    let world = http(
        "{match: [{uri: {prefix: /old}}],
          redirect: {uri: /new, authority: 'b.example:8443', scheme: https, redirectCode: 308}},
         {match: [{uri: {prefix: /port}}], redirect: {derivePort: FROM_REQUEST_PORT}},
         {directResponse: {status: 418, body: {string: no}}}",
    );
    assert_eq!(
        steps(&world, "GET /old"),
        [StepKind::Redirect(Redirect {
            scheme: Some("https".into()),
            host: Some("b.example".into()),
            port: Some(8443),
            path: Some(PathRewrite::Full("/new".into())),
            status: 308,
        })]
    );
    let [StepKind::Redirect(redirect)] = &*steps(&world, "GET /port") else { panic!("a redirect") };
    assert_eq!(redirect.port, Some(80));
    let body = Arc::from(&b"no"[..]);
    assert_eq!(steps(&world, "GET /"), [StepKind::Respond(FixedAnswer { status: 418, body })]);
}

#[test]
fn faults_mirrors_and_cors() {
    let world = http(&format!(
        "{{{TO}, fault: {{delay: {{fixedDelay: 2s, percentage: {{value: 0.1}}}},
                          abort: {{grpcStatus: UNAVAILABLE, percentage: {{value: 50}}}}}},
          mirrors: [{{destination: {{host: v2, port: {{number: 80}}}}, percentage: {{value: 2.5}}}}],
          corsPolicy: {{allowOrigins: [{{exact: 'https://a.example'}}, {{prefix: 'https://b.'}}],
                        allowMethods: [GET], maxAge: 60s, unmatchedPreflights: IGNORE}}}}"
    ));
    let found = steps(&world, "GET /");
    let [
        StepKind::Fault(fault),
        StepKind::Cors(cors),
        StepKind::Mirror { parts_per_million, backend, .. },
    ] = &*found
    else {
        panic!("{found:?}")
    };
    assert_eq!(fault.delay, Some((Duration::from_secs(2), 1_000)));
    assert_eq!(fault.abort, Some((Abort::Grpc(14), 500_000)));
    assert_eq!((*parts_per_million, backend.as_str().starts_with("v2.")), (25_000, true));
    assert_eq!(cors.allow_origins, ["https://a.example".into()]);
    assert!(cors.allow_origin_patterns[0].is_match("https://b.example"));
    assert_eq!((cors.max_age_secs, cors.answer_all_preflights), (Some(60), true));
}

#[test]
fn a_rule_may_delegate() {
    let root = virtual_service(
        "root",
        "http: [{match: [{uri: {prefix: /team}}], delegate: {name: team, namespace: other},
                 timeout: 4s, headers: {request: {set: {x-root: '1'}}}}]",
    );
    let team = istio(
        "VirtualService",
        "name: team, namespace: other",
        "http: [{match: [{uri: {prefix: /team/x}}], route: [{destination: {host: far}}], timeout: 1s},
                {match: [{uri: {prefix: /else}}], route: [{destination: {host: far}}]},
                {route: [{destination: {host: far}}]}]",
    );
    let world = routing(&[&root, &team]);
    let far = "far.other.svc.cluster.local:80";
    check(&world, &[("GET /team/x", far), ("GET /team", far), ("GET /else", "404")]);
    let timeout = |line| route(&world, line).timeouts.request;
    assert_eq!(timeout("GET /team/x"), Some(Duration::from_secs(1)));
    assert_eq!(timeout("GET /team"), Some(Duration::from_secs(4)));
    assert_eq!(steps(&world, "GET /team").len(), 1);
    reports(&world, "`uri` prefix /else is no part of prefix /team");
    reports(&routing(&[&root]), "there is no VirtualService other/team");
    reports(&routing(&[&team]), "no other VirtualService delegates to it");
}

#[test]
fn rules_for_gateways_alone_are_not_for_sidecars() {
    let world =
        clean_routing(&[&virtual_service("r", &format!("gateways: [public], http: [{{{TO}}}]"))]);
    check(&world, &[("GET /", "as is")]);
    let world = clean_routing(&[&virtual_service(
        "r",
        &format!("gateways: [public, mesh], http: [{{match: [{{gateways: [public]}}], {TO}}},
                 {{match: [{{gateways: [mesh]}}], route: [{{destination: {{host: v2, port: {{number: 80}}}}}}]}}]"),
    )]);
    check(&world, &[("GET /", "v2:80")]);
}

#[test]
fn connections_have_rules_of_their_own() {
    let world = clean_routing(&[&virtual_service(
        "r",
        "tls: [{match: [{sniHosts: [a], port: 9000}], route: [{destination: {host: v2}}]}],
         tcp: [{match: [{destinationSubnets: [10.0.0.0/8], port: 9000}], route: [{destination: {host: v1}}]},
               {route: [{destination: {host: v1, port: {number: 9000}}, weight: 1},
                        {destination: {host: v2, port: {number: 9000}}, weight: 3}]}]",
    )]);
    assert_eq!(
        connections(&world, "a", From { port: 9000, ..HERE }),
        ["a -> v2:9000", "to 10.0.0.0/8 -> v1:9000", "all -> v1:9000 x1, v2:9000 x3"]
    );
}

#[test]
fn what_a_destination_rule_says_of_routes_is_honoured() {
    let rule = istio(
        "DestinationRule",
        "name: a",
        "host: a, trafficPolicy: {timeout: 2s, retries: {attempts: 5}}",
    );
    let world = routing(&[&rule]);
    let found = route(&world, "GET /");
    assert_eq!(goes(&found.target), "a:80");
    assert_eq!(found.timeouts.request, Some(Duration::from_secs(2)));
    assert_eq!(found.timeouts.retry.as_ref().map(|retry| retry.attempts), Some(6));
    // What a VirtualService says itself holds.
    let own = virtual_service("r", &format!("http: [{{{TO}, timeout: 9s}}]"));
    let world = routing(&[&rule, &own]);
    let found = route(&world, "GET /");
    assert_eq!(
        (goes(&found.target), found.timeouts.request),
        ("v1:80".into(), Some(Duration::from_secs(9)))
    );
    assert_eq!(found.timeouts.retry.as_ref().map(|retry| retry.attempts), Some(6));
}

/// Where a rule has its bounds from, as far as that is elsewhere.
fn inherited(world: &MeshWorld, line: &str) -> Vec<String> {
    let sources = route(world, line).timeouts.inherited.clone();
    sources.iter().map(|(bound, source)| shown(*bound, source)).collect()
}

/// What is inherited, with the line of the document in place of that of the file.
pub(super) fn shown(bound: Bound, source: &Source) -> String {
    let Source { setting, document, file, line } = source;
    assert_eq!(&**file, "a.yaml");
    format!("{bound:?}: {setting} of {document}:{line}")
}

#[test]
fn what_a_rule_has_from_elsewhere_says_where_that_is_written() {
    let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultHttpRetryPolicy: {attempts: 7}'}
---
";
    let rule = |policy: &str| {
        istio("DestinationRule", "name: a", &format!("host: a, trafficPolicy: {{{policy}}}"))
    };
    let own = virtual_service("r", &format!("http: [{{{TO}}}]"));
    let both = "timeout: 2s, retries: {attempts: 5}";
    // Where the documents stand: behind the services, each of some lines.
    let first = services().lines().count() + 1;
    let mesh = format!("Retry: defaultHttpRetryPolicy of ConfigMap istio-system/istio:{first}");
    assert_eq!(inherited(&routing(&[config, &own]), "GET /"), std::slice::from_ref(&mesh));
    let line = first + config.lines().count() + 3;
    let timeout = format!("Request: trafficPolicy.timeout of DestinationRule default/a:{line}");
    let retries = format!("Retry: trafficPolicy.retries of DestinationRule default/a:{line}");
    let world = routing(&[config, &rule("timeout: 2s"), &own]);
    assert_eq!(inherited(&world, "GET /"), [timeout.clone(), mesh]);
    let world = routing(&[config, &rule(both), &own]);
    assert_eq!(inherited(&world, "GET /"), [timeout, retries]);
    // What it says itself comes from nowhere else.
    let own = virtual_service("r", &format!("http: [{{{TO}, {both}}}]"));
    assert_eq!(inherited(&routing(&[config, &rule(both), &own]), "GET /"), [""; 0]);
    assert_eq!(inherited(&routing(&[&own]), "GET /"), [""; 0]);
    let team = istio("VirtualService", "name: team", &format!("http: [{{{TO}, timeout: 1s}}]"));
    let root = virtual_service("root", &format!("http: [{{delegate: {{name: team}}, {both}}}]"));
    assert_eq!(
        inherited(&routing(&[&root, &team]), "GET /"),
        [format!("Retry: spec.http.retries of VirtualService default/root:{}", first + 3)]
    );
}

#[test]
fn what_cannot_be_read_of_a_match_takes_nothing() {
    let rules = format!(
        "{{match: [{{uri: {{regex: '['}}}}], {TO}}}, {{match: [{{headers: {{x-a: {{regex: '('}}}}}}], {TO}}}"
    );
    let world = routing(&[&virtual_service("r", &format!("http: [{rules}]"))]);
    check(&world, &[("GET /", "404")]);
    reports(&world, "spec.http[0].match[0]: ");
    reports(&world, "; this match takes nothing: what it was meant for goes to other rules");
}

#[test]
fn connections_of_certain_callers_have_rules_of_their_own() {
    let caller = "port: 9000, sourceLabels: {app: web}, sourceNamespace: other, gateways: [mesh]";
    let world = clean_routing(&[&virtual_service(
        "r",
        &format!(
            "gateways: [mesh, front/public],
             tls: [{{match: [{{sniHosts: [a], {caller}}}], route: [{{destination: {{host: v1}}}}]}},
                   {{match: [{{sniHosts: [a], gateways: [front/public]}}], route: [{{destination: {{host: v1}}}}]}}],
             tcp: [{{match: [{{sourceSubnet: 10.1.0.0/16, {caller}}}], route: [{{destination: {{host: v2}}}}]}},
                   {{match: [{{gateways: [front/public]}}], route: [{{destination: {{host: v1}}}}]}}]"
        ),
    )]);
    let web = From { namespace: "other", labels: &[("app", "web")], port: 9000 };
    let expected = ["a -> v1:9000", "from 10.1.0.0/16 -> v2:9000"];
    assert_eq!(connections(&world, "a", web), expected);
    for other in [
        From { namespace: "default", ..web },
        From { labels: &[("app", "api")], ..web },
        From { port: 80, ..web },
    ] {
        assert_eq!(connections(&world, "a", other), ["as is"]);
    }
}

#[test]
fn every_field_of_a_cors_policy_has_its_place() {
    let cors = |text: &str| {
        let world =
            routing(&[&virtual_service("r", &format!("http: [{{{TO}, corsPolicy: {{{text}}}}}]"))]);
        let found = steps(&world, "GET /");
        let [StepKind::Cors(cors)] = &*found else { panic!("{found:?}") };
        Cors::clone(cors)
    };
    let found = cors(
        "allowOrigins: [{exact: 'https://a.example'}, {prefix: 'https://b.'}, {regex: 'https://c[0-9]'}],
         allowMethods: [GET, PUT], allowHeaders: [x-token], exposeHeaders: [x-id], maxAge: 10m,
         allowCredentials: true, unmatchedPreflights: IGNORE",
    );
    let Cors { allow_origins, allow_origin_patterns, allow_methods, allow_headers, .. } = &found;
    assert_eq!(*allow_origins, ["https://a.example".into()]);
    let fits = |origin: &str| allow_origin_patterns.iter().any(|one| one.is_match(origin));
    assert!(fits("https://b.example") && fits("https://c7") && !fits("https://c77"));
    assert_eq!(*allow_methods, ["GET".into(), "PUT".into()]);
    assert_eq!(
        (allow_headers, &found.expose_headers),
        (&vec!["x-token".into()], &vec!["x-id".into()])
    );
    let rest = (found.max_age_secs, found.allow_credentials, found.answer_all_preflights);
    assert_eq!(rest, (Some(600), true, true));
    let old = cors("allowOrigin: ['https://a.example'], unmatchedPreflights: FORWARD");
    assert_eq!(
        (&*old.allow_origins, old.answer_all_preflights),
        (&["https://a.example".into()][..], false)
    );
}

#[test]
fn older_words_mean_the_same() {
    let one = |rule: &str| {
        let world = routing(&[&virtual_service("r", &format!("http: [{{{rule}}}]"))]);
        let mut found = steps(&world, "GET /");
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        found.remove(0)
    };
    let delay = one(&format!("{TO}, fault: {{delay: {{fixedDelay: 2s, percent: 20}}}}"));
    let StepKind::Fault(fault) = delay else { panic!("{delay:?}") };
    assert_eq!(fault.delay, Some((Duration::from_secs(2), 200_000)));
    let mirror = "mirror: {host: v2, port: {number: 80}}";
    for (rest, expected) in [
        ("mirrorPercentage: {value: 2.5}", 25_000),
        ("mirrorPercent: 40", 400_000),
        ("", 1_000_000),
    ] {
        let found = one(&format!("{TO}, {mirror}, {rest}"));
        let StepKind::Mirror { parts_per_million, .. } = found else { panic!("{found:?}") };
        assert_eq!(parts_per_million, expected, "{rest}");
    }
}

#[test]
fn prefixes_are_redirected_and_bytes_answered() {
    let world = http(
        "{match: [{uri: {prefix: /also}}], redirect: {prefixRewrite: /new}},
         {directResponse: {status: 418, body: {bytes: /+4=}}}",
    );
    let [StepKind::Redirect(redirect)] = &*steps(&world, "GET /also/x") else { panic!("one") };
    let pattern = Pattern::new("^/also").unwrap();
    let path = PathRewrite::Regex { pattern, replacement: "/new".into() };
    assert_eq!(redirect.path, Some(path));
    let body = Arc::from(&[0xff_u8, 0xee][..]);
    assert_eq!(steps(&world, "GET /"), [StepKind::Respond(FixedAnswer { status: 418, body })]);
}
