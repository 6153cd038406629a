//! The clock: the only module of this crate that reads one.
//!
//! Monotonic time is tokio's, so a test that pauses it pauses everything here.

use std::time::{Duration, Instant};

/// The present.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A wait that begins now.
pub(crate) fn sleep(wait: Duration) -> tokio::time::Sleep {
    tokio::time::sleep(wait)
}
