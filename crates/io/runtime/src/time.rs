//! The clock. Tests pause it through tokio.

use std::future::Future;
use std::time::{Duration, Instant};

/// Ran out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// The present, as tokio's clock has it (so that a paused clock is paused here too).
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall-clock time, for logs and certificates.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Waits.
///
/// Cancel safe: dropping it has no effect.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until an instant.
///
/// Cancel safe: dropping it has no effect.
pub async fn sleep_until(instant: Instant) {
    tokio::time::sleep_until(instant.into()).await;
}

/// Bounds a future.
///
/// # Errors
///
/// [`Elapsed`] when it did not end in time; the future is dropped then.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(limit, future).await.map_err(|_| Elapsed)
}
