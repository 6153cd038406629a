//! One side of an exchange, whatever HTTP it speaks.

use std::task::{Context, Poll};

use weft_message::Fields;

use crate::error::{ReadError, WriteError};
use crate::h1;
use crate::h2;

/// What a look at a body brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEvent {
    /// [`Leg::chunk`] is not empty.
    Data,
    /// The body is complete, and its trailers known.
    End,
}

/// One side of an exchange: the connection or stream on which a message is read and another
/// written.
#[derive(Debug)]
pub enum Leg {
    /// A connection of its own.
    H1(Box<h1::Conn>),
    /// A stream among others.
    H2(Box<h2::Stream>),
}

// === impl Leg ===

impl Leg {
    /// Waits for the next part of the body that is being received.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyEvent, ReadError>> {
        match self {
            Self::H1(conn) => conn.poll_body(cx),
            Self::H2(stream) => stream.poll_body(cx),
        }
    }

    /// The bytes that have arrived and were not consumed; of the body only.
    pub fn chunk(&self) -> &[u8] {
        match self {
            Self::H1(conn) => conn.chunk(),
            Self::H2(stream) => stream.chunk(),
        }
    }

    /// Takes bytes off [`Leg::chunk`].
    pub fn consume(&mut self, count: usize) {
        match self {
            Self::H1(conn) => conn.consume_body(count),
            Self::H2(stream) => stream.consume(count),
        }
    }

    /// Trailers of the message received; there once its body has ended.
    pub fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::H1(conn) => conn.trailers(),
            Self::H2(stream) => stream.trailers(),
        }
    }

    /// Whether the message being received is complete.
    pub fn is_body_complete(&self) -> bool {
        match self {
            Self::H1(conn) => conn.is_body_complete(),
            Self::H2(stream) => stream.is_body_complete(),
        }
    }

    /// Takes data of the body that is being sent; says how much was taken. What was taken may wait
    /// in a buffer until [`Leg::poll_flush`] or [`Leg::poll_finish`].
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        match self {
            Self::H1(conn) => conn.poll_send(cx, data),
            Self::H2(stream) => stream.poll_send(cx, data),
        }
    }

    /// Ends the body that is being sent. May be called again until it is ready.
    pub fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<Result<(), WriteError>> {
        match self {
            Self::H1(conn) => conn.poll_finish(cx, trailers),
            Self::H2(stream) => stream.poll_finish(trailers),
        }
    }

    /// Writes what was taken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        match self {
            Self::H1(conn) => conn.poll_flush(cx),
            Self::H2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Waits until the peer gives up on this exchange: it closed the connection or reset the
    /// stream. Stays pending while the peer behaves; reads nothing of a body.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(conn) => conn.poll_gone(cx),
            Self::H2(stream) => stream.poll_gone(cx),
        }
    }

    /// Whether bytes were taken that the peer has not: it reads too slowly, or not at all.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::H1(conn) => conn.has_output(),
            Self::H2(stream) => stream.has_unsent(),
        }
    }

    /// Ends the exchange without completing it, with the error code the peer is to see.
    pub fn abort(&mut self, code: h2::Reason) {
        match self {
            Self::H1(conn) => conn.abort(),
            Self::H2(stream) => stream.reset(code),
        }
    }
}
