//! Chance that threads share: the state machines take a generator, and theirs is for one thread.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use weft_resilience::rng::Rng;

/// Makes a generator for each decision, by one relaxed addition.
#[derive(Debug)]
pub(crate) struct Chance {
    next: AtomicU64,
}

// === impl Chance ===

impl Chance {
    /// Seeded from the system's entropy, as the standard library hands it to hash maps.
    pub(crate) fn new() -> Self {
        Self { next: AtomicU64::new(secret()[0]) }
    }

    /// A generator whose numbers do not follow those of the one before.
    pub(crate) fn rng(&self) -> Rng {
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        Rng::new(Rng::new(seed).word())
    }
}

/// 128 bits that strangers cannot guess.
pub(crate) fn secret() -> [u64; 2] {
    let state = RandomState::new();
    [state.hash_one(0_u64), state.hash_one(1_u64)]
}
