//! What an outcome means.
//!
//! Retries, breakers, balancing, hedges and adaptive limits all ask the same question of a result:
//! did the upstream do its part? A [`Classify`] answers it with a [`Verdict`].
//!
//! | Classifier | for | a failure is |
//! | --- | --- | --- |
//! | [`ByError`], the default | `Result<T, E>` with `E:` [`AsRefused`] | every error; a refusal counts as what it is |
//! | [`ByResult`] | any `Result<T, E>` | every error |
//! | [`HttpClassifier`] | `Result<http::Response<B>, E>` | a status of 5xx or 429, a gRPC status that says so, every error |
//! | a closure | whatever it takes | what it says |
//!
//! ```
//! use resilience_tower::classify::{Class, Classify, Verdict};
//!
//! // A quota that is used up comes as an error, and trying again does not help.
//! let classifier = |outcome: &Result<String, i32>| match outcome {
//!     Ok(_) => Verdict::SUCCESS,
//!     Err(7) => Verdict::failure(Class::Overload).retryable(false),
//!     Err(_) => Verdict::failure(Class::Unreachable),
//! };
//! assert!(!classifier.classify(&Err(7)).retryable);
//! ```

use std::time::Duration;

use weft_resilience::load::LoadReport;
use weft_resilience::outlier::Signal;

use crate::error::{AsRefused, Refused};

#[cfg(feature = "http")]
mod http;

#[cfg(feature = "http")]
pub(crate) use http::GRPC_STATUS;
#[cfg(feature = "http")]
pub use http::HttpClassifier;

/// Judges outcomes of type `T`, usually a `Result`.
pub trait Classify<T> {
    /// What the outcome says of the upstream.
    fn classify(&self, outcome: &T) -> Verdict;

    /// What the upstream says of its own load, for
    /// [`PickerKind::WeightedByLoad`](crate::settings::PickerKind::WeightedByLoad). By default
    /// nothing; not asked for by others than [`Balance`](crate::Balance).
    fn load_report(&self, outcome: &T) -> Option<LoadReport> {
        let _ = outcome;
        None
    }

    /// Marks a failure that is about to be given to the caller although it was worth a retry, so
    /// that callers farther up do not retry what was retried here. By default there is no mark.
    fn mark_final(&self, outcome: &mut T) {
        let _ = outcome;
    }
}

/// What an outcome says. Begin with [`SUCCESS`](Self::SUCCESS) or [`failure`](Self::failure).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// How it ended.
    pub class: Class,
    /// HTTP status, or the one that a gRPC status corresponds to, where there is one.
    pub status: Option<u16>,
    /// Whether another attempt may end better.
    pub retryable: bool,
    /// The upstream asks for no attempt before.
    pub retry_after: Option<Duration>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The upstream did its part, even if the caller was wrong to ask.
    Success,
    /// The upstream answered that it failed.
    Failure,
    /// The upstream answered that it has too much to do.
    Overload,
    /// It was not reached, broke off, or did not answer in time.
    Unreachable,
    /// A policy of this process did not let it through: nothing is known of the upstream.
    Refused,
}

/// Every error is a failure to reach the upstream, worth a retry.
///
/// For plain functions whose errors know nothing of this crate. Around layers of it use
/// [`ByError`], or a refusal of theirs counts against the upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByResult;

/// Every error is a failure to reach the upstream, worth a retry; but a [`Refused`] counts as what
/// it is (see [`Verdict::of_refusal`]).
#[derive(Debug, Clone, Copy, Default)]
pub struct ByError;

// === impl Verdict ===

impl Verdict {
    /// The upstream did its part.
    pub const SUCCESS: Self =
        Self { class: Class::Success, status: None, retryable: false, retry_after: None };

    /// A failure without a status that is worth a retry.
    #[must_use]
    pub const fn failure(class: Class) -> Self {
        Self { class, status: None, retryable: true, retry_after: None }
    }

    /// With a [`status`](Self#structfield.status).
    #[must_use]
    pub const fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// [Worth another attempt](Self#structfield.retryable) or not.
    #[must_use]
    pub const fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }

    /// With a wish of the upstream's for the time of the [next
    /// attempt](Self#structfield.retry_after).
    #[must_use]
    pub const fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// What a refusal by a layer further in means. A timeout is the upstream's failure and worth a
    /// retry. The others say nothing about the upstream, and are not: what refuses now has a reason
    /// to refuse for a while.
    #[must_use]
    pub const fn of_refusal(refused: &Refused) -> Self {
        match refused {
            Refused::Timeout { .. } => Self::failure(Class::Unreachable),
            Refused::BreakerOpen { .. }
            | Refused::RateLimited { .. }
            | Refused::Busy { .. }
            | Refused::NoEndpoint { .. }
            | Refused::Policy { .. } => Self {
                class: Class::Refused,
                status: None,
                retryable: false,
                retry_after: refused.retry_after(),
            },
        }
    }

    /// Of an error that may be a refusal.
    pub(crate) fn of_error<E: AsRefused>(error: &E) -> Self {
        match error.as_refused() {
            Some(refused) => Self::of_refusal(refused),
            None => Self::failure(Class::Unreachable),
        }
    }

    /// What the outlier detection hears; nothing where the upstream was not asked.
    pub(crate) fn signal(&self) -> Option<Signal> {
        match (self.class, self.status) {
            (Class::Refused, _) => None,
            (Class::Unreachable, _) => Some(Signal::ConnectionFailure),
            (Class::Success, _) => Some(Signal::Success),
            // Which statuses of servers eject, and whether overload does, is for the settings.
            (_, Some(status @ (429 | 500..))) => Some(Signal::Status(status)),
            (Class::Failure | Class::Overload, _) => Some(Signal::Failure),
        }
    }
}

// === impl Classify ===

impl<T, F: Fn(&T) -> Verdict> Classify<T> for F {
    fn classify(&self, outcome: &T) -> Verdict {
        self(outcome)
    }
}

impl<T, E> Classify<Result<T, E>> for ByResult {
    fn classify(&self, outcome: &Result<T, E>) -> Verdict {
        match outcome {
            Ok(_) => Verdict::SUCCESS,
            Err(_) => Verdict::failure(Class::Unreachable),
        }
    }
}

impl<T, E: AsRefused> Classify<Result<T, E>> for ByError {
    fn classify(&self, outcome: &Result<T, E>) -> Verdict {
        match outcome {
            Ok(_) => Verdict::SUCCESS,
            Err(error) => Verdict::of_error(error),
        }
    }
}

#[cfg(test)]
mod tests;
