//! Remembering how far an incomplete head was looked at.

use crate::error::ParseError;

/// How far the buffer at the front of a connection was searched for the end of a head, so that a
/// head that comes byte by byte is not parsed anew for each byte.
///
/// One per connection; belongs to the buffer that is handed to the parser, which must only grow
/// until the parser returns something other than [`Partial`](crate::h1::Parsed::Partial). The
/// parser resets it then.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScan {
    /// Bytes that were searched and hold no end.
    seen: usize,
    /// The start line is complete.
    has_line: bool,
}

// === impl HeadScan ===

impl HeadScan {
    /// Nothing was looked at yet.
    pub const fn new() -> Self {
        Self { seen: 0, has_line: false }
    }

    /// Whether parsing is worth while: it is the first look, or the end of the start line or of the
    /// head has come.
    #[inline]
    pub(crate) fn is_worth_parsing(&mut self, buf: &[u8]) -> Result<bool, ParseError> {
        if self.seen == 0 { Ok(true) } else { self.has_end(buf) }
    }

    /// Searches what is new for the empty line that ends a head.
    #[cold]
    fn has_end(&mut self, buf: &[u8]) -> Result<bool, ParseError> {
        let from = self.seen.min(buf.len());
        let had_line = self.has_line;
        for at in memchr::memchr_iter(b'\n', &buf[from..]) {
            let end = from + at;
            self.has_line = true;
            if !buf[..end].ends_with(b"\r") {
                return Err(ParseError::BareLf);
            }
            if buf[..=end].ends_with(b"\r\n\r\n") {
                return Ok(true);
            }
        }
        self.seen = buf.len();
        Ok(self.has_line && !had_line)
    }

    /// Notes that the buffer holds no complete head.
    #[cold]
    pub(crate) fn ran_out(
        &mut self,
        buf: &[u8],
        head_bytes_max: usize,
        line_bytes_max: usize,
    ) -> Result<(), ParseError> {
        if self.seen == 0 {
            self.has_line = memchr::memchr(b'\n', buf).is_some();
        }
        self.seen = buf.len();
        if !self.has_line && buf.len() > line_bytes_max {
            return Err(ParseError::TargetTooLong);
        }
        if buf.len() >= head_bytes_max {
            return Err(ParseError::HeadTooLarge);
        }
        Ok(())
    }
}
