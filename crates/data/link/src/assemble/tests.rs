mod laws;
mod outside;
mod traffic;
mod workload;

use std::collections::BTreeMap;
use std::time::Duration;

use weft_model::Generation;
use weft_model::backend::{Backend, UpstreamProtocol};
use weft_model::id::{BackendId, ListenerId, ServiceName};
use weft_model::identity::{Identity, TrustDomain};
use weft_model::listener::{Listener, Served};
use weft_model::mesh::{IndexEntry, Location, Peer, UnknownDestinations, WorkloadPort};
use weft_model::outcome::Reason;
use weft_model::route::Target;

use weft_model::mesh::MeshEndpoint;

use super::*;
use crate::state::Versioned;

const SHOP: &str = "payments.shop.svc.cluster.local";

fn role() -> ProxyRole {
    ProxyRole {
        workload: WorkloadName::new("shop/cart"),
        ports: Ports::default(),
        mode: Mode::Captured,
    }
}

fn ips(texts: &[&str]) -> Box<[IpAddr]> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn identity(account: &str) -> Identity {
    Identity::new(&TrustDomain::default(), "shop", account).unwrap()
}

fn peer(ip: &str) -> Peer {
    Peer { addr: SocketAddr::new(ip.parse().unwrap(), MESH_PORT), identity: identity("payments") }
}

fn known(ip: &str, ports: &[(u16, u16)], transport: Transport) -> MeshEndpoint {
    MeshEndpoint {
        workload: WorkloadName::new(format!("shop/{ip}")),
        ip: ip.parse().unwrap(),
        ports: ports.into(),
        weight: 1,
        locality: None,
        labels: Arc::default(),
        hostname: None,
        transport,
    }
}

fn ports(ports: &[(u16, Protocol)]) -> Box<[ServicePort]> {
    let port = |(number, protocol): &(u16, Protocol)| ServicePort {
        number: *number,
        name: "".into(),
        protocol: *protocol,
    };
    ports.iter().map(port).collect()
}

fn service(name: &str, addrs: &[&str], list: &[(u16, Protocol)]) -> Service {
    let entry = IndexEntry {
        name: ServiceName::new(name),
        addrs: ips(addrs),
        endpoint_addrs: [].into(),
        ports: ports(list),
        location: Location::Mesh,
    };
    Service {
        entry: Arc::new(entry),
        endpoints: ServiceEndpoints::Known([].into()),
        traffic: Arc::default(),
    }
}

fn workload() -> Workload {
    Workload {
        addrs: ips(&["10.77.0.2"]),
        ..Workload::new(WorkloadName::new("shop/cart"), identity("cart"))
    }
}

fn versioned<T>(value: T) -> Versioned<T> {
    Versioned { version: "1".into(), value: Arc::new(value) }
}

/// What a proxy has that dialled all of these.
fn state(workload: Workload, services: impl IntoIterator<Item = Service>) -> State {
    let services: BTreeMap<_, _> = services
        .into_iter()
        .map(|service| (service.entry.name.clone(), versioned(service)))
        .collect();
    let index = Directory::new(services.values().map(|has| &has.value.entry));
    State {
        generation: Generation(1),
        index: Arc::new(index),
        services: Arc::new(services),
        workload: Some(versioned(workload)),
        ..State::default()
    }
}

fn assembled(workload: Workload, services: impl IntoIterator<Item = Service>) -> Snapshot {
    assemble(&state(workload, services), &role(), None)
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.listeners.iter().map(|listener| listener.id.as_str()).collect()
}

fn listener<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Arc<Listener> {
    let found = snapshot.listeners.iter().find(|listener| listener.id == ListenerId::new(id));
    found.unwrap_or_else(|| panic!("there is no {id} among {:?}", ids(snapshot)))
}

fn destination<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Destination {
    match &listener(snapshot, id).intake {
        Intake::Destination(destination) => destination,
        other => panic!("{id} is {other:?}"),
    }
}

fn backend_of<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Arc<Backend> {
    &snapshot.backends[&BackendId::new(id)]
}

