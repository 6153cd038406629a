//! One attempt: a connection, the request on it, and the response head.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::{HeadError, ReadError, WriteError};
use weft_http::pump::PumpError;
use weft_message::h1::{BodyFraming, HeadLimits};
use weft_message::{Known, Method, peer};
use weft_model::outcome::Reason;
use weft_resilience::deadline::Deadline;
use weft_runtime::drain::Phase;
use weft_runtime::time;
use weft_upstream::{Dialled, Lease, Speaks, Tried};

use super::{Answered, Failed, Lost, hedge, send};
use crate::body::{SendError, Sender};
use crate::deadline::{self, Bound};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::{self, Scope};
use crate::respond;
use crate::worker::Worker;

/// Limits of response heads.
const RESPONSE_HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 64 << 10, fields_max: 256, target_bytes_max: 0 };

/// Interim responses that one response may be preceded by; more is an upstream that floods.
const INTERIM_MAX: u32 = 16;

/// How an attempt is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Try<'a> {
    /// On a new connection.
    pub(super) fresh: bool,
    /// The attempt's number, if the upstream is to be told.
    pub(super) number: Option<u32>,
    /// Bound on the time to its response head, in place of the route's.
    pub(super) timeout: Option<Duration>,
    /// Where it was tried already.
    pub(super) tried: &'a Tried,
}

/// A request whose head is on a connection.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) lease: Lease,
    up: Leg,
    drive: Drive,
}

/// Sends the request once and waits for the response head, which ends up in `x.rsp`.
pub(super) async fn attempt(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    lease: Lease,
    how: Try<'_>,
) -> Result<Answered, Box<Lost>> {
    let worker = &scope.conn.worker;
    let speaks = send::speaks(scope, x);
    if let Some(number) = how.number {
        peer::set_attempt(&mut x.req.fields, number);
    }
    lease.on_behalf_of(scope.conn.client, scope.conn.local);
    let replayable = x.stays_replayable();
    let pooled = if how.fresh { None } else { lease.pooled(lease.started(), replayable, speaks) };
    let dialled = match pooled {
        Some(dialled) => Ok(dialled),
        // Rare, so its state does not make every request's larger.
        None => {
            let host: Box<str> = send::with_host(x, &lease, |x| x.req.host().into());
            Box::pin(dial(worker, &lease, &host, speaks, x.decided.deadline)).await
        }
    };
    let mut sent = start(scope, x, lease, dialled, how.timeout)?;
    if matches!(down, Leg::H1(_)) {
        worker.gather().await;
    }
    if let Some(hedge) = hedge::of(x, &sent.lease) {
        return Box::pin(hedge::race(scope, x, down, sent, &hedge, how)).await;
    }
    let head = poll_fn(|cx| sent.poll(cx, scope, x, down)).await;
    sent.end(scope, x, head)
}

/// A connection, if there is one before the request's time is over.
pub(super) async fn dial(
    worker: &Worker,
    lease: &Lease,
    host: &str,
    speaks: Speaks,
    deadline: Deadline,
) -> Result<Dialled, Failed> {
    let dialling = lease.dial(&worker.buffers, host, speaks);
    let dialled = match deadline.remaining(worker.now()) {
        None => dialling.await,
        Some(left) => match time::timeout(left, dialling).await {
            Ok(dialled) => dialled,
            Err(time::Elapsed) => {
                let detail = "the request's time was over before there was a connection";
                let reason = Reason::RequestTimeout;
                return Err(Failed { sent: false, ..failed(reason, detail) });
            }
        },
    };
    dialled.map_err(|error| Failed {
        everywhere: error.is_backends(),
        ..Failed::unsent(error.reason(), &error, error.is_goodbye())
    })
}

/// Puts the request on a connection, if there is one.
pub(super) fn start(
    scope: &Scope<'_>,
    x: &mut Exchange,
    lease: Lease,
    dialled: Result<Dialled, Failed>,
    timeout: Option<Duration>,
) -> Result<Sent, Box<Lost>> {
    let Dialled { connection, idle } = match dialled {
        Ok(dialled) => dialled,
        Err(failed) => return Err(Box::new(Lost { lease, failed })),
    };
    deadline::tell(x, scope.conn.worker.now());
    match send::with_host(x, &lease, |x| send::begin(x, connection)) {
        Ok(up) => {
            x.record.upstream_started = Some(lease.started());
            x.decided.answer_by = Deadline::NEVER;
            x.decided.client_lags = false;
            let drive = Drive::new(x, scope, &lease, idle, timeout);
            Ok(Sent { lease, up, drive })
        }
        Err(error) => {
            // The connection is gone, and nothing was sent on it.
            let is_goodbye = matches!(&error, WriteError::H2(error) if error.is_goodbye());
            let stale = idle.is_some() || is_goodbye;
            let failed = Failed::unsent(Reason::UpstreamReset, &error, stale);
            Err(Box::new(Lost { lease, failed }))
        }
    }
}

