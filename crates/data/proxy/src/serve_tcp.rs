//! TCP routes: bytes both ways, no HTTP.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use weft_http::io::Io;
use weft_model::backend::ProxyVersion;
use weft_model::id::{PolicyId, RouteId};
use weft_model::outcome::{Fault, Reason};
use weft_model::route::TcpRoute;
use weft_net::Inbox;
use weft_net::copy::{CopyCounters, CopyEnd, CopyLimits, Deadline, copy};
use weft_net::proxy_protocol::{write_v1, write_v2};
use weft_runtime::drain::Phase;
use weft_runtime::{Watchdog, time};
use weft_upstream::{Backend, Lease, Report, Tried};

use crate::connection::Connection;
use crate::request::Scope;
use crate::runtime::TargetRuntime;

/// Connections of TCP routes on which nothing moves for so long are closed; long, because
/// databases and message brokers keep them for hours.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// How many endpoints are tried for one connection.
const ATTEMPTS_MAX: usize = 3;

/// A deadline on the watchdog of the connection's task.
struct Patience<'a> {
    watchdog: &'a Watchdog,
    conn: &'a Connection,
}

/// A connection that a TCP route takes.
pub(crate) struct Stream {
    pub(crate) route: Arc<TcpRoute>,
    pub(crate) io: Io,
    /// What was read of it already.
    pub(crate) inbox: Inbox,
    /// Where it goes, if that was found out on the way.
    pub(crate) upstream: Option<Upstream>,
    /// What was read from there already.
    pub(crate) from_upstream: Inbox,
}

/// A connection for a TCP route.
pub(crate) struct Upstream {
    io: Io,
    lease: Lease,
    route: RouteId,
    termination_delay: Option<Duration>,
    _permit: Permit,
}

/// Why there is no connection for a TCP route. It was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreached(pub(crate) Reason);

/// Serves a connection that a TCP route takes.
pub(crate) async fn serve(conn: Rc<Connection>, stream: Stream) {
    let worker = conn.worker.clone();
    let Stream { route, mut io, inbox, upstream, from_upstream } = stream;
    worker.metrics.tcp_connections.inc();
    // It may have been made for another route, when less was known.
    let upstream = match upstream.filter(|upstream| upstream.route == route.id) {
        Some(upstream) => upstream,
        None => match connect(&conn, &route).await {
            Ok(upstream) => upstream,
            Err(Unreached(_)) if conn.meant().is_some() => return reset(&mut io),
            Err(Unreached(_)) => return,
        },
    };
    let watchdog = std::future::poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let scope = Scope { conn: &conn, watchdog: &watchdog };
    let early = (inbox.bytes().to_vec(), from_upstream.bytes().to_vec());
    drop((inbox, from_upstream));
    let Upstream { io: to, lease, termination_delay, .. } = upstream;
    let (forth, back) = relay(&scope, (io, early.0), (to, early.1), termination_delay).await;
    worker.metrics.tcp_bytes.add(forth + back);
    drop(lease);
}

/// Makes the connection that a TCP route asks for, if the client may have it.
///
/// Cancel safe: dropping it closes what was begun.
pub(crate) async fn connect(
    conn: &Connection,
    route: &Arc<TcpRoute>,
) -> Result<Upstream, Unreached> {
    let ip = conn.client.ip();
    if !route.allow.is_empty() && !route.allow.iter().any(|net| net.contains(&ip)) {
        tracing::info!(client = %conn.client, route = %route.id, "not on the allow list");
        return Err(Unreached(Reason::Forbidden));
    }
    let permit = permit(conn, route, ip).map_err(|()| {
        tracing::info!(client = %conn.client, route = %route.id, "too many connections");
        Unreached(Reason::InFlightLimited)
    })?;
    let backend = backend(conn, route)?;
    let (lease, io) = dial(conn, route, &backend).await?;
    let termination_delay = backend.settings().termination_delay;
    Ok(Upstream { io, lease, route: route.id.clone(), termination_delay, _permit: permit })
}

/// Closes a connection so that its client sees that something failed, not an end in order.
pub(crate) fn reset(io: &mut Io) {
    if let Io::Tcp(tcp) = io {
        // Refused only for a socket that is gone already.
        let _ = tcp.set_zero_linger();
    }
    // Streams inside of another connection are reset when they are dropped before their end.
}

type Permit = Option<weft_resilience::inflight::KeyedPermit>;

fn permit(conn: &Connection, route: &TcpRoute, ip: IpAddr) -> Result<Permit, ()> {
    let Some(max) = route.in_flight_max else { return Ok(None) };
    let id = PolicyId::new(format!("in-flight@{}", route.id));
    let limit = conn.worker.live.in_flight(&id, max);
    limit.acquire(ip.to_string().as_bytes()).map(Some).map_err(|_| ())
}

