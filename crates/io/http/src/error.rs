//! What can go wrong while a message is read or written.

use std::io;

use weft_message::h1::{BodyError, ParseError};

/// A head could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The connection ended or broke before the first byte of the head.
    #[error("the connection was closed")]
    Closed,
    /// The connection ended within the head.
    #[error("the connection ended within a head")]
    Truncated,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The head breaks the rules or the limits.
    #[error("the head is not acceptable")]
    Parse(#[source] ParseError),
    /// The HTTP/2 stream or connection failed.
    #[error("the stream failed")]
    H2(#[source] h2::Error),
    /// The HTTP/2 head breaks the rules or the limits.
    #[error("the head is not acceptable: {0}")]
    Invalid(&'static str),
}

/// A body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection ended within the body.
    #[error("the connection ended within a body")]
    Truncated,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The body's framing breaks the rules or the limits.
    #[error("the body is malformed")]
    Malformed(#[source] BodyError),
    /// The HTTP/2 stream or connection failed.
    #[error("the stream failed")]
    H2(#[source] h2::Error),
    /// Trailers break the rules.
    #[error("the trailers are not acceptable: {0}")]
    Trailers(&'static str),
}

/// A message could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The connection broke, or the peer does not read any more.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The HTTP/2 stream or connection failed.
    #[error("the stream failed")]
    H2(#[source] h2::Error),
    /// More or fewer bytes were written than the head had promised.
    #[error("the body does not have the promised length")]
    Length,
    /// A field cannot be put into HTTP/2.
    #[error("a field cannot be sent over HTTP/2")]
    Field,
}

// === impl HeadError ===

impl HeadError {
    /// Whether the peer broke the rules, as opposed to having gone away.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Parse(_) | Self::Invalid(_) => true,
            Self::H2(error) => is_violation(error),
            Self::Closed | Self::Truncated | Self::Io(_) => false,
        }
    }
}

// === impl ReadError ===

impl ReadError {
    /// Whether the peer broke the rules, as opposed to having gone away.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::Trailers(_) => true,
            Self::H2(error) => is_violation(error),
            Self::Truncated | Self::Io(_) => false,
        }
    }
}

/// An error that our side of HTTP/2 raised about what the peer sent, such as DATA that does not add
/// up to the content length (RFC 9113 section 8.1.1).
fn is_violation(error: &h2::Error) -> bool {
    error.is_library() && !error.is_io()
}
