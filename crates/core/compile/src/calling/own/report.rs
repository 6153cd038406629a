//! What of TrafficPolicies has no effect, wherever they are for.

use weft_resources::weftway::TrafficPolicy;
use weft_resources::weftway::traffic_policy::{Limit, TrafficTarget};
use weft_resources::{Key, Kind, Resource};

use super::policies::about;
use crate::context::Output;
use crate::remark::Place;

/// What policies may be about.
pub(crate) trait Known {
    /// The names of the ports of a Service; `None` where there is none.
    fn ports(&self, namespace: &str, name: &str) -> Option<Vec<&str>>;

    /// A route.
    fn route(&self, key: &Key) -> Option<&Kind>;
}

/// Says what of a policy has no effect.
pub(crate) fn report(
    resource: &Resource,
    policy: &TrafficPolicy,
    known: &dyn Known,
    out: &mut Output,
) {
    for (index, target) in policy.targets.iter().enumerate() {
        let object = &target.target.object;
        let path = format!("spec.targetRefs[{index}]");
        let place = Place::new(resource, object.at, &path);
        let key = about(object, resource.namespace());
        let sections = match object.is_service() {
            true => known.ports(&key.namespace, &key.name),
            false => known.route(&key).map(rules),
        };
        let section = target.target.section.as_deref();
        match (sections, section) {
            (None, _) => place.warn(out, format!("there is no {object}")),
            (Some(sections), Some(section)) if !sections.contains(&section) => {
                place.warn(out, format!("there is no `{section}` in the {object}"));
            }
            _ => report_target(target, policy, place, out),
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
        let is_part = !target.is_whole();
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
