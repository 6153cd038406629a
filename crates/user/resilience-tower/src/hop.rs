//! Calls across several hops: no retry of a retry, none of what was retried already, and one
//! deadline for all.
//!
//! Where A calls B, B calls C and C calls D, and each tries three times, a D that fails gets 27
//! calls for one. Budgets alone do not end that: with 20 % at each hop it still gets 1.7. Two
//! fields of HTTP do:
//!
//! - **Down**, `x-envoy-attempt-count` says which attempt a request is (from 1), as Envoy and the
//!   meshes on it have it. Who serves attempt 2 does not retry the calls that it makes for it.
//! - **Up**, `weftway-retried` on an answer says that retries were made, or refused, farther down.
//!   Who gets such an answer does not retry; nor does it for gRPC's `grpc-retry-pushback-ms: -1`, or
//!   for a `retry-after` that cannot be read.
//!
//! So only the hop next to the failure retries, within its budget. And how long the caller still
//! waits travels down in `grpc-timeout` and in Envoy's `x-envoy-expected-rq-timeout-ms`: work for
//! which nobody waits any more need not be done.
//!
//! [`HttpReplay`](crate::replay::HttpReplay) and [`HttpClassifier`](crate::classify::HttpClassifier)
//! write and read both. What is left to a server is to hand them on: from the request that it
//! serves to those that it makes ([`Hop::carry`]), and from an answer that it got to its own
//! ([`pass_back`]) if it does not forward that answer as it is.
//!
//! ```
//! use http::{HeaderMap, HeaderValue};
//! use resilience_tower::hop::{self, Hop};
//!
//! // Of a request that is served: it is the caller's second attempt, and has to end in a second.
//! let mut inbound = HeaderMap::new();
//! inbound.insert(hop::ATTEMPT, HeaderValue::from_static("2"));
//! inbound.insert(hop::EXPECTED_TIMEOUT, HeaderValue::from_static("1000"));
//! let hop = Hop::of(&inbound);
//! assert!(hop.time_left().is_some_and(|left| left.as_millis() > 0));
//!
//! // On to a request that is made for it: it will not be retried, and says what time is left.
//! let mut outbound = HeaderMap::new();
//! hop.carry(&mut outbound);
//! assert_eq!(Hop::of(&outbound).attempt(), 2);
//! ```

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use weft_resilience::deadline::Deadline;
use weft_resilience::pushback::Pushback;

use crate::clock;

/// Which attempt a request is, from 1.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// On an answer: retries were made or refused already; do not retry.
pub const RETRIED: HeaderName = HeaderName::from_static("weftway-retried");

/// On an answer of gRPC: milliseconds to wait before a retry; negative for none (gRFC A6).
pub const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// On a request of gRPC: how many attempts went before (gRFC A6).
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// On a request: milliseconds that the caller waits for the answer, as Envoy has it.
pub const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// On a request of gRPC: how long the caller waits, a number of up to eight digits and a unit.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What a request says of its caller: which attempt it is, and until when it is worth an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    attempt: u32,
    deadline: Deadline,
    is_grpc: bool,
}

// === impl Hop ===

impl Hop {
    /// As the fields of a request say it. What they do not say: the first attempt, no deadline.
    ///
    /// The time counts from now: read it when the request has come.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let number = |name: HeaderName| number(request, &name);
        let previous = number(PREVIOUS_ATTEMPTS).map_or(1, |previous| previous.saturating_add(1));
        let expected = number(EXPECTED_TIMEOUT).filter(|millis| *millis > 0);
        let expected = expected.map(|millis| Duration::from_millis(millis.into()));
        let grpc = request.get(GRPC_TIMEOUT).and_then(grpc_timeout);
        let now = clock::now();
        Self {
            attempt: number(ATTEMPT).unwrap_or(1).max(previous).max(1),
            deadline: [expected, grpc]
                .map(|left| Deadline::after_some(now, left))
                .into_iter()
                .collect(),
            is_grpc: grpc.is_some(),
        }
    }

    /// From 1.
    #[must_use]
    pub const fn attempt(self) -> u32 {
        self.attempt
    }

    /// Whether a caller farther up is retrying.
    #[must_use]
    pub const fn is_retry(self) -> bool {
        self.attempt > 1
    }

    /// How long the caller still waits: zero when it is too late, `None` when it did not say.
    #[must_use]
    pub fn time_left(self) -> Option<Duration> {
        self.deadline.remaining(clock::now())
    }

    /// Writes the attempt, and the time that is left, into a request made on behalf of the one that
    /// it was read from. A shorter time that the request has already stays.
    pub fn carry(self, request: &mut HeaderMap) {
        set_attempt(request, self.attempt);
        let own = Self::of(request).deadline;
        let Some(left) = self.deadline.earliest(own).remaining(clock::now()) else { return };
        // In whole milliseconds, at least one: zero means no bound to Envoy.
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        request.insert(EXPECTED_TIMEOUT, HeaderValue::from(millis));
        if self.is_grpc || request.contains_key(GRPC_TIMEOUT) {
            request.insert(GRPC_TIMEOUT, grpc_timeout_of(millis));
        }
    }
}

/// Writes into a request which attempt it is, from 1, as
/// [`HttpReplay`](crate::replay::HttpReplay) does: for a [`Replay`](crate::replay::Replay) of
/// requests of another type.
pub fn set_attempt(request: &mut HeaderMap, attempt: u32) {
    // Most calls have one attempt, and this takes no memory for it.
    let number = match attempt {
        1 => HeaderValue::from_static("1"),
        _ => HeaderValue::from(attempt),
    };
    request.insert(ATTEMPT, number);
}

/// Whether an answer asks not to be retried: by [`RETRIED`], or because when it wants to be is no
/// time that can be read, as gRPC's `-1` is none.
#[must_use]
pub fn forbids_retry(answer: &HeaderMap) -> bool {
    answer.contains_key(RETRIED) || pushback(answer) == Pushback::Never
}

/// Asks the caller not to retry this answer.
pub fn forbid_retry(answer: &mut HeaderMap) {
    answer.insert(RETRIED, HeaderValue::from_static("1"));
}

/// Copies the wish not to be retried from the answer that was got to the one that is made of it.
pub fn pass_back(got: &HeaderMap, answer: &mut HeaderMap) {
    if forbids_retry(got) {
        forbid_retry(answer);
    }
}

/// What an answer says of another try.
pub(crate) fn pushback(answer: &HeaderMap) -> Pushback {
    Pushback::of(|name| answer.get(name).map(HeaderValue::as_bytes))
}

/// A whole number.
pub(crate) fn number(fields: &HeaderMap, name: &HeaderName) -> Option<u32> {
    fields.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// A timeout as gRPC writes it: up to eight digits, and H, M, S, m, u or n.
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// So many milliseconds as gRPC writes them, in seconds where eight digits are too few.
fn grpc_timeout_of(millis: u64) -> HeaderValue {
    let (count, unit) = match millis {
        0..=99_999_999 => (millis, 'm'),
        _ => ((millis / 1_000).min(99_999_999), 'S'),
    };
    HeaderValue::try_from(format!("{count}{unit}")).expect("digits and a letter are a field value")
}

#[cfg(test)]
mod tests;
