//! Bodies (RFC 9112 sections 6 and 7): where the data lies in the buffer, without copying it.

use thiserror::Error;

use crate::bytes::{folded_eq, hex_value, is_control};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::h1::field::parse_fields;
use crate::h1::framing::{BodyFraming, Noted};
use crate::known::{Known, UNKNOWN, id_of, ids_of};

/// Finds the data of one body in the bytes that follow a head.
///
/// Call [`BodyReader::decode`] with what is unread; drop the bytes it says to skip, use the data
/// that lies right after them, and say with [`BodyReader::consumed`] how much of it was used.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Data bytes still to come of the body or the chunk; the size while it is being read.
    left: u64,
    /// Digits or extension bytes of this chunk so far.
    count: usize,
    trailers: Option<Box<Trailers>>,
}

/// What comes next in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// `len` bytes of data lie after `skip` bytes of framing; `len` is not 0.
    Data {
        /// Framing bytes to drop now; the reader will not see them again.
        skip: usize,
        /// Data bytes right after them.
        len: usize,
    },
    /// The body is complete after `skip` bytes; what follows belongs to the next message.
    End {
        /// Framing bytes to drop now.
        skip: usize,
    },
    /// More bytes are needed.
    NeedMore {
        /// Framing bytes to drop now, all there are.
        skip: usize,
    },
}

/// Why a body cannot be read. Close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// A chunk size is anything but 1 to 16 hexadecimal digits.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// A chunk extension is too long or holds a control byte.
    #[error("a chunk extension is malformed or too long")]
    ChunkExtension,
    /// The data of a chunk is not followed by CRLF.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A line of the chunk framing does not end in CRLF.
    #[error("a chunk line does not end in CRLF")]
    LineEnd,
    /// The trailer section exceeds its bounds.
    #[error("the trailers are too large")]
    TrailersTooLarge,
    /// A trailer line breaks the rules.
    #[error("the trailers are malformed")]
    Trailers(#[source] ParseError),
    /// The connection ended before the body did.
    #[error("the body is incomplete")]
    Truncated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The body is complete.
    Done,
    /// In a body of known length.
    Length,
    /// In a body that ends with the connection.
    UntilClose,
    /// In the digits of a chunk size.
    Size,
    /// In a chunk extension.
    Extension,
    /// In a quoted string of a chunk extension.
    Quoted,
    /// After a backslash in a quoted string.
    QuotedPair,
    /// Between CR and LF after a chunk size.
    SizeLf,
    /// In the data of a chunk.
    Data,
    /// Before the CR that ends a chunk.
    DataCr,
    /// Before the LF that ends a chunk.
    DataLf,
    /// In the trailer section.
    Trailer,
    /// Nothing can be read after an error.
    Failed(BodyError),
}

#[derive(Debug, Default)]
struct Trailers {
    /// The lines as they come.
    raw: Vec<u8>,
    fields: Fields,
}

/// Chunk extensions of one chunk, bytes: nobody uses them, and they would be free for the sender.
const EXTENSION_BYTES_MAX: usize = 256;

/// The trailer section, bytes: a checksum and a few gRPC fields, with room.
const TRAILER_BYTES_MAX: usize = 8 << 10;

/// Trailer lines.
const TRAILER_FIELDS_MAX: usize = 64;

