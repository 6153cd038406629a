use std::net::IpAddr;
use std::time::Duration;

use crate::kind::Kind;
use crate::kubernetes::service::PortRef;
use crate::set::load;

use super::profile::{RequestCondition, ResponseCondition, RetryBudget};
use super::{Access, ProxyProtocol};

fn read(kind: &str, spec: &str) -> (Option<Kind>, Vec<String>) {
    let version = match kind {
        "ServiceProfile" => "linkerd.io/v1alpha2",
        "ExternalWorkload" => "workload.linkerd.io/v1beta1",
        "HTTPLocalRateLimitPolicy" | "EgressNetwork" => "policy.linkerd.io/v1alpha1",
        _ => "policy.linkerd.io/v1beta1",
    };
    let text =
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n");
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

#[test]
fn servers_name_a_port() {
    let spec = "{podSelector: {matchLabels: {app: a}}, port: http, proxyProtocol: HTTP/2, accessPolicy: audit}";
    let (kind, problems) = read("Server", spec);
    assert_eq!(problems, Vec::<String>::new());
    let Some(Kind::Server(server)) = kind else { panic!("not a Server") };
    assert_eq!(server.port, Some(PortRef::Name("http".into())));
    assert_eq!((server.protocol, server.access), (ProxyProtocol::Http2, Access::Audit));
    assert_eq!(server.selector.map(|selector| selector.requirements.len()), Some(1));
    assert!(!server.is_broken);
}

#[test]
fn what_is_left_of_a_broken_server_is_kept() {
    for spec in
        ["5", "{}", "{podSelector: {}, port: 80, accessPolicy: all}", "{podSelector: 5, port: 80}"]
    {
        let (kind, problems) = read("Server", spec);
        let Some(Kind::Server(server)) = kind else { panic!("{spec}: not a Server") };
        assert!(server.is_broken && !problems.is_empty(), "{spec}");
        assert_eq!(server.access, Access::Deny, "{spec}");
    }
}

#[test]
fn routes_name_servers() {
    let check = |spec: &str, servers: &[&str], is_broken: bool| {
        let (kind, _) = read("HTTPRoute", spec);
        let Some(Kind::LinkerdHttpRoute(route)) = kind else { panic!("{spec}: not a route") };
        let names: Vec<&str> = route.servers().map(|server| &*server.object.name).collect();
        assert_eq!((names.as_slice(), route.is_broken), (servers, is_broken), "{spec}");
    };
    check(
        "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}, \
         {kind: Service, group: core, name: t}]}",
        &["s"],
        false,
    );
    check("{rules: []}", &[], false);
    check("{parentRefs: [{kind: Server}]}", &[], true);
    check("5", &[], true);
}

#[test]
fn access_has_words() {
    for (word, access) in Access::CHOICES {
        assert_eq!((Access::parse(word), access.as_str()), (Some(access), word));
    }
    assert_eq!(Access::parse("all"), None);
}

#[test]
fn routes_of_linkerd_have_the_shape_of_the_gateway_apis() {
    let spec = "{parentRefs: [{group: core, kind: Service, name: web, port: 80}], \
                rules: [{timeouts: {request: 2s}, backendRefs: [{name: v2, port: 80, weight: 3}]}]}";
    let (kind, problems) = read("HTTPRoute", spec);
    assert_eq!(problems, [""; 0]);
    let Some(Kind::LinkerdHttpRoute(route)) = kind else { panic!("not a route") };
    let rule = &route.route.rules[0];
    assert_eq!(rule.timeouts.request, Some(Duration::from_secs(2)));
    assert_eq!((rule.backends[0].weight, route.servers().count()), (3, 0));
}

/// A ServiceProfile that was read without a problem.
fn profile(spec: &str) -> super::ServiceProfile {
    let (kind, problems) = read("ServiceProfile", spec);
    assert_eq!(problems, [""; 0], "{spec}");
    let Some(Kind::ServiceProfile(profile)) = kind else { panic!("not a ServiceProfile") };
    *profile
}

#[test]
fn profiles_have_a_budget_by_default() {
    let empty = profile("{}");
    assert_eq!(empty.retry_budget, RetryBudget::DEFAULT);
    let own = profile("{retryBudget: {retryRatio: 0.5, minRetriesPerSecond: 0, ttl: 20s}}");
    let expected =
        RetryBudget { retry_ratio: 0.5, retries_min_per_sec: 0, ttl: Duration::from_secs(20) };
    assert_eq!(own.retry_budget, expected);
}

#[test]
fn conditions_of_profiles_nest() {
    let of = |condition: &str| {
        let mut read = profile(&format!("{{routes: [{{name: r, condition: {condition}}}]}}"));
        read.routes.remove(0).condition
    };
    let method = |name: &str| RequestCondition::Method(name.into());
    assert_eq!(of("{method: GET}"), method("GET"));
    assert_eq!(
        of("{any: [{method: GET}, {not: {method: PUT}}]}"),
        RequestCondition::Any(vec![method("GET"), RequestCondition::Not(Box::new(method("PUT")))])
    );
    // Fields of one condition must all hold.
    let RequestCondition::All(both) = of("{method: GET, pathRegex: /a}") else { panic!("not all") };
    assert!(matches!(&both[..], [RequestCondition::Path(path), RequestCondition::Method(_)]
        if &*path.value == "/a"));
}

#[test]
fn response_classes_are_ranges_of_statuses() {
    let of = |condition: &str| {
        let route = format!(
            "{{routes: [{{condition: {{method: GET}}, isRetryable: true, timeout: 300ms, \
             responseClasses: [{{isFailure: true, condition: {condition}}}]}}]}}"
        );
        let mut read = profile(&route);
        let mut route = read.routes.remove(0);
        assert!(route.is_retryable && route.response_classes[0].is_failure);
        assert_eq!(route.timeout, Some(Duration::from_millis(300)));
        route.response_classes.remove(0).condition
    };
    let status = |min, max| ResponseCondition::Status { min, max };
    assert_eq!(of("{status: {min: 500, max: 503}}"), status(500, 503));
    assert_eq!(of("{status: {min: 500}}"), status(500, 599));
    assert_eq!(of("{status: {max: 404, min: 0}}"), status(100, 404));
    assert_eq!(
        of("{all: [{status: {min: 500}}, {not: {status: {min: 501, max: 501}}}]}"),
        ResponseCondition::All(vec![
            status(500, 599),
            ResponseCondition::Not(Box::new(status(501, 501)))
        ])
    );
}

#[test]
fn weights_of_profiles_are_quantities() {
    let read = profile("{dstOverrides: [{authority: a, weight: 900m}, {authority: b, weight: 2}]}");
    let weights: Vec<u64> = read.destinations.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [900, 2000]);
}

