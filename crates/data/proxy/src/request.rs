//! One request, from its decoded head to its record.
//!
//! [`handle`] is the straight line that docs/life-of-a-request.md describes: plan, route, the steps
//! (authorize, shape, admit), select, pick and send and judge, shape back, stream, record.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weft_http::Leg;
use weft_message::{Fields, Method, forwarded, peer};
use weft_model::listener::{Direction, Limits};
use weft_model::outcome::{Fault, Reason};
use weft_model::policy::Refusal;
use weft_policy::answer::{Asker, DirectResponse};
use weft_runtime::Watchdog;
use weft_upstream::Backend;

use crate::body::{MEMORY_BYTES_MAX, RequestBody};
use crate::connection::{Connection, Meant};
use crate::exchange::Exchange;
use crate::plan::ListenerPlan;
use crate::runtime::{RouteRuntime, TargetRuntime};
use crate::worker::Worker;
use crate::{attempt, body_steps, captured, deadline, record, respond, sample, select, steps};

/// What a request is handled in: its connection, and the deadline of the task it runs in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) watchdog: &'a Watchdog,
}

/// Why the straight line was left.
#[derive(Debug)]
pub(crate) enum Stop {
    /// We answer.
    Answer(Box<DirectResponse>),
    /// We answer with an error.
    Refuse(Reason, Option<Arc<str>>),
    /// The answer has begun and cannot be completed: the client is cut off.
    Cut(Reason, Option<Arc<str>>),
}

/// What becomes of the downstream leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may follow.
    Reuse,
    /// It is closed, so that the client can still read what it was sent.
    Close,
    /// It is dropped: nothing more is to be said on it.
    Drop,
}

/// Handles one request whose head has been decoded into `x`.
pub(crate) async fn handle(scope: Scope<'_>, x: &mut Exchange, down: &mut Leg) -> After {
    let reason = match serve(&scope, x, down).await {
        Ok(reason) => reason,
        Err(stop) => conclude(&scope, x, down, stop).await,
    };
    let after = match down {
        Leg::H1(conn) if conn.is_reusable() => After::Reuse,
        Leg::H1(conn) if conn.resets() => After::Drop,
        Leg::H1(_) | Leg::H2(_) => After::Close,
    };
    record::record(&scope, x, reason);
    after
}

/// The straight line.
async fn serve(scope: &Scope<'_>, x: &mut Exchange, down: &mut Leg) -> Result<Reason, Stop> {
    let worker = &scope.conn.worker;
    x.record.started = Some(worker.now());
    x.decided.form = Asker::of(&x.req).form;
    check_method(x)?;
    let plan = worker.plan();
    x.plan = Some(plan.clone());
    captured::admit(scope.conn, x)?;
    sample::begin(scope, x);
    let route = find_route(scope, x)?;
    x.route = Some(route.clone());
    canonicalize_hop(scope, x);
    steps::pass(scope, x, down, &route.steps).await?;
    let backend = lead(scope, x, down, &route.target).await?;
    attempt::forward(scope, x, down, backend).await
}

/// Leads a request to a backend, and makes it ready to be sent there. A request that goes to a
/// second target passes here once more, as it was before the first.
///
/// # Errors
///
/// When a step of what was chosen answers it, or no time is left.
pub(crate) async fn lead(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    target: &TargetRuntime,
) -> Result<Rc<Backend>, Stop> {
    let backend = select::select(scope, x, down, target).await?;
    deadline::decide(scope, x, &backend)?;
    keep_body(&scope.conn.worker, x);
    if scope.conn.meant().is_none() {
        // Only now, because steps count the addresses of the list from its right end.
        forwarded::append_for(&mut x.req.fields, scope.conn.client.ip());
    }
    Ok(backend)
}

