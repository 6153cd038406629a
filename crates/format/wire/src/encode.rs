//! From the model to messages.

mod calling;
mod route;
mod step;
mod traffic;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use prost::Message as _;
use weft_model::calling::Labels;
use weft_model::mesh::{
    self, Location, MESH_PORT, Mtls, Protocol, ServiceEndpoints, Transport, UnknownDestinations,
};
use weft_model::policy;

use crate::resource;

/// Labels of endpoints, each set once.
#[derive(Default)]
struct LabelSets(Vec<Arc<Labels>>);

/// An index entry, encoded.
pub fn index_entry(entry: &mesh::IndexEntry) -> Vec<u8> {
    entry_message(entry).encode_to_vec()
}

/// A service, encoded.
pub fn service(service: &mesh::Service) -> Vec<u8> {
    let mesh::Service { entry, endpoints, traffic } = service;
    let mut message = resource::Service { entry: Some(entry_message(entry)), ..Default::default() };
    if **traffic != mesh::Traffic::default() {
        message.traffic = Some(traffic::traffic(traffic));
    }
    match endpoints {
        ServiceEndpoints::Known(endpoints) => {
            let mut sets = LabelSets::default();
            message.endpoints = endpoints.iter().map(|one| endpoint(one, &mut sets)).collect();
            message.label_sets = sets.messages();
        }
        ServiceEndpoints::Dns { name, ports } => {
            message.resolution = 1;
            message.dns_name = name.to_string();
            message.dns_ports = ports.iter().map(port_pair).collect();
        }
        ServiceEndpoints::Dialled => message.resolution = 2,
    }
    message.encode_to_vec()
}

/// A workload, encoded.
pub fn workload(workload: &mesh::Workload) -> Vec<u8> {
    let mesh::Workload {
        name: _,
        identity,
        addrs,
        ports,
        mtls: own_mtls,
        closed,
        unknown,
        outside: not_of_mesh,
        networks,
        labels: own_labels,
        locality,
        egress: may_call,
        steps,
    } = workload;
    let message = resource::Workload {
        identity: identity.to_string(),
        addrs: addrs.iter().copied().map(ip).collect(),
        ports: ports.iter().map(workload_port).collect(),
        mtls: mtls(*own_mtls),
        closed: closed.as_ref().map(refusal),
        unknown: match unknown {
            UnknownDestinations::Allow => 0,
            UnknownDestinations::Refuse => 1,
        },
        networks: networks.iter().map(network).collect(),
        labels: labels(own_labels),
        locality: text(locality.as_deref()),
        egress: may_call
            .as_ref()
            .map(|all| resource::EgressList { all: all.iter().map(egress).collect() }),
        steps: step::steps(steps),
        outside: not_of_mesh.iter().map(outside).collect(),
    };
    message.encode_to_vec()
}

fn outside(outside: &mesh::Outside) -> resource::Outside {
    let mesh::Outside { range: mesh::AddressRange { within, except }, network: of } = outside;
    resource::Outside {
        within: Some(network(within)),
        except: except.iter().map(network).collect(),
        network: of.to_string(),
    }
}

fn workload_port(port: &mesh::WorkloadPort) -> resource::WorkloadPort {
    let mesh::WorkloadPort { number, protocol: spoken, mtls: own, closed, steps, calling, forward } =
        port;
    resource::WorkloadPort {
        number: (*number).into(),
        protocol: protocol(*spoken),
        mtls: mtls(*own),
        closed: closed.as_ref().map(refusal),
        steps: step::steps(steps),
        calling: calling.as_deref().map(calling::calling),
        forward: forward.map_or(0, u32::from),
    }
}

fn egress(egress: &mesh::Egress) -> resource::Egress {
    let mesh::Egress { namespace, host, port, excluded } = egress;
    resource::Egress {
        namespace: namespace.to_string(),
        host: host.to_string(),
        port: port.map_or(0, u32::from),
        excluded: *excluded,
    }
}

// === impl LabelSets ===

