//! From the model to messages.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use prost::Message as _;
use weft_model::mesh::{
    self, Location, MESH_PORT, Mtls, Protocol, ServiceEndpoints, Transport, UnknownDestinations,
};
use weft_model::policy;
use weft_resilience::settings::{OutlierSettings, PickerKind};

use crate::resource;

/// An index entry, encoded.
pub fn index_entry(entry: &mesh::IndexEntry) -> Vec<u8> {
    entry_message(entry).encode_to_vec()
}

/// A service, encoded.
pub fn service(service: &mesh::Service) -> Vec<u8> {
    let mut message = resource::Service {
        entry: Some(entry_message(&service.entry)),
        defaults: Some(defaults(&service.defaults)),
        ..Default::default()
    };
    match &service.endpoints {
        ServiceEndpoints::Known(endpoints) => {
            message.endpoints = endpoints.iter().map(endpoint).collect();
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
    let port = |port: &mesh::WorkloadPort| resource::WorkloadPort {
        number: port.number.into(),
        protocol: protocol(port.protocol),
        mtls: mtls(port.mtls),
        closed: port.closed.as_ref().map(refusal),
    };
    let message = resource::Workload {
        identity: workload.identity.to_string(),
        addrs: workload.addrs.iter().copied().map(ip).collect(),
        ports: workload.ports.iter().map(port).collect(),
        mtls: mtls(workload.mtls),
        closed: workload.closed.as_ref().map(refusal),
        unknown: match workload.unknown {
            UnknownDestinations::Allow => 0,
            UnknownDestinations::Refuse => 1,
        },
        networks: workload.networks.iter().map(network).collect(),
    };
    message.encode_to_vec()
}

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
            Location::Mesh => 0,
            Location::External => 1,
        },
    }
}

fn endpoint(endpoint: &mesh::MeshEndpoint) -> resource::Endpoint {
    let peer = |peer: &mesh::Peer| resource::Peer {
        identity: peer.identity.to_string(),
        ip: if peer.addr.ip() == endpoint.ip { Vec::new() } else { ip(peer.addr.ip()) },
        port: if peer.addr.port() == MESH_PORT { 0 } else { peer.addr.port().into() },
    };
    resource::Endpoint {
        workload: endpoint.workload.to_string(),
        ip: ip(endpoint.ip),
        ports: endpoint.ports.iter().map(port_pair).collect(),
        weight: if endpoint.weight == 1 { 0 } else { endpoint.weight },
        zone: endpoint.zone.as_deref().unwrap_or_default().into(),
        hostname: endpoint.hostname.as_deref().unwrap_or_default().into(),
        peer: match &endpoint.transport {
            Transport::Plain => None,
            Transport::Mesh(to) => Some(peer(to)),
        },
    }
}

fn defaults(defaults: &mesh::ServiceDefaults) -> resource::Defaults {
    let outlier = |settings: &OutlierSettings| resource::Outlier {
        failures: settings.failures,
        window_ms: millis(settings.window),
        ejection_ms: millis(settings.ejection),
        ejection_max_ms: millis(settings.ejection_max),
        ejected_ratio_max: settings.ejected_ratio_max,
        on_server_error: settings.on_server_error,
        consecutive: settings.consecutive,
    };
    resource::Defaults {
        picker: match defaults.picker {
            PickerKind::LeastRequest => 0,
            PickerKind::RoundRobin => 1,
            PickerKind::PeakEwma => 2,
            PickerKind::Rendezvous => 3,
        },
        connect_timeout_ms: millis(defaults.connect_timeout),
        outlier: defaults.outlier.as_ref().map(outlier),
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
