//! BackendTrafficPolicy.

use weft_resilience::settings::{BudgetSettings, RecentBudget};
use weft_resources::gateway_api::policy::{BackendTrafficPolicy, RetryConstraint};

use super::layers::{From, Layers, Part};
use crate::context::Output;
use crate::gateway_api::affinity;

/// Puts the policy on top.
pub(crate) fn apply<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    policy: &BackendTrafficPolicy,
    out: &mut Output,
) {
    if let Some(retry) = &policy.retry {
        let RetryConstraint { percent, interval, min_count, min_interval, at } = *retry;
        let settings = RecentBudget {
            ratio: f64::from(percent) / 100.0,
            interval,
            retries_min: min_count,
            retries_min_interval: min_interval,
        };
        let from = from.field("spec.retryConstraint", at);
        layers.decide(Part::Budget, from, out).retry_budget =
            Some(BudgetSettings::Recent(settings));
    }
    if let Some(session) = &policy.session {
        let from = from.field("spec.sessionPersistence", session.at);
        let name = format!("{}/{}", from.resource.namespace(), from.resource.name());
        if let Some(affinity) = affinity(session, &name, from.report(), out) {
            layers.decide(Part::Session, from, out).sticky = Some(affinity);
        }
    }
}
