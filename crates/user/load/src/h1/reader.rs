//! Finds the end of an HTTP/1.1 response (RFC 9112 section 6) without keeping its bytes.

use memchr::memmem;

use crate::tally::{Answer, FailureKind};

/// Reads one response, fed in pieces of any size.
pub(crate) struct Reader {
    state: State,
    is_head_request: bool,
    /// Head bytes of earlier pieces; empty when the head came in one piece.
    head: Vec<u8>,
    status: u16,
    body_bytes: u64,
    reuse: bool,
}

/// What [`Reader::feed`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// The response goes on.
    More,
    /// The response is complete; `reuse` says whether the connection may carry another request.
    Done { reuse: bool },
}

/// A response that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InvalidResponse {
    #[error("connection closed before the response was complete")]
    Truncated,
    #[error("response head is longer than 64 KiB")]
    HeadTooLong,
    #[error("invalid status line")]
    StatusLine,
    #[error("invalid response field: {0}")]
    Field(&'static str),
    #[error("invalid chunk")]
    Chunk,
    #[error("bytes after the end of the response")]
    Surplus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize {
        size: u64,
        digits: u8,
    },
    ChunkExtension {
        size: u64,
    },
    ChunkSizeEnd {
        size: u64,
    },
    ChunkData(u64),
    ChunkDataEnd {
        seen_cr: bool,
    },
    /// Length of the trailer line so far, without its end.
    Trailer {
        line: u32,
    },
    Done,
}

/// What the head says about the body.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
}

const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Sixteen hexadecimal digits fill 64 bits.
const MAX_CHUNK_DIGITS: u8 = 15;

// === impl Reader ===

impl Reader {
    pub(crate) fn new(is_head_request: bool) -> Self {
        Self {
            state: State::Head,
            is_head_request,
            head: Vec::new(),
            status: 0,
            body_bytes: 0,
            reuse: true,
        }
    }

