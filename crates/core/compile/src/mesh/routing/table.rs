//! The rules for one service, of every dialect.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use weft_model::backend::{Backend, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::{Audience, Calling};
use weft_model::id::{BackendId, RouteId, ServiceName};
use weft_model::mesh::{Protocol, ServicePort};
use weft_model::route::{
    Affinity, Origin, Rank, Route, RouteSet, Routed, Target, TcpMatcher, TcpRoute, TcpTls,
};
use weft_resources::gateway_api::ObjectRef;
use weft_resources::{Key, Pos, Resource, linkerd, multicluster};

use super::precedence::{self, Table};
use super::view::{Note, View, World};
use super::{Made, gamma, outside, policy, profile, split, virtual_service};
use crate::context::Output;
use crate::dialect;
use crate::mesh::outside as networks;

/// The service whose rules are made.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s> {
    pub(super) name: &'s ServiceName,
    /// Its namespace; empty for a host that is none of the cluster's.
    pub(super) namespace: &'s str,
    pub(super) ports: &'s [ServicePort],
    pub(super) view: &'s View<'s>,
}

/// Rules while they are made, with the documents that they come from.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) http: Vec<Routed<Route>>,
    pub(super) tcp: Vec<Routed<TcpRoute>>,
}

/// Where the rules of one service are written.
pub(super) type Places = BTreeMap<RouteId, (Key, Pos)>;

/// Makes the rules for a service of the documents that speak of it, oldest first.
pub(super) fn make(
    name: &ServiceName,
    documents: &[&Arc<Resource>],
    world: &World<'_>,
) -> (Made, Box<[Note]>) {
    let view = View::new(world);
    let mut out = Output::default();
    let mut places = Places::new();
    let ports = view.ports(name).unwrap_or_default();
    let domain = &*view.scene().options.domain;
    let network = networks::named(name).map(|(namespace, _)| namespace);
    let namespace = network.or_else(|| namespace(name.as_str(), domain)).unwrap_or_default();
    let subject = Subject { name, namespace, ports, view: &view };
    let mut tables: Vec<Table<'_>> = Vec::new();
    tables.extend(gamma::tables(subject, documents, dialect::GATEWAY_API, &mut places, &mut out));
    tables.extend(virtual_service::tables(subject, documents, &mut places, &mut out));
    tables.extend(profile::tables(subject, documents, &mut places, &mut out));
    tables.extend(gamma::tables(subject, documents, dialect::LINKERD, &mut places, &mut out));
    tables.extend(profile::annotated(subject, documents, &mut places, &mut out));
    tables.extend(split::tables(subject, documents, &mut places, &mut out));
    let mut sets = precedence::settle(tables, &view, &mut out);
    outside::add_rest(subject, documents, &mut sets, &mut places, &mut out);
    add_shared(subject, &mut sets, &mut out);
    let (routes, led_to) = used(&sets);
    places.retain(|id, _| routes.contains(id));
    let mut backends = std::mem::take(&mut out.backends);
    backends.retain(|id, _| led_to.contains(id));
    let problems = out.into_problems();
    let made = Made { sets: sets.into(), backends, places, problems };
    (made, view.into_notes())
}

/// Puts in what policies at the service itself add to its rules.
fn add_shared(subject: Subject<'_>, sets: &mut [RouteSet], out: &mut Output) {
    let added = policy::of_service(subject.view, &subject.key(), out);
    if added.is_empty() {
        return;
    }
    for routed in sets.iter_mut().filter_map(|set| set.http.as_mut()).flatten() {
        added.apply(Arc::make_mut(&mut routed.route));
    }
}

/// What there is in sets: of a document that has lost, nothing is.
fn used(sets: &[RouteSet]) -> (HashSet<&RouteId>, HashSet<&BackendId>) {
    let (mut routes, mut backends) = (HashSet::new(), HashSet::new());
    for set in sets {
        for routed in set.http.iter().flatten() {
            routes.insert(&routed.route.id);
            backends.extend(routed.route.backends());
        }
        for routed in set.tcp.iter().flatten() {
            routes.insert(&routed.route.id);
            backends.extend(routed.route.target.backends());
        }
    }
    (routes, backends)
}

/// The namespace of a service of the cluster.
pub(super) fn namespace<'n>(name: &'n str, domain: &str) -> Option<&'n str> {
    let local = name.strip_suffix(domain)?.strip_suffix(".svc.")?;
    local.split_once('.').map(|(_, namespace)| namespace)
}

// === impl Subject ===

