//! TCP routes: bytes both ways, no HTTP.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use weft_http::io::Io;
use weft_model::id::{PolicyId, RouteId};
use weft_model::outcome::Reason;
use weft_model::route::TcpRoute;
use weft_net::Inbox;
use weft_net::copy::{CopyCounters, CopyEnd, CopyLimits, Deadline, Side, copy};
use weft_resilience::pick;
use weft_runtime::drain::Phase;
use weft_runtime::{Watchdog, time};
use weft_upstream::{Ask, Backend, Lease, Tried};

use crate::connection::Connection;
use crate::metrics::Refused;
use crate::plain::{Disguised, Plain};
use crate::request::Scope;
use crate::runtime::TargetRuntime;
use crate::tcp_record::{End, TcpRecord};

/// Connections of TCP routes on which nothing moves for so long are closed, where no policy says
/// otherwise; long, because databases and message brokers keep them for hours.
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
    /// The application is vouched for the fields of requests: none may pass as mere bytes.
    pub(crate) is_guarded: bool,
    /// What will be written down of it.
    pub(crate) record: TcpRecord,
}

/// A connection for a TCP route.
pub(crate) struct Upstream {
    io: Io,
    lease: Lease,
    route: RouteId,
    _permit: Permit,
}

/// How long the bytes of a connection may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Without any in either direction.
    idle_timeout: Duration,
    /// At all; `None` is for ever.
    age_max: Option<Duration>,
    /// After the end of one direction; `None` is for ever.
    termination_delay: Option<Duration>,
}

/// Why there is no connection for a TCP route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreached {
    pub(crate) reason: Reason,
    /// The same in words.
    pub(crate) detail: Box<str>,
    /// The endpoint that was tried last.
    pub(crate) upstream: Option<SocketAddr>,
}

/// What became of the bytes of a connection.
pub(crate) struct Relayed {
    /// Bytes from the client.
    pub(crate) forth: u64,
    /// Bytes to the client.
    pub(crate) back: u64,
    pub(crate) end: End,
    /// In words what went wrong.
    pub(crate) detail: Option<Box<str>>,
}

