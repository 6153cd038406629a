//! Bounds on requests per time, in the terms of the model.

use std::time::Duration;

use weft_model::identity::{Identity, TrustDomain};
use weft_model::policy::LocalRateLimit;
use weft_resilience::settings::RateSettings;
use weft_resources::Resource;
use weft_resources::gateway_api::ObjectRef;
use weft_resources::weftway::traffic_policy::{LocalRateLimit as Written, Rate};

use crate::context::Output;
use crate::remark::Place;

/// A rate limit of a policy.
pub(crate) fn rate_limit(
    trust_domain: &TrustDomain,
    resource: &Resource,
    limit: &Written,
    out: &mut Output,
) -> LocalRateLimit {
    let rate = |rate: &Rate| per_second(rate.per_second, rate.burst);
    LocalRateLimit {
        total: limit.total.as_ref().map(rate),
        identity: limit.per_identity.as_ref().map(rate),
        overrides: limit
            .overrides
            .iter()
            .map(|of| (identities(trust_domain, resource, &of.clients, out), rate(&of.rate)))
            .collect(),
    }
}

/// So many requests per second, and so many at once.
pub(crate) fn per_second(average: u32, burst: u32) -> RateSettings {
    let (average, burst) = (u64::from(average), u64::from(burst.max(1)));
    RateSettings { average, period: Duration::from_secs(1), burst }
}

/// The identities of ServiceAccounts.
pub(crate) fn identities(
    trust_domain: &TrustDomain,
    resource: &Resource,
    clients: &[ObjectRef],
    out: &mut Output,
) -> Vec<Box<str>> {
    let mut found = Vec::new();
    for client in clients {
        let namespace = client.namespace_or(resource.namespace());
        match Identity::new(trust_domain, namespace, &client.name) {
            Ok(identity) => found.push(identity.as_str().into()),
            Err(error) => {
                let place = Place::new(resource, client.at, "spec.overrides");
                place.error(out, format!("no caller is the {client}: {error}"));
            }
        }
    }
    found
}
