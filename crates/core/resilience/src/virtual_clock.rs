//! A clock that tests move by hand.

use std::time::{Duration, Instant};

/// Some instant from which a test counts. Nothing depends on which one it is.
#[allow(clippy::disallowed_methods, reason = "std has no other way to make an instant")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Milliseconds.
pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Seconds.
pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
