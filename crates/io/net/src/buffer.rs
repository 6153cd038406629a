//! Buffers that are lent to a connection while bytes are in them.
//!
//! One pool belongs to one worker. Two size classes are enough: heads and small bodies fit the
//! small one, bulk data is cheapest in 64 KiB steps (measured: 100 KB copied through 8 KiB buffers
//! cost 88 µs, 16 KiB 67 µs, 64 KiB 49 µs, 128 KiB 65 µs).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::stream::Stream;

/// Size of a [`BufferPool::small`] buffer, bytes.
pub const SMALL_BYTES: usize = 16 << 10;

/// Size of a [`BufferPool::bulk`] buffer, bytes.
pub const BULK_BYTES: usize = 64 << 10;

/// How many idle buffers a pool keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle buffers of [`SMALL_BYTES`] kept for reuse.
    pub small_max: usize,
    /// Idle buffers of [`BULK_BYTES`] kept for reuse.
    pub bulk_max: usize,
}

/// The buffers of one worker. Clones share the pool.
///
/// Taking a buffer never fails and never waits: what bounds memory is the number of connections
/// that have bytes in flight. The limits bound only what stays behind when they have none.
#[derive(Debug, Clone)]
pub struct BufferPool(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: PoolLimits,
    small: RefCell<Vec<Box<[u8]>>>,
    bulk: RefCell<Vec<Box<[u8]>>>,
    lent: Cell<usize>,
}

/// A buffer on loan; dropping it gives it back.
///
/// It derefs to its full length. The bytes were zeroed once when the buffer was made; afterwards
/// they are what the last user left, so read only what you wrote.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    pool: Rc<Shared>,
}

/// Bytes that were received and are not used yet.
///
/// It owns a buffer only while there are such bytes, or a read is under way: a small one first, a
/// bulk one when a read filled the small one or when one unit (a head, a TLS record) does not fit.
#[derive(Debug)]
pub struct Inbox {
    pool: BufferPool,
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
    bulk: bool,
}

// === impl PoolLimits ===

impl PoolLimits {
    /// 64 small and 32 bulk buffers, 3 MiB in all: what a worker uses in one turn of its loop
    /// under load; beyond it the allocator serves.
    pub const DEFAULT: Self = Self { small_max: 64, bulk_max: 32 };
}

// === impl BufferPool ===

impl BufferPool {
    /// An empty pool; buffers are made when they are first asked for.
    pub fn new(limits: PoolLimits) -> Self {
        Self(Rc::new(Shared {
            limits,
            small: RefCell::default(),
            bulk: RefCell::default(),
            lent: Cell::new(0),
        }))
    }

    /// Lends a buffer of [`SMALL_BYTES`].
    pub fn small(&self) -> Buffer {
        self.lend(&self.0.small, SMALL_BYTES)
    }

    /// Lends a buffer of [`BULK_BYTES`].
    pub fn bulk(&self) -> Buffer {
        self.lend(&self.0.bulk, BULK_BYTES)
    }

    /// Buffers on loan now, of both sizes. For metrics, and for tests of "idle owns nothing".
    pub fn lent(&self) -> usize {
        self.0.lent.get()
    }

    fn lend(&self, class: &RefCell<Vec<Box<[u8]>>>, len: usize) -> Buffer {
        let bytes = class.borrow_mut().pop().unwrap_or_else(|| vec![0; len].into_boxed_slice());
        self.0.lent.set(self.0.lent.get() + 1);
        Buffer { bytes, pool: self.0.clone() }
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(PoolLimits::DEFAULT)
    }
}

// === impl Buffer ===

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.lent.set(self.pool.lent.get() - 1);
        let (class, max) = match bytes.len() {
            BULK_BYTES => (&self.pool.bulk, self.pool.limits.bulk_max),
            _ => (&self.pool.small, self.pool.limits.small_max),
        };
        let mut class = class.borrow_mut();
        if class.len() < max {
            class.push(bytes);
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// An empty one that borrows from `pool` when needed.
    pub fn new(pool: &BufferPool) -> Self {
        Self { pool: pool.clone(), buffer: None, start: 0, end: 0, bulk: false }
    }

    /// The pool it borrows from.
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[self.start..self.end])
    }

    /// The bytes that wait, for decoding in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| &mut buffer[self.start..self.end])
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether [`Inbox::poll_fill`] would have no room: [`BULK_BYTES`] wait.
    pub fn is_full(&self) -> bool {
        self.len() == BULK_BYTES
    }

    /// Drops the first `count` bytes (all of them if there are fewer) and gives the buffer back
    /// when none are left.
    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops everything and gives the buffer back.
    pub fn clear(&mut self) {
        self.buffer = None;
        self.start = 0;
        self.end = 0;
    }

    /// Appends a copy of `bytes`, as far as there is room, and says how many were taken.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.make_room(bytes.len());
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.end += count;
        self.consume(0);
        count
    }

    /// Reads once and appends what came; 0 is the end of the stream.
    ///
    /// The buffer is given back when nothing came and nothing waits. Call it when the stream is
    /// known or likely to be readable.
    ///
    /// # Errors
    ///
    /// The stream's own; [`io::ErrorKind::OutOfMemory`] when [`Inbox::is_full`].
    pub fn poll_fill<S: Stream + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        if self.buffer.is_none() {
            // Most often nothing is there yet, and then no buffer has to be taken and given back.
            ready!(stream.poll_read_ready(cx))?;
        }
        let wanted = if self.bulk { BULK_BYTES - self.len() } else { 1 };
        let room = self.make_room(wanted);
        if room.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let room_len = room.len();
        let mut target = ReadBuf::new(room);
        let polled = Pin::new(stream).poll_read(cx, &mut target);
        let count = target.filled().len();
        self.end += count;
        // One read that fills the room says that more is coming; one that leaves most of a small
        // buffer empty says that the bulk is over.
        if count == room_len {
            self.bulk = true;
        } else if self.len() < SMALL_BYTES / 2 {
            self.bulk = false;
        }
        self.consume(0);
        ready!(polled)?;
        Poll::Ready(Ok(count))
    }

    /// Reads once and appends what came; 0 is the end of the stream.
    ///
    /// Cancel safe: bytes are appended only in the poll that completes.
    ///
    /// # Errors
    ///
    /// As [`Inbox::poll_fill`].
    pub async fn fill<S: Stream + ?Sized>(&mut self, stream: &mut S) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, stream)).await
    }

    /// The free end of the buffer, at least `wanted` long if that is possible at all.
    fn make_room(&mut self, wanted: usize) -> &mut [u8] {
        let len = self.len();
        let needed = len + wanted;
        let grown = match &self.buffer {
            None if needed <= SMALL_BYTES && !self.bulk => Some(self.pool.small()),
            None => Some(self.pool.bulk()),
            Some(buffer) if needed > buffer.len() && buffer.len() < BULK_BYTES => {
                Some(self.pool.bulk())
            }
            Some(_) => None,
        };
        if let Some(mut grown) = grown {
            grown[..len].copy_from_slice(self.bytes());
            self.buffer = Some(grown);
            self.start = 0;
            self.end = len;
        }
        let buffer = self.buffer.as_mut().expect("taken above when there was none");
        if self.end + wanted > buffer.len() && self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = len;
        }
        &mut buffer[self.end..]
    }
}

#[cfg(test)]
mod tests;
