//! The streams of a connection.

use std::collections::VecDeque;

use crate::h2::failure::{Failure, Reason};
use crate::h2::flow::Window;
use crate::h2::section::Section;

/// Which stream of a connection: its place in the table, and its number, which is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    id: u32,
}

/// How far our message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// Its head was not sent.
    Head,
    /// Data may be sent.
    Body,
    /// It is complete.
    Done,
}

/// How far the peer's message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Its head has not come.
    Head,
    /// Data may come.
    Body,
    /// It is complete.
    Done,
}

/// One stream (RFC 9113 section 5.1). It stays until both messages have ended, or it was reset, and
/// nobody holds it.
#[derive(Debug)]
pub(super) struct Stream {
    /// 0 is a vacant place.
    pub(super) id: u32,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    /// Somebody will ask for it, or has it.
    pub(super) is_held: bool,
    /// It counts among those that are open.
    pub(super) is_counted: bool,
    /// It waits for room in the connection's window or output.
    pub(super) is_blocked: bool,
    /// It waits for room in its own window.
    pub(super) is_waiting: bool,
    /// What has happened since that was last asked.
    pub(super) changes: u8,
    /// The answer to a HEAD request, or one that cannot have content, is received.
    pub(super) is_bodiless: bool,
    /// The request was HEAD.
    pub(super) is_head: bool,
    pub(super) failure: Option<Failure>,
    /// What the peer lets us send.
    pub(super) send_window: i64,
    pub(super) window: Window,
    /// What of the promised content has not come.
    pub(super) remaining: Option<u64>,
    /// Data that was received.
    pub(super) inbox: Vec<u8>,
    /// The head that was received, then the trailers.
    pub(super) head: Option<Box<Section>>,
    pub(super) trailers: Option<Box<Section>>,
    /// Interim responses that were received.
    pub(super) interim: VecDeque<Box<Section>>,
    /// In which round it sent last, and how much.
    pub(super) round: u32,
    pub(super) sent_in_round: u32,
}

/// All streams, by place and by number.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    vacant: Vec<u32>,
    /// Numbers and places; in order, as numbers only grow.
    ids: Vec<(u32, u32)>,
}

/// Streams that we reset: what the peer had under way for them is no mistake of its.
#[derive(Debug, Default)]
pub(super) struct Forgiven {
    ids: VecDeque<u32>,
    /// Below this nobody knows any more.
    below: u32,
}

/// So many streams that were reset are remembered one by one.
const FORGIVEN_MAX: usize = 256;

/// Places that are kept when there is no stream.
const SLOTS_KEPT: usize = 4;

/// Bits of [`Stream::changes`].
pub(super) const READABLE: u8 = 1;
pub(super) const WRITABLE: u8 = 2;

// === impl Key ===

impl Key {
    /// Its place in the table, small; another stream may have it later.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Its number on the wire.
    pub fn id(self) -> u32 {
        self.id
    }
}

// === impl Stream ===

impl Stream {
    /// A stream on which nothing was sent or received.
    pub(super) fn new(id: u32, send_window: i64, window: i64) -> Self {
        Self {
            id,
            sending: Sending::Head,
            receiving: Receiving::Head,
            is_held: true,
            is_counted: true,
            is_blocked: false,
            is_waiting: false,
            changes: 0,
            is_bodiless: false,
            is_head: false,
            failure: None,
            send_window,
            window: Window::new(window),
            remaining: None,
            inbox: Vec::new(),
            head: None,
            trailers: None,
            interim: VecDeque::new(),
            round: 0,
            sent_in_round: 0,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.failure.is_some()
            || (self.sending == Sending::Done && self.receiving == Receiving::Done)
    }

    /// Takes the promise of a head.
    pub(super) fn expect_content(&mut self, length: Option<u64>) {
        self.remaining = length;
    }

    /// Takes DATA into account; false when there is more than was promised.
    pub(super) fn count_content(&mut self, bytes: u32) -> bool {
        if self.is_bodiless {
            return bytes == 0;
        }
        let Some(remaining) = &mut self.remaining else { return true };
        match remaining.checked_sub(u64::from(bytes)) {
            Some(left) => {
                *remaining = left;
                true
            }
            None => false,
        }
    }

    /// Whether all has come that was promised.
    pub(super) fn has_all_content(&self) -> bool {
        self.is_bodiless || matches!(self.remaining, None | Some(0))
    }
}

// === impl Streams ===

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a stream whose number is higher than those of all others.
    pub(super) fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let index = match self.vacant.pop() {
            Some(index) => {
                self.slots[index as usize] = stream;
                index
            }
            None => {
                self.slots.push(stream);
                (self.slots.len() - 1) as u32
            }
        };
        self.ids.push((id, index));
        Key { index, id }
    }

    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<Key> {
        let at = self.ids.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(Key { index: self.ids[at].1, id })
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&Stream> {
        self.slots.get(key.index as usize).filter(|stream| stream.id == key.id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slots.get_mut(key.index as usize).filter(|stream| stream.id == key.id)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Stream> {
        let at = self.ids.binary_search_by_key(&key.id, |&(id, _)| id).ok()?;
        self.ids.remove(at);
        self.vacant.push(key.index);
        let vacancy = Stream::new(0, 0, 0);
        self.slots.get_mut(key.index as usize).map(|slot| std::mem::replace(slot, vacancy))
    }

    /// All streams, in the order of their numbers.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.ids.iter().map(|&(id, index)| Key { index, id })
    }

    /// Lets memory go, if there is no stream.
    pub(super) fn rest(&mut self) {
        if self.ids.is_empty() && self.slots.capacity() > SLOTS_KEPT {
            *self = Self::default();
        }
    }
}

// === impl Forgiven ===

impl Forgiven {
    pub(super) fn add(&mut self, id: u32) {
        if self.ids.len() == FORGIVEN_MAX
            && let Some(oldest) = self.ids.pop_front()
        {
            self.below = self.below.max(oldest + 1);
        }
        self.ids.push_back(id);
    }

    pub(super) fn has(&self, id: u32) -> bool {
        id < self.below || self.ids.contains(&id)
    }

    /// Lets memory go: what came before `next` is forgiven altogether.
    pub(super) fn rest(&mut self, next: u32) {
        if !self.ids.is_empty() {
            *self = Self { ids: VecDeque::new(), below: next };
        }
    }
}

/// What a stream that was let go is reset with, if it has not ended (RFC 9113 section 8.1): an
/// answer that is complete needs no more of the request.
pub(super) fn farewell(stream: &Stream, is_server: bool) -> Reason {
    if is_server && stream.sending == Sending::Done { Reason::NO_ERROR } else { Reason::CANCEL }
}
