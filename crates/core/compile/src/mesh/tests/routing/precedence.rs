//! Which dialect holds where several speak of one service.

use weft_model::policy::{AnswerDiff, LocalRateLimit, Step};
use weft_resilience::settings::RateSettings;

use super::*;

fn gateway_api() -> String {
    http_route("g", "rules: [{backendRefs: [{name: v1, port: 80}]}]")
}

fn istio_route() -> String {
    virtual_service("i", "http: [{route: [{destination: {host: v2, port: {number: 80}}}]}]")
}

fn smi() -> String {
    document(
        "split.smi-spec.io/v1alpha4",
        "TrafficSplit",
        "name: s",
        "service: a, backends: [{service: v2, weight: 1}]",
    )
}

#[test]
fn gateway_api_istio_and_smi_in_this_order() {
    let (g, i, s) = (gateway_api(), istio_route(), smi());
    let goes = |documents: &[&str]| ask(&routing(documents), "a", HERE, "GET /");
    assert_eq!(goes(&[&s, &i, &g]), "v1:80");
    assert_eq!(goes(&[&s, &i]), "v2:80");
    assert_eq!(goes(&[&s]), "v2:80 x1000");
}

/// A document of each kind that says where calls of `a` go, in the order of precedence.
fn speakers() -> [(&'static str, String); 6] {
    let parent = |group: &str| format!("parentRefs: [{{group: {group}, kind: Service, name: a}}]");
    let linkerd_route = format!("{}, rules: [{{timeouts: {{request: 9s}}}}]", parent("core"));
    let linkerd_route =
        document("policy.linkerd.io/v1beta3", "HTTPRoute", "name: l", &linkerd_route);
    let profile = document(
        "linkerd.io/v1alpha2",
        "ServiceProfile",
        "name: a.default.svc.cluster.local",
        "dstOverrides: [{authority: 'v1.default.svc.cluster.local:80', weight: 7}]",
    );
    let annotated = document(
        "v1",
        "Service",
        "name: a, annotations: {timeout.linkerd.io/request: 5s}",
        "ports: [{port: 80, name: http}]",
    );
    [
        ("HTTPRoute default/g", gateway_api()),
        ("VirtualService default/i", istio_route()),
        ("ServiceProfile default/a.default.svc.cluster.local", profile),
        ("HTTPRoute default/l", linkerd_route),
        ("Service default/a", annotated),
        ("TrafficSplit default/s", smi()),
    ]
}

/// The services of which the annotated one may be one.
fn beside(documents: &[&str]) -> MeshWorld {
    let ports = "ports: [{port: 80, name: http}]";
    let has_own = documents.iter().any(|text| text.contains("kind: Service\n"));
    let plain = if has_own { ["v1", "v2"].as_slice() } else { &["a", "v1", "v2"] };
    let services: String = plain.iter().map(|name| service_document(name, ports)).collect();
    world(&format!("{services}{}", documents.concat()), &[])
}

/// Where a request goes, and how long it may take.
fn answer(world: &MeshWorld) -> (String, Option<std::time::Duration>) {
    let found = find(world, "a", HERE, "GET /").flatten().expect("a rule");
    (goes(&found.target), found.timeouts.request)
}

#[test]
fn of_each_two_that_speak_of_a_service_the_first_holds_and_both_are_told() {
    let all = speakers();
    for (index, (winner, first)) in all.iter().enumerate() {
        let alone = answer(&beside(&[first]));
        for (loser, second) in &all[index + 1..] {
            let world = beside(&[second, first]);
            let told = problems(&world).join("\n");
            let what = format!("{winner} and {loser}: {told}");
            // Routes of Linkerd's shape take up what annotations of their Service say.
            let takes_up = *loser == "Service default/a" && winner.starts_with("HTTPRoute");
            let (target, timeout) = answer(&world);
            assert_eq!(target, alone.0, "{what}");
            match takes_up {
                true => assert!(timeout.is_some(), "{what}"),
                false => {
                    assert_eq!(timeout, alone.1, "{what}");
                    assert!(told.contains(&format!("{winner} (a.yaml")), "{what}");
                    assert!(told.contains("speaks of calls to the same service"), "{what}");
                    assert!(
                        told.contains(&format!("its rules hold instead of those of {loser} ")),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn winner_and_loser_name_each_other() {
    let world = routing(&[&istio_route(), &gateway_api()]);
    reports(
        &world,
        "HTTPRoute default/g (a.yaml:26) speaks of calls to the same service, and Gateway API comes \
         before Istio: its rules hold instead",
    );
    reports(&world, "its rules hold instead of those of VirtualService default/i (a.yaml:21)");
    let traffic = traffic(&world, "a");
    assert_eq!(traffic.backends.len(), 1, "nothing is left of what has lost");
    assert_eq!(traffic.lines.len(), 1);
    // The aspects are apart: what is left of the loser stays in force.
    let mixed = virtual_service(
        "i",
        "http: [{route: [{destination: {host: v2, port: {number: 80}}}]}],
         tcp: [{match: [{port: 9000}], route: [{destination: {host: v2}}]}]",
    );
    let world = routing(&[&mixed, &gateway_api()]);
    check(&world, &[("GET /", "v1:80")]);
    assert_eq!(connections(&world, "a", From { port: 9000, ..HERE }), ["all -> v2:9000"]);
}

#[test]
fn who_speaks_of_one_port_leaves_the_others() {
    let narrow = gateway_api().replace("name: a}", "name: a, port: 80}");
    let wide = virtual_service("i", "http: [{route: [{destination: {host: v2}}]}]");
    let world = routing(&[&narrow, &wide]);
    let at = |port| ask(&world, "a", From { port, ..HERE }, "GET /");
    assert_eq!((at(80), at(9000)), ("v1:80".into(), "v2:9000".into()));
    reports(&world, "its rules hold instead for some of the callers or ports");
}

#[test]
fn own_policies_are_added_to_rules() {
    let policy = |kind: &str, group: &str, name: &str, spec: &str| {
        document(
            "weftway.io/v1alpha1",
            "TrafficPolicy",
            &format!("name: p-{name}"),
            &format!("targetRefs: [{{group: {group}, kind: {kind}, name: {name}}}], {spec}"),
        )
    };
    let limits = policy(
        "HTTPRoute",
        "gateway.networking.k8s.io",
        "g",
        "localRateLimit: {total: {requestsPerSecond: 10}, overrides: [{requestsPerSecond: 5, clientRefs:
            [{name: web}]}]},
         limits: {perRoute: {requests: 3}}, hedging: {percentile: 90}, deadline: {propagate: false},
         retry: {crossHop: true}, loadBalancer: {type: Random}",
    );
    let world = routing(&[&gateway_api(), &limits]);
    let found = steps(&world, "GET /");
    let [
        StepKind::LocalRateLimit(rate),
        StepKind::InFlight { amount: 3, .. },
        StepKind::Hedge(hedge),
    ] = &*found
    else {
        panic!("{found:?}")
    };
    let per_second = |average| RateSettings {
        average,
        period: std::time::Duration::from_secs(1),
        burst: average,
    };
    let web = vec!["spiffe://cluster.local/ns/default/sa/web".into()];
    let expected = LocalRateLimit {
        total: Some(per_second(10)),
        identity: None,
        overrides: vec![(web, per_second(5))],
    };
    assert_eq!(**rate, expected);
    assert!((hedge.quantile - 0.9).abs() < 1e-9, "{hedge:?}");
    reports(&world, "`deadline` has no effect on a route");
    reports(&world, "`retry.crossHop` has no effect on a route");
    reports(&world, "`loadBalancer` has no effect on a route");
    // One rule by its name.
    let one =
        policy("VirtualService", "networking.istio.io", "i", "limits: {perRoute: {requests: 3}}")
            .replace("name: i}", "name: i, sectionName: slow}");
    let route = virtual_service(
        "i",
        "http: [{name: slow, match: [{uri: {prefix: /slow}}], route: [{destination: {host: v1, port: {number: 80}}}]},
                {route: [{destination: {host: v2, port: {number: 80}}}]}]",
    );
    let world = routing(&[&route, &one]);
    assert_eq!((steps(&world, "GET /slow").len(), steps(&world, "GET /").len()), (1, 0));
}

/// A policy of that name about a VirtualService, or a rule of it.
fn of_virtual_service(name: &str, target: &str, spec: &str) -> String {
    document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        &format!("name: {name}"),
        &format!(
            "targetRefs: [{{group: networking.istio.io, kind: VirtualService, name: {target}}}],
             {spec}"
        ),
    )
}

#[test]
fn a_policy_that_cannot_be_obeyed_closes_a_rule_that_answers_by_itself() {
    let route = virtual_service(
        "i",
        "http: [{match: [{uri: {prefix: /fixed}}], directResponse: {status: 200, body: {string: a}}},
                {redirect: {uri: /fixed}}]",
    );
    let broken = of_virtual_service("p", "i", "localRateLimit: {total: {requestsPerSecond: 0}}");
    let world = routing(&[&route, &broken]);
    for line in ["GET /fixed", "GET /"] {
        let found = super::route(&world, line);
        let Target::Refuse(refusal) = &found.target else { panic!("{found:?}") };
        assert_eq!((refusal.reason.status(), found.steps.len()), (503, 0), "{line}");
    }
}

#[test]
fn a_policy_about_a_rule_that_delegates_holds_for_what_it_leads_to() {
    let root = virtual_service(
        "web",
        "http: [{name: team, match: [{uri: {prefix: /team}}], delegate: {name: team}},
                {name: rest, route: [{destination: {host: v1, port: {number: 80}}}]}]",
    );
    let to = "route: [{destination: {host: v2, port: {number: 80}}}]";
    let team = istio(
        "VirtualService",
        "name: team",
        &format!("http: [{{match: [{{uri: {{prefix: /team/x}}}}], {to}}}, {{{to}}}]"),
    );
    let bounds = |world: &MeshWorld, line: &str| -> Vec<String> {
        let shown = |step: &Arc<Step>| match &step.kind {
            StepKind::InFlight { amount, .. } => format!("{amount} {}", step.id),
            StepKind::Hedge(hedge) => format!("hedge {} {}", hedge.quantile, step.id),
            other => panic!("{other:?}"),
        };
        super::route(world, line).steps.iter().map(shown).collect()
    };
    let inner = of_virtual_service(
        "inner",
        "team",
        "limits: {perRoute: {requests: 1}}, hedging: {percentile: 50}",
    );
    for (section, of_rest) in [("", 1), (", sectionName: team", 0)] {
        let outer = of_virtual_service(
            "outer",
            &format!("web{section}"),
            "limits: {perRoute: {requests: 2}}, hedging: {percentile: 90}",
        );
        let world = routing(&[&root, &team, &outer, &inner]);
        // What the rule leads to shares its bound, and what is nearer says how it is hedged.
        let shared = "2 trafficpolicy/default/outer@virtualservice/default/web/team/limit";
        for (line, rule) in [("GET /team/x", 0), ("GET /team", 1)] {
            let own = format!("trafficpolicy/default/inner@virtualservice/default/team/{rule}");
            let expected =
                [format!("1 {own}/limit"), format!("hedge 0.5 {own}/hedge"), shared.to_owned()];
            assert_eq!(bounds(&world, line), expected, "{section}");
        }
        assert_eq!(bounds(&world, "GET /").len(), of_rest * 2, "{section}");
        reports(&world, "`hedging` of TrafficPolicy default/inner holds instead");
    }
    let broken = of_virtual_service("p", "web", "localRateLimit: {total: {requestsPerSecond: 0}}");
    check(&routing(&[&root, &team, &broken]), &[("GET /team", "503"), ("GET /", "503")]);
}

