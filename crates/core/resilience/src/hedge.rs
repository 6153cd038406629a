//! A second try while the first one runs, for requests that may be sent twice.
//!
//! When a request takes longer than most do, another one like it often ends sooner: the wait for
//! the few slow ones is traded for a few more requests (Dean and Barroso, "The tail at scale", CACM
//! 2013). The second try is sent after a high quantile of the latencies seen of late, and a budget
//! bounds the share of requests that have one, so that it cannot make an overload worse.
//!
//! Shared by threads, without a lock on the path of a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{Epoch, nanos};
use crate::settings::HedgeSettings;
use crate::window::RollingHistogram;

/// Slots of the window of latencies.
const SLOTS: u32 = 10;

/// The delay is computed so often per window: a quantile is a look at some thousand numbers.
const LOOKS: u32 = 50;

/// Parts of a second try in which the budget counts.
const PARTS: u64 = 1_000_000;

/// No delay, as a number.
const NONE: u64 = u64::MAX;

/// When to send second tries, for one kind of request to one destination.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::{hedge::Hedge, settings::HedgeSettings};
///
/// let now = Instant::now();
/// let hedge = Hedge::new(HedgeSettings::DEFAULT, now);
/// assert_eq!(hedge.request(now), None); // nothing is known yet
/// (0..100).for_each(|millis| hedge.observe(now, Duration::from_millis(millis)));
/// let later = now + Duration::from_secs(1);
/// let delay = hedge.request(later).expect("enough is known");
/// assert!(delay > Duration::from_millis(90) && delay < Duration::from_millis(99));
/// // The first has taken that long:
/// assert!(hedge.try_hedge());
/// ```
#[derive(Debug)]
pub struct Hedge {
    settings: HedgeSettings,
    epoch: Epoch,
    latencies: RollingHistogram,
    /// The delay in nanoseconds, or [`NONE`].
    delay: AtomicU64,
    /// When the delay is to be computed again.
    look_at: AtomicU64,
    /// Parts of second tries that may be sent.
    budget: AtomicU64,
}

// === impl Hedge ===

impl Hedge {
    /// Nothing known, and a budget of one burst.
    #[must_use]
    pub fn new(settings: HedgeSettings, epoch: Instant) -> Self {
        let budget = budget_max(&settings);
        Self {
            settings,
            epoch: Epoch::new(epoch),
            latencies: RollingHistogram::new(SLOTS as usize, settings.window / SLOTS, epoch),
            delay: AtomicU64::new(NONE),
            look_at: AtomicU64::new(0),
            budget: AtomicU64::new(if settings.budget_ratio > 0.0 { budget } else { 0 }),
        }
    }

    /// Counts a request. After so long without an answer, ask [`try_hedge`](Self::try_hedge);
    /// `None` when there is no second try for it.
    pub fn request(&self, now: Instant) -> Option<Duration> {
        let ratio = self.settings.budget_ratio.clamp(0.0, 1.0);
        // A NaN becomes 0 by the cast.
        let earned = (ratio * PARTS as f64) as u64;
        let max = budget_max(&self.settings);
        let more = |held: u64| (held < max).then(|| held.saturating_add(earned).min(max));
        let order = Ordering::Relaxed;
        // Full already is as good.
        let _ = self.budget.fetch_update(order, order, more);
        self.look(now);
        let delay = self.delay.load(Ordering::Relaxed);
        (delay != NONE).then(|| Duration::from_nanos(delay))
    }

    /// Whether the second try may be sent; takes it from the budget.
    #[must_use = "a second try may be sent only if this is true"]
    pub fn try_hedge(&self) -> bool {
        let less = |held: u64| held.checked_sub(PARTS);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Takes in how long a try took, or how long it had taken when the other one was quicker and
    /// it was given up.
    pub fn observe(&self, now: Instant, latency: Duration) {
        self.latencies.record(now, latency);
    }

    /// Computes the delay anew if it is time.
    fn look(&self, now: Instant) {
        let HedgeSettings { window, quantile, samples_min, delay_min, delay_max, .. } =
            self.settings;
        let present = self.epoch.nanos(now);
        let due = self.look_at.load(Ordering::Relaxed);
        if present < due {
            return;
        }
        let next = present.saturating_add(nanos(window / LOOKS).max(1));
        let order = Ordering::Relaxed;
        if self.look_at.compare_exchange(due, next, order, order).is_err() {
            return; // another thread looks
        }
        let known = self.latencies.len(now) >= u64::from(samples_min.max(1));
        let delay = self.latencies.quantile(now, quantile).filter(|_| known);
        let bounded = delay.map(|delay| nanos(delay.max(delay_min).min(delay_max)));
        self.delay.store(bounded.unwrap_or(NONE), Ordering::Relaxed);
    }
}

fn budget_max(settings: &HedgeSettings) -> u64 {
    u64::from(settings.burst.max(1)) * PARTS
}

#[cfg(test)]
mod tests;
