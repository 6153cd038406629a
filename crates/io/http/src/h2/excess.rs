//! What a peer may do too much of.

use std::fmt;

use crate::h2::frames::FrameKind;

/// What a peer did too much of, for which its connection is ended with ENHANCE_YOUR_CALM
/// (RFC 9113 sections 7 and 10.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// It reset streams, or made us reset them.
    Resets,
    /// It sent frames that carry nothing, of this kind when it was too much.
    Frames(FrameKind),
    /// It sent a head several times larger than any may be.
    Head,
}

// === impl Excess ===

impl Excess {
    /// Reads what the `h2` crate found to be too much from the end of the GOAWAY that it sends: it
    /// says so nowhere else.
    pub(super) fn of_goaway(frame: &[u8]) -> Option<Self> {
        [
            (&b"too_many_resets"[..], Self::Resets),
            (b"too_many_internal_resets", Self::Resets),
            (b"too_many_continuations", Self::Frames(FrameKind::Continuation)),
            (b"too_many_data_frames", Self::Frames(FrameKind::Data)),
            (b"header_list_way_too_large", Self::Head),
        ]
        .into_iter()
        .find_map(|(words, excess)| frame.ends_with(words).then_some(excess))
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resets => f.write_str("resets"),
            Self::Frames(kind) => write!(f, "{} frames", kind.as_str()),
            Self::Head => f.write_str("header fields"),
        }
    }
}