/// Fields that may not come after the body (RFC 9110 section 6.5.1): they frame, route,
/// authenticate, or say how the body was to be read.
const FORBIDDEN_NAMES: &[Known] = &[
    // Framing and the connection.
    Known::Connection,
    Known::ContentLength,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
    // Routing, and who is asking.
    Known::Authorization,
    Known::Cookie,
    Known::Forwarded,
    Known::Host,
    Known::ProxyAuthenticate,
    Known::ProxyAuthorization,
    Known::SetCookie,
    Known::WwwAuthenticate,
    Known::XApiKey,
    Known::XForwardedClientCert,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedMethod,
    Known::XForwardedPort,
    Known::XForwardedPrefix,
    Known::XForwardedProto,
    Known::XForwardedServer,
    Known::XForwardedTlsClientCert,
    Known::XForwardedTlsClientCertInfo,
    Known::XForwardedUri,
    Known::XHttpMethodOverride,
    Known::XOriginalUrl,
    Known::XRealIp,
    Known::XRewriteUrl,
    // How the request or the response is to be treated.
    Known::Age,
    Known::CacheControl,
    Known::Date,
    Known::Expect,
    Known::Expires,
    Known::IfMatch,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::IfUnmodifiedSince,
    Known::Location,
    Known::MaxForwards,
    Known::Pragma,
    Known::Range,
    Known::RetryAfter,
    Known::Vary,
    // How the body is to be read.
    Known::ContentEncoding,
    Known::ContentRange,
    Known::ContentType,
];

/// [`FORBIDDEN_NAMES`] by id.
const NOT_IN_TRAILERS: [bool; 256] = ids_of(FORBIDDEN_NAMES);

// === impl BodyReader ===

impl BodyReader {
    /// A reader for a body framed so.
    ///
    /// Its bounds for a chunked body: 256 bytes of extensions for each chunk, 64 trailer lines of
    /// 8 KiB together.
    pub fn new(framing: BodyFraming) -> Self {
        let mut reader = Self { state: State::Done, left: 0, count: 0, trailers: None };
        reader.reset(framing);
        reader
    }

    /// Starts over for the next body on the connection.
    pub fn reset(&mut self, framing: BodyFraming) {
        (self.state, self.left) = match framing {
            BodyFraming::None | BodyFraming::Length(0) => (State::Done, 0),
            BodyFraming::Length(length) => (State::Length, length),
            BodyFraming::Chunked => (State::Size, 0),
            BodyFraming::UntilClose => (State::UntilClose, 0),
        };
        self.count = 0;
        self.trailers = None;
    }

    /// Finds what comes next in `input`, the unread bytes. `is_eof` says that nothing follows
    /// them.
    ///
    /// # Errors
    ///
    /// When the framing breaks the rules, or the input ends within the body.
    pub fn decode(&mut self, input: &[u8], is_eof: bool) -> Result<Decoded, BodyError> {
        let decoded = self.advance(input, is_eof);
        if let Err(error) = decoded {
            self.state = State::Failed(error);
        }
        decoded
    }

    /// Notes that `count` bytes of the data last found were used. More than were found counts as
    /// all of them.
    pub fn consumed(&mut self, count: usize) {
        match self.state {
            State::Length => {
                self.left = self.left.saturating_sub(count as u64);
                if self.left == 0 {
                    self.state = State::Done;
                }
            }
            State::Data => {
                self.left = self.left.saturating_sub(count as u64);
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            }
            _ => {}
        }
    }

    /// Whether the whole body was found and used.
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the body ends with the connection.
    pub fn ends_at_eof(&self) -> bool {
        self.state == State::UntilClose
    }

    /// The trailers, filtered, once the body is complete; `None` when there were none.
    pub fn trailers(&self) -> Option<&Fields> {
        let fields = self.trailers.as_ref().map(|trailers| &trailers.fields)?;
        if self.is_complete() && !fields.is_empty() { Some(fields) } else { None }
    }

