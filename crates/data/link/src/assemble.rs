//! From what a proxy has of the mesh to the plan that it serves by.
//!
//! Connections are captured by a few bound listeners, whatever address they were made to. For each
//! address that something is known of there is a listener that is not bound (a [`Destination`]), so
//! that everything a gateway can do to a request holds here too. What nobody here has dialled yet is
//! only in the snapshot's index of addresses.

mod parts;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use weft_model::Snapshot;
use weft_model::backend::{self, Endpoints};
use weft_model::id::WorkloadName;
use weft_model::listener::{Destination, Direction, Intake};
use weft_model::mesh::{
    Directory, MESH_PORT, MeshEndpoint, Mtls, Neighbours, Protocol, Service, ServiceDefaults,
    ServiceEndpoints, ServicePort, Transport, UnknownDestinations, Workload, WorkloadPort,
};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;

use crate::state::State;
use parts::{Meant, Parts};

/// What a proxy is, which does not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRole {
    /// The workload that it is beside.
    pub workload: WorkloadName,
    /// Where it listens.
    pub ports: Ports,
    /// How connections come to it.
    pub mode: Mode,
}

/// The ports of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// For what leaves the workload.
    pub outbound: u16,
    /// For what is captured on its way to the workload.
    pub inbound: u16,
    /// For other proxies.
    pub mesh: u16,
}

/// How connections come to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The kernel brings all of its workload's.
    Captured,
    /// The application uses it as a forward proxy at this address. What comes to the workload is not
    /// captured, except from other proxies.
    Explicit(IpAddr),
}

/// The plan of the proxy that has `state`.
///
/// Pure: the same for the same state and role, whatever was before. What is equal to the state and
/// plan before (of the same role) keeps its `Arc` from there.
pub fn assemble(state: &State, role: &ProxyRole, before: Option<(&State, &Snapshot)>) -> Snapshot {
    let same_index = before.filter(|(before, _)| Arc::ptr_eq(&before.index, &state.index));
    let services = &state.index;
    let mut parts = Parts::new(before.map(|(_, snapshot)| snapshot));
    let workload = state.workload.as_ref().map(|has| &*has.value);
    bound(&mut parts, role, workload);
    for (name, has) in state.services.iter() {
        // It depends on the index, too: two services may claim one address.
        parts.keep = same_index.is_some_and(|(before, _)| {
            before.services.get(name).is_some_and(|old| Arc::ptr_eq(&old.value, &has.value))
        });
        outbound(&mut parts, &has.value, services);
    }
    parts.keep = false;
    unknown(&mut parts, workload);
    if let Some(workload) = workload {
        inbound(&mut parts, workload);
    }
    let Parts { listeners, backends, .. } = parts;
    let networks = workload.map(|own| own.networks.clone()).unwrap_or_default();
    let neighbours = Neighbours { networks, missing: Arc::clone(&state.missing) };
    let (generation, services) = (state.generation, Arc::clone(services));
    Snapshot { generation, listeners, backends, services, neighbours, ..Snapshot::default() }
}

// === impl Ports ===

impl Default for Ports {
    /// Those of Istio.
    fn default() -> Self {
        Self { outbound: 15001, inbound: 15006, mesh: MESH_PORT }
    }
}

// === functions ===

/// Where connections arrive.
fn bound(parts: &mut Parts<'_>, role: &ProxyRole, workload: Option<&Workload>) {
    let Ports { outbound, inbound, mesh } = role.ports;
    match role.mode {
        Mode::Captured => {
            // A system without IPv6 has no such address, and cannot listen on one either.
            let has_v6 = workload.is_some_and(|own| own.addrs.iter().any(IpAddr::is_ipv6));
            let ip = match has_v6 {
                true => IpAddr::from(Ipv6Addr::UNSPECIFIED),
                false => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            };
            let captured = [("outbound", outbound, Direction::Outbound)];
            let captured = captured.into_iter().chain([("inbound", inbound, Direction::Inbound)]);
            for (id, port, direction) in captured {
                parts.bound(id, SocketAddr::new(ip, port), Intake::Captured(direction));
            }
            parts.bound("mesh", SocketAddr::new(ip, mesh), Intake::Mesh);
        }
        Mode::Explicit(ip) => {
            parts.bound("outbound", SocketAddr::new(ip, outbound), Intake::Explicit);
            parts.bound("mesh", SocketAddr::new(ip, mesh), Intake::Mesh);
        }
    }
}

