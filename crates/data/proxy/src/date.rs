//! The `Date` of answers of our own (RFC 9110 section 6.6.1).

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;
use weft_message::{Known, ResponseHead};
use weft_runtime::time;

/// The present as a field's value: written once a second, so that an answer only copies it.
#[derive(Debug)]
pub(crate) struct Date(Cell<Text>);

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
type Text = [u8; 29];

/// The last second of the year 9999: there is no form for later ones.
const LAST: Duration = Duration::from_secs(253_402_300_799);

// === impl Date ===

impl Date {
    /// The present, until it is refreshed.
    pub(crate) fn now() -> Self {
        Self(Cell::new(text(time::wall())))
    }

    /// Reads the clock again.
    pub(crate) fn refresh(&self) {
        self.0.set(text(time::wall()));
    }

    /// Puts it on an answer that has none.
    pub(crate) fn put(&self, head: &mut ResponseHead) {
        if !head.fields.contains(Known::Date) {
            // It is a valid value, and in an answer of ours there is room.
            let _ = head.fields.set(Known::Date, &self.0.get());
        }
    }
}

/// A clock that is far off has no better form than the nearest that can be written.
fn text(now: SystemTime) -> Text {
    let mut text = [b' '; 29];
    // Its form has exactly this length.
    let _ = write!(&mut text[..], "{}", HttpDate::from(now.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST)));
    text
}