#[test]
fn an_own_policy_at_a_service_bounds_each_rule() {
    let policy = document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        "name: p",
        "targetRefs: [{group: '', kind: Service, name: a}, {group: '', kind: Service, name: lost}],
         limits: {perRoute: {requests: 3}}, mirrorDiff: {samplePercent: 50, compare: [Headers, Body]}",
    );
    let route = http_route(
        "g",
        "rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: RequestMirror,
            requestMirror: {backendRef: {name: v2, port: 80}}}]}]",
    );
    let world = routing(&[&route, &policy]);
    let found = super::route(&world, "GET /");
    let [limit, mirror] = &*found.steps else { panic!("{found:?}") };
    assert_eq!(limit.id.as_str(), "trafficpolicy/default/p@httproute/default/g/0/limit");
    assert!(matches!(limit.kind, StepKind::InFlight { amount: 3, .. }));
    let StepKind::Mirror { compared, .. } = &mirror.kind else { panic!("{mirror:?}") };
    let how = AnswerDiff { parts_per_million: 500_000, status: false, headers: true, body: true };
    assert_eq!(*compared, Some(how));
    reports(&world, "spec.targetRefs[1]: there is no Service lost");
}

/// What policies add to rules named `one` and `two`, of which a policy with that name of a rule, or
/// none, is about the route.
fn added(kind: &str, section: &str) -> [Vec<StepKind>; 2] {
    let policy = document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        "name: p",
        &format!(
            "targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: r{section}}}],
             mirrorDiff: {{}}, localRateLimit: {{perIdentity: {{requestsPerSecond: 7, burst: 9}}}}"
        ),
    );
    let matches = |path: &str| match kind {
        "GRPCRoute" => format!("matches: [{{method: {{service: {path}, method: M}}}}]"),
        _ => format!("matches: [{{path: {{value: /{path}}}}}]"),
    };
    let rule = |name: &str| {
        let mirror = "type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}";
        format!(
            "{{name: {name}, {}, backendRefs: [{{name: v1, port: 80}}], filters: [{{{mirror}}}]}}",
            matches(name)
        )
    };
    let parent = "parentRefs: [{group: '', kind: Service, name: a, port: 80}]";
    let spec = format!("{parent}, rules: [{}, {}]", rule("one"), rule("two"));
    let route = document("gateway.networking.k8s.io/v1", kind, "name: r", &spec);
    let world = clean_routing(&[&route, &policy]);
    ["POST /one/M", "POST /two/M"].map(|line| steps(&world, line))
}

