//! A small random number generator that the caller seeds.

use std::cell::Cell;

use crate::hash;

/// SplitMix64: one word of state, about a nanosecond a number, even for any seed.
///
/// For spreading load and adding jitter; never for secrets. Equal seeds give equal sequences, which
/// is how the tests of this crate repeat; a program seeds one per worker from the system's entropy.
///
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
///
/// ```
/// let rng = weft_resilience::rng::Rng::new(7);
/// assert!(rng.below(10) < 10);
/// assert!(rng.ratio() < 1.0);
/// ```
#[derive(Debug)]
pub struct Rng {
    state: Cell<u64>,
}

// === impl Rng ===

impl Rng {
    /// A generator; any seed is as good as another.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed) }
    }

    /// A number of all 64 bits.
    pub fn word(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    ///
    /// By multiplication instead of division; the bias is below `bound / 2^64`.
    pub fn below(&self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// A number in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn ratio(&self) -> f64 {
        hash::ratio(self.word())
    }
}

#[cfg(test)]
mod tests;
