//! Durations for people.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

/// Writes a duration in its two largest units: `3 d 4 h`, `26 min`, `0 s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Seconds of each unit, largest first.
const UNITS: [(u64, &str); 5] =
    [(365 * 86_400, "y"), (86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];

// === impl Span ===

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let first = UNITS.iter().position(|(unit, _)| secs >= *unit).unwrap_or(UNITS.len() - 1);
        let (unit, name) = UNITS[first];
        write!(f, "{} {name}", secs / unit)?;
        match UNITS.get(first + 1) {
            Some((smaller, name)) if secs % unit >= *smaller => {
                write!(f, " {} {name}", secs % unit / smaller)
            }
            _ => Ok(()),
        }
    }
}
