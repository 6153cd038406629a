//! How long to wait before another attempt.

#[cfg(test)]
mod tests;

use std::time::Duration;

use weft_resilience::rng::Rng;

/// The wait after a first failure, on average. With it there is never more than one attempt a
/// second in the long run.
const FIRST: Duration = Duration::from_secs(1);

/// Waits that double from failure to failure, each between half and one and a half of what it is on
/// average, so that those who failed together do not come again together.
#[derive(Debug)]
pub(crate) struct Backoff {
    rng: Rng,
    max: Duration,
    failures: u32,
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new(seed: u64, max: Duration) -> Self {
        Self { rng: Rng::new(seed), max, failures: 0 }
    }

    /// An attempt has succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        // 2^16 s are longer than any wait.
        let average = FIRST * (1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        average.min(self.max).mul_f64(0.5 + self.rng.ratio()).min(self.max)
    }
}
