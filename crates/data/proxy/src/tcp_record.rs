//! What is written down of a connection that is not HTTP, once it has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_model::id::RouteId;
use weft_model::mesh::{Peer, Protocol};
use weft_model::outcome::Reason;
use weft_upstream::Lease;

use crate::accept::NotOpened;
use crate::connection::Connection;
use crate::metrics::Outcome;
use crate::serve_tcp::Unreached;

/// What is known of such a connection.
#[derive(Debug)]
pub(crate) struct TcpRecord {
    pub(crate) began: Instant,
    /// What it speaks, if somebody has found out, and how long that took.
    pub(crate) heard: Option<(Outcome, Duration)>,
    /// The server name that its TLS asks for.
    pub(crate) host: Option<Box<str>>,
    pub(crate) route: Option<RouteId>,
    /// The endpoint.
    pub(crate) upstream: Option<SocketAddr>,
    /// The proxy before the endpoint.
    pub(crate) upstream_peer: Option<Arc<Peer>>,
    /// From the client.
    pub(crate) received_bytes: u64,
    /// To the client.
    pub(crate) sent_bytes: u64,
    /// In words what went wrong.
    pub(crate) detail: Option<Box<str>>,
}

/// How such a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In order, by both sides.
    Closed,
    /// The client broke it.
    ClientReset,
    /// Nothing moved on it for too long.
    IdleTimeout,
    /// It was open for as long as one may be.
    TooOld,
    /// The client closed it before anybody had said anything.
    Silent,
    /// As requests may end, too.
    Because(Reason),
}

// === impl TcpRecord ===

impl TcpRecord {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            began,
            heard: None,
            host: None,
            route: None,
            upstream: None,
            upstream_peer: None,
            received_bytes: 0,
            sent_bytes: 0,
            detail: None,
        }
    }

    /// Takes down where it goes.
    pub(crate) fn reached(&mut self, lease: &Lease) {
        self.upstream = Some(lease.endpoint().addr());
        self.upstream_peer = lease.peer().cloned();
    }

    /// Takes down why it goes nowhere.
    pub(crate) fn unreached(&mut self, why: Unreached) -> End {
        let Unreached { reason, detail, upstream } = why;
        (self.upstream, self.detail) = (upstream, Some(detail));
        End::Because(reason)
    }

    /// Writes it down: the connection has ended.
    pub(crate) fn end(self, conn: &Connection, end: End) {
        if let Some(log) = &conn.worker.log {
            let duration = conn.worker.now().saturating_duration_since(self.began);
            log.connection(conn, &self, end, duration);
        }
    }

    /// The same for one that was given up before anybody was found to serve it.
    pub(crate) fn end_unopened(mut self, conn: &Connection, error: &NotOpened) {
        let end = match error {
            // It may have been opened ahead of a request that never came.
            NotOpened::Closed if speaks_http(conn) => return,
            NotOpened::Closed => End::Silent,
            NotOpened::TimedOut => End::IdleTimeout,
            NotOpened::Io(error) => {
                self.detail = Some(error.to_string().into());
                End::ClientReset
            }
            NotOpened::Refused(refusal) => {
                self.detail = Some((*refusal.detail).into());
                End::Because(refusal.reason)
            }
            NotOpened::NoServer(Some(why)) => self.unreached(why.clone()),
            NotOpened::NoServer(None) => {
                self.detail = Some("the server closed it without a word".into());
                End::Because(Reason::UpstreamReset)
            }
            other => {
                self.detail = Some(other.to_string().into());
                End::Because(Reason::NoRoute)
            }
        };
        self.end(conn, end);
    }
}

/// Whether nothing else is expected there.
fn speaks_http(conn: &Connection) -> bool {
    let plan = conn.worker.plan();
    let listener = conn.listener_in(&plan);
    let destination = listener.and_then(|listener| listener.shared.destination());
    destination.is_some_and(|it| matches!(it.protocol, Protocol::Http | Protocol::Http2))
}

// === impl End ===

impl End {
    /// The word in the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientReset => "client_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::TooOld => "too_old",
            Self::Silent => "silent",
            Self::Because(reason) => reason.label(),
        }
    }
}
