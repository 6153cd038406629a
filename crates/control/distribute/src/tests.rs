use std::collections::BTreeMap;
use std::sync::Arc;

use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{
    Index, IndexEntry, Location, Mesh, Mtls, Service, ServiceEndpoints, ServicePort, Workload,
};
use weft_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Rejected};

use crate::{Kind, ProtocolError, Published, Session};

fn entry(name: &str, port: u16) -> Arc<IndexEntry> {
    Arc::new(IndexEntry {
        name: ServiceName::new(name),
        addrs: ["10.78.0.1".parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: port, name: "http".into(), protocol: Default::default() }]
            .into(),
        location: Location::Mesh,
    })
}

fn workload(name: &str, mtls: Mtls) -> Arc<Workload> {
    let identity = Identity::new(&TrustDomain::default(), "shop", "payments").unwrap();
    Arc::new(Workload {
        addrs: ["10.77.0.1".parse().unwrap()].into(),
        mtls,
        ..Workload::new(WorkloadName::new(name), identity)
    })
}

/// Services by name and port, and two workloads.
fn mesh(generation: u64, services: &[(&str, u16)]) -> Mesh {
    let entries: BTreeMap<_, _> =
        services.iter().map(|(name, port)| (ServiceName::new(*name), entry(name, *port))).collect();
    let service = |entry: &Arc<IndexEntry>| {
        Arc::new(Service {
            entry: entry.clone(),
            endpoints: ServiceEndpoints::Known([].into()),
            traffic: Arc::default(),
        })
    };
    let workloads = ["shop/one", "shop/two"];
    Mesh {
        generation: Generation(generation),
        services: entries.iter().map(|(name, entry)| (name.clone(), service(entry))).collect(),
        index: Index { entries },
        workloads: workloads
            .iter()
            .map(|name| (WorkloadName::new(*name), workload(name, Mtls::Permissive)))
            .collect(),
        ..Mesh::default()
    }
}

fn published(services: &[(&str, u16)]) -> Published {
    Published::default().next(&mesh(1, services))
}

fn subscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    let node = Node { client_features: vec![Node::feature(1)], ..Default::default() };
    DeltaDiscoveryRequest {
        node: Some(node),
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(|name| (*name).into()).collect(),
        ..Default::default()
    }
}

fn session() -> Session {
    let mut session = Session::new(WorkloadName::new("shop/one"));
    session.receive(subscribe(Kind::Index, &["*"])).unwrap();
    session.receive(subscribe(Kind::Workload, &["*"])).unwrap();
    session
}

fn acknowledge(session: &mut Session, response: &DeltaDiscoveryResponse) {
    let request = DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    };
    session.receive(request).unwrap();
}

/// What a session sends until it has nothing more to say: `+name` and `-name`, and `=generation`
/// where a response names one.
fn drain(session: &mut Session, published: &Published) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(response) = session.respond(published) {
        seen.extend(response.resources.iter().map(|resource| format!("+{}", resource.name)));
        seen.extend(response.removed_resources.iter().map(|name| format!("-{name}")));
        if !response.system_version_info.is_empty() {
            seen.push(format!("={}", response.system_version_info));
        }
        assert!(session.respond(published).is_none(), "it waits for the acknowledgement");
        acknowledge(session, &response);
    }
    seen
}

#[test]
fn a_proxy_gets_the_index_and_its_own_workload() {
    let published = published(&[("a", 80), ("b", 80)]);
    let mut session = session();
    assert_eq!(drain(&mut session, &published), ["+a", "+b", "+shop/one", "=1"]);
    assert_eq!(drain(&mut session, &published), [""; 0]);
    assert_eq!(session.status().sent, Generation(1));
}

#[test]
fn the_address_of_a_workload_is_told_to_those_who_ask() {
    let mut mesh = mesh(1, &[("a", 80)]);
    let mut service = Service::clone(&mesh.services["a"]);
    let name = ServiceName::new("10.77.0.3");
    service.entry = Arc::new(IndexEntry { name, ..IndexEntry::clone(&service.entry) });
    mesh.addresses.insert("10.77.0.3".parse().unwrap(), Arc::new(service));
    let published = Published::default().next(&mesh);
    let mut session = session();
    assert_eq!(drain(&mut session, &published), ["+a", "+shop/one", "=1"]);
    session.receive(subscribe(Kind::Service, &["10.77.0.3", "10.77.0.4"])).unwrap();
    assert_eq!(drain(&mut session, &published), ["+10.77.0.3", "-10.77.0.4", "=1"]);
}