/// Serves a connection that a TCP route takes.
pub(crate) async fn serve(conn: Rc<Connection>, stream: Stream) {
    let worker = conn.worker.clone();
    let Stream { route, mut io, inbox, upstream, from_upstream, is_guarded, mut record } = stream;
    worker.metrics.tcp_connections.inc();
    record.route = Some(route.id.clone());
    // It may have been made for another route, when less was known.
    let upstream = match upstream.filter(|upstream| upstream.route == route.id) {
        Some(upstream) => upstream,
        None => match connect(&conn, &route).await {
            Ok(upstream) => upstream,
            Err(why) => {
                if conn.meant().is_some() {
                    reset(&mut io);
                }
                let end = record.unreached(why);
                return record.end(&conn, end);
            }
        },
    };
    record.reached(&upstream.lease);
    let watchdog = std::future::poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let scope = Scope { conn: &conn, watchdog: &watchdog };
    let early = (inbox.bytes().to_vec(), from_upstream.bytes().to_vec());
    drop((inbox, from_upstream));
    let from = if is_guarded { Plain::guarded(io) } else { Plain::open(io) };
    let Upstream { io: to, lease, .. } = upstream;
    let bounds = Bounds::of(&lease);
    let relayed = relay(&scope, (from, early.0), (to, early.1), bounds).await;
    worker.metrics.tcp_bytes.add(relayed.forth + relayed.back);
    drop(lease);
    (record.received_bytes, record.sent_bytes) = (relayed.forth, relayed.back);
    record.detail = relayed.detail;
    record.end(&conn, relayed.end);
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
        return Err(Unreached::because(Reason::Forbidden, "not on the allow list"));
    }
    let permit = permit(conn, route, ip).map_err(|()| {
        tracing::info!(client = %conn.client, route = %route.id, "too many connections");
        Unreached::because(Reason::InFlightLimited, "too many connections")
    })?;
    let backend = backend(conn, route)?;
    let (lease, io) = dial(conn, route, &backend).await?;
    Ok(Upstream { io, lease, route: route.id.clone(), _permit: permit })
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
                let index =
                    weighted.picker.pick(&*weighted, &pick::Ask::new(worker.now()), &worker.rng);
                let index = index.ok_or_else(|| {
                    Unreached::because(Reason::InvalidBackend, "all weights are 0")
                })?;
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
                return Err(Unreached::because(refusal.reason, &**detail));
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
    let mut tried = Tried::default();
    let mut last = Unreached::because(Reason::NoEndpoint, "no endpoint");
    let attempts = if backend.is_dialled() { 1 } else { ATTEMPTS_MAX };
    for _ in 0..attempts {
        let now = worker.now();
        let picked = match backend.is_dialled() {
            true => Ok(backend.pick_addr_stream(now, conn.local)),
            false => {
                // All that a connection of bytes has to be told by is where it comes from.
                let is_keyed = backend.settings().calling.picker.is_keyed();
                let key = is_keyed.then(|| conn.client_key());
                backend.pick_stream(&Ask { key, ..Ask::new(now, &tried) }, &worker.rng)
            }
        };
        let lease = match picked {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(client = %conn.client, route = %route.id, %error, "no endpoint");
                if tried.is_empty() {
                    last = Unreached::because(error.reason(), error.to_string());
                }
                return Err(last);
            }
        };
        lease.on_behalf_of(conn.client, conn.local);
        match lease.dial_stream(&worker.buffers, "").await {
            Ok(io) => return Ok((lease, io)),
            Err(error) => {
                let addr = lease.endpoint().addr();
                let reason = error.reason();
                let error = crate::attempt::describe(&error);
                let why = reason.label();
                tracing::warn!(client = %conn.client, route = %route.id, %addr, why, error, "not reached");
                lease.failed(worker.now(), reason);
                tried.note(&lease);
                last = Unreached { upstream: Some(addr), ..Unreached::because(reason, error) };
            }
        }
    }
    Err(last)
}

/// Copies until both sides have ended; each side comes with bytes that were read from it already.
pub(crate) async fn relay(
    scope: &Scope<'_>,
    client: (Plain, Vec<u8>),
    server: (Io, Vec<u8>),
    bounds: Bounds,
) -> Relayed {
    let (mut client, from_client) = client;
    let (mut server, from_server) = server;
    if let Err(disguised) = client.note(&from_client) {
        refuse_disguised(scope.conn, &disguised);
        reset(&mut client.io);
        let (end, detail) = (End::Because(Reason::BadRequest), Some(disguised.to_string().into()));
        return Relayed { forth: 0, back: 0, end, detail };
    }
    let counters = CopyCounters::default();
    let early = async {
        say(&mut server, &from_client).await.map_err(|error| (Side::Upstream, error))?;
        counters.to_upstream.set(from_client.len() as u64);
        say(&mut client.io, &from_server).await.map_err(|error| (Side::Downstream, error))?;
        counters.to_downstream.set(from_server.len() as u64);
        Ok(())
    };
    let limit = weft_model::listener::Limits::DEFAULT.body_idle_timeout;
    let early = time::timeout(limit, early).await;
    let Bounds { idle_timeout, age_max, termination_delay } = bounds;
    let limits = CopyLimits { idle_timeout: Some(idle_timeout), termination_delay };
    let mut patience = Patience { watchdog: scope.watchdog, conn: scope.conn };
    let pool = scope.conn.worker.buffers.pool();
    let end = match early {
        Ok(Ok(())) => {
            let copied = copy(&mut client, &mut server, pool, limits, &mut patience, &counters);
            match age_max {
                None => Some(copied.await),
                Some(age) => time::timeout(age, copied).await.ok(),
            }
        }
        Ok(Err((side, error))) => Some(CopyEnd::WriteFailed(side, error)),
        Err(time::Elapsed) => Some(CopyEnd::Idle),
    };
    let Some(end) = end else {
        let (forth, back) = (counters.to_upstream.get(), counters.to_downstream.get());
        return Relayed { forth, back, end: End::TooOld, detail: None };
    };
    if let CopyEnd::ReadFailed(side, error) | CopyEnd::WriteFailed(side, error) = &end {
        tracing::debug!(client = %scope.conn.client, ?side, %error, "a relayed connection broke");
        if let Some(disguised) = Disguised::of(error) {
            refuse_disguised(scope.conn, disguised);
        }
    }
    let is_broken = matches!(end, CopyEnd::ReadFailed(..) | CopyEnd::WriteFailed(..));
    if scope.conn.is_refused() || (is_broken && scope.conn.meant().is_some()) {
        // Two applications that were to notice nothing of us: what broke looks broken.
        reset(&mut client.io);
        reset(&mut server);
    }
    let (end, detail) = ended(scope.conn, &end);
    let (forth, back) = (counters.to_upstream.get(), counters.to_downstream.get());
    Relayed { forth, back, end, detail }
}

