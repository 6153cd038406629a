//! From a backend that names a service to one with its addresses, called as the service says.
//!
//! One implementation for sidecars ([`crate::assemble()`]) and gateways ([`crate::settle()`]).

mod locality;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use weft_model::backend::{Backend, Endpoint, Endpoints, UpstreamProtocol};
use weft_model::calling::{Calling, CallingFor, HttpUpgrade, Labels, Locality, Source, Subset};
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{
    MeshEndpoint, Protocol, Service, ServiceEndpoints, ServicePort, Transport, Workload,
};

use crate::state::Versioned;

/// How services are called that no document speaks of.
static MESH: LazyLock<Arc<Calling>> = LazyLock::new(|| Arc::new(Calling::mesh()));

/// The same at an address that was dialled.
static MESH_DIALLED: LazyLock<Arc<Calling>> =
    LazyLock::new(|| Arc::new(Calling { outlier: None, ..Calling::mesh() }));

/// The least that holds for services that a gateway's own documents lead to: endpoints that refuse
/// connections are set aside.
static GATEWAY: LazyLock<Arc<Calling>> =
    LazyLock::new(|| Arc::new(Calling { outlier: Calling::mesh().outlier, ..Calling::default() }));

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) labels: &'a Labels,
    /// `region/zone/subzone`.
    pub(crate) locality: Option<&'a str>,
}

/// Knows where services run, and how this caller calls them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver<'a> {
    services: &'a BTreeMap<ServiceName, Versioned<Service>>,
    caller: Caller<'a>,
    usual: &'static LazyLock<Arc<Calling>>,
    /// Whether what is spoken follows from the service's port alone.
    by_port: bool,
}

/// A backend with its addresses.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) backend: Backend,
    /// Where its settings come from, as far as documents of the service say anything.
    pub(crate) sources: Option<Arc<[Source]>>,
}

// === impl Caller ===

impl<'a> Caller<'a> {
    /// The workload of that name, as far as it is known.
    pub(crate) fn new(name: &'a WorkloadName, known: Option<&'a Workload>) -> Self {
        let namespace = name.as_str().split_once('/').map_or("", |(namespace, _)| namespace);
        Self {
            namespace,
            labels: known.map_or(&[], |own| &own.labels),
            locality: known.and_then(|own| own.locality.as_deref()),
        }
    }
}

// === impl Resolver ===

impl<'a> Resolver<'a> {
    /// For a sidecar.
    pub(crate) fn sidecar(
        services: &'a BTreeMap<ServiceName, Versioned<Service>>,
        caller: Caller<'a>,
    ) -> Self {
        Self { services, caller, usual: &MESH, by_port: true }
    }

    /// For a gateway.
    pub(crate) fn gateway(
        services: &'a BTreeMap<ServiceName, Versioned<Service>>,
        caller: Caller<'a>,
    ) -> Self {
        Self { services, caller, usual: &GATEWAY, by_port: false }
    }

