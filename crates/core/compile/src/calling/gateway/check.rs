//! What is wrong with the documents about services, whether a route leads there or not.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_model::calling::Calling;
use weft_resources::gateway_api::policy::BackendTrafficPolicy;
use weft_resources::istio::destination_rule::{ClientTlsMode, DestinationRule, UpstreamSettings};
use weft_resources::{Key, Kind, Resource};

use super::{Seen, documents};
use crate::calling::own::report::{Known, report};
use crate::calling::{Layers, kubernetes};
use crate::context::{Context, Output};
use crate::remark::Place;

/// What is said of localities.
const NO_PLACE: &str = "it has no effect on a gateway by itself, which has no place of its own";

/// What policies may be about at a gateway by itself.
struct Alone<'c, 'a> {
    context: &'c Context<'a>,
}

/// Says what is wrong with the documents, whether a route leads to their services or not.
pub(crate) fn check(context: &Context<'_>, out: &mut Output) {
    let scope = context.scope();
    let mut known: BTreeSet<&Key> = BTreeSet::new();
    for sources in context.services.all() {
        known.extend(sources.policies.iter().map(|resource| &resource.key));
        if sources.is_meshed() {
            continue;
        }
        let seen = Seen { scope: &scope, port: None };
        let documents = documents(sources);
        if documents.is_empty() {
            continue;
        }
        for variant in documents.variants(&seen, &sources.namespace, out) {
            let ports = documents.ports(&seen, &variant);
            let subsets = variant.subsets.iter().map(|subset| Some(*subset)).chain([None]);
            for subset in subsets {
                for port in ports.iter().map(|port| Some(*port)).chain([None]) {
                    let mut layers = Layers::new(Calling::default());
                    documents.service(&seen, &mut layers, out);
                    documents.policies(&seen, &variant, (subset, port), &mut layers, out);
                }
            }
        }
        if let Some(service) = documents.service {
            check_distribution(service, out);
        }
    }
    if context.services.has_mesh() {
        // The control plane says what is to say.
        return;
    }
    context.mesh_config.report(out);
    for resource in context.resources {
        match &resource.body {
            Kind::DestinationRule(rule) => {
                check_rule(resource, rule, known.contains(&resource.key), out);
            }
            Kind::BackendTrafficPolicy(policy) => check_policy(context, resource, policy, out),
            Kind::TrafficPolicy(policy) => report(resource, policy, &Alone { context }, out),
            Kind::ServiceEntry(_) | Kind::Namespace(_) => check_distribution(resource, out),
            _ => {}
        }
    }
}

// === impl Alone ===

impl Known for Alone<'_, '_> {
    fn ports(&self, namespace: &str, name: &str) -> Option<Vec<&str>> {
        let sources = self.context.services.sources(namespace, name)?;
        let Some(service) = sources.service() else { return Some(Vec::new()) };
        Some(service.ports.iter().map(|port| &*port.name).collect())
    }

    fn route(&self, key: &Key) -> Option<&Kind> {
        self.context.index.get(key).map(|route| &route.body)
    }
}

// === functions ===

/// What a Service, a ServiceEntry or a Namespace says of where its traffic stays.
fn check_distribution(resource: &Resource, out: &mut Output) {
    if let Some((field, found)) = kubernetes::distribution(resource) {
        Place::new(resource, found.at, field).note(out, NO_PLACE);
    }
}

/// What no caller of a gateway could tell.
fn check_rule(resource: &Arc<Resource>, rule: &DestinationRule, is_known: bool, out: &mut Output) {
    if !is_known {
        let message = format!("no service `{}` is known: the rule has no effect", *rule.host);
        let fix = "write the whole name of the service, or add a ServiceEntry for the host";
        Place::new(resource, rule.host.at, "spec.host").warn_with(out, message, fix);
    }
    if let Some(selector) = &rule.selector {
        let message = "a gateway by itself has no labels: the rule does not hold for its calls";
        Place::new(resource, selector.at, "spec.workloadSelector").warn(out, message);
    }
    let subsets = rule.subsets.iter().map(|subset| &subset.policy);
    for policy in std::iter::once(&rule.policy).chain(subsets) {
        let ports = policy.ports.iter().map(|port| &port.settings);
        for settings in std::iter::once(&policy.settings).chain(ports) {
            check_settings(resource, settings, out);
        }
    }
}

fn check_settings(resource: &Arc<Resource>, settings: &UpstreamSettings, out: &mut Output) {
    let balancer = settings.load_balancer.as_ref();
    let locality = balancer.and_then(|balancer| Some(balancer.locality.as_ref()?.at));
    let zones = balancer.and_then(|balancer| Some(balancer.zone_aware.as_ref()?.at));
    for at in locality.into_iter().chain(zones) {
        Place::new(resource, at, "trafficPolicy.loadBalancer").warn(out, NO_PLACE);
    }
    let tls = settings.tls.as_ref().filter(|tls| *tls.mode == ClientTlsMode::IstioMutual);
    if let Some(tls) = tls {
        let message = "a gateway by itself has no certificate of the mesh: what it leads there is \
                       answered 503";
        let fix = "run the gateway as part of the mesh, or write mode: SIMPLE or MUTUAL";
        Place::new(resource, tls.at, "trafficPolicy.tls").error_with(out, message, fix);
    }
}

/// What a policy is about that no gateway calls.
fn check_policy(
    context: &Context<'_>,
    resource: &Arc<Resource>,
    policy: &BackendTrafficPolicy,
    out: &mut Output,
) {
    let home = resource.namespace();
    for target in &policy.targets {
        let object = &target.object;
        let place = Place::new(resource, object.at, "spec.targetRefs");
        if !object.is_service() {
            let message = format!("it has no effect on a {} of a gateway", object.kind);
            place.warn_with(out, message, "name the Service in `targetRefs`");
        } else if context.services.sources(home, &object.name).is_none() {
            let message = format!("no service `{home}/{}` is known: nothing is done", object.name);
            place.warn(out, message);
        }
    }
}
