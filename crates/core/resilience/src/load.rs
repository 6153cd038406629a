//! How busy an endpoint is, as one worker sees it.
//!
//! Cells, not atomics: each worker balances what it sends by itself, and no cache line moves
//! between cores. Nothing allocates after an estimate is made.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

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
/// Quick failures look like a quick endpoint: [`observe`](Self::observe) a penalty for them.
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
        Self {
            in_flight: InFlightLoad::new(),
            decay_secs: decay.as_secs_f64().max(1e-9),
            ewma_nanos: Cell::new(0.0),
            observed_at: Cell::new(now),
        }
    }

    /// Counts a request, until the guard is dropped.
    pub fn begin(&self) -> Pending {
        self.in_flight.begin()
    }

    /// Takes in the latency of a request, usually to the head of its answer.
    pub fn observe(&self, now: Instant, latency: Duration) {
        let (latency, ewma) = (latency.as_nanos() as f64, self.ewma_nanos.get());
        let weight = self.weight(now);
        let mixed = ewma * weight + latency * (1.0 - weight);
        self.ewma_nanos.set(if latency > ewma { latency } else { mixed });
        self.observed_at.set(now.max(self.observed_at.get()));
    }

    /// The cost of one more request, in nanoseconds.
    #[must_use]
    pub fn cost(&self, now: Instant) -> f64 {
        let (ewma, pending) = (self.ewma_nanos.get(), f64::from(self.in_flight.count()));
        if ewma == 0.0 && pending > 0.0 {
            return UNKNOWN_COST + pending;
        }
        ewma * self.weight(now) * (pending + 1.0)
    }

    /// The average latency as of the last observation; zero when never heard of.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_nanos(self.ewma_nanos.get() as u64)
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.count()
    }

    /// What the average weighs against something heard now.
    fn weight(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.observed_at.get());
        (-age.as_secs_f64() / self.decay_secs).exp()
    }
}

#[cfg(test)]
mod tests;
