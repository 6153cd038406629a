//! Linkerd's Server, what hangs on it, and the policy of ports that have none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weft_model::mesh::Protocol;
use weft_model::policy::{Refusal, Step};
use weft_resources::gateway_api::ParentRef;
use weft_resources::kubernetes::service::PortRef;
use weft_resources::linkerd::route::servers;
use weft_resources::linkerd::{
    Access, DEFAULT_INBOUND_POLICY, ProxyProtocol, RateLimitPolicy, Server,
};
use weft_resources::{Kind, Resource};

use super::{limits, overruled, unenforceable};
use crate::context::Output;
use crate::mesh::population::{Instance, Origin};
use crate::mesh::protocol;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// All Servers and what else says who may call.
pub(super) struct Servers<'a> {
    servers: HashMap<&'a str, Vec<Held<'a>>>,
    /// What annotations of namespaces say.
    defaults: HashMap<&'a str, PortAsked>,
    /// What annotations of Pods say, by Pod.
    pods: HashMap<(&'a str, &'a str), PortAsked>,
}

/// A Server with the first document that restricts it further.
struct Held<'a> {
    resource: &'a Resource,
    server: &'a Server,
    guard: Option<&'a Resource>,
    /// The oldest bound on its requests.
    limit: Option<(&'a Resource, Arc<Step>)>,
}

/// What is asked of the ports of one workload.
pub(super) struct Asked {
    others: PortAsked,
    /// Why every port is closed: a Server may be about any of them.
    all_closed: Option<Refusal>,
    ports: BTreeMap<u16, PortAsked>,
}

/// What is asked of one port.
#[derive(Debug, Clone, Default)]
pub(super) struct PortAsked {
    /// Callers have to prove who they are.
    pub(super) is_strict: bool,
    /// Why nobody may call it.
    pub(super) closed: Option<Refusal>,
    /// What is spoken on it.
    pub(super) protocol: Option<Protocol>,
    /// What is done to requests for it.
    pub(super) steps: Vec<Arc<Step>>,
}

// === impl Servers ===

impl<'a> Servers<'a> {
    pub(super) fn new(scene: &Scene<'a>, out: &mut Output) -> Self {
        let mut all =
            Self { servers: HashMap::new(), defaults: HashMap::new(), pods: HashMap::new() };
        for resource in scene.resources.iter().copied() {
            match &resource.body {
                Kind::Server(server) => {
                    remark(resource, server, out);
                    let held = Held { resource, server, guard: None, limit: None };
                    all.servers.entry(resource.namespace()).or_default().push(held);
                }
                Kind::Namespace(_) => {
                    if let Some(asked) = annotated(resource, out) {
                        all.defaults.insert(resource.name(), asked);
                    }
                }
                Kind::Pod(_) => {
                    if let Some(asked) = annotated(resource, out) {
                        all.pods.insert((resource.namespace(), resource.name()), asked);
                    }
                }
                _ => {}
            }
        }
        for resource in scene.resources.iter().copied() {
            match &resource.body {
                Kind::RateLimitPolicy(policy) if !policy.is_broken => {
                    all.limit(scene, resource, policy, out);
                }
                _ => all.guard(resource, out),
            }
        }
        all
    }

    /// Hangs a bound on requests on its Server.
    fn limit(
        &mut self,
        scene: &Scene<'_>,
        resource: &'a Arc<Resource>,
        policy: &RateLimitPolicy,
        out: &mut Output,
    ) {
        let place = Place::whole(resource);
        let name = policy.server.as_deref().unwrap_or_default();
        let here = self.servers.get_mut(resource.namespace()).map(Vec::as_mut_slice);
        let here = here.unwrap_or_default();
        let Some(held) = here.iter_mut().find(|held| held.resource.name() == name) else {
            place.warn(out, format!("there is no Server `{name}`, and nothing to protect"));
            return;
        };
        let spoken = held.server.protocol;
        if matches!(spoken, ProxyProtocol::Opaque | ProxyProtocol::Tls) {
            let message = "requests are not seen on a port that does not speak HTTP: the Server's \
                           port is closed";
            place.error(out, message);
            held.guard.get_or_insert(resource);
        } else if let Some((older, _)) = &held.limit {
            overruled(resource, older, out);
        } else {
            let step = limits::of_server(scene.options, resource, policy, out);
            held.limit = Some((resource, step));
        }
    }

