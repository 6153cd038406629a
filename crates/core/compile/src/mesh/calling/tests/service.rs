//! What Services, ServiceEntries and Namespaces say of themselves, and the annotations of Linkerd.

use std::time::Duration;

use weft_model::calling::Locality;
use weft_resilience::settings::{BiasSettings, EjectionSettings, StatusSet, SuccessRateTrigger};

use super::*;
use crate::mesh::tests::namespace;

/// A Service with these annotations.
fn service(annotations: &str, spec: &str) -> String {
    let metadata = format!("name: payments, annotations: {{{annotations}}}");
    let spec = format!("{{ports: [{{port: 80, targetPort: 8080}}], {spec}}}");
    document("v1", "Service", &metadata, &spec)
}

fn of(world: &crate::mesh::MeshWorld) -> Option<Arc<Calling>> {
    let traffic = traffic_of(world);
    calling(&traffic, "default", 80, None).map(|found| Arc::clone(&found.calling))
}

/// Whether the endpoints of the caller's zone are preferred.
fn stays(world: &crate::mesh::MeshWorld) -> bool {
    let same_zone = Locality { order: LocalityOrder::SameZone, ..Locality::default() };
    let locality = of(world).and_then(|calling| calling.locality.clone());
    locality.is_some_and(|locality| *locality == same_zone)
}

#[test]
fn traffic_of_a_service_stays_in_the_zone_if_it_says_so() {
    for (annotations, spec) in [
        ("", "trafficDistribution: PreferSameZone"),
        ("", "trafficDistribution: PreferClose"),
        ("networking.istio.io/traffic-distribution: PreferSameZone", ""),
        ("service.kubernetes.io/topology-mode: Auto", ""),
        ("service.kubernetes.io/topology-aware-hints: auto", ""),
    ] {
        assert!(stays(&clean(&service(annotations, spec), &payments())), "{annotations} {spec}");
    }
    assert!(!stays(&clean(&service("", ""), &payments())));
    let node = world(&service("", "trafficDistribution: PreferSameNode"), &payments());
    assert!(stays(&node));
    let told = problems(&node).join("\n");
    assert!(told.contains("those of the same node"), "{told}");
}

#[test]
fn a_service_entry_or_its_namespace_may_say_that_traffic_stays() {
    let close = "networking.istio.io/traffic-distribution: PreferClose";
    let entry = |annotations: &str| {
        document(
            "networking.istio.io/v1",
            "ServiceEntry",
            &format!("name: payments, annotations: {{{annotations}}}"),
            &format!(
                "{{hosts: [{PAYMENTS}], ports: [{{name: http, number: 80, protocol: HTTP}}], \
                  resolution: STATIC, endpoints: [{{address: 10.9.9.9}}]}}"
            ),
        )
    };
    for (documents, expected) in [
        (vec![entry("")], false),
        (vec![entry(close)], true),
        (vec![entry(""), namespace("default", close)], true),
        (vec![entry(""), namespace("shop", close)], false),
        (vec![service("", ""), namespace("default", close)], true),
        (vec![namespace("default", close)], true),
    ] {
        let world = world(&documents.join("---\n"), &payments());
        let text = documents.join("\n");
        let traffic = traffic_of(&world);
        let found = calling(&traffic, "default", 80, None);
        let found = found.and_then(|found| found.calling.locality.as_ref());
        assert_eq!(found.is_some(), expected, "{text}");
    }
    // What a service says itself comes first.
    let near = namespace("default", close);
    let own = service("networking.istio.io/traffic-distribution: PreferSameNode", "");
    let told = problems(&world(&[own, near].join("---\n"), &payments())).join("\n");
    assert!(told.contains("those of the same node"), "{told}");
}

