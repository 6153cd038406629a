//! When something has to end: the earliest of several bounds.

use std::time::{Duration, Instant};

/// A moment after which an answer is of no use, or none.
///
/// ```
/// use std::time::{Duration, Instant};
/// use weft_resilience::deadline::Deadline;
///
/// let now = Instant::now();
/// let request = Deadline::after(now, Duration::from_secs(10));
/// let attempt = Deadline::after(now, Duration::from_secs(2));
/// assert_eq!(request.earliest(attempt).remaining(now), Some(Duration::from_secs(2)));
/// assert_eq!(Deadline::NEVER.remaining(now), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline(Option<Instant>);

// === impl Deadline ===

impl Deadline {
    /// No bound.
    pub const NEVER: Self = Self(None);

    /// At an instant.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }

    /// So long after `now`. What the clock cannot express is never.
    #[must_use]
    pub fn after(now: Instant, timeout: Duration) -> Self {
        Self(now.checked_add(timeout))
    }

    /// Like [`after`](Self::after); no timeout is never.
    #[must_use]
    pub fn after_some(now: Instant, timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::NEVER, |timeout| Self::after(now, timeout))
    }

    /// The earlier of two.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(two)) => Self(Some(one.min(two))),
            (one, two) => Self(one.or(two)),
        }
    }

    /// The instant, if bounded.
    #[must_use]
    pub const fn instant(self) -> Option<Instant> {
        self.0
    }

    /// Time left: zero once it is over, `None` when unbounded.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        self.0.map(|instant| instant.saturating_duration_since(now))
    }

    /// Whether no time is left.
    #[must_use]
    pub fn expired(self, now: Instant) -> bool {
        self.0.is_some_and(|instant| instant <= now)
    }

    /// Whether a wait of this length ends before the deadline, so that it is worth beginning.
    #[must_use]
    pub fn allows(self, now: Instant, wait: Duration) -> bool {
        self.remaining(now).is_none_or(|left| wait < left)
    }
}

impl FromIterator<Deadline> for Deadline {
    /// The earliest of all; never when there are none.
    fn from_iter<I: IntoIterator<Item = Self>>(deadlines: I) -> Self {
        deadlines.into_iter().fold(Self::NEVER, Self::earliest)
    }
}

#[cfg(test)]
mod tests;
