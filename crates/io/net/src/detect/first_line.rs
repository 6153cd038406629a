//! Whether bytes that were taken for something else begin with a request after all.
//!
//! Servers take more for HTTP/1 than what [`detect`](super::detect()) calls by that name: empty lines
//! before a request, white space of all kinds, targets of any form, a request line in many pieces.
//! Whoever vouches for the header fields of requests must not let one pass as mere bytes. What all
//! such requests have in common is the end of their first line, and their fields come after it.

/// Bytes of a first line that are looked at; servers accept less.
const LINE_BYTES_MAX: u32 = 1 << 20;

/// `HTTP/`, which the last word of a request line begins with (RFC 9112 section 2.3).
const VERSION: &[u8] = b"http/";

/// `GET`, the one method of a request without a version and the fields that some servers still read
/// after it.
const GET: &[u8] = b"get";

/// Reads the first line of one direction of a connection.
///
/// Give it all bytes in order, as they come.
#[derive(Debug, Clone, Default)]
pub struct FirstLine {
    seen: u32,
    words: u32,
    /// Where in the word under way the next byte is, up to the length of what is looked for.
    at: usize,
    in_word: bool,
    /// The word under way began like [`VERSION`], and was no longer than any version is.
    is_version: bool,
    /// The first word began like [`GET`], and ended there.
    is_get: bool,
    /// The second word began with a slash.
    is_path: bool,
    ended: bool,
}

// === impl FirstLine ===

impl FirstLine {
    /// Looks at the next bytes. Says how many of them may be passed on before the first line would
    /// be that of a request; `None` when all may be.
    ///
    /// Once it has said so, it is not to be asked again.
    pub fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.ended {
            return None;
        }
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.is_request() => return Some(index),
                // Servers step over empty lines.
                b'\n' if self.words == 0 => self.seen = 0,
                b'\n' => {
                    self.ended = true;
                    return None;
                }
                byte if is_blank(*byte) => self.in_word = false,
                byte => self.take(*byte),
            }
            self.seen += 1;
            if self.seen >= LINE_BYTES_MAX {
                self.ended = true;
                return None;
            }
        }
        None
    }

    /// Whether more bytes need not be looked at.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn take(&mut self, byte: u8) {
        if !self.in_word {
            self.in_word = true;
            self.words = self.words.saturating_add(1);
            self.at = 0;
            self.is_version = true;
            self.is_get |= self.words == 1;
            self.is_path |= self.words == 2 && byte == b'/';
        }
        let byte = byte.to_ascii_lowercase();
        if VERSION.get(self.at).is_some_and(|expected| *expected != byte) {
            self.is_version = false;
        }
        if self.words == 1 && GET.get(self.at) != Some(&byte) {
            self.is_get = false;
        }
        self.at = self.at.saturating_add(1);
    }

    fn is_request(&self) -> bool {
        let has_version = self.words > 1 && self.is_version && self.at > VERSION.len();
        has_version || (self.words == 2 && self.is_get && self.is_path)
    }
}

/// What one server or another takes for the space between words.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c | 0x1c..=0x1f | 0x85 | 0xa0)
}

#[cfg(test)]
mod tests;
