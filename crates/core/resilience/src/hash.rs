//! Hashes of keys and endpoints.

use std::hash::{DefaultHasher, Hasher};

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// Hashes sources that strangers choose, so that they cannot choose collisions.
///
/// SipHash over a secret and the source. Made once per process from the system's entropy.
#[derive(Clone)]
pub struct SecretHasher {
    /// The state after the secret.
    keyed: DefaultHasher,
}

/// A stable hash of some bytes: the same in every process, so that all proxies agree on it.
///
/// Fit for [`Candidates::hash`](crate::pick::Candidates::hash) and for the keys of a picker. Not a
/// defence against chosen collisions; for that there is [`SecretHasher`].
///
/// ```
/// use weft_resilience::hash::stable;
/// assert_eq!(stable(b"10.0.0.7:8080"), stable(b"10.0.0.7:8080"));
/// assert_ne!(stable(b"10.0.0.7:8080"), stable(b"10.0.0.8:8080"));
/// ```
#[must_use]
pub fn stable(bytes: &[u8]) -> u64 {
    let mut hash = PRIMES[4].wrapping_add(bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        hash = round(hash, word);
    }
    // The length is in the seed, so zero padding makes no collision.
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    avalanche(round(hash, u64::from_le_bytes(last)))
}

/// Two hashes as one, in which every bit of both counts.
#[must_use]
pub fn combine(first: u64, second: u64) -> u64 {
    avalanche(round(round(PRIMES[4], first), second))
}

/// A hash as a number in `[0, 1)`.
pub(crate) fn ratio(hash: u64) -> f64 {
    (hash >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

// === impl SecretHasher ===

impl SecretHasher {
    /// A hasher with this secret.
    #[must_use]
    pub fn new(secret: [u64; 2]) -> Self {
        let mut keyed = DefaultHasher::new();
        keyed.write_u64(secret[0]);
        keyed.write_u64(secret[1]);
        Self { keyed }
    }

    /// The hash of a source.
    #[must_use]
    pub fn hash(&self, source: &[u8]) -> u64 {
        let mut hasher = self.keyed.clone();
        hasher.write(source);
        hasher.finish()
    }
}

impl std::fmt::Debug for SecretHasher {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretHasher").finish_non_exhaustive()
    }
}

/// Takes one word in.
fn round(hash: u64, word: u64) -> u64 {
    let lane = word.wrapping_mul(PRIMES[1]).rotate_left(31).wrapping_mul(PRIMES[0]);
    (hash ^ lane).rotate_left(27).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3])
}

/// Spreads every bit over all bits.
fn avalanche(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(PRIMES[1]);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests;
