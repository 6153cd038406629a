//! TCP routes: bytes both ways, no HTTP.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use weft_http::io::Io;
use weft_model::backend::ProxyVersion;
use weft_model::id::PolicyId;
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

/// Serves a connection that a TCP route takes. `inbox` holds what was read of it already.
pub(crate) async fn serve(conn: Rc<Connection>, route: Arc<TcpRoute>, io: Io, inbox: Inbox) {
    let worker = conn.worker.clone();
    let ip = conn.client.ip();
    if !route.allow.is_empty() && !route.allow.iter().any(|net| net.contains(&ip)) {
        tracing::info!(client = %conn.client, route = %route.id, "not on the allow list");
        return;
    }
    let _permit = match permit(&conn, &route, ip) {
        Ok(permit) => permit,
        Err(()) => {
            tracing::info!(client = %conn.client, route = %route.id, "too many connections");
            return;
        }
    };
    worker.metrics.tcp_connections.inc();
    let watchdog = std::future::poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let scope = Scope { conn: &conn, watchdog: &watchdog };
    let Some(backend) = backend(&conn, &route) else { return };
    let Some((lease, upstream)) = dial(&conn, &route, &backend).await else { return };
    let early = inbox.bytes().to_vec();
    drop(inbox);
    let delay = backend.settings().termination_delay;
    let (forth, back) = relay(&scope, (io, early), (upstream, Vec::new()), delay).await;
    worker.metrics.tcp_bytes.add(forth + back);
    drop(lease);
}

type Permit = Option<weft_resilience::inflight::KeyedPermit>;

fn permit(conn: &Connection, route: &TcpRoute, ip: IpAddr) -> Result<Permit, ()> {
    let Some(max) = route.in_flight_max else { return Ok(None) };
    let id = PolicyId::new(format!("in-flight@{}", route.id));
    let limit = conn.worker.live.in_flight(&id, max);
    limit.acquire(ip.to_string().as_bytes()).map(Some).map_err(|_| ())
}

fn backend(conn: &Connection, route: &TcpRoute) -> Option<Rc<Backend>> {
    let worker = &conn.worker;
    let known = worker.tcp_targets.borrow().get(&route.id).cloned();
    let mut target = known.unwrap_or_else(|| {
        let target = TargetRuntime::new(worker, &route.target);
        worker.tcp_targets.borrow_mut().insert(route.id.clone(), target.clone());
        target
    });
    loop {
        target = match target {
            TargetRuntime::Backend(backend) => return Some(backend),
            TargetRuntime::Weighted(weighted) => {
                let index = weighted.picker.pick(&*weighted, None, &[], &worker.rng)?;
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
                return None;
            }
        };
    }
}

async fn dial(conn: &Connection, route: &TcpRoute, backend: &Rc<Backend>) -> Option<(Lease, Io)> {
    let worker = &conn.worker;
    let first = proxy_header(conn, backend.settings().proxy_protocol);
    let mut tried = Tried::default();
    for _ in 0..ATTEMPTS_MAX {
        let lease = match backend.pick(worker.now(), &worker.rng, None, &tried) {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(client = %conn.client, route = %route.id, %error, "no endpoint");
                return None;
            }
        };
        match lease.dial_stream(&worker.buffers, "", &first).await {
            Ok(io) => return Some((lease, io)),
            Err(error) => {
                let addr = lease.endpoint().addr();
                let error = crate::attempt::describe(&error);
                tracing::warn!(client = %conn.client, route = %route.id, %addr, error, "not reached");
                lease.report(worker.now(), Report::Failed);
                tried.note(&lease);
            }
        }
    }
    None
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
    }
    let early = (from_client.len() as u64, from_server.len() as u64);
    (counters.to_upstream.get() + early.0, counters.to_downstream.get() + early.1)
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
