//! The mesh as its proxies know it.
//!
//! Three kinds of things are told apart by how they travel: the [`Index`] is known to every proxy
//! at all times; a [`Service`] to the proxies that have dialled it; a [`Workload`] to the proxy
//! beside it. `compile` makes all of them, `format/wire` carries them.

mod directory;
mod name;
mod neighbours;
mod registered;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::Generation;
use crate::backend::Backend;
use crate::calling::{Calling, CallingFor, Labels};
use crate::id::{BackendId, RouteId, ServiceName, WorkloadName};
use crate::identity::Identity;
use crate::policy::{Refusal, Step};
use crate::route::RouteSet;

pub use directory::{Changes, Directory, Listed};
pub use name::Named;
pub use neighbours::Neighbours;
pub use registered::{Phase, Registered, RegisteredPort, RegisteredWorkload};

/// The port on which proxies take each other's connections.
pub const MESH_PORT: u16 = 15008;

/// The whole mesh, one generation of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mesh {
    /// Its generation.
    pub generation: Generation,
    /// Every service, in short.
    pub index: Index,
    /// Every service, in full.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// Every workload that has a proxy, as a service of one endpoint that is called by its address
    /// and has the address for a name. They are in no index: whoever calls an address of
    /// [`Workload::networks`] asks.
    pub addresses: BTreeMap<IpAddr, Arc<Service>>,
    /// Every network outside of the mesh that documents speak of (Linkerd's EgressNetwork), as a
    /// service without addresses and ports, of which there are only rules. They are in no index:
    /// [`Workload::outside`] says whom they concern.
    pub networks: BTreeMap<ServiceName, Arc<Service>>,
    /// Every workload that has a proxy.
    pub workloads: BTreeMap<WorkloadName, Arc<Workload>>,
}

/// What every proxy knows of every service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    /// By name.
    pub entries: BTreeMap<ServiceName, Arc<IndexEntry>>,
}

/// What every proxy knows of one service: enough to resolve its name, to see that an address is
/// its, and to ask for the rest. Proxies keep it packed, in a [`Directory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its name.
    pub name: ServiceName,
    /// Its virtual addresses; empty for a headless service.
    pub addrs: Box<[IpAddr]>,
    /// The addresses of the endpoints of a headless service, which callers dial themselves; empty
    /// for all others.
    pub endpoint_addrs: Box<[IpAddr]>,
    /// Its ports.
    pub ports: Box<[ServicePort]>,
    /// Where its endpoints run.
    pub location: Location,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The number that callers dial.
    pub number: u16,
    /// Its name, perhaps empty.
    pub name: Box<str>,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// Where the endpoints of a service run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// Beside proxies that ask this mesh, all of them.
    Mesh,
    /// In the mesh too, but some or all of them without such a proxy: what is asked of calls where
    /// they arrive does not hold there.
    Unguarded,
    /// Elsewhere; they are never spoken to with the mesh's identity.
    External,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// Nobody has said; the first bytes of either side tell.
    #[default]
    Detect,
    /// HTTP/1.1, or HTTP/2 with prior knowledge as the client chooses.
    Http,
    /// HTTP/2 only, gRPC included.
    Http2,
    /// TLS that is the application's own and passes untouched.
    Tls,
    /// Anything; bytes are passed on both ways, whoever begins.
    Tcp,
}

/// A service in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// What everybody knows of it.
    pub entry: Arc<IndexEntry>,
    /// Where it runs.
    pub endpoints: ServiceEndpoints,
    /// What documents say of calls to it.
    pub traffic: Arc<Traffic>,
}

/// What documents say of calls to a service. Each proxy takes what is for its workload.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// How it is called: the first entry that fits holds, [`Calling::mesh`] without one.
    pub calling: Arc<[CallingFor]>,
    /// The rules: those of the first set that fits.
    pub routing: Box<[RouteSet]>,
    /// What the rules lead to.
    pub backends: BTreeMap<BackendId, Arc<Backend>>,
    /// The lines at which rules stand in their files, from 1.
    pub lines: BTreeMap<RouteId, u32>,
}

/// Where a service runs.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceEndpoints {
    /// Known addresses.
    Known(Arc<[MeshEndpoint]>),
    /// The answers of DNS for this name; each service port leads to the port beside it.
    Dns {
        /// Host name.
        name: Box<str>,
        /// Service port and port of the addresses.
        ports: Box<[(u16, u16)]>,
    },
    /// The address that the caller has dialled (ServiceEntry with resolution NONE).
    Dialled,
}