// === impl Sent ===

impl Sent {
    /// Sends on, and waits for the response head.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Poll<Result<Head, Failed>> {
        self.drive.poll(cx, scope, x, down, &mut self.up)
    }

    /// What came of it.
    pub(super) fn end(
        self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        head: Result<Head, Failed>,
    ) -> Result<Answered, Box<Lost>> {
        let Self { lease, mut up, drive: Drive { sender, idle, .. } } = self;
        scope.watchdog.disarm();
        match head {
            Ok(head) => {
                let now = scope.conn.worker.now();
                x.record.upstream_started = Some(lease.started());
                x.record.response_head = Some(now);
                note_idle(x, &lease, idle);
                lease.answered(now, &x.rsp);
                let Head { framing, declared, keep_alive, tunnel } = head;
                Ok(Answered { up, lease, sender, framing, declared, keep_alive, tunnel })
            }
            Err(failed) => {
                if let Some(idle) = idle.filter(|_| failed.stale) {
                    lease.stale(idle);
                }
                up.abort(weft_http::h2::Reason::CANCEL);
                Err(Box::new(Lost { lease, failed }))
            }
        }
    }

    /// Gives it up: nobody waits for its answer any more.
    pub(super) fn abandon(mut self) {
        self.up.abort(weft_http::h2::Reason::CANCEL);
    }
}

/// What a response head said.
#[derive(Debug)]
pub(super) struct Head {
    framing: BodyFraming,
    declared: BodyFraming,
    keep_alive: bool,
    tunnel: bool,
}

/// The wait for a response head while the request's body may still be on its way.
#[derive(Debug)]
struct Drive {
    sender: Sender,
    /// Sending failed; an early response may still explain why.
    send_failed: Option<WriteError>,
    moved: u64,
    idle_limit: Duration,
    interim: u32,
    bound: Option<Bound>,
    /// How long both sides may be silent, where the route says so.
    silence: Option<Duration>,
    /// It is a proxy of the mesh that answers first.
    through_proxy: bool,
    /// For how long the connection was idle before; `None` for a new one.
    idle: Option<Duration>,
}

// === impl Drive ===

impl Drive {
    fn new(
        x: &Exchange,
        scope: &Scope<'_>,
        lease: &Lease,
        idle: Option<Duration>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            sender: Sender::new(),
            send_failed: None,
            moved: u64::MAX,
            idle_limit: scope.body_idle(x),
            interim: 0,
            bound: bound(x, lease, timeout),
            silence: request::silence(x),
            through_proxy: lease.peer().is_some(),
            idle,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Poll<Result<Head, Failed>> {
        if let Err(failed) = self.poll_send(cx, scope, x, down, up) {
            return Poll::Ready(Err(failed));
        }
        loop {
            match poll_head(cx, x, up) {
                Poll::Ready(Ok(None)) => {
                    self.interim += 1;
                    if self.interim > INTERIM_MAX {
                        let detail = "too many interim responses";
                        return Poll::Ready(Err(failed(Reason::UpstreamProtocol, detail)));
                    }
                    if let Err(error) = respond::interim(x, down) {
                        return Poll::Ready(Err(failed(Reason::ClientGone, &describe(&error))));
                    }
                }
                Poll::Ready(Ok(Some(head))) => return Poll::Ready(Ok(head)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.head_failed(&error))),
                Poll::Pending => break,
            }
        }
        // An interim response has to leave now: the client may wait for it.
        if self.interim > 0
            && let Poll::Ready(Err(error)) = down.poll_flush(cx)
        {
            return Poll::Ready(Err(failed(Reason::ClientGone, &describe(&error))));
        }
        self.poll_patience(cx, scope, x, down)
    }

