//! What holds whatever the state.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use weft_model::calling::{Audience, CallingFor, Distribute, Locality, LocalityOrder, Subset};
use weft_model::mesh::{Egress, Traffic};
use weft_model::policy::{FixedAnswer, StepKind};
use weft_model::route::{RouteSet, Routed};
use weft_resilience::settings::PickerKind;

use super::traffic::{http, lead, namespace, route, routed, tcp_route, to};
use super::*;

#[test]
fn what_does_not_change_stays() {
    let list = &[(80, Protocol::Http)];
    let one = service("one.shop.svc.cluster.local", &["10.78.0.1"], list);
    let two = service("two.shop.svc.cluster.local", &["10.78.0.2"], list);
    let before = state(workload(), [one, two.clone()]);
    let old = assemble(&before, &role(), None);
    let mut after = before.clone();
    let endpoints = [known("10.77.0.9", &[(80, 80)], Transport::Plain)];
    let grown = Service { endpoints: ServiceEndpoints::Known(endpoints.into()), ..two };
    let name = grown.entry.name.clone();
    Arc::make_mut(&mut after.services).insert(name, versioned(grown));
    let new = assemble(&after, &role(), Some((&before, &old)));
    assert!(Arc::ptr_eq(&old.services, &new.services));
    let pairs = old.listeners.iter().zip(&new.listeners);
    assert!(pairs.clone().count() > 4 && pairs.clone().all(|(old, new)| Arc::ptr_eq(old, new)));
    for (id, backend) in &old.backends {
        let is_kept = Arc::ptr_eq(backend, &new.backends[id]);
        assert_eq!(is_kept, !id.as_str().contains("two"), "{id}");
    }
    // And with nothing known of how the states differ, too.
    let mut copy = after.clone();
    copy.index = Arc::new(Directory::clone(&after.index));
    let again = assemble(&copy, &role(), Some((&after, &new)));
    assert!(new.listeners.iter().zip(&again.listeners).all(|(old, new)| Arc::ptr_eq(old, new)));
    assert!(new.backends.iter().all(|(id, old)| Arc::ptr_eq(old, &again.backends[id])));
}

fn name_of(number: u8) -> String {
    format!("s{number}.shop.svc.cluster.local")
}

fn any_audience() -> impl Strategy<Value = Audience> {
    let labelled =
        Audience { labels: [("app".into(), "cart".into())].into(), ..Audience::default() };
    prop_oneof![
        Just(Audience::default()),
        Just(namespace("shop")),
        Just(namespace("other")),
        Just(labelled),
    ]
}

fn any_calling() -> impl Strategy<Value = Calling> {
    let picker = prop_oneof![Just(PickerKind::RoundRobin), Just(PickerKind::PeakEwma)];
    let locality = prop_oneof![
        Just(None),
        Just(Some(Locality { order: LocalityOrder::Place, ..Locality::default() })),
        Just(Some(Locality {
            distribute: vec![Distribute { from: "*".into(), to: vec![("west".into(), 100)] }],
            ..Locality::default()
        })),
    ];
    (picker, locality, 0..8_u8).prop_map(|(picker, locality, rare)| Calling {
        picker,
        locality: locality.map(Arc::new),
        as_dialled: rare == 0,
        without_mesh_tls: rare == 1,
        ..Calling::mesh()
    })
}

