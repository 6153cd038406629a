//! Retries in the terms of the model.

use std::time::Duration;

use weft_model::policy::RetryPolicy;
use weft_resilience::settings::BackoffSettings;
use weft_resources::istio::virtual_service::{DEFAULT_RETRY_ON, Retries, RetryCondition};

use crate::context::Output;
use crate::remark::Place;

/// Tries after the first where nothing is said.
const ATTEMPTS: u32 = 2;

/// The shortest wait between tries where nothing is said.
const BACKOFF: Duration = Duration::from_millis(25);

/// Bodies up to this are kept to be sent again (Envoy's bound on what a connection buffers).
const BODY_BYTES_MAX: u64 = 1 << 20;

/// When and how often a request is sent again; `None` for never. Where nothing is said Istio sends two
/// times more what nobody has looked at, or was answered to be so.
pub(crate) fn retry(retries: Option<&Retries>) -> Option<RetryPolicy> {
    let attempts = retries.map_or(ATTEMPTS, |retries| retries.attempts);
    if attempts == 0 {
        return None;
    }
    let backoff = retries.and_then(|retries| retries.backoff).map_or(BACKOFF, |value| value.value);
    let is = |value: Option<bool>, default: bool| value.unwrap_or(default);
    let elsewhere = retries.and_then(|retries| retries.remote_localities).map(|it| it.value);
    let avoids = retries.and_then(|retries| retries.ignore_previous_hosts).map(|it| it.value);
    let mut policy = RetryPolicy {
        attempts: attempts.saturating_add(1),
        backoff: BackoffSettings::envoy(backoff),
        attempt_timeout: retries.and_then(|retries| retries.per_try_timeout).map(|it| it.value),
        body_bytes_max: BODY_BYTES_MAX,
        non_idempotent: true,
        same_endpoint: !is(avoids, true),
        elsewhere: is(elsewhere, false),
        by_default: retries.is_none(),
        ..RetryPolicy::NEVER
    };
    for condition in retries.map_or(DEFAULT_RETRY_ON, Retries::conditions) {
        add(&mut policy, *condition);
    }
    Some(policy)
}

/// Adds what counts as failed, as Envoy reads the words.
fn add(policy: &mut RetryPolicy, condition: RetryCondition) {
    match condition {
        RetryCondition::ServerError => {
            policy.statuses.push((500, 599));
            unanswered(policy);
        }
        RetryCondition::GatewayError => {
            policy.statuses.push((502, 504));
            unanswered(policy);
        }
        RetryCondition::Reset => unanswered(policy),
        RetryCondition::ResetBeforeRequest
        | RetryCondition::ConnectFailure
        | RetryCondition::RefusedStream => policy.on_unreached = true,
        RetryCondition::Retriable4xx => policy.statuses.push((409, 409)),
        RetryCondition::Status(status) => policy.statuses.push((status, status)),
        RetryCondition::Cancelled => policy.grpc_statuses.push(1),
        RetryCondition::DeadlineExceeded => policy.grpc_statuses.push(4),
        RetryCondition::ResourceExhausted => policy.grpc_statuses.push(8),
        RetryCondition::Internal => policy.grpc_statuses.push(13),
        RetryCondition::Unavailable => policy.grpc_statuses.push(14),
        // Those with statuses beside them are added by these, and of the others none is met.
        RetryCondition::RetriableStatusCodes
        | RetryCondition::RetriableHeaders
        | RetryCondition::EnvoyRatelimited
        | RetryCondition::Http3PostConnectFailure => {}
    }
}

/// What ended without an answer.
fn unanswered(policy: &mut RetryPolicy) {
    policy.on_unreached = true;
    policy.on_network_error = true;
    policy.on_timeout = true;
}

/// Says which words have no effect.
pub(super) fn remark(retries: &Retries, place: Place<'_>, out: &mut Output) {
    for condition in retries.conditions() {
        let why = match condition {
            RetryCondition::RetriableHeaders => "no headers can be named beside it",
            RetryCondition::EnvoyRatelimited => {
                "answers with `x-envoy-ratelimited` are not sent again"
            }
            RetryCondition::Http3PostConnectFailure => "HTTP/3 is not spoken to services",
            _ => continue,
        };
        place.warn(out, format!("`{condition}` has no effect: {why}"));
    }
}
