//! From a reference to a Service to addresses.
//!
//! Addresses come from the first of these that knows the service: `--backend`, the mesh if the
//! gateway is part of one, the Service with its EndpointSlices (or the older Endpoints),
//! EndpointSlices without a Service, a ServiceEntry for one of the service's host names.

mod export;
mod part;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rapidhash::fast::SeedableState;
use weft_model::backend::{Endpoint, Endpoints};
use weft_model::calling::Labels;
use weft_model::mesh::{Index, IndexEntry, Location, Protocol, ServicePort};
use weft_resources::duration::parse_duration;
use weft_resources::istio::{Resolution, ServiceEntry};
use weft_resources::kubernetes::endpoints::{EndpointPort, EndpointSlice};
use weft_resources::kubernetes::service::{PortRef, ServiceType};
use weft_resources::kubernetes::{Service, endpoints::SliceEndpoint};
use weft_resources::{Kind, Pos, Resource, Spanned};

use crate::context::{Context, Output};
use crate::options::Options;
use crate::remark::Place;
use crate::services::part::{Found, Part};

pub(crate) use export::{check_part, part_of};

/// What a reference to a port of a service leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resolved {
    /// The service's port number; with a port given by name, the number it stands for.
    pub(crate) port: u16,
    /// The port's name, empty when it has none.
    pub(crate) port_name: Box<str>,
    /// What is spoken, as `appProtocol` says.
    pub(crate) app_protocol: Option<Box<str>>,
    /// The addresses. None at all is possible: the service exists and has no endpoint.
    pub(crate) endpoints: Endpoints,
    /// The name of a Service of type ExternalName.
    pub(crate) external_name: Option<Box<str>>,
    /// How long the share of a new endpoint grows.
    pub(crate) slow_start: Duration,
    /// Endpoints were left out of which it is not known whether they have the labels asked for.
    pub(crate) is_unsure: bool,
}

/// Why a reference leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unresolved {
    /// Nothing by that name.
    #[error("service `{namespace}/{name}` is not found")]
    NotFound {
        /// Namespace.
        namespace: Box<str>,
        /// Name.
        name: Box<str>,
        /// The port asked for; `None` when it was left to the service.
        port: Option<Box<str>>,
    },
    /// The service has no such port.
    #[error("service `{service}` has no port `{port}`; it has {known}")]
    NoSuchPort {
        /// Namespace and name.
        service: Box<str>,
        /// The port asked for.
        port: Box<str>,
        /// The ports that exist.
        known: Box<str>,
    },
    /// An ExternalName service, and these are not allowed.
    #[error(
        "service `{service}` is an ExternalName, which `--allow-external-names` does not permit"
    )]
    ExternalName {
        /// Namespace and name.
        service: Box<str>,
    },
}

/// The resources that speak of one service. Kept from one world to the next while they are the
/// same, so that a route can tell by pointer whether its service changed.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) service: Option<Arc<Resource>>,
    slices: Vec<Arc<Resource>>,
    endpoints: Option<Arc<Resource>>,
    entries: Vec<Arc<Resource>>,
    /// What speaks of calls of it, oldest first.
    pub(crate) policies: Vec<Arc<Resource>>,
    /// The Pods at its endpoints, where it matters which labels these have.
    pods: Vec<Arc<Resource>>,
    /// The WorkloadEntries that its ServiceEntries select.
    workloads: Vec<Arc<Resource>>,
    /// The service of the mesh that it is.
    meshed: Option<Arc<IndexEntry>>,
}

/// What a gateway knows of the mesh that it is part of; of a gateway by itself, nothing.
#[derive(Clone, Copy)]
pub(crate) struct Meshed<'a> {
    pub(crate) index: &'a Index,
    /// What names of services end in, after `svc`.
    pub(crate) domain: &'a str,
}