/// Rules that lead to the few services.
fn any_traffic() -> impl Strategy<Value = Traffic> {
    let subset = Subset { name: "v1".into(), labels: [("version".into(), "1".into())].into() };
    let entry = (any_audience(), any_calling(), any::<bool>(), any::<bool>());
    let entry = entry.prop_map(move |(audience, calling, port, part)| CallingFor {
        audience,
        port: port.then_some(80),
        subset: part.then(|| subset.clone()),
        calling: Arc::new(calling),
        sources: Arc::default(),
    });
    let leads = || {
        (0..4_u8).prop_flat_map(|name| {
            any::<bool>().prop_map(move |part| lead(&name_of(name), 80, part.then_some("v1")))
        })
    };
    let rules = proptest::collection::vec((any_audience(), leads()), 0..3);
    let set = (any_audience(), rules, any::<bool>(), any::<bool>());
    let sets = proptest::collection::vec(set, 0..3);
    let calling = proptest::collection::vec(entry, 0..3);
    (calling, sets, 0..3_u32).prop_map(|(calling, sets, line)| {
        let mut traffic = Traffic { calling: calling.into(), ..Traffic::default() };
        let mut routing = Vec::new();
        for (number, (audience, rules, bytes, requests)) in sets.into_iter().enumerate() {
            let mut set = RouteSet { audience, ..http([]) };
            let mut routes = Vec::new();
            for (place, (audience, (id, backend))) in rules.into_iter().enumerate() {
                let name = format!("r{number}/{place}");
                let rule = route(&name, &format!("/{place}"), to(id.as_str()));
                routes.push(Routed { audience, ..routed(rule) });
                traffic.lines.insert(RouteId::new(name), line);
                if bytes {
                    set.tcp = Some([routed(tcp_route("t", to(id.as_str())))].into());
                }
                traffic.backends.insert(id, backend);
            }
            set.http = requests.then(|| routes.into());
            routing.push(set);
        }
        traffic.routing = routing.into();
        traffic
    })
}

/// One of few services, so that several states have some in common.
fn any_service() -> impl Strategy<Value = Service> {
    let protocol = prop_oneof![
        Just(Protocol::Detect),
        Just(Protocol::Http),
        Just(Protocol::Http2),
        Just(Protocol::Tls),
        Just(Protocol::Tcp),
    ];
    let flags = (any::<bool>(), any::<bool>());
    let parts = (0..4_u8, 0..3_u8, protocol, 0..4_u8, flags, any_traffic());
    parts.prop_map(|(name, addr, protocol, kind, (mesh, headless), traffic)| {
        let vip = format!("10.78.0.{addr}");
        let made = service(&name_of(name), &[&vip], &[(80, protocol)]);
        let entry = match headless {
            true => IndexEntry {
                addrs: [].into(),
                endpoint_addrs: ips(&["10.77.0.3", "10.77.0.4"]),
                ..IndexEntry::clone(&made.entry)
            },
            false => IndexEntry::clone(&made.entry),
        };
        let transport = if mesh { Transport::Mesh(peer("10.77.0.3")) } else { Transport::Plain };
        let endpoints = match kind {
            0 => ServiceEndpoints::Known([].into()),
            1 => {
                let labels = [("version".into(), "1".into())].into();
                let known = known("10.77.0.3", &[(80, 8080)], transport);
                let locality = Some("west/1".into());
                ServiceEndpoints::Known([MeshEndpoint { labels, locality, ..known }].into())
            }
            2 => ServiceEndpoints::Dns { name: "x.example".into(), ports: [(80, 81)].into() },
            _ => ServiceEndpoints::Dialled,
        };
        Service { entry: Arc::new(entry), endpoints, traffic: Arc::new(traffic) }
    })
}

fn any_workload() -> impl Strategy<Value = Workload> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let egress = prop_oneof![
        Just(None),
        Just(Some(("*", "*"))),
        Just(Some(("shop", "*"))),
        Just(Some(("*", "s1.shop.svc.cluster.local"))),
    ];
    (0..3_usize, flags, egress).prop_map(|(addrs, flags, egress)| {
        let (strict, refuse, has_port, labelled, forwarded) = flags;
        let mtls = if strict { Mtls::Strict } else { Mtls::Permissive };
        let answer = FixedAnswer { status: 200, body: Arc::default() };
        let step = Step { id: weft_model::id::PolicyId::new("s"), kind: StepKind::Respond(answer) };
        let port = WorkloadPort {
            steps: [Arc::new(step)].into(),
            forward: forwarded.then_some(8080),
            ..WorkloadPort::new(80, Protocol::Http, mtls)
        };
        let known: Vec<_> = Some(port).filter(|_| has_port).into_iter().collect();
        let egress = egress.map(|(namespace, host)| {
            let (namespace, host) = (namespace.into(), host.into());
            [Egress { namespace, host, port: None, excluded: false }].into()
        });
        let labels: &[_] = if labelled { &[("app", "cart")] } else { &[] };
        Workload {
            addrs: ips(&["10.77.0.2", "fd77::2"][..addrs]),
            ports: known.into(),
            mtls,
            unknown: match refuse {
                true => UnknownDestinations::Refuse,
                false => UnknownDestinations::Allow,
            },
            labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            locality: labelled.then(|| "west/1".into()),
            egress,
            ..workload()
        }
    })
}

