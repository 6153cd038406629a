//! Bounds on what is under way at one time, for one source or for many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::hash::SecretHasher;

/// Tables with a lock of their own. Workers rarely meet in one of sixteen.
const SHARDS: usize = 16;

/// A bound on what is under way, shared by threads. Clones share the count.
///
/// ```
/// # use weft_resilience::inflight::InFlight;
/// let limit = InFlight::new(1);
/// let permit = limit.acquire().expect("the first of one");
/// assert!(limit.acquire().is_err());
/// drop(permit);
/// assert!(limit.acquire().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct InFlight {
    shared: Arc<Shared>,
}

/// The right to be under way. It ends by being dropped, and in no other way.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit {
    shared: Arc<Shared>,
}

/// A bound for each source, shared by threads. Clones share the counts.
///
/// Memory follows what is under way: a source is known while it holds permits. At most 65,536
/// sources have a count of their own; more share one count per shard, with the same bound. Only a
/// hash of each source is kept, under a secret.
///
/// A mutex per shard is held for one lookup in a hash map, on acquiring and on dropping.
#[derive(Debug, Clone)]
pub struct KeyedInFlight {
    shared: Arc<KeyedShared>,
}

/// The right of a source to have one more under way. It ends by being dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct KeyedPermit {
    shared: Arc<KeyedShared>,
    source: u64,
    /// Whether it counts among the sources that share a count.
    overflow: bool,
}

/// As many as allowed are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} requests are in flight already")]
pub struct LimitReached {
    /// The bound.
    pub limit: u32,
}

#[derive(Debug)]
struct Shared {
    limit: AtomicU32,
    count: AtomicU32,
}

#[derive(Debug)]
struct KeyedShared {
    limit: AtomicU32,
    hasher: SecretHasher,
    sources_per_shard_max: usize,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    counts: HashMap<u64, u32>,
    overflow: u32,
}

// === impl InFlight ===

impl InFlight {
    /// At most `limit` at one time; 0 refuses all.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let (limit, count) = (AtomicU32::new(limit), AtomicU32::new(0));
        Self { shared: Arc::new(Shared { limit, count }) }
    }

    /// One more, until the permit is dropped.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] when as many as allowed are under way.
    pub fn acquire(&self) -> Result<Permit, LimitReached> {
        let limit = self.shared.limit.load(Ordering::Relaxed);
        // Relaxed: the count guards no other memory.
        let more = |count: u32| (count < limit).then(|| count + 1);
        match self.shared.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Permit { shared: Arc::clone(&self.shared) }),
            Err(_) => Err(LimitReached { limit }),
        }
    }

    /// Changes the bound. What is under way stays, above a lower bound too.
    pub fn set_limit(&self, limit: u32) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    /// The bound.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.shared.limit.load(Ordering::Relaxed)
    }

    /// Number under way.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.shared.count.load(Ordering::Relaxed)
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.count.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl KeyedInFlight ===

impl KeyedInFlight {
    /// Most sources with a count of their own.
    pub const SOURCES_MAX: usize = 65_536;

    /// At most `limit` at one time and source; 0 refuses all. `secret` keeps strangers from
    /// choosing sources that collide.
    #[must_use]
    pub fn new(limit: u32, secret: [u64; 2]) -> Self {
        Self::with_sources_max(limit, secret, Self::SOURCES_MAX)
    }

    /// Like [`new`](Self::new) with another bound on sources, rounded up to a multiple of 16.
    #[must_use]
    pub fn with_sources_max(limit: u32, secret: [u64; 2], sources_max: usize) -> Self {
        let shared = KeyedShared {
            limit: AtomicU32::new(limit),
            hasher: SecretHasher::new(secret),
            sources_per_shard_max: sources_max.min(Self::SOURCES_MAX).div_ceil(SHARDS),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// One more of a source, until the permit is dropped.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] when the source has as many as allowed under way.
    pub fn acquire(&self, source: &[u8]) -> Result<KeyedPermit, LimitReached> {
        let limit = self.shared.limit.load(Ordering::Relaxed);
        let source = self.shared.hasher.hash(source);
        let mut shard = self.shared.lock(source);
        let Shard { counts, overflow } = &mut *shard;
        let count = counts.get(&source).copied();
        let overflows = count.is_none() && counts.len() >= self.shared.sources_per_shard_max;
        let count = if overflows { *overflow } else { count.unwrap_or(0) };
        if count >= limit {
            return Err(LimitReached { limit });
        }
        if overflows {
            *overflow += 1;
        } else {
            counts.insert(source, count + 1);
        }
        Ok(KeyedPermit { shared: Arc::clone(&self.shared), source, overflow: overflows })
    }

    /// Changes the bound. What is under way stays, above a lower bound too.
    pub fn set_limit(&self, limit: u32) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    /// Sources with something under way and a count of their own, for metrics.
    #[must_use]
    pub fn sources(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).counts.len()
        };
        self.shared.shards.iter().map(count).sum()
    }
}

// === impl KeyedPermit ===

impl Drop for KeyedPermit {
    fn drop(&mut self) {
        let mut shard = self.shared.lock(self.source);
        if self.overflow {
            shard.overflow = shard.overflow.saturating_sub(1);
            return;
        }
        match shard.counts.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                shard.counts.remove(&self.source);
            }
        }
    }
}

// === impl KeyedShared ===

impl KeyedShared {
    fn lock(&self, source: u64) -> std::sync::MutexGuard<'_, Shard> {
        let shard = (source >> 40) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
