//! Connections to one endpoint, of one worker: HTTP/1.1 while they are idle, HTTP/2 while they are
//! open.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use weft_http::h1::Conn;
use weft_http::h2::Client;
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

/// HTTP/2 connections, each with the terms it was made on. Requests share them, so they are lent out
/// by handle.
#[derive(Debug)]
pub(crate) struct SharedPool<T = ()> {
    known: RefCell<Vec<Shared<T>>>,
    /// Whoever makes a connection has it, so that a burst of requests does not make one each.
    turn: Semaphore,
}

#[derive(Debug)]
struct Shared<T> {
    client: Client,
    terms: T,
    /// When it was first seen without a stream.
    idle_since: Option<Instant>,
}

/// A close after less idle time than this says nothing about the peer's patience: it restarted, or
/// had had enough of the connection. No common server has a timeout as short.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_millis(400);

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
    ) -> Option<(Box<Conn>, Duration)> {
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
                return Some((entry.conn, age));
            }
            self.observe_close(age);
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
        if age >= IDLE_TIMEOUT_MIN {
            self.learned.observe_close(age);
        }
    }

    /// A reused connection turned out to be alive after it had been idle for so long.
    pub(crate) fn observe_alive(&self, age: Duration) {
        self.learned.observe_alive(age);
    }

    /// Drops what is too old or was closed by the peer.
    pub(crate) fn sweep(&self, now: Instant, idle_timeout: Duration) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|entry| {
            let age = now.saturating_duration_since(entry.since);
            if !entry.conn.is_quiet() {
                self.observe_close(age);
                return false;
            }
            if age >= idle_timeout {
                // Ours to close; the peer would have waited longer.
                self.observe_alive(age);
                return false;
            }
            true
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

// === impl SharedPool ===

impl<T> Default for SharedPool<T> {
    fn default() -> Self {
        Self { known: RefCell::default(), turn: Semaphore::new(1) }
    }
}

impl<T> SharedPool<T> {
    /// Waits until nobody else makes a connection here. `None` never happens: the turn is not
    /// closed.
    ///
    /// Cancel safe.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    /// A connection on which one more stream may be opened, made on terms that are `wanted`, and for
    /// how long it had none.
    pub(crate) fn take(
        &self,
        now: Instant,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<(Client, Duration)> {
        let mut known = self.known.borrow_mut();
        known.retain_mut(|shared| !shared.client.is_closed());
        let shared =
            known.iter_mut().find(|shared| wanted(&shared.terms) && shared.client.has_room())?;
        let idle = shared
            .idle_since
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Some((shared.client.clone(), idle))
    }

    /// Whether there is a connection on such terms, with room or not.
    pub(crate) fn any(&self, wanted: impl Fn(&T) -> bool) -> bool {
        self.known.borrow().iter().any(|shared| wanted(&shared.terms))
    }

    /// Adds a new one.
    pub(crate) fn add(&self, client: Client, terms: T) {
        self.known.borrow_mut().push(Shared { client, terms, idle_since: None });
    }

    /// Lets go those whose terms do not hold any more; each closes when its last stream has ended.
    pub(crate) fn retain(&self, holds: impl Fn(&T) -> bool) {
        self.known.borrow_mut().retain(|shared| holds(&shared.terms));
    }

    /// Lets go what has ended, and what had no stream for too long; the latter closes in order. Gives
    /// how many are left without a stream.
    pub(crate) fn sweep(&self, now: Instant, idle_timeout: Duration) -> usize {
        let mut known = self.known.borrow_mut();
        known.retain_mut(|shared| {
            if shared.client.open_streams() > 0 {
                shared.idle_since = None;
                return !shared.client.is_closed();
            }
            let since = *shared.idle_since.get_or_insert(now);
            now.saturating_duration_since(since) < idle_timeout && !shared.client.is_closed()
        });
        known.iter().filter(|shared| shared.idle_since.is_some()).count()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.borrow().len()
    }

    /// Lets go all; each closes when its last stream has ended.
    pub(crate) fn clear(&self) {
        self.known.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests;
