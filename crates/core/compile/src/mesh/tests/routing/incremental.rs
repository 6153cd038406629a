//! One generation after another.

use proptest::prelude::*;
use weft_resources::{ResourceSet, load_incremental};

use super::*;

fn step(text: &str, before: Option<(&ResourceSet, &MeshWorld)>) -> (ResourceSet, MeshWorld) {
    let empty = ResourceSet::default();
    let set = load_incremental(before.map_or(&empty, |(set, _)| set), &[("a.yaml", Some(text))]);
    let registered = registered(&[]);
    let world = compile_mesh(&set, &registered, &options(), before.map(|(_, world)| world));
    (set, world)
}

#[test]
fn only_what_changed_is_compiled() {
    let route = |to: &str| {
        http_route("r", &format!("rules: [{{backendRefs: [{{name: {to}, port: 80}}]}}]"))
    };
    let other = istio(
        "VirtualService",
        "name: v",
        "hosts: [v1], http: [{route: [{destination: {host: v2, port: {number: 80}}}]}]",
    );
    let text = |to: &str| format!("{}{}{other}", services(), route(to));
    let (set, world) = step(&text("v1"), None);
    assert_eq!(world.compiled(), 2);
    let (same_set, same) = step(&text("v1"), Some((&set, &world)));
    assert_eq!(same.compiled(), 0);
    let (changed_set, changed) = step(&text("v2"), Some((&same_set, &same)));
    assert_eq!(changed.compiled(), 1);
    check(&changed, &[("GET /", "v2:80")]);
    let kept = |name: &str| {
        let name = &*format!("{name}.default.svc.cluster.local");
        let (old, new) = (&same.mesh.services[name], &changed.mesh.services[name]);
        Arc::ptr_eq(&old.traffic, &new.traffic)
    };
    assert_eq!((kept("a"), kept("v1")), (false, true));
    // A service that comes to be is looked up again by those who asked for it.
    let gone = text("v2").replacen("name: v2}", "name: v3}", 1);
    let (gone_set, gone) = step(&gone, Some((&changed_set, &changed)));
    assert_eq!(gone.compiled(), 2);
    check(&gone, &[("GET /", "500")]);
    let (_, back) = step(&text("v2"), Some((&gone_set, &gone)));
    check(&back, &[("GET /", "v2:80")]);
}

#[test]
fn a_rule_that_moved_is_the_same_rule() {
    let route = http_route("r", "rules: [{backendRefs: [{name: v1, port: 80}]}]");
    let text = format!("{}{route}", services());
    let (set, world) = step(&text, None);
    let (_, moved) = step(&format!("# a line\n{text}"), Some((&set, &world)));
    assert_eq!(moved.compiled(), 0);
    let lines = |world: &MeshWorld| traffic(world, "a").lines.values().copied().collect::<Vec<_>>();
    assert_eq!(lines(&moved), [lines(&world)[0] + 1]);
}

/// Allows routes of `other` to lead to Services of `default`.
const GRANT: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: g}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}]
  to: [{group: '', kind: Service}]
---
";

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("v1"), Just("v2"), Just("lost")]
}

fn path() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("/"), Just("/x"), Just("/y")]
}

fn namespace() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("default"), Just("other")]
}

/// A document of a few shapes, most of which speak of `a`.
fn any_document() -> impl Strategy<Value = String> {
    prop_oneof![gateway_api_document(), istio_document(), other_document()]
}

fn gateway_api_document() -> impl Strategy<Value = String> {
    let route = |(name, to, path, namespace): (&str, &str, &str, &str)| {
        document(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            &format!("name: {name}, namespace: {namespace}"),
            &format!(
                "parentRefs: [{{group: '', kind: Service, name: a, namespace: default}}],
                 rules: [{{matches: [{{path: {{value: {path}}}}}],
                           backendRefs: [{{name: {to}, namespace: default, port: 80}}]}}]"
            ),
        )
    };
    let policy = |name: &str| {
        document(
            "weftway.io/v1alpha1",
            "TrafficPolicy",
            &format!("name: {name}"),
            &format!(
                "targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {name}}}],
                 limits: {{perRoute: {{requests: 3}}}}"
            ),
        )
    };
    prop_oneof![
        (name(), name(), path(), namespace()).prop_map(route),
        name().prop_map(policy),
        Just(GRANT.to_owned()),
    ]
}

