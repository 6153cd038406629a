//! Bounds on what is under way to a backend and to each of its endpoints, for a whole process.
//!
//! Most are [`Limits`]: over a bound is refused at once. Connections are different: who finds no
//! place for one waits in line, and the line is one for all workers.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};
use weft_model::outcome::Reason;
use weft_resilience::inflight::{LimitReached, Permit};
use weft_resilience::limits::{Bound, BoundReached, Limits};
use weft_resilience::settings::LimitSettings;

/// As much is under way as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    /// To all endpoints of the backend together.
    #[error(transparent)]
    Backend(BoundReached),
    /// To one endpoint.
    #[error("{0} at the endpoint")]
    Endpoint(BoundReached),
    /// By the bound that follows from latencies.
    #[error("the bound of {} requests is reached that follows from latencies", .0.limit)]
    Adaptive(LimitReached),
}

/// What is under way to a backend, or to one endpoint. It outlives changes of the configuration,
/// which may change the bounds.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) limits: Limits,
    pub(crate) connections: Gate,
}

/// Places for connections, and a line of those who wait for one. Counted is every connection, so
/// that a bound holds from the moment at which it is set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Inner>);

/// The right to have one connection open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Semaphore,
    size: Mutex<Size>,
    wanted: AtomicU32,
}

#[derive(Debug)]
struct Size {
    limit: u32,
    /// Places to be taken away as soon as they are free.
    excess: usize,
}

/// Somebody waits for a place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Wanted<'a>(&'a AtomicU32);

// === impl Overflow ===

impl Overflow {
    /// What the request ends with.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Adaptive(_) => Reason::ConcurrencyLimited,
            Self::Backend(reached) | Self::Endpoint(reached) => match reached.bound {
                Bound::Connections => Reason::ConnectionsBusy,
                Bound::Pending => Reason::PendingOverflow,
                Bound::Requests | Bound::Retries => Reason::RequestsOverflow,
            },
        }
    }
}

// === impl UnderWay ===

impl UnderWay {
    /// From now on these are the bounds. What is under way stays, above a lower bound too.
    pub(crate) fn set_limits(&self, settings: LimitSettings) {
        self.limits.set(settings);
        self.connections.set_limit(settings.connections);
    }

    /// One more, unless that is too many. What has no bound is not counted.
    pub(crate) fn enter(
        &self,
        bound: Bound,
        limit: Option<u32>,
    ) -> Result<Option<Permit>, BoundReached> {
        limit.map(|_| self.limits.acquire(bound)).transpose()
    }

    /// Whether one more would be too many.
    pub(crate) fn is_full(&self, bound: Bound, limit: Option<u32>) -> bool {
        limit.is_some_and(|limit| self.limits.count(bound) >= limit)
    }
}

impl Default for UnderWay {
    fn default() -> Self {
        Self { limits: Limits::new(LimitSettings::default()), connections: Gate::default() }
    }
}

// === impl Gate ===

impl Gate {
    /// From now on there are so many places; `None` is no bound. What is open stays open, above a
    /// lower bound too.
    pub(crate) fn set_limit(&self, limit: Option<u32>) {
        let limit = limit.unwrap_or(u32::MAX);
        let mut size = self.0.lock();
        let before = std::mem::replace(&mut size.limit, limit) as usize;
        let limit = limit as usize;
        if limit > before {
            let added = limit - before;
            let owed = size.excess.min(added);
            size.excess -= owed;
            self.0.places.add_permits(added - owed);
        } else {
            let removed = before - limit;
            size.excess += removed - self.0.places.forget_permits(removed);
        }
    }

    /// A place, if one is free and nobody waits for it.
    pub(crate) fn try_enter(&self) -> Option<Place> {
        self.0.places.try_acquire().ok().map(|permit| {
            permit.forget();
            Place(Arc::clone(&self.0))
        })
    }

    /// Waits for a place, in line.
    ///
    /// Cancel safe: dropping it gives up the turn.
    pub(crate) async fn enter(&self) -> Place {
        let permit = self.0.places.acquire().await.expect("the gate is never closed");
        permit.forget();
        Place(Arc::clone(&self.0))
    }

    /// Says to all that a place is wanted.
    pub(crate) fn want(&self) -> Wanted<'_> {
        self.0.wanted.fetch_add(1, Relaxed);
        Wanted(&self.0.wanted)
    }

    /// Whether anybody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted() > 0
    }

    /// How many wait.
    pub(crate) fn wanted(&self) -> u32 {
        self.0.wanted.load(Relaxed)
    }

    /// Whether there is no place at present.
    pub(crate) fn is_full(&self) -> bool {
        self.0.places.available_permits() == 0
    }

    /// How many connections are open, or being made.
    pub(crate) fn count(&self) -> u32 {
        let size = self.0.lock();
        let places = size.limit as usize + size.excess;
        u32::try_from(places.saturating_sub(self.0.places.available_permits())).unwrap_or(u32::MAX)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut size = self.0.lock();
        match size.excess.checked_sub(1) {
            Some(left) => size.excess = left,
            None => self.0.places.add_permits(1),
        }
    }
}

// === impl Inner ===

impl Inner {
    // Held to count a connection that is made or has ended, which is rare beside requests.
    fn lock(&self) -> std::sync::MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            places: Semaphore::new(u32::MAX as usize),
            size: Mutex::new(Size { limit: u32::MAX, excess: 0 }),
            wanted: AtomicU32::new(0),
        }
    }
}

// === impl Wanted ===

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

// === functions ===

/// Looks at once, and again whenever somebody calls, for as long as `look` says that it can. No call
/// is missed: one that comes while it looks, from another thread, makes it look again.
pub(crate) async fn heed(calls: &Notify, mut look: impl FnMut() -> bool) {
    let mut called = pin!(calls.notified());
    loop {
        // From here on a call is kept for us, so what is looked at cannot be older than the last.
        called.as_mut().enable();
        if !look() {
            return;
        }
        called.as_mut().await;
        called.set(calls.notified());
    }
}

#[cfg(test)]
mod tests;
