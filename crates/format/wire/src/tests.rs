mod skew;
mod strategies;

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use prost::Message as _;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{
    AddressRange, IndexEntry, Location, MeshEndpoint, Mtls, Outside, Peer, Protocol, Service,
    ServiceEndpoints, ServicePort, Transport, UnknownDestinations, Workload, WorkloadPort,
};
use weft_model::outcome::Reason;

use crate::decode::{self, InvalidResource};
use crate::{common_version, discovery, encode, resource};
use strategies::{calling, egress, labels, network, refusal, steps, text, traffic};

fn identity() -> Identity {
    Identity::new(&TrustDomain::default(), "shop", "payments").unwrap()
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        Just(Protocol::Detect),
        Just(Protocol::Http),
        Just(Protocol::Http2),
        Just(Protocol::Tls),
        Just(Protocol::Tcp),
    ]
}

fn mtls() -> impl Strategy<Value = Mtls> {
    prop_oneof![Just(Mtls::Permissive), Just(Mtls::Strict), Just(Mtls::Disable)]
}

fn entry() -> impl Strategy<Value = IndexEntry> {
    let port = (1_u16.., text(), protocol()).prop_map(|(number, name, protocol)| ServicePort {
        number,
        name,
        protocol,
    });
    let addrs = || prop::collection::vec(any::<IpAddr>(), 0..3);
    let ports = prop::collection::vec(port, 0..4);
    let location =
        prop_oneof![Just(Location::Mesh), Just(Location::Unguarded), Just(Location::External)];
    (addrs(), addrs(), ports, location).prop_map(|(addrs, endpoint_addrs, ports, location)| {
        IndexEntry {
            name: ServiceName::new("payments.shop.svc.cluster.local"),
            addrs: addrs.into(),
            endpoint_addrs: endpoint_addrs.into(),
            ports: ports.into(),
            location,
        }
    })
}

