//! ServiceProfiles, annotations, and Linkerd's own HTTPRoutes.

use std::time::Duration;

use weft_model::route::Timeouts;

use super::*;

fn annotated(annotations: &str) -> String {
    document(
        "v1",
        "Service",
        &format!("name: a, annotations: {{{annotations}}}"),
        "ports: [{port: 80, name: http}]",
    )
}

fn near() -> String {
    let ports = "ports: [{port: 80, name: http}]";
    ["v1", "v2"].map(|name| service_document(name, ports)).concat()
}

fn with(documents: &[&str]) -> MeshWorld {
    world(&format!("{}{}", near(), documents.concat()), &[])
}

fn profile(metadata: &str, spec: &str) -> String {
    let name = "name: a.default.svc.cluster.local";
    document("linkerd.io/v1alpha2", "ServiceProfile", &format!("{name}{metadata}"), spec)
}

#[test]
fn annotations_of_a_service_bound_its_calls() {
    let world = with(&[&annotated(
        "retry.linkerd.io/http: '5xx,429', retry.linkerd.io/grpc: unavailable,
         retry.linkerd.io/limit: '3', retry.linkerd.io/timeout: 400ms,
         timeout.linkerd.io/request: 10s, timeout.linkerd.io/response: 5s, timeout.linkerd.io/idle: 1s",
    )]);
    assert_eq!(faults(&world), Vec::<String>::new());
    let found = route(&world, "GET /");
    assert_eq!(goes(&found.target), "a:80");
    let Timeouts { request, attempt, response, idle, retry, .. } = &found.timeouts;
    let seconds = |secs| Some(Duration::from_secs(secs));
    assert_eq!((*request, *attempt, *response, *idle), (seconds(10), None, seconds(5), seconds(1)));
    let retry = retry.as_ref().expect("it retries");
    assert_eq!((retry.attempts, retry.attempt_timeout), (4, Some(Duration::from_millis(400))));
    assert_eq!(retry.statuses, [(500, 599), (429, 429)]);
    assert_eq!((&*retry.grpc_statuses, retry.body_bytes_max), (&[14][..], 64 << 10));
}

#[test]
fn what_annotations_of_the_service_say_of_its_routes_is_known_to_be_theirs() {
    let service = annotated(
        "retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 9s, timeout.linkerd.io/idle: 1s",
    );
    let inherited = |annotations: &str| -> Vec<String> {
        let route = document(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            &format!("name: r, annotations: {{{annotations}}}"),
            "parentRefs: [{group: '', kind: Service, name: a}],
             rules: [{backendRefs: [{name: v1, port: 80}]}]",
        );
        let world = with(&[&service, &route]);
        let found = super::route(&world, "GET /").timeouts.inherited.clone();
        found.iter().map(|(bound, source)| virtual_service::shown(*bound, source)).collect()
    };
    let of_service = |bound: &str, field: &str, line: usize| {
        format!("{bound}: {field} of Service default/a:{}", near().lines().count() + line)
    };
    let timeouts = [
        of_service("Request", "timeout.linkerd.io/request", 1),
        of_service("Idle", "timeout.linkerd.io/idle", 1),
    ];
    let retry = of_service("Retry", "retry.linkerd.io", 3);
    assert_eq!(inherited("retry.linkerd.io/http: '503'"), timeouts);
    assert_eq!(inherited("timeout.linkerd.io/idle: 2s"), std::slice::from_ref(&retry));
    assert_eq!(inherited(""), [timeouts.to_vec(), vec![retry]].concat());
}

#[test]
fn annotations_that_say_no_failure_retry_nothing() {
    let world = with(&[&annotated("retry.linkerd.io/limit: '3'")]);
    assert_eq!(route(&world, "GET /").timeouts.retry, None);
    reports(&world, "nothing is sent again: no annotation says what has failed");
}

#[test]
fn annotations_of_a_route_replace_those_of_the_service() {
    let service = annotated(
        "retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 10s, timeout.linkerd.io/idle: 1s",
    );
    let route_document = document(
        "policy.linkerd.io/v1beta3",
        "HTTPRoute",
        "name: r, annotations: {timeout.linkerd.io/request: 2s}",
        "parentRefs: [{group: core, kind: Service, name: a}],
         rules: [{backendRefs: [{name: v1, port: 80}], timeouts: {request: 7s, backendRequest: 1s}}]",
    );
    let world = with(&[&service, &route_document]);
    assert_eq!(faults(&world), Vec::<String>::new());
    let found = route(&world, "GET /");
    assert_eq!((goes(&found.target), found.rank.dialect), ("v1:80".into(), 4));
    assert_eq!(found.timeouts.request, Some(Duration::from_secs(2)));
    assert_eq!(found.timeouts.attempt, Some(Duration::from_secs(1)));
    // Timeouts were replaced as a whole, retries were not.
    assert_eq!(found.timeouts.idle, None);
    assert_eq!(
        found.timeouts.retry.as_ref().map(|retry| &*retry.statuses),
        Some(&[(500, 599)][..])
    );
}

