//! One attempt: a connection, the request on it, and the response head.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::{HeadError, ReadError, WriteError};
use weft_http::pump::PumpError;
use weft_message::h1::{BodyFraming, HeadLimits, write_request, write_upgrade_request};
use weft_message::{Known, Method};
use weft_model::backend::HostHeader;
use weft_model::outcome::Reason;
use weft_runtime::drain::Phase;
use weft_runtime::time;
use weft_upstream::{Connection, Dialled, Lease};

use super::{Answered, Failed};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::Scope;
use crate::respond;

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
    let replayable = x.is_replayable();
    let pooled = if fresh { None } else { lease.pooled(lease.started(), replayable) };
    let dialled = match pooled {
        Some(dialled) => Ok(dialled),
        // Rare, so its state does not make every request's larger.
        None => Box::pin(lease.dial(&worker.buffers, x.req.host())).await,
    };
    let Dialled { connection, reused } = match dialled {
        Ok(dialled) => dialled,
        Err(error) => {
            let failed = Failed {
                reason: error.reason(),
                detail: describe(&error),
                sent: false,
                stale: false,
            };
            return Err((lease, failed));
        }
    };
    set_host(x, &lease);
    x.record.upstream_started = Some(lease.started());
    let mut up = match begin(x, connection) {
        Ok(up) => up,
        Err(error) => {
            let failed = Failed {
                reason: Reason::UpstreamReset,
                detail: describe(&error),
                sent: false,
                stale: reused,
            };
            return Err((lease, failed));
        }
    };
    let mut drive = Drive::new(x, &lease);
    let head = poll_fn(|cx| drive.poll(cx, scope, x, down, &mut up)).await;
    let Drive { sender, .. } = drive;
    match head {
        Ok(head) => {
            x.record.response_head = Some(worker.now());
            let Head { framing, declared, keep_alive, tunnel } = head;
            Ok(Answered { up, lease, sender, framing, declared, keep_alive, tunnel })
        }
        Err(mut failed) => {
            failed.stale = failed.stale && reused;
            up.abort(h2::Reason::CANCEL);
            Err((lease, failed))
        }
    }
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
    sender: crate::body::Sender,
    /// Sending failed; an early response may still explain why.
    send_failed: Option<WriteError>,
    moved: u64,
    interim: u32,
    timer: Option<(Timer, Reason)>,
}

// === impl Drive ===

impl Drive {
    fn new(x: &Exchange, lease: &Lease) -> Self {
        Self {
            sender: x.body.sender(),
            send_failed: None,
            moved: 0,
            interim: 0,
            timer: timer(x, lease),
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
                    if let Err(error) = respond::interim(cx, x, down) {
                        return Poll::Ready(Err(failed(Reason::ClientGone, &describe(&error))));
                    }
                }
                Poll::Ready(Ok(Some(head))) => return Poll::Ready(Ok(head)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.head_failed(&error))),
                Poll::Pending => break,
            }
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
        match polled {
            Poll::Ready(Ok(())) => scope.watchdog.disarm(),
            Poll::Pending => {
                let moved = self.sender.bytes();
                if moved != self.moved || moved == 0 {
                    self.moved = moved;
                    if let Some(limit) = body_idle(x, scope) {
                        scope.watchdog.arm(limit);
                    }
                }
            }
            Poll::Ready(Err(PumpError::Write(error))) => self.send_failed = Some(error),
            Poll::Ready(Err(PumpError::Read(error))) => {
                return Err(failed(client_reason(&error), &describe(&error)));
            }
        }
        x.record.request_bytes = self.sender.bytes();
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
        if x.body.is_held() || self.sender.is_done() {
            if down.poll_gone(cx).is_ready() {
                let detail = "the client closed the connection before the answer";
                return Poll::Ready(Err(failed(Reason::ClientGone, detail)));
            }
        } else if scope.watchdog.expired() {
            worker.metrics.limit(Limit::BodyIdle);
            let detail = "the request body stopped arriving or being taken";
            return Poll::Ready(Err(failed(Reason::BodyTimeout, detail)));
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

    fn head_failed(&mut self, error: &HeadError) -> Failed {
        let reason = match error {
            HeadError::Parse(_) | HeadError::Invalid(_) => Reason::UpstreamProtocol,
            HeadError::Closed | HeadError::Truncated | HeadError::Io(_) | HeadError::H2(_) => {
                Reason::UpstreamReset
            }
        };
        let closed = match error {
            HeadError::Closed => true,
            HeadError::H2(error) => is_refused(error),
            HeadError::Truncated
            | HeadError::Io(_)
            | HeadError::Parse(_)
            | HeadError::Invalid(_) => false,
        };
        // An HTTP/2 upstream that refused the stream says that it did nothing with it.
        let sent = !matches!(error, HeadError::H2(error) if is_refused(error));
        let mut detail = describe(error);
        if let Some(error) = &self.send_failed {
            detail = format!("{detail}; while sending: {}", describe(error));
        }
        Failed { reason, detail, sent, stale: closed }
    }
}

