//! Trying again within reason: how often, after what wait, and for what share of requests.

use std::time::{Duration, Instant};

use crate::bucket::TokenBucket;
use crate::jitter;
use crate::rng::Rng;
use crate::settings::{BackoffSettings, BudgetSettings, RateSettings};
use crate::window::RollingCounters;

/// Slots of the window in which a budget measures its ratio.
const SLOTS: u32 = 10;

const REQUESTS: usize = 0;
const RETRIES: usize = 1;

/// The tries of one request.
///
/// ```
/// let mut attempts = weft_resilience::retry::Attempts::new(2);
/// assert!(attempts.begin());
/// assert!(attempts.begin());
/// assert!(!attempts.begin());
/// assert_eq!(attempts.begun(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    begun: u32,
    max: u32,
}

/// The waits between the tries of one request.
///
/// Each is even between the minimum and a bound (with a minimum of zero: full jitter), and the bound
/// grows by the factor up to the maximum: who failed together does not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    settings: BackoffSettings,
    bound: Duration,
}

/// Bounds the retries of all requests to one destination, shared by threads.
///
/// A retry may be made while the retries of the last interval stay within a ratio of its first
/// tries, or, whatever the ratio, at a minimum rate: enough to retry where there is little traffic,
/// and no storm where all fails. Rules of Gateway API's `retryConstraint` (GEP-3388) and of
/// Linkerd's `retryBudget`.
///
/// Threads that ask at one moment may together exceed the ratio by one retry each.
///
/// ```
/// # use std::time::Instant;
/// use weft_resilience::{retry::RetryBudget, settings::BudgetSettings};
///
/// let now = Instant::now();
/// let settings = BudgetSettings { retries_min: 0, ..BudgetSettings::DEFAULT };
/// let budget = RetryBudget::new(settings, now);
/// (0..5).for_each(|_| budget.request(now));
/// assert!(budget.try_retry(now)); // one of five is 20 %
/// assert!(!budget.try_retry(now));
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    ratio: f64,
    counters: RollingCounters,
    /// `None` when no rate is guaranteed.
    minimum: Option<TokenBucket>,
}

// === impl Attempts ===

impl Attempts {
    /// At most `max` tries, the first included; 0 counts as 1.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { begun: 0, max: if max == 0 { 1 } else { max } }
    }

    /// Begins a try, if one is left.
    #[must_use = "a try may be made only if this is true"]
    pub const fn begin(&mut self) -> bool {
        if self.begun == self.max {
            return false;
        }
        self.begun += 1;
        true
    }

    /// Tries begun.
    #[must_use]
    pub const fn begun(self) -> u32 {
        self.begun
    }

    /// Tries left.
    #[must_use]
    pub const fn left(self) -> u32 {
        self.max - self.begun
    }
}

// === impl Backoff ===

impl Backoff {
    /// Before the first wait.
    #[must_use]
    pub fn new(settings: BackoffSettings) -> Self {
        Self { settings, bound: settings.initial_interval.min(settings.interval_max) }
    }

    /// The next wait.
    pub fn next(&mut self, rng: &Rng) -> Duration {
        let low = self.settings.interval_min;
        let wait = jitter::between(low, self.bound.max(low), rng);
        let grown = jitter::scale(self.bound, self.settings.factor.max(1.0));
        self.bound = grown.min(self.settings.interval_max);
        wait
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget that has seen nothing.
    #[must_use]
    pub fn new(settings: BudgetSettings, epoch: Instant) -> Self {
        let BudgetSettings { ratio, interval, retries_min, retries_min_interval } = settings;
        let rate = RateSettings {
            average: u64::from(retries_min),
            period: retries_min_interval,
            burst: u64::from(retries_min),
        };
        Self {
            ratio,
            counters: RollingCounters::new(2, SLOTS as usize, interval / SLOTS, epoch),
            minimum: (retries_min > 0).then(|| TokenBucket::new(rate, epoch)),
        }
    }

    /// Counts the first try of a request.
    pub fn request(&self, now: Instant) {
        self.counters.add(now, REQUESTS, 1);
    }

    /// Whether a retry may be made; counts it if so.
    #[must_use = "a retry may be made only if this is true"]
    pub fn try_retry(&self, now: Instant) -> bool {
        let retries = self.counters.sum(now, RETRIES) + 1;
        let requests = self.counters.sum(now, REQUESTS);
        // The epsilon lets one of five be 20 %, whatever the rounding of 0.2.
        let within = retries as f64 <= requests as f64 * self.ratio + 1e-9;
        let allowed = within || self.minimum.as_ref().is_some_and(|rate| rate.take_at_once(now));
        if allowed {
            self.counters.add(now, RETRIES, 1);
        }
        allowed
    }
}

#[cfg(test)]
mod tests;