    pub(crate) fn caller(&self) -> Caller<'a> {
        self.caller
    }

    /// The backend with addresses in place of a service: none where nothing is known of the service,
    /// or where it has no such port or part. One that names no service stays as it is.
    pub(crate) fn resolve(&self, backend: &Backend) -> Resolved {
        let Endpoints::Service { name, port, subset } = &backend.endpoints else {
            return Resolved { backend: backend.clone(), sources: None };
        };
        let nowhere = || Resolved {
            backend: Backend { endpoints: Endpoints::Static([].into()), ..backend.clone() },
            sources: None,
        };
        let Some(service) = self.services.get(name).map(|has| &*has.value) else {
            return nowhere();
        };
        let Some(known) = service.entry.port(*port) else { return nowhere() };
        let entry = self.entry(service, *port, subset.as_deref());
        if subset.is_some() && entry.is_none() {
            return nowhere();
        }
        let mut resolved = self.called(backend.clone(), known.protocol, entry);
        let part = entry.and_then(|entry| entry.subset.as_ref());
        let Backend { endpoints, calling, .. } = &mut resolved.backend;
        *endpoints = self.endpoints(service, known, part, calling.locality.as_deref());
        if calling.without_mesh_tls {
            past_proxies(endpoints);
        }
        resolved
    }

    /// The same for a backend that has its addresses, which are those of a port of that service.
    pub(crate) fn resolve_at(
        &self,
        backend: Backend,
        service: &Service,
        port: Option<&ServicePort>,
    ) -> Resolved {
        let entry = port.and_then(|port| self.entry(service, port.number, None));
        let protocol = port.map(|port| port.protocol).unwrap_or_default();
        let mut resolved = self.called(backend, protocol, entry);
        let Backend { endpoints, calling, .. } = &mut resolved.backend;
        if endpoints.is_dialled() {
            *calling = as_dialled(calling);
        }
        if calling.without_mesh_tls {
            past_proxies(endpoints);
        }
        resolved
    }

    /// What documents say of calls to a port of a service, or to a part of it.
    pub(crate) fn entry<'s>(
        &self,
        service: &'s Service,
        port: u16,
        subset: Option<&str>,
    ) -> Option<&'s CallingFor> {
        let Caller { namespace, labels, locality: _ } = self.caller;
        service.traffic.calling((namespace, labels), port, subset)
    }

    /// The backend, called as it says itself, and otherwise as the service says.
    fn called(
        &self,
        mut backend: Backend,
        protocol: Protocol,
        entry: Option<&CallingFor>,
    ) -> Resolved {
        let service = entry.map_or(&**self.usual, |entry| &entry.calling);
        let calling = overlaid(&backend.calling, service);
        let said = if self.by_port { spoken(protocol) } else { backend.protocol };
        backend.protocol = upgraded(said, protocol, calling.upgrade);
        backend.calling = guarded(calling);
        let sources = entry.map(|entry| Arc::clone(&entry.sources));
        Resolved { backend, sources: sources.filter(|sources| !sources.is_empty()) }
    }

    fn endpoints(
        &self,
        service: &Service,
        port: &ServicePort,
        part: Option<&Subset>,
        locality: Option<&Locality>,
    ) -> Endpoints {
        match &service.endpoints {
            ServiceEndpoints::Known(known) => {
                let is_part =
                    |known: &&MeshEndpoint| part.is_none_or(|part| part.fits(&known.labels));
                let known = known.iter().filter(is_part);
                let places = locality::placed(known, port.number, &self.caller, locality);
                Endpoints::Static(places.into())
            }
            // No label is known of what DNS says.
            _ if part.is_some_and(|part| !part.labels.is_empty()) => Endpoints::Static([].into()),
            ServiceEndpoints::Dns { name, ports } => {
                match ports.iter().find(|(number, _)| *number == port.number) {
                    Some((_, port)) => Endpoints::Dns { name: name.clone(), port: *port },
                    None => Endpoints::Static([].into()),
                }
            }
            // The caller has dialled another one; the name is what there is.
            ServiceEndpoints::Dialled => {
                Endpoints::Dns { name: service.entry.name.as_str().into(), port: port.number }
            }
        }
    }
}

// === functions ===

/// What was there before, if it is the same; otherwise with the parts that are.
pub(crate) fn keep(mut backend: Backend, before: Option<&Arc<Backend>>) -> Arc<Backend> {
    let Some(before) = before else { return Arc::new(backend) };
    if **before == backend {
        return Arc::clone(before);
    }
    if let (Endpoints::Static(have), Endpoints::Static(new)) =
        (&before.endpoints, &mut backend.endpoints)
        && have == new
    {
        *new = Arc::clone(have);
    }
    if before.calling == backend.calling {
        backend.calling = Arc::clone(&before.calling);
    }
    Arc::new(backend)
}

/// How something is called that no service stands for: as the mesh calls by itself, or as this
/// says; at an address that was dialled.
pub(crate) fn dialled(calling: Option<&Arc<Calling>>) -> Arc<Calling> {
    calling.map_or_else(|| Arc::clone(&MESH_DIALLED), as_dialled)
}

/// One endpoint of a service, for calls to that port of it.
pub(crate) fn endpoint(known: &MeshEndpoint, service_port: u16) -> Option<Endpoint> {
    let addr = known.addr(service_port)?;
    let peer = match &known.transport {
        Transport::Plain => None,
        Transport::Mesh(peer) => Some(Arc::new(peer.clone())),
    };
    let (weight, locality) = (known.weight, known.locality.clone());
    Some(Endpoint { addr, weight, locality, tier: 0, peer })
}

/// What is spoken to a backend of the mesh for calls to a port on which this is spoken.
pub(crate) fn spoken(protocol: Protocol) -> UpstreamProtocol {
    match protocol {
        Protocol::Detect | Protocol::Http => UpstreamProtocol::AsClient,
        Protocol::Http2 => UpstreamProtocol::Http2,
        Protocol::Tls | Protocol::Tcp => UpstreamProtocol::Http1,
    }
}

