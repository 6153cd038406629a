//! One connection, of either side.

mod control;
mod read;
mod receive;
mod send;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::h2::failure::{Excess, Failure, Reason};
use crate::h2::flow::Window;
use crate::h2::frame::{self, FrameKind, PREFACE, STREAM_MAX, WINDOW_DEFAULT, WINDOW_MAX, setting};
use crate::h2::meter::Meter;
use crate::h2::spares::Spares;
use crate::h2::stream::{Forgiven, Key, READABLE, Streams, WRITABLE};
use crate::hpack::{Decoder, Encoder, ListLimits, TABLE_BYTES_DEFAULT};

pub use read::Body;

/// Bounds of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Streams that the peer may have open at one time. A client's peer opens none.
    pub streams_max: u32,
    /// One header section, bytes as HTTP/2 counts them (32 per field added). Larger requests are
    /// answered with 431; what unfolds to four times this ends the connection.
    pub head_bytes_max: u32,
    /// Window of the connection, bytes.
    pub connection_window_bytes: u32,
    /// Window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// Streams that the peer may reset, or make us reset, within ten seconds.
    pub resets_max: u32,
    /// Control frames, and empty ones, that the peer may send within ten seconds, besides those that
    /// messages account for.
    pub control_frames_max: u32,
}

/// A connection: frames in, frames out, and the streams in between.
pub struct Session {
    config: Config,
    is_server: bool,
    spares: Spares,
    decoder: Decoder,
    encoder: Encoder,
    streams: Streams,
    forgiven: Forgiven,
    /// Streams that are not closed.
    open: u32,
    /// The highest number that the peer has used.
    peer_last: u32,
    /// The number of the next stream of ours.
    next_id: u32,
    accepted: VecDeque<Key>,
    changed: Vec<Key>,
    /// Streams that wait for room, in the order in which they began to.
    blocked: VecDeque<Key>,
    round: u32,
    quota: u32,
    output: Vec<u8>,
    written: usize,
    tail: Option<Tail>,
    /// The peer does not take what there is to write.
    is_stalled: bool,
    /// That data has to wait for that was counted.
    is_exhausted: bool,
    queue_exhausted: u32,
    /// What the peer lets us send on all streams.
    send_window: i64,
    window: Window,
    window_target: i64,
    /// What the peer's settings say.
    peer: PeerSettings,
    /// The window that streams have for the peer, as far as it has heard.
    stream_window: i64,
    input: receive::Input,
    settings_acked: bool,
    pongs: u32,
    meter: Meter,
    resets: Resets,
    heads_exceeded: u32,
    excess: Option<Excess>,
    ending: Ending,
    /// The last stream and the code of the peer's GOAWAY.
    peer_goaway: Option<Reason>,
    over: Option<Over>,
}

/// How a connection has ended. What there is to write may still be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// In order.
    Closed,
    /// By a failure, of whichever side.
    Failed(Failure),
}

/// Something that has happened on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The stream.
    pub key: Key,
    /// There is something to be read, or it has failed.
    pub is_readable: bool,
    /// There may be room for data, or it has failed.
    pub is_writable: bool,
}

/// The DATA frame at the end of the output, which may still grow.
#[derive(Debug, Clone, Copy)]
struct Tail {
    stream: u32,
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct PeerSettings {
    streams_max: u32,
    stream_window: i64,
    /// Its first settings have come.
    are_known: bool,
}

/// How far a connection is towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// The peer was told that the end is near, and asked whether it has heard.
    Announced,
    /// The peer knows the last stream that is served.
    Final(u32),
}

/// Resets that the peer is to blame for.
#[derive(Debug)]
struct Resets {
    max: u32,
    count: u32,
    since: Option<Instant>,
}

/// Data waits here for being written, bytes at most: enough to keep a socket busy.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// A piece of data for which there is no more room than this waits instead.
const ROOM_BYTES_MIN: usize = 1 << 10;

/// A stream's share of the output while others wait, bytes at least.
const QUOTA_BYTES_MIN: usize = 4 << 10;

/// What may wait beside data: answers without content, and acknowledgements. With more of it a peer
/// that does not read is not read from.
const CONTROL_BYTES_MAX: usize = 256 << 10;

/// Room for so many streams is kept in each list while there are none.
const KEYS_KEPT: usize = 8;

/// The time over which resets are counted.
const RESET_WINDOW: Duration = Duration::from_secs(10);

/// A section that unfolds to so many times what it may have ends the connection.
const FATAL_TIMES: u32 = 4;

// === impl Session ===

