//! Idle connections to one endpoint, of one worker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use weft_http::h1::Conn;
use weft_resilience::idle::LearnedIdle;

/// Idle HTTP/1.1 connections, the most recently used at the back.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    learned: LearnedIdle,
}

#[derive(Debug)]
struct Idle {
    conn: Box<Conn>,
    since: Instant,
}

// === impl Pool ===

impl Pool {
    /// A connection that the peer has most likely not closed: open and silent as far as the kernel
    /// knows, and younger than the peer's idle timeout as far as that was learned. A request that
    /// cannot be sent again gets only a connection used a moment ago, because a close may be on
    /// its way that nobody can see.
    pub(crate) fn take(
        &self,
        now: Instant,
        replayable: bool,
        idle_timeout: Duration,
    ) -> Option<Box<Conn>> {
        let mut idle = self.idle.borrow_mut();
        let safe_age = self.learned.safe_age(replayable, idle_timeout);
        while let Some(mut entry) = idle.pop_back() {
            let age = now.saturating_duration_since(entry.since);
            if age > safe_age {
                // What is left is older still, but may serve a request that can be replayed.
                idle.push_back(entry);
                return None;
            }
            if entry.conn.is_quiet() {
                return Some(entry.conn);
            }
            self.learned.observe_close(age);
        }
        None
    }

    /// Keeps a connection for its next use.
    pub(crate) fn give(&self, now: Instant, conn: Box<Conn>, idle_max: usize) {
        let mut idle = self.idle.borrow_mut();
        if idle_max == 0 {
            return;
        }
        if idle.len() >= idle_max {
            idle.pop_front();
        }
        idle.push_back(Idle { conn, since: now });
    }

    /// The peer said how long it keeps idle connections.
    pub(crate) fn hint(&self, timeout: Duration) {
        self.learned.observe_hint(timeout);
    }

    /// A reused connection turned out to be closed after it had been idle for so long.
    pub(crate) fn observe_close(&self, age: Duration) {
        self.learned.observe_close(age);
    }

    /// Drops what is too old or was closed by the peer.
    pub(crate) fn sweep(&self, now: Instant, idle_timeout: Duration) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|entry| {
            let age = now.saturating_duration_since(entry.since);
            let quiet = entry.conn.is_quiet();
            if !quiet {
                self.learned.observe_close(age);
            }
            quiet && age < idle_timeout
        });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Drops all.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}