    fn advance(&mut self, input: &[u8], is_eof: bool) -> Result<Decoded, BodyError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Done => return Ok(Decoded::End { skip: at }),
                State::Failed(error) => return Err(error),
                State::UntilClose if rest.is_empty() && is_eof => {
                    self.state = State::Done;
                    return Ok(Decoded::End { skip: at });
                }
                _ if rest.is_empty() && is_eof => return Err(BodyError::Truncated),
                _ if rest.is_empty() => return Ok(Decoded::NeedMore { skip: at }),
                State::UntilClose => return Ok(Decoded::Data { skip: at, len: rest.len() }),
                State::Length | State::Data => {
                    let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                    return Ok(Decoded::Data { skip: at, len: rest.len().min(left) });
                }
                State::Trailer => at += self.read_trailers(rest)?,
                _ => {
                    self.state = self.step(rest[0])?;
                    at += 1;
                }
            }
        }
    }

    /// One byte of chunk framing.
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        match self.state {
            State::Size => self.step_size(byte),
            State::Extension | State::Quoted | State::QuotedPair => self.step_extension(byte),
            State::SizeLf if byte != b'\n' => Err(BodyError::LineEnd),
            State::SizeLf if self.left == 0 => Ok(State::Trailer),
            State::SizeLf => Ok(State::Data),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.count = 0;
                Ok(State::Size)
            }
            State::DataCr | State::DataLf => Err(BodyError::ChunkEnd),
            state => Ok(state),
        }
    }

    fn step_size(&mut self, byte: u8) -> Result<State, BodyError> {
        if let Some(digit) = hex_value(byte) {
            if self.count == 16 {
                return Err(BodyError::ChunkSize);
            }
            self.count += 1;
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.count == 0 => Err(BodyError::ChunkSize),
            b'\r' => Ok(State::SizeLf),
            b';' => {
                self.count = 0;
                Ok(State::Extension)
            }
            b'\n' => Err(BodyError::LineEnd),
            _ => Err(BodyError::ChunkSize),
        }
    }

    fn step_extension(&mut self, byte: u8) -> Result<State, BodyError> {
        let quoted = self.state != State::Extension;
        if byte == b'\r' && !quoted {
            return Ok(State::SizeLf);
        }
        self.count += 1;
        if is_control(byte) || self.count > EXTENSION_BYTES_MAX {
            return Err(BodyError::ChunkExtension);
        }
        Ok(match (self.state, byte) {
            (State::Extension, b'"') | (State::QuotedPair, _) => State::Quoted,
            (State::Quoted, b'"') => State::Extension,
            (State::Quoted, b'\\') => State::QuotedPair,
            (state, _) => state,
        })
    }

    /// Takes bytes of the trailer section in; how many.
    fn read_trailers(&mut self, rest: &[u8]) -> Result<usize, BodyError> {
        if self.trailers.is_none() && rest.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(2);
        }
        let trailers = self.trailers.get_or_insert_default();
        let taken = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        if trailers.raw.len() + taken > TRAILER_BYTES_MAX {
            return Err(BodyError::TrailersTooLarge);
        }
        trailers.raw.extend_from_slice(&rest[..taken]);
        if trailers.raw == b"\r\n" || trailers.raw.ends_with(b"\r\n\r\n") {
            let parsed = parse_fields::<false>(
                &trailers.raw,
                0,
                TRAILER_FIELDS_MAX,
                &mut trailers.fields,
                &mut Noted::default(),
            );
            match parsed {
                Ok(_) => {}
                Err(ParseError::TooManyFields) => return Err(BodyError::TrailersTooLarge),
                Err(error) => return Err(BodyError::Trailers(error)),
            }
            trailers.fields.retain_entries(|id, name, _| is_allowed(id, name));
            self.state = State::Done;
        } else if trailers.raw.ends_with(b"\n") && !trailers.raw.ends_with(b"\r\n") {
            return Err(BodyError::Trailers(ParseError::BareLf));
        }
        Ok(taken)
    }
}

// === functions ===

/// Whether a field of this name may come after the body (RFC 9110 section 6.5.1). Names that only
/// fold to a forbidden one (`X_Forwarded_For`) may not either: an origin may read them as that.
pub fn is_trailer_allowed(name: &str) -> bool {
    is_allowed(id_of(name.as_bytes()), name.as_bytes())
}

fn is_allowed(id: u8, name: &[u8]) -> bool {
    let is_alias =
        || FORBIDDEN_NAMES.iter().any(|known| folded_eq(known.as_str().as_bytes(), name));
    is_id_allowed(id) && !(id == UNKNOWN && is_alias())
}

#[inline]
pub(super) fn is_id_allowed(id: u8) -> bool {
    !NOT_IN_TRAILERS[usize::from(id)]
}

#[cfg(test)]
mod tests;
