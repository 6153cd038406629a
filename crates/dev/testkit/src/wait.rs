//! Waiting on conditions.

use std::time::{Duration, Instant};

/// How long a test waits for what must happen; generous, because it is only used up by failures,
/// and a machine may have much else to do.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` gives a value.
///
/// # Panics
///
/// When [`DEADLINE`] passes first; `what` says what was waited for.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, condition).unwrap_or_else(|| panic!("waited {DEADLINE:?} in vain for {what}"))
}

/// The same for a plain yes or no.
///
/// # Panics
///
/// As [`until`].
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Waits until `condition` gives a value, at most `deadline`.
pub fn within<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

/// Lets real time pass, for what is measured in time itself: idle timeouts, rate limits. Never for
/// waiting until something happened.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// How long `work` took, and what it gave.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}