/// Sees to it that of the body is kept what may have to be sent more than once: to another try, a
/// second target or a mirror.
fn keep_body(worker: &Worker, x: &mut Exchange) {
    let by_route = x.route.as_ref().and_then(|route| route.retry.as_deref());
    let policies = [by_route, x.decided.retry.as_deref()].into_iter().flatten();
    let tries = policies.filter(|policy| policy.attempts > 1).map(|policy| policy.body_bytes_max);
    let fallbacks = x.decided.fallbacks.iter().map(|fallback| fallback.plan().body_bytes_max);
    let copies = x
        .decided
        .mirrors
        .iter()
        .filter(|mirror| mirror.body)
        .map(|mirror| mirror.body_bytes_max.unwrap_or(u64::MAX).min(MEMORY_BYTES_MAX));
    x.body.keep(tries.chain(fallbacks).chain(copies).max(), &worker.spool);
}

/// Answers for what stopped the straight line, if that is still possible.
async fn conclude(scope: &Scope<'_>, x: &mut Exchange, down: &mut Leg, stop: Stop) -> Reason {
    match stop {
        Stop::Answer(answer) => direct(scope, x, down, *answer).await,
        Stop::Refuse(Reason::ClientGone, detail) | Stop::Cut(Reason::ClientGone, detail) => {
            down.abort(weft_http::h2::Reason::CANCEL);
            x.record.status = Reason::ClientGone.status();
            x.record.detail = detail;
            Reason::ClientGone
        }
        Stop::Refuse(reason, detail) if is_for_another(scope, x, down, reason) => {
            down.abort(weft_http::h2::Reason::REFUSED_STREAM);
            x.record.detail = detail;
            reason
        }
        Stop::Refuse(reason, detail) => {
            let answer = respond::refusal(scope, x, reason, detail);
            direct(scope, x, down, answer).await
        }
        Stop::Cut(reason, detail) => {
            down.abort(weft_http::h2::Reason::INTERNAL_ERROR);
            x.record.detail = detail;
            reason
        }
    }
}

/// Whether a proxy of the mesh has to send the request elsewhere: it has reached no application. The
/// protocol's own way to say so is understood by all (RFC 9113 section 8.7).
fn is_for_another(scope: &Scope<'_>, x: &Exchange, down: &Leg, reason: Reason) -> bool {
    x.record.unsent
        && reason.fault() == Fault::Upstream
        && matches!(down, Leg::H2(_))
        && scope.conn.meant().is_some_and(|meant| meant.peer.is_some())
}

/// Sends an answer of ours, or the page that a step around it has for its status.
async fn direct(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answer: DirectResponse,
) -> Reason {
    match body_steps::wanted_page(x, answer.status()) {
        Some(page) if answer.reason != Reason::Draining => {
            Box::pin(body_steps::direct_page(scope, x, down, answer, page)).await
        }
        _ => respond::direct(scope, x, down, answer).await,
    }
}

fn check_method(x: &mut Exchange) -> Result<(), Stop> {
    match x.req.method() {
        // A gateway is no forward proxy. What the client sends next may already be for the tunnel
        // that it hopes for, so it is not read as a request.
        Method::Connect => {
            x.facts.keep_alive = false;
            Err(Stop::because(Reason::NotImplemented, "CONNECT is not served"))
        }
        _ => Ok(()),
    }
}

fn find_route(scope: &Scope<'_>, x: &Exchange) -> Result<Rc<RouteRuntime>, Stop> {
    let conn = scope.conn;
    let plan = x.plan.as_ref().ok_or_else(|| Stop::internal("a request without a plan"))?;
    let listener = conn
        .listener_in(plan)
        .ok_or_else(|| Stop::because(Reason::NoRoute, "the listener is gone"))?;
    let tls = conn.tls.is_some();
    let table = listener
        .side(tls)
        .and_then(|side| side.http.as_ref())
        .ok_or_else(|| Stop::because(Reason::NoRoute, "no HTTP is served here"))?;
    if is_misdirected(conn, listener, x) {
        return Err(Stop::Refuse(Reason::Misdirected, None));
    }
    match table.find(&x.req, conn.client.ip()) {
        Some(matched) => Ok(listener
            .route(tls, matched.index(), || RouteRuntime::new(&conn.worker, matched.route()))),
        None => Err(Stop::Refuse(Reason::NoRoute, None)),
    }
}

