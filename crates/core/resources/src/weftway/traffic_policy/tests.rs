use super::*;
use crate::kind::Kind;
use crate::set::load;

fn read(spec: &str) -> (Option<TrafficPolicy>, Vec<String>) {
    let text = format!(
        "apiVersion: weftway.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: a}}\n\
         spec: {{{spec}}}\n"
    );
    let set = load(&[("a.yaml", text)]);
    let policy = set.resources().next().map(|resource| match &resource.body {
        Kind::TrafficPolicy(policy) => (**policy).clone(),
        other => panic!("{other:?}"),
    });
    (policy, set.problems().iter().map(ToString::to_string).collect())
}

const TARGET: &str = "targetRefs: [{group: '', kind: Service, name: web}]";

/// A policy for a Service that says one thing.
fn policy(field: &str) -> TrafficPolicy {
    let (policy, problems) = read(&format!("{TARGET}, {field}"));
    assert_eq!(problems, [""; 0], "{field}");
    policy.unwrap_or_else(|| panic!("{field}"))
}

fn refused(field: &str, reason: &str) {
    let (policy, problems) = read(&format!("{TARGET}, {field}"));
    assert!(policy.is_none(), "{field}");
    assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
}

#[test]
fn what_is_not_said_has_defaults() {
    let hedging = Hedging {
        percentile: 95.0,
        delay_min: Duration::from_millis(10),
        delay_max: Duration::from_secs(1),
        budget_percent: 5.0,
    };
    assert_eq!(policy("hedging: {}").hedging, Some(hedging));
    let bounds = AdaptiveConcurrency { min: 3, max: 1000 };
    assert_eq!(policy("adaptiveConcurrency: {}").adaptive_concurrency, Some(bounds));
    let budget =
        RetryBudget { percent: 20.0, interval: Duration::from_secs(10), min_per_second: 10 };
    let retry = RetryBounds { budget: Some(budget), cross_hop: false };
    assert_eq!(policy("retry: {budget: {}}").retry, Some(retry));
    let diff = MirrorDiff { sample_percent: 100.0, status: true, headers: false, body: false };
    assert_eq!(policy("mirrorDiff: {}").mirror_diff, Some(diff));
    assert_eq!(policy("deadline: {}").deadline, Some(Deadline { propagate: true }));
    let rate = Rate { per_second: 5, burst: 5 };
    let limit = policy("localRateLimit: {total: {requestsPerSecond: 5}}").local_rate_limit;
    assert_eq!(limit.unwrap().total, Some(rate));
    let balancer = policy("loadBalancer: {type: Maglev}").load_balancer.unwrap();
    assert_eq!((balancer.key, balancer.balance_percent), (HashKey::SourceAddress, None));
}

#[test]
fn nothing_said_is_nothing_done() {
    let policy = policy("limits: {}");
    let TrafficPolicy {
        targets,
        hedging: None,
        load_balancer: None,
        limits,
        adaptive_concurrency: None,
        retry: None,
        mirror_diff: None,
        local_rate_limit: None,
        deadline: None,
        is_broken: false,
    } = policy
    else {
        panic!("{policy:?}")
    };
    assert_eq!((targets.len(), limits), (1, Limits::default()));
}

#[test]
fn targets_are_services_and_rules() {
    let check = |target: &str, expected: Result<(Option<&str>, Option<u16>), &str>| {
        let (policy, problems) = read(&format!("targetRefs: [{{{target}}}], hedging: {{}}"));
        match (policy, expected) {
            (Some(policy), Ok((section, port))) => {
                let target = &policy.targets[0];
                assert_eq!((target.target.section.as_deref(), target.port), (section, port));
            }
            (None, Err(reason)) => {
                assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
            }
            (policy, _) => panic!("{target}: {policy:?} {problems:?}"),
        }
    };
    check("group: '', kind: Service, name: a", Ok((None, None)));
    check("group: '', kind: Service, name: a, port: 80", Ok((None, Some(80))));
    check("group: '', kind: Service, name: a, sectionName: http", Ok((Some("http"), None)));
    let route = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: a";
    check(&format!("{route}, sectionName: rule"), Ok((Some("rule"), None)));
    check(&format!("{route}, port: 80"), Err("only a Service has ports"));
    check("group: networking.istio.io, kind: VirtualService, name: a", Ok((None, None)));
    check("group: '', kind: Secret, name: a", Err("a Secret of the group `` cannot be meant"));
    check(
        "group: '', kind: Service, name: a, port: 80, sectionName: http",
        Err("`port` and `sectionName` exclude each other"),
    );
    check("kind: Service, name: a", Err("the field `group` is required"));
}

#[test]
fn impossible_policies() {
    refused("hedging: {delayMin: 2s, delayMax: 1s}", "`delayMin` is greater");
    refused("hedging: {percentile: 101}", "must be between 0 and 100");
    refused("hedging: {attempts: 2}", "unknown field `attempts`");
    refused("adaptiveConcurrency: {min: 9, max: 3}", "`min` is greater");
    refused("loadBalancer: {}", "the field `type` is required");
    refused("loadBalancer: {type: PeakEwma}", "`PeakEwma` is not a value");
    refused("loadBalancer: {type: Random, key: {header: a}}", "does not choose by a key");
    refused("loadBalancer: {type: Random, balancePercent: 125}", "does not choose by a key");
    refused("loadBalancer: {type: Maglev, key: {}}", "a key is one of");
    refused("loadBalancer: {type: Maglev, key: {header: a, query: b}}", "a key is one of");
    refused("loadBalancer: {type: Maglev, balancePercent: 100}", "between 101 and");
    refused("limits: {perRoute: {connections: 5}}", "unknown field `connections`");
    refused("limits: {perService: {requests: 0}}", "must be between 1 and");
    refused("retry: {budget: {interval: 500ms}}", "must be between 1s and 1h");
    refused("mirrorDiff: {compare: [Length]}", "`Length` is not a value");
}

/// A limit protects, so a mistake in it must not make it vanish.
#[test]
fn a_broken_rate_limit_is_kept() {
    let check = |spec: &str, is_kept: bool| {
        let (policy, problems) = read(&format!("{TARGET}, {spec}"));
        assert!(!problems.is_empty(), "{spec}");
        assert_eq!(policy.is_some(), is_kept, "{spec}");
        if let Some(policy) = policy {
            assert!(policy.is_broken && policy.local_rate_limit.is_some());
            assert_eq!(&*policy.targets[0].target.object.name, "web");
        }
    };
    check("localRateLimit: {total: {requestsPerSecond: 0}}", true);
    check("localRateLimit: {}", true);
    check("localRateLimit: 5", true);
    check("localRateLimit: {total: {requestsPerSecond: 5}}, hedging: 5", true);
    check("hedging: 5", false);
}

#[test]
fn all_algorithms_have_a_word() {
    for (word, algorithm) in Algorithm::CHOICES {
        let balancer = policy(&format!("loadBalancer: {{type: {word}}}")).load_balancer.unwrap();
        assert_eq!(balancer.algorithm, algorithm);
        let hashes = matches!(word, "Rendezvous" | "Maglev" | "RingHash");
        assert_eq!(algorithm.hashes(), hashes, "{word}");
    }
}
