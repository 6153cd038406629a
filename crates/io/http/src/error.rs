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
    H2(#[source] crate::h2::Error),
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
    H2(#[source] crate::h2::Error),
}

/// A message could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The connection broke, or the peer does not read any more.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The HTTP/2 stream or connection failed.
    #[error("the stream failed")]
    H2(#[source] crate::h2::Error),
    /// More or fewer bytes were written than the head had promised.
    #[error("the body does not have the promised length")]
    Length,
}

// === impl HeadError ===

impl HeadError {
    /// Whether the peer broke the rules, as opposed to having gone away.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Parse(_) => true,
            Self::H2(error) => error.is_violation(),
            Self::Closed | Self::Truncated | Self::Io(_) => false,
        }
    }
}

// === impl ReadError ===

impl ReadError {
    /// Whether the peer broke the rules, as opposed to having gone away.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Malformed(_) => true,
            Self::H2(error) => error.is_violation(),
            Self::Truncated | Self::Io(_) => false,
        }
    }
}
