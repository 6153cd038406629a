//! Trying again within reason: how often, after what wait, and for what share of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::bucket::{Admission, TokenBucket};
use crate::deadline::Deadline;
use crate::jitter;
use crate::rng::Rng;
use crate::settings::{ActiveBudget, BackoffSettings, BudgetSettings, RateSettings, RecentBudget};
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
/// Each is even between the minimum and a bound (with a minimum of zero: full jitter), and the
/// bound grows by the factor up to the maximum: who failed together does not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    settings: BackoffSettings,
    bound: Duration,
}

/// Bounds the retries of all requests to one destination, shared by threads.
///
/// Enough to retry where there is little traffic, and no storm where all fails. By
/// [`BudgetSettings::Recent`] a retry may be made while the retries of the last interval stay
/// within a ratio of its first tries, or, whatever the ratio, at a minimum rate: rules of Gateway
/// API's `retryConstraint` (GEP-3388) and of Linkerd's `retryBudget`. Threads that ask at one
/// moment may together exceed that ratio by one retry each.
///
/// By [`BudgetSettings::Active`] it may be made while the retries under way stay within a ratio of
/// the requests under way, or below a minimum number: Envoy's `retry_budget` and Istio's
/// `retryBudget`.
///
/// ```
/// # use std::time::Instant;
/// use weft_resilience::retry::RetryBudget;
/// use weft_resilience::settings::{BudgetSettings, RecentBudget};
///
/// let now = Instant::now();
/// let settings = RecentBudget { retries_min: 0, ..RecentBudget::DEFAULT };
/// let budget = RetryBudget::new(BudgetSettings::Recent(settings), now);
/// let requests: Vec<_> = (0..5).map(|_| budget.request(now)).collect();
/// assert!(budget.try_retry(now).is_some()); // one of five is 20 %
/// assert!(budget.try_retry(now).is_none());
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    kind: Budget,
}

/// A request or a retry that counts in a budget as under way, until it is dropped.
#[derive(Debug)]
#[must_use = "what is dropped at once does not count as under way"]
pub struct Active {
    under_way: Option<Arc<UnderWay>>,
    is_retry: bool,
}

#[derive(Debug)]
enum Budget {
    Recent {
        ratio: f64,
        counters: RollingCounters,
        /// `None` when no rate is guaranteed.
        minimum: Option<Minimum>,
    },
    Active {
        settings: ActiveBudget,
        under_way: Arc<UnderWay>,
        /// Requests begun within the interval, if there is one.
        begun: Option<RollingCounters>,
    },
}

/// Retries that are allowed whatever the ratio says.
#[derive(Debug)]
struct Minimum {
    rate: TokenBucket,
    /// What the rate comes to over the interval in which the ratio is measured.
    in_interval: u64,
}

#[derive(Debug, Default)]
struct UnderWay {
    requests: AtomicU32,
    retries: AtomicU32,
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
    /// Nobody holds a request for longer than this because an answer asks for it.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

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

