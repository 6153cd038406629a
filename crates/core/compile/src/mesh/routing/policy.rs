//! What Weftway's own TrafficPolicies add to the rules of a route.

use std::sync::Arc;

use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_model::policy::{AnswerDiff, Refusal, SourceCriterion, Step, StepKind};
use weft_model::route::{Route, Target};
use weft_resources::istio::virtual_service::GatewayRef;
use weft_resources::weftway::TrafficPolicy;
use weft_resources::weftway::traffic_policy::{Limit, MirrorDiff, TrafficTarget};
use weft_resources::{Key, Kind, Resource};

use super::limit::rate_limit;
use super::view::{View, about};
use crate::calling::own::hedge;
use crate::context::Output;
use crate::mesh::draft::Drafts;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// What is added to rules.
#[derive(Default)]
pub(super) struct Added {
    /// Before all other steps.
    steps: Vec<Arc<Step>>,
    /// The same for each rule by itself, with what its name begins with.
    shared: Vec<(String, StepKind)>,
    /// How answers to mirrored requests are compared.
    compared: Option<AnswerDiff>,
    refusal: Option<Refusal>,
}

/// What policies add to a rule of a route: `rule` is its name, `id` that of its steps.
pub(super) fn steps(
    view: &View<'_>,
    route: &Resource,
    rule: Option<&str>,
    id: &str,
    out: &mut Output,
) -> Added {
    let mut added = Added::default();
    for resource in view.policies(&route.key) {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        let is_meant = policy.targets.iter().any(|target| {
            let section = target.target.section.as_deref();
            *target.target.object.kind == *route.key.kind
                && *target.target.object.name == *route.name()
                && (section.is_none() || section == rule)
        });
        if is_meant {
            added.add(view, resource, policy, id, out);
        }
    }
    added
}

// === impl Added ===

impl Added {
    fn add(
        &mut self,
        view: &View<'_>,
        resource: &Resource,
        policy: &TrafficPolicy,
        id: &str,
        out: &mut Output,
    ) {
        let name = format!("trafficpolicy/{}/{}@{id}", resource.namespace(), resource.name());
        let mut step = |part: &str, kind| {
            let id = PolicyId::new(format!("{name}/{part}"));
            self.steps.push(Arc::new(Step { id, kind }));
        };
        if policy.is_broken {
            let detail = format!("{} cannot be obeyed: it has errors", resource.key).into();
            self.refusal = Some(Refusal { reason: Reason::PolicyUnenforceable, detail });
            return;
        }
        if let Some(limit) = &policy.local_rate_limit {
            let limit = rate_limit(view.scene().options, resource, limit, out);
            step("rate", StepKind::LocalRateLimit(Box::new(limit)));
        }
        if let Some(amount) = policy.limits.per_route.requests {
            step("limit", StepKind::InFlight { amount, source: SourceCriterion::All });
        }
        if let Some(hedging) = &policy.hedging {
            step("hedge", StepKind::Hedge(hedge(hedging)));
        }
        if let Some(diff) = &policy.mirror_diff {
            self.compared = comparison(diff);
        }
    }

    /// What a policy at the service itself adds to all of its rules.
    fn add_shared(&mut self, resource: &Resource, policy: &TrafficPolicy) {
        if let Some(amount) = policy.limits.per_route.requests {
            let name = format!("trafficpolicy/{}/{}", resource.namespace(), resource.name());
            let kind = StepKind::InFlight { amount, source: SourceCriterion::All };
            self.shared.push((name, kind));
        }
        if let Some(diff) = &policy.mirror_diff {
            self.compared = comparison(diff);
        }
    }

    /// Whether nothing is added.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self.shared.is_empty()
            && self.compared.is_none()
            && self.refusal.is_none()
    }

    /// Puts it into a rule.
    pub(super) fn apply(&self, route: &mut Route) {
        if let Some(refusal) = &self.refusal {
            route.target = Target::Refuse(refusal.clone());
        }
        let shared = self.shared.iter().map(|(name, kind)| {
            let id = PolicyId::new(format!("{name}@{}/limit", route.id));
            Arc::new(Step { id, kind: kind.clone() })
        });
        let mut steps: Vec<Arc<Step>> = shared.collect();
        steps.extend(self.steps.iter().map(Arc::clone));
        if !steps.is_empty() {
            route.steps = steps.iter().chain(&*route.steps).map(Arc::clone).collect();
        }
        if let Some(compared) = self.compared {
            let compare = |step: &Arc<Step>| match &step.kind {
                StepKind::Mirror { parts_per_million, backend, compared: _ } => {
                    let (parts_per_million, backend) = (*parts_per_million, backend.clone());
                    let compared = Some(compared);
                    let kind = StepKind::Mirror { parts_per_million, backend, compared };
                    Arc::new(Step { id: step.id.clone(), kind })
                }
                _ => Arc::clone(step),
            };
            route.steps = route.steps.iter().map(compare).collect();
        }
    }
}

