//! Windows: how much a peer may send, and how much of it waits to be read (RFC 9113 section 5.2).

use crate::h2::frame::WINDOW_DEFAULT;

/// The window that we give, of a stream or of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// What the peer may still send. Below zero after our settings made it smaller.
    left: i64,
    /// What was received, and not consumed.
    unread: u32,
}

// === impl Window ===

impl Window {
    /// A window of so many bytes.
    pub(super) fn new(bytes: i64) -> Self {
        Self { left: bytes, unread: 0 }
    }

    /// What the connection's is before the first update.
    pub(super) fn of_connection() -> Self {
        Self::new(WINDOW_DEFAULT)
    }

    /// Takes a frame of `length` bytes in, of which `data` are to be read. False when there was no
    /// room for it.
    #[inline]
    pub(super) fn receive(&mut self, length: u32, data: u32) -> bool {
        if i64::from(length) > self.left {
            return false;
        }
        self.left -= i64::from(length);
        self.unread += data;
        true
    }

    /// Notes that so much was read or is not wanted any more; at most what was there.
    #[inline]
    pub(super) fn consume(&mut self, bytes: u32) -> u32 {
        let consumed = bytes.min(self.unread);
        self.unread -= consumed;
        consumed
    }

    /// What was received, and not consumed.
    pub(super) fn unread(&self) -> u32 {
        self.unread
    }

    /// Our settings have changed the window.
    pub(super) fn adjust(&mut self, by: i64) {
        self.left += by;
    }

    /// By how much the peer is to be told that the window has grown: when it is half of `target` or
    /// more, so that there are few updates and the peer never waits for one that could be sent.
    #[inline]
    pub(super) fn take_due(&mut self, target: i64) -> Option<u32> {
        let due = target - self.left - i64::from(self.unread);
        if due <= 0 || due < target / 2 {
            return None;
        }
        self.left += due;
        u32::try_from(due).ok()
    }
}
