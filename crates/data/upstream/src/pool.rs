//! Connections to one endpoint, of one worker: HTTP/1.1 while they are idle, HTTP/2 while they are
//! open.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use weft_http::h1::Conn;
use weft_http::h2::Client;
use weft_model::calling::{Calling, PoolSettings};
use weft_resilience::idle::LearnedIdle;

use crate::bound::Place;

/// Idle HTTP/1.1 connections, the most recently used at the back.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<VecDeque<Idle>>,
    learned: LearnedIdle,
}

/// What is known of an HTTP/1.1 connection besides; goes with it from request to request.
#[derive(Debug)]
pub(crate) struct Papers {
    made: Instant,
    requests: u32,
    /// Where it counts.
    _places: Places,
}

/// A connection counts at its endpoint and at the backend.
pub(crate) type Places = [Place; 2];

/// How long connections are used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reuse {
    /// Without a request.
    pub(crate) idle_timeout: Duration,
    /// At all.
    pub(crate) age_max: Option<Duration>,
    /// Requests on one.
    pub(crate) requests_max: u32,
    /// Streams at one time on one of HTTP/2.
    pub(crate) streams_max: usize,
}

#[derive(Debug)]
struct Idle {
    conn: Box<Conn>,
    papers: Papers,
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
    made: Instant,
    requests: u32,
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
        reuse: &Reuse,
    ) -> Option<(Box<Conn>, Papers, Duration)> {
        let mut idle = self.idle.borrow_mut();
        let safe_age = self.learned.safe_age(replayable, reuse.idle_timeout);
        while let Some(mut entry) = idle.pop_back() {
            let age = now.saturating_duration_since(entry.since);
            if age > safe_age {
                // What is left is older still, but may serve a request that can be replayed.
                idle.push_back(entry);
                return None;
            }
            if reuse.is_over(now, entry.papers.made, entry.papers.requests) {
                continue;
            }
            if entry.conn.is_quiet() {
                return Some((entry.conn, entry.papers, age));
            }
            self.observe_close(age);
        }
        None
    }

    /// Keeps a connection after a request for its next use, unless that was its last.
    pub(crate) fn give(
        &self,
        now: Instant,
        (conn, mut papers): (Box<Conn>, Papers),
        idle_max: usize,
        reuse: &Reuse,
    ) {
        papers.requests = papers.requests.saturating_add(1);
        if idle_max == 0 || reuse.is_over(now, papers.made, papers.requests) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= idle_max {
            idle.pop_front();
        }
        idle.push_back(Idle { conn, papers, since: now });
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
    pub(crate) fn sweep(&self, now: Instant, reuse: &Reuse) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|entry| {
            let age = now.saturating_duration_since(entry.since);
            if !entry.conn.is_quiet() {
                self.observe_close(age);
                return false;
            }
            if age >= reuse.idle_timeout {
                // Ours to close; the peer would have waited longer.
                self.observe_alive(age);
                return false;
            }
            !reuse.is_over(now, entry.papers.made, entry.papers.requests)
        });
    }

    /// Drops the one that has been idle for the longest time, except for so many of the others.
    /// False when there is none.
    pub(crate) fn give_way(&self, kept: usize) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.len() > kept && idle.pop_front().is_some()
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
        reuse: &Reuse,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<(Client, Duration)> {
        let mut known = self.known.borrow_mut();
        known.retain_mut(|shared| !shared.client.is_closed() && !shared.is_over(now, reuse));
        let shared = known.iter_mut().find(|shared| {
            let open = shared.client.open_streams();
            wanted(&shared.terms) && shared.client.has_room() && open < reuse.streams_max
        })?;
        shared.requests = shared.requests.saturating_add(1);
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

    /// Adds a new one, which is taken for a request.
    pub(crate) fn add(&self, now: Instant, client: Client, terms: T) {
        let shared = Shared { client, terms, made: now, requests: 1, idle_since: None };
        self.known.borrow_mut().push(shared);
    }

    /// Waits until a stream may be opened on one of those that are in use to the full, or none of
    /// them is left. It says nothing of the bound on streams that is ours.
    ///
    /// Cancel safe.
    pub(crate) async fn room(&self) {
        let is_full = |client: &Client| !client.has_room() && !client.is_closed();
        let mut clients: Vec<Client> = self
            .known
            .borrow()
            .iter()
            .filter(|shared| is_full(&shared.client))
            .map(|shared| shared.client.clone())
            .collect();
        if clients.is_empty() {
            std::future::pending::<()>().await;
        }
        poll_fn(|cx| {
            let is_ready = |client: &mut Client| client.poll_ready(cx).is_ready();
            if clients.iter_mut().any(is_ready) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Lets one go that has no stream. False when there is none.
    pub(crate) fn give_way(&self) -> bool {
        let mut known = self.known.borrow_mut();
        let idle = known.iter().position(|shared| shared.client.open_streams() == 0);
        idle.map(|index| known.remove(index)).is_some()
    }

    /// Lets go those whose terms do not hold any more; each closes when its last stream has ended.
    pub(crate) fn retain(&self, holds: impl Fn(&T) -> bool) {
        self.known.borrow_mut().retain(|shared| holds(&shared.terms));
    }

    /// Lets go what has ended, and what had no stream for too long; the latter closes in order. Gives
    /// how many are left without a stream.
    pub(crate) fn sweep(&self, now: Instant, reuse: &Reuse) -> usize {
        let mut known = self.known.borrow_mut();
        known.retain_mut(|shared| {
            if shared.is_over(now, reuse) {
                return false;
            }
            if shared.client.open_streams() > 0 {
                shared.idle_since = None;
                return !shared.client.is_closed();
            }
            let since = *shared.idle_since.get_or_insert(now);
            let idle = now.saturating_duration_since(since);
            idle < reuse.idle_timeout && !shared.client.is_closed()
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

// === impl Shared ===

impl<T> Shared<T> {
    /// Whether it takes no request any more; it closes when its last stream has ended.
    fn is_over(&self, now: Instant, reuse: &Reuse) -> bool {
        reuse.is_over(now, self.made, self.requests)
    }
}

// === impl Papers ===

impl Papers {
    /// Of a connection that has just been made.
    pub(crate) fn new(now: Instant, places: Places) -> Self {
        Self { made: now, requests: 0, _places: places }
    }

    /// Requests before the present one.
    pub(crate) const fn requests(&self) -> u32 {
        self.requests
    }
}

// === impl Reuse ===

impl Reuse {
    /// What the settings say. A connection that begins with whom it is for serves nobody else.
    pub(crate) fn of(calling: &Calling) -> Self {
        let PoolSettings {
            connect_timeout: _,
            idle_per_endpoint_max: _,
            idle_timeout,
            tcp_idle_timeout: _,
            response_head_timeout: _,
            requests_per_connection_max,
            connection_age_max,
            h2_streams_max,
            keep_alive: _,
            h2_keep_alive: _,
        } = calling.pool;
        let or_unbounded = |max: u32| if max == 0 { u32::MAX } else { max };
        Self {
            idle_timeout,
            age_max: connection_age_max,
            requests_max: match calling.proxy_protocol {
                Some(_) => 1,
                None => or_unbounded(requests_per_connection_max),
            },
            streams_max: or_unbounded(h2_streams_max) as usize,
        }
    }

    /// For as long as they are used now and then.
    pub(crate) const fn until_idle(idle_timeout: Duration) -> Self {
        let (requests_max, streams_max) = (u32::MAX, usize::MAX);
        Self { idle_timeout, age_max: None, requests_max, streams_max }
    }

    /// Whether a connection takes more than the request that it is made for.
    pub(crate) fn is_shared(&self) -> bool {
        self.requests_max > 1
    }

    /// Whether a connection made then, after so many requests, takes no more.
    fn is_over(&self, now: Instant, made: Instant, requests: u32) -> bool {
        let is_old = |max| now.saturating_duration_since(made) >= max;
        requests >= self.requests_max || self.age_max.is_some_and(is_old)
    }
}

#[cfg(test)]
mod tests;
