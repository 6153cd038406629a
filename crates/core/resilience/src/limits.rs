//! Bounds on what is under way to one destination or one endpoint, with a name for each: what Envoy
//! and Istio call circuit breakers.
//!
//! Over a bound is refused at once, and the refusal says which bound it was.

use crate::inflight::{InFlight, LimitReached, Permit};
use crate::settings::LimitSettings;

/// The bounds of a destination or an endpoint, shared by threads. Clones share the counts.
///
/// ```
/// use weft_resilience::limits::{Bound, Limits};
/// use weft_resilience::settings::LimitSettings;
///
/// let limits = Limits::new(LimitSettings { requests: Some(1), ..LimitSettings::default() });
/// let request = limits.acquire(Bound::Requests).expect("the first of one");
/// let refusal = limits.acquire(Bound::Requests).unwrap_err();
/// assert_eq!(refusal.to_string(), "the bound of 1 requests is reached");
/// assert!(limits.acquire(Bound::Connections).is_ok());
/// drop(request);
/// assert!(limits.acquire(Bound::Requests).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    counts: [InFlight; Bound::ALL.len()],
}

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Connections.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests.
    Requests,
    /// Retries.
    Retries,
}

/// A bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bound of {limit} {} is reached", bound.as_str())]
pub struct BoundReached {
    /// Which.
    pub bound: Bound,
    /// How many it allows.
    pub limit: u32,
}

// === impl Limits ===

impl Limits {
    /// Nothing under way.
    #[must_use]
    pub fn new(settings: LimitSettings) -> Self {
        Self { counts: Bound::ALL.map(|bound| InFlight::new(bound.limit(&settings))) }
    }

    /// Changes the bounds. What is under way stays, above a lower bound too.
    pub fn set(&self, settings: LimitSettings) {
        for bound in Bound::ALL {
            self.counts[bound as usize].set_limit(bound.limit(&settings));
        }
    }

    /// One more, until the permit is dropped.
    ///
    /// # Errors
    ///
    /// [`BoundReached`] when as many as allowed are under way.
    pub fn acquire(&self, bound: Bound) -> Result<Permit, BoundReached> {
        let reached = |LimitReached { limit }| BoundReached { bound, limit };
        self.counts[bound as usize].acquire().map_err(reached)
    }

    /// Number under way.
    #[must_use]
    pub fn count(&self, bound: Bound) -> u32 {
        self.counts[bound as usize].count()
    }
}

// === impl Bound ===

impl Bound {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Connections, Self::Pending, Self::Requests, Self::Retries];

    /// Its name in metrics and texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Pending => "pending requests",
            Self::Requests => "requests",
            Self::Retries => "retries",
        }
    }

    fn limit(self, settings: &LimitSettings) -> u32 {
        let LimitSettings { connections, pending, requests, retries } = *settings;
        let limit = match self {
            Self::Connections => connections,
            Self::Pending => pending,
            Self::Requests => requests,
            Self::Retries => retries,
        };
        limit.unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
