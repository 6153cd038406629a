mod policy;
mod rule;
mod service;

use weft_model::calling::{HashKey, LocalityOrder};
use weft_model::mesh::Traffic;
use weft_resilience::settings::{BudgetSettings, OutlierSettings, PickerKind};

use super::*;
use crate::mesh::tests::{authority, clean, labelled, problems, secret, world};

const PAYMENTS: &str = "payments.default.svc.cluster.local";

fn document(api: &str, kind: &str, metadata: &str, spec: &str) -> String {
    format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n")
}

fn rule(metadata: &str, spec: &str) -> String {
    document("networking.istio.io/v1", "DestinationRule", metadata, spec)
}

fn payments() -> Vec<weft_model::mesh::RegisteredWorkload> {
    vec![
        labelled("payments-1", 2, &[("app", "payments"), ("version", "v1")]),
        labelled("payments-2", 3, &[("app", "payments"), ("version", "v2")]),
    ]
}

fn traffic(text: &str) -> Arc<Traffic> {
    traffic_of(&clean(text, &payments()))
}

fn traffic_of(world: &crate::mesh::MeshWorld) -> Arc<Traffic> {
    Arc::clone(&world.mesh.services[&ServiceName::new(PAYMENTS)].traffic)
}

/// The settings for a caller without labels.
fn calling<'t>(
    traffic: &'t Traffic,
    namespace: &str,
    port: u16,
    subset: Option<&str>,
) -> Option<&'t CallingFor> {
    traffic.calling((namespace, &[]), port, subset)
}

#[test]
fn a_service_of_which_nothing_is_said_has_no_settings_of_its_own() {
    assert_eq!(*traffic(""), Traffic::default());
}

#[test]
fn subsets_have_their_labels_and_their_own_policy_over_that_of_the_host() {
    let text = rule(
        "name: payments",
        "{host: payments, trafficPolicy: {loadBalancer: {simple: RANDOM}, \
          outlierDetection: {consecutive5xxErrors: 3}}, \
          subsets: [{name: v1, labels: {version: v1}}, \
          {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]}",
    );
    let world = clean(&text, &payments());
    let traffic = traffic_of(&world);
    let picker = |subset| {
        let found = calling(&traffic, "default", 8080, subset).expect("there are settings");
        let outlier = found.calling.outlier.expect("it is the host's").consecutive;
        (found.calling.picker, outlier)
    };
    assert_eq!(picker(None), (PickerKind::Random, Some(3)));
    assert_eq!(picker(Some("v1")), (PickerKind::Random, Some(3)));
    assert_eq!(picker(Some("v2")), (PickerKind::RoundRobin, Some(3)));
    assert!(calling(&traffic, "default", 8080, Some("v3")).is_none());
    let service = &world.mesh.services[&ServiceName::new(PAYMENTS)];
    let labels: Vec<_> = service.endpoints.known().iter().map(|one| one.labels.to_vec()).collect();
    // Of all labels those that the subsets are told apart by.
    assert_eq!(labels, [[("version".into(), "v1".into())], [("version".into(), "v2".into())]]);
    let v2 = calling(&traffic, "default", 8080, Some("v2")).unwrap().subset.as_ref().unwrap();
    assert!(v2.fits(&labels[1]) && !v2.fits(&labels[0]));
}

#[test]
fn the_rule_of_the_callers_namespace_holds_before_that_of_the_services() {
    let spec = |picker: &str| {
        format!("{{host: {PAYMENTS}, trafficPolicy: {{loadBalancer: {{simple: {picker}}}}}}}")
    };
    let text = [
        rule("name: own", &spec("RANDOM")),
        rule("name: theirs, namespace: shop", &spec("ROUND_ROBIN")),
        rule("name: all, namespace: istio-system", &spec("LEAST_REQUEST")),
    ];
    let traffic = traffic(&text.join("---\n"));
    let picker =
        |namespace| calling(&traffic, namespace, 8080, None).map(|found| found.calling.picker);
    assert_eq!(picker("shop"), Some(PickerKind::RoundRobin));
    assert_eq!(picker("default"), Some(PickerKind::Random));
    assert_eq!(picker("elsewhere"), Some(PickerKind::Random));
}

