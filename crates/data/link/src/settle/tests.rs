use std::collections::BTreeMap;

use weft_model::backend::{self, HostHeader, UpstreamProtocol};
use weft_model::calling::{Audience, Calling, CallingFor, Source};
use weft_model::id::BackendId;
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{
    IndexEntry, Location, MeshEndpoint, Peer, Protocol, Service, ServiceEndpoints, ServicePort,
    Traffic, Transport,
};
use weft_resilience::settings::PickerKind;

use super::*;
use crate::state::Versioned;

const SHOP: &str = "payments.shop.svc.cluster.local";

fn backend(id: &str, endpoints: Endpoints) -> (BackendId, Arc<Backend>) {
    let id = BackendId::new(id);
    let backend = Backend {
        id: id.clone(),
        endpoints,
        protocol: UpstreamProtocol::Auto,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    };
    (id, Arc::new(backend))
}

/// A plan that leads to port 80 of [`SHOP`], and to an address that no mesh knows.
fn plan() -> Snapshot {
    let elsewhere = backend::Endpoint {
        addr: "192.0.2.1:80".parse().unwrap(),
        weight: 1,
        locality: None,
        tier: 0,
        peer: None,
    };
    let shop = Endpoints::Service { name: ServiceName::new(SHOP), port: 80, subset: None };
    let backends =
        [backend("shop", shop), backend("elsewhere", Endpoints::Static([elsewhere].into()))];
    Snapshot { backends: backends.into(), ..Snapshot::default() }
}

fn peer(ip: &str) -> Peer {
    let identity = Identity::new(&TrustDomain::default(), "shop", "payments").unwrap();
    Peer { addr: format!("{ip}:15008").parse().unwrap(), identity }
}

fn at(ip: &str, transport: Transport) -> MeshEndpoint {
    MeshEndpoint {
        workload: WorkloadName::new(format!("shop/{ip}")),
        ip: ip.parse().unwrap(),
        ports: [(80, 8080)].into(),
        weight: 1,
        locality: None,
        labels: Arc::default(),
        hostname: None,
        transport,
    }
}

fn state(endpoints: ServiceEndpoints) -> State {
    let entry = IndexEntry {
        name: ServiceName::new(SHOP),
        addrs: ["10.78.0.1".parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: 80, name: "".into(), protocol: Protocol::Detect }].into(),
        location: Location::Mesh,
    };
    let service = Service { entry: Arc::new(entry), endpoints, traffic: Arc::default() };
    let known = Versioned { version: "1".into(), value: Arc::new(service) };
    let services = BTreeMap::from([(ServiceName::new(SHOP), known)]);
    State { services: Arc::new(services), ..State::default() }
}

fn settled(snapshot: &Snapshot, state: &State, before: Option<&Snapshot>) -> Snapshot {
    settle(snapshot, state, &WorkloadName::new("edge/gateway"), before)
}

fn shop(snapshot: &Snapshot) -> &Arc<Backend> {
    &snapshot.backends[&BackendId::new("shop")]
}

#[test]
fn workloads_are_reached_through_their_proxies() {
    let known =
        [at("10.77.0.2", Transport::Mesh(peer("10.77.0.2"))), at("10.77.0.3", Transport::Plain)];
    let plan = plan();
    let settled = settled(&plan, &state(ServiceEndpoints::Known(known.into())), None);
    let endpoint = |addr: &str, peer: Option<Peer>| backend::Endpoint {
        addr: addr.parse().unwrap(),
        weight: 1,
        locality: None,
        tier: 0,
        peer: peer.map(Arc::new),
    };
    let expected =
        [endpoint("10.77.0.2:8080", Some(peer("10.77.0.2"))), endpoint("10.77.0.3:8080", None)];
    assert_eq!(shop(&settled).endpoints, Endpoints::Static(expected.into()));
    assert_eq!(shop(&settled).calling.outlier, Calling::mesh().outlier);
    // What documents say of places outside of the mesh holds.
    let elsewhere = BackendId::new("elsewhere");
    assert!(Arc::ptr_eq(&settled.backends[&elsewhere], &plan.backends[&elsewhere]));
}