#[test]
fn an_own_policy_may_be_about_one_rule_by_its_name() {
    let rate = RateSettings { average: 7, period: std::time::Duration::from_secs(1), burst: 9 };
    let limit = LocalRateLimit { identity: Some(rate), ..LocalRateLimit::default() };
    let by_status =
        AnswerDiff { parts_per_million: 1_000_000, status: true, headers: false, body: false };
    let check = |found: &[StepKind], is_meant: bool| {
        let (mirror, others) = found.split_last().expect("a mirror");
        let StepKind::Mirror { compared, .. } = mirror else { panic!("{found:?}") };
        assert_eq!(*compared, is_meant.then_some(by_status));
        let expected = is_meant.then(|| StepKind::LocalRateLimit(Box::new(limit.clone())));
        assert_eq!(others, expected.as_slice());
    };
    for kind in ["HTTPRoute", "GRPCRoute"] {
        for (section, meant) in [("", [true, true]), (", sectionName: two", [false, true])] {
            let found = added(kind, section);
            check(&found[0], meant[0]);
            check(&found[1], meant[1]);
        }
    }
}

#[test]
fn a_comparison_of_no_request_is_none() {
    let policy = document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        "name: p",
        "targetRefs: [{group: '', kind: Service, name: a}], mirrorDiff: {samplePercent: 0}",
    );
    let route = http_route(
        "g",
        "rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: RequestMirror,
            requestMirror: {backendRef: {name: v2, port: 80}}}]}]",
    );
    let found = steps(&routing(&[&route, &policy]), "GET /");
    assert!(matches!(*found, [StepKind::Mirror { compared: None, .. }]), "{found:?}");
}