#[test]
fn nothing_is_whole_before_the_proxy_has_said_what_it_wants() {
    let published = published(&[("a", 80)]);
    let mut session = Session::new(WorkloadName::new("shop/one"));
    session.receive(subscribe(Kind::Index, &["*"])).unwrap();
    assert_eq!(drain(&mut session, &published), ["+a"]);
    session.receive(subscribe(Kind::Workload, &["*"])).unwrap();
    assert_eq!(drain(&mut session, &published), ["+shop/one", "=1"]);
}

#[test]
fn services_in_full_are_sent_to_those_who_ask() {
    let published = published(&[("a", 80), ("b", 80)]);
    let mut session = session();
    drain(&mut session, &published);
    session.receive(subscribe(Kind::Service, &["b"])).unwrap();
    assert_eq!(drain(&mut session, &published), ["+b", "=1"]);
    // What does not exist is said to be gone, so that nobody waits for it.
    session.receive(subscribe(Kind::Service, &["nowhere"])).unwrap();
    assert_eq!(drain(&mut session, &published), ["-nowhere", "=1"]);
    assert_eq!(session.status().subscribed, 2);
    let unsubscribe = DeltaDiscoveryRequest {
        type_url: Kind::Service.type_url().into(),
        resource_names_unsubscribe: vec!["b".into(), "nowhere".into()],
        ..Default::default()
    };
    session.receive(unsubscribe).unwrap();
    assert_eq!(session.status().subscribed, 0);
    let later = published.next(&mesh(2, &[("a", 80), ("b", 81)]));
    // The index has changed, the service is not wanted.
    assert_eq!(drain(&mut session, &later), ["+b", "=2"]);
}

#[test]
fn a_change_is_sent_alone() {
    let one = published(&[("a", 80), ("b", 80), ("c", 80)]);
    let mut session = session();
    drain(&mut session, &one);
    let two = one.next(&mesh(2, &[("a", 80), ("b", 81)]));
    assert_eq!(drain(&mut session, &two), ["+b", "-c", "=2"]);
    // A generation that changes nothing for this proxy is named all the same.
    let three = two.next(&mesh(3, &[("a", 80), ("b", 81)]));
    assert_eq!(drain(&mut session, &three), ["=3"]);
}

#[test]
fn a_slow_proxy_skips_to_the_newest() {
    let mut published = published(&[("a", 80)]);
    let mut session = session();
    let first = session.respond(&published).unwrap();
    for generation in 2..200 {
        published = published.next(&mesh(generation, &[("a", 80), ("b", generation as u16)]));
        assert!(session.respond(&published).is_none());
    }
    acknowledge(&mut session, &first);
    assert_eq!(drain(&mut session, &published), ["+b", "+shop/one", "=199"]);
    let bytes = &published.get(Kind::Index, "b").unwrap().bytes;
    let entry = weft_wire::decode::index_entry("b", bytes).unwrap();
    assert_eq!(entry.ports[0].number, 199);
}

/// A control plane that was restarted knows nothing of its proxies; they know what they have.
#[test]
fn a_proxy_that_comes_back_is_sent_what_differs() {
    let published = published(&[("a", 80), ("b", 81), ("c", 80)]);
    let had = Published::default().next(&mesh(7, &[("a", 80), ("b", 80), ("old", 80)]));
    let mut session = Session::new(WorkloadName::new("shop/one"));
    let mut request = subscribe(Kind::Index, &["*"]);
    for name in had.names(Kind::Index) {
        let version = had.get(Kind::Index, name).unwrap().version;
        request.initial_resource_versions.insert(name.to_string(), format!("{version:016x}"));
    }
    session.receive(request).unwrap();
    session.receive(subscribe(Kind::Workload, &["*"])).unwrap();
    assert_eq!(drain(&mut session, &published), ["+b", "+c", "-old", "+shop/one", "=1"]);
}