#[test]
fn a_profile_has_classes_of_requests() {
    let world = with(&[
        &annotated(""),
        &profile(
            "",
            "routes: [{name: charge, isRetryable: true,
                       condition: {all: [{method: POST}, {pathRegex: '/charge/[^/]*'}]},
                       responseClasses: [{condition: {status: {min: 500, max: 503}}, isFailure: true},
                                         {condition: {status: {min: 504, max: 599}}, isFailure: false},
                                         {condition: {status: {min: 429, max: 429}}, isFailure: true}]},
                      {name: list, condition: {not: {any: [{method: POST}, {method: PUT}]}}, timeout: 300ms}]",
        ),
    ]);
    assert_eq!(faults(&world), Vec::<String>::new());
    let charge = route(&world, "POST /charge/1");
    assert_eq!((&*charge.origin.rule, goes(&charge.target)), ("charge", "a:80".into()));
    assert_eq!(charge.timeouts.request, Some(Duration::from_secs(10)));
    let retry = charge.timeouts.retry.as_ref().expect("it retries");
    assert_eq!(retry.statuses, [(429, 429), (500, 503)]);
    let list = route(&world, "GET /charge/1");
    assert_eq!(
        (&*list.origin.rule, list.timeouts.request),
        ("list", Some(Duration::from_millis(300)))
    );
    assert_eq!(list.timeouts.retry, None);
    // What no class takes goes on.
    let rest = route(&world, "PUT /charge/1");
    assert_eq!((goes(&rest.target), &rest.timeouts), ("a:80".into(), &Timeouts::default()));
}

#[test]
fn a_profile_may_send_calls_elsewhere() {
    let world = with(&[
        &annotated(""),
        &profile(
            "",
            "dstOverrides: [{authority: 'v1.default.svc.cluster.local:80', weight: 900m},
                            {authority: v2.default.svc.cluster.local., weight: 100m},
                            {authority: 'v3.default.svc.cluster.local:80', weight: 1}]",
        ),
    ]);
    check(&world, &[("GET /", "v1:80 x900, v2:80 x100, 503 x1000")]);
    assert_eq!(connections(&world, "a", HERE), ["as is"], "it speaks HTTP");
    let bytes = service_document("a", "ports: [{port: 80, name: tcp}]");
    let own = profile("", "dstOverrides: [{authority: v1.default.svc.cluster.local, weight: 1}]");
    let world_of_bytes = with(&[&bytes, &own]);
    assert_eq!(connections(&world_of_bytes, "a", HERE), ["all -> v1:80 x1000"]);
    reports(&world, "there is no service and port `v3.default.svc.cluster.local:80`");
}

#[test]
fn a_profile_of_callers_is_for_them() {
    let own = profile("", "routes: [{name: x, condition: {method: GET}, timeout: 1s}]");
    let there =
        profile(", namespace: other", "routes: [{name: y, condition: {method: GET}, timeout: 2s}]");
    let world = with(&[&annotated(""), &own, &there]);
    let timeout = |namespace| {
        let from = From { namespace, ..HERE };
        find(&world, "a", from, "GET /").flatten().and_then(|route| route.timeouts.request)
    };
    assert_eq!(timeout("default"), Some(Duration::from_secs(1)));
    assert_eq!(timeout("other"), Some(Duration::from_secs(2)));
}

#[test]
fn a_profile_wins_over_routes_and_annotations() {
    let service = annotated("timeout.linkerd.io/request: 9s");
    let own = profile("", "routes: [{name: x, condition: {method: GET}, timeout: 1s}]");
    let route_document = document(
        "policy.linkerd.io/v1beta3",
        "HTTPRoute",
        "name: r",
        "parentRefs: [{group: core, kind: Service, name: a}], rules: [{backendRefs: [{name: v1, port: 80}]}]",
    );
    let world = with(&[&service, &own, &route_document]);
    check(&world, &[("GET /", "a:80")]);
    assert_eq!(route(&world, "POST /").timeouts.request, None);
    reports(&world, "HTTPRoute default/r");
    reports(&world, "and ServiceProfile comes before Linkerd: its rules hold instead");
    reports(&world, "and ServiceProfile comes before annotations of the Service");
}

/// Linkerd's own: others answer with an error.
#[test]
fn a_rule_without_backends_leads_to_the_port_that_was_dialled() {
    let two = "ports: [{port: 80, name: http}, {port: 81, name: http-more}, {port: 82, name: tcp}]";
    let route_document = document(
        "policy.linkerd.io/v1beta3",
        "HTTPRoute",
        "name: r",
        "parentRefs: [{group: core, kind: Service, name: a}],
         rules: [{matches: [{path: {value: /slow}}], timeouts: {request: 9s}},
                 {matches: [{path: {value: /else}}], backendRefs: [{name: v1, port: 80}]}]",
    );
    let world = with(&[&service_document("a", two), &route_document]);
    assert_eq!(faults(&world), Vec::<String>::new());
    for (port, expected) in [(80, "a:80"), (81, "a:81")] {
        let from = From { port, ..HERE };
        assert_eq!(ask(&world, "a", from, "GET /slow"), expected);
        assert_eq!(ask(&world, "a", from, "GET /else"), "v1:80");
        assert_eq!(ask(&world, "a", from, "GET /"), "404");
    }
    let ids: Vec<_> = traffic(&world, "a").lines.keys().map(ToString::to_string).collect();
    assert!(ids.contains(&"httproute/default/r/0:81".into()), "{ids:?}");
}