/// What a service is called by.
fn outbound(parts: &mut Parts<'_>, service: &Service, services: &Directory) {
    let entry = &service.entry;
    for port in &entry.ports {
        let id = format!("outbound/{}:{}", entry.name, port.number);
        // Of an address that two services claim, the index knows whose it is.
        let is_ours = |ip: &IpAddr| {
            let holder = services.holder(SocketAddr::new(*ip, port.number));
            holder.is_none_or(|holder| holder.name() == entry.name.as_str())
        };
        let addrs: Box<[IpAddr]> = entry.addrs.iter().copied().filter(is_ours).collect();
        let (number, protocol) = (Some(port.number), port.protocol);
        if !addrs.is_empty() {
            parts.destination(&id, || {
                call(service, addrs, number, protocol, endpoints(service, port))
            });
        }
        for ip in entry.endpoint_addrs.iter().copied().filter(is_ours) {
            parts.destination(&format!("{id}/{ip}"), || {
                let at = service.at(SocketAddr::new(ip, port.number));
                let only = at.and_then(|known| endpoint(known, port.number));
                let only = Endpoints::Static(only.into_iter().collect());
                call(service, [ip].into(), number, protocol, only)
            });
        }
    }
    // A workload that is called by its address takes other ports, too.
    let mut known = service.endpoints.known().iter();
    if let Some(whole) = known.find(|known| known.ports.is_empty()) {
        parts.destination(&format!("outbound/{}:*", entry.name), || {
            let endpoints = match &whole.transport {
                Transport::Plain => Endpoints::Dialled,
                Transport::Mesh(peer) => Endpoints::DialledThrough(Arc::new(peer.clone())),
            };
            call(service, entry.addrs.clone(), None, Protocol::Detect, endpoints)
        });
    }
}

fn call(
    service: &Service,
    addrs: Box<[IpAddr]>,
    port: Option<u16>,
    protocol: Protocol,
    endpoints: Endpoints,
) -> Meant {
    Meant {
        kind: "Service",
        destination: Destination {
            direction: Direction::Outbound,
            addrs,
            port,
            protocol,
            name: service.entry.name.as_str().into(),
            mtls: Mtls::Permissive,
            closed: None,
        },
        endpoints,
        defaults: service.defaults.clone(),
    }
}

/// The endpoints of one port of a service.
pub(crate) fn endpoints(service: &Service, port: &ServicePort) -> Endpoints {
    match &service.endpoints {
        ServiceEndpoints::Known(known) => {
            let endpoint = |known: &MeshEndpoint| endpoint(known, port.number);
            Endpoints::Static(known.iter().filter_map(endpoint).collect())
        }
        ServiceEndpoints::Dns { name, ports } => {
            match ports.iter().find(|(number, _)| *number == port.number) {
                Some((_, port)) => Endpoints::Dns { name: name.clone(), port: *port },
                None => Endpoints::Static([].into()),
            }
        }
        ServiceEndpoints::Dialled => Endpoints::Dialled,
    }
}

fn endpoint(known: &MeshEndpoint, service_port: u16) -> Option<backend::Endpoint> {
    let addr = known.addr(service_port)?;
    let peer = match &known.transport {
        Transport::Plain => None,
        Transport::Mesh(peer) => Some(Arc::new(peer.clone())),
    };
    Some(backend::Endpoint { addr, weight: known.weight, zone: known.zone.clone(), peer })
}

/// What becomes of calls to what the mesh does not know.
fn unknown(parts: &mut Parts<'_>, workload: Option<&Workload>) {
    let closed = match workload.map(|own| own.unknown) {
        Some(UnknownDestinations::Allow) => None,
        Some(UnknownDestinations::Refuse) => Some("only what the mesh knows may be called"),
        // Perhaps it may not.
        None => Some("the control plane has not said yet what this workload may call"),
    };
    parts.destination("outbound/unknown", || Meant {
        kind: "Workload",
        destination: Destination {
            direction: Direction::Outbound,
            addrs: [].into(),
            port: None,
            protocol: Protocol::Detect,
            name: "unknown".into(),
            mtls: Mtls::Permissive,
            closed: closed.map(|detail| Refusal {
                reason: Reason::UnknownDestination,
                detail: detail.into(),
            }),
        },
        endpoints: Endpoints::Dialled,
        defaults: ServiceDefaults::DEFAULT,
    });
}

/// What others call the workload by. The endpoint is the address that they have dialled, which is
/// one of the workload's own: nobody is led anywhere else.
fn inbound(parts: &mut Parts<'_>, workload: &Workload) {
    let Workload { name, identity: _, addrs, ports, mtls, closed, unknown: _, networks: _ } =
        workload;
    let mut meant = |id: &str, port, protocol, mtls, closed: &Option<Refusal>| {
        parts.destination(id, || Meant {
            kind: "Workload",
            destination: Destination {
                direction: Direction::Inbound,
                addrs: addrs.clone(),
                port,
                protocol,
                name: name.as_str().into(),
                mtls,
                closed: closed.clone(),
            },
            endpoints: Endpoints::Dialled,
            defaults: ServiceDefaults::DEFAULT,
        });
    };
    if addrs.is_empty() {
        // No address would stand for all addresses.
        return;
    }
    for port in ports {
        let WorkloadPort { number, protocol, mtls, closed } = port;
        meant(&format!("inbound/{number}"), Some(*number), *protocol, *mtls, closed);
    }
    meant("inbound/other", None, Protocol::Detect, *mtls, closed);
}