    /// The next wait, when the answer said with `retry-after` how long not to come back; `None`
    /// when a try after that wait would begin too late.
    ///
    /// The wait begins where the answer's ends, so that those who were sent away together do not
    /// come back together. Beyond [`RETRY_AFTER_MAX`](Self::RETRY_AFTER_MAX) it is too late in any
    /// case. Without `retry_after` it is [`next`](Self::next), if the deadline allows it.
    #[must_use = "a try may be made only if there is a wait for it"]
    pub fn next_within(
        &mut self,
        now: Instant,
        retry_after: Option<Duration>,
        deadline: Deadline,
        rng: &Rng,
    ) -> Option<Duration> {
        let least = retry_after.unwrap_or(Duration::ZERO);
        if least > Self::RETRY_AFTER_MAX || !deadline.allows(now, least) {
            return None;
        }
        let wait = least.saturating_add(self.next(rng));
        deadline.allows(now, wait).then_some(wait)
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget that has seen nothing.
    #[must_use]
    pub fn new(settings: BudgetSettings, epoch: Instant) -> Self {
        let counters = |count, interval: Duration| {
            RollingCounters::new(count, SLOTS as usize, interval / SLOTS, epoch)
        };
        let kind = match settings {
            BudgetSettings::Recent(settings) => {
                let RecentBudget { ratio, interval, retries_min, .. } = settings;
                let minimum = (retries_min > 0).then(|| Minimum::new(&settings, epoch));
                Budget::Recent { ratio, counters: counters(2, interval), minimum }
            }
            BudgetSettings::Active(settings) => {
                let interval = Some(settings.interval).filter(|interval| !interval.is_zero());
                let begun = interval.map(|interval| counters(1, interval));
                Budget::Active { settings, under_way: Arc::default(), begun }
            }
        };
        Self { kind }
    }

    /// Counts the first try of a request, which is under way until the guard is dropped.
    pub fn request(&self, now: Instant) -> Active {
        match &self.kind {
            Budget::Recent { counters, .. } => {
                counters.add(now, REQUESTS, 1);
                Active { under_way: None, is_retry: false }
            }
            Budget::Active { under_way, begun, .. } => {
                if let Some(begun) = begun {
                    begun.add(now, REQUESTS, 1);
                }
                under_way.requests.fetch_add(1, Ordering::Relaxed);
                Active { under_way: Some(Arc::clone(under_way)), is_retry: false }
            }
        }
    }

    /// A retry, if one may be made. It is under way until the guard is dropped.
    #[must_use = "a retry may be made only if this is one"]
    pub fn try_retry(&self, now: Instant) -> Option<Active> {
        match &self.kind {
            Budget::Recent { ratio, counters, minimum } => {
                let retries = counters.sum(now, RETRIES) + 1;
                let requests = counters.sum(now, REQUESTS);
                let within = retries <= share(requests, *ratio);
                let at_least = |minimum: &Minimum| minimum.try_take(now, retries);
                // Asked in any case: what the ratio allows is a part of the minimum, too.
                let allowed = minimum.as_ref().is_some_and(at_least) || within;
                allowed.then(|| {
                    counters.add(now, RETRIES, 1);
                    Active { under_way: None, is_retry: true }
                })
            }
            Budget::Active { settings, under_way, begun } => {
                let requests = u64::from(under_way.requests.load(Ordering::Relaxed));
                let begun = begun.as_ref().map_or(0, |begun| begun.sum(now, REQUESTS));
                let max = share(requests.max(begun), settings.ratio);
                let max = max.max(u64::from(settings.retries_min));
                // Relaxed: the count guards no other memory.
                let more = |retries: u32| (u64::from(retries) < max).then(|| retries + 1);
                let order = Ordering::Relaxed;
                let counted = under_way.retries.fetch_update(order, order, more);
                let under_way = || Some(Arc::clone(under_way));
                counted.ok().map(|_| Active { under_way: under_way(), is_retry: true })
            }
        }
    }
}

// === impl Minimum ===

impl Minimum {
    fn new(settings: &RecentBudget, epoch: Instant) -> Self {
        let RecentBudget { interval, retries_min, retries_min_interval, .. } = *settings;
        let count = u64::from(retries_min);
        let rate = RateSettings { average: count, period: retries_min_interval, burst: count };
        // As the bucket has it: no period is a second.
        let period = match retries_min_interval.as_secs_f64() {
            0.0 => 1.0,
            secs => secs,
        };
        let in_interval = (f64::from(retries_min) * interval.as_secs_f64() / period).ceil() as u64;
        Self { rate: TokenBucket::new(rate, epoch), in_interval: in_interval.max(count) }
    }

    /// Whether it allows this retry, which is the `retries`th of the interval.
    fn try_take(&self, now: Instant, retries: u64) -> bool {
        retries <= self.in_interval && self.rate.try_take(now) == Admission::Pass
    }
}

// === impl Active ===

impl Active {
    /// One that counts nowhere: for where there is no budget.
    pub const fn uncounted() -> Self {
        Self { under_way: None, is_retry: false }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(under_way) = &self.under_way {
            let count = if self.is_retry { &under_way.retries } else { &under_way.requests };
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// So many of `requests`, rounded down. The epsilon lets one of five be 20 %, whatever the rounding
/// of 0.2.
fn share(requests: u64, ratio: f64) -> u64 {
    (requests as f64 * ratio + 1e-9) as u64
}

#[cfg(test)]
mod tests;