/// The rule's own words come first, then the service's, then the mesh's.
#[test]
fn a_rule_without_a_word_of_places_leaves_them_to_the_service() {
    let place = Locality { order: LocalityOrder::Place, ..Locality::default() };
    let zone = Locality { order: LocalityOrder::SameZone, ..Locality::default() };
    let mesh = "apiVersion: v1\nkind: ConfigMap\n\
                metadata: {name: istio, namespace: istio-system}\n\
                data: {mesh: 'localityLbSetting: {enabled: false}'}\n";
    let near = service("", "trafficDistribution: PreferClose");
    let check = |service: &str, policy: &str, mesh: &str, expected: Option<(&Locality, &str)>| {
        let rule = rule("name: r", &format!("{{host: payments, trafficPolicy: {{{policy}}}}}"));
        let world = world(&[service, &rule, mesh].join("---\n"), &payments());
        let traffic = traffic_of(&world);
        let found = calling(&traffic, "default", 80, None).expect("there is a rule");
        let locality = found.calling.locality.as_deref();
        assert_eq!(locality, expected.map(|(locality, _)| locality), "{policy}");
        let mut settings = found.sources.iter().map(|source| &*source.setting);
        if let Some((_, setting)) = expected {
            assert!(settings.any(|known| known == setting), "{:?}", found.sources);
        }
        let said = problems(&world).join("\n");
        let is_told = said.contains("holds instead of `spec.trafficDistribution`");
        assert_eq!(is_told, service == near && policy.contains("LbSetting"), "{said}");
    };
    let silent = "outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {simple: RANDOM}";
    let written = "loadBalancer: {localityLbSetting: {enabled: true}}";
    let own = "trafficPolicy.loadBalancer.localityLbSetting";
    let by_default = "trafficPolicy.loadBalancer.localityLbSetting (its default)";
    for mesh in ["", mesh] {
        check(&near, silent, mesh, Some((&zone, "spec.trafficDistribution")));
        check(&near, written, mesh, Some((&place, own)));
        check(&near, "loadBalancer: {localityLbSetting: {enabled: false}}", mesh, None);
        let zones = "loadBalancer: {zoneAwareLbSetting: {enabled: false}}";
        check(&near, zones, mesh, None);
    }
    check(&service("", ""), silent, "", Some((&place, by_default)));
    check(&service("", ""), silent, mesh, None);
}

#[test]
fn clients_stay_at_their_endpoints_if_the_service_wants_it() {
    let found = of(&clean(&service("", "sessionAffinity: ClientIP"), &payments())).unwrap();
    assert_eq!((found.picker, &found.key), (PickerKind::Rendezvous, &HashKey::ClientAddr));
    assert_eq!(of(&clean(&service("", "sessionAffinity: None"), &payments())), None);
}

#[test]
fn every_annotation_of_failure_accrual_has_its_place() {
    const CONSECUTIVE: &str = "balancer.linkerd.io/failure-accrual-consecutive";
    const SUCCESS: &str = "balancer.alpha.linkerd.io/failure-accrual-success-rate";
    let of = |mode: &str, rest: &str| {
        let text = format!("balancer.linkerd.io/failure-accrual: {mode}, {rest}");
        of(&world(&service(&text, ""), &payments())).unwrap().outlier.unwrap()
    };
    let found = of(
        "consecutive",
        &format!(
            "{CONSECUTIVE}-max-failures: '3', {CONSECUTIVE}-min-penalty: 2s, \
             {CONSECUTIVE}-max-penalty: 9s, {CONSECUTIVE}-jitter-ratio: '0.25'"
        ),
    );
    let ejection = EjectionSettings {
        base: Duration::from_secs(2),
        max: Duration::from_secs(9),
        jitter_ratio: 0.25,
        ..EjectionSettings::LINKERD
    };
    let usual = OutlierSettings::LINKERD_CONSECUTIVE;
    assert_eq!(found, OutlierSettings { consecutive: Some(3), ejection, ..usual });
    let rate = of(
        "unified",
        &format!("{SUCCESS}-threshold: '0.5', {SUCCESS}-window: 20s, {SUCCESS}-min-requests: '9'"),
    );
    let trigger = SuccessRateTrigger {
        ratio_min: 0.5,
        window: Duration::from_secs(20),
        requests_min: 9,
        errors: StatusSet::EMPTY.with(429),
    };
    assert_eq!(rate.success_rate, Some(trigger));
}

#[test]
fn every_annotation_of_the_load_biaser_has_its_place() {
    const ALPHA: &str = "balancer.alpha.linkerd.io";
    let text = format!(
        "{ALPHA}/penalize-failures: 'true', {ALPHA}/load-biaser-penalty: 7s, \
         {ALPHA}/load-biaser-max-retry-after: 90s"
    );
    let found = of(&clean(&service(&text, ""), &payments())).unwrap();
    let expected =
        BiasSettings { penalty: Duration::from_secs(7), retry_after_max: Duration::from_secs(90) };
    assert_eq!((found.picker, found.bias), (PickerKind::PeakEwma, Some(expected)));
}
