//! One stream, either side.

use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use weft_message::{Fields, HeadLimits, ResponseHead};

use crate::error::{HeadError, ReadError, WriteError};
use crate::h2::budget::{Budget, Payload};
use crate::h2::client::OpenStream;
use crate::h2::convert;
use crate::leg::BodyEvent;

/// At most this much is copied into one DATA frame's buffer at a time; also the largest frame that
/// peers accept unless they say otherwise.
const FRAME_BYTES_MAX: usize = 16 << 10;

/// One stream: a request received and answered, or one sent and its response awaited.
pub struct Stream {
    state: State,
    recv: Option<RecvStream>,
    send: Option<SendStream<Payload>>,
    budget: Budget,
    chunk: Bytes,
    data_ended: bool,
    received: bool,
    trailers: Option<Fields>,
    /// The last data did not fit the peer's window, or the connection's budget.
    blocked: bool,
    _open: Option<OpenStream>,
}

enum State {
    /// A server stream that has not been answered.
    Respond(SendResponse<Payload>),
    /// A client stream that waits for its response.
    Await(h2::client::ResponseFuture),
    /// Heads have been exchanged.
    Open,
}

// === impl Stream ===

impl Stream {
    /// A request that was received.
    pub(super) fn server(recv: RecvStream, respond: SendResponse<Payload>, budget: Budget) -> Self {
        let received = recv.is_end_stream();
        Self {
            state: State::Respond(respond),
            recv: Some(recv),
            send: None,
            budget,
            chunk: Bytes::new(),
            data_ended: received,
            received,
            trailers: None,
            blocked: false,
            _open: None,
        }
    }

    /// A request that was sent.
    pub(super) fn client(
        response: h2::client::ResponseFuture,
        send: Option<SendStream<Payload>>,
        open: OpenStream,
        budget: Budget,
    ) -> Self {
        Self {
            state: State::Await(response),
            recv: None,
            send,
            budget,
            chunk: Bytes::new(),
            data_ended: false,
            received: false,
            trailers: None,
            blocked: false,
            _open: Some(open),
        }
    }

    /// Answers. With `end`, there is no body.
    ///
    /// # Errors
    ///
    /// When the stream is gone, was answered before, or a field cannot be sent.
    pub fn begin_response(&mut self, head: &ResponseHead, end: bool) -> Result<(), WriteError> {
        let State::Respond(respond) = &mut self.state else {
            return Err(WriteError::Length);
        };
        let response = convert::to_response(head)?;
        let send = respond.send_response(response, end).map_err(WriteError::H2)?;
        self.send = if end { None } else { Some(send) };
        self.state = State::Open;
        Ok(())
    }

    /// Sends an interim response (1xx).
    ///
    /// # Errors
    ///
    /// When the stream is gone, was answered, or a field cannot be sent.
    pub fn send_interim(&mut self, head: &ResponseHead) -> Result<(), WriteError> {
        let State::Respond(respond) = &mut self.state else {
            return Err(WriteError::Length);
        };
        respond.send_informational(convert::to_response(head)?).map_err(WriteError::H2)
    }