    /// Sends what can be sent of the request's body.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Result<(), Failed> {
        if self.sender.is_done() || self.send_failed.is_some() {
            return Ok(());
        }
        let polled = self.sender.poll(cx, &mut x.body, down, up);
        x.record.request_bytes = self.sender.bytes();
        match polled {
            Poll::Ready(Ok(())) => self.note_sent(scope, x),
            Poll::Pending if self.sender.bytes() != self.moved => {
                self.moved = self.sender.bytes();
                // A client that waits for 100 sends nothing before the upstream has said so.
                let waits = x.facts.expect_continue && self.moved == 0 && self.interim == 0;
                if !waits {
                    scope.watchdog.arm(self.idle_limit);
                }
            }
            Poll::Pending => {}
            Poll::Ready(Err(SendError::Pump(PumpError::Write(error)))) => {
                self.send_failed = Some(error);
                // The answer that may explain it does not take longer than a body may.
                scope.watchdog.arm(self.idle_limit);
            }
            Poll::Ready(Err(SendError::Pump(PumpError::Read(error)))) => {
                return Err(failed(client_reason(&error), &describe(&error)));
            }
            Poll::Ready(Err(error @ SendError::Held(_))) => {
                return Err(failed(Reason::Internal, &describe(&error)));
            }
        }
        Ok(())
    }

    /// The whole request was sent: what is waited for now is the answer.
    fn note_sent(&mut self, scope: &Scope<'_>, x: &mut Exchange) {
        match self.silence {
            Some(limit) => scope.watchdog.arm(limit),
            None => scope.watchdog.disarm(),
        }
        let now = scope.conn.worker.now();
        deadline::note_sent(x, now);
        let is_earlier = |at| self.bound.as_ref().is_none_or(|bound| bound.is_after(at));
        if x.decided.answer_by.instant().is_some_and(is_earlier) {
            let late = (x.decided.answer_by, Reason::UpstreamTimeout);
            self.bound = Bound::earliest(late, (Deadline::NEVER, Reason::RequestTimeout));
        }
    }

    /// Whether to go on waiting.
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Poll<Result<Head, Failed>> {
        let worker = &scope.conn.worker;
        if self.sender.is_done() {
            if down.poll_gone(cx).is_ready() {
                let detail = "the client closed the connection before the answer";
                return Poll::Ready(Err(failed(Reason::ClientGone, detail)));
            }
            if self.silence.is_some() && scope.watchdog.expired() {
                let detail = "nothing came for as long as the route allows";
                return Poll::Ready(Err(failed(Reason::UpstreamTimeout, detail)));
            }
        } else if scope.watchdog.expired() {
            return Poll::Ready(Err(self.body_stopped(scope, x, down)));
        } else if x.body.is_held() && down.poll_gone(cx).is_ready() {
            let detail = "the client closed the connection while its request was sent";
            return Poll::Ready(Err(failed(Reason::ClientGone, detail)));
        }
        if let Some(bound) = &self.bound
            && let Poll::Ready(reason) = bound.poll(cx, scope.watchdog)
        {
            x.decided.client_lags = !self.sender.is_done() && !self.is_upstreams(x, down);
            return Poll::Ready(Err(failed(reason, "no response head in time")));
        }
        if worker.phase() == Phase::Forced {
            let detail = "the drain deadline passed";
            return Poll::Ready(Err(failed(Reason::Draining, detail)));
        }
        Poll::Pending
    }

    /// The request's body has made no progress for too long: whose fault is it?
    fn body_stopped(&self, scope: &Scope<'_>, x: &Exchange, down: &Leg) -> Failed {
        scope.conn.worker.metrics.limit(Limit::BodyIdle);
        if self.is_upstreams(x, down) {
            return failed(Reason::UpstreamTimeout, "the request body was not taken any more");
        }
        failed(Reason::BodyTimeout, "the request body stopped arriving")
    }

    /// Whether it is the upstream that the request's body waits for.
    fn is_upstreams(&self, x: &Exchange, down: &Leg) -> bool {
        self.send_failed.is_some() || x.body.is_held() || !down.chunk().is_empty()
    }

    fn head_failed(&mut self, error: &HeadError) -> Failed {
        let reason = match error.is_malformed() {
            true => Reason::UpstreamProtocol,
            false => Reason::UpstreamReset,
        };
        if self.through_proxy && matches!(error, HeadError::H2(error) if error.is_refused_stream())
        {
            let detail = "the proxy beside it could not reach the application";
            return Failed { sent: false, ..failed(Reason::ConnectFailed, detail) };
        }
        // An HTTP/2 upstream that refused the stream says that it did nothing with it.
        let refused = matches!(error, HeadError::H2(error) if error.is_unprocessed());
        let is_reused = self.idle.is_some();
        let stale = match error {
            HeadError::Closed => is_reused,
            HeadError::H2(error) if is_reused => refused || error.is_io(),
            HeadError::H2(error) => error.is_goodbye(),
            HeadError::Truncated | HeadError::Io(_) | HeadError::Parse(_) => false,
        };
        let mut detail = describe(error);
        if let Some(error) = &self.send_failed {
            detail = format!("{detail}; while sending: {}", describe(error));
        }
        Failed { sent: !refused, stale, ..failed(reason, &detail) }
    }
}

