//! How long a peer keeps idle connections, learned from what it does.
//!
//! A server that closes an idle connection just as a request is written to it costs that request an
//! error, unless it can be sent again. So a client does best to know the server's timeout and to
//! stay well below it, without being told.

use std::cell::Cell;
use std::time::Duration;

/// Closes remembered. Enough that one quick close (a restart) is forgotten after some others.
const REMEMBERED: usize = 8;

/// Age up to which a connection serves a request that cannot be sent again, when nothing is known.
/// No common server closes within a second.
const UNKNOWN_AGE_MAX: Duration = Duration::from_millis(400);

/// An estimate of the time after which a peer closes idle connections, as one worker sees it.
///
/// The estimate is the smallest of what the peer announced and of the idle times after which it was
/// lately seen to close. Where connections then turn out to live longer, it rises again.
///
/// ```
/// use std::time::Duration;
/// use weft_resilience::idle::LearnedIdle;
///
/// let (idle, pool) = (LearnedIdle::new(), Duration::from_secs(60));
/// assert_eq!(idle.safe_age(true, pool), pool);
/// assert_eq!(idle.safe_age(false, pool), Duration::from_millis(400));
/// idle.observe_close(Duration::from_secs(1));
/// assert_eq!(idle.safe_age(true, pool), Duration::from_millis(750));
/// assert_eq!(idle.safe_age(false, pool), Duration::from_millis(500));
/// ```
#[derive(Debug, Default)]
pub struct LearnedIdle {
    /// Idle times at the last closes, in microseconds up to 71 minutes; `0` marks none.
    closes_micros: Cell<[u32; REMEMBERED]>,
    next: Cell<usize>,
    hint: Cell<Option<Duration>>,
}

// === impl LearnedIdle ===

impl LearnedIdle {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The peer closed a connection that had been idle for so long.
    ///
    /// Not for a close that it announced with its last answer, nor for one of ours.
    pub fn observe_close(&self, idle: Duration) {
        let mut closes = self.closes_micros.get();
        let next = self.next.get();
        closes[next] = micros(idle);
        self.closes_micros.set(closes);
        self.next.set((next + 1) % REMEMBERED);
    }

    /// The peer announced its timeout (`Keep-Alive: timeout=N`). The last one counts.
    pub fn observe_hint(&self, timeout: Duration) {
        self.hint.set(Some(timeout));
    }

    /// A connection was still open after being idle for so long: it served a request, or we closed
    /// it ourselves.
    ///
    /// Corrects what was learned from a close that was no timeout. Each call raises one remembered
    /// close, so a peer that does both, like a balancer with several servers behind it, stays at
    /// the shorter time.
    pub fn observe_alive(&self, idle: Duration) {
        let (mut closes, idle) = (self.closes_micros.get(), micros(idle));
        let smallest = closes.iter_mut().filter(|close| **close != 0).min();
        if let Some(smallest) = smallest.filter(|close| **close < idle) {
            *smallest = idle;
            self.closes_micros.set(closes);
        }
    }

    /// After how long the peer closes, as far as is known.
    #[must_use]
    pub fn estimate(&self) -> Option<Duration> {
        let closes = self.closes_micros.get();
        let closes = closes.iter().filter(|close| **close != 0);
        let closed = closes.min().map(|close| Duration::from_micros(u64::from(*close)));
        closed.into_iter().chain(self.hint.get()).min()
    }

    /// How long a connection may have been idle to be used for a request; never above `default`,
    /// the pool's own bound.
    ///
    /// - `replayable`: a request that may be sent again if the connection turns out to be closed
    ///   (idempotent, and its body is kept). Up to three quarters of the estimate, or `default`
    ///   when nothing is known.
    /// - Otherwise half of the estimate, or 400 ms when nothing is known. Half, because the peer
    ///   counts from another moment than we do and many servers look at their timers seldom.
    #[must_use]
    pub fn safe_age(&self, replayable: bool, default: Duration) -> Duration {
        let age = match (self.estimate(), replayable) {
            (Some(estimate), true) => estimate / 4 * 3,
            (Some(estimate), false) => estimate / 2,
            (None, true) => default,
            (None, false) => UNKNOWN_AGE_MAX,
        };
        age.min(default)
    }
}

/// Microseconds, at least 1 and at most 71 minutes.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