#[test]
fn impossible_profiles() {
    let check = |spec: &str, reason: &str| {
        let (kind, problems) = read("ServiceProfile", spec);
        assert!(kind.is_none(), "{spec}");
        assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
    };
    check("{routes: [{name: a}]}", "the field `condition` is required");
    check("{routes: [{condition: {}}]}", "a condition is needed");
    check("{routes: [{condition: {all: [{}]}}]}", "spec.routes[0].condition.all[0]: a condition");
    check("{routes: [{condition: {method: GET}, timeout: soon}]}", "is not a duration");
    let class = |status: &str| {
        format!(
            "{{routes: [{{condition: {{method: GET}}, \
             responseClasses: [{{condition: {{status: {status}}}}}]}}]}}"
        )
    };
    check(&class("{min: 504, max: 500}"), "`min` is greater than `max`");
    check(&class("{min: 50}"), "50 is not a status");
    check("{retryBudget: {retryRatio: -1, minRetriesPerSecond: 1, ttl: 10s}}", "out of range");
    check("{retryBudget: {retryRatio: 0.1, ttl: 10s}}", "`minRetriesPerSecond` is required");
    check("{retryBudget: {retryRatio: 0.1, minRetriesPerSecond: 1, ttl: 2m}}", "1s and 60s");
}

#[test]
fn rate_limits_name_a_server_and_service_accounts() {
    let spec = "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, \
                total: {requestsPerSecond: 100}, identity: {requestsPerSecond: 20}, \
                overrides: [{requestsPerSecond: 50, \
                clientRefs: [{kind: ServiceAccount, namespace: front, name: checkout}]}]}";
    let (kind, problems) = read("HTTPLocalRateLimitPolicy", spec);
    assert_eq!(problems, [""; 0]);
    let Some(Kind::RateLimitPolicy(policy)) = kind else { panic!("not a limit") };
    assert_eq!(policy.server.as_deref(), Some("s"));
    assert_eq!((policy.total, policy.per_identity), (Some(100), Some(20)));
    let [one] = &policy.overrides[..] else { panic!("not one override") };
    assert_eq!((one.per_second, one.clients[0].namespace_or("home")), (50, "front"));
    assert!(!policy.is_broken);
}

