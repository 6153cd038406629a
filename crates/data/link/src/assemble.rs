//! From what a proxy has of the mesh to the plan that it serves by.
//!
//! Connections are captured by a few bound listeners, whatever address they were made to. For each
//! address that something is known of there is a listener that is not bound (a [`Destination`]), so
//! that everything a gateway can do to a request holds here too. What nobody here has dialled yet is
//! only in the snapshot's index of addresses.

mod egress;
mod outside;
mod parts;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoint, Endpoints, HostHeader};
use weft_model::calling::Calling;
use weft_model::id::{BackendId, RouteId, ServiceName, WorkloadName};
use weft_model::listener::{Destination, Direction, Intake};
use weft_model::mesh::{
    Directory, MESH_PORT, Mtls, Neighbours, Protocol, Service, ServiceEndpoints, ServicePort,
    Transport, Workload, WorkloadPort,
};
use weft_model::policy::{Refusal, Step};

use crate::resolve::{self, Caller, Resolved, Resolver};
use crate::state::State;
use egress::Scope;
use parts::{Meant, Parts};
use rules::Rules;

pub(crate) use rules::led_to;

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

/// A plan while it is put together.
struct Assembly<'a> {
    state: &'a State,
    /// The state before, if it differs in services alone.
    before: Option<&'a State>,
    scope: Scope<'a>,
    /// The services that may be called.
    services: Arc<Directory>,
    resolver: Resolver<'a>,
    parts: Parts<'a>,
    lines: HashMap<RouteId, u32>,
}

/// The plan of the proxy that has `state`.
///
/// Pure: the same for the same state and role, whatever was before. What is equal to the state and
/// plan before (of the same role) keeps its `Arc` from there.
pub fn assemble(state: &State, role: &ProxyRole, before: Option<(&State, &Snapshot)>) -> Snapshot {
    let workload = state.workload.as_ref().map(|has| &*has.value);
    let mut assembly = Assembly::new(state, role, before);
    bound(&mut assembly.parts, role, workload);
    for (name, has) in state.services.iter() {
        // It depends on the index, too: two services may claim one address. And on the caller, whom
        // some rules are not for.
        assembly.parts.keep = assembly.is_same(name);
        assembly.outbound(&has.value);
    }
    assembly.parts.keep = false;
    assembly.outside(workload);
    if let Some(workload) = workload {
        inbound(&mut assembly.parts, workload);
    }
    let Assembly { scope, services, parts, lines, .. } = assembly;
    let Parts { listeners, backends, sources, .. } = parts;
    let networks = workload.filter(|_| scope.has_addresses()).map(|own| own.networks.clone());
    let neighbours =
        Neighbours { networks: networks.unwrap_or_default(), missing: Arc::clone(&state.missing) };
    let generation = state.generation;
    Snapshot { generation, listeners, backends, lines, sources, services, neighbours }
}

// === impl Ports ===

impl Default for Ports {
    /// Those of Istio.
    fn default() -> Self {
        Self { outbound: 15001, inbound: 15006, mesh: MESH_PORT }
    }
}

// === impl Assembly ===

impl<'a> Assembly<'a> {
    fn new(
        state: &'a State,
        role: &'a ProxyRole,
        before: Option<(&'a State, &'a Snapshot)>,
    ) -> Self {
        let workload = state.workload.as_ref().map(|has| &*has.value);
        let scope = Scope::new(workload);
        let same = before.filter(|(before, _)| {
            Arc::ptr_eq(&before.index, &state.index) && is_same_workload(before, state)
        });
        let services = match same {
            Some((_, snapshot)) => Arc::clone(&snapshot.services),
            None => scope.directory(&state.index),
        };
        Self {
            state,
            before: same.map(|(before, _)| before),
            scope,
            services,
            resolver: Resolver::sidecar(&state.services, Caller::new(&role.workload, workload)),
            parts: Parts::new(before.map(|(_, snapshot)| snapshot)),
            lines: HashMap::new(),
        }
    }