/// What is spoken where the settings ask for another version of HTTP.
pub(crate) fn upgraded(
    said: UpstreamProtocol,
    protocol: Protocol,
    upgrade: HttpUpgrade,
) -> UpstreamProtocol {
    match (protocol, upgrade) {
        (Protocol::Tls | Protocol::Tcp, _) | (_, HttpUpgrade::Default) => said,
        (_, HttpUpgrade::Http2) | (Protocol::Http2, HttpUpgrade::Never) => UpstreamProtocol::Http2,
        (_, HttpUpgrade::Never) => UpstreamProtocol::Http1,
        (_, HttpUpgrade::AsClient) => UpstreamProtocol::AsClient,
    }
}

/// An address that was dialled has no other beside it to go to.
fn as_dialled(calling: &Arc<Calling>) -> Arc<Calling> {
    match calling.outlier {
        None => Arc::clone(calling),
        Some(_) if Arc::ptr_eq(calling, &MESH) => Arc::clone(&MESH_DIALLED),
        Some(_) => Arc::new(Calling { outlier: None, ..Calling::clone(calling) }),
    }
}

/// The same addresses, as they are.
fn past_proxies(endpoints: &mut Endpoints) {
    match endpoints {
        Endpoints::Static(all) => {
            *all = all.iter().map(|one| Endpoint { peer: None, ..one.clone() }).collect();
        }
        Endpoints::DialledThrough(_) => *endpoints = Endpoints::Dialled,
        Endpoints::Dns { .. } | Endpoints::Dialled | Endpoints::Service { .. } => {}
    }
}

/// Places that fail are left for others only if it is noticed that they do.
fn guarded(calling: Arc<Calling>) -> Arc<Calling> {
    match (&calling.locality, calling.outlier) {
        (Some(_), None) => Arc::new(Calling { outlier: MESH.outlier, ..Calling::clone(&calling) }),
        _ => calling,
    }
}

/// What a backend says of itself, and what the service says where it says nothing.
fn overlaid(own: &Arc<Calling>, service: &Arc<Calling>) -> Arc<Calling> {
    let usual = Calling::default();
    if **own == usual {
        return Arc::clone(service);
    }
    fn either<T: Clone + PartialEq>(own: &T, usual: &T, service: &T) -> T {
        if own == usual { service.clone() } else { own.clone() }
    }
    let Calling {
        picker,
        as_dialled,
        key,
        sticky,
        locality,
        outlier,
        slow_start,
        retry_budget,
        limits,
        endpoint_limits,
        pool,
        tls,
        without_mesh_tls,
        adaptive,
        hedge,
        retries_across_hops,
        ignores_deadlines,
        bias,
        tunnel,
        proxy_protocol,
        upgrade,
    } = &**own;
    Arc::new(Calling {
        picker: either(picker, &usual.picker, &service.picker),
        as_dialled: *as_dialled || service.as_dialled,
        key: either(key, &usual.key, &service.key),
        sticky: either(sticky, &usual.sticky, &service.sticky),
        locality: either(locality, &usual.locality, &service.locality),
        outlier: either(outlier, &usual.outlier, &service.outlier),
        slow_start: either(slow_start, &usual.slow_start, &service.slow_start),
        retry_budget: either(retry_budget, &usual.retry_budget, &service.retry_budget),
        limits: either(limits, &usual.limits, &service.limits),
        endpoint_limits: either(endpoint_limits, &usual.endpoint_limits, &service.endpoint_limits),
        pool: either(pool, &usual.pool, &service.pool),
        tls: either(tls, &usual.tls, &service.tls),
        without_mesh_tls: *without_mesh_tls || service.without_mesh_tls,
        adaptive: either(adaptive, &usual.adaptive, &service.adaptive),
        hedge: either(hedge, &usual.hedge, &service.hedge),
        retries_across_hops: *retries_across_hops || service.retries_across_hops,
        ignores_deadlines: *ignores_deadlines || service.ignores_deadlines,
        bias: either(bias, &usual.bias, &service.bias),
        tunnel: either(tunnel, &usual.tunnel, &service.tunnel),
        proxy_protocol: either(proxy_protocol, &usual.proxy_protocol, &service.proxy_protocol),
        upgrade: either(upgrade, &usual.upgrade, &service.upgrade),
    })
}