#[test]
fn large_answers_come_in_parts() {
    let names: Vec<String> = (0..20_000).map(|index| format!("service-{index:05}.shop")).collect();
    let services: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 80)).collect();
    let published = published(&services);
    let mut session = session();
    let mut responses = 0;
    let mut resources = 0;
    while let Some(response) = session.respond(&published) {
        let bytes: usize = response
            .resources
            .iter()
            .map(|resource| resource.resource.as_ref().unwrap().value.len() + resource.name.len())
            .sum();
        assert!(bytes < 2 << 20, "{bytes} bytes in one response");
        responses += 1;
        resources += response.resources.len();
        assert_eq!(!response.system_version_info.is_empty(), resources == 20_001);
        acknowledge(&mut session, &response);
    }
    assert_eq!(resources, 20_001);
    assert!(responses > 2, "{responses} responses");
}

#[test]
fn unchanged_resources_are_not_encoded_again() {
    let one = mesh(1, &[("a", 80), ("b", 80)]);
    let first = Published::default().next(&one);
    let mut two = one.clone();
    two.generation = Generation(2);
    two.index.entries.insert(ServiceName::new("b"), entry("b", 81));
    let second = first.next(&two);
    let bytes = |published: &Published, name: &str| {
        published.get(Kind::Index, name).unwrap().bytes.as_ptr()
    };
    assert_eq!(bytes(&first, "a"), bytes(&second, "a"));
    assert_ne!(bytes(&first, "b"), bytes(&second, "b"));
}

#[test]
fn what_a_proxy_says_of_its_resources_is_kept() {
    let published = published(&[("a", 80)]);
    let mut session = session();
    let response = session.respond(&published).unwrap();
    let request = DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        rejected: vec![Rejected {
            name: "a".into(),
            version: "1".into(),
            reason: "ö".repeat(1000),
        }],
        generation: 1,
        ..Default::default()
    };
    session.receive(request).unwrap();
    let status = session.status();
    assert_eq!(status.in_force, Generation(1));
    assert_eq!(status.rejected, [(Kind::Index, "a".into(), "ö".repeat(512))], "and bounded");
    // A newer form is another matter.
    let later = published.next(&mesh(2, &[("a", 81)]));
    drain(&mut session, &later);
    assert_eq!(session.status().rejected, []);
}

#[test]
fn what_no_proxy_says_ends_the_stream() {
    let check = |request: DeltaDiscoveryRequest, expected: ProtocolError| {
        let mut session = Session::new(WorkloadName::new("shop/one"));
        assert_eq!(session.receive(request), Err(expected));
    };
    let mut request = subscribe(Kind::Index, &["*"]);
    request.node = None;
    check(request, ProtocolError::NoVersion);
    let mut request = subscribe(Kind::Index, &["*"]);
    request.node.as_mut().unwrap().client_features = vec![Node::feature(0)];
    check(request, ProtocolError::Version { theirs: 0 });
    let mut request = subscribe(Kind::Index, &["*"]);
    request.type_url = "other".into();
    check(request, ProtocolError::Kind("other".into()));
    let mut request = subscribe(Kind::Index, &["*"]);
    request.initial_resource_versions.insert("a".into(), "zz".into());
    check(request, ProtocolError::ResourceVersion("zz".into()));
    let long = "a".repeat(1000);
    check(subscribe(Kind::Service, &[&long]), ProtocolError::Name);
    let mut request = subscribe(Kind::Index, &["*"]);
    request.initial_resource_versions.insert(long.clone(), "0".into());
    check(request, ProtocolError::Name);
    let mut request = subscribe(Kind::Index, &["*"]);
    request.rejected = vec![Rejected { name: long, ..Default::default() }];
    check(request, ProtocolError::Name);
    let names: Vec<String> = (0..100_001).map(|index| index.to_string()).collect();
    let mut request = subscribe(Kind::Service, &[]);
    request.resource_names_subscribe = names;
    check(request, ProtocolError::TooMany);
}