fn backend(conn: &Connection, route: &TcpRoute) -> Result<Rc<Backend>, Unreached> {
    let worker = &conn.worker;
    let known = worker.tcp_targets.borrow().get(&route.id).cloned();
    let mut target = known.unwrap_or_else(|| {
        let target = TargetRuntime::new(worker, &route.target);
        worker.tcp_targets.borrow_mut().insert(route.id.clone(), target.clone());
        target
    });
    loop {
        target = match target {
            TargetRuntime::Backend(backend) => return Ok(backend),
            TargetRuntime::Weighted(weighted) => {
                let index = weighted.picker.pick(&*weighted, None, &[], &worker.rng);
                let index = index.ok_or(Unreached(Reason::InvalidBackend))?;
                weighted.choices[index].target.clone()
            }
            TargetRuntime::Mirror(main, _) => (*main).clone(),
            TargetRuntime::Failover(main, plan) => {
                if main.is_available(worker) {
                    (*main).clone()
                } else {
                    plan.target.clone()
                }
            }
            TargetRuntime::Refuse(refusal) => {
                let detail = &refusal.detail;
                tracing::warn!(client = %conn.client, route = %route.id, %detail, "refused");
                return Err(Unreached(refusal.reason));
            }
        };
    }
}

async fn dial(
    conn: &Connection,
    route: &TcpRoute,
    backend: &Rc<Backend>,
) -> Result<(Lease, Io), Unreached> {
    let worker = &conn.worker;
    let first = proxy_header(conn, backend.settings().proxy_protocol);
    let mut tried = Tried::default();
    let mut reason = Reason::NoEndpoint;
    let attempts = if backend.is_dialled() { 1 } else { ATTEMPTS_MAX };
    for _ in 0..attempts {
        let picked = match backend.is_dialled() {
            true => Ok(backend.pick_addr(worker.now(), conn.local)),
            false => backend.pick(worker.now(), &worker.rng, None, &tried),
        };
        let lease = match picked {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(client = %conn.client, route = %route.id, %error, "no endpoint");
                return Err(Unreached(if tried.is_empty() { error.reason() } else { reason }));
            }
        };
        match lease.dial_stream(&worker.buffers, "", &first).await {
            Ok(io) => return Ok((lease, io)),
            Err(error) => {
                let addr = lease.endpoint().addr();
                reason = error.reason();
                let error = crate::attempt::describe(&error);
                let why = reason.label();
                tracing::warn!(client = %conn.client, route = %route.id, %addr, why, error, "not reached");
                let ours = reason.fault() != Fault::Upstream;
                lease.report(worker.now(), if ours { Report::Unknown } else { Report::Failed });
                tried.note(&lease);
            }
        }
    }
    Err(Unreached(reason))
}

fn proxy_header(conn: &Connection, version: Option<ProxyVersion>) -> Vec<u8> {
    let mut out = Vec::new();
    match version {
        None => {}
        Some(ProxyVersion::V1) => write_v1(conn.client, conn.local, &mut out),
        Some(ProxyVersion::V2) => write_v2(conn.client, conn.local, &mut out),
    }
    out
}

/// Copies until both sides have ended; each side comes with bytes that were read from it already.
/// Gives the bytes that went forth and back.
pub(crate) async fn relay(
    scope: &Scope<'_>,
    client: (Io, Vec<u8>),
    server: (Io, Vec<u8>),
    termination_delay: Option<Duration>,
) -> (u64, u64) {
    let (mut client, from_client) = client;
    let (mut server, from_server) = server;
    let counters = CopyCounters::default();
    let early = async {
        server.write_all(&from_client).await?;
        server.flush().await?;
        client.write_all(&from_server).await?;
        client.flush().await
    };
    let limit = weft_model::listener::Limits::DEFAULT.body_idle_timeout;
    if !matches!(time::timeout(limit, early).await, Ok(Ok(()))) {
        return (0, 0);
    }
    let limits = CopyLimits { idle_timeout: Some(IDLE_TIMEOUT), termination_delay };
    let mut patience = Patience { watchdog: scope.watchdog, conn: scope.conn };
    let pool = scope.conn.worker.buffers.pool();
    let end = copy(&mut client, &mut server, pool, limits, &mut patience, &counters).await;
    if let CopyEnd::ReadFailed(side, error) | CopyEnd::WriteFailed(side, error) = &end {
        tracing::debug!(client = %scope.conn.client, ?side, %error, "a relayed connection broke");
        if scope.conn.meant().is_some() {
            // Two applications that were to notice nothing of us: what broke looks broken.
            reset(&mut client);
            reset(&mut server);
        }
    }
    let early = (from_client.len() as u64, from_server.len() as u64);
    (counters.to_upstream.get() + early.0, counters.to_downstream.get() + early.1)
}

// === impl Stream ===

impl Stream {
    /// One of which nothing is known but what was read of it.
    pub(crate) fn new(route: Arc<TcpRoute>, io: Io, inbox: Inbox) -> Self {
        let from_upstream = Inbox::new(inbox.pool());
        Self { route, io, inbox, upstream: None, from_upstream }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Looks for bytes that the server sends before it was sent any.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
    ) -> Poll<std::io::Result<usize>> {
        inbox.poll_fill(cx, &mut self.io)
    }
}

// === impl Patience ===

impl Deadline for Patience<'_> {
    fn arm(&mut self, after: Duration) {
        self.watchdog.arm(after);
    }

    fn poll_expired(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        let forced = self.conn.worker.phase() == Phase::Forced;
        if forced || self.watchdog.expired() { Poll::Ready(()) } else { Poll::Pending }
    }
}