/// Says what is wrong with Services and ServiceEntries. Said here, so that it is said once, whoever
/// refers to them.
pub(crate) fn check(context: &Context<'_>, out: &mut Output) {
    for resource in context.resources {
        let is_meshed = |host: &str| {
            let (name, namespace) = service_of_host(host, resource.namespace());
            let sources = context.services.sources(&namespace, &name);
            sources.is_some_and(|sources| sources.meshed.is_some())
        };
        let has_workload = |host: &str| {
            let (namespace, name) = context.services.of_host(host, resource.namespace());
            let sources = context.services.sources(&namespace, &name);
            sources.is_some_and(|sources| !sources.workloads.is_empty())
        };
        if let Kind::ServiceEntry(entry) = &resource.body
            && !entry.selector.is_empty()
            && !entry.hosts.iter().any(|host| is_meshed(host) || has_workload(host))
        {
            let place = Place::new(resource, Pos::default(), "spec.workloadSelector");
            place.warn_with(
                out,
                "no WorkloadEntry of the namespace has these labels, and Pods are known to a mesh \
                 alone: a gateway finds no endpoint",
                "add WorkloadEntries, or write `endpoints`",
            );
        }
        if let Some((name, place)) = part_of(resource)
            && !context.services.has_mesh()
        {
            let part = (resource.namespace(), name);
            let sources = context.services.sources(part.0, part.1);
            check_part(part, sources.and_then(|sources| sources.service()), place, out);
        }
        let Some(written) = written_slow_start(resource) else { continue };
        if parse_duration(written).is_err() {
            let path = "metadata.annotations.weftway.io/slow-start";
            let message = format!(
                "`{}` is not a duration; new endpoints get the share that --slow-start gives them",
                written.value
            );
            let place = Place::new(resource, written.at, path);
            place.error_with(out, message, "write a duration such as 30s, or 0s for none");
        }
    }
}

type Map<T> = HashMap<Box<str>, T, SeedableState<'static>>;

/// Everything that is known of services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    by_namespace: Map<Map<Arc<Sources>>>,
    /// The namespaces of the ServiceEntries for a host.
    homes: Map<Vec<Box<str>>>,
    has_mesh: bool,
}

// === impl Unresolved ===

impl Unresolved {
    /// What the user may do.
    pub(crate) fn fix(&self) -> String {
        match self {
            Self::NotFound { name, port, .. } => format!(
                "add the Service with its EndpointSlice, or start with --backend {name}:{}=ADDR",
                port.as_deref().unwrap_or("PORT")
            ),
            Self::NoSuchPort { .. } => "use one of the service's ports".into(),
            Self::ExternalName { .. } => "start with --allow-external-names".into(),
        }
    }
}

// === impl Sources ===