fn istio_document() -> impl Strategy<Value = String> {
    let service =
        |name: &str, spec: String| istio("VirtualService", &format!("name: {name}"), &spec);
    let to = |host: &str, path: &str, to: &str| {
        let hosts = if host.is_empty() { String::new() } else { format!("hosts: [{host}], ") };
        format!(
            "{hosts}http: [{{match: [{{uri: {{prefix: {path}}}}}],
             route: [{{destination: {{host: {to}, subset: s}}}}]}}]"
        )
    };
    let rule = |(name, host): (&str, &str)| {
        let spec = format!("host: {host}, subsets: [{{name: s, labels: {{a: b}}}}]");
        istio("DestinationRule", &format!("name: {name}"), &spec)
    };
    let config = |(attempts, namespace): (u8, &str)| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data:\n  mesh: |\n    defaultHttpRetryPolicy: {{attempts: {attempts}}}\n    \
             defaultVirtualServiceExportTo: [{namespace}]\n---\n"
        )
    };
    prop_oneof![
        (name(), name(), path(), name())
            .prop_map(move |(name, host, path, other)| service(name, to(host, path, other))),
        (name(), path(), name())
            .prop_map(move |(name, path, other)| service(name, to("", path, other))),
        (name(), name()).prop_map(move |(name, team)| service(
            name,
            format!("hosts: [a], http: [{{delegate: {{name: {team}}}}}]")
        )),
        (name(), name()).prop_map(rule),
        (1_u8..4, namespace()).prop_map(config),
    ]
}

fn other_document() -> impl Strategy<Value = String> {
    let split = |(name, to): (&str, &str)| {
        let spec = format!("service: a, backends: [{{service: {to}, weight: 1}}]");
        document("split.smi-spec.io/v1alpha4", "TrafficSplit", &format!("name: {name}"), &spec)
    };
    let profile = |(path, namespace): (&str, &str)| {
        let metadata = format!("name: a.default.svc.cluster.local, namespace: {namespace}");
        let spec = format!("routes: [{{name: x, condition: {{pathRegex: {path}}}}}]");
        document("linkerd.io/v1alpha2", "ServiceProfile", &metadata, &spec)
    };
    let annotated = |(name, limit): (&str, u8)| {
        let retry = format!("retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: '{limit}'");
        let metadata = format!("name: {name}, annotations: {{{retry}}}");
        document("v1", "Service", &metadata, "ports: [{port: 80, name: http}]")
    };
    let plain = |(name, port): (&str, u16)| {
        service_document(name, &format!("ports: [{{port: {port}, name: http}}]"))
    };
    prop_oneof![
        (name(), name()).prop_map(split),
        (path(), namespace()).prop_map(profile),
        (name(), 1_u8..3).prop_map(annotated),
        (name(), 80_u16..82).prop_map(plain),
        path().prop_map(|path| format!("# {path}\n")),
    ]
}

proptest! {
    /// Compiling what changed gives the same as compiling everything.
    #[test]
    fn incremental_is_fresh(
        states in proptest::collection::vec(proptest::collection::vec(any_document(), 0..7), 1..4),
    ) {
        let mut before: Option<(ResourceSet, MeshWorld)> = None;
        for documents in &states {
            let text = documents.concat();
            let known = before.as_ref().map(|(set, world)| (set, world));
            let (set, now) = step(&text, known);
            let assigned = now.assigned().clone();
            let options = MeshOptions { assigned, ..options() };
            let fresh = compile_mesh(&load(&[("a.yaml", &text)]), &registered(&[]), &options, None);
            for (name, service) in &now.mesh.services {
                let expected = &fresh.mesh.services[name].traffic;
                prop_assert_eq!(&service.traffic, expected, "{}", name);
            }
            prop_assert_eq!(problems(&now), problems(&fresh));
            before = Some((set, now));
        }
    }
}
