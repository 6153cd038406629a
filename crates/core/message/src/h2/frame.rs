//! What frames look like (RFC 9113 sections 4.1 and 6).

use crate::h2::failure::Reason;

/// What a client sends before its first frame (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What stands before each payload, bytes.
pub(super) const HEAD_BYTES: usize = 9;

/// The largest payload that everybody takes, bytes; we send none that is larger and take none.
pub(super) const PAYLOAD_BYTES_MAX: usize = 16_384;

/// The largest window (RFC 9113 section 6.9.1).
pub(super) const WINDOW_MAX: i64 = (1 << 31) - 1;

/// What a window is until an endpoint says otherwise (RFC 9113 section 6.9.2).
pub(super) const WINDOW_DEFAULT: i64 = 65_535;

/// The highest number of a stream, and what a GOAWAY names that excludes none.
pub(super) const STREAM_MAX: u32 = (1 << 31) - 1;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// The kinds of frames (RFC 9113 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A part of a body.
    Data,
    /// The beginning of a header or trailer section.
    Headers,
    /// What is left of HTTP/2's first scheme of priorities.
    Priority,
    /// The end of a stream before its time.
    ResetStream,
    /// Settings, or that they were read.
    Settings,
    /// An announced request.
    PushPromise,
    /// A question whether the peer is there, or the answer.
    Ping,
    /// The end of the connection is near.
    GoAway,
    /// Room for data.
    WindowUpdate,
    /// The rest of a section.
    Continuation,
    /// What HTTP/2 itself does not know; it is ignored (RFC 9113 section 5.5).
    Unknown,
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Length of the payload, bytes.
    pub(super) length: u32,
    pub(super) kind: FrameKind,
    /// What they mean depends on the kind.
    pub(super) flags: u8,
    /// 0 is the connection.
    pub(super) stream: u32,
}

/// The settings (RFC 9113 section 6.5.2).
pub(super) mod setting {
    pub(in crate::h2) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::h2) const ENABLE_PUSH: u16 = 2;
    pub(in crate::h2) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::h2) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::h2) const MAX_FRAME_SIZE: u16 = 5;
    pub(in crate::h2) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

// === impl FrameKind ===

impl FrameKind {
    /// The name, as in RFC 9113.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "DATA",
            Self::Headers => "HEADERS",
            Self::Priority => "PRIORITY",
            Self::ResetStream => "RST_STREAM",
            Self::Settings => "SETTINGS",
            Self::PushPromise => "PUSH_PROMISE",
            Self::Ping => "PING",
            Self::GoAway => "GOAWAY",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::Continuation => "CONTINUATION",
            Self::Unknown => "unknown",
        }
    }

    fn of(number: u8) -> Self {
        match number {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::ResetStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }
}

// === impl FrameHead ===

impl FrameHead {
    #[inline]
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, rest @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: FrameKind::of(kind),
            flags,
            stream: u32::from_be_bytes(rest) & STREAM_MAX,
        }
    }

    #[inline]
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it is DATA that neither brings a byte nor ends a message.
    pub(super) fn is_empty_data(self) -> bool {
        self.kind == FrameKind::Data && self.length == 0 && !self.has(END_STREAM)
    }
}

// === functions ===

/// Appends what stands before a payload of `length` bytes.
#[inline]
pub(super) fn push_head(length: usize, kind: FrameKind, flags: u8, stream: u32, out: &mut Vec<u8>) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [s, t, u, v] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind as u8, flags, s, t, u, v]);
}

pub(super) fn push_reset(stream: u32, reason: Reason, out: &mut Vec<u8>) {
    push_head(4, FrameKind::ResetStream, 0, stream, out);
    out.extend_from_slice(&reason.code().to_be_bytes());
}

pub(super) fn push_window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    push_head(4, FrameKind::WindowUpdate, 0, stream, out);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(super) fn push_ping(flags: u8, payload: [u8; 8], out: &mut Vec<u8>) {
    push_head(8, FrameKind::Ping, flags, 0, out);
    out.extend_from_slice(&payload);
}

pub(super) fn push_goaway(last: u32, reason: Reason, out: &mut Vec<u8>) {
    push_head(8, FrameKind::GoAway, 0, 0, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&reason.code().to_be_bytes());
}

pub(super) fn push_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    push_head(settings.len() * 6, FrameKind::Settings, 0, 0, out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}
