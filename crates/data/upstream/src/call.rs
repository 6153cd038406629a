//! One request to a backend, with all of its attempts.

use std::rc::Rc;
use std::time::Instant;

use weft_resilience::inflight::Permit;
use weft_resilience::limits::{Bound, BoundReached};
use weft_resilience::retry::Active;

use crate::backend::Backend;
use crate::bound::Overflow;
use crate::lease::Tried;

/// What an endpoint is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The present.
    pub now: Instant,
    /// What keeps requests together: the value of a sticky cookie, or the hash of what the
    /// backend's settings name. Only pickers that hash look at it.
    pub key: Option<u64>,
    /// Endpoints that this request was sent to before.
    pub tried: &'a Tried,
    /// Whether to leave the places of those as well, if others can take it.
    pub elsewhere: bool,
    /// Whether it is a retry that [`Call::try_retry`] has granted.
    pub is_retry: bool,
}

/// A request counts towards the budget of retries for as long as this lives.
#[derive(Debug)]
pub struct Call {
    backend: Rc<Backend>,
    _request: Active,
    retry: Option<Retry>,
}

/// A retry may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetryRefused {
    /// The budget of retries is spent.
    #[error("the retry budget is spent")]
    Budget,
    /// As many retries are under way as may be.
    #[error(transparent)]
    Limit(BoundReached),
}

/// The last retry, for as long as it is under way.
#[derive(Debug)]
struct Retry {
    _budget: Active,
    _place: Option<Permit>,
}

// === impl Ask ===

impl<'a> Ask<'a> {
    /// For a first try without a key.
    pub const fn new(now: Instant, tried: &'a Tried) -> Self {
        Self { now, key: None, tried, elsewhere: false, is_retry: false }
    }
}

// === impl Call ===

impl Call {
    pub(crate) fn new(backend: Rc<Backend>, request: Active) -> Self {
        Self { backend, _request: request, retry: None }
    }

    /// Begins a retry, in place of the one before, which is over.
    ///
    /// # Errors
    ///
    /// When the budget is spent or as many are under way as may be. It is counted.
    pub fn try_retry(&mut self, now: Instant) -> Result<(), RetryRefused> {
        self.retry = None;
        let backend = &self.backend;
        let limit = backend.settings().calling.limits.retries;
        let place = backend.shared.under_way.enter(Bound::Retries, limit).map_err(|reached| {
            backend.cells.refuse(Overflow::Backend(reached));
            RetryRefused::Limit(reached)
        })?;
        let Some(budget) = backend.retry_from_budget(now) else {
            backend.cells.retries_denied.inc();
            return Err(RetryRefused::Budget);
        };
        self.retry = Some(Retry { _budget: budget, _place: place });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