impl Sources {
    fn is_same(&self, other: &Self) -> bool {
        let same = |a: &Option<Arc<Resource>>, b: &Option<Arc<Resource>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let all = |a: &[Arc<Resource>], b: &[Arc<Resource>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        self.meshed == other.meshed
            && same(&self.service, &other.service)
            && same(&self.endpoints, &other.endpoints)
            && all(&self.slices, &other.slices)
            && all(&self.entries, &other.entries)
            && all(&self.policies, &other.policies)
            && all(&self.pods, &other.pods)
            && all(&self.workloads, &other.workloads)
    }

    /// Whether the mesh that the gateway is part of knows it.
    pub(crate) fn is_meshed(&self) -> bool {
        let service = self.service();
        let is_elsewhere =
            service.is_some_and(|service| matches!(service.kind, ServiceType::ExternalName(_)));
        self.meshed.is_some() && !is_elsewhere
    }

    /// Whether proxies of that mesh count and refuse calls of it where they arrive, all of them.
    pub(crate) fn is_guarded(&self) -> bool {
        self.meshed.as_ref().is_some_and(|entry| entry.location == Location::Mesh)
    }

    /// What the annotation of the Service says of slow start, or that of a ServiceEntry.
    fn slow_start(&self) -> Option<Duration> {
        let resources = self.service.iter().chain(&self.entries);
        let mut written = resources.filter_map(|resource| written_slow_start(resource));
        written.find_map(|text| parse_duration(text).ok())
    }

    pub(crate) fn service(&self) -> Option<&Service> {
        self.service.as_ref()?.body.as_service()
    }

    /// All endpoint slices, those of Endpoints included. EndpointSlices win where both exist: the
    /// cluster mirrors one into the other.
    fn slices(&self) -> Vec<&EndpointSlice> {
        let slices: Vec<&EndpointSlice> = self
            .slices
            .iter()
            .filter_map(|resource| match &resource.body {
                Kind::EndpointSlice(slice) => Some(&**slice),
                _ => None,
            })
            .collect();
        if !slices.is_empty() {
            return slices;
        }
        match self.endpoints.as_ref().map(|resource| &resource.body) {
            Some(Kind::Endpoints(endpoints)) => endpoints.subsets.iter().collect(),
            _ => slices,
        }
    }

    fn entries(&self) -> impl Iterator<Item = &ServiceEntry> {
        self.entries.iter().filter_map(|resource| match &resource.body {
            Kind::ServiceEntry(entry) => Some(&**entry),
            _ => None,
        })
    }
}

// === impl Meshed ===

impl<'a> Meshed<'a> {
    /// The services of the cluster, by name and namespace.
    fn services(self) -> impl Iterator<Item = (&'a str, &'a str, &'a Arc<IndexEntry>)> {
        self.index.entries.iter().filter(|(_, entry)| is_inside(entry)).filter_map(
            move |(name, entry)| {
                let inner = name.as_str().strip_suffix(self.domain)?.strip_suffix(".svc.")?;
                let (name, namespace) = inner.split_once('.')?;
                Some((name, namespace, entry))
            },
        )
    }
}

// === impl Services ===

impl Services {
    /// Collects what `resources` and the mesh say; sources that did not change keep their `Arc`
    /// from `before`.
    pub(crate) fn new<'a>(
        resources: impl IntoIterator<Item = &'a Arc<Resource>>,
        mesh: Meshed<'_>,
        before: Option<&Self>,
    ) -> Self {
        let mut found = Found::default();
        let mut others = Vec::new();
        for resource in resources {
            if !found.add(resource, mesh) {
                others.push(resource);
            }
        }
        for (name, namespace, entry) in mesh.services() {
            found.sources(namespace, name, |sources| sources.meshed = Some(Arc::clone(entry)));
        }
        found.join(mesh);
        part::attach(&mut found, &others, mesh.domain);
        let mut by_namespace = Map::default();
        for (namespace, services) in found.services {
            let mut here = Map::default();
            for (name, mut sources) in services {
                let old = before.and_then(|before| before.sources(&namespace, &name));
                let sources = match old.filter(|old| old.is_same(&sources)) {
                    Some(old) => Arc::clone(old),
                    None => {
                        sources.namespace.clone_from(&namespace);
                        sources.name.clone_from(&name);
                        Arc::new(sources)
                    }
                };
                here.insert(name, sources);
            }
            by_namespace.insert(namespace, here);
        }
        let has_mesh = !mesh.index.entries.is_empty();
        Self { by_namespace, homes: found.homes, has_mesh }
    }

    /// Whether the gateway is part of a mesh, whose control plane looks at the documents too.
    pub(crate) fn has_mesh(&self) -> bool {
        self.has_mesh
    }

    /// Whether some service runs in a Pod whose labels matter, or at a WorkloadEntry.
    pub(crate) fn knows_workload(&self, workload: &Resource) -> bool {
        let home = self.by_namespace.get(workload.namespace());
        let here = home.into_iter().flat_map(HashMap::values);
        here.flat_map(|sources| sources.pods.iter().chain(&sources.workloads))
            .any(|known| std::ptr::eq(&**known, workload))
    }

    /// All services, by namespace and name in order.
    pub(crate) fn all(&self) -> Vec<&Arc<Sources>> {
        let mut all: Vec<_> = self.by_namespace.values().flat_map(HashMap::values).collect();
        all.sort_by_key(|sources| (&sources.namespace, &sources.name));
        all
    }

    /// The namespace and name under which the service is known that Istio means by `host` in
    /// documents of `namespace`.
    pub(crate) fn of_host(&self, host: &str, namespace: &str) -> (Box<str>, Box<str>) {
        match self.homes.get(host).map(Vec::as_slice) {
            Some([first, rest @ ..]) if **first == *namespace || rest.is_empty() => {
                (first.clone(), host.into())
            }
            Some(homes) if homes.iter().any(|home| **home == *namespace) => {
                (namespace.into(), host.into())
            }
            Some([first, ..]) => (first.clone(), host.into()),
            Some([]) | None => {
                let (name, namespace) = service_of_host(host, namespace);
                (namespace, name)
            }
        }
    }

