//! One generation after another.

use proptest::prelude::*;
use weft_model::mesh::Mesh;
use weft_resources::{ResourceSet, load_incremental};

use super::*;

fn step(text: &str, workloads: &[RegisteredWorkload], previous: Option<&MeshWorld>) -> MeshWorld {
    compile_mesh(&load(&[("a.yaml", text)]), &registered(workloads), &options(), previous)
}

#[test]
fn what_did_not_change_keeps_its_arc() {
    let text =
        service_document("a", "selector: {app: greeter}, ports: [{port: 80, targetPort: 8080}]");
    let workloads = [workload("greeter", 2), workload("payments", 3)];
    let before = step(&text, &workloads, None);
    assert_eq!(before.mesh.generation, Generation(1));
    let same = step(&text, &workloads, Some(&before));
    assert_eq!(same.mesh.generation, Generation(2));
    for (name, service) in &before.mesh.services {
        assert!(Arc::ptr_eq(service, &same.mesh.services[name]), "{name}");
        assert!(Arc::ptr_eq(&service.entry, &same.mesh.index.entries[name]), "{name}");
    }
    for (name, workload) in &before.mesh.workloads {
        assert!(Arc::ptr_eq(workload, &same.mesh.workloads[name]), "{name}");
    }
    // An endpoint more is another service, with the same entry for everybody.
    let more = [workloads.as_slice(), &[workload("payments-2", 4)]].concat();
    let after = step(&text, &more, Some(&same));
    let (a, payments) = ("a.default.svc.cluster.local", "payments.default.svc.cluster.local");
    let is_kept = |name: &str| {
        let (old, new) = (&same.mesh.services[name], &after.mesh.services[name]);
        (Arc::ptr_eq(old, new), Arc::ptr_eq(&old.entry, &new.entry))
    };
    assert_eq!((is_kept(a), is_kept(payments)), ((true, true), (false, true)));
}

#[test]
fn a_service_finds_its_address_again() {
    let name = "payments.default.svc.cluster.local";
    let first = step("", &[workload("payments", 2)], None);
    let addr = assigned(&first, name);
    let gone = step("", &[workload("greeter", 3)], Some(&first));
    assert_eq!(names(&gone), ["greeter.default.svc.cluster.local"]);
    let back = step("", &[workload("greeter", 3), workload("payments", 2)], Some(&gone));
    assert_eq!(assigned(&back, name), addr);
    // And after a restart.
    let kept = Assigned::decode(&back.assigned().encode()).expect("it was encoded");
    let options = MeshOptions { assigned: kept, ..options() };
    let registered = registered(&[workload("payments", 2)]);
    let restarted = compile_mesh(&ResourceSet::default(), &registered, &options, None);
    assert_eq!(assigned(&restarted, name), addr);
    // A document that takes the address moves it.
    let text = service_document("a", &format!("clusterIP: {addr}, ports: [{{port: 80}}]"));
    let moved = step(&text, &[workload("payments", 2)], Some(&back));
    assert_ne!(assigned(&moved, name), addr);
    assert_eq!(problems(&moved), Vec::<String>::new());
}

/// A document of a few shapes.
fn any_document() -> impl Strategy<Value = String> {
    let name = || prop_oneof![Just("a"), Just("b"), Just("payments")];
    let mode = prop_oneof![Just("STRICT"), Just("DISABLE"), Just("UNSET")];
    let selector = prop_oneof![Just(""), Just("selector: {matchLabels: {app: a}},")];
    prop_oneof![
        (name(), name(), 80_u16..83).prop_map(|(name, app, port)| service_document(
            name,
            &format!("selector: {{app: {app}}}, ports: [{{port: {port}, targetPort: 8080}}]")
        )),
        (name(), 1_u8..4).prop_map(|(name, last)| service_document(
            name,
            &format!("clusterIP: 10.96.0.{last}, ports: [{{port: 80}}]")
        )),
        name().prop_map(|name| service_document(name, "clusterIP: None, ports: [{port: 80}]")),
        (name(), name()).prop_map(|(name, host)| istio(
            "ServiceEntry",
            &format!("name: {name}"),
            &format!(
                "hosts: [{host}.example], resolution: DNS, ports: [{{number: 80, name: http}}]"
            )
        )),
        (name(), selector, mode).prop_map(|(name, selector, mode)| security(
            "PeerAuthentication",
            &format!("name: {name}"),
            &format!("{selector} mtls: {{mode: {mode}}}")
        )),
        (name(), 8080_u16..8082).prop_map(|(name, port)| security(
            "AuthorizationPolicy",
            &format!("name: {name}"),
            &format!("rules: [{{to: [{{operation: {{ports: ['{port}']}}}}]}}]")
        )),
        (name(), 1_u8..6).prop_map(|(name, last)| istio(
            "WorkloadEntry",
            &format!("name: {name}"),
            &format!("address: 10.1.0.{last}, labels: {{app: {name}}}")
        )),
    ]
}

