//! Every proxy ends on the newest generation, none ever has parts of two, and no request sees two.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_model::Generation;
use weft_model::id::{RouteId, ServiceName, WorkloadName};
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{
    Index, IndexEntry, Location, Mesh, Mtls, Service, ServiceEndpoints, ServicePort, Traffic,
    Workload,
};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{Matcher, Origin, Rank, Route, RouteSet, Routed, Target, Timeouts};
use weft_simulation::{Faults, Simulation};

const PROXIES: usize = 8;
const SERVICES: u64 = 30;
const CHANGES: u64 = 60;

const GOOD: Faults = Faults {
    delay_ms_max: 50,
    reorder: 0.0,
    loss: 0.0,
    restart: 0.0,
    partition: 0.0,
    partition_ms_max: 0,
    unreadable: 0.0,
};

fn workload_name(index: usize) -> WorkloadName {
    WorkloadName::new(format!("shop/workload-{index}"))
}

fn service_name(index: u64) -> ServiceName {
    ServiceName::new(format!("service-{index}.shop.svc.cluster.local"))
}

/// A rule with a value that changes.
fn traffic(value: u16) -> Traffic {
    let refusal = Refusal { reason: Reason::Direct, detail: "".into() };
    let route = Arc::new(Route {
        id: RouteId::new(value.to_string()),
        origin: Origin::default(),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::default(),
        target: Target::Refuse(refusal),
        timeouts: Timeouts::default(),
    });
    let routed = Routed { audience: Default::default(), ports: [].into(), route };
    let set = RouteSet { http: Some([routed].into()), ..RouteSet::default() };
    Traffic { routing: [set].into(), ..Traffic::default() }
}

/// Services by number, each with a value that changes.
fn mesh(generation: u64, services: &BTreeMap<u64, u16>, mtls: Mtls) -> Mesh {
    let entry = |index: u64, port: u16| {
        Arc::new(IndexEntry {
            name: service_name(index),
            addrs: ["10.78.0.1".parse().expect("an address")].into(),
            endpoint_addrs: [].into(),
            ports: [ServicePort { number: port, name: "".into(), protocol: Default::default() }]
                .into(),
            location: Location::Mesh,
        })
    };
    let entries: BTreeMap<_, _> =
        services.iter().map(|(index, port)| (service_name(*index), entry(*index, *port))).collect();
    let full = |entry: &Arc<IndexEntry>| {
        Arc::new(Service {
            entry: entry.clone(),
            endpoints: ServiceEndpoints::Known([].into()),
            traffic: Arc::new(traffic(entry.ports[0].number)),
        })
    };
    let workload = |index: usize| {
        let identity = Identity::new(&TrustDomain::default(), "shop", "payments");
        let identity = identity.expect("an identity");
        Arc::new(Workload { mtls, ..Workload::new(workload_name(index), identity) })
    };
    Mesh {
        generation: Generation(generation),
        services: entries.iter().map(|(name, entry)| (name.clone(), full(entry))).collect(),
        index: Index { entries },
        workloads: (0..PROXIES).map(|index| (workload_name(index), workload(index))).collect(),
        ..Mesh::default()
    }
}

fn check(seed: u64, faults: Faults) {
    let workloads: Vec<_> = (0..PROXIES).map(workload_name).collect();
    let mut run = Simulation::new(seed, faults, &workloads);
    let mut services: BTreeMap<u64, u16> = (0..SERVICES).map(|index| (index, 80)).collect();
    let mut newest = None;
    for generation in 1..=CHANGES {
        let index = run.below(SERVICES);
        match run.below(4) {
            0 => drop(services.remove(&index)),
            _ => drop(services.insert(index, 1 + run.below(60_000) as u16)),
        }
        let mtls = if run.below(2) == 0 { Mtls::Permissive } else { Mtls::Strict };
        let mesh = mesh(generation, &services, mtls);
        newest = Some(mesh.clone());
        run.publish(mesh);
        let (proxy, service) = (run.below(PROXIES as u64), run.below(SERVICES + 5));
        run.dial(proxy as usize, &service_name(service));
        (0..PROXIES).for_each(|proxy| run.request(proxy));
        let pause = run.below(400);
        run.run_until(run.now_ms() + pause);
    }
    run.heal();
    // Longer than any delay, wait to reconnect and detection of a broken stream together.
    run.run_until(run.now_ms() + 60_000);
    let newest = newest.expect("there were changes");
    assert_eq!(run.served, CHANGES * PROXIES as u64, "seed {seed}");
    assert_eq!(run.violations, [""; 0], "seed {seed}");
    assert_eq!(run.generations(), vec![newest.generation; PROXIES], "seed {seed}");
    assert_eq!(run.believed(), vec![Some(newest.generation); PROXIES], "seed {seed}");
    for proxy in 0..PROXIES {
        let state = run.state(proxy);
        for name in state.services.keys() {
            assert!(newest.services.contains_key(name), "seed {seed}: {name} is gone");
        }
    }
}

#[test]
fn on_a_good_network() {
    (0..20).for_each(|seed| check(seed, GOOD));
}

#[test]
fn with_long_delays() {
    (0..20).for_each(|seed| check(seed, Faults { delay_ms_max: 3_000, ..GOOD }));
}

#[test]
fn with_messages_out_of_order() {
    let faults = Faults { delay_ms_max: 3_000, reorder: 0.3, ..GOOD };
    (0..40).for_each(|seed| check(seed, faults));
}

#[test]
fn with_loss() {
    (0..40).for_each(|seed| check(seed, Faults { loss: 0.05, ..GOOD }));
}

#[test]
fn with_partitions() {
    let faults = Faults { partition: 0.1, partition_ms_max: 5_000, ..GOOD };
    (0..40).for_each(|seed| check(seed, faults));
}

#[test]
fn with_restarts_of_the_control_plane() {
    (0..40).for_each(|seed| check(seed, Faults { restart: 0.1, ..GOOD }));
}

#[test]
fn with_resources_that_cannot_be_read() {
    (0..40).for_each(|seed| check(seed, Faults { unreadable: 0.02, ..GOOD }));
}

#[test]
fn with_everything_at_once() {
    let faults = Faults {
        delay_ms_max: 1_000,
        reorder: 0.05,
        loss: 0.02,
        restart: 0.03,
        partition: 0.03,
        partition_ms_max: 3_000,
        unreadable: 0.01,
    };
    (0..200).for_each(|seed| check(seed, faults));
}
