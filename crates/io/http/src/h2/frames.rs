//! Finds the frames in the bytes of one direction of a connection (RFC 9113 section 4.1).
//!
//! Only the nine bytes before each payload are looked at; payloads are stepped over. No I/O, no
//! memory beyond those nine bytes, and no error: whether a frame may be there is for others to say.

#[cfg(test)]
mod tests;

/// What a client sends before its first frame (RFC 9113 section 3.4), bytes.
pub const PREFACE_BYTES: usize = 24;

/// The end of a message, on DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;

/// What stands before each payload, bytes.
const HEAD_BYTES: usize = 9;

/// The kinds of frames (RFC 9113 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What stands before a payload, without the stream it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// What it is.
    pub kind: FrameKind,
    /// Its flags; what they mean depends on the kind.
    pub flags: u8,
    /// Length of the payload, bytes.
    pub length: u32,
}

/// Where in the frames the bytes seen so far end.
#[derive(Debug, Clone)]
pub struct Scanner {
    /// Bytes to step over before the next head.
    skip: usize,
    /// The beginning of a head whose rest has not come.
    head: [u8; HEAD_BYTES],
    filled: usize,
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
    fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, ..] = *bytes;
        Self { kind: FrameKind::of(kind), flags, length: u32::from_be_bytes([0, a, b, c]) }
    }

    /// Whether it is DATA that neither brings a byte nor ends a message.
    pub fn is_empty_data(self) -> bool {
        self.kind == FrameKind::Data && self.length == 0 && self.flags & END_STREAM == 0
    }
}

// === impl Scanner ===

impl Scanner {
    /// Frames that begin after so many bytes.
    pub fn new(skip: usize) -> Self {
        Self { skip, head: [0; HEAD_BYTES], filled: 0 }
    }

    /// Looks at the next bytes, however they are cut; `found` gets each frame as soon as its head
    /// is there.
    #[inline]
    pub fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(FrameHead)) {
        loop {
            let stepped = self.skip.min(bytes.len());
            self.skip -= stepped;
            bytes = &bytes[stepped..];
            let head = match bytes.split_first_chunk::<HEAD_BYTES>() {
                Some((head, rest)) if self.filled == 0 => {
                    bytes = rest;
                    FrameHead::read(head)
                }
                _ if bytes.is_empty() => return,
                _ => match self.gather(&mut bytes) {
                    Some(head) => head,
                    None => return,
                },
            };
            self.skip = head.length as usize;
            found(head);
        }
    }

    /// Puts a head together that comes in pieces.
    fn gather(&mut self, bytes: &mut &[u8]) -> Option<FrameHead> {
        let count = bytes.len().min(HEAD_BYTES - self.filled);
        let (piece, rest) = bytes.split_at(count);
        self.head[self.filled..][..count].copy_from_slice(piece);
        *bytes = rest;
        self.filled += count;
        if self.filled < HEAD_BYTES {
            return None;
        }
        self.filled = 0;
        Some(FrameHead::read(&self.head))
    }
}
