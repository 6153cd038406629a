//! Counts and latencies of the recent past, in fixed memory and shared by threads.
//!
//! A window is a ring of slots of equal width. What is recorded goes to the slot of the present
//! moment; a slot is emptied when its turn comes again. So the window covers the slot under way and
//! the whole ones before it: with ten slots of a second, between nine and ten seconds.
//!
//! Counting is one relaxed atomic addition. A mutex is taken only to empty a slot, once per slot
//! width by one thread, while the others that want to count in that slot wait for some hundred
//! stores; so no count is lost, except by a thread that slept for the length of the window between
//! two of its instructions.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Epoch, nanos};

/// Bits of a value that a bucket keeps below the highest one: 16 buckets per doubling.
const PRECISION_BITS: u32 = 4;

/// One bucket for each of the values below 16, then 16 for each doubling up to 2³² - 1.
const BUCKETS: usize = (32 - PRECISION_BITS as usize + 1) << PRECISION_BITS;

/// A stamp that no slot gets.
const NEVER: u64 = u64::MAX;

/// Several counters over one window.
#[derive(Debug)]
pub struct RollingCounters {
    ring: Ring,
    /// Those of slot 0, then those of slot 1, and so on.
    cells: Box<[AtomicU32]>,
    counters: usize,
}

/// Latencies over a window.
///
/// Takes 1.9 KiB per slot.
#[derive(Debug)]
pub struct RollingHistogram {
    ring: Ring,
    slots: Box<[Histogram]>,
}

/// Latencies in 464 buckets of 1.9 KB in all, each at most 1/16 wide: HDR-like.
///
/// Counts whole microseconds up to 71 minutes; what is longer counts as that. A quantile is the
/// middle of its bucket, thus within 3.2 % of a recorded value (exact below 32 µs).
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU32; BUCKETS]>,
}

/// Which slot is now, and which are still in the window.
#[derive(Debug)]
struct Ring {
    epoch: Epoch,
    width_nanos: u64,
    /// For each slot the number of the width that it counts, or `NEVER`.
    stamps: Box<[AtomicU64]>,
    /// Held while a slot is emptied.
    emptying: Mutex<()>,
}

// === impl RollingCounters ===

impl RollingCounters {
    /// So many counters over `slots` slots of `width` each; zero of either counts as the least (one
    /// slot, one nanosecond).
    #[must_use]
    pub fn new(counters: usize, slots: usize, width: Duration, epoch: Instant) -> Self {
        let ring = Ring::new(slots, width, epoch);
        let cells = (0..counters * ring.stamps.len()).map(|_| AtomicU32::new(0)).collect();
        Self { ring, cells, counters }
    }

    /// Adds to a counter. Ignored for a counter that does not exist.
    pub fn add(&self, now: Instant, counter: usize, count: u32) {
        if counter < self.counters {
            self.add_where(now, count, |index| index == counter);
        }
    }