impl Subject<'_> {
    /// The key of the document that stands for it, if it is of this mesh.
    pub(super) fn key(&self) -> Key {
        match self.network() {
            Some(name) => Key::new(linkerd::GROUP, "EgressNetwork", self.namespace, name),
            None => {
                let name = self.name.as_str();
                let (group, kind) = match name.ends_with(multicluster::SUFFIX) {
                    true => (multicluster::GROUP, "ServiceImport"),
                    false => ("", "Service"),
                };
                let name = name.split('.').next().unwrap_or_default();
                Key::new(group, kind, self.namespace, name)
            }
        }
    }

    /// Whether a document in the namespace `home` means it by a reference.
    pub(super) fn is(&self, object: &ObjectRef, home: &str) -> bool {
        let namespace = object.namespace_or(home);
        match self.network() {
            Some(name) => {
                object.is(linkerd::GROUP, "EgressNetwork")
                    && namespace == self.namespace
                    && *object.name == *name
            }
            None => self.view.scene().referred(object, home).is_some_and(|name| name == *self.name),
        }
    }

    /// The name of the EgressNetwork, where it is one and no service.
    pub(super) fn network(&self) -> Option<&str> {
        networks::named(self.name).map(|(_, name)| name)
    }

    /// The backend of a port of a service, or of a part of it, as it is called by these rules.
    pub(super) fn backend(
        self,
        service: &ServiceName,
        port: &ServicePort,
        subset: Option<&str>,
        sticky: Option<Affinity>,
        out: &mut Output,
    ) -> BackendId {
        let mut id = format!("{service}:{}", port.number);
        if let Some(subset) = subset {
            id.push_str(&format!("/{subset}"));
        }
        if let Some(sticky) = &sticky {
            id.push_str(&sticky.suffix());
        }
        let calling = match sticky {
            None => Arc::default(),
            sticky => Arc::new(Calling { sticky, ..Calling::default() }),
        };
        out.backend(Arc::new(Backend {
            id: BackendId::new(id),
            endpoints: Endpoints::Service {
                name: service.clone(),
                port: port.number,
                subset: subset.map(Into::into),
            },
            protocol: match port.protocol {
                Protocol::Detect | Protocol::Http => UpstreamProtocol::AsClient,
                Protocol::Http2 => UpstreamProtocol::Http2,
                Protocol::Tls | Protocol::Tcp => UpstreamProtocol::Http1,
            },
            health_check: None,
            host: HostHeader::Pass,
            termination_delay: None,
            calling,
        }))
    }

    /// The ports on which requests of HTTP may come.
    pub(super) fn http_ports(&self) -> impl Iterator<Item = &ServicePort> {
        self.ports.iter().filter(|port| self.speaks_http(port))
    }

    /// Whether requests of HTTP may come on one of its ports.
    pub(super) fn speaks_http(&self, port: &ServicePort) -> bool {
        matches!(port.protocol, Protocol::Detect | Protocol::Http | Protocol::Http2)
    }

    /// The ports on which connections of bytes may come.
    pub(super) fn tcp_ports(&self) -> impl Iterator<Item = &ServicePort> {
        let speaks_bytes = |port: &&ServicePort| {
            matches!(port.protocol, Protocol::Detect | Protocol::Tcp | Protocol::Tls)
        };
        self.ports.iter().filter(speaks_bytes)
    }
}

/// A rule for all callers, for some ports.
pub(super) fn routed<T>(ports: &[u16], route: T) -> Routed<T> {
    Routed { audience: Audience::default(), ports: ports.into(), route: Arc::new(route) }
}

/// The place of a document that a rule comes from.
pub(super) fn origin(resource: &Resource, rule: String) -> Origin {
    Origin {
        kind: resource.key.kind.as_ref().into(),
        name: format!("{}/{}", resource.namespace(), resource.name()).into(),
        file: (&*resource.file).into(),
        rule: rule.into(),
    }
}

/// A rule for connections; `is_tls` for those of which a server name is known.
pub(super) fn tcp_route(
    (id, origin): (RouteId, Origin),
    rank: Rank,
    (matcher, is_tls): (TcpMatcher, bool),
    target: Target,
) -> TcpRoute {
    let tls = if is_tls { TcpTls::Passthrough } else { TcpTls::Plain };
    TcpRoute { id, origin, rank, matcher, tls, in_flight_max: None, allow: Vec::new(), target }
}

/// All ports of rules together; none stands for every port.
pub(super) fn union<'p>(ports: impl Iterator<Item = &'p [u16]>) -> Box<[u16]> {
    let mut all: Vec<u16> = Vec::new();
    for ports in ports {
        if ports.is_empty() {
            return Box::default();
        }
        all.extend(ports);
    }
    all.sort_unstable();
    all.dedup();
    all.into()
}
