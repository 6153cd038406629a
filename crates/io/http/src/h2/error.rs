//! Why a stream or a connection failed.

use std::io;

use weft_message::h2::{Failure, Reason};

/// A stream or a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody ended it.
    #[error("{0}")]
    Failed(Failure),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
}

// === impl Error ===

impl Error {
    /// The error code of whoever ended it.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Failed(failure) => failure.reason(),
            Self::Io(_) => None,
        }
    }

    /// Whether the connection broke or was closed.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Failed(Failure::Closed) | Self::Io(_))
    }

    /// Whether the peer broke the rules, as opposed to having gone away or given up.
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.is_violation())
    }

    /// Whether the peer says that it has done nothing about the request, so that it may be sent
    /// again (RFC 9113 section 8.7).
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.is_unprocessed())
    }

    /// Whether the peer ends the connection in order without having looked at the request, as a
    /// process does that is replaced: a new connection is to its successor.
    pub fn is_goodbye(&self) -> bool {
        *self == Self::Failed(Failure::Unprocessed(Reason::NO_ERROR))
    }

    /// Whether the peer refused the stream.
    pub fn is_refused_stream(&self) -> bool {
        *self == Self::Failed(Failure::Reset(Reason::REFUSED_STREAM))
    }

    /// As what it shows on a byte stream.
    pub(super) fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Failed(_) => io::ErrorKind::ConnectionReset,
            Self::Io(kind) => *kind,
        }
    }
}
