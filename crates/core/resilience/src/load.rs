//! How busy an endpoint is, as one worker sees it.
//!
//! Cells, not atomics: each worker balances what it sends by itself, and no cache line moves
//! between cores. Only [what an endpoint reports](ReportedLoad) is for all workers, since it comes
//! too seldom for each to wait for its own. Nothing allocates after an estimate is made.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::settings::BiasSettings;

mod reported;

pub use reported::{LoadReport, ReportedLoad};

/// Cost of an endpoint with a request under way and no answer yet: above that of all with a
/// history, so that a new endpoint gets one request and then has to answer.
const UNKNOWN_COST: f64 = 1e15;

/// Requests in flight.
///
/// ```
/// # use weft_resilience::load::InFlightLoad;
/// let load = InFlightLoad::new();
/// let pending = load.begin();
/// assert_eq!(load.count(), 1);
/// drop(pending);
/// assert_eq!(load.count(), 0);
/// ```
#[derive(Debug, Default)]
pub struct InFlightLoad {
    count: Rc<Cell<u32>>,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
#[must_use = "a request that is dropped at once is no load"]
pub struct Pending {
    count: Rc<Cell<u32>>,
}

/// The cost of one more request: a moving average of latency that follows peaks at once, times the
/// requests that would be in flight.
///
/// As Finagle has it: a latency above the average replaces it, one below it counts by the time
/// since the last; and the average fades while nothing is heard, so that an endpoint that was slow
/// is tried again. An endpoint never heard of costs nothing until it has a request in flight, and
/// then more than all others until it answers.
///
/// Quick failures look like a quick endpoint, unless they are [penalized](Self::penalize).
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use weft_resilience::load::PeakEwma;
/// let now = Instant::now();
/// let load = PeakEwma::new(Duration::from_secs(10), now);
/// load.observe(now, Duration::from_millis(20));
/// assert_eq!(load.cost(now), 20e6); // nanoseconds
/// let _pending = load.begin();
/// assert_eq!(load.cost(now), 40e6);
/// ```
#[derive(Debug)]
pub struct PeakEwma {
    in_flight: InFlightLoad,
    latency: LatencyEwma,
}

/// The moving average of [`PeakEwma`] alone, for who counts requests in flight in another way. It
/// may move to another thread.
#[derive(Debug)]
pub struct LatencyEwma {
    decay_secs: f64,
    ewma_nanos: Cell<f64>,
    observed_at: Cell<Instant>,
}

// === impl InFlightLoad ===

impl InFlightLoad {
    /// Nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request, until the guard is dropped.
    pub fn begin(&self) -> Pending {
        self.count.set(self.count.get().saturating_add(1));
        Pending { count: Rc::clone(&self.count) }
    }

    /// Requests in flight.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.get()
    }
}

// === impl Pending ===

impl Drop for Pending {
    fn drop(&mut self) {
        self.count.set(self.count.get().saturating_sub(1));
    }
}

// === impl PeakEwma ===

impl PeakEwma {
    /// Finagle's and Linkerd's decay.
    pub const DECAY: Duration = Duration::from_secs(10);

    /// Never heard of. What was heard `decay` ago weighs 1/e.
    #[must_use]
    pub fn new(decay: Duration, now: Instant) -> Self {
        Self { in_flight: InFlightLoad::new(), latency: LatencyEwma::new(decay, now) }
    }

    /// Counts a request, until the guard is dropped.
    pub fn begin(&self) -> Pending {
        self.in_flight.begin()
    }

    /// Takes in the latency of a request, usually to the head of its answer.
    pub fn observe(&self, now: Instant, latency: Duration) {
        self.latency.observe(now, latency);
    }

    /// Takes in an answer that came quickly because it is none: a refusal to serve more (429,
    /// `RESOURCE_EXHAUSTED`) or another failure. It counts as the penalty, or as the time that the
    /// endpoint asked not to be called for, or as its latency, whichever is the longest.
    pub fn penalize(
        &self,
        now: Instant,
        latency: Duration,
        retry_after: Option<Duration>,
        settings: &BiasSettings,
    ) {
        self.latency.penalize(now, latency, retry_after, settings);
    }

    /// The cost of one more request, in nanoseconds.
    #[must_use]
    pub fn cost(&self, now: Instant) -> f64 {
        self.latency.cost(now, self.in_flight())
    }

    /// The average latency as of the last observation; zero when never heard of.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.latency.average()
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.count()
    }
}

// === impl LatencyEwma ===

impl LatencyEwma {
    /// Never heard of. What was heard `decay` ago weighs 1/e.
    #[must_use]
    pub fn new(decay: Duration, now: Instant) -> Self {
        Self {
            decay_secs: decay.as_secs_f64().max(1e-9),
            ewma_nanos: Cell::new(0.0),
            observed_at: Cell::new(now),
        }
    }

    /// Takes in the latency of a request.
    pub fn observe(&self, now: Instant, latency: Duration) {
        let (latency, ewma) = (latency.as_nanos() as f64, self.ewma_nanos.get());
        let weight = self.weight(now);
        let mixed = ewma * weight + latency * (1.0 - weight);
        self.ewma_nanos.set(if latency > ewma { latency } else { mixed });
        self.observed_at.set(now.max(self.observed_at.get()));
    }

    /// Takes in a quick answer that is none, as [`PeakEwma::penalize`] says.
    pub fn penalize(
        &self,
        now: Instant,
        latency: Duration,
        retry_after: Option<Duration>,
        settings: &BiasSettings,
    ) {
        let asked = retry_after.unwrap_or(Duration::ZERO).min(settings.retry_after_max);
        self.observe(now, latency.max(settings.penalty).max(asked));
    }

    /// The cost of one more request beside so many in flight, in nanoseconds.
    #[must_use]
    pub fn cost(&self, now: Instant, in_flight: u32) -> f64 {
        let (ewma, in_flight) = (self.ewma_nanos.get(), f64::from(in_flight));
        if ewma == 0.0 && in_flight > 0.0 {
            return UNKNOWN_COST + in_flight;
        }
        ewma * self.weight(now) * (in_flight + 1.0)
    }

    /// The average as of the last observation; zero when never heard of.
    #[must_use]
    pub fn average(&self) -> Duration {
        Duration::from_nanos(self.ewma_nanos.get() as u64)
    }

    /// What the average weighs against something heard now.
    fn weight(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.observed_at.get());
        (-age.as_secs_f64() / self.decay_secs).exp()
    }
}

#[cfg(test)]
mod tests;
