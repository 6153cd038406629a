//! What streams send.

use crate::fields::Fields;
use crate::h2::encode;
use crate::h2::failure::Failure;
use crate::h2::frame::{END_STREAM, FrameKind, HEAD_BYTES, PAYLOAD_BYTES_MAX, push_head};
use crate::h2::session::{OUTPUT_BYTES_MAX, ROOM_BYTES_MIN, Session, Tail};
use crate::h2::stream::{Key, Sending, Stream};
use crate::method::Method;
use crate::request::RequestHead;
use crate::response::ResponseHead;

/// Where the flags are in what stands before a payload.
const FLAGS_AT: usize = 4;

// === impl Session ===

impl Session {
    /// What is to be written.
    #[inline]
    pub fn output(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// Whether there is anything to be written.
    #[inline]
    pub fn has_output(&self) -> bool {
        self.output.len() > self.written
    }

    /// So much was written.
    pub fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written == self.output.len() {
            self.written = 0;
            self.tail = None;
            (self.is_stalled, self.is_exhausted) = (false, false);
            let output = std::mem::take(&mut self.output);
            self.spares.give_bytes(output);
            self.unblock();
        }
    }

    /// The peer takes nothing at the moment.
    pub fn stall(&mut self) {
        self.is_stalled = true;
        if self.written >= OUTPUT_BYTES_MAX / 2 {
            // What is left is moved, or the buffer would only grow.
            self.output.drain(..self.written);
            self.written = 0;
            self.tail = None;
        }
        self.note_exhausted();
    }

    /// Counts that data has to wait because the peer does not read, once until it does.
    fn note_exhausted(&mut self) {
        if self.is_stalled
            && !self.blocked.is_empty()
            && !std::mem::replace(&mut self.is_exhausted, true)
        {
            self.queue_exhausted = self.queue_exhausted.saturating_add(1);
        }
    }

    /// Opens a stream with a request. With `end`, there is no body. Call only when
    /// [`Session::has_room`] says so.
    ///
    /// # Errors
    ///
    /// When the connection takes no more streams.
    pub fn open(&mut self, head: &RequestHead, end: bool) -> Result<Key, Failure> {
        if let Some(failure) = self.has_failed() {
            return Err(failure);
        }
        if self.is_closing() {
            return Err(Failure::Unprocessed(self.peer_goaway.unwrap_or_default()));
        }
        let id = self.next_id;
        self.next_id += 2;
        let mut stream = Stream::new(id, self.peer.stream_window, self.stream_window);
        stream.sending = if end { Sending::Done } else { Sending::Body };
        stream.is_head = *head.method() == Method::Head;
        self.open += 1;
        let key = self.streams.insert(stream);
        let flags = if end { END_STREAM } else { 0 };
        if self.output.capacity() == 0 {
            self.output = self.spares.bytes();
        }
        encode::push_section(id, flags, &mut self.encoder, &mut self.output, |encoder, out| {
            encode::request(head, encoder, out);
        });
        Ok(key)
    }

    /// Answers. With `end`, there is no body; an interim response has one to come.
    ///
    /// # Errors
    ///
    /// When the stream has failed, or was answered.
    pub fn respond(&mut self, key: Key, head: &ResponseHead, end: bool) -> Result<(), Failure> {
        let stream = self.streams.get_mut(key).ok_or(Failure::Closed)?;
        if let Some(failure) = stream.failure {
            return Err(failure);
        }
        if stream.sending != Sending::Head {
            return Err(Failure::Closed);
        }
        if head.status() >= 200 {
            stream.sending = if end { Sending::Done } else { Sending::Body };
        }
        self.push_response(key.id(), head, if end { END_STREAM } else { 0 });
        self.settle(key);
        self.end_if_done();
        Ok(())
    }

    pub(super) fn push_response(&mut self, id: u32, head: &ResponseHead, flags: u8) {
        if self.output.capacity() == 0 {
            self.output = self.spares.bytes();
        }
        encode::push_section(id, flags, &mut self.encoder, &mut self.output, |encoder, out| {
            encode::response(head, encoder, out);
        });
    }

