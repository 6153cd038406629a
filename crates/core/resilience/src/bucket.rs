//! Token buckets: a rate with bursts, for one source or for many.
//!
//! The rules are those of Traefik's `rateLimit`. A bucket holds up to `burst` tokens and regains
//! `average` of them per `period`; a request takes one. If there is none, it may take the next one
//! in advance, as long as that comes soon: the longest wait is half the time of one request, with
//! the rate rounded down to whole requests per second (`1 / (2 × rate)`), or 500 ms below one
//! request per second. If it comes later, the request is refused, takes nothing and learns when to
//! come back.
//!
//! A bucket is one number, the moment at which it will be full again (the generic cell rate
//! algorithm, ITU-T I.371): a single atomic, no timer, no refill.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{Epoch, nanos};
use crate::settings::RateSettings;

mod clients;
mod keyed;

pub use clients::{ClientBuckets, Exceeded};
pub use keyed::KeyedBuckets;

/// Parts of a nanosecond in which buckets count, so that rates near 10⁹ per second keep their
/// precision. 64 bits of them last for 36 years.
const PARTS_PER_NANO: u64 = 16;

/// Longest wait where the rate is below one request per second.
const WAIT_MAX_SLOW: Duration = Duration::from_millis(500);

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// At once.
    Pass,
    /// After this wait. Its token is taken already, whether it waits to the end or not.
    Wait(Duration),
    /// Not now.
    Refuse {
        /// Until the next token; always above zero.
        retry_after: Duration,
    },
}

/// A bucket that any number of threads take from.
#[derive(Debug)]
pub struct TokenBucket {
    rate: Rate,
    epoch: Epoch,
    full_at: AtomicU64,
}

/// Settings in the units that the algorithm counts in.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Parts of a nanosecond per token; `None` is no limit.
    parts_per_token: Option<u64>,
    /// A bucket that is this far from full is empty.
    parts_per_bucket: u64,
    wait_max_parts: u64,
}

// === impl TokenBucket ===

impl TokenBucket {
    /// A full bucket. See [`RateSettings`] for zeros: an average of 0 is no limit, a period of 0 is
    /// a second, a burst of 0 is 1.
    #[must_use]
    pub fn new(settings: RateSettings, epoch: Instant) -> Self {
        let (rate, epoch) = (Rate::new(settings), Epoch::new(epoch));
        Self { rate, epoch, full_at: AtomicU64::new(0) }
    }

    /// Takes a token, perhaps one that is still to come.
    pub fn take(&self, now: Instant) -> Admission {
        self.rate.take_shared(&self.full_at, parts(self.epoch, now))
    }

    /// Takes a token if there is one now, and never one that is still to come.
    pub fn try_take(&self, now: Instant) -> Admission {
        self.rate.impatient().take_shared(&self.full_at, parts(self.epoch, now))
    }

    /// Whether all tokens are there, so that the bucket could be forgotten and made anew.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.load(Ordering::Relaxed) <= parts(self.epoch, now)
    }
}

// === impl Rate ===

impl Rate {
    fn new(settings: RateSettings) -> Self {
        let RateSettings { average, period, burst } = settings;
        let period = if period.is_zero() { Duration::from_secs(1) } else { period };
        if average == 0 {
            return Self { parts_per_token: None, parts_per_bucket: 0, wait_max_parts: 0 };
        }
        let period_parts = u128::from(nanos(period)) * u128::from(PARTS_PER_NANO);
        // Rounded to the nearest and saturated far above any process's life, so that sums of three
        // such values cannot overflow.
        let bounded = |parts: u128| u64::try_from(parts).unwrap_or(u64::MAX).min(u64::MAX / 8);
        let average = u128::from(average);
        let token = bounded((period_parts + average / 2) / average).max(1);
        let per_sec = average * 1_000_000_000 / u128::from(nanos(period));
        let wait_max = match u64::try_from(per_sec) {
            Ok(0) => WAIT_MAX_SLOW,
            Ok(whole) => Duration::from_nanos(1_000_000_000 / whole.saturating_mul(2)),
            Err(_) => Duration::ZERO,
        };
        Self {
            parts_per_token: Some(token),
            parts_per_bucket: bounded(u128::from(token) * u128::from(burst.max(1))),
            wait_max_parts: nanos(wait_max) * PARTS_PER_NANO,
        }
    }

    /// The same rate for those who do not wait.
    fn impatient(self) -> Self {
        Self { wait_max_parts: 0, ..self }
    }

    /// Decides on one request to a bucket that is full at `full_at`, which moves if it may pass.
    fn take(self, full_at: &mut u64, now: u64) -> Admission {
        let Some(token) = self.parts_per_token else { return Admission::Pass };
        let taken = (*full_at).max(now).saturating_add(token);
        let wait = taken.saturating_sub(now).saturating_sub(self.parts_per_bucket);
        if wait > self.wait_max_parts {
            return Admission::Refuse { retry_after: duration(wait) };
        }
        *full_at = taken;
        if wait == 0 { Admission::Pass } else { Admission::Wait(duration(wait)) }
    }

    /// [`take`](Self::take) from a bucket that other threads take from.
    ///
    /// Relaxed, as the number guards nothing but itself; every token is taken once, since a
    /// decision that another thread overtook is made again.
    fn take_shared(self, full_at: &AtomicU64, now: u64) -> Admission {
        let mut seen = full_at.load(Ordering::Relaxed);
        loop {
            let mut taken = seen;
            let admission = self.take(&mut taken, now);
            if taken == seen {
                return admission;
            }
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            match full_at.compare_exchange_weak(seen, taken, success, failure) {
                Ok(_) => return admission,
                Err(other) => seen = other,
            }
        }
    }
}

/// The present in parts of a nanosecond.
fn parts(epoch: Epoch, now: Instant) -> u64 {
    epoch.nanos(now).saturating_mul(PARTS_PER_NANO)
}

/// Parts of a nanosecond, rounded up: who waits that long finds the token there.
fn duration(parts: u64) -> Duration {
    Duration::from_nanos(parts.div_ceil(PARTS_PER_NANO))
}

#[cfg(test)]
mod tests;
