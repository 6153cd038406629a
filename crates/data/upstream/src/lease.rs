//! A request's hold on one endpoint.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use weft_http::h1::Conn;
use weft_model::mesh::Peer;
use weft_resilience::load::Pending;
use weft_resilience::outlier::Signal;

use crate::backend::Backend;
use crate::endpoint::Endpoint;

/// Endpoints that a request has tried already. By address: positions change while it runs.
#[derive(Debug, Clone, Default)]
pub struct Tried(SmallVec<[SocketAddr; 2]>);

/// One endpoint, picked for one attempt. Counts as load until it is dropped.
#[derive(Debug)]
pub struct Lease {
    pub(crate) backend: Rc<Backend>,
    pub(crate) endpoint: Rc<Endpoint>,
    pub(crate) started: Instant,
    pub(crate) _pending: Pending,
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The endpoint answered with this status after so long.
    Answered {
        /// Status.
        status: u16,
        /// To the response head.
        latency: Duration,
    },
    /// The endpoint could not be reached, broke the connection or did not answer in time.
    Failed,
    /// Nothing can be said of the endpoint (the client went away, say).
    Unknown,
}

// === impl Tried ===

impl Tried {
    /// Notes that a lease's endpoint was tried.
    pub fn note(&mut self, lease: &Lease) {
        let addr = lease.endpoint.addr();
        if !self.0.contains(&addr) {
            self.0.push(addr);
        }
    }

    /// Whether none was tried.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, endpoint: &Endpoint) -> bool {
        self.0.contains(&endpoint.addr())
    }

    /// Where those that were tried are among these now.
    pub(crate) fn positions(&self, endpoints: &[Rc<Endpoint>]) -> SmallVec<[usize; 4]> {
        if self.is_empty() {
            return SmallVec::new();
        }
        let all = endpoints.iter().enumerate();
        all.filter(|(_, endpoint)| self.contains(endpoint)).map(|(index, _)| index).collect()
    }
}

// === impl Lease ===

impl Lease {
    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The proxy through which the endpoint is reached, if there is one.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.endpoint.peer()
    }

    /// The backend.
    pub fn backend(&self) -> &Rc<Backend> {
        &self.backend
    }

    /// When it was picked.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Feeds an outcome back to the picker and to passive health.
    pub fn report(&self, now: Instant, report: Report) {
        let signal = match report {
            Report::Unknown => return,
            Report::Failed => Signal::ConnectionFailure,
            Report::Answered { status, latency } => {
                self.endpoint.latency.observe(now, latency);
                if status >= 500 { Signal::ServerError } else { Signal::Success }
            }
        };
        self.signal(now, signal);
    }

    /// Feeds what was seen of the endpoint to passive health.
    pub(crate) fn signal(&self, now: Instant, signal: Signal) {
        if let Some(outlier) = &self.backend.outlier
            && let Some(ejection) = outlier.record(&self.endpoint.shared.passive, now, signal)
        {
            let backend = &self.backend.settings.id;
            tracing::warn!(%backend, endpoint = %self.endpoint.addr, ?ejection, "set aside");
        }
    }

    /// Keeps the connection of a completed exchange for its next use.
    pub fn give_back(&self, now: Instant, conn: Box<Conn>) {
        // Whether the peer has closed it meanwhile is looked at when it is taken. Bytes after an
        // answer are nobody's; the next request must not take them for its own.
        if conn.is_reusable() && !conn.has_unread() && !self.backend.is_retired() {
            let idle_max = self.backend.settings.pool.idle_per_endpoint_max as usize;
            self.endpoint.pool.give(now, conn, idle_max);
        }
    }

    /// The peer said how long it keeps idle connections (`Keep-Alive: timeout=`).
    pub fn hint_idle(&self, timeout: Duration) {
        self.endpoint.pool.hint(timeout);
    }

    /// A reused connection broke before it gave any byte of an answer.
    pub fn stale(&self, idle: Duration) {
        self.endpoint.pool.observe_close(idle);
    }

    /// A reused connection gave an answer after it had been idle for so long.
    pub fn alive(&self, idle: Duration) {
        self.endpoint.pool.observe_alive(idle);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.cells.in_flight.dec();
    }
}