    /// Looks for an interim response (1xx) to a request that was sent; ready with `None` when there
    /// are no more to come. [`Stream::poll_response`] skips those that were not taken.
    pub fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Poll<Option<Result<(), HeadError>>> {
        let State::Await(response) = &mut self.state else {
            return Poll::Ready(None);
        };
        let Some(interim) = ready!(response.poll_informational(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(interim.map_err(HeadError::H2).and_then(|interim| {
            let (parts, ()) = interim.into_parts();
            if parts.status == http::StatusCode::SWITCHING_PROTOCOLS {
                return Err(HeadError::Invalid("101 has no place in HTTP/2"));
            }
            convert::response(&parts, limits, head)
        })))
    }

    /// Waits for the response to a request that was sent.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        let State::Await(response) = &mut self.state else {
            return Poll::Ready(Err(HeadError::Closed));
        };
        let response = ready!(std::pin::Pin::new(response).poll(cx)).map_err(HeadError::H2)?;
        let (parts, recv) = response.into_parts();
        convert::response(&parts, limits, head)?;
        self.received = recv.is_end_stream();
        self.data_ended = self.received;
        self.recv = Some(recv);
        self.state = State::Open;
        Poll::Ready(Ok(()))
    }

    /// See [`crate::Leg::poll_body`].
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyEvent, ReadError>> {
        loop {
            if !self.chunk.is_empty() {
                return Poll::Ready(Ok(BodyEvent::Data));
            }
            if self.received {
                return Poll::Ready(Ok(BodyEvent::End));
            }
            let Some(recv) = &mut self.recv else {
                return Poll::Ready(Err(ReadError::Truncated));
            };
            if self.data_ended {
                let trailers = ready!(recv.poll_trailers(cx)).map_err(ReadError::H2)?;
                self.trailers = trailers.as_ref().map(convert::trailers);
                self.received = true;
                continue;
            }
            match ready!(recv.poll_data(cx)) {
                Some(Ok(bytes)) => self.chunk = bytes,
                Some(Err(error)) => return Poll::Ready(Err(ReadError::H2(error))),
                None => self.data_ended = true,
            }
        }
    }

    /// See [`crate::Leg::chunk`].
    pub fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// See [`crate::Leg::consume`]. The peer's window grows by what was consumed, so that a slow
    /// receiver slows the sender.
    pub fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
        if let Some(recv) = &mut self.recv {
            // Fails only when the stream is gone, which the next poll says.
            let _ = recv.flow_control().release_capacity(count);
        }
    }

    /// See [`crate::Leg::trailers`].
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// See [`crate::Leg::is_body_complete`].
    pub fn is_body_complete(&self) -> bool {
        self.received && self.chunk.is_empty()
    }

    /// See [`crate::Leg::poll_send`]. The window is asked for first, so that no more is buffered
    /// than the peer is ready to take; but before it the connection's budget, because a window that
    /// was assigned to one stream is lost to the others until it is used.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        let Some(send) = &mut self.send else {
            return Poll::Ready(Err(WriteError::Length));
        };
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.blocked = true;
        let affordable = ready!(self.budget.poll_room(cx));
        let wanted = data.len().min(FRAME_BYTES_MAX).min(affordable);
        send.reserve_capacity(wanted);
        let mut room = send.capacity();
        if room == 0 {
            room = match ready!(send.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(WriteError::H2(error))),
                None => return Poll::Ready(Err(WriteError::H2(Reason::CANCEL.into()))),
            };
        }
        self.blocked = false;
        let count = wanted.min(room);
        let payload = self.budget.payload(&data[..count]);
        send.send_data(payload, false).map_err(WriteError::H2)?;
        Poll::Ready(Ok(count))
    }

    /// See [`crate::Leg::poll_finish`].
    pub fn poll_finish(&mut self, trailers: Option<&Fields>) -> Poll<Result<(), WriteError>> {
        if let Some(mut send) = self.send.take() {
            match trailers.filter(|fields| !fields.is_empty()) {
                Some(fields) => send.send_trailers(convert::to_map(fields)?),
                None => send.send_data(Payload::empty(), true),
            }
            .map_err(WriteError::H2)?;
        }
        Poll::Ready(Ok(()))
    }

    /// See [`crate::Leg::has_unsent`].
    pub fn has_unsent(&self) -> bool {
        self.blocked
    }

    /// See [`crate::Leg::poll_gone`].
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match (&mut self.state, &mut self.send) {
            (State::Respond(respond), _) => respond.poll_reset(cx),
            (_, Some(send)) => send.poll_reset(cx),
            _ => return Poll::Pending,
        };
        reset.map(|_| ())
    }

    /// Resets the stream.
    pub fn reset(&mut self, code: Reason) {
        match (&mut self.state, &mut self.send) {
            (State::Respond(respond), _) => respond.send_reset(code),
            (_, Some(send)) => send.send_reset(code),
            _ => {}
        }
        // Without a sending side, dropping the receiving one resets.
        self.recv = None;
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("unread", &self.chunk.len())
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