fn failed(reason: Reason, detail: &str) -> Failed {
    Failed { reason, detail: detail.into(), sent: true, stale: false }
}

/// RFC 9113 section 8.7: a refused stream, or one beyond the last that GOAWAY names, was not
/// processed.
fn is_refused(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
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
        Leg::H2(stream) => stream.poll_response(cx, &RESPONSE_HEAD, &mut x.rsp).map_ok(|()| {
            let declared = match x.rsp.fields.content_length() {
                Ok(Some(length)) => BodyFraming::Length(length),
                Ok(None) | Err(_) => BodyFraming::Chunked,
            };
            let bodiless = *x.req.method() == Method::Head || stream.is_body_complete();
            let framing = if bodiless { BodyFraming::None } else { declared };
            let declared = match declared {
                BodyFraming::Chunked if bodiless => BodyFraming::Length(0),
                declared => declared,
            };
            Some(Head { framing, declared, keep_alive: true, tunnel: false })
        }),
    }
}

/// Puts the request's head on a connection.
fn begin(x: &Exchange, connection: Connection) -> Result<Leg, WriteError> {
    match connection {
        Connection::H1(mut conn) => {
            let framing = framing_upstream(x);
            conn.begin_message(framing, |out| match &x.facts.upgrade {
                Some(protocol) => write_upgrade_request(&x.req, framing, protocol, out),
                None => write_request(&x.req, framing, out),
            });
            Ok(Leg::H1(conn))
        }
        Connection::H2(mut client) => {
            let end = x.facts.framing == BodyFraming::None;
            Ok(Leg::H2(client.begin_request(&x.req, end)?))
        }
    }
}

/// How the body is framed towards an HTTP/1.1 upstream. A body that is held whole has a known
/// length, whatever the client said.
fn framing_upstream(x: &Exchange) -> BodyFraming {
    match x.body.bytes() {
        Some(bytes) if x.body.is_held() => BodyFraming::Length(bytes.len() as u64),
        _ => x.facts.framing,
    }
}

fn set_host(x: &mut Exchange, lease: &Lease) {
    match &lease.backend().settings().host {
        HostHeader::Pass => {}
        HostHeader::Endpoint => {
            // An address is always a valid authority.
            let _ = x.req.set_authority(&lease.endpoint().addr().to_string());
        }
        HostHeader::Set(host) => {
            // `compile` has checked it.
            let _ = x.req.set_authority(host);
        }
    }
    if lease.backend().settings().protocol == weft_model::backend::UpstreamProtocol::Http2
        && x.facts.te_trailers
    {
        // gRPC servers insist on it; it is one hop's, so it was stripped.
        let _ = x.req.fields.set(Known::Te, b"trailers");
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

fn body_idle(x: &Exchange, scope: &Scope<'_>) -> Option<Duration> {
    let plan = x.plan.as_ref()?;
    let listener = scope.conn.listener_in(plan)?;
    Some(listener.shared.settings.limits.body_idle_timeout)
}

/// Whose fault a broken request body is.
pub(crate) fn client_reason(error: &ReadError) -> Reason {
    match error {
        ReadError::Malformed(_) | ReadError::Trailers(_) => Reason::BadRequest,
        ReadError::Truncated | ReadError::Io(_) | ReadError::H2(_) => Reason::ClientGone,
    }
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