    /// The resources that speak of a service.
    pub(crate) fn sources(&self, namespace: &str, name: &str) -> Option<&Arc<Sources>> {
        self.by_namespace.get(namespace)?.get(name)
    }

    /// The addresses behind a port of a service.
    ///
    /// # Errors
    ///
    /// When the service or its port does not exist, or may not be used.
    pub(crate) fn resolve(
        &self,
        options: &Options,
        namespace: &str,
        name: &str,
        port: &PortRef,
    ) -> Result<Resolved, Unresolved> {
        self.resolve_part(options, namespace, name, port, &[])
    }

    /// The addresses of those endpoints that have `labels`. Of what the mesh knows all are given:
    /// there it is not decided here.
    ///
    /// # Errors
    ///
    /// As [`Services::resolve`].
    pub(crate) fn resolve_part(
        &self,
        options: &Options,
        namespace: &str,
        name: &str,
        port: &PortRef,
        labels: &Labels,
    ) -> Result<Resolved, Unresolved> {
        let part = Part::new(labels);
        let mut resolved = self.find(options, namespace, name, port, &part)?;
        let annotated = self.sources(namespace, name).and_then(|sources| sources.slow_start());
        resolved.slow_start = annotated.unwrap_or(options.slow_start);
        resolved.is_unsure = part.is_unsure();
        Ok(resolved)
    }

    fn find(
        &self,
        options: &Options,
        namespace: &str,
        name: &str,
        port: &PortRef,
        part: &Part<'_>,
    ) -> Result<Resolved, Unresolved> {
        let sources = self.sources(namespace, name);
        if let Some(resolved) = given(options, (namespace, name), port, sources, part) {
            return Ok(resolved);
        }
        let Some(sources) = sources else {
            return Err(Unresolved::NotFound {
                namespace: namespace.into(),
                name: name.into(),
                port: Some(port.to_string().into()),
            });
        };
        let label = || format!("{namespace}/{name}").into_boxed_str();
        let service = sources.service();
        if let Some(entry) = sources.meshed.as_ref().filter(|_| sources.is_meshed()) {
            return of_mesh(entry, service, port, label);
        }
        match service {
            Some(service) => of_service(options, sources, (service, port), part, label),
            None => of_slices(sources, port, part, label),
        }
    }

    /// The ports of a service that exists, TCP only.
    pub(crate) fn ports(&self, namespace: &str, name: &str) -> Vec<PortRef> {
        let Some(sources) = self.sources(namespace, name) else { return Vec::new() };
        if let Some(service) = sources.service() {
            let tcp = service.ports.iter().filter(|port| is_tcp(port.transport));
            return tcp.map(|port| PortRef::Number(port.port)).collect();
        }
        let meshed = sources.meshed.iter().flat_map(|entry| &entry.ports).map(|port| port.number);
        let slices = sources.slices.iter().flat_map(|resource| match &resource.body {
            Kind::EndpointSlice(slice) => &*slice.ports,
            _ => &[],
        });
        let sliced = slices.filter(|port| is_tcp(port.transport)).filter_map(|port| port.port);
        let written = sources.entries().flat_map(|entry| &entry.ports).map(|port| port.number);
        let mut ports: Vec<u16> = meshed.chain(sliced).chain(written).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.into_iter().map(PortRef::Number).collect()
    }
}

fn written_slow_start(resource: &Resource) -> Option<&Spanned<Box<str>>> {
    match &resource.body {
        Kind::Service(service) => service.slow_start.as_ref(),
        Kind::ServiceEntry(entry) => entry.slow_start.as_ref(),
        _ => None,
    }
}

