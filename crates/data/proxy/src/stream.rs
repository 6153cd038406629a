//! Bodies flow, both ways at once.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::WriteError;
use weft_http::pump::{Pump, PumpError};
use weft_message::h1::BodyFraming;
use weft_model::outcome::Reason;
use weft_runtime::drain::Phase;
use weft_upstream::Lease;

use crate::attempt::{Answered, client_reason, describe};
use crate::body::{SendError, Sender};
use crate::body_steps::Transform;
use crate::compare::Seen;
use crate::deadline::{self, Bound};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::{self, Scope, Stop};
use crate::subrequest;

/// Streams the answer, and what is left of the request, until the answer is complete. `framing` is
/// what the client was told of its body.
pub(crate) fn stream<'a>(
    scope: &'a Scope<'_>,
    x: &'a mut Exchange,
    down: &'a mut Leg,
    answered: Answered,
    framing: BodyFraming,
    transform: Option<Box<Transform>>,
) -> impl Future<Output = Result<Reason, Stop>> + 'a {
    let mut flow = Flow::new(scope, x, answered, framing, transform);
    async move {
        let result = poll_fn(|cx| flow.poll(cx, scope, x, down)).await;
        scope.watchdog.disarm();
        flow.end(scope, x, result)
    }
}

struct Flow {
    up: Leg,
    lease: Lease,
    keep_alive: bool,
    sender: Sender,
    /// The upstream takes no more of the request; its answer goes on all the same.
    upload_broken: bool,
    response: Pump,
    transform: Option<Box<Transform>>,
    /// How many bytes of a body the client waits for, if it knows.
    promised: Option<u64>,
    moved: u64,
    idle_limit: Duration,
    /// What is known of the answer, if mirrors' are compared with it.
    seen: Option<Box<Seen>>,
    bound: Option<Bound>,
    /// Whether neither side may be silent for that time.
    silence: bool,
}

// === impl Flow ===