impl LabelSets {
    /// Where the set is, from 1; 0 for none at all. There are few sets, a subset or so each.
    fn position(&mut self, set: &Arc<Labels>) -> u32 {
        if set.is_empty() {
            return 0;
        }
        let known = self.0.iter().position(|known| Arc::ptr_eq(known, set) || known == set);
        let place = known.unwrap_or_else(|| {
            self.0.push(Arc::clone(set));
            self.0.len() - 1
        });
        place as u32 + 1
    }

    fn messages(&self) -> Vec<resource::LabelSet> {
        self.0.iter().map(|set| resource::LabelSet { labels: labels(set) }).collect()
    }
}

// === parts ===

fn entry_message(entry: &mesh::IndexEntry) -> resource::IndexEntry {
    let port = |port: &mesh::ServicePort| resource::ServicePort {
        number: port.number.into(),
        name: port.name.to_string(),
        protocol: protocol(port.protocol),
    };
    resource::IndexEntry {
        addrs: entry.addrs.iter().copied().map(ip).collect(),
        endpoint_addrs: entry.endpoint_addrs.iter().copied().map(ip).collect(),
        ports: entry.ports.iter().map(port).collect(),
        location: match entry.location {
            Location::Mesh | Location::Unguarded => 0,
            Location::External => 1,
        },
        unguarded: entry.location == Location::Unguarded,
    }
}

fn endpoint(endpoint: &mesh::MeshEndpoint, sets: &mut LabelSets) -> resource::Endpoint {
    let mesh::MeshEndpoint {
        workload,
        ip: own,
        ports,
        weight,
        locality,
        labels,
        hostname,
        transport,
    } = endpoint;
    resource::Endpoint {
        workload: workload.to_string(),
        ip: ip(*own),
        ports: ports.iter().map(port_pair).collect(),
        weight: if *weight == 1 { 0 } else { *weight },
        locality: text(locality.as_deref()),
        hostname: text(hostname.as_deref()),
        peer: match transport {
            Transport::Plain => None,
            Transport::Mesh(to) => Some(peer(to, Some(*own))),
        },
        labels: sets.position(labels),
    }
}

/// A proxy, beside an endpoint at that address if at any.
fn peer(peer: &mesh::Peer, beside: Option<IpAddr>) -> resource::Peer {
    resource::Peer {
        identity: peer.identity.to_string(),
        ip: if Some(peer.addr.ip()) == beside { Vec::new() } else { ip(peer.addr.ip()) },
        port: if peer.addr.port() == MESH_PORT { 0 } else { peer.addr.port().into() },
    }
}

fn port_pair((service, endpoint): &(u16, u16)) -> resource::PortPair {
    resource::PortPair { service: (*service).into(), endpoint: (*endpoint).into() }
}

fn protocol(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Detect => 0,
        Protocol::Http => 1,
        Protocol::Http2 => 2,
        Protocol::Tls => 3,
        Protocol::Tcp => 4,
    }
}

fn mtls(mtls: Mtls) -> u32 {
    match mtls {
        Mtls::Permissive => 0,
        Mtls::Strict => 1,
        Mtls::Disable => 2,
    }
}

fn refusal(refusal: &policy::Refusal) -> resource::Refusal {
    resource::Refusal { reason: refusal.reason.label().into(), detail: refusal.detail.to_string() }
}

fn network(network: &IpNet) -> resource::Network {
    resource::Network { ip: ip(network.addr()), prefix: network.prefix_len().into() }
}

fn ip(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn labels(labels: &Labels) -> Vec<resource::Label> {
    let label = |(key, value): &(Box<str>, Box<str>)| resource::Label {
        key: key.to_string(),
        value: value.to_string(),
    };
    labels.iter().map(label).collect()
}

/// Text that is never empty.
fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().into()
}

/// Text that may be empty.
fn optional(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn texts(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn ports(ports: &[u16]) -> Vec<u32> {
    ports.iter().copied().map(u32::from).collect()
}

/// More than 500 years are as good as that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
