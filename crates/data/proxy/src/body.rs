//! The body of a request on its way upstream: streamed, held, or streamed and kept.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use weft_http::error::ReadError;
use weft_http::pump::{Pump, PumpError};
use weft_http::{BodyEvent, Leg};

use crate::spool::{Cursor, Spool, SpoolArea, SpoolError, Whole as _};

/// The most of one body that is held in memory where the user gives no bound. What is beyond goes
/// to a file, or is not held.
pub(crate) const MEMORY_BYTES_MAX: u64 = 4 << 20;

/// The most of one body that is kept for the case that it has reached no application.
const UNANSWERED_BYTES_MAX: u64 = 64 << 10;

/// The most of one body that is held at all where the user gives no bound.
pub(crate) const HELD_BYTES_MAX: u64 = 1 << 30;

/// Where the body comes from, and what of it could be sent again.
#[derive(Debug, Default)]
pub(crate) struct RequestBody {
    /// Its beginning, as far as it was read from the client and kept.
    kept: Spool,
    /// How much of what streams through is kept, if any is.
    keep: Option<Keep>,
    /// More comes from the client after what is kept.
    streams: bool,
    /// Something streamed through that was not kept.
    lost: bool,
}

#[derive(Debug)]
struct Keep {
    bytes_max: u64,
    area: Rc<SpoolArea>,
    /// Only until there is an answer.
    until_answered: bool,
}

/// Sends one body once.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// How much of what is kept was sent.
    sent: Cursor,
    total: u64,
    pump: Pump,
}

/// A body could not be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// One of the two sides failed.
    #[error(transparent)]
    Pump(#[from] PumpError),
    /// What was held cannot be read back.
    #[error("the body that was held cannot be read back")]
    Held(#[source] io::Error),
}

/// A body could not be held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// Whoever sends it broke off or broke the framing.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no room for it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// How much of a body is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    /// No more than this at all.
    pub(crate) bytes_max: u64,
    /// No more than this in memory.
    pub(crate) memory_bytes: u64,
}

// === impl RequestBody ===

impl RequestBody {
    /// A body that comes from the client.
    pub(crate) fn streaming() -> Self {
        Self { streams: true, ..Self::default() }
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
    pub(crate) fn whole(&self) -> Option<&Spool> {
        self.is_held().then_some(&self.kept)
    }

    /// How much of it is there.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.len()
    }

    /// Keeps what streams through, as long as that is at most `bytes_max` in all, and at most what
    /// is held anyway; `None` keeps no more. Nothing waits for it: what comes goes on at once, so
    /// that a stream that needs answers to go on has them.
    pub(crate) fn keep(&mut self, bytes_max: Option<u64>, area: &Rc<SpoolArea>) {
        self.keep = bytes_max.map(|bytes_max| {
            let bytes_max = bytes_max.min(HELD_BYTES_MAX);
            Keep { bytes_max, area: area.clone(), until_answered: false }
        });
    }

    /// Reads what is still to come from the client, until the whole body is there, or more than is
    /// held would be. True when it is there.
    ///
    /// # Errors
    ///
    /// When the client breaks off or breaks the framing, or there is no room.
    pub(crate) fn poll_whole(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Leg,
        hold: Hold,
        area: &SpoolArea,
    ) -> Poll<Result<bool, HoldError>> {
        let ended = ready!(poll_hold(cx, down, &mut self.kept, hold, area))?;
        self.streams = !ended;
        Poll::Ready(Ok(ended))
    }

    /// Keeps the beginning of what streams through until somebody has answered, unless more is kept
    /// anyway: a proxy may say that the request has reached no application when its body is long on
    /// its way, and then it goes to another one.
    pub(crate) fn keep_until_answered(&mut self, area: &Rc<SpoolArea>) {
        if self.keep.is_none() && self.streams {
            let bytes_max = UNANSWERED_BYTES_MAX;
            self.keep = Some(Keep { bytes_max, area: area.clone(), until_answered: true });
        }
    }

    /// There is an answer.
    pub(crate) fn answered(&mut self) {
        self.keep.take_if(|keep| keep.until_answered);
    }

    /// Takes the whole body, if it was held or kept.
    pub(crate) fn take(&mut self) -> Option<Spool> {
        (self.is_held() && self.is_kept()).then(|| std::mem::take(&mut self.kept))
    }

    /// How much of what streams through was kept.
    fn see(&mut self, bytes: &[u8]) -> usize {
        let wanted = self.kept.len() + bytes.len() as u64;
        let is_kept = match &self.keep {
            Some(Keep { bytes_max, area, .. }) if !self.lost && wanted <= *bytes_max => {
                self.kept.write(bytes, MEMORY_BYTES_MAX as usize, area).is_ok()
            }
            _ => false,
        };
        if is_kept {
            return bytes.len();
        }
        self.lost = true;
        self.kept = Spool::default();
        0
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
    ) -> Poll<Result<(), SendError>> {
        let Self { sent, total, pump } = self;
        loop {
            let chunk = body.kept.chunk(sent).map_err(SendError::Held)?;
            if chunk.is_empty() {
                break;
            }
            let count = ready!(up.poll_send(cx, chunk)).map_err(PumpError::Write)?;
            sent.advance(count);
            *total += count as u64;
        }
        if body.is_held() {
            ready!(up.poll_finish(cx, down.trailers())).map_err(PumpError::Write)?;
            *pump = Pump::finished();
            return Poll::Ready(Ok(()));
        }
        ready!(pump.poll_seen(cx, down, up, |bytes| {
            *total += bytes.len() as u64;
            sent.advance(body.see(bytes));
        }))?;
        if body.is_kept() {
            body.streams = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads a body until its end, or until more than is held would be there. True when it ended.
///
/// # Errors
///
/// When the sender breaks off or breaks the framing, or there is no room.
pub(crate) fn poll_hold(
    cx: &mut Context<'_>,
    from: &mut Leg,
    bytes: &mut Spool,
    hold: Hold,
    area: &SpoolArea,
) -> Poll<Result<bool, HoldError>> {
    let memory_max = usize::try_from(hold.memory_bytes).unwrap_or(usize::MAX);
    loop {
        match ready!(from.poll_body(cx)).map_err(HoldError::Read)? {
            BodyEvent::End => return Poll::Ready(Ok(true)),
            BodyEvent::Data => {
                let chunk = from.chunk();
                if bytes.len() + chunk.len() as u64 > hold.bytes_max {
                    return Poll::Ready(Ok(false));
                }
                bytes.write(chunk, memory_max, area)?;
                let count = chunk.len();
                from.consume(count);
            }
        }
    }
}
