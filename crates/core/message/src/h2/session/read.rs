//! What streams read.

use crate::fields::Fields;
use crate::h2::failure::Failure;
use crate::h2::frame;
use crate::h2::section::Section;
use crate::h2::session::Session;
use crate::h2::spares::Spares;
use crate::h2::stream::{Key, Receiving};

/// What a look at a body brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Bytes.
    Data,
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
}

// === impl Session ===

impl Session {
    /// A request that has come. Its stream is to be let go at the end: [`Session::release`].
    pub fn accept(&mut self) -> Option<Key> {
        self.accepted.pop_front()
    }

    /// Where memory that was taken from here is given back.
    pub fn spares(&self) -> &Spares {
        &self.spares
    }

    /// The head of a request that was accepted, once. Give it back to the spares when it was read.
    pub fn take_request(&mut self, key: Key) -> Option<Box<Section>> {
        self.streams.get_mut(key)?.head.take()
    }

    /// The next interim response, if one has come.
    pub fn take_interim(&mut self, key: Key) -> Option<Box<Section>> {
        self.streams.get_mut(key)?.interim.pop_front()
    }

    /// Whether the response's head has come, or cannot come any more.
    pub fn has_response(&self, key: Key) -> bool {
        self.streams
            .get(key)
            .is_none_or(|stream| stream.receiving != Receiving::Head || stream.failure.is_some())
    }

    /// The head of the response; `None` as long as it has not come.
    ///
    /// # Errors
    ///
    /// When the stream has failed, or the head was taken.
    pub fn take_response(&mut self, key: Key) -> Result<Option<Box<Section>>, Failure> {
        let stream = self.streams.get_mut(key).ok_or(Failure::Closed)?;
        if let Some(head) = stream.head.take() {
            return Ok(Some(head));
        }
        match stream.failure {
            Some(failure) => Err(failure),
            None if stream.receiving != Receiving::Head => Err(Failure::Closed),
            None => Ok(None),
        }
    }

    /// Takes the data that has come, if any, in place of what `into` holds, which is not needed any
    /// more. Data that was taken is to be accounted for by [`Session::consume`].
    ///
    /// # Errors
    ///
    /// When the stream has failed, and no data is left.
    pub fn take_data(&mut self, key: Key, into: &mut Vec<u8>) -> Result<Body, Failure> {
        let stream = self.streams.get_mut(key).ok_or(Failure::Closed)?;
        if !stream.inbox.is_empty() {
            let used = std::mem::replace(into, std::mem::take(&mut stream.inbox));
            self.spares.give_bytes(used);
            return Ok(Body::Data);
        }
        match (stream.receiving, stream.failure) {
            (Receiving::Done, _) => Ok(Body::End),
            (_, Some(failure)) => Err(failure),
            _ => Ok(Body::Nothing),
        }
    }

    /// Whether nothing more comes on the stream, and nothing waits to be taken, not even trailers.
    pub fn is_received(&self, key: Key) -> bool {
        self.streams.get(key).is_some_and(|stream| {
            stream.receiving == Receiving::Done
                && stream.inbox.is_empty()
                && stream.trailers.is_none()
        })
    }

    /// The trailers, once the body has ended.
    pub fn take_trailers(&mut self, key: Key) -> Option<Fields> {
        let mut section = self.streams.get_mut(key)?.trailers.take()?;
        let fields = section.take_trailers();
        self.spares.give_section(section);
        Some(fields)
    }

    /// Makes room for so many bytes that were read.
    #[inline]
    pub fn consume(&mut self, key: Key, bytes: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let consumed = stream.window.consume(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.window.consume(consumed);
        self.update_stream_window(key);
        self.update_window();
    }

    /// Why the stream has failed; [`Failure::Closed`] for one that is gone.
    pub fn failure(&self, key: Key) -> Option<Failure> {
        match self.streams.get(key) {
            Some(stream) => stream.failure,
            None => Some(Failure::Closed),
        }
    }

    /// Tells the peer how much a stream's window has grown, if it is worth it.
    #[inline]
    pub(super) fn update_stream_window(&mut self, key: Key) {
        let target = self.stream_window;
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.receiving == Receiving::Body
            && stream.failure.is_none()
            && let Some(due) = stream.window.take_due(target)
        {
            frame::push_window_update(key.id(), due, self.out());
        }
    }
}