    /// Hangs a document on the Servers that it restricts.
    fn guard(&mut self, resource: &'a Arc<Resource>, out: &mut Output) {
        let of_parents = |parents: &'a [ParentRef]| {
            servers(parents).map(|parent| &*parent.object.name).collect()
        };
        let names: Vec<&str> = match &resource.body {
            Kind::LinkerdHttpRoute(route) => of_parents(&route.route.parents),
            Kind::RateLimitPolicy(policy) => policy.server.as_deref().into_iter().collect(),
            Kind::HttpRoute(route) => of_parents(&route.parents),
            Kind::GrpcRoute(route) => of_parents(&route.parents),
            _ => return,
        };
        let is_broken = resource.body.is_broken();
        let place = Place::whole(resource);
        let here = self.servers.get_mut(resource.namespace()).map(Vec::as_mut_slice);
        let here = here.unwrap_or_default();
        if is_broken {
            place.error(out, "the Servers of its namespace are closed until it can be read");
        }
        for name in &names {
            if here.iter().any(|held| held.resource.name() == *name) {
                let message = format!(
                    "what it asks of the Server `{name}` is not evaluated by this version: the \
                     Server's port is closed"
                );
                place.error(out, message);
            } else {
                place.warn(out, format!("there is no Server `{name}`, and nothing to protect"));
            }
        }
        for held in here {
            if is_broken || names.contains(&held.resource.name()) {
                held.guard.get_or_insert(resource);
            }
        }
    }

    /// What is asked of a workload.
    pub(super) fn of(&self, instance: &Instance<'_>) -> Asked {
        let own = instance
            .resource()
            .and_then(|resource| self.pods.get(&(resource.namespace(), resource.name())));
        let others = own.or_else(|| self.defaults.get(instance.namespace)).cloned();
        let others = others.unwrap_or_default();
        let mut asked = Asked { others, all_closed: None, ports: BTreeMap::new() };
        let here = self.servers.get(instance.namespace).map(Vec::as_slice).unwrap_or_default();
        for held in here {
            let selector = held.server.selector.as_ref();
            if !selector.is_some_and(|selector| selector.is_match(&instance.labels)) {
                continue;
            }
            let ports: Vec<u16> = match &held.server.port {
                Some(PortRef::Number(number)) => vec![*number],
                Some(PortRef::Name(name)) => match (instance.named_port(name), instance.origin) {
                    (Some(number), _) => vec![number],
                    // Whoever registers a workload need not name its ports, so it may be any of
                    // those that no other Server is about.
                    (None, Origin::Node(_)) => {
                        asked.others.add(held);
                        asked.others.protocol = None;
                        continue;
                    }
                    // As in Linkerd, it is about declared ports.
                    (None, Origin::Pod(..) | Origin::Entry(..)) => continue,
                },
                // It may have been any.
                None => {
                    asked.all_closed.get_or_insert_with(|| unenforceable(held.resource));
                    continue;
                }
            };
            for port in ports {
                asked.ports.entry(port).or_default().add(held);
            }
        }
        asked
    }
}

// === impl Asked ===

impl Asked {
    /// What is asked of a port, or of those without a Server.
    pub(super) fn at(&self, port: Option<u16>) -> PortAsked {
        let own = port.and_then(|port| self.ports.get(&port));
        let mut asked = own.unwrap_or(&self.others).clone();
        asked.closed = asked.closed.or_else(|| self.all_closed.clone());
        asked
    }

    /// The ports with a Server.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.keys().copied()
    }
}

// === impl PortAsked ===

impl PortAsked {
    /// What holds where nothing else lets anybody in.
    fn new(resource: &Resource, access: Access) -> Self {
        let is_closed = match access {
            Access::AllUnauthenticated | Access::AllAuthenticated | Access::Audit => false,
            // The networks of the cluster are not known, nor who else is let in.
            Access::ClusterUnauthenticated | Access::ClusterAuthenticated | Access::Deny => true,
        };
        Self {
            is_strict: access == Access::AllAuthenticated,
            closed: is_closed.then(|| unenforceable(resource)),
            protocol: None,
            steps: Vec::new(),
        }
    }

    /// Adds what one of several Servers of a port asks for.
    fn add(&mut self, held: &Held<'_>) {
        let own = Self::new(held.resource, held.server.access);
        self.is_strict |= own.is_strict;
        let guarded = held.guard.map(unenforceable);
        let broken = held.server.is_broken.then(|| unenforceable(held.resource));
        self.closed = self.closed.take().or(own.closed).or(guarded).or(broken);
        self.protocol = self.protocol.or(protocol::of_server(held.server.protocol));
        self.steps.extend(held.limit.iter().map(|(_, step)| Arc::clone(step)));
    }
}

/// What an annotation says of ports without a Server. Whom a Pod refuses is its own proxy's affair;
/// callers only have to know whether it asks for mutual TLS.
fn annotated(resource: &Resource, out: &mut Output) -> Option<PortAsked> {
    let is_pod = matches!(resource.body, Kind::Pod(_));
    let annotation = resource.find_annotation(DEFAULT_INBOUND_POLICY)?;
    let text = &annotation.value;
    let path = format!("metadata.annotations.{DEFAULT_INBOUND_POLICY}");
    let place = Place::new(resource, annotation.at, &path);
    let Some(access) = Access::parse(text) else {
        let effect = if is_pod { "it has no effect" } else { "what it protects refuses all calls" };
        place.error(out, format!("`{text}` is not known: {effect}"));
        return Some(PortAsked { closed: Some(unenforceable(resource)), ..PortAsked::default() });
    };
    let asked = PortAsked::new(resource, access);
    if asked.closed.is_some() && is_pod {
        let message = format!("`{text}` has no effect here: the Pod's own proxy refuses calls");
        place.warn(out, message);
    } else if asked.closed.is_some() {
        let message = format!("`{text}` is not evaluated by this version: all calls are refused");
        place.error(out, message);
    } else if access == Access::Audit {
        place.warn(out, "calls are not noted down");
    }
    Some(asked)
}

/// Says what becomes of a Server that is not enforced as written.
fn remark(resource: &Resource, server: &Server, out: &mut Output) {
    let place = Place::whole(resource);
    if server.is_broken {
        place.error(out, "the ports that it may be about are closed until it can be read");
    } else if PortAsked::new(resource, server.access).closed.is_some() {
        let message = format!(
            "`{}` and authorizations are not evaluated by this version: the port is closed",
            server.access.as_str()
        );
        place.error(out, message);
    } else if server.access == Access::Audit {
        place.warn(out, "calls are not noted down");
    }
}