/// What changes from one state to the next.
#[derive(Debug, Clone)]
struct Change {
    workload: Option<Workload>,
    services: Vec<Service>,
    dialled: Option<u8>,
}

/// Most of the time little.
fn any_change() -> impl Strategy<Value = Change> {
    let workload = prop_oneof![4 => Just(None), 1 => any_workload().prop_map(Some)];
    let services = proptest::collection::vec(any_service(), 0..3);
    let dialled = prop_oneof![4 => Just(None), 1 => any::<u8>().prop_map(Some)];
    (workload, services, dialled).prop_map(|(workload, services, dialled)| Change {
        workload,
        services,
        dialled,
    })
}

/// A state that has some of what it knows in full, and takes over what equals `before`.
fn follow(before: &State, workload: Workload, all: &[Service], dialled: u8) -> State {
    let mut next = state(workload, all.to_vec());
    let dialled = |at: usize| dialled & (1 << at) != 0;
    let services = std::mem::take(&mut next.services);
    let services = services.iter().enumerate().filter(|(at, _)| dialled(*at));
    let kept = services.map(|(_, (name, has))| {
        let old = before.services.get(name).filter(|old| *old == has);
        (name.clone(), old.unwrap_or(has).clone())
    });
    next.services = Arc::new(kept.collect());
    if next.index == before.index {
        next.index = Arc::clone(&before.index);
    }
    if next.workload == before.workload {
        next.workload.clone_from(&before.workload);
    }
    next
}

proptest! {
    /// Whatever was before, the plan follows from the state alone.
    #[test]
    fn incremental_equals_fresh(
        first in proptest::collection::vec(any_service(), 0..8),
        steps in proptest::collection::vec(any_change(), 1..8),
    ) {
        let mut workload = workload();
        let mut services: BTreeMap<ServiceName, Service> = BTreeMap::new();
        let mut dialled = u8::MAX;
        let mut state = State::default();
        let mut snapshot = assemble(&state, &role(), None);
        let first = Change { workload: None, services: first, dialled: None };
        for step in [first].into_iter().chain(steps) {
            workload = step.workload.unwrap_or(workload);
            dialled = step.dialled.unwrap_or(dialled);
            let named = step.services.into_iter().map(|one| (one.entry.name.clone(), one));
            services.extend(named);
            let all: Vec<_> = services.values().cloned().collect();
            let next = follow(&state, workload.clone(), &all, dialled);
            let incremental = assemble(&next, &role(), Some((&state, &snapshot)));
            let fresh = assemble(&next, &role(), None);
            prop_assert_eq!(&incremental, &fresh);
            for new in &incremental.listeners {
                let mut old = snapshot.listeners.iter();
                let copy = old.find(|old| **old == *new && !Arc::ptr_eq(old, new));
                prop_assert!(copy.is_none(), "{} was copied", new.id);
            }
            for (id, backend) in &incremental.backends {
                if let Some(old) = snapshot.backends.get(id) {
                    prop_assert!(Arc::ptr_eq(old, backend) || old != backend, "{} was copied", id);
                }
            }
            (state, snapshot) = (next, incremental);
        }
    }
}
