//! The body of a request on its way upstream: streamed, held, or both.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use weft_http::pump::{Pump, PumpError};
use weft_http::{BodyEvent, Leg};

/// Where the body comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestBody {
    /// Read already, and kept so that it can be sent again.
    held: Option<Rc<[u8]>>,
    /// More comes from the client after what is held.
    streams: bool,
    /// Copies what streams through, for mirrors.
    tee: Option<Tee>,
}

/// A copy of what streams through, up to a bound.
#[derive(Debug, Clone)]
pub(crate) struct Tee {
    bytes: Vec<u8>,
    max: usize,
    overflowed: bool,
}

/// Sends one body once.
#[derive(Debug)]
pub(crate) struct Sender {
    held_sent: usize,
    pump: Pump,
    streams: bool,
}

// === impl RequestBody ===

impl RequestBody {
    /// A body that comes from the client.
    pub(crate) fn streaming() -> Self {
        Self { held: None, streams: true, tee: None }
    }

    /// A body that is held; `more` when the client has not sent all of it.
    pub(crate) fn held(bytes: Vec<u8>, more: bool) -> Self {
        Self { held: Some(bytes.into()), streams: more, tee: None }
    }

    /// Whether nothing has to come from the client any more.
    pub(crate) fn is_held(&self) -> bool {
        !self.streams
    }

    /// What is held.
    pub(crate) fn bytes(&self) -> Option<&Rc<[u8]>> {
        self.held.as_ref()
    }

    /// Copies up to `max` bytes of what streams through.
    pub(crate) fn tee(&mut self, max: usize) {
        let before = self.tee.take().map_or(0, |tee| tee.max);
        let bytes = self.held.as_deref().unwrap_or_default().to_vec();
        let max = max.max(before);
        self.tee = Some(Tee { overflowed: bytes.len() > max, bytes, max });
    }

    /// The whole body, if it was copied or held whole.
    pub(crate) fn copied(&mut self) -> Option<Vec<u8>> {
        match self.tee.take() {
            Some(tee) if !tee.overflowed => Some(tee.bytes),
            Some(_) => None,
            None if !self.streams => Some(self.held.as_deref().unwrap_or_default().to_vec()),
            None => None,
        }
    }

    /// Begins to send it.
    pub(crate) fn sender(&self) -> Sender {
        Sender { held_sent: 0, pump: Pump::new(), streams: self.streams }
    }
}

// === impl Sender ===

impl Sender {
    /// Whether all was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.pump.is_done()
    }

    /// Bytes sent so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.held_sent as u64 + self.pump.bytes
    }

    /// Sends what can be sent; ready when all was, and flushed.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Poll<Result<(), PumpError>> {
        if let Some(held) = &body.held {
            while self.held_sent < held.len() {
                let sent =
                    ready!(up.poll_send(cx, &held[self.held_sent..])).map_err(PumpError::Write)?;
                self.held_sent += sent;
            }
        }
        if !self.streams {
            ready!(up.poll_finish(cx, None)).map_err(PumpError::Write)?;
            self.pump = Pump::finished();
            return Poll::Ready(Ok(()));
        }
        match &mut body.tee {
            None => self.pump.poll(cx, down, up),
            Some(tee) => self.pump.poll_seen(cx, down, up, |bytes| tee.see(bytes)),
        }
    }
}

// === impl Tee ===

impl Tee {
    fn see(&mut self, bytes: &[u8]) {
        if self.overflowed || self.bytes.len() + bytes.len() > self.max {
            self.overflowed = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// Reads a body from the client until its end or until `max` bytes are there. True when it ended.
///
/// # Errors
///
/// When the client breaks off or breaks the framing.
pub(crate) fn poll_hold(
    cx: &mut Context<'_>,
    down: &mut Leg,
    bytes: &mut Vec<u8>,
    max: u64,
) -> Poll<Result<bool, weft_http::error::ReadError>> {
    loop {
        match ready!(down.poll_body(cx))? {
            BodyEvent::End => return Poll::Ready(Ok(true)),
            BodyEvent::Data => {
                let chunk = down.chunk();
                let room = max.saturating_sub(bytes.len() as u64);
                if room == 0 {
                    return Poll::Ready(Ok(false));
                }
                let count = chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                bytes.extend_from_slice(&chunk[..count]);
                down.consume(count);
            }
        }
    }
}
