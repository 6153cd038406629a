//! Linkerd: ServiceProfiles, routes with annotations, failure accrual and rate limits.

use weft_testkit::wait;

use crate::echo::{Call, Load, Tally, answered, check, status};

use super::{SHOP, WEB_1, WEB_2, document, failing, mesh, service, service_with};

/// A ServiceProfile of that Service of `default`.
fn profile(service: &str, spec: &str) -> String {
    document(
        "linkerd.io/v1alpha2",
        "ServiceProfile",
        &format!("{service}.default.svc.cluster.local"),
        spec,
    )
}

/// A Service of one instance, so that keys are counted at one place.
fn of_one(name: &str, metadata: &str) -> String {
    service_with(name, "app: web, version: v1", metadata)
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_service_profile_says_what_is_retried_and_how_long_it_may_take() {
    let routes = profile(
        "profiled",
        "  routes:
  - name: retried
    condition: {all: [{method: GET}, {pathRegex: \"/retried/[^/]*\"}]}
    isRetryable: true
  - name: conflicts
    condition: {pathRegex: /conflicts}
    isRetryable: true
    responseClasses:
    - condition: {status: {min: 409, max: 409}}
      isFailure: true
  - name: quick
    condition: {pathRegex: /quick}
    timeout: 300ms
",
    );
    let mesh = mesh(&[&of_one("profiled", ""), &routes]);
    let call = |path: &str| Call::get(&format!("profiled/{path}"));
    check(
        &mesh,
        SHOP,
        &[
            (failing(call("retried/1"), 1, "status=503"), answered(WEB_1)),
            (failing(call("retried/1"), 1, "status=404"), status(404)),
            (failing(call("retried/1").method("POST"), 1, "status=503"), status(503)),
            (failing(call("conflicts"), 1, "status=409"), answered(WEB_1)),
            (failing(call("quick"), 1, "status=503"), status(503)),
            (call("quick").which("delay=2000"), status(504)),
            // What no route takes is served all the same.
            (call("other"), answered(WEB_1)),
            (failing(call("other"), 1, "status=503"), status(503)),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_budget_of_a_service_profile_bounds_its_retries() {
    const REQUESTS: u64 = 200;
    let routes = profile(
        "frugal",
        "  routes: [{name: all, condition: {pathRegex: /.*}, isRetryable: true}]
  retryBudget: {retryRatio: 0.1, minRetriesPerSecond: 1, ttl: 10s}
",
    );
    let mesh = mesh(&[&of_one("frugal", ""), &routes]);
    mesh.tell(WEB_1, "status=500");
    let replies = mesh.calls(SHOP, &Load::times(&Call::get("frugal/"), REQUESTS as usize));
    assert_eq!(Tally::of(&replies).status(500), REQUESTS as usize);
    let retries = mesh.seen(WEB_1) - REQUESTS;
    // A tenth, and one a second for as long as it takes.
    assert!((15..=45).contains(&retries), "{retries} retries");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_service_profile_overrides_where_its_requests_go() {
    let routes = profile(
        "overridden",
        "  dstOverrides:
  - {authority: \"overridden-1.default.svc.cluster.local:80\", weight: 300m}
  - {authority: \"overridden-2.default.svc.cluster.local:80\", weight: 700m}
",
    );
    let one = of_one("overridden-1", "");
    let two = service_with("overridden-2", "app: web, version: v2", "");
    let mesh = mesh(&[&service("overridden"), &one, &two, &routes]);
    let replies = mesh.calls(SHOP, &Load::times(&Call::get("overridden/"), 500));
    Tally::of(&replies).check_shares(&[(WEB_1, 0.3), (WEB_2, 0.7)]);
}

/// A route of `policy.linkerd.io` for a Service, with its annotations and rules.
fn route(service: &str, annotations: &str, rules: &str) -> String {
    let spec = format!(
        "  parentRefs: [{{group: core, kind: Service, name: {service}, port: 80}}]\n  \
         rules:\n{rules}"
    );
    let route = document("policy.linkerd.io/v1beta3", "HTTPRoute", service, &spec);
    let before = format!("metadata: {{name: {service}, ");
    route.replace(&before, &format!("{before}annotations: {{{annotations}}}, "))
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn annotations_of_a_route_take_the_place_of_those_of_its_service() {
    let annotations =
        ", annotations: {retry.linkerd.io/http: gateway-error, retry.linkerd.io/limit: \"1\"}";
    let route = route(
        "annotated",
        "retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: \"2\", retry.linkerd.io/timeout: \
         400ms, timeout.linkerd.io/request: 3s",
        "  - matches: [{path: {type: PathPrefix, value: /routed}}]
    backendRefs: [{name: annotated, port: 80}]
",
    );
    let mesh = mesh(&[&of_one("annotated", annotations), &route]);
    let call = || Call::get("annotated/routed");
    let slow = call().header("key", "slow").which("first=1 delay=2000");
    check(
        &mesh,
        SHOP,
        &[
            (failing(call(), 2, "status=500"), answered(WEB_1)),
            (failing(call(), 3, "status=500"), status(500)),
            (slow, answered(WEB_1)),
            (call().which("delay=5000"), status(504)),
            (Call::get("annotated/elsewhere"), status(404)),
        ],
    );
    // Without the route, what the Service says holds.
    mesh.apply(&of_one("annotated", annotations));
    check(
        &mesh,
        SHOP,
        &[
            (failing(call(), 1, "status=502"), answered(WEB_1)),
            (failing(call(), 1, "status=500"), status(500)),
            (failing(call(), 2, "status=503"), status(503)),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn timeouts_of_annotations_bound_a_request_and_its_answer() {
    let with = |name: &str, timeout: &str| {
        of_one(name, &format!(", annotations: {{timeout.linkerd.io/{timeout}: 300ms}}"))
    };
    let mesh = mesh(&[&with("bounded", "request"), &with("answering", "response")]);
    for host in ["bounded", "answering"] {
        let call = Call::get(&format!("{host}/"));
        check(
            &mesh,
            SHOP,
            &[(call.clone(), answered(WEB_1)), (call.which("delay=2000"), status(504))],
        );
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn statuses_of_grpc_are_retried_as_annotated() {
    let annotations =
        ", annotations: {retry.linkerd.io/grpc: unavailable, retry.linkerd.io/limit: \"2\"}";
    let mesh = mesh(&[&of_one("greeted", annotations)]);
    let status = |times: u32, code: u32| {
        let call = Call::grpc("greeted:7070/hello.Greeter/SayHello");
        mesh.call(SHOP, &failing(call, times, &format!("grpc={code}"))).grpc
    };
    assert_eq!(status(2, 14), Some(0));
    assert_eq!(status(3, 14), Some(14));
    assert_eq!(status(1, 13), Some(13));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_instance_that_fails_so_often_in_a_row_is_left_alone_until_a_probe_succeeds() {
    let annotations = ", annotations: {balancer.linkerd.io/failure-accrual: consecutive, \
                       balancer.linkerd.io/failure-accrual-consecutive-max-failures: \"3\", \
                       balancer.linkerd.io/failure-accrual-consecutive-min-penalty: 300ms, \
                       balancer.linkerd.io/failure-accrual-consecutive-max-penalty: 400ms}";
    let mesh = mesh(&[&service_with("accrued", "app: web", annotations)]);
    mesh.tell(WEB_2, "status=500");
    let load = Load::times(&Call::get("accrued/"), 200).at_once(4);
    let found = Tally::of(&mesh.calls(SHOP, &load));
    // Three, what was under way then, and one probe for each penalty that has passed meanwhile.
    assert!((3..=20).contains(&found.failed()), "{found:?}");
    mesh.tell(WEB_2, "");
    wait::until_true("calls of both again", || {
        let found = Tally::of(&mesh.calls(SHOP, &load));
        found.failed() == 0 && found.share(WEB_2) > 0.25
    });
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_rate_limit_holds_for_each_caller_by_itself() {
    const SERVER: &str = "  podSelector: {matchLabels: {app: web, version: v1}}
  port: 8080
  proxyProtocol: HTTP/1
  accessPolicy: all-unauthenticated
";
    const LIMIT: &str = "  targetRef: {group: policy.linkerd.io, kind: Server, name: limited}
  identity: {requestsPerSecond: 5}
  overrides:
  - requestsPerSecond: 1000
    clientRefs: [{kind: ServiceAccount, namespace: default, name: shop}]
";
    let server = document("policy.linkerd.io/v1beta3", "Server", "limited", SERVER);
    let limit =
        document("policy.linkerd.io/v1alpha1", "HTTPLocalRateLimitPolicy", "limited", LIMIT);
    let mesh = mesh(&[&of_one("limited", ""), &server, &limit]);
    let load = Load::times(&Call::get("limited/"), 60).at_once(6);
    let of = |caller| Tally::of(&mesh.calls(caller, &load));
    let (near, shop) = (of("near"), of(SHOP));
    assert!(near.status(200) >= 5 && near.status(429) >= 10, "{near:?}");
    assert_eq!(near.status(200) + near.status(429), 60, "{near:?}");
    assert_eq!(shop.status(200), 60, "{shop:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_federated_service_is_called_where_its_local_part_runs() {
    let federated = "---
apiVersion: v1
kind: Service
metadata:
  name: whole
  namespace: default
  annotations: {multicluster.linkerd.io/local-discovery: part}
spec:
  ports: [{name: http, port: 80}]
";
    let mesh = mesh(&[&of_one("part", ""), federated]);
    let found = Tally::of(&mesh.calls(SHOP, &Load::times(&Call::get("whole/"), 10)));
    found.check_shares(&[(WEB_1, 1.0)]);
}
