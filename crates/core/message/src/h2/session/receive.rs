//! Frames that arrive.

use std::time::Instant;

use crate::h2::failure::{Excess, Failure, Reason};
use crate::h2::frame::{
    self, END_HEADERS, END_STREAM, FrameHead, FrameKind, HEAD_BYTES, PADDED, PAYLOAD_BYTES_MAX,
    PREFACE, PRIORITY,
};
use crate::h2::section::{Kind, Refused, Section};
use crate::h2::session::{CONTROL_BYTES_MAX, Ending, OUTPUT_BYTES_MAX, Over, Session};
use crate::h2::stream::{Key, READABLE, Receiving, Stream};
use crate::hpack::{Answer, DecodeError};

/// Where in the bytes that arrive we are.
#[derive(Debug)]
pub(super) struct Input {
    state: State,
    /// A section whose end has not come.
    block: Option<Box<Block>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes of a client's preface have come.
    Preface(usize),
    /// A frame begins.
    Frame,
    /// Within DATA.
    Data(Data),
    /// So much is left of what is not looked at.
    Skip(u32),
}

/// What is left of a DATA frame.
#[derive(Debug, Clone, Copy)]
struct Data {
    /// Where it goes; nowhere if the stream is gone.
    key: Option<Key>,
    left: u32,
    padding: u32,
    ends: bool,
}

/// The beginning of a section.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    /// Frames that it came in.
    frames: usize,
}

/// A raw section of so many times what heads may take is not even decompressed.
const RAW_TIMES_MAX: usize = 2;

/// Whoever cuts a section makes pieces of so much, bytes at least, but for a few.
const FRAGMENT_BYTES_MIN: usize = 4 << 10;

/// So many pieces may be smaller.
const FRAMES_MIN: usize = 16;

/// Interim responses that may wait to be read.
const INTERIM_MAX: usize = 32;

/// Streams that have ended, and whose requests are still worked on, for each that may be open.
const HELD_TIMES_MAX: usize = 2;

// === impl Input ===

impl Input {
    pub(super) fn new(is_server: bool) -> Self {
        Self { state: if is_server { State::Preface(0) } else { State::Frame }, block: None }
    }
}

// === impl Session ===

impl Session {
    /// Takes what arrived; says how many bytes were used. The rest is to be given again, with more
    /// behind it, or once some of the output has been written.
    ///
    /// `now` is asked for the time only where it matters.
    pub fn receive(&mut self, bytes: &[u8], now: &dyn Fn() -> Instant) -> usize {
        let mut used = 0;
        while self.over.is_none() && !self.is_glutted() {
            let taken = self.step(&bytes[used..], now);
            used += taken;
            // A frame without payload takes bytes, too.
            if taken == 0 {
                return used;
            }
        }
        if self.over.is_some() { bytes.len() } else { used }
    }

    /// Whether so much waits to be written that nothing more is read.
    pub fn is_glutted(&self) -> bool {
        self.output.len() - self.written > OUTPUT_BYTES_MAX + CONTROL_BYTES_MAX
    }

    /// Takes one frame, or a part of one; how many bytes.
    #[inline]
    fn step(&mut self, bytes: &[u8], now: &dyn Fn() -> Instant) -> usize {
        match self.input.state {
            State::Frame => self.begin_frame(bytes, now),
            State::Data(data) => self.read_data(data, bytes, now),
            State::Skip(left) => {
                let count = bytes.len().min(left as usize);
                let left = left - count as u32;
                self.input.state = if left == 0 { State::Frame } else { State::Skip(left) };
                count
            }
            State::Preface(seen) => {
                let count = bytes.len().min(PREFACE.len() - seen);
                if bytes[..count] != PREFACE[seen..seen + count] {
                    self.violation(Reason::PROTOCOL_ERROR, "not the preface of HTTP/2");
                }
                let seen = seen + count;
                self.input.state =
                    if seen == PREFACE.len() { State::Frame } else { State::Preface(seen) };
                count
            }
        }
    }