// === impl Failed ===

impl Failed {
    pub(super) fn unsent(reason: Reason, error: &dyn std::error::Error, stale: bool) -> Self {
        Self { sent: false, stale, ..failed(reason, &describe(error)) }
    }
}

fn failed(reason: Reason, detail: &str) -> Failed {
    Failed { reason, detail: detail.into(), sent: true, stale: false, everywhere: false }
}

/// The next response head; `None` is an interim one.
fn poll_head(
    cx: &mut Context<'_>,
    x: &mut Exchange,
    up: &mut Leg,
) -> Poll<Result<Option<Head>, HeadError>> {
    match up {
        Leg::H1(conn) => {
            conn.poll_response(cx, &RESPONSE_HEAD, x.req.method(), &mut x.rsp).map_ok(|facts| {
                (!facts.interim).then_some(Head {
                    framing: facts.framing,
                    declared: facts.declared,
                    keep_alive: facts.keep_alive,
                    tunnel: facts.tunnel,
                })
            })
        }
        Leg::H2(stream) => {
            if let Poll::Ready(Some(interim)) = stream.poll_interim(cx, &RESPONSE_HEAD, &mut x.rsp)
            {
                return Poll::Ready(interim.map(|()| None));
            }
            ready!(stream.poll_response(cx, &RESPONSE_HEAD, &mut x.rsp))?;
            Poll::Ready(Ok(Some(head_of_h2(x, stream.is_body_complete()))))
        }
    }
}

/// What a response's head that came over HTTP/2 says, in the terms of HTTP/1.1. `ended` when nothing
/// follows it.
fn head_of_h2(x: &Exchange, ended: bool) -> Head {
    let length = x.rsp.fields.content_length().ok().flatten().map(BodyFraming::Length);
    let bodiless = *x.req.method() == Method::Head || matches!(x.rsp.status(), 204 | 304);
    let (framing, declared) = match (bodiless, ended) {
        (true, _) => (BodyFraming::None, length.unwrap_or_default()),
        (false, true) => (BodyFraming::Length(0), BodyFraming::Length(0)),
        (false, false) => {
            let framing = length.unwrap_or(BodyFraming::Chunked);
            (framing, framing)
        }
    };
    Head { framing, declared, keep_alive: true, tunnel: false }
}

/// Learns from an answer how long the upstream keeps idle connections.
fn note_idle(x: &Exchange, lease: &Lease, idle: Option<Duration>) {
    if let Some(idle) = idle.filter(|idle| !idle.is_zero()) {
        lease.alive(idle);
    }
    let Some(value) = x.rsp.fields.get_str(Known::KeepAlive) else { return };
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="));
    if let Some(secs) = timeout.and_then(|secs| secs.parse().ok()) {
        lease.hint_idle(Duration::from_secs(secs));
    }
}

/// The earliest of the bounds on this attempt, as far as they are known when it begins.
fn bound(x: &Exchange, lease: &Lease, timeout: Option<Duration>) -> Option<Bound> {
    let by_route = || x.route.as_ref().and_then(|route| route.route.timeouts.attempt);
    let head = lease.backend().settings().calling.pool.response_head_timeout;
    let attempt = [timeout.or_else(by_route), head].into_iter().flatten().min();
    if attempt.is_none() && x.decided.deadline == Deadline::NEVER {
        return None;
    }
    let now = time::now();
    let attempt = Deadline::after_some(now, attempt);
    let request = (x.decided.deadline, Reason::RequestTimeout);
    Bound::earliest((attempt, Reason::UpstreamTimeout), request)
}

/// Whose fault a broken request body is.
pub(crate) fn client_reason(error: &ReadError) -> Reason {
    if error.is_malformed() { Reason::BadRequest } else { Reason::ClientGone }
}

/// An error with its causes, for the log.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
