//! What no other dialect has words for: TrafficPolicy.

use std::time::Duration;

use weft_testkit::wait;

use crate::echo::{Call, Load, Tally};
use crate::mesh::PROBLEMS;

use super::{SHOP, WEB_1, WEB_2, document, mesh, service, until_hedged};

/// A TrafficPolicy of that name for a Service of that name.
fn policy(name: &str, spec: &str) -> String {
    let spec = format!("  targetRefs: [{{group: \"\", kind: Service, name: {name}}}]\n{spec}");
    document("weftway.io/v1alpha1", "TrafficPolicy", name, &spec)
}

/// The mesh with a Service of that name and that policy.
fn host(name: &str, spec: &str) -> super::Borrowed {
    mesh(&[&service(name), &policy(name, spec)])
}

/// A call by a client that reads problem documents.
fn problems(call: Call) -> Call {
    let (name, value) = PROBLEMS.split_once(": ").unwrap();
    call.header(name, value)
}

/// Half of the requests are sent to an instance that takes five seconds of late.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_slow_instance_is_hedged_and_only_what_may_be_repeated() {
    let mesh = host(
        "hedged",
        "  hedging: {percentile: 50, delayMin: 10ms, delayMax: 100ms, budgetPercent: 100}
  loadBalancer: {type: RoundRobin}
",
    );
    until_hedged(&mesh, &Call::get("hedged/"));
    mesh.tell(WEB_1, "delay=5000");
    let found = Tally::of(&mesh.calls(SHOP, &Load::times(&Call::get("hedged/"), 20)));
    found.check_shares(&[(WEB_2, 1.0)]);
    assert!(mesh.seen(WEB_1) >= 5, "none of them was slow");
    mesh.forget(WEB_1);
    mesh.forget(WEB_2);
    mesh.tell(WEB_1, "delay=400");
    let orders = Load::times(&Call::post("hedged/", "once"), 6);
    let orders = Tally::of(&mesh.calls(SHOP, &orders));
    assert_eq!((orders.status(200), mesh.seen(WEB_1) + mesh.seen(WEB_2)), (6, 6), "{orders:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn bounds_hold_for_a_service_for_each_endpoint_and_for_a_route() {
    let route = document(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "of-route",
        "  parentRefs: [{group: \"\", kind: Service, name: of-route, port: 80}]
  rules: [{backendRefs: [{name: of-route, port: 80}]}]
",
    );
    let of_route = document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        "of-route",
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: of-route}]
  limits: {perRoute: {requests: 2}}
",
    );
    let mesh = mesh(&[
        &[service("of-service"), service("of-endpoint"), service("of-route")].concat(),
        &policy("of-service", "  limits: {perService: {requests: 2}}\n"),
        &policy("of-endpoint", "  limits: {perEndpoint: {requests: 1}}\n"),
        &route,
        &of_route,
    ]);
    for (host, code, reason) in [
        ("of-service", 503, "requests_overflow"),
        ("of-endpoint", 503, "requests_overflow"),
        ("of-route", 429, "in_flight_limited"),
    ] {
        let call = problems(Call::get(&format!("{host}/")).which("delay=500"));
        let replies = mesh.calls(SHOP, &Load::times(&call, 12).at_once(6));
        let (served, refused): (Vec<_>, Vec<_>) =
            replies.iter().partition(|reply| reply.status == 200);
        assert!(served.len() >= 2 && refused.len() >= 4, "{host}: {replies:?}");
        for reply in refused {
            assert_eq!((reply.status, &*reply.reason()), (code, reason), "{host}: {reply:?}");
        }
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_key_keeps_requests_at_one_endpoint() {
    for algorithm in ["Maglev", "RingHash", "Rendezvous"] {
        let spec = format!("  loadBalancer: {{type: {algorithm}, key: {{query: user}}}}\n");
        let mesh = host("keyed", &spec);
        let users: Vec<Call> =
            (0..16).map(|user| Call::get(&format!("keyed/?user={user}"))).collect();
        let names = || -> Vec<_> {
            mesh.calls(SHOP, &Load::each(&users)).iter().map(|reply| reply.name()).collect()
        };
        let first = names();
        assert_eq!(first, names(), "{algorithm}");
        for app in [WEB_1, WEB_2] {
            assert!(first.iter().any(|name| name.as_deref() == Some(app)), "{algorithm}");
        }
    }
}

/// One instance says that it is at its limit, the other that it has hardly anything to do.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn instances_get_as_much_as_the_load_that_they_report_allows() {
    let mesh = host("reporting", "  loadBalancer: {type: WeightedByLoad}\n");
    let report = |utilization: &str| {
        format!("set=endpoint-load-metrics:TEXT+cpu_utilization={utilization},rps_fractional=100")
    };
    mesh.tell(WEB_1, &report("0.9"));
    mesh.tell(WEB_2, &report("0.3"));
    let load = Load::times(&Call::get("reporting/"), 100);
    // Reports count when they have come for ten seconds.
    let shared = wait::within(Duration::from_secs(60), || {
        let found = Tally::of(&mesh.calls(SHOP, &load));
        ((found.share(WEB_2) - 0.75).abs() < 0.1).then_some(())
    });
    assert!(shared.is_some(), "three of four calls are for the idle one");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_rate_limit_holds_where_calls_arrive_and_leaves_a_burst() {
    let mesh =
        host("rated", "  localRateLimit: {perIdentity: {requestsPerSecond: 1, burst: 10}}\n");
    let load = Load::times(&problems(Call::get("rated/")), 60).at_once(6);
    let replies = mesh.calls(SHOP, &load);
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    // Ten for each of two instances, and one a second.
    assert!(replies.len() - refused.len() >= 10 && refused.len() >= 20, "{replies:?}");
    for reply in refused {
        assert_eq!((reply.status, &*reply.reason()), (429, "rate_limited"), "{reply:?}");
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn whoever_asks_for_retries_has_the_budget_of_the_policy() {
    const REQUESTS: u64 = 200;
    let route = document(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "spare",
        "  parentRefs: [{group: \"\", kind: Service, name: spare, port: 80}]
  rules:
  - retry: {codes: [500], attempts: 3, backoff: 1ms}
    backendRefs: [{name: spare, port: 80}]
",
    );
    let budget =
        policy("spare", "  retry: {budget: {percent: 10, interval: 10s, minPerSecond: 0}}\n");
    let mesh = mesh(&[&service("spare"), &budget, &route]);
    [WEB_1, WEB_2].iter().for_each(|app| mesh.tell(app, "status=500"));
    mesh.calls(SHOP, &Load::times(&Call::get("spare/"), REQUESTS as usize));
    let retries = mesh.seen(WEB_1) + mesh.seen(WEB_2) - REQUESTS;
    assert!((10..=20).contains(&retries), "{retries} retries");
}
