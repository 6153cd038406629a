//! How much a peer may send that is neither request nor body.
//!
//! Each such frame costs us an effort, an answer or a wake-up, and the peer next to nothing: the
//! floods of 2019 (CVE-2019-9511 to CVE-2019-9518). So there is an account. Frames are taken from
//! it; requests, and data that the peer has to make room for, fill it up; and so does time. A client
//! that does something with its connection never comes near the end of it.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::h2::frame::{FrameHead, FrameKind};

/// The time after which the account is full again.
pub(super) const REFILL_INTERVAL: Duration = Duration::from_secs(10);

/// What a header section from the peer, or a DATA frame to it, is worth: windows of stream and
/// connection are updated, perhaps in small steps, and a ping measures how far away we are. Envoy
/// allows as many window updates for a DATA frame.
const EARNED: u32 = 10;

/// A DATA frame is worth one more for each of so many bytes, because a client may make room for what
/// it reads from the frame piece by piece.
const BYTES_EARNING: u32 = 512;

/// How much more than its bound the account may hold, because a peer updates its windows for data
/// that was sent long before: for a hundred megabytes, more than kernels keep under way.
const SAVED_MAX: u32 = 64 << 10;

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Meter {
    frames_max: u32,
    left: u32,
    refilled: Instant,
    /// The kind of the frame that found the account empty.
    spent_on: Option<FrameKind>,
}

// === impl Meter ===

impl Meter {
    /// So many frames in ten seconds, besides those that requests and data account for.
    pub(super) fn new(frames_max: u32, now: Instant) -> Self {
        Self { frames_max, left: frames_max, refilled: now, spent_on: None }
    }

    /// The peer has sent a frame.
    pub(super) fn received(&mut self, head: FrameHead) {
        match head.kind {
            FrameKind::Data if head.is_empty_data() => self.spend(head.kind),
            FrameKind::Data => {}
            FrameKind::Headers => self.earn(EARNED),
            FrameKind::Continuation
            | FrameKind::Priority
            | FrameKind::ResetStream
            | FrameKind::Settings
            | FrameKind::PushPromise
            | FrameKind::Ping
            | FrameKind::GoAway
            | FrameKind::WindowUpdate
            | FrameKind::Unknown => self.spend(head.kind),
        }
    }

    /// DATA of so many bytes was sent to the peer.
    pub(super) fn sent(&mut self, length: u32) {
        self.earn(EARNED + length / BYTES_EARNING);
    }

    /// Whether the account is overdrawn although it was filled up for the time that has passed; by
    /// which frames. The time is asked for only when it matters.
    pub(super) fn overdrawn(&mut self, now: impl FnOnce() -> Instant) -> Option<FrameKind> {
        let kind = self.spent_on?;
        let now = now();
        if now.saturating_duration_since(self.refilled) < REFILL_INTERVAL {
            return Some(kind);
        }
        self.refilled = now;
        self.left = self.left.max(self.frames_max);
        self.spent_on = None;
        None
    }

    fn earn(&mut self, earned: u32) {
        let left_max = self.frames_max.saturating_add(SAVED_MAX);
        self.left = self.left.saturating_add(earned).min(left_max);
    }

    fn spend(&mut self, kind: FrameKind) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.spent_on = Some(kind),
        }
    }
}