/// One place where a service runs, for some of the service's ports: where the way to a workload is
/// not the same for all ports, it comes once for each.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshEndpoint {
    /// The workload, for logs and metrics.
    pub workload: WorkloadName,
    /// Its address.
    pub ip: IpAddr,
    /// Service port and port of the workload. None at all stands for every port that no other
    /// endpoint of the service has, as it was dialled.
    pub ports: Arc<[(u16, u16)]>,
    /// Share among its siblings, at least 1.
    pub weight: u32,
    /// Where it runs: `region/zone/subzone`.
    pub locality: Option<Box<str>>,
    /// Those of its labels that some document about the service speaks of.
    pub labels: Arc<[(Box<str>, Box<str>)]>,
    /// Its own name below that of its headless service, such as `db-0` of a StatefulSet.
    pub hostname: Option<Box<str>>,
    /// How it is reached.
    pub transport: Transport,
}

/// How an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As it is: it has no proxy, or its policy forbids mutual TLS.
    Plain,
    /// Through its proxy, with mutual TLS.
    Mesh(Peer),
}

/// The proxy beside an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Where it takes connections of the mesh, port 15008 as a rule.
    pub addr: SocketAddr,
    /// Who it has to prove to be.
    pub identity: Identity,
}

/// What a proxy knows of the workload beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its name.
    pub name: WorkloadName,
    /// Who it is.
    pub identity: Identity,
    /// Its addresses; connections to them on a captured port are its own.
    pub addrs: Box<[IpAddr]>,
    /// The ports that something is known of.
    pub ports: Box<[WorkloadPort]>,
    /// Mutual TLS on all other ports.
    pub mtls: Mtls,
    /// Why nobody may call it: a document that protects it asks for what this version cannot do.
    pub closed: Option<Refusal>,
    /// What becomes of calls to what the mesh does not know.
    pub unknown: UnknownDestinations,
    /// The addresses outside of the mesh that documents speak of; the first that has an address
    /// holds for it.
    pub outside: Box<[Outside]>,
    /// Where workloads have their addresses: who calls one of these asks whose it is.
    pub networks: Box<[IpNet]>,
    /// Its labels.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Where it runs: `region/zone/subzone`.
    pub locality: Option<Box<str>>,
    /// The only services that it may call, if a document says so (Istio's `Sidecar`).
    pub egress: Option<Box<[Egress]>>,
    /// What is done to requests for its ports.
    pub steps: Arc<[Arc<Step>]>,
}

/// Addresses outside of the mesh that a document speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The addresses.
    pub range: AddressRange,
    /// Which of [`Mesh::networks`] has the rules.
    pub network: ServiceName,
}

/// Addresses next to each other, but for some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRange {
    /// The addresses.
    pub within: IpNet,
    /// Those of them that do not belong.
    pub except: Box<[IpNet]>,
}

/// Services that a workload may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Namespace of the services; `*` for all. A service whose name has none in it, such as a host
    /// outside of the cluster, is meant by `*` only.
    pub namespace: Box<str>,
    /// Their host; `*` for all, `*.suffix` for those below.
    pub host: Box<str>,
    /// Port; all when `None`.
    pub port: Option<u16>,
    /// Whether these may not be called, whatever the others say.
    pub excluded: bool,
}

/// A port of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadPort {
    /// Its number.
    pub number: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Mutual TLS on it.
    pub mtls: Mtls,
    /// Why nobody may call it.
    pub closed: Option<Refusal>,
    /// What is done to requests for it, after the workload's own.
    pub steps: Arc<[Arc<Step>]>,
    /// How the application is called, where a document says so.
    pub calling: Option<Arc<Calling>>,
    /// The port of the application, where it is another one (Istio's `defaultEndpoint`).
    pub forward: Option<u16>,
}

/// Whether callers have to prove who they are, in the terms of PeerAuthentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mtls {
    /// Plain connections are taken, and callers with a proxy use mutual TLS.
    #[default]
    Permissive,
    /// Plain connections are refused.
    Strict,
    /// Callers use plain connections.
    Disable,
}