/// Addresses from the command line.
fn given(
    options: &Options,
    (namespace, name): (&str, &str),
    port: &PortRef,
    sources: Option<&Arc<Sources>>,
    part: &Part<'_>,
) -> Option<Resolved> {
    let service = sources.and_then(|sources| sources.service());
    let known = service.and_then(|service| service.port(port));
    let number = match port {
        PortRef::Number(number) => *number,
        PortRef::Name(_) => known?.port,
    };
    let addrs = options.backend(namespace, name, number)?;
    let labels = |addr: &SocketAddr| sources?.pod_labels(addr.ip());
    let taken = addrs.iter().filter(|addr| part.takes(labels(addr)));
    Some(Resolved {
        port: number,
        port_name: known.map(|port| port.name.clone()).unwrap_or_default(),
        app_protocol: known.and_then(|port| port.app_protocol.clone()),
        endpoints: statics(taken.map(|addr| (*addr, None, 1))),
        external_name: None,
        slow_start: Duration::ZERO,
        is_unsure: false,
    })
}

/// What the mesh says. A Service knows its ports by names that the mesh may not have.
fn of_mesh(
    entry: &IndexEntry,
    service: Option<&Service>,
    port: &PortRef,
    label: impl Fn() -> Box<str>,
) -> Result<Resolved, Unresolved> {
    let written = service.and_then(|service| service.port(port));
    let is_meant = |known: &&ServicePort| match (port, written) {
        (_, Some(written)) => known.number == written.port,
        (PortRef::Number(number), None) => known.number == *number,
        (PortRef::Name(name), None) => known.name == *name,
    };
    let Some(known) = entry.ports.iter().find(is_meant) else {
        let listed = entry.ports.iter().map(|known| port_label(known.number, &known.name));
        return Err(no_such_port(port, listed, label()));
    };
    let declared = written.and_then(|written| written.app_protocol.clone());
    Ok(Resolved {
        port: known.number,
        port_name: known.name.clone(),
        app_protocol: declared.or_else(|| match known.protocol {
            Protocol::Http2 => Some("h2c".into()),
            Protocol::Detect | Protocol::Http | Protocol::Tls | Protocol::Tcp => None,
        }),
        endpoints: Endpoints::Service {
            name: entry.name.clone(),
            port: known.number,
            subset: None,
        },
        external_name: None,
        slow_start: Duration::ZERO,
        is_unsure: false,
    })
}

fn of_service(
    options: &Options,
    sources: &Sources,
    (service, port): (&Service, &PortRef),
    part: &Part<'_>,
    label: impl Fn() -> Box<str>,
) -> Result<Resolved, Unresolved> {
    let known = service.port(port);
    if let ServiceType::ExternalName(name) = &service.kind {
        if !options.allow_external_name_services {
            return Err(Unresolved::ExternalName { service: label() });
        }
        let number = match (known, port) {
            (Some(known), _) => known.port,
            // An ExternalName needs no port list: DNS has none either.
            (None, PortRef::Number(number)) => *number,
            (None, PortRef::Name(_)) => return Err(no_such_port_of(service, port, label())),
        };
        return Ok(Resolved {
            port: number,
            port_name: known.map(|port| port.name.clone()).unwrap_or_default(),
            app_protocol: known.and_then(|port| port.app_protocol.clone()),
            endpoints: Endpoints::Dns { name: name.clone(), port: number },
            external_name: Some(name.clone()),
            slow_start: Duration::ZERO,
            is_unsure: false,
        });
    }
    let Some(known) = known else { return Err(no_such_port_of(service, port, label())) };
    let mut addrs = Vec::new();
    let mut declared = known.app_protocol.as_ref();
    for slice in sources.slices() {
        let Some(port) = slice_port(slice, service, known) else { continue };
        let Some(target) = port.port else { continue };
        declared = declared.or(port.app_protocol.as_ref());
        addrs.extend(usable(sources, &slice.endpoints, target, part));
    }
    let endpoints = if addrs.is_empty() {
        entry_endpoints(sources, known.port, part).unwrap_or_else(|| statics(std::iter::empty()))
    } else {
        only_ready(addrs)
    };
    Ok(Resolved {
        port: known.port,
        port_name: known.name.clone(),
        app_protocol: declared.cloned(),
        endpoints,
        external_name: None,
        slow_start: Duration::ZERO,
        is_unsure: false,
    })
}

