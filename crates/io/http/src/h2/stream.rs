//! One stream, either side.

use std::task::{Context, Poll};

use weft_message::h2::{Body, Key, Reason, Section};
use weft_message::{Fields, HeadLimits, ResponseHead};

use crate::error::{HeadError, ReadError, WriteError};
use crate::h2::link::Link;
use crate::leg::BodyEvent;

/// One stream: a request received and answered, or one sent and its response awaited.
pub struct Stream {
    link: Link,
    key: Key,
    /// Data that was taken off the connection, from `start` on not consumed.
    chunk: Vec<u8>,
    start: usize,
    trailers: Option<Box<Fields>>,
    state: State,
    /// Data may be sent.
    sends: bool,
    received: bool,
    /// The last data did not fit the peer's window, or the connection's output.
    blocked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A server stream that has not been answered.
    Respond,
    /// A client stream that waits for its response.
    Await,
    /// Heads have been exchanged.
    Open,
}

// === impl Stream ===

impl Stream {
    /// A request that was received.
    pub(super) fn server(link: Link, key: Key) -> Self {
        let mut stream = Self::new(link, key, State::Respond, false);
        stream.note_received();
        stream
    }

    /// A request that was sent; with `end`, whole.
    pub(super) fn client(link: Link, key: Key, end: bool) -> Self {
        Self::new(link, key, State::Await, !end)
    }

    fn new(link: Link, key: Key, state: State, sends: bool) -> Self {
        Self {
            link,
            key,
            chunk: Vec::new(),
            start: 0,
            trailers: None,
            state,
            sends,
            received: false,
            blocked: false,
        }
    }

    /// Answers. With `end`, there is no body.
    ///
    /// # Errors
    ///
    /// When the stream is gone or was answered before.
    pub fn begin_response(&mut self, head: &ResponseHead, end: bool) -> Result<(), WriteError> {
        self.respond(head, end)?;
        self.sends = !end;
        self.state = State::Open;
        Ok(())
    }

    /// Sends an interim response (1xx).
    ///
    /// # Errors
    ///
    /// When the stream is gone or was answered.
    pub fn send_interim(&mut self, head: &ResponseHead) -> Result<(), WriteError> {
        self.respond(head, false)
    }

    fn respond(&mut self, head: &ResponseHead, end: bool) -> Result<(), WriteError> {
        if self.state != State::Respond {
            return Err(WriteError::Length);
        }
        let mut inner = self.link.get();
        let sent = inner.session.respond(self.key, head, end);
        inner.spread();
        sent.map_err(|failure| WriteError::H2(inner.error(failure)))
    }

    /// Looks for an interim response (1xx) to a request that was sent; ready with `None` when there
    /// are no more to come. [`Stream::poll_response`] skips those that were not taken.
    pub fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Poll<Option<Result<(), HeadError>>> {
        if self.state != State::Await {
            return Poll::Ready(None);
        }
        let mut inner = self.link.get();
        if let Some(mut section) = inner.session.take_interim(self.key) {
            let read = section.read_response(limits, head).map_err(HeadError::Parse);
            inner.session.spares().give_section(section);
            return Poll::Ready(Some(read));
        }
        if inner.session.has_response(self.key) {
            return Poll::Ready(None);
        }
        inner.wait_to_read(self.key, cx);
        Poll::Pending
    }