fn any_workload() -> impl Strategy<Value = RegisteredWorkload> {
    let name = prop_oneof![Just("a"), Just("a-2"), Just("b"), Just("payments")];
    let phase = prop_oneof![Just(Phase::Ready), Just(Phase::Unready), Just(Phase::Terminating)];
    (name, 1_u8..6, phase, any::<bool>()).prop_map(|(name, last, phase, has_proxy)| {
        let workload = workload(name, last);
        let proxy = workload.proxy.filter(|_| has_proxy);
        RegisteredWorkload { phase, proxy, ..workload }
    })
}

type State = (Vec<String>, Vec<RegisteredWorkload>);

fn state() -> impl Strategy<Value = State> {
    let documents = proptest::collection::vec(any_document(), 0..6);
    (documents, proptest::collection::vec(any_workload(), 0..5))
}

/// The same but for the number of the generation.
fn unnumbered(mesh: &Mesh) -> Mesh {
    Mesh { generation: Generation::default(), ..mesh.clone() }
}

proptest! {
    /// Compiling what changed gives the same as compiling everything, with the addresses that were
    /// given out.
    #[test]
    fn incremental_is_fresh(states in proptest::collection::vec(state(), 1..4)) {
        let mut set = ResourceSet::default();
        let mut world: Option<MeshWorld> = None;
        for (documents, workloads) in &states {
            let text = documents.concat();
            set = load_incremental(&set, &[("a.yaml", Some(&text))]);
            let registered = registered(workloads);
            let now = compile_mesh(&set, &registered, &options(), world.as_ref());
            let assigned = now.assigned().clone();
            let options = MeshOptions { assigned, ..options() };
            let fresh = compile_mesh(&load(&[("a.yaml", &text)]), &registered, &options, None);
            prop_assert_eq!(unnumbered(&now.mesh), unnumbered(&fresh.mesh));
            prop_assert_eq!(problems(&now), problems(&fresh));
            if let Some(world) = &world {
                for (name, service) in &now.mesh.services {
                    let old = world.mesh.services.get(name);
                    let is_kept = old.is_some_and(|old| Arc::ptr_eq(old, service));
                    prop_assert_eq!(is_kept, old == Some(service));
                }
            }
            world = Some(now);
        }
    }

    /// No two services have one virtual address and port.
    #[test]
    fn addresses_lead_to_one_service((documents, workloads) in state()) {
        let world = step(&documents.concat(), &workloads, None);
        let mut seen = std::collections::HashSet::new();
        for entry in world.mesh.index.entries.values() {
            for addr in &entry.addrs {
                for port in &entry.ports {
                    prop_assert!(seen.insert((*addr, port.number)), "{addr} {}", port.number);
                }
            }
        }
    }

    /// Whatever is written, something comes out.
    #[test]
    fn nothing_panics(
        documents in proptest::collection::vec(any_document(), 0..4),
        cut in 0_usize..400,
        noise in "[ -~\n]{0,12}",
        kind in prop_oneof![
            Just("Service"), Just("Pod"), Just("ServiceEntry"), Just("PeerAuthentication"),
            Just("AuthorizationPolicy"), Just("Server"), Just("Sidecar"), Just("WorkloadEntry"),
        ],
        spec in "[a-zA-Z0-9 :,{}\\[\\]'.*-]{0,60}",
    ) {
        let mut text = documents.concat();
        let at = cut.min(text.len());
        text.insert_str(at, &noise);
        for api in ["v1", "networking.istio.io/v1", "security.istio.io/v1", "policy.linkerd.io/v1beta3"] {
            text.push_str(&document(api, kind, "name: z", &spec));
        }
        let before = step("", &[workload("a", 2)], None);
        step(&text, &[workload("a", 2)], Some(&before));
    }
}