fn endpoint() -> impl Strategy<Value = MeshEndpoint> {
    let pairs = prop::collection::vec((1_u16.., 1_u16..), 0..3);
    let peer = prop::option::of((any::<bool>(), any::<IpAddr>(), 1_u16..));
    (any::<IpAddr>(), pairs, 1_u32.., text(), labels(), peer).prop_map(
        |(ip, ports, weight, name, labels, peer)| MeshEndpoint {
            workload: WorkloadName::new("shop/payments-1"),
            ip,
            ports: ports.into(),
            weight,
            locality: Some(name.clone()).filter(|name| !name.is_empty()),
            labels: labels.into(),
            hostname: Some(name).filter(|name| !name.is_empty()),
            transport: match peer {
                None => Transport::Plain,
                Some((beside, other, port)) => Transport::Mesh(Peer {
                    addr: (if beside { ip } else { other }, port).into(),
                    identity: identity(),
                }),
            },
        },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let endpoints = prop_oneof![
        prop::collection::vec(endpoint(), 0..4)
            .prop_map(|endpoints| ServiceEndpoints::Known(endpoints.into())),
        (text(), prop::collection::vec((1_u16.., 1_u16..), 0..3))
            .prop_map(|(name, ports)| ServiceEndpoints::Dns { name, ports: ports.into() }),
        Just(ServiceEndpoints::Dialled),
    ];
    (entry(), endpoints, traffic()).prop_map(|(entry, endpoints, traffic)| Service {
        entry: Arc::new(entry),
        endpoints,
        traffic: Arc::new(traffic),
    })
}

fn workload_port() -> impl Strategy<Value = WorkloadPort> {
    let spoken = (1_u16.., protocol(), mtls(), prop::option::of(refusal()));
    let done = (steps(), prop::option::of(calling()), prop::option::of(1_u16..));
    (spoken, done).prop_map(|(spoken, done)| {
        let (number, protocol, mtls, closed) = spoken;
        let (steps, calling, forward) = done;
        let calling = calling.map(Arc::new);
        WorkloadPort { number, protocol, mtls, closed, steps, calling, forward }
    })
}

fn outside() -> impl Strategy<Value = Outside> {
    let except = prop::collection::vec(network(), 0..3);
    (network(), except).prop_map(|(within, except)| Outside {
        range: AddressRange { within, except: except.into() },
        network: ServiceName::new("EgressNetwork/shop/all"),
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let unknown = prop_oneof![Just(UnknownDestinations::Allow), Just(UnknownDestinations::Refuse)];
    let addrs = prop::collection::vec(any::<IpAddr>(), 0..3);
    let ports = prop::collection::vec(workload_port(), 0..3);
    let networks = prop::collection::vec(network(), 0..3);
    let known = (addrs, ports, mtls(), prop::option::of(refusal()), unknown, networks);
    let egress = prop::option::of(prop::collection::vec(egress(), 0..3));
    let egress = (egress, prop::collection::vec(outside(), 0..3));
    (known, labels(), text(), egress, steps()).prop_map(
        |(known, labels, locality, (egress, outside), steps)| {
            let (addrs, ports, mtls, closed, unknown, networks) = known;
            Workload {
                name: WorkloadName::new("shop/payments-1"),
                identity: identity(),
                addrs: addrs.into(),
                ports: ports.into(),
                mtls,
                closed,
                unknown,
                outside: outside.into(),
                networks: networks.into(),
                labels,
                locality: Some(locality).filter(|locality| !locality.is_empty()),
                egress: egress.map(Into::into),
                steps,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(entry in entry(), service in service(), workload in workload()) {
        let name = entry.name.as_str();
        assert_eq!(decode::index_entry(name, &encode::index_entry(&entry)), Ok(entry.clone()));
        assert_eq!(decode::service(name, &encode::service(&service)), Ok(service));
        let name = workload.name.as_str();
        assert_eq!(decode::workload(name, &encode::workload(&workload)), Ok(workload.clone()));
    }

    /// One byte is another, which mostly leaves something that is still a message.
    #[test]
    fn what_is_damaged_is_read_or_refused(
        service in service(),
        workload in workload(),
        at in any::<prop::sample::Index>(),
        by in 1..=255_u8,
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            bytes
        };
        if let Ok(service) = decode::service("a", &damaged(encode::service(&service))) {
            assert_eq!(decode::service("a", &encode::service(&service)), Ok(service));
        }
        let name = workload.name.as_str();
        if let Ok(workload) = decode::workload(name, &damaged(encode::workload(&workload))) {
            assert_eq!(decode::workload(name, &encode::workload(&workload)), Ok(workload));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::index_entry("a", &bytes);
        let _ = decode::service("a", &bytes);
        let _ = decode::workload("a", &bytes);
    }
}

#[test]
fn an_index_entry_is_small() {
    let entry = IndexEntry {
        name: ServiceName::new("payments.shop.svc.cluster.local"),
        addrs: ["10.78.0.1".parse().unwrap(), "fd78::1".parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: 8080, name: "http".into(), protocol: Protocol::Http }].into(),
        location: Location::Mesh,
    };
    let bytes = encode::index_entry(&entry);
    assert!(bytes.len() + entry.name.as_str().len() <= 100, "{} bytes", bytes.len());
}

/// Endpoints of one subset have the same labels, and there are many of them.
#[test]
fn a_set_of_labels_is_written_once_and_shared() {
    let labels = |version: &str| Arc::from([("version".into(), version.into())]);
    let endpoint = |last: u8, labels: Arc<[_]>| MeshEndpoint {
        workload: WorkloadName::new("shop/payments-1"),
        ip: [10, 0, 0, last].into(),
        ports: [(80, 8080)].into(),
        weight: 1,
        locality: None,
        labels,
        hostname: None,
        transport: Transport::Plain,
    };
    let service = |endpoints: &[MeshEndpoint]| Service {
        entry: Arc::new(IndexEntry {
            name: ServiceName::new("a"),
            addrs: [].into(),
            endpoint_addrs: [].into(),
            ports: [].into(),
            location: Location::Mesh,
        }),
        endpoints: ServiceEndpoints::Known(endpoints.into()),
        traffic: Arc::default(),
    };
    let two = [endpoint(1, labels("canary-2026")), endpoint(2, labels("canary-2026"))];
    let bytes = encode::service(&service(&two));
    assert_eq!(bytes.windows(11).filter(|part| part == b"canary-2026").count(), 1);
    let read = decode::service("a", &bytes).unwrap();
    let [first, second] = read.endpoints.known() else { panic!("{:?}", read.endpoints) };
    assert!(Arc::ptr_eq(&first.labels, &second.labels));
    // None at all take no byte.
    let bare = encode::service(&service(&[endpoint(1, Arc::default())]));
    let message = resource::Service::decode(&*bare).unwrap();
    assert_eq!((message.label_sets.len(), message.endpoints[0].labels), (0, 0));
}

#[test]
fn what_this_version_does_not_know_makes_one_resource_invalid() {
    let port = resource::ServicePort { number: 80, name: String::new(), protocol: 99 };
    let message = resource::IndexEntry { ports: vec![port], ..Default::default() };
    let unknown = InvalidResource::Unknown { field: "protocol", value: 99 };
    assert_eq!(decode::index_entry("a", &message.encode_to_vec()), Err(unknown));
    let port = resource::ServicePort { number: 0, name: String::new(), protocol: 0 };
    let message = resource::IndexEntry { ports: vec![port], ..Default::default() };
    let bounds = InvalidResource::Bounds { field: "port", value: 0 };
    assert_eq!(decode::index_entry("a", &message.encode_to_vec()), Err(bounds));
    let message = resource::IndexEntry { addrs: vec![vec![1, 2, 3]], ..Default::default() };
    let address = InvalidResource::Address(3);
    assert_eq!(decode::index_entry("a", &message.encode_to_vec()), Err(address));
}

/// A proxy of the next version may write fields that this one has never heard of.
#[test]
fn fields_of_a_later_version_are_passed_over() {
    let message = resource::IndexEntry { location: 1, ..Default::default() };
    let mut bytes = message.encode_to_vec();
    // Field 200, length-delimited.
    bytes.extend([0xc2, 0x0c, 0x03, b'n', b'e', b'w']);
    let entry = decode::index_entry("example.com", &bytes).unwrap();
    assert_eq!(entry.location, Location::External);
}

#[test]
fn peers_agree_on_the_older_version() {
    assert_eq!(common_version(1, 2), Some(1));
    assert_eq!(common_version(3, 2), Some(2));
    assert_eq!(common_version(1, 0), None);
    let features = ["envoy.lb.x", "weftway.wire/1", "weftway.wire/3", "weftway.wire/x"];
    let node = discovery::Node {
        client_features: features.map(str::to_owned).to_vec(),
        ..Default::default()
    };
    assert_eq!(node.version(), Some(3));
    assert_eq!(discovery::Node::default().version(), None);
}

/// The numbers of the fields are Envoy's: other implementations of xDS can read the frame.
#[test]
fn discovery_messages_have_the_numbers_of_xds() {
    let request = discovery::DeltaDiscoveryRequest {
        type_url: "t".into(),
        resource_names_subscribe: vec!["s".into()],
        resource_names_unsubscribe: vec!["u".into()],
        response_nonce: "n".into(),
        ..Default::default()
    };
    let expected = b"\x12\x01t\x1a\x01s\x22\x01u\x32\x01n";
    assert_eq!(request.encode_to_vec(), expected);
    let response = discovery::DeltaDiscoveryResponse {
        system_version_info: "7".into(),
        type_url: "t".into(),
        nonce: "n".into(),
        removed_resources: vec!["r".into()],
        resources: vec![discovery::Resource {
            name: "a".into(),
            version: "1".into(),
            resource: None,
        }],
    };
    let expected = b"\x0a\x017\x12\x06\x0a\x011\x1a\x01a\x22\x01t\x2a\x01n\x32\x01r";
    assert_eq!(response.encode_to_vec(), expected);
}
