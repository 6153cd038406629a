//! TrafficPolicies about routes of a gateway. Their limits protect, and a gateway does not count: what
//! they are about is not served.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::Target;
use weft_resources::weftway::TrafficPolicy;
use weft_resources::weftway::traffic_policy::Limit;
use weft_resources::{Kind, Pos, Resource};

use crate::context::{Context, Output};
use crate::remark::Place;

/// Kinds of routes that a policy may name.
const ROUTES: [&str; 3] = ["HTTPRoute", "GRPCRoute", "VirtualService"];

/// Closes the routes that a limit is about which is not held.
pub(crate) fn close(context: &Context<'_>, out: &mut Output) {
    let mut closed: HashMap<(Box<str>, Box<str>), Refusal> = HashMap::new();
    for resource in context.resources {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        let Some(field) = limit(policy) else { continue };
        for target in &policy.targets {
            let object = &target.target.object;
            if ROUTES.contains(&&*object.kind) {
                let name = format!("{}/{}", resource.namespace(), object.name).into();
                let detail = format!("`{field}` of {} is not held by gateways", resource.key);
                let refusal =
                    Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() };
                closed.entry((object.kind.clone(), name)).or_insert(refusal);
            }
        }
    }
    if closed.is_empty() {
        return;
    }
    let mut said: Vec<(Box<str>, Box<str>)> = Vec::new();
    for route in out.drafts.routes_mut() {
        let key = (route.origin.kind.clone(), route.origin.name.clone());
        let Some(refusal) = closed.get(&key).cloned() else { continue };
        let route = Arc::make_mut(route);
        (route.steps, route.target) = (Arc::default(), Target::Refuse(refusal));
        if !said.contains(&key) {
            said.push(key);
        }
    }
    for (kind, name) in said {
        report(context, &kind, &name, out);
    }
}

/// The limit of a policy, if it has one.
fn limit(policy: &TrafficPolicy) -> Option<&'static str> {
    if policy.local_rate_limit.is_some() || policy.is_broken {
        return Some("localRateLimit");
    }
    (policy.limits.per_route != Limit::default()).then_some("limits.perRoute")
}

/// Says of the policies about a route that it is closed.
fn report(context: &Context<'_>, kind: &str, name: &str, out: &mut Output) {
    let names = |resource: &Arc<Resource>, policy: &TrafficPolicy| {
        policy.targets.iter().any(|target| {
            let object = &target.target.object;
            *object.kind == *kind && format!("{}/{}", resource.namespace(), object.name) == name
        })
    };
    for resource in context.resources {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        if let Some(field) = limit(policy).filter(|_| names(resource, policy)) {
            let message = format!(
                "gateways do not hold it: what they serve of {kind} {name} is answered 503"
            );
            let path = format!("spec.{field}");
            let fix = "name the Service in `targetRefs`, or use a Middleware's rateLimit";
            Place::new(resource, Pos::default(), &path).error_with(out, message, fix);
        }
    }
}
