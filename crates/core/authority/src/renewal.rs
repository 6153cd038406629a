//! When a holder asks for its next certificate.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::validity::since;

/// The earliest moment, as a share of the life.
const EARLIEST_RATIO: f64 = 0.5;

/// The latest. What is left, 7 h of 24 h, is for an authority that cannot be reached.
const LATEST_RATIO: f64 = 0.7;

/// When a certificate should be renewed: between 50 and 70 % of its life, so that proxies that
/// were started together do not all come back together.
///
/// `jitter` is a random number from 0 to 1, drawn once for each certificate; what is outside is
/// taken for the nearer end, and no number for the earliest.
pub fn renew_at(not_before: SystemTime, not_after: SystemTime, jitter: f64) -> SystemTime {
    let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
    let ratio = EARLIEST_RATIO + (LATEST_RATIO - EARLIEST_RATIO) * jitter;
    not_before + since(not_before, not_after).mul_f64(ratio)
}
