//! Bounds on requests that arrive: Linkerd's HTTPLocalRateLimitPolicy at Servers, and
//! `localRateLimit` of own TrafficPolicies at Services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weft_model::id::{PolicyId, ServiceName};
use weft_model::mesh::ServicePort;
use weft_model::policy::{LocalRateLimit, Refusal, Step, StepKind};
use weft_resources::linkerd::RateLimitPolicy;
use weft_resources::weftway::TrafficPolicy;
use weft_resources::weftway::traffic_policy::TrafficTarget;
use weft_resources::{Kind, Resource};

use super::unenforceable;
use crate::calling::own::rate::{identities, per_second, rate_limit};
use crate::context::Output;
use crate::mesh::MeshOptions;
use crate::mesh::draft::{Draft, Drafts, Runs, Site};
use crate::mesh::population::Population;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// What is done to requests for a port.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::mesh) struct Limits {
    pub(in crate::mesh) steps: Vec<Arc<Step>>,
    /// Why nobody may call it.
    pub(in crate::mesh) closed: Option<Refusal>,
}

/// By workload, then by port.
pub(in crate::mesh) type OfServices = HashMap<usize, BTreeMap<u16, Limits>>;

/// The bound that a policy of Linkerd sets.
pub(super) fn of_server(
    options: &MeshOptions,
    resource: &Resource,
    policy: &RateLimitPolicy,
    out: &mut Output,
) -> Arc<Step> {
    // As many at once as in a second.
    let rate = |count: u32| per_second(count, count);
    let one = |of: &weft_resources::linkerd::rate_limit::RateOverride| {
        (identities(&options.trust_domain, resource, &of.clients, out), rate(of.per_second))
    };
    let overrides = policy.overrides.iter().map(one).collect();
    let limit = LocalRateLimit {
        total: policy.total.map(rate),
        identity: policy.per_identity.map(rate),
        overrides,
    };
    step("httplocalratelimitpolicy", resource, limit)
}

fn step(kind: &str, resource: &Resource, limit: LocalRateLimit) -> Arc<Step> {
    let id = format!("{kind}/{}/{}", resource.namespace(), resource.name());
    Arc::new(Step { id: PolicyId::new(id), kind: StepKind::LocalRateLimit(Box::new(limit)) })
}

/// The bounds that own policies set at the workloads of Services.
pub(in crate::mesh) fn of_services(
    scene: &Scene<'_>,
    population: &Population<'_>,
    drafts: &Drafts<'_>,
    out: &mut Output,
) -> OfServices {
    let mut found = OfServices::new();
    for resource in scene.resources.iter().copied() {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        let Some(limits) = limits(scene.options, resource, policy, out) else { continue };
        for (index, target) in policy.targets.iter().enumerate() {
            let object = &target.target.object;
            let name = scene.service_name(object.namespace_or(resource.namespace()), &object.name);
            // That there is none is said where rules are.
            let Some(draft) = drafts.get(&name).filter(|_| object.is_service()) else { continue };
            let path = format!("spec.targetRefs[{index}]");
            let place = Place::new(resource, object.at, &path);
            report_unguarded(population, (&name, draft), policy.is_broken, place, out);
            add(draft, target, &limits, &mut found);
        }
    }
    found
}

/// What an own policy asks for.
fn limits(
    options: &MeshOptions,
    resource: &Resource,
    policy: &TrafficPolicy,
    out: &mut Output,
) -> Option<Limits> {
    let written = policy.local_rate_limit.as_ref()?;
    if policy.is_broken {
        return Some(Limits { steps: Vec::new(), closed: Some(unenforceable(resource)) });
    }
    let limit = rate_limit(&options.trust_domain, resource, written, out);
    Some(Limits { steps: vec![step("trafficpolicy", resource, limit)], closed: None })
}

/// Says at which endpoints of a service nobody counts calls as they arrive, or refuses them: there is
/// no proxy.
fn report_unguarded(
    population: &Population<'_>,
    (name, draft): (&ServiceName, &Draft<'_>),
    is_broken: bool,
    place: Place<'_>,
    out: &mut Output,
) {
    let missing = match &draft.runs {
        Runs::Sites(sites) => {
            let is_bare = |site: &&Site| !site.is_guarded(population);
            match (sites.iter().filter(is_bare).count(), sites.len()) {
                (0, _) => return,
                (bare, all) => format!("{bare} of the {all} endpoints"),
            }
        }
        Runs::Dns(..) | Runs::Dialled => "the endpoints".into(),
    };
    let message = format!("no proxy of the mesh stands at {missing} of `{name}`");
    let fix = "start them with `weftway run`, or name the VirtualService or route whose calls are \
               meant in `targetRefs`";
    if is_broken {
        let message = format!("{message}: only a gateway refuses calls of them");
        place.error_with(out, message, fix);
    } else {
        let message = format!("{message}: `localRateLimit` holds there at a gateway alone");
        place.warn_with(out, message, fix);
    }
}

/// Adds them to the workloads of a service.
fn add(draft: &Draft<'_>, target: &TrafficTarget, limits: &Limits, found: &mut OfServices) {
    let Runs::Sites(sites) = &draft.runs else { return };
    let is_meant = |port: &&ServicePort| {
        target.port.is_none_or(|number| number == port.number)
            && target.target.section.as_deref().is_none_or(|name| *name == *port.name)
    };
    let ports: Vec<u16> = draft.ports.iter().filter(is_meant).map(|port| port.number).collect();
    for site in sites {
        let Some(index) = site.instance else { continue };
        for (_, own) in site.ports.iter().filter(|(number, _)| ports.contains(number)) {
            let of_port = found.entry(index).or_default().entry(*own).or_default();
            // Two services may lead to one port, and two of its ports to one of the workload.
            for step in &limits.steps {
                if !of_port.steps.contains(step) {
                    of_port.steps.push(Arc::clone(step));
                }
            }
            of_port.closed = of_port.closed.take().or_else(|| limits.closed.clone());
        }
    }
}
