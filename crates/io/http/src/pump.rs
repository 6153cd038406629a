//! Moves a body from one leg to the other.

use std::task::{Context, Poll, ready};

use crate::error::{ReadError, WriteError};
use crate::leg::{BodyEvent, Leg};

/// One direction of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pump {
    /// Bytes moved so far.
    pub bytes: u64,
    ended: bool,
    done: bool,
}

/// Which side failed.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// The side that sends the body.
    #[error("the sender failed")]
    Read(#[source] ReadError),
    /// The side that receives it.
    #[error("the receiver failed")]
    Write(#[source] WriteError),
}

// === impl Pump ===

impl Pump {
    /// Nothing moved yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A direction in which nothing has to be moved.
    pub fn finished() -> Self {
        Self { bytes: 0, ended: true, done: true }
    }

    /// Whether all has been moved and written.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Moves what can be moved; ready when all has been, the trailers included. What is buffered
    /// is flushed whenever the sender has nothing more for the moment, so a stream of events is
    /// never held back.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
    ) -> Poll<Result<(), PumpError>> {
        self.poll_seen(cx, from, to, |_| {})
    }

    /// The same, showing each part that was moved to `see`.
    pub fn poll_seen(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
        mut see: impl FnMut(&[u8]),
    ) -> Poll<Result<(), PumpError>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        while !self.ended {
            match from.poll_body(cx).map_err(PumpError::Read)? {
                Poll::Ready(BodyEvent::Data) => {
                    let sent = ready!(to.poll_send(cx, from.chunk())).map_err(PumpError::Write)?;
                    see(&from.chunk()[..sent]);
                    from.consume(sent);
                    self.bytes += sent as u64;
                }
                Poll::Ready(BodyEvent::End) => self.ended = true,
                Poll::Pending => {
                    ready!(to.poll_flush(cx)).map_err(PumpError::Write)?;
                    return Poll::Pending;
                }
            }
        }
        ready!(to.poll_finish(cx, from.trailers())).map_err(PumpError::Write)?;
        self.done = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