    /// Takes the next bytes of the connection.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Feed, InvalidResponse> {
        while !bytes.is_empty() && self.state != State::Done {
            let used = match self.state {
                State::Head => self.feed_head(bytes)?,
                State::Length(left) => self.feed_length(bytes, left),
                State::UntilClose => {
                    self.body_bytes += bytes.len() as u64;
                    bytes.len()
                }
                State::ChunkData(left) => self.feed_chunk_data(bytes, left),
                _ => {
                    self.feed_chunk_byte(bytes[0])?;
                    1
                }
            };
            bytes = &bytes[used..];
        }
        match (self.state, bytes.is_empty()) {
            (State::Done, true) => Ok(Feed::Done { reuse: self.reuse }),
            (State::Done, false) => Err(InvalidResponse::Surplus),
            _ => Ok(Feed::More),
        }
    }

    /// The server closed its side.
    pub(crate) fn end_of_stream(&mut self) -> Result<(), InvalidResponse> {
        match self.state {
            State::UntilClose | State::Done => Ok(()),
            _ => Err(InvalidResponse::Truncated),
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer { status: self.status, body_bytes: self.body_bytes }
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<usize, InvalidResponse> {
        if self.head.is_empty()
            && let Some(end) = memmem::find(bytes, b"\r\n\r\n")
        {
            self.accept_head(&bytes[..end + 4])?;
            return Ok(end + 4);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        // The end may straddle the pieces: look three bytes back.
        let from = before.saturating_sub(3);
        let Some(end) = memmem::find(&self.head[from..], b"\r\n\r\n") else {
            if self.head.len() > MAX_HEAD_BYTES {
                return Err(InvalidResponse::HeadTooLong);
            }
            return Ok(bytes.len());
        };
        let end = from + end + 4;
        let mut head = std::mem::take(&mut self.head);
        head.truncate(end);
        self.accept_head(&head)?;
        Ok(end - before)
    }

    fn accept_head(&mut self, head: &[u8]) -> Result<(), InvalidResponse> {
        let (status, is_http10) = status_line(head)?;
        if (100..200).contains(&status) && status != 101 {
            // Interim: the real response follows (RFC 9110 section 15.2).
            return Ok(());
        }
        let framing = Framing::parse(head)?;
        self.status = status;
        self.reuse = !framing.close && (!is_http10 || framing.keep_alive) && status != 101;
        let is_bodiless = self.is_head_request || matches!(status, 101 | 204 | 304);
        self.state = if is_bodiless {
            State::Done
        } else if framing.is_chunked {
            State::ChunkSize { size: 0, digits: 0 }
        } else {
            match framing.length {
                Some(0) => State::Done,
                Some(length) => State::Length(length),
                None => {
                    self.reuse = false;
                    State::UntilClose
                }
            }
        };
        Ok(())
    }

    fn feed_length(&mut self, bytes: &[u8], left: u64) -> usize {
        let used = left.min(bytes.len() as u64);
        self.body_bytes += used;
        self.state = if used == left { State::Done } else { State::Length(left - used) };
        used as usize
    }

    fn feed_chunk_data(&mut self, bytes: &[u8], left: u64) -> usize {
        let used = left.min(bytes.len() as u64);
        self.body_bytes += used;
        self.state = if used == left {
            State::ChunkDataEnd { seen_cr: false }
        } else {
            State::ChunkData(left - used)
        };
        used as usize
    }

    fn feed_chunk_byte(&mut self, byte: u8) -> Result<(), InvalidResponse> {
        self.state = match (self.state, byte) {
            (State::ChunkSize { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_CHUNK_DIGITS {
                    return Err(InvalidResponse::Chunk);
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                State::ChunkSize { size: size * 16 + digit, digits: digits + 1 }
            }
            (State::ChunkSize { digits: 0, .. }, _) => return Err(InvalidResponse::Chunk),
            (State::ChunkSize { size, .. } | State::ChunkExtension { size }, b'\r') => {
                State::ChunkSizeEnd { size }
            }
            (State::ChunkSize { size, .. }, b';' | b' ' | b'\t') => State::ChunkExtension { size },
            (State::ChunkExtension { .. }, b'\n') => return Err(InvalidResponse::Chunk),
            (State::ChunkExtension { size }, _) => State::ChunkExtension { size },
            (State::ChunkSizeEnd { size: 0 }, b'\n') => State::Trailer { line: 0 },
            (State::ChunkSizeEnd { size }, b'\n') => State::ChunkData(size),
            (State::ChunkDataEnd { seen_cr: false }, b'\r') => {
                State::ChunkDataEnd { seen_cr: true }
            }
            (State::ChunkDataEnd { seen_cr: true }, b'\n') => {
                State::ChunkSize { size: 0, digits: 0 }
            }
            (State::Trailer { line: 0 }, b'\n') => State::Done,
            (State::Trailer { .. }, b'\n') => State::Trailer { line: 0 },
            (State::Trailer { line }, b'\r') => State::Trailer { line },
            (State::Trailer { line }, _) if (line as usize) < MAX_HEAD_BYTES => {
                State::Trailer { line: line + 1 }
            }
            _ => return Err(InvalidResponse::Chunk),
        };
        Ok(())
    }
}

// === impl InvalidResponse ===

impl InvalidResponse {
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Truncated => FailureKind::Closed,
            _ => FailureKind::Protocol,
        }
    }
}

// === impl Framing ===

impl Framing {
    fn parse(head: &[u8]) -> Result<Self, InvalidResponse> {
        let mut framing = Self::default();
        let lines = head.split(|byte| *byte == b'\n').skip(1);
        for line in lines {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = parse_length(value)?;
                if framing.length.is_some_and(|earlier| earlier != length) {
                    return Err(InvalidResponse::Field("content-length"));
                }
                framing.length = Some(length);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if !ends_in_chunked(value) {
                    return Err(InvalidResponse::Field("transfer-encoding"));
                }
                framing.is_chunked = true;
            } else if name.eq_ignore_ascii_case(b"connection") {
                for option in value.split(|byte| *byte == b',') {
                    let option = option.trim_ascii();
                    framing.close |= option.eq_ignore_ascii_case(b"close");
                    framing.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(framing)
    }
}

fn status_line(head: &[u8]) -> Result<(u16, bool), InvalidResponse> {
    let is_http10 = head.starts_with(b"HTTP/1.0 ");
    if !is_http10 && !head.starts_with(b"HTTP/1.1 ") {
        return Err(InvalidResponse::StatusLine);
    }
    let digits = head.get(9..12).ok_or(InvalidResponse::StatusLine)?;
    let ends = matches!(head.get(12), Some(b' ' | b'\r'));
    if !ends || !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
        return Err(InvalidResponse::StatusLine);
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    Ok((status, is_http10))
}

fn parse_length(value: &[u8]) -> Result<u64, InvalidResponse> {
    let invalid = InvalidResponse::Field("content-length");
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(invalid);
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

fn ends_in_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value);
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
mod tests;