impl Flow {
    fn new(
        scope: &Scope<'_>,
        x: &mut Exchange,
        answered: Answered,
        framing: BodyFraming,
        transform: Option<Box<Transform>>,
    ) -> Self {
        let Answered { up, lease, sender, keep_alive, .. } = answered;
        Self {
            up,
            lease,
            keep_alive,
            sender,
            upload_broken: false,
            response: Pump::new(),
            transform,
            promised: match framing {
                BodyFraming::None => Some(0),
                BodyFraming::Length(length) => Some(length),
                BodyFraming::Chunked | BodyFraming::UntilClose => None,
            },
            seen: x.decided.seen.take(),
            moved: u64::MAX,
            idle_limit: scope.body_idle(x),
            bound: deadline::bound(x),
            silence: request::silence(x).is_some(),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Poll<Result<(), (Reason, String)>> {
        self.poll_upload(cx, scope, x, down)?;
        match self.poll_response(cx, down) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => {
                let reason = match &error {
                    PumpError::Read(error) if error.is_malformed() => Reason::UpstreamProtocol,
                    PumpError::Read(_) => Reason::UpstreamReset,
                    // A body where there may be none, such as one that follows a 304.
                    PumpError::Write(WriteError::Length) => Reason::UpstreamProtocol,
                    PumpError::Write(_) => Reason::ClientGone,
                };
                return Poll::Ready(Err((reason, describe(&error))));
            }
            Poll::Pending => {}
        }
        self.poll_patience(cx, scope, x, down)
    }

    /// What follows from how it went.
    fn end(
        mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        result: Result<(), (Reason, String)>,
    ) -> Result<Reason, Stop> {
        x.record.request_bytes = self.sender.bytes();
        x.record.response_bytes = self.response_bytes();
        let uploaded = self.sender.is_done();
        let now = scope.conn.worker.now();
        x.record.ended = Some(now);
        if let Err((reason, detail)) = result {
            deadline::note_failed(x, &self.lease, now, reason);
            self.up.abort(weft_http::h2::Reason::CANCEL);
            return Err(Stop::Cut(reason, Some(detail.into())));
        }
        self.lease.ended(now, self.up.trailers());
        if uploaded {
            if let Some(seen) = self.seen.as_mut().filter(|_| self.transform.is_none()) {
                seen.note_end();
            }
            x.decided.seen = self.seen;
            subrequest::send_mirrors(scope, x);
        }
        match self.up {
            Leg::H1(conn) if self.keep_alive && uploaded => self.lease.give_back(now, conn),
            // The answer came before the end of the request: nobody wants the rest.
            Leg::H2(mut stream) if !uploaded => stream.reset(weft_http::h2::Reason::CANCEL),
            Leg::H1(_) | Leg::H2(_) => {}
        }
        Ok(Reason::Upstream)
    }

    fn response_bytes(&self) -> u64 {
        self.transform.as_ref().map_or(self.response.bytes, |transform| transform.bytes())
    }

    fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Result<(), (Reason, String)> {
        if self.sender.is_done() || self.upload_broken {
            return Ok(());
        }
        match self.sender.poll(cx, &mut x.body, down, &mut self.up) {
            Poll::Ready(Err(SendError::Pump(PumpError::Read(error)))) => {
                Err((client_reason(&error), describe(&error)))
            }
            Poll::Ready(Err(error @ SendError::Held(_))) => {
                Err((Reason::Internal, describe(&error)))
            }
            Poll::Ready(Err(SendError::Pump(PumpError::Write(_)))) => {
                self.upload_broken = true;
                Ok(())
            }
            Poll::Ready(Ok(())) => {
                let now = scope.conn.worker.now();
                deadline::note_sent(x, now);
                self.bound = deadline::bound(x);
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Leg,
    ) -> Poll<Result<(), PumpError>> {
        let up = &mut self.up;
        match &mut self.transform {
            None => match &mut self.seen {
                None => self.response.poll(cx, up, down),
                Some(seen) => self.response.poll_seen(cx, up, down, |bytes| seen.note(bytes)),
            },
            Some(transform) => transform.poll(cx, up, down),
        }
    }

    /// Whether to go on waiting.
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Poll<Result<(), (Reason, String)>> {
        let worker = &scope.conn.worker;
        if down.is_body_complete() && down.poll_gone(cx).is_ready() {
            // It has all that it was promised. That no more comes, the upstream has not said yet.
            if self.promised == Some(self.response_bytes()) && !down.has_unsent() {
                return Poll::Ready(Ok(()));
            }
            return gave_up(Reason::ClientGone, "the client closed the connection");
        }
        let moved = self.response_bytes() + self.sender.bytes();
        if moved != self.moved {
            self.moved = moved;
            scope.watchdog.arm(self.idle_limit);
        } else if scope.watchdog.expired() {
            // A stream on which nothing moves is kept while the client reads: only what we could
            // not write for so long means a client that has stopped.
            if down.has_unsent() {
                worker.metrics.limit(Limit::BodyIdle);
                return gave_up(Reason::ClientGone, "the client stopped reading");
            }
            if self.silence {
                return gave_up(Reason::UpstreamTimeout, "both sides were silent for too long");
            }
            scope.watchdog.arm(self.idle_limit);
        }
        if let Some(bound) = &self.bound
            && let Poll::Ready(reason) = bound.poll(cx, scope.watchdog)
        {
            let is_uploading = !self.sender.is_done() && !self.upload_broken && !x.body.is_held();
            x.decided.client_lags = down.has_unsent() || (is_uploading && down.chunk().is_empty());
            return gave_up(reason, "the request took too long");
        }
        if worker.phase() == Phase::Forced {
            return gave_up(Reason::Draining, "the drain deadline passed");
        }
        if scope.conn.is_refused() {
            return gave_up(Reason::Forbidden, "the destination was closed to its caller");
        }
        Poll::Pending
    }
}

fn gave_up(reason: Reason, detail: &str) -> Poll<Result<(), (Reason, String)>> {
    Poll::Ready(Err((reason, detail.into())))
}
