//! Messages on a connection.

use std::io;
use std::task::{Context, Poll, ready};

use weft_message::h1::{
    BodyFraming, BodyReader, Decoded, HeadLimits, HeadScan, Parsed, RequestFacts, ResponseFacts,
    parse_request, parse_response, write_chunk_head, write_last_chunk,
};
use weft_message::{Fields, Method, PathRules, RequestHead, ResponseHead};
use weft_net::Inbox;

use crate::buffers::Buffers;
use crate::error::{HeadError, ReadError, WriteError};
use crate::h1::wire::{Filled, Wire};
use crate::io::Io;
use crate::leg::BodyEvent;

/// An HTTP/1.1 connection, server or client.
#[derive(Debug)]
pub struct Conn {
    wire: Wire,
    scan: HeadScan,
    reader: BodyReader,
    /// Body bytes at the front of what is unread.
    chunk: usize,
    received: bool,
    sending: Sending,
    /// The peer did not take what was last to be sent.
    blocked: bool,
    /// No message may follow the present ones.
    broken: bool,
    /// Its end must not look like one in order.
    resets: bool,
}

/// How the body that is being sent is framed, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// No message is being sent, or all of it was.
    Done,
    /// So many bytes are still owed.
    Length(u64),
    /// In chunks, of which the present one still lacks so many bytes.
    Chunked(usize),
    /// Until the connection ends.
    UntilClose,
}

// === impl Conn ===

impl Conn {
    /// A connection on which nothing has happened.
    pub fn new(io: Io, buffers: Buffers) -> Self {
        let inbox = Inbox::new(buffers.pool());
        Self::with_inbox(io, buffers, inbox)
    }

    /// A connection from which something was read already.
    pub fn with_inbox(io: Io, buffers: Buffers, inbox: Inbox) -> Self {
        Self {
            wire: Wire::new(io, buffers, inbox),
            scan: HeadScan::default(),
            reader: BodyReader::new(BodyFraming::None),
            chunk: 0,
            received: true,
            sending: Sending::Done,
            blocked: false,
            broken: false,
            resets: false,
        }
    }

