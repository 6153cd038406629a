//! One attempt: a connection, the request on it, and the response head.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::{HeadError, ReadError, WriteError};
use weft_http::pump::PumpError;
use weft_message::h1::{BodyFraming, HeadLimits, write_request, write_upgrade_request};
use weft_message::{Known, Method, Version};
use weft_model::backend::HostHeader;
use weft_model::outcome::Reason;
use weft_policy::answer;
use weft_runtime::drain::Phase;
use weft_runtime::time;
use weft_upstream::{Connection, Dialled, Lease, Speaks};

use super::{Answered, Failed};
use crate::body::{SendError, Sender};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::Scope;
use crate::respond;
use crate::spool::Whole as _;

/// Limits of response heads.
const RESPONSE_HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 64 << 10, fields_max: 256, target_bytes_max: 0 };

/// Interim responses that one response may be preceded by; more is an upstream that floods.
const INTERIM_MAX: u32 = 16;

type Timer = Pin<Box<dyn Future<Output = ()>>>;

/// Sends the request once and waits for the response head, which ends up in `x.rsp`. With `fresh`,
/// on a new connection.
pub(super) async fn attempt(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    lease: Lease,
    fresh: bool,
) -> Result<Answered, (Lease, Failed)> {
    let worker = &scope.conn.worker;
    let speaks = speaks(scope, x);
    let replayable = x.stays_replayable();
    let pooled = if fresh { None } else { lease.pooled(lease.started(), replayable, speaks) };
    let original = set_host(x, &lease);
    let dialled = match pooled {
        Some(dialled) => Ok(dialled),
        // Rare, so its state does not make every request's larger.
        None => Box::pin(lease.dial(&worker.buffers, x.req.host(), speaks)).await,
    };
    let begun = match dialled {
        Ok(Dialled { connection, idle }) => begin(x, connection).map(|up| (up, idle)).map_err(
            // The connection is gone, and nothing was sent on it.
            |error| Failed::unsent(Reason::UpstreamReset, &error, idle.is_some()),
        ),
        Err(error) => Err(Failed::unsent(error.reason(), &error, false)),
    };
    restore_host(x, original);
    let (mut up, idle) = match begun {
        Ok(begun) => begun,
        Err(failed) => return Err((lease, failed)),
    };
    x.record.upstream_started = Some(lease.started());
    if matches!(down, Leg::H1(_)) {
        worker.gather().await;
    }
    let mut drive = Drive::new(x, scope, &lease);
    let head = poll_fn(|cx| drive.poll(cx, scope, x, down, &mut up)).await;
    scope.watchdog.disarm();
    let Drive { sender, .. } = drive;
    match head {
        Ok(head) => {
            x.record.response_head = Some(worker.now());
            note_idle(x, &lease, idle);
            let Head { framing, declared, keep_alive, tunnel } = head;
            Ok(Answered { up, lease, sender, framing, declared, keep_alive, tunnel })
        }
        Err(mut failed) => {
            failed.stale = failed.stale && idle.is_some();
            if let Some(idle) = idle.filter(|_| failed.stale) {
                lease.stale(idle);
            }
            up.abort(weft_http::h2::Reason::CANCEL);
            Err((lease, failed))
        }
    }
}

/// What the connection has to speak.
fn speaks(scope: &Scope<'_>, x: &Exchange) -> Speaks {
    match (&x.facts.upgrade, scope.conn.meant()) {
        // Only HTTP/1.1 has upgrades.
        (Some(_), _) => Speaks::Http1,
        // An application that begins with HTTP/2 knows that the other side speaks it.
        (None, Some(meant)) if x.req.version() == Version::Http2 && !meant.carried => Speaks::Http2,
        // What a proxy passes on for others may be HTTP/1.1 as well, but not this.
        (None, Some(_)) if is_grpc(x) => Speaks::Http2,
        (None, _) => Speaks::Any,
    }
}

fn is_grpc(x: &Exchange) -> bool {
    x.req.fields.get(Known::ContentType).is_some_and(answer::is_grpc)
}

/// What a response head said.
struct Head {
    framing: BodyFraming,
    declared: BodyFraming,
    keep_alive: bool,
    tunnel: bool,
}

/// The wait for a response head while the request's body may still be on its way.
struct Drive {
    sender: Sender,
    /// Sending failed; an early response may still explain why.
    send_failed: Option<WriteError>,
    moved: u64,
    idle_limit: Duration,
    interim: u32,
    timer: Option<(Timer, Reason)>,
    /// It is a proxy of the mesh that answers first.
    through_proxy: bool,
}

// === impl Drive ===