    fn begin_frame(&mut self, bytes: &[u8], now: &dyn Fn() -> Instant) -> usize {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return 0 };
        let head = FrameHead::read(head);
        let length = head.length as usize;
        if let Err((reason, words)) = self.check_order(head) {
            self.violation(reason, words);
            return HEAD_BYTES;
        }
        if head.kind == FrameKind::Data {
            return self.begin_data(head, rest, now);
        }
        let whole = match head.kind {
            FrameKind::Unknown => {
                self.input.state =
                    if length == 0 { State::Frame } else { State::Skip(head.length) };
                HEAD_BYTES
            }
            _ => HEAD_BYTES + length,
        };
        let Some(payload) = bytes.get(HEAD_BYTES..whole) else { return 0 };
        self.meter.received(head);
        self.check_meter(now);
        if self.over.is_some() {
            return whole;
        }
        match head.kind {
            FrameKind::Headers => self.on_headers(head, payload, now),
            FrameKind::Continuation => self.on_continuation(head, payload, now),
            FrameKind::Priority => self.on_priority(head, payload, now),
            FrameKind::ResetStream => self.on_reset(head, payload, now),
            FrameKind::Settings => self.on_settings(head, payload),
            FrameKind::Ping => self.on_ping(head, payload),
            FrameKind::GoAway => self.on_goaway(head, payload),
            FrameKind::WindowUpdate => self.on_window_update(head, payload, now),
            FrameKind::PushPromise => {
                self.violation(Reason::PROTOCOL_ERROR, "PUSH_PROMISE was forbidden");
            }
            FrameKind::Data | FrameKind::Unknown => {}
        }
        whole
    }

    /// What may not be there at all.
    #[inline]
    fn check_order(&self, head: FrameHead) -> Result<(), (Reason, &'static str)> {
        if head.length as usize > PAYLOAD_BYTES_MAX {
            return Err((Reason::FRAME_SIZE_ERROR, "a frame is too large"));
        }
        let is_continuation = head.kind == FrameKind::Continuation;
        match &self.input.block {
            Some(block) if !is_continuation || block.stream != head.stream => {
                return Err((Reason::PROTOCOL_ERROR, "a frame within a header section"));
            }
            None if is_continuation => {
                return Err((Reason::PROTOCOL_ERROR, "CONTINUATION of nothing"));
            }
            _ => {}
        }
        if !self.peer.are_known && (head.kind != FrameKind::Settings || head.has(frame::ACK)) {
            return Err((Reason::PROTOCOL_ERROR, "the first frame is not SETTINGS"));
        }
        Ok(())
    }

    fn check_meter(&mut self, now: &dyn Fn() -> Instant) {
        if let Some(kind) = self.meter.overdrawn(now) {
            self.calm(Excess::Frames(kind));
        }
    }

    // --- DATA ---

    fn begin_data(&mut self, head: FrameHead, rest: &[u8], now: &dyn Fn() -> Instant) -> usize {
        let (before, padding) = match (head.has(PADDED), rest.first()) {
            (false, _) => (0, 0),
            (true, _) if head.length == 0 => (1, 0),
            (true, None) => return 0,
            (true, Some(&padding)) => (1, u32::from(padding)),
        };
        if before + padding > head.length {
            self.violation(Reason::PROTOCOL_ERROR, "more padding than payload");
            return HEAD_BYTES;
        }
        self.meter.received(head);
        if head.is_empty_data() {
            self.check_meter(now);
        }
        let left = head.length - before - padding;
        let key = self.admit_data(head, left, now);
        let data = Data { key, left, padding, ends: head.has(END_STREAM) };
        self.input.state = State::Data(data);
        if left == 0 && padding == 0 {
            self.end_data(data, now);
        }
        HEAD_BYTES + before as usize
    }

    /// Whether DATA may come now; where it goes, if anywhere.
    fn admit_data(&mut self, head: FrameHead, data: u32, now: &dyn Fn() -> Instant) -> Option<Key> {
        if self.is_idle(head.stream) {
            self.violation(Reason::PROTOCOL_ERROR, "DATA on an idle stream");
            return None;
        }
        let key = self.streams.find(head.stream);
        // What is thrown away was as good as read.
        let is_wanted = key
            .and_then(|key| self.streams.get(key))
            .is_some_and(|stream| stream.failure.is_none() && stream.receiving == Receiving::Body);
        if !self.window.receive(head.length, if is_wanted { data } else { 0 }) {
            self.violation(Reason::FLOW_CONTROL_ERROR, "more data than the window has room for");
            return None;
        }
        self.update_window();
        let Some((key, stream)) = key.and_then(|key| Some((key, self.streams.get_mut(key)?)))
        else {
            if !self.forgiven.has(head.stream) {
                self.violation(Reason::STREAM_CLOSED, "DATA on a closed stream");
            }
            return None;
        };
        if stream.failure.is_some() {
            return None;
        }
        let fault = match stream.receiving {
            Receiving::Head => Some((Reason::PROTOCOL_ERROR, "DATA before a head")),
            Receiving::Done => Some((Reason::STREAM_CLOSED, "DATA after the end")),
            Receiving::Body => take_content(stream, head.length, data),
        };
        if let Some((reason, words)) = fault {
            if is_wanted {
                self.window.consume(data);
            }
            self.stream_error(head.stream, reason, words, now);
            return None;
        }
        if data < head.length {
            self.update_stream_window(key);
        }
        Some(key)
    }

    fn read_data(&mut self, mut data: Data, bytes: &[u8], now: &dyn Fn() -> Instant) -> usize {
        let count = bytes.len().min(data.left as usize);
        if count > 0
            && let Some(key) = data.key
            && let Some(stream) = self.streams.get_mut(key)
            && stream.failure.is_none()
        {
            if stream.inbox.capacity() == 0 {
                stream.inbox = self.spares.bytes();
            }
            stream.inbox.extend_from_slice(&bytes[..count]);
            self.note(key, READABLE);
        }
        data.left -= count as u32;
        let skipped = (bytes.len() - count).min(data.padding as usize);
        data.padding -= skipped as u32;
        self.input.state = State::Data(data);
        if data.left == 0 && data.padding == 0 {
            self.end_data(data, now);
        }
        count + skipped
    }

    fn end_data(&mut self, data: Data, now: &dyn Fn() -> Instant) {
        self.input.state = State::Frame;
        if let Some(key) = data.key.filter(|_| data.ends) {
            self.end_message(key, now);
        }
    }

    /// The peer's message is complete.
    fn end_message(&mut self, key: Key, now: &dyn Fn() -> Instant) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.failure.is_some() {
            return;
        }
        if !stream.has_all_content() {
            let words = "there is less content than was promised";
            return self.stream_error(key.id(), Reason::PROTOCOL_ERROR, words, now);
        }
        stream.receiving = Receiving::Done;
        self.note(key, READABLE);
        self.settle(key);
        self.end_if_done();
    }

    // --- sections ---

    fn on_headers(&mut self, head: FrameHead, payload: &[u8], now: &dyn Fn() -> Instant) {
        if head.stream == 0 {
            return self.violation(Reason::PROTOCOL_ERROR, "HEADERS on no stream");
        }
        let Some(fragment) = strip(head, payload) else {
            return self.violation(Reason::PROTOCOL_ERROR, "more padding than payload");
        };
        let ends = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.on_section(head.stream, ends, fragment, now);
        }
        let mut bytes = self.spares.bytes();
        bytes.extend_from_slice(fragment);
        self.input.block = Some(Box::new(Block { stream: head.stream, ends, bytes, frames: 1 }));
    }

    fn on_continuation(&mut self, head: FrameHead, payload: &[u8], now: &dyn Fn() -> Instant) {
        let Some(block) = &mut self.input.block else { return };
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        let bytes_max = RAW_TIMES_MAX * self.config.head_bytes_max as usize;
        let frames_max = FRAMES_MIN + bytes_max / FRAGMENT_BYTES_MIN;
        if block.bytes.len() > bytes_max || block.frames > frames_max {
            return self.calm(Excess::Frames(FrameKind::Continuation));
        }
        if head.has(END_HEADERS)
            && let Some(block) = self.input.block.take()
        {
            self.on_section(block.stream, block.ends, &block.bytes, now);
            self.spares.give_bytes(block.bytes);
        }
    }

    fn on_section(&mut self, id: u32, ends: bool, block: &[u8], now: &dyn Fn() -> Instant) {
        if let Some(key) = self.streams.find(id) {
            return self.on_next_section(key, ends, block, now);
        }
        let is_new = self.is_server && id % 2 == 1 && id > self.peer_last;
        if is_new && !matches!(self.ending, Ending::Final(_)) {
            self.peer_last = id;
            return self.on_request(id, ends, block, now);
        }
        if !is_new && self.is_idle(id) {
            return self.violation(Reason::PROTOCOL_ERROR, "HEADERS on an idle stream");
        }
        if !is_new && !self.forgiven.has(id) {
            return self.violation(Reason::STREAM_CLOSED, "HEADERS on a closed stream");
        }
        self.skip_section(block);
    }

    /// Keeps the decoder's table right for a section that nobody wants.
    fn skip_section(&mut self, block: &[u8]) {
        let limits = self.list_limits();
        if let Err(error) = self.decoder.decode(block, limits, |_| Answer::Skip) {
            self.decoding_failed(error);
        }
    }

    fn decode(&mut self, kind: Kind, block: &[u8]) -> Option<Result<Box<Section>, Refused>> {
        let limits = self.list_limits();
        let mut section = self.spares.section();
        match section.decode(kind, &mut self.decoder, block, limits) {
            Ok(Ok(())) => Some(Ok(section)),
            Ok(Err(refused)) => {
                self.spares.give_section(section);
                Some(Err(refused))
            }
            Err(error) => {
                self.decoding_failed(error);
                None
            }
        }
    }

    fn decoding_failed(&mut self, error: DecodeError) {
        match error {
            DecodeError::ListTooLarge => self.calm(Excess::Head),
            _ => self.violation(Reason::COMPRESSION_ERROR, "a header section cannot be decoded"),
        }
    }

    fn on_request(&mut self, id: u32, ends: bool, block: &[u8], now: &dyn Fn() -> Instant) {
        let Some(decoded) = self.decode(Kind::Request, block) else { return };
        let section = match decoded {
            Ok(section) => section,
            Err(Refused::Malformed(words)) => {
                return self.stream_error(id, Reason::PROTOCOL_ERROR, words, now);
            }
            Err(Refused::TooLarge) => return self.answer_too_large(id, ends),
        };
        let streams_max = self.config.streams_max;
        if self.open >= streams_max || self.streams.len() >= streams_max as usize * HELD_TIMES_MAX {
            self.spares.give_section(section);
            frame::push_reset(id, Reason::REFUSED_STREAM, self.out());
            return self.forgiven.add(id);
        }
        let mut stream = Stream::new(id, self.peer.stream_window, self.stream_window);
        stream.receiving = if ends { Receiving::Done } else { Receiving::Body };
        stream.expect_content(section.content_length());
        stream.head = Some(section);
        self.open += 1;
        let key = self.streams.insert(stream);
        self.accepted.push_back(key);
    }

    /// Answers with 431 what is too large for anybody to look at.
    fn answer_too_large(&mut self, id: u32, ends: bool) {
        self.heads_exceeded = self.heads_exceeded.saturating_add(1);
        let mut head = crate::response::ResponseHead::new();
        head.set_status(431);
        self.push_response(id, &head, END_STREAM);
        if !ends {
            frame::push_reset(id, Reason::NO_ERROR, self.out());
            self.forgiven.add(id);
        }
    }

    /// A response, or trailers.
    fn on_next_section(&mut self, key: Key, ends: bool, block: &[u8], now: &dyn Fn() -> Instant) {
        let Some(stream) = self.streams.get(key) else { return };
        if stream.failure.is_some() {
            return self.skip_section(block);
        }
        let kind = match stream.receiving {
            Receiving::Head => Kind::Response,
            Receiving::Body => Kind::Trailers,
            Receiving::Done => {
                self.skip_section(block);
                let words = "HEADERS after the end";
                return self.stream_error(key.id(), Reason::STREAM_CLOSED, words, now);
            }
        };
        let Some(decoded) = self.decode(kind, block) else { return };
        let words = match decoded {
            Ok(section) if kind == Kind::Response => {
                return self.on_response(key, ends, section, now);
            }
            Ok(section) if ends => {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.trailers = Some(section);
                }
                return self.end_message(key, now);
            }
            Ok(_) => "trailers do not end the message",
            Err(Refused::Malformed(words)) => words,
            Err(Refused::TooLarge) => "a header section is too large",
        };
        self.stream_error(key.id(), Reason::PROTOCOL_ERROR, words, now);
    }

    fn on_response(
        &mut self,
        key: Key,
        ends: bool,
        section: Box<Section>,
        now: &dyn Fn() -> Instant,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let status = section.status();
        if status < 200 {
            if ends || stream.interim.len() >= INTERIM_MAX {
                let words = "an interim response ends the message, or there are too many";
                return self.stream_error(key.id(), Reason::PROTOCOL_ERROR, words, now);
            }
            stream.interim.push_back(section);
            return self.note(key, READABLE);
        }
        stream.is_bodiless = stream.is_head;
        let is_without_content = matches!(status, 204 | 304);
        stream.expect_content(section.content_length().filter(|_| !is_without_content));
        stream.head = Some(section);
        stream.receiving = Receiving::Body;
        self.note(key, READABLE);
        if ends {
            self.end_message(key, now);
        }
    }

    /// Priorities mean nothing any more, but they have a form (RFC 9113 section 5.3.2).
    fn on_priority(&mut self, head: FrameHead, payload: &[u8], now: &dyn Fn() -> Instant) {
        if head.stream == 0 {
            return self.violation(Reason::PROTOCOL_ERROR, "PRIORITY on no stream");
        }
        if head.length != 5 {
            let words = "PRIORITY of another length than 5";
            if self.is_idle(head.stream) {
                return self.violation(Reason::FRAME_SIZE_ERROR, words);
            }
            return self.stream_error(head.stream, Reason::FRAME_SIZE_ERROR, words, now);
        }
        if payload.starts_with(&head.stream.to_be_bytes()) && !self.is_idle(head.stream) {
            let words = "a stream that depends on itself";
            self.stream_error(head.stream, Reason::PROTOCOL_ERROR, words, now);
        }
    }

    /// The connection is at its end because of how it was ended.
    pub(super) fn has_failed(&self) -> Option<Failure> {
        match self.over {
            Some(Over::Failed(failure)) => Some(failure),
            Some(Over::Closed) => Some(Failure::Closed),
            None => None,
        }
    }
}

// === functions ===

/// Takes DATA of a stream into account, or says what is wrong with it.
fn take_content(stream: &mut Stream, length: u32, data: u32) -> Option<(Reason, &'static str)> {
    if !stream.window.receive(length, data) {
        return Some((Reason::FLOW_CONTROL_ERROR, "more data than the window has room for"));
    }
    if !stream.count_content(data) {
        return Some((Reason::PROTOCOL_ERROR, "there is more content than was promised"));
    }
    None
}

/// The fragment in the payload of HEADERS; `None` when the padding is larger than it.
fn strip(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = if head.has(PADDED) {
        let (&padding, rest) = payload.split_first()?;
        (usize::from(padding), rest)
    } else {
        (0, payload)
    };
    // Priorities were given up (RFC 9113 section 5.3.2).
    let rest = if head.has(PRIORITY) { rest.get(5..)? } else { rest };
    rest.get(..rest.len().checked_sub(padding)?)
}
