//! What an answer says of another try, in the words of HTTP and of gRPC.

use std::time::Duration;

/// Seconds, or a date (RFC 9110 section 10.2.3).
const RETRY_AFTER: &str = "retry-after";

/// When an answer was made.
const DATE: &str = "date";

/// Milliseconds, or something else for no other try at all (gRFC A6).
const GRPC_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What an answer says of another try. Of two the greater is the one that asks for more patience.
///
/// ```
/// use std::time::Duration;
/// use weft_resilience::pushback::Pushback;
///
/// let fields = [("retry-after", "2"), ("server", "shop")];
/// let value = |name| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_bytes());
/// assert_eq!(Pushback::of(value), Pushback::Wait(Duration::from_secs(2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pushback {
    /// Nothing.
    Unsaid,
    /// Not before so much time has passed.
    Wait(Duration),
    /// Not at all, or at a time that cannot be read.
    Never,
}

// === impl Pushback ===

impl Pushback {
    /// Reads a head or trailers, of which `field` gives a value by its name in lower case. A moment
    /// is as far away as it is from the `date` of the same answer, so that no two clocks have to
    /// agree; without one it cannot be read.
    pub fn of<'a>(field: impl Fn(&'static str) -> Option<&'a [u8]>) -> Self {
        let by_http = field(RETRY_AFTER).map_or(Self::Unsaid, |value| match moment(value) {
            Some(then) => match field(DATE).and_then(moment) {
                Some(now) => Self::Wait(then.duration_since(now).unwrap_or_default()),
                None => Self::Never,
            },
            None => Self::after(value, Duration::from_secs),
        });
        let by_grpc = field(GRPC_PUSHBACK)
            .map_or(Self::Unsaid, |value| Self::after(value, Duration::from_millis));
        by_http.max(by_grpc)
    }

    /// The wait, where one is named.
    #[must_use]
    pub const fn wait(self) -> Option<Duration> {
        match self {
            Self::Wait(wait) => Some(wait),
            Self::Unsaid | Self::Never => None,
        }
    }

    /// So many units of time.
    fn after(value: &[u8], unit: fn(u64) -> Duration) -> Self {
        let digits = text(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number) => Self::Wait(unit(number)),
            None => Self::Never,
        }
    }
}

// === functions ===

fn moment(value: &[u8]) -> Option<std::time::SystemTime> {
    httpdate::parse_http_date(text(value)?).ok()
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim_ascii)
}

#[cfg(test)]
mod tests;