/// Slices without a Service: their ports are the service's.
fn of_slices(
    sources: &Sources,
    port: &PortRef,
    part: &Part<'_>,
    label: impl Fn() -> Box<str>,
) -> Result<Resolved, Unresolved> {
    let mut addrs = Vec::new();
    let mut found = None;
    let mut known = Vec::new();
    for slice in sources.slices() {
        for candidate in slice.ports.iter().filter(|port| is_tcp(port.transport)) {
            let Some(number) = candidate.port else { continue };
            known.push(number.to_string());
            let is_wanted = match port {
                PortRef::Number(wanted) => *wanted == number,
                PortRef::Name(wanted) => *wanted == candidate.name,
            };
            if is_wanted {
                addrs.extend(usable(sources, &slice.endpoints, number, part));
                found = Some((number, candidate));
            }
        }
    }
    if let Some((number, candidate)) = found {
        return Ok(Resolved {
            port: number,
            port_name: candidate.name.clone(),
            app_protocol: candidate.app_protocol.clone(),
            endpoints: only_ready(addrs),
            external_name: None,
            slow_start: Duration::ZERO,
            is_unsure: false,
        });
    }
    for entry in sources.entries() {
        for candidate in &entry.ports {
            known.push(candidate.number.to_string());
            let is_wanted = match port {
                PortRef::Number(wanted) => *wanted == candidate.number,
                PortRef::Name(wanted) => *wanted == candidate.name,
            };
            if !is_wanted {
                continue;
            }
            let endpoints = entry_endpoints(sources, candidate.number, part);
            return Ok(Resolved {
                port: candidate.number,
                port_name: candidate.name.clone(),
                app_protocol: (!candidate.protocol.is_empty())
                    .then(|| candidate.protocol.to_ascii_lowercase().into()),
                endpoints: endpoints.unwrap_or_else(|| statics(std::iter::empty())),
                external_name: None,
                slow_start: Duration::ZERO,
                is_unsure: false,
            });
        }
    }
    known.sort();
    known.dedup();
    Err(no_such_port(port, known.into_iter(), label()))
}

/// An endpoint with whether it is ready.
type Candidate = (SocketAddr, Option<Box<str>>, bool);

/// Endpoints that answer: ready ones, and those that are going away but still serve.
fn usable(
    sources: &Sources,
    endpoints: &[SliceEndpoint],
    port: u16,
    part: &Part<'_>,
) -> impl Iterator<Item = Candidate> {
    endpoints
        .iter()
        .filter(|endpoint| endpoint.ready || (endpoint.serving && endpoint.terminating))
        .flat_map(move |endpoint| {
            let ready = endpoint.ready && !endpoint.terminating;
            let taken = endpoint.addresses.iter().filter(|ip| part.takes(sources.pod_labels(**ip)));
            taken.map(move |ip| (SocketAddr::new(*ip, port), endpoint.zone.clone(), ready))
        })
}

/// The ready endpoints; when there are none, those that are going away but still serve, as
/// Kubernetes itself falls back.
fn only_ready(candidates: Vec<Candidate>) -> Endpoints {
    let any_ready = candidates.iter().any(|(_, _, ready)| *ready);
    let chosen = candidates.into_iter().filter(|(_, _, ready)| *ready || !any_ready);
    statics(chosen.map(|(addr, zone, _)| (addr, zone, 1)))
}

fn statics(addrs: impl Iterator<Item = (SocketAddr, Option<Box<str>>, u32)>) -> Endpoints {
    let mut endpoints: Vec<Endpoint> = addrs
        .map(|(addr, locality, weight)| Endpoint { weight, locality, ..Endpoint::new(addr) })
        .collect();
    // The order of documents says nothing, and duplicates would get a double share.
    endpoints.sort_by_key(|endpoint| endpoint.addr);
    endpoints.dedup_by_key(|endpoint| endpoint.addr);
    Endpoints::Static(endpoints.into())
}