    /// Whether a service is as it was.
    fn is_same(&self, name: &ServiceName) -> bool {
        self.before.is_some_and(|before| {
            match (before.services.get(name), self.state.services.get(name)) {
                (Some(before), Some(now)) => Arc::ptr_eq(&before.value, &now.value),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
        })
    }

    /// What a service is called by.
    fn outbound(&mut self, service: &Service) {
        let entry = &service.entry;
        for port in &entry.ports {
            if !self.scope.has(entry.name.as_str(), Some(port.number)) {
                continue;
            }
            let id = format!("outbound/{}:{}", entry.name, port.number);
            // Of an address that two services claim, the index knows whose it is.
            let services = Arc::clone(&self.services);
            let is_ours = |ip: &IpAddr| {
                let holder = services.holder(SocketAddr::new(*ip, port.number));
                holder.is_none_or(|holder| holder.name() == entry.name.as_str())
            };
            let addrs: Box<[IpAddr]> = entry.addrs.iter().copied().filter(is_ours).collect();
            if !addrs.is_empty() {
                let own = match self.is_as_dialled(service, port) {
                    true => backend(&id, port.protocol, Endpoints::Dialled),
                    false => whole(service, port),
                };
                self.call(service, Some(port), &id, addrs, &own);
            }
            for ip in entry.endpoint_addrs.iter().copied().filter(is_ours) {
                let id = format!("{id}/{ip}");
                let at = service.at(SocketAddr::new(ip, port.number));
                let only = at.and_then(|known| resolve::endpoint(known, port.number));
                let only = Endpoints::Static(only.into_iter().collect());
                let own = backend(&id, port.protocol, only);
                self.call(service, Some(port), &id, [ip].into(), &own);
            }
        }
        // A workload that is called by its address takes other ports, too.
        let mut known = service.endpoints.known().iter();
        if let Some(whole) = known.find(|known| known.ports.is_empty())
            && self.scope.has(entry.name.as_str(), None)
        {
            let endpoints = match &whole.transport {
                Transport::Plain => Endpoints::Dialled,
                Transport::Mesh(peer) => Endpoints::DialledThrough(Arc::new(peer.clone())),
            };
            let id = format!("outbound/{}:*", entry.name);
            let own = backend(&id, Protocol::Detect, endpoints);
            self.call(service, None, &id, entry.addrs.clone(), &own);
        }
    }

    /// Whether callers reach the very address that they have dialled.
    fn is_as_dialled(&self, service: &Service, port: &ServicePort) -> bool {
        let entry = self.resolver.entry(service, port.number, None);
        service.endpoints == ServiceEndpoints::Dialled
            || entry.is_some_and(|entry| entry.calling.as_dialled)
    }

    /// A destination of the service, and the backends that its routes lead to. `own` is the one that
    /// stands for what was dialled.
    fn call(
        &mut self,
        service: &Service,
        port: Option<&ServicePort>,
        id: &str,
        addrs: Box<[IpAddr]>,
        own: &Backend,
    ) {
        let is_address = !matches!(own.endpoints, Endpoints::Service { .. });
        let caller = self.resolver.caller();
        let listener = self.parts.destination(id, || {
            let rules = port.map(|port| {
                let rules = Rules::new(&service.traffic, &caller, port.number);
                match is_address {
                    true => rules.at_address(service, port.number, &own.id),
                    false => rules,
                }
            });
            Meant {
                kind: "Service",
                destination: Destination {
                    direction: Direction::Outbound,
                    addrs,
                    range: None,
                    port: port.map(|port| port.number),
                    protocol: port.map(|port| port.protocol).unwrap_or_default(),
                    name: service.entry.name.as_str().into(),
                    mtls: Mtls::Permissive,
                    closed: None,
                },
                backend: own.id.clone(),
                rules: rules.unwrap_or_default(),
                first: Rules::default(),
                steps: Arc::default(),
            }
        });
        let resolver = self.resolver;
        for named in rules::named(&listener) {
            if named == own.id && is_address {
                let make = || resolver.resolve_at(own.clone(), service, port);
                self.parts.backend(&named, self.parts.keep, make);
                continue;
            }
            let meant = match service.traffic.backends.get(&named) {
                _ if named == own.id => own,
                Some(known) => known,
                // A route to what nobody has described is answered by the proxy.
                None => continue,
            };
            let is_same = self.parts.keep
                && match &meant.endpoints {
                    Endpoints::Service { name, .. } => self.is_same(name),
                    _ => true,
                };
            self.parts.backend(&named, is_same, || resolver.resolve(meant));
        }
        let lines = &service.traffic.lines;
        if !lines.is_empty() {
            let ids = rules::ids(&listener).filter_map(|id| lines.get_key_value(id));
            self.lines.extend(ids.map(|(id, line)| (id.clone(), *line)));
        }
    }
}

// === functions ===

fn is_same_workload(before: &State, now: &State) -> bool {
    match (&before.workload, &now.workload) {
        (Some(before), Some(now)) => Arc::ptr_eq(&before.value, &now.value),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The backend of a port of a service, wherever it runs: the same for those who have dialled it and
/// those whom a rule leads to it.
fn whole(service: &Service, port: &ServicePort) -> Backend {
    let id = format!("{}:{}", service.entry.name, port.number);
    if let Some(known) = service.traffic.backends.get(&*id) {
        return Backend::clone(known);
    }
    let name = service.entry.name.clone();
    let endpoints = Endpoints::Service { name, port: port.number, subset: None };
    backend(&id, port.protocol, endpoints)
}

fn backend(id: &str, protocol: Protocol, endpoints: Endpoints) -> Backend {
    Backend {
        id: BackendId::new(id),
        endpoints,
        protocol: resolve::spoken(protocol),
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }
}

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

/// What others call the workload by. The endpoint is the address that they have dialled, which is
/// one of the workload's own: nobody is led anywhere else.
fn inbound(parts: &mut Parts<'_>, workload: &Workload) {
    if workload.addrs.is_empty() {
        // No address would stand for all addresses.
        return;
    }
    let destination =
        |addrs: &[IpAddr], port, protocol, mtls, closed: &Option<Refusal>| Destination {
            direction: Direction::Inbound,
            addrs: addrs.into(),
            range: None,
            port,
            protocol,
            name: workload.name.as_str().into(),
            mtls,
            closed: closed.clone(),
        };
    for port in &workload.ports {
        let WorkloadPort { number, protocol, mtls, closed, steps, calling, forward } = port;
        let id = format!("inbound/{number}");
        let steps = joined(&workload.steps, steps);
        let mut serve = |id: &str, addrs: &[IpAddr], endpoints| {
            let destination = destination(addrs, Some(*number), *protocol, *mtls, closed);
            let own = application(id, *protocol, endpoints, calling.as_ref());
            plain(parts, id, destination, Arc::clone(&steps), own);
        };
        match forward {
            None => serve(&id, &workload.addrs, Endpoints::Dialled),
            // Each address keeps its own, so that nobody is led to one that is not served.
            Some(forward) => {
                for ip in workload.addrs.iter().copied() {
                    let only = Endpoint::new(SocketAddr::new(ip, *forward));
                    serve(&format!("{id}/{ip}"), &[ip], Endpoints::Static([only].into()));
                }
            }
        }
    }
    let id = "inbound/other";
    let Workload { addrs, mtls, closed, steps, .. } = workload;
    let destination = destination(addrs, None, Protocol::Detect, *mtls, closed);
    let own = application(id, Protocol::Detect, Endpoints::Dialled, None);
    plain(parts, id, destination, Arc::clone(steps), own);
}

/// The application, as it is called on one port.
fn application(
    id: &str,
    protocol: Protocol,
    endpoints: Endpoints,
    calling: Option<&Arc<Calling>>,
) -> Backend {
    let own = backend(id, protocol, endpoints);
    let upgrade = calling.map(|calling| calling.upgrade).unwrap_or_default();
    let spoken = resolve::upgraded(own.protocol, protocol, upgrade);
    Backend { protocol: spoken, calling: resolve::dialled(calling), ..own }
}

/// A destination without rules, and the one backend that stands for it.
fn plain(
    parts: &mut Parts<'_>,
    id: &str,
    destination: Destination,
    steps: Arc<[Arc<Step>]>,
    own: Backend,
) {
    let backend = own.id.clone();
    let listener = parts.destination(id, || Meant {
        kind: "Workload",
        destination,
        backend,
        rules: Rules::default(),
        first: Rules::default(),
        steps,
    });
    if rules::named(&listener).contains(&own.id) {
        let own_id = own.id.clone();
        parts.backend(&own_id, false, || Resolved { backend: own, sources: None });
    }
}

/// What is done on all ports, then what is done on one.
fn joined(all: &Arc<[Arc<Step>]>, one: &Arc<[Arc<Step>]>) -> Arc<[Arc<Step>]> {
    match (all.is_empty(), one.is_empty()) {
        (_, true) => Arc::clone(all),
        (true, false) => Arc::clone(one),
        (false, false) => all.iter().chain(one.iter()).cloned().collect(),
    }
}
