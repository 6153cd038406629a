//! One generation after another.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use weft_resources::{ResourceSet, load_incremental};

use super::*;

fn step(text: &str, before: Option<(&ResourceSet, &MeshWorld)>) -> (ResourceSet, MeshWorld) {
    let empty = ResourceSet::default();
    let set = load_incremental(before.map_or(&empty, |(set, _)| set), &[("a.yaml", Some(text))]);
    let world = compile_mesh(&set, &running(), &options(), before.map(|(_, world)| world));
    (set, world)
}

/// A workload of `a`, with labels that rules ask for.
fn running() -> Registered {
    registered(&[labelled("a-1", 2, &[("a", "v1"), ("zone", "west"), ("other", "1")])])
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

/// A document about how `a` is called, of some age.
fn calling_document() -> impl Strategy<Value = String> {
    let metadata = |name: &str, namespace: &str, year: u16| {
        format!("name: {name}, namespace: {namespace}, creationTimestamp: '{year}-01-01T00:00:00Z'")
    };
    let policy = prop_oneof![
        Just("outlierDetection: {consecutive5xxErrors: 3}"),
        Just("portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]"),
        Just("tls: {mode: SIMPLE, credentialName: roots}"),
        Just("loadBalancer: {localityLbSetting: {failoverPriority: [zone]}}"),
    ];
    let export = prop_oneof![Just(""), Just("exportTo: [.], "), Just("exportTo: [default], ")];
    let rule = move |(name, namespace, year, export, policy): (&str, &str, u16, &str, &str)| {
        let spec = format!(
            "host: a.default.svc.cluster.local, {export}trafficPolicy: {{{policy}}},
             subsets: [{{name: s, labels: {{a: {name}}}}}]"
        );
        istio("DestinationRule", &metadata(name, namespace, year), &spec)
    };
    let own = move |(name, year, section): (&str, u16, &str)| {
        let spec = format!(
            "targetRefs: [{{group: '', kind: Service, name: a{section}}}],
             retry: {{crossHop: true}}"
        );
        let metadata = metadata(name, "default", year);
        document("weftway.io/v1alpha1", "TrafficPolicy", &metadata, &spec)
    };
    let section = prop_oneof![Just(""), Just(", sectionName: http"), Just(", sectionName: lost")];
    let gateway_api = move |(name, year): (&str, u16)| {
        let spec = "targetRefs: [{group: '', kind: Service, name: a}],
                    retryConstraint: {budget: {percent: 10}}";
        let api = "gateway.networking.x-k8s.io/v1alpha1";
        document(api, "XBackendTrafficPolicy", &metadata(name, "default", year), spec)
    };
    let config = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data:\n  mesh: |\n    defaultDestinationRuleExportTo: [{namespace}]\n    \
             localityLbSetting: {{enabled: true}}\n---\n"
        )
    };
    let roots = |(name, key, is_good): (&str, &str, bool)| {
        secret(name, key, if is_good { authority() } else { "none" })
    };
    prop_oneof![
        (name(), namespace(), 2020_u16..2023, export, policy).prop_map(rule),
        (name(), 2020_u16..2023, section).prop_map(own),
        (name(), 2020_u16..2023).prop_map(gateway_api),
        namespace().prop_map(config),
        (
            prop_oneof![Just("roots"), Just("roots-cacert")],
            prop_oneof![Just("ca.crt"), Just("other")],
            any::<bool>(),
        )
            .prop_map(roots),
    ]
}