    /// Waits for the response to a request that was sent.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        if self.state != State::Await {
            return Poll::Ready(Err(HeadError::Closed));
        }
        let mut inner = self.link.get();
        while let Some(section) = inner.session.take_interim(self.key) {
            inner.session.spares().give_section(section);
        }
        let mut section = match inner.session.take_response(self.key) {
            Ok(Some(section)) => section,
            Ok(None) => {
                inner.wait_to_read(self.key, cx);
                return Poll::Pending;
            }
            Err(failure) => return Poll::Ready(Err(HeadError::H2(inner.error(failure)))),
        };
        let read = section.read_response(limits, head).map_err(HeadError::Parse);
        inner.session.spares().give_section(section);
        drop(inner);
        self.state = State::Open;
        self.note_received();
        Poll::Ready(read)
    }

    /// See [`crate::Leg::poll_body`].
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyEvent, ReadError>> {
        if self.start < self.chunk.len() {
            return Poll::Ready(Ok(BodyEvent::Data));
        }
        if self.received {
            return Poll::Ready(Ok(BodyEvent::End));
        }
        if self.state == State::Await {
            return Poll::Ready(Err(ReadError::Truncated));
        }
        let mut inner = self.link.get();
        let taken = inner.session.take_data(self.key, &mut self.chunk);
        Poll::Ready(match taken {
            Ok(Body::Data) => {
                self.start = 0;
                Ok(BodyEvent::Data)
            }
            Ok(Body::Nothing) => {
                inner.wait_to_read(self.key, cx);
                return Poll::Pending;
            }
            Ok(Body::End) => {
                self.received = true;
                self.trailers = inner.session.take_trailers(self.key).map(Box::new);
                Ok(BodyEvent::End)
            }
            Err(failure) => Err(ReadError::H2(inner.error(failure))),
        })
    }

    /// See [`crate::Leg::chunk`].
    pub fn chunk(&self) -> &[u8] {
        &self.chunk[self.start..]
    }

    /// See [`crate::Leg::consume`]. The peer's window grows by what was consumed, so that a slow
    /// receiver slows the sender.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.chunk.len() - self.start);
        self.start += count;
        let mut inner = self.link.get();
        inner.session.consume(self.key, count);
        if self.start == self.chunk.len() {
            self.start = 0;
            inner.session.spares().give_bytes(std::mem::take(&mut self.chunk));
        }
        inner.spread();
    }

    /// See [`crate::Leg::trailers`].
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }

    /// See [`crate::Leg::is_body_complete`].
    pub fn is_body_complete(&self) -> bool {
        self.received && self.chunk.is_empty()
    }

    /// See [`crate::Leg::poll_send`].
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        if !self.sends {
            return Poll::Ready(Err(WriteError::Length));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut inner = self.link.get();
        match inner.session.send(self.key, data) {
            Ok(0) => {
                self.blocked = true;
                inner.wait_to_write(self.key, cx);
                inner.spread();
                Poll::Pending
            }
            Ok(count) => {
                self.blocked = false;
                inner.spread();
                Poll::Ready(Ok(count))
            }
            Err(failure) => Poll::Ready(Err(WriteError::H2(inner.error(failure)))),
        }
    }

    /// See [`crate::Leg::poll_finish`].
    pub fn poll_finish(&mut self, trailers: Option<&Fields>) -> Poll<Result<(), WriteError>> {
        if !std::mem::take(&mut self.sends) {
            return Poll::Ready(Ok(()));
        }
        let mut inner = self.link.get();
        let finished = inner.session.finish(self.key, trailers);
        inner.spread();
        Poll::Ready(finished.map_err(|failure| WriteError::H2(inner.error(failure))))
    }

    /// See [`crate::Leg::has_unsent`].
    pub fn has_unsent(&self) -> bool {
        self.blocked
    }

    /// See [`crate::Leg::poll_gone`].
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state != State::Respond && !self.sends {
            return Poll::Pending;
        }
        let mut inner = self.link.get();
        if inner.session.failure(self.key).is_some() {
            return Poll::Ready(());
        }
        inner.wait_to_read(self.key, cx);
        Poll::Pending
    }

    /// Resets the stream, unless it has ended.
    pub fn reset(&mut self, code: Reason) {
        self.sends = false;
        let mut inner = self.link.get();
        inner.session.reset(self.key, code);
        inner.spread();
    }

    /// Gives the memory of a head back.
    pub(super) fn give_section(&self, section: Box<Section>) {
        self.link.get().session.spares().give_section(section);
    }

    /// Looks whether the peer's message has ended with its head.
    fn note_received(&mut self) {
        self.received = self.link.get().session.is_received(self.key);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut inner = self.link.get();
        inner.session.spares().give_bytes(std::mem::take(&mut self.chunk));
        inner.session.release(self.key);
        inner.forget(self.key);
        inner.spread();
        if inner.clients == 0 {
            // The last of them ends the connection.
            inner.wake_task();
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("key", &self.key)
            .field("unread", &(self.chunk.len() - self.start))
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