fn served<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Served {
    listener(snapshot, id).plain.as_ref().unwrap()
}

fn addrs(backend: &Backend) -> Vec<String> {
    let Endpoints::Static(endpoints) = &backend.endpoints else { panic!("{backend:?}") };
    endpoints.iter().map(|endpoint| endpoint.addr.to_string()).collect()
}

#[test]
fn connections_arrive_at_three_ports() {
    let check = |mode, own: &[&str], expected: &[(&str, &str, Intake)]| {
        let own = Workload { addrs: ips(own), ..workload() };
        let snapshot = assemble(&state(own, []), &ProxyRole { mode, ..role() }, None);
        let bound = snapshot.listeners.iter().filter(|listener| listener.is_bound());
        let bound: Vec<_> = bound
            .map(|one| (one.id.to_string(), one.addr.to_string(), one.intake.clone()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, addr, intake)| (id.to_string(), addr.to_string(), intake.clone()))
            .collect();
        assert_eq!(bound, expected);
    };
    let outbound = Intake::Captured(Direction::Outbound);
    let inbound = Intake::Captured(Direction::Inbound);
    check(
        Mode::Captured,
        &["10.77.0.2"],
        &[
            ("outbound", "0.0.0.0:15001", outbound.clone()),
            ("inbound", "0.0.0.0:15006", inbound.clone()),
            ("mesh", "0.0.0.0:15008", Intake::Mesh),
        ],
    );
    check(
        Mode::Captured,
        &["10.77.0.2", "fd77::2"],
        &[
            ("outbound", "[::]:15001", outbound),
            ("inbound", "[::]:15006", inbound),
            ("mesh", "[::]:15008", Intake::Mesh),
        ],
    );
    check(
        Mode::Explicit("127.77.0.2".parse().unwrap()),
        &["127.77.0.2"],
        &[
            ("outbound", "127.77.0.2:15001", Intake::Explicit),
            ("mesh", "127.77.0.2:15008", Intake::Mesh),
        ],
    );
}

#[test]
fn streams_of_one_peer_do_not_hold_each_other_up() {
    let snapshot =
        assemble(&state(Workload { addrs: ips(&["10.77.0.2"]), ..workload() }, []), &role(), None);
    let mesh = snapshot.listeners.iter().find(|listener| listener.intake == Intake::Mesh).unwrap();
    let limits = &mesh.limits;
    let memory = limits.connection_memory_bytes_max;
    let window = limits.h2_connection_window_bytes.min(memory / 2);
    let unread = limits.h2_streams_max * limits.h2_stream_window_bytes;
    assert!(window >= unread, "streams that nobody reads take the window of the others");
    let heads = limits.h2_streams_max * limits.head_bytes_max;
    assert!((memory - window) / 2 >= heads, "large heads keep others out");
    let overhead = window / 2;
    assert!(overhead >= 255 * limits.h2_stream_window_bytes, "small frames end the connection");
    assert!(limits.h2_resets_max > 100 * limits.h2_streams_max, "callers who give up end it");
    let others = snapshot.listeners.iter().filter(|other| other.intake != Intake::Mesh);
    assert!(others.count() > 0);
}

