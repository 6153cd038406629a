//! From when until when.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that a certificate can name, 9999-12-31T23:59:59Z, seconds after 1970.
const LAST_SECS: u64 = 253_402_300_799;

/// From when until when a certificate is valid, both ends included. Whole seconds, as
/// certificates have no finer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    /// Its first second.
    pub not_before: SystemTime,
    /// Its last second.
    pub not_after: SystemTime,
}

// === impl Validity ===

impl Validity {
    /// Cuts both ends to whole seconds, and to what a certificate can name: 1970 to 9999.
    pub fn new(not_before: SystemTime, not_after: SystemTime) -> Self {
        Self { not_before: at_secs(secs(not_before)), not_after: at_secs(secs(not_after)) }
    }

    /// Whether `now` lies within.
    pub fn contains(&self, now: SystemTime) -> bool {
        self.not_before <= now && !self.has_ended(now)
    }

    /// Whether `now` lies behind it.
    pub fn has_ended(&self, now: SystemTime) -> bool {
        self.not_after < at_secs(secs(now))
    }

    /// How long it has been valid, zero if not yet.
    pub fn age(&self, now: SystemTime) -> Duration {
        since(self.not_before, now)
    }

    /// How long it will be valid, zero if no more.
    pub fn left(&self, now: SystemTime) -> Duration {
        since(now, self.not_after)
    }
}

/// The time from one moment to a later one, zero if it is not later.
pub(crate) fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// Whole seconds after 1970.
pub(crate) fn secs(at: SystemTime) -> u64 {
    since(UNIX_EPOCH, at).as_secs().min(LAST_SECS)
}

/// The moment that is so many seconds after 1970.
pub(crate) fn at_secs(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs.min(LAST_SECS))
}