#[test]
fn what_is_not_known_has_no_endpoint() {
    let check = |state: &State, endpoints: Endpoints| {
        assert_eq!(shop(&settled(&plan(), state, None)).endpoints, endpoints);
    };
    check(&State::default(), Endpoints::Static([].into()));
    check(&state(ServiceEndpoints::Known([].into())), Endpoints::Static([].into()));
    let named = |port| Endpoints::Dns { name: SHOP.into(), port };
    check(&state(ServiceEndpoints::Dialled), named(80));
    let dns = ServiceEndpoints::Dns { name: SHOP.into(), ports: [(80, 8080)].into() };
    check(&state(dns), named(8080));
}

#[test]
fn what_does_not_change_stays() {
    let with = |ip: &str| {
        let known = [at(ip, Transport::Mesh(peer(ip)))];
        state(ServiceEndpoints::Known(known.into()))
    };
    let first = settled(&plan(), &with("10.77.0.2"), None);
    let same = settled(&plan(), &with("10.77.0.2"), Some(&first));
    assert!(Arc::ptr_eq(shop(&same), shop(&first)));
    let moved = settled(&plan(), &with("10.77.0.3"), Some(&same));
    assert_ne!(shop(&moved), shop(&first));
    // Other settings leave the list as it is.
    let mut sticky = plan();
    let id = BackendId::new("shop");
    let calling = Calling { picker: PickerKind::LeastRequest, ..Calling::default() };
    let backend = Backend { calling: Arc::new(calling), ..Backend::clone(shop(&sticky)) };
    sticky.backends.insert(id, Arc::new(backend));
    let after = settled(&sticky, &with("10.77.0.2"), Some(&first));
    let list = |snapshot: &Snapshot| match &shop(snapshot).endpoints {
        Endpoints::Static(list) => Arc::clone(list),
        _ => panic!("they are known"),
    };
    assert!(Arc::ptr_eq(&list(&after), &list(&first)));
}

#[test]
fn the_services_of_a_plan_are_those_that_it_leads_to() {
    assert_eq!(services(&plan()), BTreeSet::from([ServiceName::new(SHOP)]));
    assert_eq!(services(&settled(&plan(), &State::default(), None)), BTreeSet::new());
}

/// What a DestinationRule says of a service holds for a gateway, too, where its own documents say
/// nothing; what is for callers of other namespaces does not.
#[test]
fn a_gateway_calls_services_as_documents_of_theirs_say() {
    let source = |setting: &str| Source {
        setting: setting.into(),
        document: "DestinationRule shop/payments".into(),
        file: "".into(),
        line: 1,
    };
    let entry = |namespace: &str, picker| CallingFor {
        audience: Audience { namespaces: [namespace.into()].into(), ..Audience::default() },
        port: None,
        subset: None,
        calling: Arc::new(Calling { picker, ..Calling::default() }),
        sources: [source(namespace)].into(),
    };
    let mut state = state(ServiceEndpoints::Known([].into()));
    let services = Arc::make_mut(&mut state.services);
    let mut service = Service::clone(&services[SHOP].value);
    let calling = [entry("web", PickerKind::Random), entry("edge", PickerKind::PeakEwma)].into();
    service.traffic = Arc::new(Traffic { calling, ..Traffic::default() });
    let known = Versioned { version: "2".into(), value: Arc::new(service) };
    services.insert(ServiceName::new(SHOP), known);
    let mut plan = plan();
    plan.sources.insert(BackendId::new("shop"), [source("own")].into());
    let settled = settled(&plan, &state, None);
    assert_eq!(shop(&settled).calling.picker, PickerKind::PeakEwma);
    assert_eq!(*settled.sources["shop"], [source("own"), source("edge")]);
}
