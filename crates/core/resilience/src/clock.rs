//! Instants as integers, to be kept in atomics.

use std::time::{Duration, Instant};

/// The instant that counts as zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

// === impl Epoch ===

impl Epoch {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self(epoch)
    }

    /// Nanoseconds since the epoch; 0 before it. 64 bits last for 584 years.
    pub(crate) fn nanos(self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.0))
    }
}

/// A duration in nanoseconds, saturating at 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
