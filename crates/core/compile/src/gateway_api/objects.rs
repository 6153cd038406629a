//! The objects that Gateway API is made of, found once.

use std::collections::HashMap;
use std::sync::Arc;

use weft_resources::gateway_api::gateway::FromNamespaces;
use weft_resources::gateway_api::{
    BackendTlsPolicy, GROUP, Gateway, GatewayClass, GrpcRoute, HttpRoute, L4Route, ListenerSet,
    ObjectRef, ReferenceGrant,
};
use weft_resources::{Key, Kind, Resource};

use crate::age::age;
use crate::context::Context;
use crate::remark::Fix;

/// A resource and what it says.
pub(super) type Object<'a, T> = (&'a Arc<Resource>, &'a T);

/// All objects; those of which the order matters stand in the order of precedence.
pub(super) struct Objects<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) classes: HashMap<&'a str, Object<'a, GatewayClass>>,
    pub(super) gateways: Vec<Object<'a, Gateway>>,
    pub(super) sets: Vec<Object<'a, ListenerSet>>,
    pub(super) http: Vec<Object<'a, HttpRoute>>,
    pub(super) grpc: Vec<Object<'a, GrpcRoute>>,
    pub(super) tls: Vec<Object<'a, L4Route>>,
    pub(super) tcp: Vec<Object<'a, L4Route>>,
    pub(super) policies: Vec<Object<'a, BackendTlsPolicy>>,
    grants: HashMap<&'a str, Vec<&'a ReferenceGrant>>,
    namespaces: HashMap<&'a str, &'a Arc<Resource>>,
}

/// The group of kinds that are still being tried out.
pub(super) const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

/// Every namespace carries its own name under this label.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

// === impl Objects ===

impl<'a> Objects<'a> {
    /// Collects them.
    pub(super) fn new(ctx: &'a Context<'a>) -> Self {
        let mut all = Self {
            ctx,
            classes: HashMap::new(),
            gateways: Vec::new(),
            sets: Vec::new(),
            http: Vec::new(),
            grpc: Vec::new(),
            tls: Vec::new(),
            tcp: Vec::new(),
            policies: Vec::new(),
            grants: HashMap::new(),
            namespaces: HashMap::new(),
        };
        for resource in ctx.resources {
            all.add(resource);
        }
        by_precedence(&mut all.gateways);
        by_precedence(&mut all.sets);
        by_precedence(&mut all.http);
        by_precedence(&mut all.grpc);
        by_precedence(&mut all.tls);
        by_precedence(&mut all.tcp);
        by_precedence(&mut all.policies);
        all
    }

    fn add(&mut self, resource: &'a Arc<Resource>) {
        match &resource.body {
            Kind::GatewayClass(body) => {
                self.classes.insert(resource.name(), (resource, body));
            }
            Kind::Gateway(body) => self.gateways.push((resource, body)),
            Kind::ListenerSet(body) => self.sets.push((resource, body)),
            Kind::HttpRoute(body) => self.http.push((resource, body)),
            Kind::GrpcRoute(body) => self.grpc.push((resource, body)),
            Kind::TlsRoute(body) => self.tls.push((resource, body)),
            Kind::TcpRoute(body) => self.tcp.push((resource, body)),
            Kind::BackendTlsPolicy(body) => self.policies.push((resource, body)),
            Kind::ReferenceGrant(body) => {
                self.grants.entry(resource.namespace()).or_default().push(body);
            }
            Kind::Namespace(_) => {
                self.namespaces.insert(resource.name(), resource);
            }
            _ => {}
        }
    }

    /// Why a Gateway or a set of listeners is not among these, and what to do about it: it is
    /// rejected, or not there at all.
    pub(super) fn absent(&self, kind: &str, namespace: &str, name: &str) -> (String, Fix) {
        let (group, kind) = match kind {
            "Gateway" => (GROUP, "Gateway"),
            "ListenerSet" => (GROUP, "ListenerSet"),
            _ => (EXPERIMENTAL_GROUP, "XListenerSet"),
        };
        let key = Key::new(group, kind, namespace, name);
        match self.ctx.rejected.get(&key) {
            Some((file, line)) => (
                format!("{key} ({file}:{line}) is rejected"),
                "correct what is said about it".into(),
            ),
            None => (format!("{key} is not found"), Fix::Find(key)),
        }
    }

    /// Whether an object of `referrer`'s kind and namespace may refer to `target`.
    pub(super) fn permits(&self, referrer: &Resource, target: &ObjectRef) -> bool {
        let home = referrer.namespace();
        let namespace = target.namespace_or(home);
        if namespace == home {
            return true;
        }
        let from = (&*referrer.key.group, &*referrer.key.kind, home);
        let to = (&*target.group, &*target.kind, &*target.name);
        self.grants
            .get(namespace)
            .is_some_and(|grants| grants.iter().any(|grant| grant.allows(from, to)))
    }

    /// Whether a namespace is among those that an object of namespace `home` allows.
    pub(super) fn is_allowed(&self, allowed: &FromNamespaces, home: &str, namespace: &str) -> bool {
        match allowed {
            FromNamespaces::Same => home == namespace,
            FromNamespaces::All => true,
            FromNamespaces::None => false,
            FromNamespaces::Selector(selector) => {
                let own = self.namespaces.get(namespace).map(|found| &*found.labels);
                let mut labels = own.unwrap_or_default().to_vec();
                if !labels.iter().any(|(name, _)| **name == *NAME_LABEL) {
                    labels.push((NAME_LABEL.into(), namespace.into()));
                }
                selector.is_match(&labels)
            }
        }
    }
}

fn by_precedence<T>(objects: &mut [Object<'_, T>]) {
    objects.sort_by(|(a, _), (b, _)| age(a).cmp(&age(b)));
}
