//! The HTTP/1.1 codec without I/O (RFC 9112): strict, and one pass.
//!
//! Heads: [`parse_request`] and [`parse_response`] read from the front of a buffer and say how
//! much they took and how the body is framed. Bodies: [`BodyReader`] says where data lies in the
//! buffer, without copying. Writing: [`write_request`], [`write_response`], [`write_chunk_head`]
//! and [`write_last_chunk`].
//!
//! Leniency is what request smuggling lives on, so there is none: one line ending, one body
//! length, one host. After any error the connection is to be closed.

mod body;
mod field;
mod framing;
mod head;
mod scan;
mod write;

pub use crate::error::{ErrorClass, ParseError};
pub use body::{BodyError, BodyReader, Decoded, is_trailer_allowed};
pub use framing::BodyFraming;
pub(crate) use framing::parse_content_length;
pub use head::{HeadLimits, Parsed, RequestFacts, ResponseFacts, parse_request, parse_response};
pub use scan::HeadScan;
pub use write::{
    CONTINUE, Persistence, write_chunk_head, write_last_chunk, write_request, write_response,
    write_upgrade_request,
};

#[cfg(test)]
mod tests;
