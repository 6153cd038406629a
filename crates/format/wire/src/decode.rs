//! From messages to the model.
//!
//! What cannot be read makes the one resource invalid that it is in. Of rules it is the one rule,
//! and it refuses what it would have taken: something of a later version must neither cost a
//! service its other rules nor let through what it keeps away.

mod calling;
mod route;
mod step;
mod traffic;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use prost::Message as _;
use weft_model::calling::Labels;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::InvalidIdentity;
use weft_model::mesh::{
    self, Location, MESH_PORT, Mtls, Protocol, ServiceEndpoints, Transport, UnknownDestinations,
};
use weft_model::outcome::Reason;
use weft_model::policy;
use weft_model::text::{InvalidPattern, Pattern};

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
    /// A quantity is negative, or no number.
    #[error("{value} in `{field}` is no quantity")]
    Quantity {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: f64,
    },
    /// Something is of a kind that this version does not know.
    #[error("the kind of a `{0}` is not known to this version: update this proxy")]
    Kind(&'static str),
    /// A name is none.
    #[error("a `{0}` has no acceptable name")]
    Name(&'static str),
    /// A pattern is none.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
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
            let sets: Vec<Arc<Labels>> =
                message.label_sets.iter().map(|set| labels(&set.labels).into()).collect();
            let known = message.endpoints.iter().map(|message| endpoint(message, &sets));
            ServiceEndpoints::Known(known.collect::<Result<_, _>>()?)
        }
        1 => ServiceEndpoints::Dns {
            name: message.dns_name.as_str().into(),
            ports: port_pairs(&message.dns_ports)?,
        },
        2 => ServiceEndpoints::Dialled,
        value => return Err(InvalidResource::Unknown { field: "resolution", value }),
    };
    let traffic = message.traffic.as_ref().map(traffic::traffic).transpose()?;
    Ok(mesh::Service {
        entry: Arc::new(self::entry(name, entry)?),
        endpoints,
        traffic: Arc::new(traffic.unwrap_or_default()),
    })
}

/// A workload of that name.
///
/// # Errors
///
/// As [`index_entry`].
pub fn workload(name: &str, bytes: &[u8]) -> Result<mesh::Workload, InvalidResource> {
    let message = resource::Workload::decode(bytes)?;
    Ok(mesh::Workload {
        name: WorkloadName::new(name),
        identity: message.identity.parse()?,
        addrs: ips(&message.addrs)?,
        ports: message.ports.iter().map(workload_port).collect::<Result<_, _>>()?,
        mtls: mtls(message.mtls)?,
        closed: message.closed.as_ref().map(refusal),
        unknown: match message.unknown {
            0 => UnknownDestinations::Allow,
            1 => UnknownDestinations::Refuse,
            value => return Err(InvalidResource::Unknown { field: "unknown", value }),
        },
        networks: message.networks.iter().map(network).collect::<Result<_, _>>()?,
        labels: labels(&message.labels),
        locality: some(&message.locality),
        egress: message
            .egress
            .as_ref()
            .map(|list| list.all.iter().map(egress).collect())
            .transpose()?,
        steps: step::steps(&message.steps),
        outside: message.outside.iter().map(outside).collect::<Result<_, _>>()?,
    })
}

fn outside(message: &resource::Outside) -> Result<mesh::Outside, InvalidResource> {
    let within = message.within.as_ref().ok_or(InvalidResource::Missing("within"))?;
    let except = message.except.iter().map(network).collect::<Result<_, _>>()?;
    Ok(mesh::Outside {
        range: mesh::AddressRange { within: network(within)?, except },
        network: ServiceName::new(message.network.as_str()),
    })
}

fn workload_port(message: &resource::WorkloadPort) -> Result<mesh::WorkloadPort, InvalidResource> {
    let calling = message.calling.as_ref().map(calling::calling).transpose()?;
    Ok(mesh::WorkloadPort {
        number: port_number(message.number)?,
        protocol: protocol(message.protocol)?,
        mtls: mtls(message.mtls)?,
        closed: message.closed.as_ref().map(refusal),
        steps: step::steps(&message.steps),
        calling: calling.map(Arc::new),
        forward: some_port(message.forward)?,
    })
}

fn egress(message: &resource::Egress) -> Result<mesh::Egress, InvalidResource> {
    Ok(mesh::Egress {
        namespace: message.namespace.as_str().into(),
        host: message.host.as_str().into(),
        port: some_port(message.port)?,
        excluded: message.excluded,
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
            0 if message.unguarded => Location::Unguarded,
            0 => Location::Mesh,
            1 => Location::External,
            value => return Err(InvalidResource::Unknown { field: "location", value }),
        },
    })
}

fn endpoint(
    message: &resource::Endpoint,
    sets: &[Arc<Labels>],
) -> Result<mesh::MeshEndpoint, InvalidResource> {
    let ip = ip(&message.ip)?;
    let transport = match &message.peer {
        None => Transport::Plain,
        Some(peer) => Transport::Mesh(self::peer(peer, Some(ip))?),
    };
    let labels = match message.labels.checked_sub(1) {
        None => Arc::default(),
        Some(place) => {
            let set = sets.get(place as usize).cloned();
            let value = message.labels.into();
            set.ok_or(InvalidResource::Bounds { field: "labels", value })?
        }
    };
    Ok(mesh::MeshEndpoint {
        workload: WorkloadName::new(message.workload.as_str()),
        ip,
        ports: port_pairs(&message.ports)?.into(),
        weight: message.weight.max(1),
        locality: some(&message.locality),
        labels,
        hostname: some(&message.hostname),
        transport,
    })
}

/// A proxy, beside an endpoint at that address if at any.
fn peer(message: &resource::Peer, beside: Option<IpAddr>) -> Result<mesh::Peer, InvalidResource> {
    let ip = match beside.filter(|_| message.ip.is_empty()) {
        Some(ip) => ip,
        None => ip(&message.ip)?,
    };
    let port = if message.port == 0 { MESH_PORT } else { port_number(message.port)? };
    Ok(mesh::Peer { addr: SocketAddr::new(ip, port), identity: message.identity.parse()? })
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

/// 0 for none.
fn some_port(value: u32) -> Result<Option<u16>, InvalidResource> {
    (value != 0).then(|| port_number(value)).transpose()
}

fn ports(values: &[u32]) -> Result<Box<[u16]>, InvalidResource> {
    values.iter().copied().map(port_number).collect()
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

fn labels(labels: &[resource::Label]) -> Box<Labels> {
    let label = |label: &resource::Label| (label.key.as_str().into(), label.value.as_str().into());
    labels.iter().map(label).collect()
}

fn texts<C: FromIterator<Box<str>>>(texts: &[String]) -> C {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn optional(text: Option<&String>) -> Option<Box<str>> {
    text.map(|text| text.as_str().into())
}

fn pattern(text: &str) -> Result<Pattern, InvalidResource> {
    Ok(Pattern::new(text)?)
}

fn time(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A number that is one, and not negative.
fn quantity(field: &'static str, value: f64) -> Result<f64, InvalidResource> {
    let is_one = value.is_finite() && value >= 0.0;
    is_one.then_some(value).ok_or(InvalidResource::Quantity { field, value })
}

/// A number that fits into another type.
fn fitting<T: TryFrom<u32>>(field: &'static str, value: u32) -> Result<T, InvalidResource> {
    T::try_from(value).map_err(|_| InvalidResource::Bounds { field, value: value.into() })
}