/// The number of a Service port at the endpoints of one slice.
pub(crate) fn slice_port<'s>(
    slice: &'s EndpointSlice,
    service: &Service,
    wanted: &weft_resources::kubernetes::service::ServicePort,
) -> Option<&'s EndpointPort> {
    let mut tcp = slice.ports.iter().filter(|port| is_tcp(port.transport));
    if let Some(named) = tcp.clone().find(|port| port.name == wanted.name) {
        return Some(named);
    }
    // Hand-written slices often leave the name out. With one port there is nothing to confuse.
    let only = tcp.next().filter(|_| slice.ports.len() == 1 && service.ports.len() == 1);
    match (only, &wanted.target) {
        (Some(port), _) => Some(port),
        (None, PortRef::Number(target)) => {
            let is_meant = |port: &&EndpointPort| port.port == Some(*target);
            slice.ports.iter().filter(|port| is_tcp(port.transport)).find(is_meant)
        }
        (None, PortRef::Name(_)) => None,
    }
}

/// What the service's ServiceEntries say of a port.
fn entry_endpoints(sources: &Sources, number: u16, part: &Part<'_>) -> Option<Endpoints> {
    let (entry, port) = sources.entries().find_map(|entry| Some((entry, entry.port(number)?)))?;
    let selected = sources.workloads.iter().filter_map(|resource| match &resource.body {
        Kind::WorkloadEntry(workload) => Some(&**workload),
        _ => None,
    });
    let all = entry.endpoints.iter().chain(selected);
    let mut taken = all.filter(|one| part.takes(Some(&one.labels)));
    let addrs: Vec<_> = taken
        .clone()
        .filter_map(|endpoint| {
            let ip: IpAddr = endpoint.address.parse().ok()?;
            Some((SocketAddr::new(ip, endpoint.port(port)), endpoint.zone.clone(), endpoint.weight))
        })
        .collect();
    if !addrs.is_empty() {
        return Some(statics(addrs.into_iter()));
    }
    match entry.resolution {
        // The name is in the request, and no backend is made for each.
        Resolution::Static | Resolution::DynamicDns => None,
        Resolution::Dns | Resolution::DnsRoundRobin | Resolution::None => {
            let (name, port) = match taken.next() {
                Some(endpoint) => (endpoint.address.clone(), endpoint.port(port)),
                // No label is known of what DNS says.
                None if !part.takes(None) => return None,
                None => (entry.hosts.first()?.clone(), port.target),
            };
            Some(Endpoints::Dns { name, port })
        }
    }
}

fn no_such_port_of(service: &Service, port: &PortRef, label: Box<str>) -> Unresolved {
    let tcp = service.ports.iter().filter(|port| is_tcp(port.transport));
    no_such_port(port, tcp.map(|known| port_label(known.port, &known.name)), label)
}

fn no_such_port(
    port: &PortRef,
    known: impl Iterator<Item = String>,
    service: Box<str>,
) -> Unresolved {
    let known: Vec<String> = known.collect();
    Unresolved::NoSuchPort {
        service,
        port: port.to_string().into(),
        known: if known.is_empty() { "none".into() } else { known.join(", ").into() },
    }
}

fn port_label(number: u16, name: &str) -> String {
    if name.is_empty() { number.to_string() } else { format!("{number} ({name})") }
}

/// What runs elsewhere is reached as documents say, with or without a mesh.
fn is_inside(entry: &IndexEntry) -> bool {
    entry.location.is_inside()
}

fn is_tcp(transport: weft_resources::kubernetes::service::Transport) -> bool {
    transport == weft_resources::kubernetes::service::Transport::Tcp
}

/// The service that a host name stands for, seen from `namespace`: `greeter`, `greeter.shop`,
/// `greeter.shop.svc` and `greeter.shop.svc.cluster.local` are services; anything else is a
/// service by its whole name. One of several clusters, `greeter.shop.svc.clusterset.local`, is of the
/// namespace that it names.
pub(crate) fn service_of_host(host: &str, namespace: &str) -> (Box<str>, Box<str>) {
    let parts: Vec<&str> = host.split('.').collect();
    match parts.as_slice() {
        [_, other, "svc", "clusterset", "local"] => (host.into(), (*other).into()),
        [service, other] => ((*service).into(), (*other).into()),
        [service, other, "svc", ..] => ((*service).into(), (*other).into()),
        _ => (host.into(), namespace.into()),
    }
}
