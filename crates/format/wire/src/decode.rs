//! From messages to the model. What cannot be read makes the one resource invalid that it is in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use prost::Message as _;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::InvalidIdentity;
use weft_model::mesh::{
    self, Location, MESH_PORT, Mtls, Protocol, ServiceEndpoints, Transport, UnknownDestinations,
};
use weft_model::outcome::Reason;
use weft_model::policy;
use weft_resilience::settings::{OutlierSettings, PickerKind};

use crate::resource;

/// A resource cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidResource {
    /// It is not a message of its type.
    #[error("it is not a message of its type")]
    Message(#[from] prost::DecodeError),
    /// A part is missing that every version has.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A number stands for something that this version does not know.
    #[error("{value} in `{field}` is not known to this version: update this proxy")]
    Unknown {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u32,
    },
    /// A value is outside of its bounds.
    #[error("{value} in `{field}` is out of bounds")]
    Bounds {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// An address has neither 4 nor 16 bytes.
    #[error("an address of {0} bytes is none")]
    Address(usize),
    /// An identity is none.
    #[error("`identity` is not acceptable")]
    Identity(#[from] InvalidIdentity),
}

/// An index entry of that name.
///
/// # Errors
///
/// When the bytes are not one, or say what this version does not know.
pub fn index_entry(name: &str, bytes: &[u8]) -> Result<mesh::IndexEntry, InvalidResource> {
    entry(name, &resource::IndexEntry::decode(bytes)?)
}

/// A service of that name.
///
/// # Errors
///
/// As [`index_entry`].
pub fn service(name: &str, bytes: &[u8]) -> Result<mesh::Service, InvalidResource> {
    let message = resource::Service::decode(bytes)?;
    let entry = message.entry.as_ref().ok_or(InvalidResource::Missing("entry"))?;
    let endpoints = match message.resolution {
        0 => {
            let known = message.endpoints.iter().map(endpoint);
            ServiceEndpoints::Known(known.collect::<Result<_, _>>()?)
        }
        1 => ServiceEndpoints::Dns {
            name: message.dns_name.as_str().into(),
            ports: port_pairs(&message.dns_ports)?,
        },
        2 => ServiceEndpoints::Dialled,
        value => return Err(InvalidResource::Unknown { field: "resolution", value }),
    };
    let defaults =
        message.defaults.as_ref().map_or(Ok(mesh::ServiceDefaults::DEFAULT), defaults)?;
    Ok(mesh::Service { entry: Arc::new(self::entry(name, entry)?), endpoints, defaults })
}

/// A workload of that name.
///
/// # Errors
///
/// As [`index_entry`].
pub fn workload(name: &str, bytes: &[u8]) -> Result<mesh::Workload, InvalidResource> {
    let message = resource::Workload::decode(bytes)?;
    let port = |port: &resource::WorkloadPort| {
        Ok(mesh::WorkloadPort {
            number: port_number(port.number)?,
            protocol: protocol(port.protocol)?,
            mtls: mtls(port.mtls)?,
            closed: port.closed.as_ref().map(refusal),
        })
    };
    Ok(mesh::Workload {
        name: WorkloadName::new(name),
        identity: message.identity.parse()?,
        addrs: ips(&message.addrs)?,
        ports: message.ports.iter().map(port).collect::<Result<_, InvalidResource>>()?,
        mtls: mtls(message.mtls)?,
        closed: message.closed.as_ref().map(refusal),
        unknown: match message.unknown {
            0 => UnknownDestinations::Allow,
            1 => UnknownDestinations::Refuse,
            value => return Err(InvalidResource::Unknown { field: "unknown", value }),
        },
        networks: message.networks.iter().map(network).collect::<Result<_, _>>()?,
    })
}

fn entry(name: &str, message: &resource::IndexEntry) -> Result<mesh::IndexEntry, InvalidResource> {
    let port = |port: &resource::ServicePort| {
        Ok(mesh::ServicePort {
            number: port_number(port.number)?,
            name: port.name.as_str().into(),
            protocol: protocol(port.protocol)?,
        })
    };
    Ok(mesh::IndexEntry {
        name: ServiceName::new(name),
        addrs: ips(&message.addrs)?,
        endpoint_addrs: ips(&message.endpoint_addrs)?,
        ports: message.ports.iter().map(port).collect::<Result<_, InvalidResource>>()?,
        location: match message.location {
            0 => Location::Mesh,
            1 => Location::External,
            value => return Err(InvalidResource::Unknown { field: "location", value }),
        },
    })
}

fn endpoint(message: &resource::Endpoint) -> Result<mesh::MeshEndpoint, InvalidResource> {
    let ip = ip(&message.ip)?;
    let transport = match &message.peer {
        None => Transport::Plain,
        Some(peer) => Transport::Mesh(self::peer(peer, ip)?),
    };
    Ok(mesh::MeshEndpoint {
        workload: WorkloadName::new(message.workload.as_str()),
        ip,
        ports: port_pairs(&message.ports)?.into(),
        weight: message.weight.max(1),
        zone: some(&message.zone),
        hostname: some(&message.hostname),
        transport,
    })
}

fn peer(message: &resource::Peer, beside: IpAddr) -> Result<mesh::Peer, InvalidResource> {
    let ip = if message.ip.is_empty() { beside } else { ip(&message.ip)? };
    let port = if message.port == 0 { MESH_PORT } else { port_number(message.port)? };
    Ok(mesh::Peer { addr: SocketAddr::new(ip, port), identity: message.identity.parse()? })
}

fn defaults(message: &resource::Defaults) -> Result<mesh::ServiceDefaults, InvalidResource> {
    Ok(mesh::ServiceDefaults {
        picker: match message.picker {
            0 => PickerKind::LeastRequest,
            1 => PickerKind::RoundRobin,
            2 => PickerKind::PeakEwma,
            3 => PickerKind::Rendezvous,
            value => return Err(InvalidResource::Unknown { field: "picker", value }),
        },
        connect_timeout: Duration::from_millis(message.connect_timeout_ms),
        outlier: message.outlier.as_ref().map(outlier),
    })
}

fn outlier(message: &resource::Outlier) -> OutlierSettings {
    let ratio = message.ejected_ratio_max;
    OutlierSettings {
        failures: message.failures.max(1),
        window: Duration::from_millis(message.window_ms),
        ejection: Duration::from_millis(message.ejection_ms),
        ejection_max: Duration::from_millis(message.ejection_max_ms),
        ejected_ratio_max: if ratio.is_finite() { ratio.clamp(0.0, 1.0) } else { 0.0 },
        on_server_error: message.on_server_error,
        consecutive: message.consecutive,
    }
}

fn port_pairs(pairs: &[resource::PortPair]) -> Result<Box<[(u16, u16)]>, InvalidResource> {
    let pair =
        |pair: &resource::PortPair| Ok((port_number(pair.service)?, port_number(pair.endpoint)?));
    pairs.iter().map(pair).collect()
}

fn port_number(value: u32) -> Result<u16, InvalidResource> {
    let bounds = InvalidResource::Bounds { field: "port", value: value.into() };
    u16::try_from(value).ok().filter(|number| *number > 0).ok_or(bounds)
}

fn protocol(value: u32) -> Result<Protocol, InvalidResource> {
    Ok(match value {
        0 => Protocol::Detect,
        1 => Protocol::Http,
        2 => Protocol::Http2,
        3 => Protocol::Tls,
        4 => Protocol::Tcp,
        value => return Err(InvalidResource::Unknown { field: "protocol", value }),
    })
}

fn mtls(value: u32) -> Result<Mtls, InvalidResource> {
    Ok(match value {
        0 => Mtls::Permissive,
        1 => Mtls::Strict,
        2 => Mtls::Disable,
        value => return Err(InvalidResource::Unknown { field: "mtls", value }),
    })
}

/// A reason that is not known here still refuses.
fn refusal(message: &resource::Refusal) -> policy::Refusal {
    let known = Reason::ALL.iter().find(|reason| reason.label() == message.reason);
    policy::Refusal {
        reason: known.copied().unwrap_or(Reason::Internal),
        detail: message.detail.as_str().into(),
    }
}

fn ips(all: &[Vec<u8>]) -> Result<Box<[IpAddr]>, InvalidResource> {
    all.iter().map(|bytes| ip(bytes)).collect()
}

fn network(message: &resource::Network) -> Result<IpNet, InvalidResource> {
    let bounds = InvalidResource::Bounds { field: "prefix", value: message.prefix.into() };
    let prefix = u8::try_from(message.prefix).ok();
    prefix.and_then(|prefix| IpNet::new(ip(&message.ip).ok()?, prefix).ok()).ok_or(bounds)
}

fn ip(bytes: &[u8]) -> Result<IpAddr, InvalidResource> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Ok(bytes.into());
    }
    <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(|_| InvalidResource::Address(bytes.len()))
}

fn some(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}
