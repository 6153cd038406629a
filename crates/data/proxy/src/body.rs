//! The body of a request on its way upstream: streamed, held, or streamed and kept.

use std::task::{Context, Poll, ready};

use weft_http::pump::{Pump, PumpError};
use weft_http::{BodyEvent, Leg};

/// Where the body comes from, and what of it could be sent again.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestBody {
    /// Its beginning, as far as it was read from the client and kept.
    kept: Vec<u8>,
    /// So much of what streams through is kept.
    keep_max: usize,
    /// More comes from the client after what is kept.
    streams: bool,
    /// Something streamed through that was not kept.
    lost: bool,
}

/// Sends one body once.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// How much of what is kept was sent.
    sent: usize,
    total: u64,
    pump: Pump,
}

// === impl RequestBody ===

impl RequestBody {
    /// A body that comes from the client.
    pub(crate) fn streaming() -> Self {
        Self { streams: true, ..Self::default() }
    }

    /// A body that was read whole.
    pub(crate) fn held(bytes: Vec<u8>) -> Self {
        Self { kept: bytes, ..Self::default() }
    }

    /// Whether nothing has to come from the client any more.
    pub(crate) fn is_held(&self) -> bool {
        !self.streams
    }

    /// Whether it can be sent from its beginning: all that came from the client so far is there.
    pub(crate) fn is_kept(&self) -> bool {
        !self.lost
    }

    /// The whole body, if it is held.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.is_held().then_some(&self.kept)
    }

    /// Keeps what streams through, as long as that is at most `max` bytes in all. Nothing waits
    /// for it: what comes goes on at once, so that a stream that needs answers to go on has them.
    pub(crate) fn keep(&mut self, max: u64) {
        self.keep_max = self.keep_max.max(usize::try_from(max).unwrap_or(usize::MAX));
    }

    /// Takes the whole body, if it was held or kept.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        (self.is_held() && self.is_kept()).then(|| std::mem::take(&mut self.kept))
    }

    fn see(&mut self, bytes: &[u8]) -> usize {
        if self.lost || self.kept.len() + bytes.len() > self.keep_max {
            self.lost = true;
            self.kept = Vec::new();
            return 0;
        }
        self.kept.extend_from_slice(bytes);
        bytes.len()
    }
}

// === impl Sender ===

impl Sender {
    /// Nothing sent yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether all was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.pump.is_done()
    }

    /// Bytes sent so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.total
    }

    /// Sends what can be sent; ready when all was, and flushed.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Poll<Result<(), PumpError>> {
        let Self { sent, total, pump } = self;
        while *sent < body.kept.len() {
            let count = ready!(up.poll_send(cx, &body.kept[*sent..])).map_err(PumpError::Write)?;
            *sent += count;
            *total += count as u64;
        }
        if body.is_held() {
            ready!(up.poll_finish(cx, down.trailers())).map_err(PumpError::Write)?;
            *pump = Pump::finished();
            return Poll::Ready(Ok(()));
        }
        ready!(pump.poll_seen(cx, down, up, |bytes| {
            *total += bytes.len() as u64;
            *sent += body.see(bytes);
        }))?;
        if body.is_kept() {
            body.streams = false;
        }
        Poll::Ready(Ok(()))
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
