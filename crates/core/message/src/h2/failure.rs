//! Why a stream, or a connection, ends before its time.

use std::fmt;

use thiserror::Error;

use crate::h2::frame::FrameKind;

/// An error code (RFC 9113 section 7). Codes that are not known stay what they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reason(u32);

/// Why a stream has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Failure {
    /// The peer reset the stream.
    #[error("the peer reset the stream: {0}")]
    Reset(Reason),
    /// We reset the stream, or it was answered and let go.
    #[error("the stream was given up: {0}")]
    Cancelled(Reason),
    /// The peer broke the rules on this stream, which was reset.
    #[error("{1}: {0}")]
    Malformed(Reason, &'static str),
    /// The peer ends the connection and has not looked at this stream (RFC 9113 section 6.8).
    #[error("the peer ends the connection without having looked at the stream: {0}")]
    Unprocessed(Reason),
    /// The peer broke the rules of the connection, which was ended.
    #[error("{1}: {0}")]
    Violation(Reason, &'static str),
    /// We ended the connection.
    #[error("the connection was ended: {0}")]
    Ended(Reason),
    /// The connection was closed, or broke.
    #[error("the connection was closed")]
    Closed,
}

/// What a peer did too much of, for which its connection is ended with
/// [`Reason::ENHANCE_YOUR_CALM`] (RFC 9113 sections 7 and 10.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It reset streams, or made us reset them.
    Resets,
    /// It sent frames that carry nothing, of this kind when it was too much.
    Frames(FrameKind),
    /// It sent a head several times larger than any may be.
    Head,
}

// === impl Reason ===

impl Reason {
    /// In order.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the rules.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// We have failed.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More data than there was room for.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Settings were not acknowledged.
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    /// A frame on a stream that had ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame of a length that its kind cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Nothing was done about the request; it may be sent again.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is not wanted any more.
    pub const CANCEL: Self = Self(8);
    /// Fields could not be decompressed.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// What a CONNECT led to has broken.
    pub const CONNECT_ERROR: Self = Self(10);
    /// Too much of something.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// The connection is not secure enough.
    pub const INADEQUATE_SECURITY: Self = Self(12);
    /// HTTP/1.1 is asked for.
    pub const HTTP_1_1_REQUIRED: Self = Self(13);

    const NAMES: [&'static str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];

    /// The number on the wire.
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl From<u32> for Reason {
    fn from(code: u32) -> Self {
        Self(code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Failure ===

impl Failure {
    /// The error code, of whichever side; `None` when the connection just closed.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Reset(reason)
            | Self::Cancelled(reason)
            | Self::Malformed(reason, _)
            | Self::Unprocessed(reason)
            | Self::Violation(reason, _)
            | Self::Ended(reason) => Some(reason),
            Self::Closed => None,
        }
    }

    /// Whether the peer broke the rules, as opposed to having gone away or given up.
    pub fn is_violation(self) -> bool {
        matches!(self, Self::Malformed(..) | Self::Violation(..))
    }

    /// Whether the peer says that it has done nothing about the stream, so that what was asked for
    /// on it may be asked for again (RFC 9113 section 8.7).
    pub fn is_unprocessed(self) -> bool {
        matches!(self, Self::Reset(Reason::REFUSED_STREAM) | Self::Unprocessed(_))
    }
}

// === impl Excess ===

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resets => f.write_str("resets"),
            Self::Frames(kind) => write!(f, "{} frames", kind.as_str()),
            Self::Head => f.write_str("header fields"),
        }
    }
}
