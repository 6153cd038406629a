//! What is said of resources.

use weft_resources::Key;

use super::*;
use crate::report::Verdict;

fn verdict(report: &Report, kind: &'static str, group: &'static str) -> Verdict {
    let key = Key::new(group, kind, "default", "a");
    report.find(&key).expect("it is there").verdict
}

fn documents() -> String {
    [
        service_document("a", "ports: [{port: 80}]"),
        security("PeerAuthentication", "name: a", "mtls: {mode: STRICT}"),
        security("AuthorizationPolicy", "name: a", "rules: [{when: [{key: x}]}]"),
        document("gateway.networking.k8s.io/v1", "HTTPRoute", "name: a", "rules: []"),
        document("apps/v1", "Deployment", "name: a", ""),
        istio("WorkloadGroup", "name: a", "template: {}"),
        document("policy.linkerd.io/v1alpha1", "MeshTLSAuthentication", "name: a", ""),
    ]
    .concat()
}

#[test]
fn every_resource_has_a_verdict() {
    let world = world(&documents(), &[]);
    let check = |group: &'static str, kind: &'static str, expected: Verdict| {
        assert_eq!(verdict(&world.report, kind, group), expected, "{kind}");
    };
    check("", "Service", Verdict::Accepted);
    check("security.istio.io", "PeerAuthentication", Verdict::Accepted);
    check("security.istio.io", "AuthorizationPolicy", Verdict::Degraded);
    check("gateway.networking.k8s.io", "HTTPRoute", Verdict::Ignored);
    check("apps", "Deployment", Verdict::Ignored);
    check("networking.istio.io", "WorkloadGroup", Verdict::Ignored);
    check("policy.linkerd.io", "MeshTLSAuthentication", Verdict::Ignored);
}

#[test]
fn gateway_and_mesh_report_together() {
    let text = documents();
    let set = load(&[("a.yaml", text)]);
    let gateway = crate::compile(&set, &crate::Options::new(Vec::new()), None);
    assert_eq!(
        verdict(&gateway.report, "PeerAuthentication", "security.istio.io"),
        Verdict::Ignored
    );
    let mesh = compile_mesh(&set, &Registered::default(), &options(), None);
    let merged = gateway.report.merge(&mesh.report);
    let check = |group: &'static str, kind: &'static str, expected: Verdict| {
        assert_eq!(verdict(&merged, kind, group), expected, "{kind}");
    };
    check("", "Service", Verdict::Accepted);
    check("security.istio.io", "PeerAuthentication", Verdict::Accepted);
    check("security.istio.io", "AuthorizationPolicy", Verdict::Degraded);
    check("apps", "Deployment", Verdict::Ignored);
    let route = Key::new("gateway.networking.k8s.io", "HTTPRoute", "default", "a");
    let said = |report: &Report| report.find(&route).map(|entry| entry.problems().count());
    assert_eq!(said(&merged), said(&gateway.report));
    let about = |part: &str| {
        merged.problems().iter().filter(|problem| problem.message.contains(part)).count()
    };
    assert_eq!(about("Deployment (apps/v1) has no effect"), 1, "it is said once");
    assert_eq!(about("has no effect on a gateway"), 0, "it has one on the mesh");
    assert_eq!(merged.resources.len(), gateway.report.resources.len());
    let turned = mesh.report.merge(&gateway.report);
    assert_eq!(
        turned.count(weft_resources::Severity::Error),
        merged.count(weft_resources::Severity::Error)
    );
}

#[test]
fn the_last_good_form_of_a_broken_document_holds() {
    let step = |spec: &str, previous: Option<&MeshWorld>| {
        let text = security("PeerAuthentication", "name: a", spec);
        let registered = registered(&[workload("payments", 2)]);
        compile_mesh(&load(&[("a.yaml", text)]), &registered, &options(), previous)
    };
    let good = step("mtls: {mode: DISABLE}", None);
    let broken = step("mtls: {mode: OFF}", Some(&good));
    assert_eq!(of(&broken, "default/payments").mtls, Mtls::Disable);
    assert_eq!(
        verdict(&broken.report, "PeerAuthentication", "security.istio.io"),
        Verdict::LastGood
    );
    let fresh = step("mtls: {mode: OFF}", None);
    assert_eq!(of(&fresh, "default/payments").mtls, Mtls::Strict);
}

#[test]
fn a_route_of_a_service_is_judged_by_the_mesh_alone() {
    let text = service_document("a", "ports: [{port: 80, name: http}]")
        + &document(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            "name: a",
            "parentRefs: [{group: '', kind: Service, name: a}],
             rules: [{backendRefs: [{name: a, port: 80}]}]",
        );
    let set = load(&[("a.yaml", text)]);
    let mesh = compile_mesh(&set, &Registered::default(), &options(), None);
    let options = crate::Options::new(Vec::new());
    let gateway = crate::compile_in_mesh(&set, &options, &mesh.mesh.index, None);
    let merged = gateway.report.merge(&mesh.report);
    assert_eq!(verdict(&merged, "HTTPRoute", "gateway.networking.k8s.io"), Verdict::Accepted);
    assert_eq!(merged.problems(), []);
}
