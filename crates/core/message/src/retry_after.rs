//! What an answer says of another try.

use std::time::Duration;

use crate::fields::Fields;
use crate::known::Known;

#[cfg(test)]
mod tests;

/// The name in which gRPC servers say when to come again (gRFC A6).
const GRPC_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What an answer says of another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Nothing.
    Unsaid,
    /// Not before so much time has passed.
    Wait(Duration),
    /// Not at all, or at a time that cannot be read.
    Never,
}

// === impl RetryAfter ===

impl RetryAfter {
    /// Reads `retry-after` (RFC 9110 section 10.2.3), or gRPC's own words, of a head or trailers. A
    /// moment is as far away as it is from the `date` of the same answer, so that no two clocks have
    /// to agree; without one it cannot be read.
    pub fn of(fields: &Fields) -> Self {
        let read = |value: &str, unit: fn(u64) -> Duration| match value.trim_ascii().parse() {
            Ok(number) => Self::Wait(unit(number)),
            Err(_) => Self::Never,
        };
        if let Some(value) = fields.get_str(Known::RetryAfter) {
            return until(value, fields).unwrap_or_else(|| read(value, Duration::from_secs));
        }
        match fields.get_str(GRPC_PUSHBACK) {
            Some(value) => read(value, Duration::from_millis),
            None => Self::Unsaid,
        }
    }

    /// The wait, where one is named.
    pub fn wait(self) -> Option<Duration> {
        match self {
            Self::Wait(wait) => Some(wait),
            Self::Unsaid | Self::Never => None,
        }
    }
}

// === functions ===

/// The wait until a moment; `None` for what is none.
fn until(value: &str, fields: &Fields) -> Option<RetryAfter> {
    let moment = httpdate::parse_http_date(value.trim_ascii()).ok()?;
    let now = fields.get_str(Known::Date).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(match now {
        Some(now) => RetryAfter::Wait(moment.duration_since(now).unwrap_or_default()),
        None => RetryAfter::Never,
    })
}
