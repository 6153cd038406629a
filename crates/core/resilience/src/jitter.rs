//! Random spreads of durations, so that many who wait do not come back at one moment.

use std::time::Duration;

use crate::hash;
use crate::rng::Rng;

/// Even in `[0, max]`.
///
/// Spreads retries the best: the mean is half of `max`, and no two clients keep in step.
#[must_use]
pub fn full(max: Duration, rng: &Rng) -> Duration {
    scale(max, rng.ratio())
}

/// Even in `[duration / 2, duration]`: for waits that should not be close to zero.
#[must_use]
pub fn half(duration: Duration, rng: &Rng) -> Duration {
    between(duration / 2, duration, rng)
}

/// Even in `duration ± ratio × duration`, for periods; `ratio` is clamped to 0 to 1.
#[must_use]
pub fn around(duration: Duration, ratio: f64, rng: &Rng) -> Duration {
    let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
    let spread = scale(duration, ratio);
    between(duration.saturating_sub(spread), duration.saturating_add(spread), rng)
}

/// Even in `[low, high]`; `low` when `high` is not above it.
#[must_use]
pub fn between(low: Duration, high: Duration, rng: &Rng) -> Duration {
    low.saturating_add(scale(high.saturating_sub(low), rng.ratio()))
}

/// A number in `[0, 1)` from a moment: the nanosecond at which something happened is chance enough
/// to keep apart those whom it happened to, where no generator is at hand.
pub(crate) fn chance_of(moment_nanos: u64, salt: u64) -> f64 {
    hash::ratio(hash::combine(moment_nanos, salt))
}

/// A duration times a factor, saturating; zero when the factor is negative or not a number.
pub(crate) fn scale(duration: Duration, factor: f64) -> Duration {
    if factor.is_nan() || factor <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