/// Whether the host belongs to another site than the one the handshake was for (RFC 9110 section
/// 7.4): a client that reuses a connection for a host with other certificates or client
/// authentication must not slip past them.
fn is_misdirected(conn: &Connection, listener: &ListenerPlan, x: &Exchange) -> bool {
    match (&conn.tls, &listener.shared.server_tls) {
        (Some(facts), Some(server_tls)) => {
            server_tls.site(x.req.host()).is_some_and(|site| *site != *facts.site)
        }
        _ => false,
    }
}

/// Makes the hop right: forwarding headers of a client that is not trusted go, ours are set.
/// Hop-by-hop fields went when the head was decoded, so a client cannot have ours removed.
fn canonicalize_hop(scope: &Scope<'_>, x: &mut Exchange) {
    match scope.conn.meant() {
        Some(meant) => tell_caller(meant, &mut x.req.fields),
        None => tell_hop(scope, x),
    }
    if x.facts.framing != weft_message::h1::BodyFraming::None {
        x.body = RequestBody::streaming();
    }
}

fn tell_hop(scope: &Scope<'_>, x: &mut Exchange) {
    let conn = scope.conn;
    let hop = forwarded::Hop {
        peer: conn.client.ip(),
        scheme: conn.scheme(),
        trusted: conn.trusted,
        websocket: x.facts.upgrade.as_deref() == Some(b"websocket"),
        server: &conn.worker.server_name,
    };
    forwarded::apply(&mut x.req, &hop);
}

/// In the mesh proxies come in pairs that nobody is to see: what an application says of hops before
/// it stays as it is. Only who calls is ours to tell, and nobody else's.
fn tell_caller(meant: &Meant, fields: &mut Fields) {
    peer::remove_destination(fields);
    if meant.direction == Direction::Inbound && meant.peer.is_none() {
        // A stranger has no say in how often its requests are sent.
        peer::remove_attempt(fields);
    }
    match &meant.peer {
        Some(peer) => {
            let id = peer.caller.identity();
            let caller = peer::Caller {
                own_id: peer.own.as_str(),
                id: id.as_str(),
                service_account: id.service_account(),
                namespace: id.namespace(),
                trust_domain: id.trust_domain(),
            };
            peer::set_caller(fields, &caller);
        }
        None => {
            peer::remove_caller(fields);
        }
    }
}

/// How long both sides may be silent, where the route says so.
pub(crate) fn silence(x: &Exchange) -> Option<Duration> {
    x.route.as_ref()?.route.timeouts.idle
}

// === impl Scope ===

impl Scope<'_> {
    /// How long a body may make no progress: as the route says, or its listener.
    pub(crate) fn body_idle(&self, x: &Exchange) -> Duration {
        if let Some(limit) = silence(x) {
            return limit;
        }
        let listener = x.plan.as_ref().and_then(|plan| self.conn.listener_in(plan));
        listener.map_or(Limits::DEFAULT.body_idle_timeout, |listener| {
            listener.shared.settings.limits.body_idle_timeout
        })
    }
}

// === impl Stop ===

impl Stop {
    pub(crate) fn because(reason: Reason, detail: impl Into<Arc<str>>) -> Self {
        Self::Refuse(reason, Some(detail.into()))
    }

    pub(crate) fn refuse(refusal: Refusal) -> Self {
        Self::Refuse(refusal.reason, Some(refusal.detail))
    }

    pub(crate) fn internal(detail: &'static str) -> Self {
        Self::because(Reason::Internal, detail)
    }

    pub(crate) fn invalid_backend(detail: &'static str) -> Self {
        Self::because(Reason::InvalidBackend, detail)
    }
}
