//! One bucket per source, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Admission, Rate, parts};
use crate::clock::Epoch;
use crate::hash::SecretHasher;
use crate::settings::RateSettings;

/// Tables with a lock of their own. Workers rarely meet in one of sixteen.
const SHARDS: usize = 16;

/// Buckets looked at to find one to forget. The one unused for longest nearly always does; some
/// more for those behind a bucket that is slow to fill.
const SEARCHED: usize = 4;

/// Full buckets forgotten when a new one is made: more than one, so that the table shrinks to the
/// sources in use, and few, so that no request pays for many.
const FORGOTTEN: usize = 2;

/// No bucket, in the links of the list.
const NONE: u32 = u32::MAX;

/// A bucket for each source, at most 65,536 of them, shared by threads.
///
/// A source is any bytes: an address, a field's value, a name. Only a hash of it is kept, under a
/// secret, so memory is bounded whatever sources look like: below 4 MiB in all, and proportional to
/// the sources in use.
///
/// **Forgetting.** A bucket that is full again is as good as a new one and makes room at once. When
/// the table has none, a new source does *not* push an old one out, or whoever rotates through
/// addresses could reset the bucket of an exhausted one. New sources then share one bucket per
/// shard until room is made.
///
/// **Locks.** A mutex per shard, held for one lookup and a few links of a list: no allocation but
/// for a source seen for the first time, no call to anything outside, a constant number of steps.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use weft_resilience::{bucket::{Admission, KeyedBuckets}, settings::RateSettings};
/// # let now = Instant::now();
/// let settings = RateSettings { average: 1, period: Duration::from_secs(60), burst: 1 };
/// let buckets = KeyedBuckets::new(settings, now, [17, 4]); // a secret from the system's entropy
/// assert_eq!(buckets.take(b"10.0.0.1", now), Admission::Pass);
/// assert!(matches!(buckets.take(b"10.0.0.1", now), Admission::Refuse { .. }));
/// assert_eq!(buckets.take(b"10.0.0.2", now), Admission::Pass);
/// ```
#[derive(Debug)]
pub struct KeyedBuckets {
    rate: Rate,
    epoch: Epoch,
    hasher: SecretHasher,
    sources_per_shard_max: usize,
    shards: Box<[Mutex<Shard>]>,
}

/// Buckets by the hash of their source, in the order of their last use.
#[derive(Debug)]
struct Shard {
    slots: HashMap<u64, u32, BuildHasherDefault<AlreadyHashed>>,
    buckets: Vec<Bucket>,
    /// Places in `buckets` to be used again.
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    /// Of all sources without a bucket of their own.
    overflow_full_at: u64,
}

/// A source's bucket and its place in the list.
#[derive(Debug)]
struct Bucket {
    source: u64,
    full_at: u64,
    newer: u32,
    older: u32,
}

/// The keys are SipHash already.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

// === impl KeyedBuckets ===

impl KeyedBuckets {
    /// Most sources with a bucket of their own.
    pub const SOURCES_MAX: usize = 65_536;

    /// No bucket yet. `secret` keeps strangers from choosing sources that collide.
    #[must_use]
    pub fn new(settings: RateSettings, epoch: Instant, secret: [u64; 2]) -> Self {
        Self::with_sources_max(settings, epoch, secret, Self::SOURCES_MAX)
    }

    /// Like [`new`](Self::new) with another bound, rounded up to a multiple of 16.
    #[must_use]
    pub fn with_sources_max(
        settings: RateSettings,
        epoch: Instant,
        secret: [u64; 2],
        sources_max: usize,
    ) -> Self {
        Self {
            rate: Rate::new(settings),
            epoch: Epoch::new(epoch),
            hasher: SecretHasher::new(secret),
            sources_per_shard_max: sources_max.min(Self::SOURCES_MAX).div_ceil(SHARDS),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
        }
    }

    /// Takes a token from the bucket of a source, perhaps one that is still to come.
    pub fn take(&self, source: &[u8], now: Instant) -> Admission {
        self.take_at(self.rate, source, now)
    }

    /// Takes a token from the bucket of a source if there is one now.
    pub fn try_take(&self, source: &[u8], now: Instant) -> Admission {
        self.take_at(self.rate.impatient(), source, now)
    }

    /// Sources with a bucket of their own, for metrics.
    #[must_use]
    pub fn sources(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).slots.len()).sum()
    }

    fn take_at(&self, rate: Rate, source: &[u8], now: Instant) -> Admission {
        if rate.parts_per_token.is_none() {
            return Admission::Pass;
        }
        let (source, now) = (self.hasher.hash(source), parts(self.epoch, now));
        let mut shard = self.lock(shard_of(source));
        rate.take(shard.full_at(source, now, self.sources_per_shard_max), now)
    }

    fn lock(&self, shard: usize) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shard ===

impl Shard {
    fn new() -> Self {
        Self {
            slots: HashMap::default(),
            buckets: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            overflow_full_at: 0,
        }
    }

    /// When the bucket of a source is full: its own, a new one, or else the shared one.
    fn full_at(&mut self, source: u64, now: u64, sources_max: usize) -> &mut u64 {
        let slot = match self.slots.get(&source) {
            Some(&slot) => {
                self.unlink(slot);
                slot
            }
            None => {
                self.forget_full(now);
                if self.slots.len() >= sources_max {
                    return &mut self.overflow_full_at;
                }
                self.insert(source)
            }
        };
        self.link_newest(slot);
        &mut self.buckets[slot as usize].full_at
    }

    /// Forgets some of the buckets that are full, from those unused for longest.
    fn forget_full(&mut self, now: u64) {
        let (mut slot, mut forgotten) = (self.oldest, 0);
        for _ in 0..SEARCHED {
            if slot == NONE || forgotten == FORGOTTEN {
                return;
            }
            let &Bucket { source, full_at, newer, .. } = &self.buckets[slot as usize];
            if full_at <= now {
                self.unlink(slot);
                self.slots.remove(&source);
                self.free.push(slot);
                forgotten += 1;
            }
            slot = newer;
        }
    }

    /// A full bucket for a new source, not in the list yet.
    fn insert(&mut self, source: u64) -> u32 {
        let bucket = Bucket { source, full_at: 0, newer: NONE, older: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.buckets[slot as usize] = bucket;
                slot
            }
            None => {
                self.buckets.push(bucket);
                (self.buckets.len() - 1) as u32
            }
        };
        self.slots.insert(source, slot);
        slot
    }

    fn link_newest(&mut self, slot: u32) {
        let older = self.newest;
        let bucket = &mut self.buckets[slot as usize];
        (bucket.newer, bucket.older) = (NONE, older);
        match older {
            NONE => self.oldest = slot,
            older => self.buckets[older as usize].newer = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let &Bucket { newer, older, .. } = &self.buckets[slot as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.buckets[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.buckets[older as usize].newer = newer,
        }
    }
}

// === impl AlreadyHashed ===

impl Hasher for AlreadyHashed {
    fn write(&mut self, bytes: &[u8]) {
        // Not used for `u64` keys, and right all the same.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// By bits from the middle: a hash map uses the lowest and the highest ones.
fn shard_of(source: u64) -> usize {
    (source >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests;