async fn say(io: &mut Io, bytes: &[u8]) -> std::io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

/// How it ended, and in words what went wrong.
fn ended(conn: &Connection, end: &CopyEnd) -> (End, Option<Box<str>>) {
    match end {
        CopyEnd::Finished { .. } | CopyEnd::Termination { .. } => (End::Closed, None),
        CopyEnd::Idle if conn.worker.phase() == Phase::Forced => {
            (End::Because(Reason::Draining), None)
        }
        CopyEnd::Idle if conn.is_refused() => {
            let detail = "the destination was closed to its caller";
            (End::Because(Reason::Forbidden), Some(detail.into()))
        }
        CopyEnd::Idle => (End::IdleTimeout, None),
        CopyEnd::ReadFailed(side, error) | CopyEnd::WriteFailed(side, error) => {
            let end = match (Disguised::of(error), side) {
                (Some(_), _) => End::Because(Reason::BadRequest),
                (None, Side::Downstream) => End::ClientReset,
                (None, Side::Upstream) => End::Because(Reason::UpstreamReset),
            };
            (end, Some(error.to_string().into()))
        }
    }
}

fn refuse_disguised(conn: &Connection, why: &Disguised) {
    conn.worker.metrics.mesh.refused(Refused::Disguised);
    tracing::warn!(client = %conn.client, destination = conn.service(), %why, "a connection was reset");
}

// === impl Stream ===

impl Stream {
    /// One of which nothing is known but what was read of it.
    pub(crate) fn new(conn: &Connection, route: Arc<TcpRoute>, io: Io, inbox: Inbox) -> Self {
        let from_upstream = Inbox::new(inbox.pool());
        let record = TcpRecord::new(conn.worker.now());
        Self { route, io, inbox, upstream: None, from_upstream, is_guarded: false, record }
    }
}

// === impl Unreached ===

impl Unreached {
    fn because(reason: Reason, detail: impl Into<Box<str>>) -> Self {
        Self { reason, detail: detail.into(), upstream: None }
    }
}

// === impl Bounds ===

impl Bounds {
    /// What the backend's settings say.
    fn of(lease: &Lease) -> Self {
        let settings = lease.backend().settings();
        let pool = &settings.calling.pool;
        Self {
            idle_timeout: pool.tcp_idle_timeout.unwrap_or(IDLE_TIMEOUT),
            age_max: pool.connection_age_max,
            termination_delay: settings.termination_delay,
        }
    }
}

impl Default for Bounds {
    /// Hours without a byte.
    fn default() -> Self {
        Self { idle_timeout: IDLE_TIMEOUT, age_max: None, termination_delay: None }
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
        if forced || self.conn.is_refused() || self.watchdog.expired() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
