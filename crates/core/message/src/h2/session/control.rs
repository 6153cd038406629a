//! What is about the connection as a whole: settings, pings, its end.

use std::time::Instant;

use crate::h2::failure::{Excess, Failure, Reason};
use crate::h2::frame::{self, ACK, FrameHead, FrameKind, STREAM_MAX, WINDOW_MAX, setting};
use crate::h2::session::{Ending, OUTPUT_BYTES_MAX, Over, Session};
use crate::h2::stream::{Key, READABLE, Sending, WRITABLE};

/// Asks whether the peer has heard that the end is near.
const DRAIN_PING: [u8; 8] = *b"the end?";

/// Any other question.
const PING: [u8; 8] = *b"are you?";

// === impl Session ===

impl Session {
    /// Asks the peer for a sign; see [`Session::pongs`].
    pub fn ping(&mut self) {
        if self.over.is_none() {
            frame::push_ping(0, PING, self.out());
        }
    }

    /// Tells the peer to open no more streams; those under way are finished, then the connection
    /// ends. In two steps, because streams may be on their way to us (RFC 9113 section 6.8).
    pub fn drain(&mut self) {
        if self.over.is_none() && self.ending == Ending::No {
            self.ending = Ending::Announced;
            frame::push_goaway(STREAM_MAX, Reason::NO_ERROR, self.out());
            frame::push_ping(0, DRAIN_PING, self.out());
        }
    }

    /// Ends the connection at once, with whatever runs on it.
    pub fn close(&mut self, reason: Reason) {
        if self.over.is_none() {
            self.say_goodbye(reason);
            let over = match reason {
                Reason::NO_ERROR => Over::Closed,
                reason => Over::Failed(Failure::Ended(reason)),
            };
            self.end(Failure::Ended(reason), over);
        }
    }

    /// The connection was closed by the peer, or broke: nothing more comes or goes.
    pub fn closed(&mut self) {
        if self.over.is_none() {
            let over = if self.open == 0 { Over::Closed } else { Over::Failed(Failure::Closed) };
            self.end(Failure::Closed, over);
        }
    }

    /// Counts a stream that the peer reset before it was answered. With one too many, the connection
    /// ends.
    pub fn count_reset(&mut self, now: Instant) {
        if self.resets.add(now) {
            self.calm(Excess::Resets);
        }
    }

