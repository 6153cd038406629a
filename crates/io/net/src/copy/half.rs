//! One direction of a copy.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadBuf};

use super::{CopyEnd, Side};
use crate::buffer::{Buffer, BufferPool, SMALL_BYTES};
use crate::stream::Stream;

/// Bytes one direction may move in one poll, so that the other direction and other connections
/// get their turn even when both ends are always ready (tokio's own budget covers sockets, not
/// streams in memory).
const TURN_BYTES: u64 = 1 << 20;

pub(super) struct Half<'a> {
    from: Side,
    moved: &'a Cell<u64>,
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
    bulk: bool,
    unflushed: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Copying,
    Closing,
    Done,
}

impl<'a> Half<'a> {
    pub(super) fn new(from: Side, moved: &'a Cell<u64>) -> Self {
        let (start, end, bulk, unflushed) = (0, 0, false, false);
        Self { from, moved, buffer: None, start, end, bulk, unflushed, phase: Phase::Copying }
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// Ready when the source has ended and the sink was told.
    pub(super) fn poll<R: Stream, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        pool: &BufferPool,
    ) -> Result<Poll<()>, CopyEnd> {
        let turn_ends = self.moved() + TURN_BYTES;
        loop {
            match self.phase {
                Phase::Done => return Ok(Poll::Ready(())),
                Phase::Closing => match Pin::new(&mut *sink).poll_shutdown(cx) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(Ok(())) => self.phase = Phase::Done,
                    // The sink is gone already: it has ended as far as this direction goes.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                        self.phase = Phase::Done;
                    }
                    Poll::Ready(Err(error)) => return Err(self.write_failed(error)),
                },
                Phase::Copying if self.start < self.end => {
                    let polled = self.poll_write(cx, sink);
                    if polled.map_err(|error| self.write_failed(error))?.is_pending() {
                        return Ok(Poll::Pending);
                    }
                }
                Phase::Copying if self.moved() >= turn_ends => {
                    self.buffer = None;
                    cx.waker().wake_by_ref();
                    return Ok(Poll::Pending);
                }
                Phase::Copying => {
                    let polled = self.poll_read(cx, source, pool);
                    if polled.map_err(|error| CopyEnd::ReadFailed(self.from, error))?.is_pending() {
                        self.buffer = None;
                        return self.poll_flush(cx, sink).map_err(|error| self.write_failed(error));
                    }
                }
            }
        }
    }

    fn poll_read<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        pool: &BufferPool,
    ) -> io::Result<Poll<()>> {
        if source.poll_read_ready(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        if self.bulk && self.buffer.as_ref().is_some_and(|buffer| buffer.len() == SMALL_BYTES) {
            self.buffer = None;
        }
        let buffer =
            self.buffer.get_or_insert_with(|| if self.bulk { pool.bulk() } else { pool.small() });
        let mut target = ReadBuf::new(buffer);
        if Pin::new(source).poll_read(cx, &mut target)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let (count, capacity) = (target.filled().len(), target.capacity());
        if count == 0 {
            self.phase = Phase::Closing;
            self.buffer = None;
        }
        // A full buffer asks for a larger one; a nearly empty one says that the bulk is over.
        if count == capacity {
            self.bulk = true;
        } else if count < SMALL_BYTES / 2 {
            self.bulk = false;
        }
        self.start = 0;
        self.end = count;
        Ok(Poll::Ready(()))
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> io::Result<Poll<()>> {
        let Some(buffer) = &self.buffer else { return Ok(Poll::Ready(())) };
        let bytes = &buffer[self.start..self.end];
        let count = match Pin::new(sink).poll_write(cx, bytes)? {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => count,
        };
        self.start += count;
        self.unflushed = true;
        self.moved.set(self.moved.get() + count as u64);
        Ok(Poll::Ready(()))
    }

    /// Never ready: the source has nothing, and this only sees to it that the sink has everything.
    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> io::Result<Poll<()>> {
        if self.unflushed && Pin::new(sink).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(Poll::Pending)
    }

    fn write_failed(&self, error: io::Error) -> CopyEnd {
        CopyEnd::WriteFailed(self.from.other(), error)
    }
}