#[test]
fn a_policy_about_a_route_of_gateways_is_theirs_to_keep() {
    let policy = document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        "name: p",
        "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: edge, sectionName: one}],
         limits: {perRoute: {requests: 3}}",
    );
    let parents = "parentRefs: [{name: edge}], rules: [{name: one}]";
    let route = document("gateway.networking.k8s.io/v1", "HTTPRoute", "name: edge", parents);
    clean_routing(&[&route, &policy]);
}

#[test]
fn what_an_own_policy_is_not_about_is_told() {
    let told = |target: &str, expected: &str| {
        let policy = document(
            "weftway.io/v1alpha1",
            "TrafficPolicy",
            "name: p",
            &format!("targetRefs: [{{{target}}}], limits: {{perRoute: {{requests: 3}}}}"),
        );
        reports(&routing(&[&gateway_api(), &policy]), expected);
    };
    let route = "group: gateway.networking.k8s.io, kind: HTTPRoute";
    told(&format!("{route}, name: g, sectionName: x"), "there is no `x` in the HTTPRoute g");
    let service = "group: '', kind: Service, name: a";
    told(&format!("{service}, sectionName: x"), "there is no `x` in the Service a");
    told(&format!("{service}, port: 80"), "`limits.perRoute` has no effect on a single port");
}