    pub(super) fn on_settings(&mut self, head: FrameHead, payload: &[u8]) {
        if head.stream != 0 {
            return self.violation(Reason::PROTOCOL_ERROR, "SETTINGS on a stream");
        }
        if head.has(ACK) {
            if !payload.is_empty() {
                return self
                    .violation(Reason::FRAME_SIZE_ERROR, "an acknowledgement with settings");
            }
            return self.on_settings_ack();
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return self.violation(Reason::FRAME_SIZE_ERROR, "SETTINGS of an odd length");
        }
        for [a, b, value @ ..] in settings {
            if self.over.is_none() {
                self.on_setting(u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value));
            }
        }
        if self.over.is_none() {
            self.peer.are_known = true;
            frame::push_head(0, FrameKind::Settings, ACK, 0, self.out());
        }
    }

    fn on_setting(&mut self, id: u16, value: u32) {
        const BAD: Reason = Reason::PROTOCOL_ERROR;
        match id {
            setting::HEADER_TABLE_SIZE => self.encoder.set_table_bytes_max(value),
            setting::ENABLE_PUSH if value > 1 || (value == 1 && !self.is_server) => {
                self.violation(BAD, "ENABLE_PUSH is neither 0 nor 1, or a server's");
            }
            setting::MAX_CONCURRENT_STREAMS => self.peer.streams_max = value,
            setting::INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                self.violation(Reason::FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large");
            }
            setting::INITIAL_WINDOW_SIZE => self.on_initial_window(i64::from(value)),
            setting::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                self.violation(BAD, "MAX_FRAME_SIZE is out of range");
            }
            // Frames of ours have the size that everybody takes, push is never used, and how large
            // a head may be is for the peer to say when it gets one.
            _ => {}
        }
    }

    /// The windows of all streams change with the setting (RFC 9113 section 6.9.2).
    fn on_initial_window(&mut self, window: i64) {
        let by = window - self.peer.stream_window;
        self.peer.stream_window = window;
        let keys: Vec<Key> = self.streams.keys().collect();
        for key in keys {
            let Some(stream) = self.streams.get_mut(key) else { continue };
            stream.send_window += by;
            if stream.send_window > WINDOW_MAX {
                return self.violation(Reason::FLOW_CONTROL_ERROR, "a window is too large");
            }
            if stream.send_window > 0 && std::mem::take(&mut stream.is_waiting) {
                self.note(key, WRITABLE);
            }
        }
    }

    /// The peer has heard of our settings: windows are what they say from now on.
    fn on_settings_ack(&mut self) {
        if std::mem::replace(&mut self.settings_acked, true) {
            return;
        }
        let window = i64::from(self.config.stream_window_bytes).min(WINDOW_MAX);
        let by = window - self.stream_window;
        self.stream_window = window;
        let keys: Vec<Key> = self.streams.keys().collect();
        for key in keys {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.window.adjust(by);
            }
            self.update_stream_window(key);
        }
    }

    pub(super) fn on_ping(&mut self, head: FrameHead, payload: &[u8]) {
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return self.violation(Reason::FRAME_SIZE_ERROR, "a PING of another length than 8");
        };
        if head.stream != 0 {
            return self.violation(Reason::PROTOCOL_ERROR, "PING on a stream");
        }
        if !head.has(ACK) {
            return frame::push_ping(ACK, payload, self.out());
        }
        if payload != DRAIN_PING {
            self.pongs = self.pongs.saturating_add(1);
        } else if self.ending == Ending::Announced {
            self.say_goodbye(Reason::NO_ERROR);
            self.end_if_done();
        }
    }

    pub(super) fn on_goaway(&mut self, head: FrameHead, payload: &[u8]) {
        if head.stream != 0 {
            return self.violation(Reason::PROTOCOL_ERROR, "GOAWAY on a stream");
        }
        let Some(([a, b, c, d, code @ ..], _)) = payload.split_first_chunk::<8>() else {
            return self.violation(Reason::FRAME_SIZE_ERROR, "GOAWAY is too short");
        };
        let last = u32::from_be_bytes([*a, *b, *c, *d]) & STREAM_MAX;
        let reason = Reason::from(u32::from_be_bytes(*code));
        self.peer_goaway = Some(reason);
        if !self.is_server {
            let keys: Vec<Key> = self.streams.keys().filter(|key| key.id() > last).collect();
            for key in keys {
                self.fail(key, Failure::Unprocessed(reason));
            }
        }
        self.end_if_done();
    }

    pub(super) fn on_reset(&mut self, head: FrameHead, payload: &[u8], now: &dyn Fn() -> Instant) {
        let Ok(code) = <[u8; 4]>::try_from(payload) else {
            return self.violation(Reason::FRAME_SIZE_ERROR, "RST_STREAM of another length than 4");
        };
        if self.is_idle(head.stream) {
            return self.violation(Reason::PROTOCOL_ERROR, "RST_STREAM on an idle stream");
        }
        let Some(key) = self.streams.find(head.stream) else { return };
        let is_unasked = self.accepted.contains(&key);
        self.fail(key, Failure::Reset(Reason::from(u32::from_be_bytes(code))));
        if is_unasked {
            self.unaccept(key);
            self.count_reset(now());
        }
        self.end_if_done();
    }

    pub(super) fn on_window_update(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: &dyn Fn() -> Instant,
    ) {
        let Ok(increment) = <[u8; 4]>::try_from(payload) else {
            let words = "WINDOW_UPDATE of another length than 4";
            return self.violation(Reason::FRAME_SIZE_ERROR, words);
        };
        let increment = i64::from(u32::from_be_bytes(increment) & STREAM_MAX);
        if head.stream == 0 {
            return self.on_connection_window(increment);
        }
        if self.is_idle(head.stream) {
            return self.violation(Reason::PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
        }
        let Some(key) = self.streams.find(head.stream) else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.is_closed() {
            return;
        }
        if increment == 0 {
            let words = "WINDOW_UPDATE by nothing";
            return self.stream_error(head.stream, Reason::PROTOCOL_ERROR, words, now);
        }
        stream.send_window += increment;
        if stream.send_window > WINDOW_MAX {
            let words = "a window is too large";
            return self.stream_error(head.stream, Reason::FLOW_CONTROL_ERROR, words, now);
        }
        if stream.send_window > 0 && std::mem::take(&mut stream.is_waiting) {
            self.note(key, WRITABLE);
        }
    }

    fn on_connection_window(&mut self, increment: i64) {
        if increment == 0 {
            return self.violation(Reason::PROTOCOL_ERROR, "WINDOW_UPDATE by nothing");
        }
        self.send_window += increment;
        if self.send_window > WINDOW_MAX {
            return self.violation(Reason::FLOW_CONTROL_ERROR, "the window is too large");
        }
        self.unblock();
    }

    /// Lets streams go on that wait for room, in the order in which they began to, each with a fair
    /// share.
    pub(super) fn unblock(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.blocked.is_empty() {
            self.quota = OUTPUT_BYTES_MAX as u32;
            return;
        }
        if self.send_window <= 0 {
            return;
        }
        let share = OUTPUT_BYTES_MAX / self.blocked.len();
        self.quota = share.max(super::QUOTA_BYTES_MIN) as u32;
        // The list of changes is read from its end.
        while let Some(key) = self.blocked.pop_back() {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.is_blocked = false;
            }
            self.note(key, WRITABLE);
        }
    }

    /// Whether nobody has used a stream of this number yet.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match (self.is_server, id % 2) {
            (_, 0) => true,
            (true, _) => id > self.peer_last,
            (false, _) => id >= self.next_id,
        }
    }

    /// Lets a stream go. One that has not ended is reset.
    pub fn release(&mut self, key: Key) {
        let is_server = self.is_server;
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.is_held = false;
        if !stream.is_closed() {
            let reason = crate::h2::stream::farewell(stream, is_server);
            self.reset(key, reason);
        }
        self.settle(key);
        self.end_if_done();
    }

    /// Resets a stream, unless it has ended.
    pub fn reset(&mut self, key: Key, reason: Reason) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.is_closed() {
            return;
        }
        stream.failure = Some(Failure::Cancelled(reason));
        stream.sending = Sending::Done;
        let unread = stream.window.unread();
        stream.window.consume(unread);
        self.window.consume(unread);
        frame::push_reset(key.id(), reason, self.out());
        self.forgiven.add(key.id());
        self.note(key, READABLE | WRITABLE);
        self.settle(key);
        self.update_window();
        self.end_if_done();
    }
}
