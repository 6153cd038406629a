//! Sets of status numbers.

use std::ops::RangeInclusive;

/// Words of 64 statuses each.
const WORDS: usize = 8;

/// Statuses of a set.
const RANGE: RangeInclusive<u16> = 100..=599;

/// A set of status numbers from 100 to 599, as a value: 64 bytes, and one look-up to ask it.
///
/// ```
/// use weft_resilience::settings::StatusSet;
///
/// let errors = StatusSet::SERVER_ERRORS.with(429);
/// assert!(errors.contains(503) && errors.contains(429));
/// assert!(!errors.contains(404) && !errors.contains(0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StatusSet([u64; WORDS]);

// === impl StatusSet ===

impl StatusSet {
    /// None.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// 500 to 599.
    pub const SERVER_ERRORS: Self = Self::EMPTY.with_range(500, 599);

    /// 502, 503 and 504.
    pub const GATEWAY_ERRORS: Self = Self::EMPTY.with_range(502, 504);

    /// And this one. Ignored outside of 100 to 599.
    #[must_use]
    pub const fn with(self, status: u16) -> Self {
        self.with_range(status, status)
    }

    /// And these, both ends included. Those outside of 100 to 599 are ignored.
    #[must_use]
    pub const fn with_range(mut self, first: u16, last: u16) -> Self {
        let mut status = if first < *RANGE.start() { *RANGE.start() } else { first };
        while status <= last && status <= *RANGE.end() {
            let place = (status - *RANGE.start()) as usize;
            self.0[place / 64] |= 1 << (place % 64);
            status += 1;
        }
        self
    }

    /// Both sets as one.
    #[must_use]
    pub const fn union(mut self, other: Self) -> Self {
        let mut word = 0;
        while word < WORDS {
            self.0[word] |= other.0[word];
            word += 1;
        }
        self
    }

    /// Whether it holds this one.
    #[must_use]
    pub const fn contains(&self, status: u16) -> bool {
        if status < *RANGE.start() || status > *RANGE.end() {
            return false;
        }
        let place = (status - *RANGE.start()) as usize;
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The statuses, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        RANGE.filter(|status| self.contains(*status))
    }

    /// The statuses as ranges with both ends included, ascending: few numbers for what is usual.
    pub fn ranges(&self) -> impl Iterator<Item = (u16, u16)> {
        let first = |status: &u16| !self.contains(*status - 1);
        let last = |status: u16| (status..=*RANGE.end()).take_while(|next| self.contains(*next));
        self.iter().filter(first).map(move |status| (status, last(status).last().unwrap_or(status)))
    }
}

impl FromIterator<u16> for StatusSet {
    fn from_iter<I: IntoIterator<Item = u16>>(statuses: I) -> Self {
        statuses.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl FromIterator<(u16, u16)> for StatusSet {
    /// Of ranges with both ends included.
    fn from_iter<I: IntoIterator<Item = (u16, u16)>>(ranges: I) -> Self {
        ranges.into_iter().fold(Self::EMPTY, |set, (first, last)| set.with_range(first, last))
    }
}

impl std::fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.ranges()).finish()
    }
}

#[cfg(test)]
mod tests;