impl Session {
    /// An accepting connection.
    pub fn server(config: Config, spares: Spares, now: Instant) -> Self {
        let mut session = Self::new(config, true, spares, now);
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, config.streams_max),
            (setting::INITIAL_WINDOW_SIZE, config.stream_window_bytes.min(STREAM_MAX)),
            (setting::MAX_HEADER_LIST_SIZE, config.head_bytes_max),
        ];
        frame::push_settings(&settings, session.out());
        session.update_window();
        session
    }

    /// A calling connection.
    pub fn client(config: Config, spares: Spares, now: Instant) -> Self {
        let mut session = Self::new(config, false, spares, now);
        session.out().extend_from_slice(PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, config.stream_window_bytes.min(STREAM_MAX)),
            (setting::MAX_HEADER_LIST_SIZE, config.head_bytes_max),
        ];
        frame::push_settings(&settings, session.out());
        session.update_window();
        session
    }

    fn new(config: Config, is_server: bool, spares: Spares, now: Instant) -> Self {
        Self {
            config,
            is_server,
            spares,
            decoder: Decoder::new(TABLE_BYTES_DEFAULT),
            encoder: Encoder::new(),
            streams: Streams::default(),
            forgiven: Forgiven::default(),
            open: 0,
            peer_last: 0,
            next_id: 1,
            accepted: VecDeque::new(),
            changed: Vec::new(),
            blocked: VecDeque::new(),
            round: 0,
            quota: OUTPUT_BYTES_MAX as u32,
            output: Vec::new(),
            written: 0,
            tail: None,
            is_stalled: false,
            is_exhausted: false,
            queue_exhausted: 0,
            send_window: WINDOW_DEFAULT,
            window: Window::of_connection(),
            window_target: i64::from(config.connection_window_bytes).min(WINDOW_MAX),
            peer: PeerSettings {
                streams_max: u32::MAX,
                stream_window: WINDOW_DEFAULT,
                are_known: false,
            },
            stream_window: WINDOW_DEFAULT,
            input: receive::Input::new(is_server),
            settings_acked: false,
            pongs: 0,
            meter: Meter::new(config.control_frames_max, now),
            resets: Resets { max: config.resets_max, count: 0, since: None },
            heads_exceeded: 0,
            excess: None,
            ending: Ending::No,
            peer_goaway: None,
            over: None,
        }
    }

    /// How the connection has ended, if it has. Write what is left of [`Session::output`].
    pub fn over(&self) -> Option<Over> {
        self.over
    }

    /// Whether the peer's settings have come: it speaks HTTP/2.
    pub fn is_established(&self) -> bool {
        self.peer.are_known
    }

    /// Whether no stream can be opened any more.
    pub fn is_closing(&self) -> bool {
        self.over.is_some()
            || self.peer_goaway.is_some()
            || self.ending != Ending::No
            || self.next_id > STREAM_MAX
    }

    /// What the peer ends the connection with, once it has said so (GOAWAY).
    pub fn goodbye(&self) -> Option<Reason> {
        self.peer_goaway
    }

    /// Whether one more stream may be opened now.
    pub fn has_room(&self) -> bool {
        !self.is_closing() && self.open < self.peer.streams_max
    }

    /// Streams that are open, however few hold them.
    pub fn open_streams(&self) -> u32 {
        self.open
    }

    /// How many answers to [`Session::ping`] have come.
    pub fn pongs(&self) -> u32 {
        self.pongs
    }

    /// What has happened since this was last asked, stream by stream.
    #[inline]
    pub fn next_change(&mut self) -> Option<Change> {
        while let Some(key) = self.changed.pop() {
            if let Some(stream) = self.streams.get_mut(key) {
                let changes = std::mem::take(&mut stream.changes);
                return Some(Change {
                    key,
                    is_readable: changes & READABLE != 0,
                    is_writable: changes & WRITABLE != 0,
                });
            }
        }
        None
    }

    /// What the peer did too much of, said once.
    pub fn take_excess(&mut self) -> Option<Excess> {
        self.excess.take()
    }

    /// How many heads were so large that they were answered here, since this was last asked.
    pub fn take_heads_exceeded(&mut self) -> u32 {
        std::mem::take(&mut self.heads_exceeded)
    }

    /// How often data had to wait because the peer did not take what was there, since this was last
    /// asked.
    pub fn take_queue_exhausted(&mut self) -> u32 {
        std::mem::take(&mut self.queue_exhausted)
    }

    /// Lets memory go that a connection without streams does not need.
    pub fn rest(&mut self) {
        if self.streams.len() > 0 {
            return;
        }
        self.streams.rest();
        self.forgiven.rest(if self.is_server { self.peer_last + 1 } else { self.next_id });
        self.decoder.shrink();
        self.changed.clear();
        // What is small is kept, or each request of a quiet connection would allocate it again.
        self.accepted.shrink_to(KEYS_KEPT);
        self.changed.shrink_to(KEYS_KEPT);
        self.blocked.shrink_to(KEYS_KEPT);
    }

    /// What a section may be.
    fn list_limits(&self) -> ListLimits {
        let list_bytes_max = self.config.head_bytes_max as usize;
        ListLimits {
            list_bytes_max,
            list_bytes_fatal: list_bytes_max.saturating_mul(FATAL_TIMES as usize),
        }
    }

    /// The buffer for what is to be written.
    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = self.spares.bytes();
        }
        &mut self.output
    }

    /// Notes that something has happened on a stream.
    #[inline]
    fn note(&mut self, key: Key, changes: u8) {
        if let Some(stream) = self.streams.get_mut(key) {
            if stream.changes == 0 {
                self.changed.push(key);
            }
            stream.changes |= changes;
        }
    }

    /// Counts a stream out that has closed, and lets it go when nobody holds it.
    fn settle(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if !stream.is_closed() {
            return;
        }
        if std::mem::take(&mut stream.is_counted) {
            self.open -= 1;
        }
        if stream.is_held {
            return;
        }
        if let Some(stream) = self.streams.remove(key) {
            if stream.is_blocked {
                self.blocked.retain(|other| *other != key);
            }
            self.window.consume(stream.window.unread());
            self.spares.give_bytes(stream.inbox);
            for section in [stream.head, stream.trailers].into_iter().flatten() {
                self.spares.give_section(section);
            }
            self.update_window();
        }
    }

    /// Ends the connection when it was announced and nothing is left to do.
    fn end_if_done(&mut self) {
        let is_announced = matches!(self.ending, Ending::Final(_)) || self.peer_goaway.is_some();
        if self.over.is_none() && is_announced && self.open == 0 {
            self.say_goodbye(Reason::NO_ERROR);
            self.over = Some(Over::Closed);
        }
    }

    /// Sends the last GOAWAY, unless it was.
    fn say_goodbye(&mut self, reason: Reason) {
        if reason == Reason::NO_ERROR && matches!(self.ending, Ending::Final(_)) {
            return;
        }
        let last = self.peer_last;
        self.ending = Ending::Final(last);
        frame::push_goaway(last, reason, self.out());
    }

    /// The peer broke the rules of the connection.
    fn violation(&mut self, reason: Reason, words: &'static str) {
        if self.over.is_none() {
            self.say_goodbye(reason);
            self.end(
                Failure::Violation(reason, words),
                Over::Failed(Failure::Violation(reason, words)),
            );
        }
    }

    /// The peer did too much of something.
    fn calm(&mut self, excess: Excess) {
        if self.over.is_none() {
            self.excess = Some(excess);
            let words = match excess {
                Excess::Resets => "too many resets",
                Excess::Frames(FrameKind::Continuation) => "too many continuations",
                Excess::Frames(_) => "too many frames",
                Excess::Head => "a header section is much too large",
            };
            self.violation(Reason::ENHANCE_YOUR_CALM, words);
        }
    }

    /// Fails every stream that has not ended.
    fn end(&mut self, failure: Failure, over: Over) {
        self.over = Some(over);
        let keys: Vec<Key> = self.streams.keys().collect();
        for key in keys {
            self.fail(key, failure);
        }
        self.accepted.clear();
        self.blocked.clear();
    }

    /// Ends a stream without a word to the peer.
    fn fail(&mut self, key: Key, failure: Failure) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if !stream.is_closed() {
            stream.failure = Some(failure);
        }
        self.note(key, READABLE | WRITABLE);
        self.settle(key);
    }

    /// Resets a stream for which the peer is to blame.
    fn stream_error(
        &mut self,
        id: u32,
        reason: Reason,
        words: &'static str,
        now: &dyn Fn() -> Instant,
    ) {
        frame::push_reset(id, reason, self.out());
        self.forgiven.add(id);
        if let Some(key) = self.streams.find(id) {
            // If nobody has asked for it yet, it is still given out, to be accounted for.
            self.fail(key, Failure::Malformed(reason, words));
        }
        self.count_reset(now());
        self.end_if_done();
    }

    /// Takes a stream back that nobody has asked for yet.
    fn unaccept(&mut self, key: Key) {
        if let Some(at) = self.accepted.iter().position(|other| *other == key) {
            self.accepted.remove(at);
            self.release(key);
        }
    }

    /// Tells the peer how much the connection's window has grown, if it is worth it.
    #[inline]
    fn update_window(&mut self) {
        if let Some(due) = self.window.take_due(self.window_target)
            && self.over.is_none()
        {
            frame::push_window_update(0, due, self.out());
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_server", &self.is_server)
            .field("open", &self.open)
            .field("unwritten", &self.output().len())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.spares.give_bytes(std::mem::take(&mut self.output));
    }
}

// === impl Resets ===

impl Resets {
    /// Counts one; true when it is too many.
    fn add(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > RESET_WINDOW {
            self.since = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count > self.max
    }
}
