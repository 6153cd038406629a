//! Whether a request is sent again.
//!
//! It is derived from whose fault the failure is and whether bytes reached the upstream, never from
//! a flag. How long to wait is `weft-resilience`'s, unless the upstream says so
//! (its `pushback`).

#[cfg(test)]
mod tests;

use std::time::Duration;

use weft_message::Method;
use weft_model::outcome::Reason;
use weft_model::policy::RetryPolicy;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The upstream answered.
    Answered {
        /// The status.
        status: u16,
        /// The gRPC status, where the head has it: no message comes then.
        grpc_status: Option<u32>,
    },
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
/// What was not sent, or was refused before anybody looked at it, is sent again for every method;
/// what was, where sending twice does no harm or the policy says that it does not matter.
///
/// - Failures of the connection, and times that passed, where the policy asks for that: harmless
///   are idempotent methods (RFC 9110 section 9.2.2).
/// - Statuses, and failures as the status that they would become: harmless are all methods but POST,
///   PATCH and LOCK, as in Traefik.
/// - gRPC statuses, for every method: all of gRPC is POST, so who lists them means it.
///
/// What we answered ourselves is never retried.
pub fn may_retry(policy: &RetryPolicy, method: &Method, facts: AttemptFacts) -> bool {
    let RetryPolicy {
        attempts,
        backoff: _,
        timeout,
        attempt_timeout: _,
        statuses,
        grpc_statuses,
        body_bytes_max: _,
        on_unreached,
        on_network_error,
        on_timeout,
        non_idempotent,
        same_endpoint: _,
        elsewhere: _,
        by_default: _,
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
        AttemptOutcome::Answered { status: 101, .. } => false,
        AttemptOutcome::Answered { status, grpc_status } => {
            grpc_status.is_some_and(|code| grpc_statuses.contains(&code)) || is_listed(status)
        }
        AttemptOutcome::Failed { reason, request_bytes_written: written } => {
            let is_covered = *on_network_error || (*on_timeout && is_timeout(reason));
            is_attempt(reason)
                && ((*on_unreached && !written)
                    || (is_covered && (!written || *non_idempotent || method.is_idempotent()))
                    || is_listed(reason.status()))
        }
    }
}

/// Whether a status is in one of the ranges, both ends included.
pub fn contains(ranges: &[(u16, u16)], status: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&status))
}

/// Whether the failure is one of an attempt: one that another try may not meet. A time that is over is
/// over for all of them.
fn is_attempt(reason: Reason) -> bool {
    reason.is_endpoints() && reason != Reason::RequestTimeout
}

fn is_timeout(reason: Reason) -> bool {
    matches!(reason, Reason::ConnectTimeout | Reason::UpstreamTimeout)
}

/// Traefik's list. It counts unknown methods as harmless, which is their owners' choice here too.
fn is_harmless(method: &Method) -> bool {
    !matches!(method, Method::Post | Method::Patch | Method::Connect) && method.as_str() != "LOCK"
}
