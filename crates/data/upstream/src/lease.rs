//! A request's hold on one endpoint.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use weft_http::h1::Conn;
use weft_model::calling::ProxyVersion;
use weft_model::mesh::Peer;
use weft_resilience::adaptive::AdaptivePermit;
use weft_resilience::inflight::Permit;
use weft_resilience::load::Pending;

use crate::backend::Backend;
use crate::behalf::Behalf;
use crate::endpoint::Endpoint;
use crate::hear::Heard;
use crate::pool::Papers;

/// A connection that is wanted by others as well is handed over from request to request this often
/// before it gives way: the line here is not that of all workers.
const HAND_OVERS_MAX: u32 = 32;

/// Endpoints that a request has tried already. By address: positions change while it runs.
#[derive(Debug, Clone, Default)]
pub struct Tried(SmallVec<[SocketAddr; 2]>);

/// One endpoint, picked for one attempt. Counts as load until it is dropped, and so does the
/// connection that was got from it.
pub struct Lease {
    pub(crate) backend: Rc<Backend>,
    pub(crate) endpoint: Rc<Endpoint>,
    pub(crate) started: Instant,
    /// Of the HTTP/1.1 connection in use.
    pub(crate) papers: Cell<Option<Papers>>,
    /// Whether it uses a connection that others use, too.
    pub(crate) shares: Cell<bool>,
    /// Whether it waits for a connection where no more may be made.
    pub(crate) queues: Cell<bool>,
    /// For whom it is, where the backend wants to be told.
    pub(crate) behalf: OnceCell<Box<Behalf>>,
    pub(crate) heard: Cell<Heard>,
    pub(crate) adaptive: Cell<Option<AdaptivePermit>>,
    pub(crate) _permits: Permits,
    pub(crate) _pending: Pending,
}

/// What counts at the backend, at the endpoint, and there as a retry, under the bounds on requests.
pub(crate) type Permits = [Option<Permit>; 3];

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

    /// Says for whom connections are: a client, and the address that it has dialled. Backends with
    /// the PROXY protocol are told in front of all else, and each connection serves one request.
    pub fn on_behalf_of(&self, client: SocketAddr, dialled: SocketAddr) {
        if self.introduces().is_some() {
            self.behalf.get_or_init(|| Box::new(Behalf { client, dialled }));
        }
    }

    /// In which version connections begin with whom they are for.
    pub(crate) fn introduces(&self) -> Option<ProxyVersion> {
        self.backend.settings.calling.proxy_protocol
    }

    /// Keeps the connection of a completed exchange for its next use.
    pub fn give_back(&self, now: Instant, conn: Box<Conn>) {
        let Some(papers) = self.papers.take() else { return };
        // Whether the peer has closed it meanwhile is looked at when it is taken. Bytes after an
        // answer are nobody's; the next request must not take them for its own.
        let is_fit = conn.is_reusable() && !conn.has_unread() && !self.backend.is_retired();
        if is_fit && !self.gives_way(&papers) {
            let idle_max = self.backend.settings.calling.pool.idle_per_endpoint_max as usize;
            self.endpoint.pool.give(now, (conn, papers), idle_max, &self.backend.reuse);
            self.endpoint.line.call();
        }
    }

    /// Whether the connection is to be closed so that somebody else may make one.
    fn gives_way(&self, papers: &Papers) -> bool {
        let gates = [
            &self.endpoint.shared.under_way.connections,
            &self.backend.shared.under_way.connections,
        ];
        let wanted: u32 = gates.iter().map(|gate| gate.wanted()).sum();
        let here = self.endpoint.line.waiting();
        let is_last = papers.requests() % HAND_OVERS_MAX == HAND_OVERS_MAX - 1;
        wanted > here && (here == 0 || is_last)
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

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("endpoint", &self.endpoint.addr).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.cells.in_flight.dec();
        if self.shares.get() {
            // Its stream ends with it, and leaves room for another one.
            self.endpoint.line.call();
        }
    }
}
