//! Whether a request is sent again.
//!
//! It is derived from whose fault the failure is and whether bytes reached the upstream, never from
//! a flag. How long to wait is `weft-resilience`'s.

#[cfg(test)]
mod tests;

use std::time::Duration;

use weft_message::Method;
use weft_model::outcome::{Fault, Reason};
use weft_model::policy::RetryPolicy;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The upstream answered with this status.
    Answered(u16),
    /// There is no answer.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether bytes of the request were written to the upstream, which may have acted on
        /// them.
        request_bytes_written: bool,
    },
}

/// What the decision to retry depends on, besides the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptFacts {
    /// Attempts made, the one that ended included; at least 1.
    pub attempts: u32,
    /// Since the first attempt began.
    pub elapsed: Duration,
    /// How the attempt ended.
    pub outcome: AttemptOutcome,
    /// The whole body can be sent again: there is none, it was kept, or nothing of it was read.
    pub body_is_kept: bool,
}

/// Whether to send the request again.
///
/// A failure before any byte of the request was written is retried for every method, and one after
/// that for idempotent methods (RFC 9110 section 9.2.2; Traefik gives up there). Everything
/// else (an answer with one of the statuses, a failure later on, which counts as the status it
/// would become) only where sending twice does no harm: for methods other than POST, PATCH and LOCK,
/// unless the policy says otherwise. What we answered ourselves is never retried.
pub fn may_retry(policy: &RetryPolicy, method: &Method, facts: AttemptFacts) -> bool {
    let RetryPolicy {
        attempts,
        initial_interval: _,
        interval_min: _,
        timeout,
        statuses,
        body_bytes_max: _,
        on_network_error,
        non_idempotent,
    } = policy;
    if facts.attempts >= *attempts
        || timeout.is_some_and(|timeout| facts.elapsed >= timeout)
        || !facts.body_is_kept
    {
        return false;
    }
    let is_listed = |status| contains(statuses, status) && (*non_idempotent || is_harmless(method));
    match facts.outcome {
        // The connection has become something else.
        AttemptOutcome::Answered(101) => false,
        AttemptOutcome::Answered(status) => is_listed(status),
        AttemptOutcome::Failed { reason, request_bytes_written } => {
            is_attempt(reason)
                && ((*on_network_error && (!request_bytes_written || method.is_idempotent()))
                    || is_listed(reason.status()))
        }
    }
}

/// Whether a status is in one of the ranges, both ends included.
pub fn contains(ranges: &[(u16, u16)], status: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&status))
}

/// Whether the failure is one of an attempt: the upstream's fault, and one that another try may
/// not meet. A breaker that is open, a service without endpoints and a time that is over are no
/// attempts.
fn is_attempt(reason: Reason) -> bool {
    reason.fault() == Fault::Upstream
        && !matches!(
            reason,
            Reason::CircuitOpen
                | Reason::NoEndpoint
                | Reason::NoHealthyEndpoint
                | Reason::UpstreamTooLarge
                | Reason::RequestTimeout
        )
}

/// Traefik's list. It counts unknown methods as harmless, which is their owners' choice here too.
fn is_harmless(method: &Method) -> bool {
    !matches!(method, Method::Post | Method::Patch | Method::Connect) && method.as_str() != "LOCK"
}