impl Drive {
    fn new(x: &Exchange, scope: &Scope<'_>, lease: &Lease) -> Self {
        Self {
            sender: Sender::new(),
            send_failed: None,
            moved: u64::MAX,
            idle_limit: scope.body_idle(x),
            interim: 0,
            timer: timer(x, lease),
            through_proxy: lease.peer().is_some(),
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
            Poll::Ready(Ok(())) => scope.watchdog.disarm(),
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

    /// Whether to go on waiting.
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &Exchange,
        down: &mut Leg,
    ) -> Poll<Result<Head, Failed>> {
        let worker = &scope.conn.worker;
        if self.sender.is_done() {
            if down.poll_gone(cx).is_ready() {
                let detail = "the client closed the connection before the answer";
                return Poll::Ready(Err(failed(Reason::ClientGone, detail)));
            }
        } else if scope.watchdog.expired() {
            return Poll::Ready(Err(self.body_stopped(scope, x, down)));
        } else if x.body.is_held() && down.poll_gone(cx).is_ready() {
            let detail = "the client closed the connection while its request was sent";
            return Poll::Ready(Err(failed(Reason::ClientGone, detail)));
        }
        if let Some((timer, reason)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            let detail = "no response head in time";
            return Poll::Ready(Err(failed(*reason, detail)));
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
        let is_upstreams =
            self.send_failed.is_some() || x.body.is_held() || !down.chunk().is_empty();
        if is_upstreams {
            return failed(Reason::UpstreamTimeout, "the request body was not taken any more");
        }
        failed(Reason::BodyTimeout, "the request body stopped arriving")
    }

    fn head_failed(&mut self, error: &HeadError) -> Failed {
        let reason = match error.is_malformed() {
            true => Reason::UpstreamProtocol,
            false => Reason::UpstreamReset,
        };
        if self.through_proxy && matches!(error, HeadError::H2(error) if error.is_refused_stream())
        {
            let detail = "the proxy beside it could not reach the application".into();
            return Failed { reason: Reason::ConnectFailed, detail, sent: false, stale: false };
        }
        // An HTTP/2 upstream that refused the stream says that it did nothing with it.
        let refused = matches!(error, HeadError::H2(error) if error.is_unprocessed());
        let closed = match error {
            HeadError::Closed => true,
            HeadError::H2(error) => refused || error.is_io(),
            HeadError::Truncated | HeadError::Io(_) | HeadError::Parse(_) => false,
        };
        let mut detail = describe(error);
        if let Some(error) = &self.send_failed {
            detail = format!("{detail}; while sending: {}", describe(error));
        }
        Failed { reason, detail, sent: !refused, stale: closed }
    }
}

// === impl Failed ===

impl Failed {
    fn unsent(reason: Reason, error: &dyn std::error::Error, stale: bool) -> Self {
        Self { reason, detail: describe(error), sent: false, stale }
    }
}

fn failed(reason: Reason, detail: &str) -> Failed {
    Failed { reason, detail: detail.into(), sent: true, stale: false }
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

/// Puts the request's head on a connection.
fn begin(x: &mut Exchange, connection: Connection) -> Result<Leg, WriteError> {
    match connection {
        Connection::H1(mut conn) => {
            let framing = framing_upstream(x);
            conn.begin_message(framing, |out| match &x.facts.upgrade {
                Some(protocol) => write_upgrade_request(&x.req, framing, protocol, out),
                None => write_request(&x.req, framing, out),
            });
            Ok(Leg::H1(conn))
        }
        Connection::Mesh(client, destination) => {
            weft_message::peer::set_destination(&mut x.req.fields, destination);
            let begun = begin(x, Connection::H2(client));
            weft_message::peer::remove_destination(&mut x.req.fields);
            begun
        }
        Connection::H2(mut client) => {
            if x.facts.te_trailers {
                // gRPC servers insist on it; it is one hop's, so it was stripped. There was room
                // for it in the head that it came with.
                let _ = x.req.fields.set(Known::Te, b"trailers");
            }
            let came_with_length = x.req.fields.contains(Known::ContentLength);
            if let BodyFraming::Length(length) = framing_upstream(x) {
                // Frames need no length, but whoever is behind them may: of the fields of a request
                // over HTTP/1.1, it went into the framing.
                let _ = x.req.fields.set(Known::ContentLength, length.to_string().as_bytes());
            }
            let begun = client.begin_request(&x.req, x.facts.framing == BodyFraming::None);
            x.req.fields.remove(Known::Te);
            if !came_with_length {
                x.req.fields.remove(Known::ContentLength);
            }
            Ok(Leg::H2(begun?))
        }
    }
}

/// How the body is framed towards an HTTP/1.1 upstream. A body that is held whole has a known
/// length, whatever the client said.
fn framing_upstream(x: &Exchange) -> BodyFraming {
    match x.body.whole() {
        Some(body) if x.facts.framing != BodyFraming::None => BodyFraming::Length(body.len()),
        _ => x.facts.framing,
    }
}

/// Sets the host that the backend wants to see; gives back the one that was there, if that is
/// another.
fn set_host(x: &mut Exchange, lease: &Lease) -> Option<Box<str>> {
    let original = match &lease.backend().settings().host {
        HostHeader::Pass => return None,
        HostHeader::Endpoint => {
            let original = x.req.authority().into();
            // An address is always a valid authority.
            let _ = x.req.set_authority(&lease.endpoint().addr().to_string());
            original
        }
        HostHeader::Set(host) => {
            let original = x.req.authority().into();
            // `compile` has checked it.
            let _ = x.req.set_authority(host);
            original
        }
    };
    Some(original)
}

/// What comes after (another backend, a mirror, the log) has to see the client's host again.
fn restore_host(x: &mut Exchange, original: Option<Box<str>>) {
    if let Some(original) = original {
        // It was there before.
        let _ = x.req.set_authority(&original);
    }
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

/// The earliest of the bounds on this attempt.
fn timer(x: &Exchange, lease: &Lease) -> Option<(Timer, Reason)> {
    let timeouts = x.route.as_ref().map(|route| &route.route.timeouts)?;
    let head = lease.backend().settings().pool.response_head_timeout;
    let attempt = [timeouts.attempt, head].into_iter().flatten().min();
    let request = timeouts.request.zip(x.record.started).map(|(limit, started)| {
        limit.saturating_sub(lease.started().saturating_duration_since(started))
    });
    let (limit, reason) = match (attempt, request) {
        (None, None) => return None,
        (Some(attempt), Some(request)) if request < attempt => (request, Reason::RequestTimeout),
        (Some(attempt), _) => (attempt, Reason::UpstreamTimeout),
        (None, Some(request)) => (request, Reason::RequestTimeout),
    };
    Some((Box::pin(time::sleep(limit)), reason))
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
