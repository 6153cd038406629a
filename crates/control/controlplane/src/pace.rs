//! How often certificates are signed for one and the same.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_resilience::bucket::{Admission, TokenBucket};
use weft_resilience::settings::RateSettings;

/// A bucket for each of those who have asked not long ago. A bucket that is full again is as good as
/// none, and forgotten: how many there are is bounded by the rate at which new ones can come.
#[derive(Debug)]
pub(crate) struct Pace<Of> {
    settings: RateSettings,
    buckets: RefCell<Buckets<Of>>,
}

#[derive(Debug)]
struct Buckets<Of> {
    by_holder: BTreeMap<Of, TokenBucket>,
    /// How many there have to be for full ones to be looked for.
    sweep_at: usize,
}

/// Below that many buckets nobody looks which are full.
const SWEEP_MIN: usize = 64;

// === impl Pace ===

impl<Of: Ord + Clone> Pace<Of> {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let buckets = Buckets { by_holder: BTreeMap::new(), sweep_at: SWEEP_MIN };
        Self { settings, buckets: RefCell::new(buckets) }
    }

    /// Whether it may be now; else how long it has to be waited before it is asked again.
    pub(crate) fn take(&self, of: &Of, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.borrow_mut();
        if !buckets.by_holder.contains_key(of) {
            buckets.sweep(now);
            buckets.by_holder.insert(of.clone(), TokenBucket::new(self.settings, now));
        }
        match buckets.by_holder[of].take(now) {
            // A wait is at most half of what one token takes.
            Admission::Pass | Admission::Wait(_) => Ok(()),
            Admission::Refuse { retry_after } => Err(retry_after),
        }
    }
}

// === impl Buckets ===

impl<Of: Ord> Buckets<Of> {
    fn sweep(&mut self, now: Instant) {
        if self.by_holder.len() >= self.sweep_at {
            self.by_holder.retain(|_, bucket| !bucket.is_full(now));
            self.sweep_at = SWEEP_MIN.max(2 * self.by_holder.len());
        }
    }
}
