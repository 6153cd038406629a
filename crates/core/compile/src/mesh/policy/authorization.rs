//! Istio's AuthorizationPolicy and RequestAuthentication, and Kubernetes' NetworkPolicy.
//!
//! Who calls is not looked at here, so a rule with conditions closes what it is about. Rules without
//! conditions are obeyed: they speak of ports, and let in everybody or nobody.

use std::collections::HashSet;
use std::sync::Arc;

use weft_model::policy::Refusal;
use weft_resources::gateway_api::ObjectRef;
use weft_resources::istio::security::{Action, AuthorizationPolicy, Target};
use weft_resources::istio::{NETWORKING, ServiceEntry};
use weft_resources::kubernetes::{LabelSelector, NetworkPolicy};
use weft_resources::{Clause, Kind, Resource};

use super::{forbidden, unenforceable};
use crate::context::Output;
use crate::mesh::population::{Instance, Population};
use crate::mesh::scene::{Labels, Scene, fits};
use crate::remark::Place;

/// All documents that say who may call.
pub(super) struct Authorizations<'a> {
    guards: Vec<Guard<'a>>,
}

/// A document that says who may call.
struct Guard<'a> {
    resource: &'a Resource,
    reach: Reach<'a>,
    asks: Asks<'a>,
}

/// Which workloads it is about.
enum Reach<'a> {
    /// Those with these labels, in one namespace or in all.
    Labels(Option<&'a str>, &'a Labels),
    /// Those of a namespace that a selector of Kubernetes fits.
    Selector(&'a str, &'a LabelSelector),
    /// These.
    Instances(HashSet<usize>),
}

/// How it says which workloads it is about.
enum Aim<'a> {
    /// As documents of Istio do.
    Target(&'a Target),
    /// As documents of Kubernetes do.
    Selector(&'a LabelSelector),
}

/// What it asks for.
#[derive(Clone, Copy)]
enum Asks<'a> {
    /// Calls of some kind.
    Calls(&'a AuthorizationPolicy),
    /// Calls from some networks.
    Networks(&'a NetworkPolicy),
    /// Tokens.
    Tokens,
    /// What cannot be read.
    Unreadable,
}

/// Documents that say together which calls are taken: where there is one of these, all others are
/// not. Each has to take a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowing {
    /// AuthorizationPolicies.
    Callers,
    /// NetworkPolicies.
    Networks,
}

/// Who may call one workload.
pub(super) struct Asked<'p, 'a> {
    guards: Vec<&'p Guard<'a>>,
}

// === impl Authorizations ===

impl<'a> Authorizations<'a> {
    pub(super) fn new(scene: &Scene<'a>, population: &Population<'_>, out: &mut Output) -> Self {
        let mut guards = Vec::new();
        for resource in scene.resources.iter().copied() {
            let Some((target, asks)) = asked(resource) else { continue };
            remark(resource, asks, out);
            let reach = match target {
                Aim::Target(Target::Labels(labels)) => {
                    let is_root = resource.namespace() == &*scene.options.root_namespace;
                    Reach::Labels((!is_root).then(|| resource.namespace()), labels)
                }
                Aim::Target(Target::Objects(objects)) => {
                    Reach::Instances(behind(scene, population, resource, objects, out))
                }
                Aim::Selector(selector) => Reach::Selector(resource.namespace(), selector),
            };
            guards.push(Guard { resource, reach, asks });
        }
        Self { guards }
    }

    /// What is asked of a workload.
    pub(super) fn of<'p>(&'p self, index: usize, instance: &Instance<'_>) -> Asked<'p, 'a> {
        let is_meant = |guard: &&Guard<'_>| match &guard.reach {
            Reach::Labels(namespace, labels) => {
                namespace.is_none_or(|namespace| namespace == instance.namespace)
                    && fits(labels, &instance.labels)
            }
            Reach::Selector(namespace, selector) => {
                *namespace == instance.namespace && selector.is_match(&instance.labels)
            }
            Reach::Instances(instances) => instances.contains(&index),
        };
        Asked { guards: self.guards.iter().filter(is_meant).collect() }
    }
}

// === impl Asked ===

impl Asked<'_, '_> {
    /// Why nobody may call a port, or those that no document names.
    pub(super) fn at(&self, port: Option<u16>) -> Option<Refusal> {
        let refused = self.guards.iter().find_map(|guard| guard.refuses(port));
        let not_allowed = |by| self.not_allowed(port, by);
        refused
            .or_else(|| not_allowed(Allowing::Callers))
            .or_else(|| not_allowed(Allowing::Networks))
    }

    /// The ports that documents name.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        let clauses = self.guards.iter().flat_map(|guard| guard.clauses());
        clauses.flat_map(|clause| clause.ports.iter().flatten()).copied()
    }

    /// Where any document allows something, all else is not allowed.
    fn not_allowed(&self, port: Option<u16>, by: Allowing) -> Option<Refusal> {
        let allowing = || self.guards.iter().filter(|guard| guard.allows() == Some(by));
        let first = allowing().next()?;
        let covering = || {
            let clauses = allowing()
                .flat_map(|guard| guard.clauses().iter().map(|clause| (guard.resource, clause)));
            clauses.filter(|(_, clause)| clause.covers(port))
        };
        if covering().any(|(_, clause)| clause.is_unconditional) {
            return None;
        }
        let conditional = covering().next();
        Some(conditional.map_or_else(|| forbidden(first.resource), |(by, _)| unenforceable(by)))
    }
}

// === impl Guard ===