fn gateway_api_document() -> impl Strategy<Value = String> {
    let parent = prop_oneof![
        Just("group: '', kind: Service, name: a"),
        Just("group: policy.linkerd.io, kind: EgressNetwork, name: all"),
    ];
    let route = |(name, to, path, namespace, parent): (&str, &str, &str, &str, &str)| {
        document(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            &format!("name: {name}, namespace: {namespace}"),
            &format!(
                "parentRefs: [{{{parent}, namespace: default}}],
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
        (name(), name(), path(), namespace(), parent).prop_map(route),
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
        let spec = format!(
            "host: {host}, trafficPolicy: {{timeout: 2s}}, subsets: [{{name: s, labels: {{a: b}}}}]"
        );
        istio("DestinationRule", &format!("name: {name}"), &spec)
    };
    let policy = |name: &str| {
        let target = "group: networking.istio.io, kind: VirtualService";
        let spec = format!(
            "targetRefs: [{{{target}, name: {name}}}], limits: {{perRoute: {{requests: 3}}}}"
        );
        document("weftway.io/v1alpha1", "TrafficPolicy", &format!("name: of-{name}"), &spec)
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
        name().prop_map(policy),
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
    let network = |policy: &str| {
        let spec = format!("trafficPolicy: {policy}");
        document("policy.linkerd.io/v1alpha1", "EgressNetwork", "name: all", &spec)
    };
    let plain = |(name, port): (&str, u16)| {
        service_document(name, &format!("ports: [{{port: {port}, name: http}}]"))
    };
    prop_oneof![
        (name(), name()).prop_map(split),
        (path(), namespace()).prop_map(profile),
        (name(), 1_u8..3).prop_map(annotated),
        (name(), 80_u16..82).prop_map(plain),
        prop_oneof![Just("Allow"), Just("Deny")].prop_map(network),
        path().prop_map(|path| format!("# {path}\n")),
    ]
}

/// Compiles one text after the other, each of what came before and afresh.
fn check_generations(texts: impl Iterator<Item = String>) -> Result<(), TestCaseError> {
    let mut before: Option<(ResourceSet, MeshWorld)> = None;
    for text in texts {
        let known = before.as_ref().map(|(set, world)| (set, world));
        let (set, now) = step(&text, known);
        let assigned = now.assigned().clone();
        let options = MeshOptions { assigned, ..options() };
        let fresh = compile_mesh(&load(&[("a.yaml", &text)]), &running(), &options, None);
        for (name, service) in &now.mesh.services {
            prop_assert_eq!(Some(service), fresh.mesh.services.get(name), "{}", name);
        }
        let whole =
            |world: &MeshWorld| Mesh { generation: Generation(0), ..Mesh::clone(&world.mesh) };
        prop_assert_eq!(whole(&now), whole(&fresh));
        prop_assert_eq!(problems(&now), problems(&fresh));
        before = Some((set, now));
    }
    Ok(())
}

#[test]
fn a_secret_that_is_asked_for_in_vain_is_looked_up_again() {
    let tls = "tls: {mode: SIMPLE, credentialName: roots}";
    let rule = istio("DestinationRule", "name: r", &format!("host: a, trafficPolicy: {{{tls}}}"));
    let beside = secret("roots-cacert", "ca.crt", authority());
    let texts = [
        String::new(),
        secret("roots", "other", "none"),
        [secret("roots", "other", "none"), beside.clone()].concat(),
        beside.clone(),
        [secret("roots", "ca.crt", "none"), beside].concat(),
        String::new(),
    ];
    let texts = texts.map(|secrets| format!("{}{rule}{secrets}", services()));
    check_generations(texts.into_iter()).unwrap();
}

proptest! {
    /// Compiling what changed gives the same as compiling everything.
    #[test]
    fn incremental_is_fresh(
        states in proptest::collection::vec(proptest::collection::vec(any_document(), 0..7), 1..4),
    ) {
        check_generations(states.iter().map(|documents| documents.concat()))?;
    }

    /// The same, one document after the other replaced.
    #[test]
    fn incremental_calling_is_fresh(
        documents in proptest::collection::vec(calling_document(), 4..8),
        changes in proptest::collection::vec((any::<Index>(), calling_document()), 1..6),
    ) {
        let mut documents = documents;
        let mut texts = vec![format!("{}{}", services(), documents.concat())];
        for (index, document) in changes {
            documents[index.index(4)] = document;
            texts.push(format!("{}{}", services(), documents.concat()));
        }
        check_generations(texts.into_iter())?;
    }
}