#[test]
fn a_rule_may_be_for_some_namespaces_or_workloads_alone() {
    let text = [
        rule(
            "name: some",
            "{host: payments, exportTo: [shop], trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        ),
        rule(
            "name: labelled",
            "{host: payments, workloadSelector: {matchLabels: {app: cart}}, \
              trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}",
        ),
    ];
    let traffic = traffic(&text.join("---\n"));
    assert_eq!(calling(&traffic, "shop", 8080, None).unwrap().calling.picker, PickerKind::Random);
    assert!(calling(&traffic, "elsewhere", 8080, None).is_none());
    let cart = [("app".into(), "cart".into())];
    let found = traffic.calling(("default", &cart), 8080, None).unwrap();
    assert_eq!(found.calling.picker, PickerKind::RoundRobin);
}

#[test]
fn what_is_said_of_a_port_replaces_what_is_said_of_all() {
    let text = rule(
        "name: payments",
        "{host: payments, trafficPolicy: {loadBalancer: {simple: RANDOM}, \
          connectionPool: {tcp: {maxConnections: 7}, http: {http1MaxPendingRequests: 3, \
          http2MaxRequests: 9, maxRetries: 2, maxRequestsPerConnection: 5}}, \
          portLevelSettings: [{port: {number: 8080}, outlierDetection: {interval: 5s}}]}}",
    );
    let traffic = traffic(&text);
    let other = &calling(&traffic, "default", 9090, None).unwrap().calling;
    assert_eq!(other.picker, PickerKind::Random);
    let limits = other.limits;
    assert_eq!(
        (limits.connections, limits.pending, limits.requests, limits.retries),
        (Some(7), Some(3), Some(9), Some(2))
    );
    assert_eq!(other.pool.requests_per_connection_max, 5);
    let port = &calling(&traffic, "default", 8080, None).unwrap().calling;
    // By its silence.
    assert_eq!((port.picker, port.limits.connections), (PickerKind::LeastRequest, None));
    assert_eq!(port.outlier.unwrap().ejection.forgiven_after.as_secs(), 5);
}

#[test]
fn rules_for_one_host_are_merged_and_told() {
    let text = [
        rule(
            "name: a, creationTimestamp: '2026-01-01T00:00:00Z'",
            "{host: payments, trafficPolicy: {loadBalancer: {simple: RANDOM}}, \
              subsets: [{name: v1, labels: {version: v1}}]}",
        ),
        rule(
            "name: b, creationTimestamp: '2026-01-02T00:00:00Z'",
            "{host: payments, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}, \
              subsets: [{name: v2, labels: {version: v2}}]}",
        ),
    ];
    let world = world(&text.join("---\n"), &payments());
    let traffic = traffic_of(&world);
    for subset in [None, Some("v1"), Some("v2")] {
        let found = calling(&traffic, "default", 8080, subset).expect("both have subsets");
        assert_eq!(found.calling.picker, PickerKind::Random);
    }
    let told = problems(&world).join("\n");
    assert!(told.contains("the policy of DestinationRule default/a holds instead"), "{told}");
    assert!(told.contains("holds instead of that of DestinationRule default/b"), "{told}");
}

#[test]
fn a_host_that_nobody_has_is_told() {
    let world = world(&rule("name: lost", "{host: nobody}"), &payments());
    let told = problems(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("the mesh has no service `nobody`"), "{told:?}");
}

#[test]
fn hashing_and_places_are_as_istio_has_them() {
    let text = rule(
        "name: payments",
        "{host: payments, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user, \
          maglev: {tableSize: 1009}}, localityLbSetting: {failoverPriority: [app, version=v2]}, \
          warmup: {duration: 60s, minimumPercent: 20}}}}",
    );
    let world = clean(&text, &payments());
    let traffic = traffic_of(&world);
    let found = &calling(&traffic, "default", 8080, None).unwrap().calling;
    let PickerKind::Maglev(table) = found.picker else { panic!("{:?}", found.picker) };
    assert_eq!(table.size, 1_009);
    assert!(matches!(&found.key, HashKey::Header(name) if name.as_str() == "x-user"));
    let order = &found.locality.as_ref().unwrap().order;
    assert_eq!(*order, LocalityOrder::Labels(vec!["app".into(), "version=v2".into()]));
    assert_eq!((found.slow_start.window.as_secs(), found.slow_start.ratio_min), (60, 0.2));
    let service = &world.mesh.services[&ServiceName::new(PAYMENTS)];
    assert_eq!(service.endpoints.known()[0].labels.len(), 2, "those that decide who is near");
}

#[test]
fn tls_of_a_rule_is_never_left_out() {
    let tls = |text: &str| {
        let spec = format!("{{host: payments, trafficPolicy: {{tls: {text}}}}}");
        let world = world(&rule("name: payments", &spec), &payments());
        let traffic = traffic_of(&world);
        let calling = Arc::clone(&calling(&traffic, "default", 8080, None).unwrap().calling);
        (calling, problems(&world))
    };
    let (simple, told) = tls("{mode: SIMPLE, sni: pay.example}");
    assert_eq!(told, [""; 0]);
    assert_eq!(simple.tls.as_ref().unwrap().server_name.as_deref(), Some("pay.example"));
    let (disabled, _) = tls("{mode: DISABLE}");
    assert!(disabled.tls.is_none() && disabled.without_mesh_tls);
    let (mesh, _) = tls("{mode: ISTIO_MUTUAL}");
    assert!(mesh.tls.is_none() && !mesh.without_mesh_tls);
    let (lost, told) = tls("{mode: SIMPLE, credentialName: nowhere}");
    assert!(lost.tls.as_ref().unwrap().roots_pem.as_ref().is_some_and(|roots| roots.is_empty()));
    assert!(told[0].contains("secret `default/nowhere` is not found"), "{told:?}");
}

#[test]
fn annotations_of_linkerd_set_endpoints_aside_in_its_terms() {
    let text = document(
        "v1",
        "Service",
        "name: payments, annotations: {balancer.linkerd.io/failure-accrual: consecutive, \
          balancer.linkerd.io/failure-accrual-consecutive-max-failures: '3'}",
        "{selector: {app: payments}, ports: [{port: 80, targetPort: 8080}]}",
    );
    let traffic = traffic(&text);
    let found = &calling(&traffic, "default", 80, None).unwrap().calling;
    assert_eq!(found.picker, PickerKind::PeakEwma);
    let expected = OutlierSettings { consecutive: Some(3), ..OutlierSettings::LINKERD_CONSECUTIVE };
    assert_eq!(found.outlier, Some(expected));
}

#[test]
fn of_two_dialects_that_speak_of_one_part_both_are_told() {
    let service = document(
        "v1",
        "Service",
        "name: payments, annotations: {balancer.linkerd.io/failure-accrual: consecutive}",
        "{selector: {app: payments}, ports: [{port: 80, targetPort: 8080}]}",
    );
    let rule = rule(
        "name: payments",
        "{host: payments, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 2}}}",
    );
    let world = world(&[service, rule].join("---\n"), &payments());
    let traffic = traffic_of(&world);
    let found = calling(&traffic, "default", 80, None).unwrap();
    assert_eq!(found.calling.outlier.unwrap().consecutive, Some(2));
    assert!(found.sources.iter().any(|source| {
        &*source.setting == "trafficPolicy.outlierDetection"
            && &*source.document == "DestinationRule default/payments"
    }));
    let told = problems(&world).join("\n");
    assert!(told.contains("of DestinationRule default/payments (a.yaml:"), "{told}");
    assert!(told.contains("it holds instead of `metadata.annotations"), "{told}");
}

#[test]
fn of_each_two_that_speak_of_calling_the_first_holds_and_both_are_told() {
    let target = "targetRefs: [{group: '', kind: Service, name: payments}]";
    let own = format!("{{{target}, retry: {{budget: {{percent: 10}}}}}}");
    let gateway = format!("{{{target}, retryConstraint: {{budget: {{percent: 20}}}}}}");
    let istio = "{host: payments, trafficPolicy: {retryBudget: {percent: 30}}}";
    let linkerd = "{routes: [], retryBudget: {retryRatio: 0.4, minRetriesPerSecond: 1, ttl: 10s}}";
    let all = [
        (
            "TrafficPolicy default/payments",
            document("weftway.io/v1alpha1", "TrafficPolicy", "name: payments", &own),
            0.1,
        ),
        (
            "XBackendTrafficPolicy default/payments",
            document(
                "gateway.networking.x-k8s.io/v1alpha1",
                "XBackendTrafficPolicy",
                "name: payments",
                &gateway,
            ),
            0.2,
        ),
        ("DestinationRule default/payments", rule("name: payments", istio), 0.3),
        (
            "ServiceProfile default/payments.default.svc.cluster.local",
            document(
                "linkerd.io/v1alpha2",
                "ServiceProfile",
                &format!("name: {PAYMENTS}"),
                linkerd,
            ),
            0.4,
        ),
    ];
    for (index, (winner, first, expected)) in all.iter().enumerate() {
        for (loser, second, _) in &all[index + 1..] {
            let world = world(&[second.as_str(), first].join("---\n"), &payments());
            let traffic = traffic_of(&world);
            let found = &calling(&traffic, "default", 8080, None).unwrap().calling;
            let ratio = match found.retry_budget {
                Some(BudgetSettings::Active(budget)) => budget.ratio,
                Some(BudgetSettings::Recent(budget)) => budget.ratio,
                None => panic!("{winner} has a budget"),
            };
            let told = problems(&world).join("\n");
            assert_eq!(ratio, *expected, "{winner} and {loser}: {told}");
            for (one, words) in [(winner, "holds instead"), (loser, "it holds instead of")] {
                let is_told = told.lines().any(|line| line.contains(one) && line.contains(words));
                assert!(is_told, "{winner} and {loser}: {told}");
            }
        }
    }
}

#[test]
fn an_own_policy_may_be_for_one_port_by_its_number_or_name() {
    let service = document(
        "v1",
        "Service",
        "name: payments",
        "{selector: {app: payments}, ports: [{port: 80, targetPort: 8080, name: http}, \
          {port: 81, targetPort: 8081, name: admin}]}",
    );
    let own = |name: &str, target: &str, spec: &str| {
        document(
            "weftway.io/v1alpha1",
            "TrafficPolicy",
            &format!("name: {name}"),
            &format!(
                "{{targetRefs: [{{group: '', kind: Service, name: payments{target}}}], {spec}}}"
            ),
        )
    };
    let crossing = "retry: {crossHop: true}";
    let text = [
        service,
        own("named", ", sectionName: admin", crossing),
        own(
            "numbered",
            ", port: 80",
            "deadline: {propagate: false}, adaptiveConcurrency: {min: 7}",
        ),
        own("whole", "", "limits: {perService: {requests: 9, pending: 3}}, deadline: {}"),
    ];
    let traffic = traffic_of(&world(&text.join("---\n"), &payments()));
    let at = |port| {
        let found = &calling(&traffic, "default", port, None).unwrap().calling;
        let limits = (found.limits.requests, found.limits.pending);
        assert_eq!(limits, (Some(9), Some(3)), "{port}");
        let adaptive = found.adaptive.map(|adaptive| (adaptive.limit_min, adaptive.limit_max));
        (found.retries_across_hops, found.ignores_deadlines, adaptive)
    };
    assert_eq!(at(81), (true, false, None));
    assert_eq!(at(80), (false, true, Some((7, 1000))));
    assert_eq!(at(90), (false, false, None));
    let said = &calling(&traffic, "default", 81, None).unwrap().sources;
    assert!(said.iter().any(|source| &*source.setting == "spec.retry.crossHop"), "{said:?}");
}

#[test]
fn budgets_are_those_of_the_first_dialect_that_has_one() {
    let own = document(
        "weftway.io/v1alpha1",
        "TrafficPolicy",
        "name: payments",
        "{targetRefs: [{group: '', kind: Service, name: payments}], \
          hedging: {percentile: 90}, limits: {perEndpoint: {requests: 4}}}",
    );
    let rule = rule(
        "name: payments",
        "{host: payments, trafficPolicy: {retryBudget: {percent: 30, minRetryConcurrency: 4}}}",
    );
    let traffic = traffic(&[own, rule].join("---\n"));
    let found = &calling(&traffic, "default", 8080, None).unwrap().calling;
    let Some(BudgetSettings::Active(budget)) = found.retry_budget else { panic!("Istio's") };
    assert_eq!((budget.ratio, budget.retries_min), (0.3, 4));
    assert_eq!(found.hedge.unwrap().quantile, 0.9);
    assert_eq!(found.endpoint_limits.requests, Some(4));
}
