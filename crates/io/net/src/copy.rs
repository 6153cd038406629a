//! Copying bytes both ways between two connections.

mod half;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::buffer::BufferPool;
use crate::stream::Stream;
use half::Half;

/// When to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Time without a byte in either direction; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// After one direction ended, how long the other may go on without ending, whether or not it
    /// moves; `None` is for ever (the idle timeout still holds).
    pub termination_delay: Option<Duration>,
}

/// Bytes moved, readable while the copy runs.
#[derive(Debug, Default)]
pub struct CopyCounters {
    /// Bytes that the upstream took.
    pub to_upstream: Cell<u64>,
    /// Bytes that the downstream took.
    pub to_downstream: Cell<u64>,
}

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that was accepted.
    Downstream,
    /// The one that was opened.
    Upstream,
}

/// Why a copy ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// Both sides ended in order. Names the side that ended first.
    Finished {
        /// Whose end was seen first.
        first: Side,
    },
    /// Nothing moved for the idle timeout.
    Idle,
    /// One side ended and the other did not within the termination delay.
    Termination {
        /// Whose end was seen.
        first: Side,
    },
    /// A side could not be read: usually it reset the connection.
    ReadFailed(Side, io::Error),
    /// A side could not be written: usually it closed or reset the connection.
    WriteFailed(Side, io::Error),
}

/// A deadline that belongs to the task which polls it. The caller chooses the clock: a coarse one
/// of the worker for idle times, a real timer for short delays.
pub trait Deadline {
    /// Sets it `after` from now, in place of any earlier one.
    fn arm(&mut self, after: Duration);
    /// Ready once it has passed.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Copies until both directions have ended, one failed, or a limit was reached.
///
/// The end of one side is passed on to the other (a half-close) after its last byte. A buffer is
/// taken from the pool only while bytes are in it; it is small first, and bulk once a read filled
/// it. The caller drops the two connections afterwards.
///
/// Not cancel safe: bytes read and not yet written are lost when it is dropped, so drop it only to
/// close both connections.
pub async fn copy<D: Stream, U: Stream>(
    downstream: &mut D,
    upstream: &mut U,
    pool: &BufferPool,
    limits: CopyLimits,
    deadline: &mut impl Deadline,
    counters: &CopyCounters,
) -> CopyEnd {
    let mut up = Half::new(Side::Downstream, &counters.to_upstream);
    let mut down = Half::new(Side::Upstream, &counters.to_downstream);
    let mut first = None;
    if let Some(after) = limits.idle_timeout {
        deadline.arm(after);
    }
    poll_fn(|cx| {
        let moved_before = up.moved() + down.moved();
        let up_polled = up.poll(cx, downstream, upstream, pool)?;
        let down_polled = down.poll(cx, upstream, downstream, pool)?;
        let ended = match (up_polled, down_polled) {
            (Poll::Ready(()), Poll::Ready(())) => {
                let first = first.unwrap_or(Side::Downstream);
                return Poll::Ready(Ok(CopyEnd::Finished { first }));
            }
            (Poll::Ready(()), Poll::Pending) => Some(Side::Downstream),
            (Poll::Pending, Poll::Ready(())) => Some(Side::Upstream),
            (Poll::Pending, Poll::Pending) => None,
        };
        let moved = up.moved() + down.moved() > moved_before;
        if ended.is_some() && first.is_none() {
            first = ended;
            if let Some(after) = limits.termination_delay {
                deadline.arm(after);
            }
        } else if let Some(after) = limits.idle_timeout
            && moved
            && (first.is_none() || limits.termination_delay.is_none())
        {
            deadline.arm(after);
        }
        let terminating = first.is_some() && limits.termination_delay.is_some();
        if !terminating && limits.idle_timeout.is_none() {
            return Poll::Pending;
        }
        ready!(deadline.poll_expired(cx));
        Poll::Ready(Ok(match first {
            Some(first) if terminating => CopyEnd::Termination { first },
            _ => CopyEnd::Idle,
        }))
    })
    .await
    .unwrap_or_else(|end: CopyEnd| end)
}

// === impl Side ===

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Downstream => Self::Upstream,
            Self::Upstream => Self::Downstream,
        }
    }
}

#[cfg(test)]
mod tests;