    /// Takes data of the message that is sent; how much. With nothing taken, a change of the stream
    /// tells when there may be room.
    ///
    /// # Errors
    ///
    /// When the stream has failed, or its message has ended.
    pub fn send(&mut self, key: Key, data: &[u8]) -> Result<usize, Failure> {
        let waiting = self.output.len() - self.written;
        let room = match OUTPUT_BYTES_MAX.saturating_sub(waiting) {
            0..=ROOM_BYTES_MIN => 0,
            room => room,
        };
        let (round, quota, window) = (self.round, self.quota, self.send_window);
        let stream = self.streams.get_mut(key).ok_or(Failure::Closed)?;
        if let Some(failure) = stream.failure {
            return Err(failure);
        }
        if stream.sending != Sending::Body {
            return Err(Failure::Closed);
        }
        if stream.round != round {
            (stream.round, stream.sent_in_round) = (round, 0);
        }
        if stream.send_window <= 0 {
            stream.is_waiting = true;
            return Ok(0);
        }
        let share = quota.saturating_sub(stream.sent_in_round) as usize;
        let windows = window.min(stream.send_window).max(0) as usize;
        let count = data.len().min(room).min(share).min(windows);
        if count == 0 {
            if !stream.is_blocked && !data.is_empty() {
                stream.is_blocked = true;
                self.blocked.push_back(key);
                self.note_exhausted();
            }
            return Ok(0);
        }
        stream.send_window -= count as i64;
        stream.sent_in_round += count as u32;
        self.send_window -= count as i64;
        self.push_data(key.id(), &data[..count]);
        Ok(count)
    }

    /// Ends the message that is sent.
    ///
    /// # Errors
    ///
    /// When the stream has failed, or its message has ended.
    pub fn finish(&mut self, key: Key, trailers: Option<&Fields>) -> Result<(), Failure> {
        let stream = self.streams.get_mut(key).ok_or(Failure::Closed)?;
        if let Some(failure) = stream.failure {
            return Err(failure);
        }
        if stream.sending != Sending::Body {
            return Err(Failure::Closed);
        }
        stream.sending = Sending::Done;
        match (trailers.filter(|fields| !fields.is_empty()), self.growing_tail(key.id())) {
            (Some(fields), _) => {
                if self.output.capacity() == 0 {
                    self.output = self.spares.bytes();
                }
                let (encoder, out) = (&mut self.encoder, &mut self.output);
                encode::push_section(key.id(), END_STREAM, encoder, out, |encoder, out| {
                    encode::trailers(fields, encoder, out);
                });
            }
            // The frame with the last data says so, if it has not left.
            (None, Some(tail)) => self.output[tail.start + FLAGS_AT] |= END_STREAM,
            (None, None) => push_head(0, FrameKind::Data, END_STREAM, key.id(), self.out()),
        }
        self.tail = None;
        self.settle(key);
        self.end_if_done();
        Ok(())
    }

    /// Appends data, to the last frame if that is of the same stream and has not begun to leave.
    fn push_data(&mut self, id: u32, data: &[u8]) {
        let mut rest = data;
        if let Some(tail) = self.growing_tail(id) {
            let length = tail.end - tail.start - HEAD_BYTES;
            let (more, left) = rest.split_at(rest.len().min(PAYLOAD_BYTES_MAX - length));
            self.output.extend_from_slice(more);
            let [_, a, b, c] = ((length + more.len()) as u32).to_be_bytes();
            self.output[tail.start..tail.start + 3].copy_from_slice(&[a, b, c]);
            self.tail = Some(Tail { end: self.output.len(), ..tail });
            rest = left;
        }
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.len().min(PAYLOAD_BYTES_MAX));
            self.meter.sent(piece.len() as u32);
            let out = self.out();
            let start = out.len();
            push_head(piece.len(), FrameKind::Data, 0, id, out);
            out.extend_from_slice(piece);
            self.tail = Some(Tail { stream: id, start, end: self.output.len() });
            rest = left;
        }
    }

    /// The DATA frame at the end of the output, if it is this stream's and nothing of it has left.
    fn growing_tail(&self, id: u32) -> Option<Tail> {
        self.tail.filter(|tail| {
            tail.stream == id && tail.end == self.output.len() && tail.start >= self.written
        })
    }
}
