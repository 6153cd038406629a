//! A byte stream with buffers that are only there while bytes are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use weft_net::Stream as _;
use weft_net::buffer::Inbox;

use crate::buffers::Buffers;
use crate::io::Io;

/// Data of at most this size is copied behind a head that waits to be written, so that both leave
/// in one packet; larger data is written from where it lies, beside the head.
const COPY_BYTES_MAX: usize = 4 << 10;

/// A byte stream, what was read from it and not yet consumed, and what is to be written to it.
pub struct Wire {
    io: Io,
    buffers: Buffers,
    inbox: Inbox,
    eof: bool,
    output: Vec<u8>,
    written: usize,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// More bytes.
    Bytes,
    /// The end of the stream.
    Eof,
    /// Nothing: the buffer is full and cannot grow.
    Full,
}

// === impl Wire ===

impl Wire {
    /// A stream with what was read from it already. Holds no buffers when that is nothing.
    pub fn new(io: Io, buffers: Buffers, inbox: Inbox) -> Self {
        Self { io, buffers, inbox, eof: false, output: Vec::new(), written: 0 }
    }

    /// What was read and not consumed.
    pub fn unread(&self) -> &[u8] {
        self.inbox.bytes()
    }

    /// Takes bytes off [`Wire::unread`]; gives the buffer back with the last one.
    pub fn consume(&mut self, count: usize) {
        self.inbox.consume(count);
    }

    /// Whether the peer has ended its side.
    pub fn is_eof(&self) -> bool {
        self.eof
    }

    /// Reads more, keeping what is unread.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        if self.eof {
            return Poll::Ready(Ok(Filled::Eof));
        }
        if self.inbox.is_full() {
            return Poll::Ready(Ok(Filled::Full));
        }
        let count = ready!(self.inbox.poll_fill(cx, &mut self.io))?;
        self.eof = count == 0;
        Poll::Ready(Ok(if self.eof { Filled::Eof } else { Filled::Bytes }))
    }

    /// Whether an idle connection is still usable: nothing has arrived, not even its end. Costs no
    /// system call while nothing has.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if !self.unread().is_empty() || self.eof {
            return false;
        }
        // Readiness may be left over from bytes that were read: only a read tells.
        self.io.poll_read_ready(&mut cx).is_pending() || self.poll_fill(&mut cx).is_pending()
    }

    /// Where a head is written to.
    pub fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = self.buffers.output();
        }
        &mut self.output
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        self.output.len() > self.written
    }

    /// Takes `data` for writing, after all that was taken before; says how much of it was taken.
    /// Small data is only buffered: follow with [`Wire::poll_flush`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.len() <= COPY_BYTES_MAX && self.output.len() <= COPY_BYTES_MAX {
            self.output().extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        loop {
            let pending = &self.output[self.written..];
            let io = Pin::new(&mut self.io);
            let count = if pending.is_empty() {
                ready!(io.poll_write(cx, data))?
            } else {
                ready!(io.poll_write_vectored(cx, &[IoSlice::new(pending), IoSlice::new(data)]))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let from_pending = count.min(pending.len());
            self.advance(from_pending);
            if count > from_pending {
                return Poll::Ready(Ok(count - from_pending));
            }
        }
    }

    /// Writes all that was taken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.len() > self.written {
            let pending = &self.output[self.written..];
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, pending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends our side, after all that was taken has been written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Takes the stream out, with what was read from it but not consumed, for a protocol that takes
    /// over (an upgrade).
    pub fn take_parts(&mut self) -> (Io, Vec<u8>) {
        let unread = self.inbox.bytes().to_vec();
        self.inbox.clear();
        self.eof = true;
        (std::mem::replace(&mut self.io, Io::Taken), unread)
    }

    /// The stream, for its socket options.
    pub fn io(&self) -> &Io {
        &self.io
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written == self.output.len() {
            self.written = 0;
            let output = std::mem::take(&mut self.output);
            self.buffers.give_output(output);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let output = std::mem::take(&mut self.output);
        if output.capacity() > 0 {
            self.buffers.give_output(output);
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("io", &self.io)
            .field("unread", &self.inbox.len())
            .field("unwritten", &(self.output.len() - self.written))
            .field("eof", &self.eof)
            .finish()
    }
}