    /// Adds to every counter for which `counts` is true, looking at the time once.
    pub fn add_where(&self, now: Instant, count: u32, counts: impl Fn(usize) -> bool) {
        let Some(slot) = self.ring.enter(now, |slot| self.empty(slot)) else { return };
        for (index, cell) in self.slot(slot).iter().enumerate() {
            if counts(index) {
                cell.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The sum of a counter over the window; 0 for a counter that does not exist.
    #[must_use]
    pub fn sum(&self, now: Instant, counter: usize) -> u64 {
        if counter >= self.counters {
            return 0;
        }
        let count = |slot| u64::from(self.slot(slot)[counter].load(Ordering::Relaxed));
        self.ring.live(now).map(count).sum()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.ring.clear();
    }

    fn slot(&self, slot: usize) -> &[AtomicU32] {
        &self.cells[slot * self.counters..][..self.counters]
    }

    fn empty(&self, slot: usize) {
        for cell in self.slot(slot) {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

// === impl RollingHistogram ===

impl RollingHistogram {
    /// A window of `slots` slots of `width` each; zero of either counts as the least.
    #[must_use]
    pub fn new(slots: usize, width: Duration, epoch: Instant) -> Self {
        let ring = Ring::new(slots, width, epoch);
        let slots = (0..ring.stamps.len()).map(|_| Histogram::new()).collect();
        Self { ring, slots }
    }

    /// Counts a latency.
    pub fn record(&self, now: Instant, latency: Duration) {
        if let Some(slot) = self.ring.enter(now, |slot| self.slots[slot].clear()) {
            self.slots[slot].record(latency);
        }
    }

    /// The latency below which a share of the window's latencies lies, 0 to 1; `None` when empty.
    #[must_use]
    pub fn quantile(&self, now: Instant, ratio: f64) -> Option<Duration> {
        quantile(ratio, |bucket| {
            self.ring.live(now).map(|slot| self.slots[slot].count(bucket)).sum::<u64>()
        })
    }

    /// Number of latencies in the window.
    #[must_use]
    pub fn len(&self, now: Instant) -> u64 {
        self.ring.live(now).map(|slot| self.slots[slot].len()).sum()
    }

    /// Whether the window holds none.
    #[must_use]
    pub fn is_empty(&self, now: Instant) -> bool {
        self.len(now) == 0
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.ring.clear();
    }
}

// === impl Histogram ===

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { buckets: Box::new([const { AtomicU32::new(0) }; BUCKETS]) }
    }

    /// Counts a latency.
    pub fn record(&self, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.buckets[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// Number of latencies counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        (0..BUCKETS).map(|bucket| self.count(bucket)).sum()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latency below which a share of all lies, 0 to 1; `None` when empty.
    #[must_use]
    pub fn quantile(&self, ratio: f64) -> Option<Duration> {
        quantile(ratio, |bucket| self.count(bucket))
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for bucket in self.buckets.iter() {
            bucket.store(0, Ordering::Relaxed);
        }
    }

    fn count(&self, bucket: usize) -> u64 {
        u64::from(self.buckets[bucket].load(Ordering::Relaxed))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Ring ===

impl Ring {
    fn new(slots: usize, width: Duration, epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            width_nanos: nanos(width).max(1),
            stamps: (0..slots.max(1)).map(|_| AtomicU64::new(NEVER)).collect(),
            emptying: Mutex::new(()),
        }
    }

    /// The slot to count in, emptied by `empty` if it held an older turn; `None` if the ring has
    /// already passed beyond `now`.
    fn enter(&self, now: Instant, empty: impl Fn(usize)) -> Option<usize> {
        let turn = self.turn(now);
        let slot = (turn % self.stamps.len() as u64) as usize;
        let stamp = &self.stamps[slot];
        // Acquire pairs with the release below: a count cannot be added before it was zeroed.
        if stamp.load(Ordering::Acquire) != turn {
            let _emptying = self.emptying.lock().unwrap_or_else(PoisonError::into_inner);
            match stamp.load(Ordering::Acquire) {
                held if held == turn => {}
                held if held != NEVER && held > turn => return None,
                _ => {
                    empty(slot);
                    stamp.store(turn, Ordering::Release);
                }
            }
        }
        Some(slot)
    }

    /// The slots that are in the window at `now`.
    fn live(&self, now: Instant) -> impl Iterator<Item = usize> {
        let turn = self.turn(now);
        let oldest = (turn + 1).saturating_sub(self.stamps.len() as u64);
        let in_window =
            move |stamp: &AtomicU64| (oldest..=turn).contains(&stamp.load(Ordering::Acquire));
        let stamps = self.stamps.iter().enumerate();
        stamps.filter(move |(_, stamp)| in_window(stamp)).map(|(slot, _)| slot)
    }

    fn clear(&self) {
        let _emptying = self.emptying.lock().unwrap_or_else(PoisonError::into_inner);
        for stamp in &self.stamps {
            stamp.store(NEVER, Ordering::Release);
        }
    }

    fn turn(&self, now: Instant) -> u64 {
        self.epoch.nanos(now) / self.width_nanos
    }
}

/// The bucket of a value: the position of its highest bit, then the next bits of it.
fn bucket_of(value: u32) -> usize {
    let shift = (32 - PRECISION_BITS).saturating_sub(value.leading_zeros() + 1);
    ((shift as usize) << PRECISION_BITS) + (value >> shift) as usize
}

/// The middle of a bucket.
fn value_of(bucket: usize) -> Duration {
    let shift = (bucket >> PRECISION_BITS).saturating_sub(1);
    let least = ((bucket - (shift << PRECISION_BITS)) as u64) << shift;
    Duration::from_nanos(least * 1_000 + ((1u64 << shift) - 1) * 500)
}

/// The value at a share of all counts.
fn quantile(ratio: f64, count: impl Fn(usize) -> u64) -> Option<Duration> {
    let total: u64 = (0..BUCKETS).map(&count).sum();
    // Clamped, a NaN becomes 0 by the cast; at least the first value, at most the last.
    let rank = ((total as f64 * ratio.clamp(0.0, 1.0)).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    (0..BUCKETS)
        .find(|&bucket| {
            seen += count(bucket);
            seen >= rank
        })
        .map(value_of)
}

#[cfg(test)]
mod tests;
