//! What becomes of calls to what the mesh does not know.

use weft_model::mesh::UnknownDestinations;

use super::*;

fn sidecar(metadata: &str, spec: &str) -> String {
    istio("Sidecar", metadata, spec)
}

fn mesh_config(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n{lines}---\n"
    )
}

const REFUSE: &str = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
const ALLOW: &str = "outboundTrafficPolicy: {mode: ALLOW_ANY}";

#[test]
fn the_narrowest_document_holds() {
    let check = |documents: &[String], expected: UnknownDestinations| {
        let world = clean(&documents.concat(), &[workload("payments", 2)]);
        assert_eq!(of(&world, "default/payments").unknown, expected, "{documents:?}");
    };
    let root = |policy: &str| sidecar("name: s, namespace: istio-system", policy);
    let wide = |policy: &str| sidecar("name: wide", policy);
    let narrow = |policy: &str| {
        sidecar(
            "name: narrow",
            &format!("workloadSelector: {{labels: {{app: payments}}}}, {policy}"),
        )
    };
    use UnknownDestinations::{Allow, Refuse};
    check(&[], Allow);
    check(&[mesh_config(REFUSE)], Refuse);
    check(&[mesh_config(REFUSE), root(ALLOW)], Allow);
    check(&[root(REFUSE)], Refuse);
    check(&[root(REFUSE), wide(ALLOW)], Allow);
    check(&[root(REFUSE), wide(ALLOW), narrow(REFUSE)], Refuse);
    check(&[root(ALLOW), wide(REFUSE), narrow(ALLOW)], Allow);
    // The narrowest one holds alone.
    check(&[wide(REFUSE), narrow("")], Allow);
    check(&[mesh_config(REFUSE), wide(ALLOW), narrow("")], Refuse);
    check(&[sidecar("name: o, namespace: other", REFUSE)], Allow);
}

#[test]
fn options_hold_where_no_document_speaks() {
    let options = MeshOptions { outbound: UnknownDestinations::Refuse, ..options() };
    let check = |text: &str, expected: UnknownDestinations| {
        let registered = registered(&[workload("payments", 2)]);
        let world = compile_mesh(&load(&[("a.yaml", text)]), &registered, &options, None);
        assert_eq!(of(&world, "default/payments").unknown, expected, "{text}");
    };
    check("", UnknownDestinations::Refuse);
    check(&mesh_config(ALLOW), UnknownDestinations::Allow);
    check(&mesh_config("accessLogFile: /dev/stdout"), UnknownDestinations::Refuse);
}

#[test]
fn mesh_config_is_read_strictly() {
    let check = |text: &str, expected: &str| says(&world(&mesh_config(text), &[]), expected);
    check("accessLogFile: /dev/stdout", "data.mesh.accessLogFile: `accessLogFile` has no effect");
    check(
        "outboundTrafficPolicy: {mode: REGISTRY}",
        "data.mesh.outboundTrafficPolicy.mode: `REGISTRY`",
    );
    check("trustDomain: example.org", "the authority of this mesh signs for `cluster.local`");
    check("enableAutoMtls: false", "mutual TLS cannot be switched off for callers");
    check("a: [", "data.mesh: ");
    clean(&mesh_config("trustDomain: cluster.local\nrootNamespace: istio-system"), &[]);
    let set = load(&[("a.yaml", mesh_config("trustDomain: example.org"))]);
    let written = written_trust_domain(&set, "istio-system");
    assert_eq!(written.as_ref().map(TrustDomain::as_str), Some("example.org"));
    assert_eq!(written_trust_domain(&set, "elsewhere"), None);
}

#[test]
fn of_two_sidecars_the_older_holds() {
    let older = "name: b, creationTimestamp: '2026-01-01T00:00:00Z'";
    for selector in ["", "workloadSelector: {labels: {app: payments}}, "] {
        let text = sidecar("name: a", &format!("{selector}{ALLOW}"))
            + &sidecar(older, &format!("{selector}{REFUSE}"));
        let world = world(&text, &[workload("payments", 2)]);
        says(&world, "Sidecar default/b is older and holds instead");
        assert_eq!(of(&world, "default/payments").unknown, UnknownDestinations::Refuse);
    }
}

#[test]
fn what_a_sidecar_cannot_do_is_said() {
    let spec = "egress: [{hosts: ['./*'], bind: 127.0.0.1}]";
    says(&world(&sidecar("name: s", spec), &[]), "services are called at their own addresses");
    let root = "name: s, namespace: istio-system";
    let text = sidecar(root, &format!("workloadSelector: {{labels: {{a: b}}}}, {REFUSE}"));
    says(&world(&text, &[]), "a selector has no effect in the root namespace");
}
