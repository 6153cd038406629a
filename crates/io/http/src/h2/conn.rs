//! Moves bytes between a byte stream and the state machine.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use weft_message::h2::{Over, Session};
use weft_net::buffer::Inbox;
use weft_runtime::time;

use crate::buffers::Buffers;
use crate::h2::error::Error;
use crate::h2::link::Link;
use crate::io::Io;

/// Reads in one turn, so that a peer that sends without end leaves time for others.
const READS_MAX: usize = 8;

/// How much is thrown away of what a peer goes on sending after it was told to stop, so that the
/// kernel does not take back what it was told. More than this is not worth the time.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// How much is thrown away at a time.
const DISCARDED_BYTES: usize = 4 << 10;

/// A connection's byte stream.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) link: Link,
    io: Io,
    inbox: Inbox,
    /// Whether the peer is waited for before the connection is closed, because it may be sending.
    pub(super) lingers: bool,
    is_shut: bool,
    discarded: usize,
}

// === impl Conn ===

impl Conn {
    pub(super) fn new(io: Io, session: Session, buffers: &Buffers, lingers: bool) -> Self {
        let inbox = Inbox::new(buffers.pool());
        Self { link: Link::new(session), io, inbox, lingers, is_shut: false, discarded: 0 }
    }

    /// Moves what can be moved; ready when the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.link.get().begin_turn(cx);
        let mut reads = 0;
        loop {
            self.take_arrived();
            let is_silent = self.poll_fill(cx).is_pending();
            reads += usize::from(!is_silent);
            if !is_silent && reads < READS_MAX && !self.link.get().session.is_glutted() {
                continue;
            }
            self.take_arrived();
            let was_glutted = self.link.get().session.is_glutted();
            let is_stalled = self.poll_write(cx).is_pending();
            let mut inner = self.link.get();
            inner.wake_streams();
            if inner.session.over().is_some() {
                drop(inner);
                return self.poll_end(cx, is_stalled);
            }
            // What waits in the inbox for room in the output is looked at again when there is some.
            let has_more = if was_glutted { !is_stalled } else { !is_silent };
            if has_more {
                inner.wake_task();
            }
            inner.rest();
            return Poll::Pending;
        }
    }

    /// Gives what was read to the state machine.
    fn take_arrived(&mut self) {
        if !self.inbox.is_empty() {
            let used = self.link.get().session.receive(self.inbox.bytes(), &time::now);
            self.inbox.consume(used);
        }
    }

    /// Reads once.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.link.get();
        if inner.session.over().is_some() || self.inbox.is_full() {
            return Poll::Pending;
        }
        match ready!(self.inbox.poll_fill(cx, &mut self.io)) {
            Ok(0) => inner.session.closed(),
            Ok(_) => {}
            Err(error) => {
                inner.broken = Some(error.kind());
                inner.session.closed();
            }
        }
        Poll::Ready(())
    }

    /// Writes all there is.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.link.get();
        while inner.session.has_output() {
            let written = Pin::new(&mut self.io).poll_write(cx, inner.session.output());
            match written {
                Poll::Ready(Ok(count)) if count > 0 => inner.session.advance(count),
                Poll::Pending => {
                    inner.session.stall();
                    return Poll::Pending;
                }
                Poll::Ready(result) => {
                    let kind = result.err().map_or(std::io::ErrorKind::WriteZero, |e| e.kind());
                    inner.broken = Some(kind);
                    inner.session.closed();
                    break;
                }
            }
        }
        if inner.broken.is_some() {
            return Poll::Ready(());
        }
        // What TLS has to say about it, if anything, is said by the next read or write.
        Pin::new(&mut self.io).poll_flush(cx).map(drop)
    }

    /// Ends our side when all was written.
    fn poll_end(&mut self, cx: &mut Context<'_>, is_stalled: bool) -> Poll<Result<(), Error>> {
        let (over, broken) = {
            let inner = self.link.get();
            (inner.session.over(), inner.broken)
        };
        if broken.is_none() {
            if is_stalled {
                return Poll::Pending;
            }
            if !self.is_shut {
                // A peer that is gone does not matter any more.
                let _ = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
                self.is_shut = true;
            }
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(match over {
            Some(Over::Failed(failure)) => Err(self.link.get().error(failure)),
            Some(Over::Closed) | None => Ok(()),
        })
    }

    /// Reads on for nothing until the peer has closed.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; DISCARDED_BYTES];
        while self.lingers && self.discarded < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut inner = self.link.get();
        inner.session.closed();
        inner.wake_streams();
    }
}