    /// Waits for the first byte of a message. False when the peer has ended instead.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.wire.unread().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.wire.poll_fill(cx).map_ok(|filled| filled == Filled::Bytes)
    }

    /// Whether bytes of a next message are there already.
    pub fn has_unread(&self) -> bool {
        !self.wire.unread().is_empty()
    }

    /// Reads the head of a request.
    pub fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        rules: &PathRules,
        head: &mut RequestHead,
    ) -> Poll<Result<RequestFacts, HeadError>> {
        loop {
            let unread = self.wire.unread();
            if !unread.is_empty() {
                let parsed = parse_request(unread, &mut self.scan, limits, rules, head);
                if let Parsed::Complete { consumed, facts } = parsed.map_err(HeadError::Parse)? {
                    self.begin_body(consumed, facts.framing);
                    return Poll::Ready(Ok(facts));
                }
            }
            ready!(self.poll_fill_head(cx))?;
        }
    }

    /// Reads the head of a response to a request of that method; interim responses (1xx) come one
    /// by one.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
        method: &Method,
        head: &mut ResponseHead,
    ) -> Poll<Result<ResponseFacts, HeadError>> {
        loop {
            let unread = self.wire.unread();
            if !unread.is_empty() {
                let parsed = parse_response(unread, &mut self.scan, limits, method, head);
                if let Parsed::Complete { consumed, facts } = parsed.map_err(HeadError::Parse)? {
                    self.begin_body(consumed, facts.framing);
                    return Poll::Ready(Ok(facts));
                }
            }
            ready!(self.poll_fill_head(cx))?;
        }
    }

    /// Begins to send a message whose head `write` appends to the output.
    pub fn begin_message(&mut self, framing: BodyFraming, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.wire.output());
        self.sending = match framing {
            BodyFraming::None => Sending::Done,
            BodyFraming::Length(length) => Sending::Length(length),
            BodyFraming::Chunked => Sending::Chunked(0),
            BodyFraming::UntilClose => Sending::UntilClose,
        };
    }

    /// See [`crate::Leg::poll_body`].
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyEvent, ReadError>> {
        loop {
            if self.chunk > 0 {
                return Poll::Ready(Ok(BodyEvent::Data));
            }
            if self.received {
                return Poll::Ready(Ok(BodyEvent::End));
            }
            let decoded = self.reader.decode(self.wire.unread(), self.wire.is_eof());
            match decoded.map_err(|error| self.broken(ReadError::Malformed(error)))? {
                Decoded::Data { skip, len } => {
                    self.wire.consume(skip);
                    self.chunk = len;
                }
                Decoded::End { skip } => {
                    self.wire.consume(skip);
                    self.received = true;
                }
                Decoded::NeedMore { skip } => {
                    self.wire.consume(skip);
                    match ready!(self.wire.poll_fill(cx)) {
                        Ok(Filled::Bytes) => {}
                        Ok(Filled::Eof) if self.reader.ends_at_eof() => self.received = true,
                        Ok(Filled::Eof | Filled::Full) => {
                            return Poll::Ready(Err(self.broken(ReadError::Truncated)));
                        }
                        Err(error) => {
                            return Poll::Ready(Err(self.broken(ReadError::Io(error))));
                        }
                    }
                }
            }
        }
    }

    /// See [`crate::Leg::chunk`].
    pub fn chunk(&self) -> &[u8] {
        &self.wire.unread()[..self.chunk]
    }

    /// See [`crate::Leg::consume`].
    pub fn consume_body(&mut self, count: usize) {
        self.chunk -= count;
        self.reader.consumed(count);
        self.wire.consume(count);
        if self.chunk == 0 && self.reader.is_complete() {
            self.received = true;
        }
    }

    /// See [`crate::Leg::trailers`].
    pub fn trailers(&self) -> Option<&Fields> {
        if self.received { self.reader.trailers() } else { None }
    }

    /// See [`crate::Leg::is_body_complete`].
    pub fn is_body_complete(&self) -> bool {
        self.received && self.chunk == 0
    }

    /// See [`crate::Leg::poll_send`].
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let data = match &mut self.sending {
            Sending::Done => return Poll::Ready(Err(self.broken(WriteError::Length))),
            Sending::Length(left) if data.len() as u64 > *left => {
                return Poll::Ready(Err(self.broken(WriteError::Length)));
            }
            Sending::Length(_) | Sending::UntilClose => data,
            Sending::Chunked(left) => {
                if *left == 0 {
                    *left = data.len();
                    write_chunk_head(data.len(), self.wire.output());
                }
                &data[..data.len().min(*left)]
            }
        };
        let written = self.wire.poll_write(cx, data);
        self.blocked = written.is_pending();
        let count = match ready!(written) {
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(self.broken(WriteError::Io(error)))),
        };
        match &mut self.sending {
            Sending::Length(left) => *left -= count as u64,
            Sending::Chunked(left) => {
                *left -= count;
                if *left == 0 {
                    self.wire.output().extend_from_slice(b"\r\n");
                }
            }
            Sending::Done | Sending::UntilClose => {}
        }
        Poll::Ready(Ok(count))
    }

    /// See [`crate::Leg::poll_finish`].
    pub fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&Fields>,
    ) -> Poll<Result<(), WriteError>> {
        match self.sending {
            Sending::Done | Sending::Length(0) | Sending::UntilClose => {}
            Sending::Chunked(0) => write_last_chunk(trailers, self.wire.output()),
            Sending::Length(_) | Sending::Chunked(_) => {
                return Poll::Ready(Err(self.broken(WriteError::Length)));
            }
        }
        self.sending = Sending::Done;
        self.poll_flush(cx)
    }

    /// See [`crate::Leg::poll_flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.wire.poll_flush(cx).map_err(|error| self.broken(WriteError::Io(error)))
    }

    /// See [`crate::Leg::poll_gone`]. Bytes of a next request are kept; once they fill the buffer
    /// the end of the stream is not seen until they are read.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.received || self.chunk > 0 {
            // A body is on its way: whoever reads it sees the end.
            return Poll::Pending;
        }
        loop {
            match ready!(self.wire.poll_fill(cx)) {
                Ok(Filled::Bytes) => {}
                Ok(Filled::Full) => return Poll::Pending,
                Ok(Filled::Eof) | Err(_) => {
                    self.broken = true;
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Whether the next message may follow: both messages are complete and nothing broke.
    pub fn is_reusable(&self) -> bool {
        !self.broken
            && self.received
            && self.chunk == 0
            && self.sending == Sending::Done
            && !self.wire.has_output()
            && !self.wire.is_eof()
    }

    /// Whether a connection that waits for its next use is still open and silent. Costs no system
    /// call while it is.
    pub fn is_quiet(&mut self) -> bool {
        self.is_reusable() && self.wire.is_quiet()
    }

    /// Ends our side in order.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_shutdown(cx)
    }

    /// The message being sent is the last; the connection is not used again after it.
    pub fn close_after_message(&mut self) {
        self.broken = true;
    }

    /// Reads and throws away; says how much, 0 at the end of the stream.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let unread = self.wire.unread().len();
        if unread > 0 {
            self.chunk = 0;
            self.wire.consume(unread);
            return Poll::Ready(Ok(unread));
        }
        ready!(self.wire.poll_fill(cx))?;
        let count = self.wire.unread().len();
        self.wire.consume(count);
        Poll::Ready(Ok(count))
    }

    /// Whether bytes wait to be written: some that were taken, or some that could not be.
    pub fn has_output(&self) -> bool {
        self.blocked || self.wire.has_output()
    }

    /// Gives up in the middle of a message; the connection is not used again and closes when it is
    /// dropped. Where only the end of the connection would end the message, that end is made a
    /// reset, so that the peer does not take what it has got for the whole.
    pub fn abort(&mut self) {
        self.broken = true;
        if self.sending == Sending::UntilClose {
            self.resets = true;
            if let Io::Tcp(tcp) = self.wire.io() {
                // Refused only for a socket that is gone already.
                let _ = tcp.set_zero_linger();
            }
        }
    }

    /// Whether it is to be dropped as it is: an end in order would say too much.
    pub fn resets(&self) -> bool {
        self.resets
    }

    /// What is being sent.
    pub fn sending(&self) -> Sending {
        self.sending
    }

    /// Takes the stream out, with what was read from it beyond the last message, for a protocol
    /// that takes over. What was to be written must have been flushed. The connection is as good
    /// as closed then.
    pub fn take_parts(&mut self) -> (Io, Vec<u8>) {
        self.broken = true;
        self.wire.take_parts()
    }

    /// The stream, for its socket options.
    pub fn io(&self) -> &Io {
        self.wire.io()
    }

    fn begin_body(&mut self, consumed: usize, framing: BodyFraming) {
        self.wire.consume(consumed);
        self.scan = HeadScan::default();
        self.received = matches!(framing, BodyFraming::None | BodyFraming::Length(0));
        self.reader.reset(framing);
        self.chunk = 0;
    }

    fn poll_fill_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HeadError>> {
        let begun = !self.wire.unread().is_empty();
        Poll::Ready(match ready!(self.wire.poll_fill(cx)) {
            Ok(Filled::Bytes) => Ok(()),
            Ok(Filled::Eof) if begun => Err(HeadError::Truncated),
            Ok(Filled::Eof) => Err(HeadError::Closed),
            Ok(Filled::Full) => Err(HeadError::Parse(weft_message::h1::ParseError::HeadTooLarge)),
            Err(_) if !begun => Err(HeadError::Closed),
            Err(error) => Err(HeadError::Io(error)),
        })
    }

    fn broken<E>(&mut self, error: E) -> E {
        self.broken = true;
        error
    }
}