#[test]
fn what_is_left_of_a_broken_rate_limit_is_kept() {
    let server = "targetRef: {group: policy.linkerd.io, kind: Server, name: s}";
    let check = |spec: &str, server: Option<&str>, reason: &str| {
        let (kind, problems) = read("HTTPLocalRateLimitPolicy", spec);
        let Some(Kind::RateLimitPolicy(policy)) = kind else { panic!("{spec}: it is gone") };
        assert_eq!((policy.server.as_deref(), policy.is_broken), (server, true), "{spec}");
        assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
    };
    check("5", None, "expected a map");
    check("{targetRef: {group: '', kind: Service, name: s}}", None, "Service s is not a Server");
    let of = |rest: &str| format!("{{{server}, {rest}}}");
    check(&of("total: {requestsPerSecond: 0}"), Some("s"), "must be between 1");
    let above = "total: {requestsPerSecond: 5}, identity: {requestsPerSecond: 6}";
    check(&of(above), Some("s"), "`identity` cannot allow more than `total`");
    let group = "overrides: [{requestsPerSecond: 5, clientRefs: [{kind: Group, name: g}]}]";
    check(&of(group), Some("s"), "Group g is not a ServiceAccount");
}

#[test]
fn egress_networks_hold_addresses() {
    let of = |spec: &str| {
        let (kind, problems) = read("EgressNetwork", spec);
        assert_eq!(problems, [""; 0]);
        let Some(Kind::EgressNetwork(egress)) = kind else { panic!("not an EgressNetwork") };
        *egress
    };
    let addr = |text: &str| -> IpAddr { text.parse().unwrap() };
    let some = of("{trafficPolicy: Allow, networks: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, \
                   {cidr: 10.0.7.0/24}]}");
    assert!(some.allows);
    assert_eq!(some.prefix_len(addr("10.0.0.1"), true), Some(8));
    assert_eq!(some.prefix_len(addr("10.0.7.1"), false), Some(24));
    assert_eq!(some.prefix_len(addr("10.1.0.1"), false), None);
    assert_eq!(some.prefix_len(addr("192.0.2.1"), false), None);
    let all = of("{trafficPolicy: Deny}");
    assert!(!all.allows);
    assert_eq!(all.prefix_len(addr("192.0.2.1"), false), Some(0));
    assert_eq!(all.prefix_len(addr("10.0.0.1"), true), None);
    let none = of("{trafficPolicy: Deny, networks: []}");
    assert_eq!(none.prefix_len(addr("192.0.2.1"), false), None);
}

#[test]
fn a_broken_egress_network_forbids() {
    for spec in ["5", "{}", "{trafficPolicy: Perhaps}", "{trafficPolicy: Allow, networks: [{}]}"] {
        let (kind, problems) = read("EgressNetwork", spec);
        let Some(Kind::EgressNetwork(egress)) = kind else { panic!("{spec}: it is gone") };
        assert!(egress.is_broken && !problems.is_empty(), "{spec}");
    }
}

#[test]
fn external_workloads_are_ready_when_they_say_so() {
    let spec = "{meshTLS: {identity: 'spiffe://d/web', serverName: web}, \
                ports: [{name: http, port: 80}], workloadIPs: [{ip: 10.9.0.1}]}";
    let of = |status: &str| {
        let (kind, problems) = read("ExternalWorkload", &format!("{spec}\n{status}"));
        assert_eq!(problems, [""; 0], "{status}");
        let Some(Kind::ExternalWorkload(workload)) = kind else { panic!("not a workload") };
        *workload
    };
    let workload = of("");
    assert_eq!((&*workload.identity, &*workload.server_name), ("spiffe://d/web", "web"));
    assert_eq!((workload.ports[0].port, workload.addresses.len()), (80, 1));
    assert!(!workload.is_ready);
    assert!(of("status: {conditions: [{type: Ready, status: 'True'}]}").is_ready);
    assert!(!of("status: {conditions: [{type: Ready, status: 'False'}]}").is_ready);
    assert!(!of("status: {conditions: [{type: Other, status: 'True'}]}").is_ready);
}