impl Guard<'_> {
    /// Why it refuses a port whatever others allow.
    fn refuses(&self, port: Option<u16>) -> Option<Refusal> {
        let policy = match self.asks {
            Asks::Calls(policy) => policy,
            Asks::Networks(_) => return None,
            Asks::Tokens | Asks::Unreadable => return Some(unenforceable(self.resource)),
        };
        let covering = || policy.clauses.iter().filter(|clause| clause.covers(port));
        match policy.action {
            Action::Allow | Action::Audit => None,
            Action::Deny if covering().any(|clause| clause.is_unconditional) => {
                Some(forbidden(self.resource))
            }
            Action::Deny | Action::Custom => {
                covering().next().map(|_| unenforceable(self.resource))
            }
        }
    }

    /// With which others it says what is taken, if it says so.
    fn allows(&self) -> Option<Allowing> {
        match self.asks {
            Asks::Calls(policy) if policy.action == Action::Allow => Some(Allowing::Callers),
            Asks::Networks(policy) if policy.has_ingress => Some(Allowing::Networks),
            Asks::Calls(_) | Asks::Networks(_) | Asks::Tokens | Asks::Unreadable => None,
        }
    }

    fn clauses(&self) -> &[Clause] {
        match self.asks {
            Asks::Calls(policy) => &policy.clauses,
            Asks::Networks(policy) => &policy.clauses,
            Asks::Tokens | Asks::Unreadable => &[],
        }
    }
}

/// What a document asks for, and of whom, if it says who may call.
fn asked(resource: &Resource) -> Option<(Aim<'_>, Asks<'_>)> {
    let asked = match &resource.body {
        Kind::AuthorizationPolicy(policy) => {
            let asks = if policy.is_broken { Asks::Unreadable } else { Asks::Calls(policy) };
            (Aim::Target(&policy.target), asks)
        }
        Kind::RequestAuthentication(request) if request.is_broken => {
            (Aim::Target(&request.target), Asks::Unreadable)
        }
        Kind::RequestAuthentication(request) if request.has_rules => {
            (Aim::Target(&request.target), Asks::Tokens)
        }
        Kind::NetworkPolicy(policy) if policy.is_broken => {
            (Aim::Selector(&policy.selector), Asks::Unreadable)
        }
        Kind::NetworkPolicy(policy) => (Aim::Selector(&policy.selector), Asks::Networks(policy)),
        _ => return None,
    };
    Some(asked)
}

/// Says what becomes of a document that is not enforced as written.
fn remark(resource: &Resource, asks: Asks<'_>, out: &mut Output) {
    let place = Place::whole(resource);
    match asks {
        Asks::Unreadable => {
            place.error(out, "the workloads that it may be about refuse all calls");
        }
        Asks::Tokens => {
            let message = "tokens are not checked by this version: the workloads that it is about \
                           refuse all calls";
            place.error(out, message);
        }
        Asks::Networks(policy) => {
            if policy.has_egress {
                place.error(out, "whom workloads call is not limited by this version");
            }
            if policy.clauses.iter().any(|clause| !clause.is_unconditional) {
                let message = "networks, named ports and ranges of ports are not looked at by this \
                               version: the workloads that it is about refuse all calls to the \
                               ports in question";
                place.error(out, message);
            }
        }
        Asks::Calls(policy) => {
            let is_obeyed = policy.clauses.iter().all(|clause| clause.is_unconditional);
            match policy.action {
                Action::Audit => place.warn(out, "calls that fit are not noted down"),
                Action::Allow | Action::Deny if is_obeyed => {}
                Action::Custom if policy.clauses.is_empty() => {}
                Action::Allow | Action::Deny | Action::Custom => {
                    let message = "its conditions are not evaluated by this version: the workloads \
                                   that it is about refuse all calls to the ports in question";
                    place.error(out, message);
                }
            }
        }
    }
}

/// The workloads behind Services and ServiceEntries.
fn behind(
    scene: &Scene<'_>,
    population: &Population<'_>,
    resource: &Arc<Resource>,
    objects: &[ObjectRef],
    out: &mut Output,
) -> HashSet<usize> {
    let mut found = HashSet::new();
    for object in objects {
        let namespace = resource.namespace();
        let place = Place::new(resource, object.at, "spec.targetRefs");
        if object.namespace_or(namespace) != namespace {
            let message = format!("{object} is not protected: it is in another namespace");
            place.error_with(out, message, "write the policy in the namespace of what it protects");
            continue;
        }
        let target = if object.is("", "Service") {
            scene.get("", "Service", namespace, &object.name)
        } else if object.is(NETWORKING, "ServiceEntry") {
            scene.get(NETWORKING, "ServiceEntry", namespace, &object.name)
        } else {
            let message = format!("the {} `{}` is not protected", object.kind, object.name);
            place.error_with(out, message, "name a Service, or use a selector");
            continue;
        };
        let Some(target) = target else {
            let message =
                format!("there is no {} `{}`, and nothing to protect", object.kind, object.name);
            place.warn(out, message);
            continue;
        };
        found.extend(workloads_of(population, target));
    }
    found
}

/// The workloads that a Service or ServiceEntry runs on.
fn workloads_of(population: &Population<'_>, resource: &Resource) -> Vec<usize> {
    let named = |ip: &str| ip.parse().ok().and_then(|ip| population.at(ip));
    match &resource.body {
        Kind::Service(service) => population.select(resource.namespace(), &service.selector),
        Kind::ServiceEntry(entry) => {
            let ServiceEntry { endpoints, selector, .. } = &**entry;
            let mut found = population.select(resource.namespace(), selector);
            found.extend(endpoints.iter().filter_map(|endpoint| named(&endpoint.address)));
            found
        }
        _ => Vec::new(),
    }
}
