//! What documents say of the workload beside the proxy.

use weft_model::id::PolicyId;
use weft_model::mesh::Egress;
use weft_model::policy::{FixedAnswer, StepKind};
use weft_resilience::settings::LimitSettings;

use super::*;

fn step(id: &str) -> Arc<Step> {
    let answer = FixedAnswer { status: 200, body: Arc::default() };
    Arc::new(Step { id: PolicyId::new(id), kind: StepKind::Respond(answer) })
}

fn port(number: u16) -> WorkloadPort {
    WorkloadPort::new(number, Protocol::Detect, Mtls::Permissive)
}

fn egress(namespace: &str, host: &str) -> Egress {
    Egress { namespace: namespace.into(), host: host.into(), port: None, excluded: false }
}

#[test]
fn steps_of_the_workload_come_before_those_of_the_port() {
    let own = Workload {
        steps: [step("all")].into(),
        ports: [WorkloadPort { steps: [step("one")].into(), ..port(80) }, port(81)].into(),
        ..workload()
    };
    let snapshot = assembled(own, []);
    let check = |id: &str, expected: &[&str]| {
        let routes = &served(&snapshot, id).http.routes;
        let steps: Vec<_> = routes[0].steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(steps, expected, "{id}");
    };
    check("inbound/80", &["all", "one"]);
    check("inbound/81", &["all"]);
    check("inbound/other", &["all"]);
    check("outbound/unknown", &[]);
}

/// It stands for a step that this proxy cannot carry out.
#[test]
fn a_step_that_refuses_refuses_bytes_as_well() {
    let refusal = Refusal { reason: Reason::PolicyUnenforceable, detail: "a step".into() };
    let kind = StepKind::Refuse(refusal.clone());
    let refusing = Arc::new(Step { id: PolicyId::new("r"), kind });
    let own = Workload {
        ports: [
            WorkloadPort { steps: [refusing].into(), ..port(80) },
            WorkloadPort { steps: [step("one")].into(), ..port(81) },
        ]
        .into(),
        ..workload()
    };
    let snapshot = assembled(own, []);
    let target = |id: &str| served(&snapshot, id).tcp[0].target.clone();
    assert_eq!(target("inbound/80"), Target::Refuse(refusal));
    assert_eq!(target("inbound/81"), Target::Backend(BackendId::new("inbound/81")));
}

#[test]
fn the_application_may_be_on_another_port() {
    let own = Workload {
        addrs: ips(&["10.77.0.2", "fd77::2"]),
        ports: [WorkloadPort { forward: Some(8080), ..port(80) }].into(),
        ..workload()
    };
    let snapshot = assembled(own, []);
    let check = |ip: &str, expected: &str| {
        let id = format!("inbound/80/{ip}");
        let meant = destination(&snapshot, &id);
        assert_eq!((meant.addrs.clone(), meant.port), (ips(&[ip]), Some(80)));
        assert_eq!(addrs(backend_of(&snapshot, &id)), [expected]);
    };
    check("10.77.0.2", "10.77.0.2:8080");
    check("fd77::2", "[fd77::2]:8080");
    assert!(!ids(&snapshot).contains(&"inbound/80"));
}

#[test]
fn the_application_is_called_as_documents_say() {
    let limits = LimitSettings { connections: Some(7), ..LimitSettings::default() };
    let calling = Arc::new(Calling { limits, ..Calling::mesh() });
    let own = Workload {
        ports: [WorkloadPort { calling: Some(calling), ..port(80) }, port(81)].into(),
        ..workload()
    };
    let snapshot = assembled(own, []);
    let called = |id: &str| &backend_of(&snapshot, id).calling;
    assert_eq!(called("inbound/80").limits, limits);
    assert_eq!(called("inbound/81").limits, LimitSettings::default());
    // There is no other to go to.
    assert!(called("inbound/80").outlier.is_none() && called("inbound/81").outlier.is_none());
    assert!(Arc::ptr_eq(called("inbound/81"), called("inbound/other")), "one for all ports");
}

#[test]
fn what_a_workload_may_not_call_is_as_if_the_mesh_did_not_know_it() {
    let list = &[(80, Protocol::Http), (81, Protocol::Http)];
    let services = || {
        [
            service("a.shop.svc.cluster.local", &["10.78.0.1"], list),
            service("b.other.svc.cluster.local", &["10.78.0.2"], list),
        ]
    };
    let networks: Box<[_]> = ["10.77.0.0/24".parse().unwrap()].into();
    let own = Workload { networks: networks.clone(), ..workload() };
    let limited = |egress: &[Egress]| Workload { egress: Some(egress.into()), ..own.clone() };
    let known = |snapshot: &Snapshot, addr: &str| {
        let is_listener = snapshot.listeners.iter().any(|listener| match &listener.intake {
            Intake::Destination(meant) => {
                let addr: SocketAddr = addr.parse().unwrap();
                meant.addrs.contains(&addr.ip()) && meant.port == Some(addr.port())
            }
            _ => false,
        });
        assert_eq!(is_listener, snapshot.services.holder(addr.parse().unwrap()).is_some());
        is_listener
    };
    let state = state(limited(&[egress("shop", "*")]), services());
    let snapshot = assemble(&state, &role(), None);
    assert!(known(&snapshot, "10.78.0.1:80") && known(&snapshot, "10.78.0.1:81"));
    assert!(!known(&snapshot, "10.78.0.2:80"));
    assert!(state.index.get("b.other.svc.cluster.local").is_some(), "its name resolves");
    // Nor are addresses asked for of which it is not known whose they are.
    assert!(snapshot.neighbours.networks.is_empty());
    let port = Egress { port: Some(81), ..egress("*", "b.other.svc.cluster.local") };
    let snapshot = assembled(limited(&[port]), services());
    assert!(!known(&snapshot, "10.78.0.1:80") && !known(&snapshot, "10.78.0.2:80"));
    assert!(known(&snapshot, "10.78.0.2:81"));
    let everything = self::state(limited(&[egress("*", "*")]), services());
    let all = assemble(&everything, &role(), None);
    assert!(known(&all, "10.78.0.2:80") && all.neighbours.networks == networks);
    assert!(Arc::ptr_eq(&all.services, &everything.index), "there is no second copy");
}
