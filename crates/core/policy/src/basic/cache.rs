//! Remembers credentials that were right, so that a slow hash is computed once and not for each
//! request.

#[cfg(test)]
mod tests;

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Entries that share one set; a new one replaces the oldest of its set.
const WAYS: usize = 4;

/// Length of a block of SHA-256, bytes (RFC 2104 section 2).
const BLOCK_BYTES: usize = 64;

/// A bounded set of credentials that were right.
///
/// Only a keyed digest (HMAC-SHA-256) of stored hash, user and password is kept, so the memory of
/// the process gives no password away faster than the stored hashes do, and a changed password or
/// a removed user is never remembered. Wrong credentials are never kept.
#[derive(Clone)]
pub struct CredentialCache {
    inner: Sha256,
    outer: Sha256,
    sets: Box<[[Digest; WAYS]]>,
}

/// What a cache keeps of one pair of credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

// === impl CredentialCache ===

impl CredentialCache {
    /// Enough for the users of one gateway that are active at one time: 32 KiB.
    pub const ENTRIES_DEFAULT: usize = 1024;

    /// An empty cache for about `entries` credentials, at least four.
    ///
    /// `secret` is random and differs in every process.
    pub fn new(secret: [u8; 32], entries: usize) -> Self {
        let pad = |byte: u8| {
            let mut block = [byte; BLOCK_BYTES];
            for (out, secret) in block.iter_mut().zip(secret) {
                *out ^= secret;
            }
            Sha256::new_with_prefix(block)
        };
        let sets = (entries / WAYS).max(1).next_power_of_two();
        let sets = vec![[Digest::EMPTY; WAYS]; sets].into_boxed_slice();
        Self { inner: pad(0x36), outer: pad(0x5c), sets }
    }

    /// What stands for these credentials in this cache.
    pub(crate) fn digest(&self, stored: &str, user: &str, password: &[u8]) -> Digest {
        let mut inner = self.inner.clone();
        for part in [stored.as_bytes(), user.as_bytes(), password] {
            inner.update((part.len() as u64).to_le_bytes());
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        Digest(outer.finalize().into())
    }

    /// Whether these credentials were right before.
    pub fn contains(&self, digest: Digest) -> bool {
        self.sets[self.set(digest)].contains(&digest)
    }

    /// Remembers credentials that were right.
    pub fn insert(&mut self, digest: Digest) {
        let set = self.set(digest);
        let ways = &mut self.sets[set];
        if !ways.contains(&digest) {
            ways.rotate_right(1);
            ways[0] = digest;
        }
    }

    /// The digests are uniform, so their first bytes choose the set.
    fn set(&self, digest: Digest) -> usize {
        let [a, b, c, d, ..] = digest.0;
        u32::from_le_bytes([a, b, c, d]) as usize & (self.sets.len() - 1)
    }
}

impl fmt::Debug for CredentialCache {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialCache").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

// === impl Digest ===

impl Digest {
    /// A free place. No credentials have this digest: finding some would break SHA-256.
    const EMPTY: Self = Self([0; 32]);
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(hidden)")
    }
}