/// What becomes of calls to what the mesh does not know, in the terms of Istio's
/// `outboundTrafficPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UnknownDestinations {
    /// They pass (`ALLOW_ANY`).
    #[default]
    Allow,
    /// They are refused (`REGISTRY_ONLY`).
    Refuse,
}

// === impl Location ===

impl Location {
    /// Whether it is in the mesh.
    pub fn is_inside(self) -> bool {
        self != Self::External
    }
}

// === impl IndexEntry ===

impl IndexEntry {
    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether it is known by the host alone that a request or TLS asks for: it runs elsewhere, and
    /// callers have addresses of their own for it.
    pub fn is_found_by_host(&self) -> bool {
        !self.location.is_inside() && self.addrs.is_empty()
    }
}

impl AsRef<Self> for IndexEntry {
    fn as_ref(&self) -> &Self {
        self
    }
}

// === impl Service ===

impl Service {
    /// The endpoints of that name below this headless service: one for each address, and for each
    /// way to it.
    pub fn named<'a>(&'a self, hostname: &'a str) -> impl Iterator<Item = &'a MeshEndpoint> + 'a {
        let is_meant =
            move |endpoint: &&MeshEndpoint| endpoint.hostname.as_deref() == Some(hostname);
        self.endpoints.known().iter().filter(is_meant)
    }

    /// The endpoint at the address that a caller of this headless service has dialled.
    pub fn at(&self, addr: SocketAddr) -> Option<&MeshEndpoint> {
        let is_there = |endpoint: &&MeshEndpoint| {
            endpoint.ip == addr.ip() && endpoint.addr(addr.port()).is_some()
        };
        self.endpoints.known().iter().find(is_there)
    }
}

// === impl ServiceEndpoints ===

impl ServiceEndpoints {
    /// The known addresses; none where they are found out elsewhere.
    pub fn known(&self) -> &[MeshEndpoint] {
        match self {
            Self::Known(endpoints) => endpoints,
            Self::Dns { .. } | Self::Dialled => &[],
        }
    }
}

// === impl Traffic ===

impl Traffic {
    /// How a caller calls a port of the service, or a subset of its endpoints; `None` for a subset
    /// that no document has for this caller.
    pub fn calling(
        &self,
        (namespace, labels): (&str, &Labels),
        port: u16,
        subset: Option<&str>,
    ) -> Option<&CallingFor> {
        self.calling.iter().find(|entry| {
            entry.audience.fits(namespace, labels)
                && entry.port.is_none_or(|only| only == port)
                && entry.subset.as_ref().map(|known| &*known.name) == subset
        })
    }
}

// === impl MeshEndpoint ===

impl MeshEndpoint {
    /// Where a connection to that port of the service goes.
    pub fn addr(&self, service_port: u16) -> Option<SocketAddr> {
        let port = self.ports.iter().find(|(number, _)| *number == service_port)?.1;
        Some(SocketAddr::new(self.ip, port))
    }
}

// === impl Workload ===

impl Workload {
    /// A workload of which nothing is known but its name: open, without addresses.
    pub fn new(name: WorkloadName, identity: Identity) -> Self {
        Self {
            name,
            identity,
            addrs: Box::default(),
            ports: Box::default(),
            mtls: Mtls::Permissive,
            closed: None,
            unknown: UnknownDestinations::Allow,
            outside: Box::default(),
            networks: Box::default(),
            labels: Box::default(),
            locality: None,
            egress: None,
            steps: Arc::default(),
        }
    }

    /// What is known of a port, or what holds for all others.
    pub fn port(&self, number: u16) -> WorkloadPort {
        self.ports.iter().find(|port| port.number == number).cloned().unwrap_or_else(|| {
            WorkloadPort {
                closed: self.closed.clone(),
                ..WorkloadPort::new(number, Protocol::Detect, self.mtls)
            }
        })
    }
}

// === impl AddressRange ===

impl AddressRange {
    /// Whether an address belongs to it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.within.contains(&ip) && !self.except.iter().any(|net| net.contains(&ip))
    }
}

// === impl WorkloadPort ===

impl WorkloadPort {
    /// A port that is open and has no policy of its own.
    pub fn new(number: u16, protocol: Protocol, mtls: Mtls) -> Self {
        Self {
            number,
            protocol,
            mtls,
            closed: None,
            steps: Arc::default(),
            calling: None,
            forward: None,
        }
    }
}