#[test]
fn a_service_is_called_at_its_virtual_addresses() {
    let both = &[(80, Protocol::Http), (5432, Protocol::Tcp)];
    let endpoints = [
        known("10.77.0.3", &[(80, 8080)], Transport::Mesh(peer("10.77.0.3"))),
        known("10.77.0.3", &[(5432, 5432)], Transport::Plain),
        known("10.77.0.4", &[(80, 8080)], Transport::Plain),
    ];
    let payments = Service {
        endpoints: ServiceEndpoints::Known(endpoints.into()),
        ..service(SHOP, &["10.78.0.1", "fd78::1"], both)
    };
    let snapshot = assembled(workload(), [payments]);
    let id = format!("outbound/{SHOP}:80");
    let meant = destination(&snapshot, &id);
    assert_eq!(meant.addrs, ips(&["10.78.0.1", "fd78::1"]));
    assert_eq!((meant.port, &*meant.name), (Some(80), SHOP));
    assert_eq!(meant.direction, Direction::Outbound);
    let backend = backend_of(&snapshot, &format!("{SHOP}:80"));
    assert_eq!(addrs(backend), ["10.77.0.3:8080", "10.77.0.4:8080"]);
    let Endpoints::Static(endpoints) = &backend.endpoints else { panic!() };
    let peers: Vec<_> = endpoints.iter().map(|endpoint| endpoint.peer.as_deref()).collect();
    assert_eq!(peers, [Some(&peer("10.77.0.3")), None]);
    assert_eq!(backend.calling.outlier, Calling::mesh().outlier);
    assert_eq!(backend.calling.pool.connect_timeout, Duration::from_secs(5));
    let backend = backend_of(&snapshot, &format!("{SHOP}:5432"));
    assert_eq!(addrs(backend), ["10.77.0.3:5432"]);
}

#[test]
fn protocols_decide_what_is_served() {
    let check = |protocol, http: bool, tcp: bool, upstream| {
        let snapshot = assembled(workload(), [service(SHOP, &["10.78.0.1"], &[(80, protocol)])]);
        let id = format!("outbound/{SHOP}:80");
        let served = served(&snapshot, &id);
        assert_eq!((served.http.enabled, served.http.routes.len()), (http, usize::from(http)));
        assert_eq!(served.tcp.len(), usize::from(tcp), "{protocol:?}");
        let backend = format!("{SHOP}:80");
        assert_eq!(backend_of(&snapshot, &backend).protocol, upstream, "{protocol:?}");
        let target = Target::Backend(BackendId::new(backend));
        assert!(served.http.routes.iter().all(|route| route.target == target));
        assert!(served.tcp.iter().all(|route| route.target == target));
    };
    check(Protocol::Detect, true, true, UpstreamProtocol::AsClient);
    check(Protocol::Http, true, false, UpstreamProtocol::AsClient);
    check(Protocol::Http2, true, false, UpstreamProtocol::Http2);
    check(Protocol::Tls, false, true, UpstreamProtocol::Http1);
    check(Protocol::Tcp, false, true, UpstreamProtocol::Http1);
}

#[test]
fn each_address_of_a_headless_service_leads_to_its_endpoint() {
    let plain = service("db.shop.svc.cluster.local", &[], &[(5432, Protocol::Tcp)]);
    let entry = IndexEntry {
        endpoint_addrs: ips(&["10.77.0.3", "10.77.0.4"]),
        ..IndexEntry::clone(&plain.entry)
    };
    let endpoints = [
        known("10.77.0.3", &[(5432, 5432)], Transport::Mesh(peer("10.77.0.3"))),
        known("10.77.0.4", &[(5432, 5433)], Transport::Plain),
    ];
    let db = Service {
        entry: Arc::new(entry),
        endpoints: ServiceEndpoints::Known(endpoints.into()),
        ..plain
    };
    let snapshot = assembled(workload(), [db]);
    let check = |ip: &str, expected: &str| {
        let id = format!("outbound/db.shop.svc.cluster.local:5432/{ip}");
        assert_eq!(destination(&snapshot, &id).addrs, ips(&[ip]));
        assert_eq!(addrs(backend_of(&snapshot, &id)), [expected]);
    };
    check("10.77.0.3", "10.77.0.3:5432");
    check("10.77.0.4", "10.77.0.4:5433");
    assert!(!ids(&snapshot).contains(&"outbound/db.shop.svc.cluster.local:5432"));
}