/// `None` where nothing is compared.
fn comparison(diff: &MirrorDiff) -> Option<AnswerDiff> {
    let MirrorDiff { sample_percent, status, headers, body } = *diff;
    let parts_per_million = (sample_percent * 10_000.0).round() as u32;
    (parts_per_million > 0).then_some(AnswerDiff { parts_per_million, status, headers, body })
}

/// What policies at the service itself add to all of its rules.
pub(super) fn of_service(view: &View<'_>, service: &Key) -> Added {
    let mut added = Added::default();
    for resource in view.policies(service) {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        let is_whole = |target: &TrafficTarget| {
            let object = &target.target.object;
            object.is_service() && *object.name == *service.name && is_whole(target)
        };
        if !policy.is_broken && policy.targets.iter().any(is_whole) {
            added.add_shared(resource, policy);
        }
    }
    added
}

/// Whether no port of a Service is named.
fn is_whole(target: &TrafficTarget) -> bool {
    target.port.is_none() && target.target.section.is_none()
}

/// Says what of policies has no effect.
pub(super) fn report(scene: &Scene<'_>, drafts: &Drafts<'_>, out: &mut Output) {
    for resource in scene.resources.iter().copied() {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        for (index, target) in policy.targets.iter().enumerate() {
            let object = &target.target.object;
            let path = format!("spec.targetRefs[{index}]");
            let place = Place::new(resource, object.at, &path);
            let home = object.namespace_or(resource.namespace());
            let section = target.target.section.as_deref();
            let has_section = match object.is_service() {
                true => drafts.get(&scene.service_name(home, &object.name)).map(|draft| {
                    let mut names = draft.ports.iter().map(|port| &*port.name);
                    section.is_none_or(|section| names.any(|name| name == section))
                }),
                false => scene.index.get(&about(object, home)).map(|route| {
                    if is_for_gateways(&route.body) {
                        let message = "it has no effect on requests at gateways, where the route \
                                       is for";
                        place.warn(out, message);
                    }
                    section.is_none_or(|section| rules(&route.body).contains(&section))
                }),
            };
            match has_section {
                Some(true) => report_target(target, policy, place, out),
                Some(false) => {
                    let section = section.unwrap_or_default();
                    place.warn(out, format!("there is no `{section}` in the {object}"));
                }
                None => place.warn(out, format!("there is no {object}")),
            }
        }
    }
}

/// The names of the rules of a route.
fn rules(route: &Kind) -> Vec<&str> {
    match route {
        Kind::HttpRoute(route) => named(&route.rules, |rule| rule.name.as_deref()),
        Kind::GrpcRoute(route) => named(&route.rules, |rule| rule.name.as_deref()),
        Kind::VirtualService(service) => named(&service.http, |rule| rule.name.as_deref()),
        _ => Vec::new(),
    }
}

fn named<T>(rules: &[T], name: impl Fn(&T) -> Option<&str>) -> Vec<&str> {
    rules.iter().filter_map(name).collect()
}

/// Whether gateways carry a route out, wholly or in part.
fn is_for_gateways(route: &Kind) -> bool {
    let parents = match route {
        Kind::HttpRoute(route) => &route.parents,
        Kind::GrpcRoute(route) => &route.parents,
        Kind::VirtualService(service) => {
            return service.gateways.iter().any(|one| one.value != GatewayRef::Mesh);
        }
        _ => return false,
    };
    parents.iter().any(|parent| !parent.object.is_service())
}

/// Says what has no meaning at a target.
fn report_target(
    target: &TrafficTarget,
    policy: &TrafficPolicy,
    place: Place<'_>,
    out: &mut Output,
) {
    let object = &target.target.object;
    let mut fields: Vec<&str> = Vec::new();
    let mut add = |is_there: bool, field| fields.extend(is_there.then_some(field));
    if object.is_service() {
        let is_part = !is_whole(target);
        add(is_part && policy.limits.per_route.requests.is_some(), "limits.perRoute");
        add(is_part && policy.mirror_diff.is_some(), "mirrorDiff");
    } else {
        add(policy.load_balancer.is_some(), "loadBalancer");
        add(policy.adaptive_concurrency.is_some(), "adaptiveConcurrency");
        add(policy.retry.is_some_and(|retry| retry.budget.is_some()), "retry.budget");
        add(policy.retry.is_some_and(|retry| retry.cross_hop), "retry.crossHop");
        add(policy.deadline.is_some(), "deadline");
        add(policy.limits.per_service != Limit::default(), "limits.perService");
        add(policy.limits.per_endpoint != Limit::default(), "limits.perEndpoint");
    }
    for field in fields {
        let what = if object.is_service() { "a single port" } else { "a route" };
        let message = format!("`{field}` has no effect on {what}");
        place.warn_with(out, message, "name the whole Service in `targetRefs`");
    }
}
