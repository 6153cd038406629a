//! Which documents speak of the calls of which service.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use weft_model::id::ServiceName;
use weft_resources::gateway_api::{self, ParentRef};
use weft_resources::istio::virtual_service::VirtualService;
use weft_resources::linkerd::{self, CallAnnotations};
use weft_resources::{Kind, Pos, Resource};

use crate::context::Output;
use crate::mesh::draft::Drafts;
use crate::mesh::outside;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// Documents by the service that they speak of, oldest first.
pub(super) struct Speakers<'a> {
    by_service: BTreeMap<ServiceName, Vec<&'a Arc<Resource>>>,
}

/// What speakers are collected with.
struct Collector<'s, 'a> {
    scene: &'s Scene<'a>,
    drafts: &'s Drafts<'a>,
    by_service: BTreeMap<ServiceName, Vec<&'a Arc<Resource>>>,
}

// === impl Speakers ===

impl<'a> Speakers<'a> {
    /// Finds those of all documents. One that speaks of no service that there is, is told.
    pub(super) fn new(scene: &Scene<'a>, drafts: &Drafts<'a>, out: &mut Output) -> Self {
        let mut collector = Collector { scene, drafts, by_service: BTreeMap::new() };
        for resource in scene.resources.iter().copied() {
            collector.document(resource, out);
        }
        super::virtual_service::report_unused(scene, out);
        Self { by_service: collector.by_service }
    }

    pub(super) fn into_documents(
        self,
    ) -> impl Iterator<Item = (ServiceName, Vec<&'a Arc<Resource>>)> {
        self.by_service.into_iter()
    }
}

// === impl Collector ===

impl<'a> Collector<'_, 'a> {
    fn document(&mut self, resource: &'a Arc<Resource>, out: &mut Output) {
        match &resource.body {
            Kind::HttpRoute(route) => self.route(resource, &route.parents, out),
            Kind::GrpcRoute(route) => self.route(resource, &route.parents, out),
            Kind::LinkerdHttpRoute(route) if !route.is_broken => {
                self.route(resource, &route.route.parents, out);
            }
            Kind::TlsRoute(route) | Kind::TcpRoute(route) => {
                self.route(resource, &route.parents, out);
            }
            Kind::VirtualService(service) => self.virtual_service(resource, service, out),
            Kind::DestinationRule(rule) => {
                let policy = &rule.policy;
                if policy.timeout.is_some() || policy.retries.is_some() {
                    let name = self.scene.host(&rule.host, resource.namespace());
                    // That there is no such host is said where calls are.
                    self.speak_or(name, resource, || {});
                }
            }
            Kind::ServiceProfile(_) => {
                let name = ServiceName::new(resource.name());
                let message = format!("there is no service `{name}`, and nothing to say of it");
                let place = Place::new(resource, Pos::default(), "metadata.name");
                self.speak_or(name, resource, || place.warn(out, message));
            }
            Kind::TrafficSplit(split) => {
                let name = self.scene.host(&split.service, resource.namespace());
                let message = format!("there is no service `{name}`, so nothing is split");
                let place = Place::new(resource, Pos::default(), "spec.service");
                self.speak_or(name, resource, || place.error(out, message));
            }
            Kind::Service(service) if says_something(&service.calls) => {
                let name = self.scene.service_name(resource.namespace(), resource.name());
                self.speak(name, resource);
            }
            Kind::EgressNetwork(_) => {
                self.speak(outside::name(resource.namespace(), resource.name()), resource);
            }
            _ => {}
        }
    }

    /// A route of the Gateway API's shape.
    fn route(&mut self, resource: &'a Arc<Resource>, parents: &'a [ParentRef], out: &mut Output) {
        for (index, parent) in parents.iter().enumerate() {
            let object = &parent.object;
            let path = format!("spec.parentRefs[{index}]");
            let place = Place::new(resource, object.at, &path);
            if object.is(linkerd::GROUP, "EgressNetwork") {
                let namespace = object.namespace_or(resource.namespace());
                let network =
                    self.scene.get(linkerd::GROUP, "EgressNetwork", namespace, &object.name);
                match network {
                    Some(_) => self.speak(outside::name(namespace, &object.name), resource),
                    None => place.error(out, format!("there is no {object}")),
                }
            } else if let Some(name) = self.scene.referred(object, resource.namespace()) {
                let namespace = object.namespace_or(resource.namespace());
                let message = format!("there is no {} {namespace}/{}", object.kind, object.name);
                self.speak_or(name, resource, || place.error(out, message));
            } else if object.is(gateway_api::GROUP, "Service") {
                let message = "routes attach to Services of the core group only";
                place.error_with(out, message, "write group: \"\"");
            } else if object.is(linkerd::GROUP, "Server") || is_of_gateway(parent) {
                // What comes in is looked at elsewhere.
            } else {
                let message =
                    format!("routes do not attach to a {} ({})", object.kind, object.group);
                place.error(out, message);
            }
        }
    }

    fn virtual_service(
        &mut self,
        resource: &'a Arc<Resource>,
        service: &VirtualService,
        out: &mut Output,
    ) {
        if !service.is_for_mesh() {
            return;
        }
        for (index, host) in service.hosts.iter().enumerate() {
            if let Some(suffix) = host.strip_prefix('*') {
                let meant: Vec<ServiceName> = self
                    .drafts
                    .keys()
                    .filter(|name| name.as_str().ends_with(suffix))
                    .cloned()
                    .collect();
                if meant.is_empty() {
                    let path = format!("spec.hosts[{index}]");
                    let message = format!("no service of the mesh has a host such as `{}`", **host);
                    Place::new(resource, host.at, &path).warn(out, message);
                }
                meant.into_iter().for_each(|name| self.speak(name, resource));
                continue;
            }
            let name = self.scene.host(host, resource.namespace());
            let path = format!("spec.hosts[{index}]");
            let place = Place::new(resource, host.at, &path);
            let message = format!("the mesh has no service `{name}`: no call is for it");
            self.speak_or(name, resource, || {
                place.warn_with(out, message, "write its whole name, or add a ServiceEntry");
            });
        }
    }

    fn speak(&mut self, name: ServiceName, resource: &'a Arc<Resource>) {
        match self.by_service.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(vec![resource]);
            }
            // A document that names a service twice does so at one time.
            Entry::Occupied(mut entry) => {
                if entry.get().last().is_none_or(|last| !Arc::ptr_eq(last, resource)) {
                    entry.get_mut().push(resource);
                }
            }
        }
    }

    fn speak_or(
        &mut self,
        name: ServiceName,
        resource: &'a Arc<Resource>,
        otherwise: impl FnOnce(),
    ) {
        if self.drafts.contains_key(&name) {
            self.speak(name, resource);
        } else {
            otherwise();
        }
    }
}

fn says_something(calls: &CallAnnotations) -> bool {
    calls.retry.is_some() || !calls.timeouts.is_empty()
}

/// Whether a parent is of those that gateways look at.
fn is_of_gateway(parent: &ParentRef) -> bool {
    let groups = [gateway_api::GROUP, gateway_api::EXPERIMENTAL_GROUP];
    groups.contains(&&*parent.object.group)
}
