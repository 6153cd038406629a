//! How a call can fail without the upstream's doing, and errors that can say so.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

mod layer;

pub use layer::{ErrorLayer, ErrorService};

/// What tower and its users box errors into.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A call ended by a policy of this process.
///
/// Every layer turns one into the error type of the service below it ([`From`]). [`Error`] and
/// [`BoxError`] take it as they are; an error type of your own does with one line
/// (`#[from] Refused` in `thiserror`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// [`Timeout`](crate::Timeout): the call began and did not end in time.
    #[error("no answer within {limit:?}")]
    Timeout {
        /// The time it had.
        limit: Duration,
    },
    /// [`Breaker`](crate::Breaker): too many calls before this one have failed.
    #[error("circuit breaker is open, for {retry_after:?} more")]
    BreakerOpen {
        /// Until it lets calls pass again.
        retry_after: Duration,
    },
    /// [`RateLimit`](crate::RateLimit): more calls in too short a time.
    #[error("rate limit is reached, for {retry_after:?} more")]
    RateLimited {
        /// Until the next call may come.
        retry_after: Duration,
    },
    /// [`ConcurrencyLimit`](crate::ConcurrencyLimit): as many as allowed are under way.
    #[error("{limit} calls are under way already")]
    Busy {
        /// The bound at that moment.
        limit: u32,
    },
    /// [`Balance`](crate::Balance): there is nothing to send it to.
    #[error("none of {known} endpoints is usable")]
    NoEndpoint {
        /// Endpoints in the set, usable or not.
        known: usize,
    },
    /// A [gate](crate::gate) of your own.
    #[error("refused: {name}")]
    Policy {
        /// Its kind, as a label of metrics.
        name: &'static str,
        /// Until it is worth asking again, if that is known.
        retry_after: Option<Duration>,
    },
}

/// An error of the call itself, or a refusal by one of the layers around it.
///
/// [`ErrorLayer`], innermost, makes a service's errors this type; one level serves any number of
/// layers. The functions of this crate give it as well, each a level of its own, which
/// [`flatten`](Error::flatten) takes away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// The call's own.
    #[error(transparent)]
    Inner(E),
    /// A policy's.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The last failure of a call that was [tried again](crate::retry()), and why it was the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("gave up after {attempts} attempts: {stop}")]
pub struct GaveUp<E> {
    /// What the last attempt ended with.
    #[source]
    pub last: E,
    /// Attempts made, the first one included.
    pub attempts: u32,
    /// Why there was no further one.
    pub stop: Stop,
}

/// Why a failed call is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// The same request would fail again, or the answer asks not to.
    #[error("this failure is not worth another attempt")]
    NotRetryable,
    /// All attempts are used up.
    #[error("no attempt is left")]
    Attempts,
    /// Too large a share of the calls are retries already.
    #[error("the retry budget is spent")]
    Budget,
    /// The answer asks for a longer wait than the policy allows.
    #[error("the upstream asks for a longer wait")]
    RetryAfter,
    /// The wait would not end in time.
    #[error("no time is left")]
    Deadline,
    /// Doing it twice could do harm, or its body cannot be sent again.
    #[error("the request cannot be repeated")]
    NotRepeatable,
    /// The request is a retry of a caller farther up, who will retry it or not.
    #[error("the request is a retry already")]
    RetryOfRetry,
}

/// Errors that may hold a [`Refused`], so that an outer layer can tell a refusal from a failure of
/// the upstream.
///
/// [`ByError`](crate::classify::ByError) asks for it. An error type of your own that takes
/// refusals shows them; one that never holds any needs no more than `impl AsRefused for MyError {}`.
pub trait AsRefused {
    /// The refusal, if that is what it is. By default it never is.
    fn as_refused(&self) -> Option<&Refused> {
        None
    }
}

// === impl Refused ===

impl Refused {
    /// When it is worth asking again, if that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after } | Self::RateLimited { retry_after } => {
                Some(*retry_after)
            }
            Self::Policy { retry_after, .. } => *retry_after,
            Self::Timeout { .. } | Self::Busy { .. } | Self::NoEndpoint { .. } => None,
        }
    }

    /// The kind, as a label of metrics: `timeout`, `breaker_open`, `rate_limited`, `busy`,
    /// `no_endpoint`, or the name of a policy of your own.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::NoEndpoint { .. } => "no_endpoint",
            Self::Policy { name, .. } => name,
        }
    }
}

// === impl Error ===

impl<E> Error<E> {
    /// The call's own error, if it is that.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            Self::Refused(_) => None,
        }
    }
}

impl<E> Error<Error<E>> {
    /// One level instead of two, for functions of this crate inside each other:
    /// `.map_err(Error::flatten)`.
    pub fn flatten(self) -> Error<E> {
        match self {
            Self::Inner(error) => error,
            Self::Refused(refused) => Error::Refused(refused),
        }
    }
}

// === impl GaveUp ===

impl<E> GaveUp<E> {
    /// Only what the last attempt ended with, as without retries.
    pub fn into_last(self) -> E {
        self.last
    }
}

// === impl Stop ===

impl Stop {
    /// The reason, as a label of metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::RetryAfter => "retry_after",
            Self::Deadline => "deadline",
            Self::NotRepeatable => "not_repeatable",
            Self::RetryOfRetry => "retry_of_retry",
        }
    }
}

// === impl AsRefused ===

impl AsRefused for Refused {
    fn as_refused(&self) -> Option<&Refused> {
        Some(self)
    }
}

impl<E> AsRefused for Error<E> {
    fn as_refused(&self) -> Option<&Refused> {
        match self {
            Self::Inner(_) => None,
            Self::Refused(refused) => Some(refused),
        }
    }
}

impl<E: AsRefused> AsRefused for GaveUp<E> {
    fn as_refused(&self) -> Option<&Refused> {
        self.last.as_refused()
    }
}

impl AsRefused for BoxError {
    /// The refusal in it, or in what it wraps.
    fn as_refused(&self) -> Option<&Refused> {
        find(self.as_ref())
    }
}

impl AsRefused for Infallible {}
impl AsRefused for io::Error {}
impl AsRefused for String {}
impl AsRefused for &'static str {}
impl AsRefused for () {}

/// The first refusal along the chain of sources.
pub(crate) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Refused> {
    let mut error = error;
    loop {
        match error.downcast_ref() {
            Some(refused) => return Some(refused),
            None => error = error.source()?,
        }
    }
}

#[cfg(test)]
mod tests;