#[test]
fn an_address_of_a_workload_leads_through_its_proxy_on_every_port() {
    let list = &[(8080, Protocol::Http), (9000, Protocol::Tcp)];
    let endpoints = [
        known("10.77.0.3", &[(8080, 8080)], Transport::Mesh(peer("10.77.0.3"))),
        known("10.77.0.3", &[(9000, 9000)], Transport::Plain),
        known("10.77.0.3", &[], Transport::Mesh(peer("10.77.0.3"))),
    ];
    let address = |last: MeshEndpoint| {
        let [first, second, _] = endpoints.clone();
        Service {
            endpoints: ServiceEndpoints::Known([first, second, last].into()),
            ..service("10.77.0.3", &["10.77.0.3"], list)
        }
    };
    let snapshot = assembled(workload(), [address(endpoints[2].clone())]);
    let whole = "outbound/10.77.0.3:*";
    let meant = destination(&snapshot, whole);
    assert_eq!((meant.addrs.clone(), meant.port), (ips(&["10.77.0.3"]), None));
    assert_eq!((meant.protocol, &*meant.name), (Protocol::Detect, "10.77.0.3"));
    let through = Endpoints::DialledThrough(Arc::new(peer("10.77.0.3")));
    assert_eq!(backend_of(&snapshot, whole).endpoints, through);
    assert!(backend_of(&snapshot, whole).calling.outlier.is_none());
    let peers = |port: u16| match &backend_of(&snapshot, &format!("10.77.0.3:{port}")).endpoints {
        Endpoints::Static(list) => {
            list.iter().map(|one| (one.addr.to_string(), one.peer.is_some())).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(peers(8080), [("10.77.0.3:8080".to_owned(), true)]);
    assert_eq!(peers(9000), [("10.77.0.3:9000".to_owned(), false)]);
    // Where mutual TLS is switched off.
    let plain = known("10.77.0.3", &[], Transport::Plain);
    let snapshot = assembled(workload(), [address(plain)]);
    assert_eq!(backend_of(&snapshot, whole).endpoints, Endpoints::Dialled);
}

#[test]
fn neighbours_are_those_that_the_control_plane_names() {
    let networks: Box<[_]> = ["10.77.0.0/24".parse().unwrap()].into();
    let own = Workload { networks: networks.clone(), ..workload() };
    let mut state = state(own, []);
    state.missing = Arc::new([ServiceName::new("10.77.0.1")].into());
    let neighbours = assemble(&state, &role(), None).neighbours;
    assert_eq!(neighbours, Neighbours { networks, missing: state.missing.clone() });
    state.workload = None;
    assert_eq!(assemble(&state, &role(), None).neighbours.networks, [].into());
}

#[test]
fn services_elsewhere_are_resolved_or_called_as_they_were_dialled() {
    let list = &[(443, Protocol::Tls)];
    let dns = Service {
        endpoints: ServiceEndpoints::Dns {
            name: "api.example".into(),
            ports: [(443, 8443)].into(),
        },
        ..service("api.example", &["10.78.0.1"], list)
    };
    let dialled = Service {
        endpoints: ServiceEndpoints::Dialled,
        ..service("any.example", &["192.0.2.1"], list)
    };
    let nameless =
        Service { endpoints: ServiceEndpoints::Dialled, ..service("no.example", &[], list) };
    let snapshot = assembled(workload(), [dns, dialled, nameless]);
    let endpoints = |id: &str| backend_of(&snapshot, id).endpoints.clone();
    let resolved = Endpoints::Dns { name: "api.example".into(), port: 8443 };
    assert_eq!(endpoints("api.example:443"), resolved);
    assert_eq!(endpoints("outbound/any.example:443"), Endpoints::Dialled);
    // No address would stand for all of them.
    assert!(!ids(&snapshot).iter().any(|id| id.contains("no.example")));
}

#[test]
fn an_address_that_two_services_claim_is_led_where_the_index_says() {
    let list = &[(80, Protocol::Http)];
    let lesser = service("a.shop.svc.cluster.local", &["10.78.0.1"], list);
    let greater = service("b.shop.svc.cluster.local", &["10.78.0.1", "10.78.0.2"], list);
    let snapshot = assembled(workload(), [lesser, greater]);
    let meant = destination(&snapshot, "outbound/b.shop.svc.cluster.local:80");
    assert_eq!(meant.addrs, ips(&["10.78.0.2"]));
    let holder = snapshot.services.holder("10.78.0.1:80".parse().unwrap()).unwrap();
    assert_eq!(holder.name(), "a.shop.svc.cluster.local");
}

#[test]
fn a_service_that_nobody_dialled_is_known_by_its_address_only() {
    let mut state = state(workload(), [service(SHOP, &["10.78.0.1"], &[(80, Protocol::Http)])]);
    state.services = Arc::default();
    let snapshot = assemble(&state, &role(), None);
    assert!(!ids(&snapshot).iter().any(|id| id.contains(SHOP)));
    assert!(snapshot.services.holder("10.78.0.1:80".parse().unwrap()).is_some());
}

#[test]
fn what_the_mesh_does_not_know_passes_or_is_refused() {
    let check = |unknown: Option<UnknownDestinations>, closed: bool| {
        let mut state = state(workload(), []);
        state.workload = unknown.map(|unknown| versioned(Workload { unknown, ..workload() }));
        let snapshot = assemble(&state, &role(), None);
        let meant = destination(&snapshot, "outbound/unknown");
        assert_eq!((&*meant.addrs, meant.port), (&[][..], None));
        let reason = meant.closed.as_ref().map(|refusal| refusal.reason);
        assert_eq!(reason, closed.then_some(Reason::UnknownDestination), "{unknown:?}");
        // Closed or not: hosts that the mesh knows by name are open.
        let backend = &snapshot.backends[&BackendId::new("outbound/unknown")];
        assert_eq!(backend.endpoints, Endpoints::Dialled);
        // There is no other to go to.
        assert!(backend.calling.outlier.is_none());
    };
    check(Some(UnknownDestinations::Allow), false);
    check(Some(UnknownDestinations::Refuse), true);
    check(None, true);
}

#[test]
fn callers_of_the_workload_are_led_to_its_own_addresses_only() {
    let refusal =
        Refusal { reason: Reason::PolicyUnenforceable, detail: "AuthorizationPolicy deny".into() };
    let port = |number, protocol, mtls, closed| WorkloadPort {
        closed,
        ..WorkloadPort::new(number, protocol, mtls)
    };
    let own = Workload {
        addrs: ips(&["10.77.0.2", "fd77::2"]),
        ports: [
            port(8080, Protocol::Http, Mtls::Strict, None),
            port(9090, Protocol::Tcp, Mtls::Disable, Some(refusal.clone())),
        ]
        .into(),
        mtls: Mtls::Strict,
        ..workload()
    };
    let snapshot = assembled(own, []);
    let check = |id: &str, port: Option<u16>, protocol, mtls, closed: Option<&Refusal>| {
        let meant = destination(&snapshot, id);
        assert_eq!(meant.direction, Direction::Inbound);
        assert_eq!(meant.addrs, ips(&["10.77.0.2", "fd77::2"]), "{id}");
        assert_eq!((meant.port, meant.protocol, meant.mtls), (port, protocol, mtls), "{id}");
        assert_eq!(meant.closed.as_ref(), closed, "{id}");
        let backend = snapshot.backends.get(&BackendId::new(id));
        let endpoints = backend.map(|backend| &backend.endpoints);
        assert_eq!(endpoints, closed.is_none().then_some(&Endpoints::Dialled), "{id}");
    };
    check("inbound/8080", Some(8080), Protocol::Http, Mtls::Strict, None);
    check("inbound/9090", Some(9090), Protocol::Tcp, Mtls::Disable, Some(&refusal));
    check("inbound/other", None, Protocol::Detect, Mtls::Strict, None);
    // And it is refused a second time, whoever finds the route.
    let target = Target::Refuse(refusal.clone());
    assert!(served(&snapshot, "inbound/9090").tcp.iter().all(|route| route.target == target));
}

#[test]
fn a_workload_without_addresses_takes_nothing() {
    let snapshot = assembled(Workload { addrs: [].into(), ..workload() }, []);
    assert!(!ids(&snapshot).iter().any(|id| id.starts_with("inbound/")));
}
