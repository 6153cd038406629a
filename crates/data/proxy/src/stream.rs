//! Bodies flow, both ways at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::WriteError;
use weft_http::pump::{Pump, PumpError};
use weft_message::h1::BodyFraming;
use weft_model::outcome::Reason;
use weft_runtime::drain::Phase;
use weft_runtime::time;
use weft_upstream::Report;

use crate::attempt::{Answered, client_reason, describe};
use crate::body::SendError;
use crate::body_steps::Transform;
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::{Scope, Stop};
use crate::subrequest;

/// Streams the answer, and what is left of the request, until the answer is complete. `framing` is
/// what the client was told of its body.
pub(crate) async fn stream(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: Answered,
    framing: BodyFraming,
    transform: Option<Box<Transform>>,
) -> Result<Reason, Stop> {
    let worker = &scope.conn.worker;
    let Answered { mut up, lease, sender, keep_alive, .. } = answered;
    let mut flow = Flow {
        sender,
        upload_broken: false,
        response: Pump::new(),
        transform,
        promised: match framing {
            BodyFraming::None => Some(0),
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked | BodyFraming::UntilClose => None,
        },
        moved: u64::MAX,
        idle_limit: scope.body_idle(x),
        timer: request_timer(x, scope),
    };
    let result = poll_fn(|cx| flow.poll(cx, scope, x, down, &mut up)).await;
    x.record.request_bytes = flow.sender.bytes();
    x.record.response_bytes = flow.response_bytes();
    scope.watchdog.disarm();
    let uploaded = flow.sender.is_done();
    let now = worker.now();
    x.record.ended = Some(now);
    let head = x.record.response_head.unwrap_or(now);
    let latency = head.saturating_duration_since(lease.started());
    match result {
        Ok(()) => {
            lease.report(now, Report::Answered { status: x.rsp.status(), latency });
            if uploaded {
                subrequest::send_mirrors(scope, x);
            }
            match up {
                Leg::H1(conn) if keep_alive && uploaded => lease.give_back(now, conn),
                // The answer came before the end of the request: nobody wants the rest.
                Leg::H2(mut stream) if !uploaded => stream.reset(weft_http::h2::Reason::CANCEL),
                Leg::H1(_) | Leg::H2(_) => {}
            }
            Ok(Reason::Upstream)
        }
        Err((reason, detail)) => {
            let ours = reason.fault() != weft_model::outcome::Fault::Upstream;
            lease.report(now, if ours { Report::Unknown } else { Report::Failed });
            up.abort(weft_http::h2::Reason::CANCEL);
            Err(Stop::Cut(reason, Some(detail.into())))
        }
    }
}

struct Flow {
    sender: crate::body::Sender,
    /// The upstream takes no more of the request; its answer goes on all the same.
    upload_broken: bool,
    response: Pump,
    transform: Option<Box<Transform>>,
    /// How many bytes of a body the client waits for, if it knows.
    promised: Option<u64>,
    moved: u64,
    idle_limit: Duration,
    timer: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

// === impl Flow ===

impl Flow {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Poll<Result<(), (Reason, String)>> {
        self.poll_upload(cx, x, down, up)?;
        match self.poll_response(cx, down, up) {
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
        self.poll_patience(cx, scope, down)
    }

    fn response_bytes(&self) -> u64 {
        self.transform.as_ref().map_or(self.response.bytes, |transform| transform.bytes())
    }

    fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        x: &mut Exchange,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Result<(), (Reason, String)> {
        if self.sender.is_done() || self.upload_broken {
            return Ok(());
        }
        match self.sender.poll(cx, &mut x.body, down, up) {
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
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Leg,
        up: &mut Leg,
    ) -> Poll<Result<(), PumpError>> {
        match &mut self.transform {
            None => self.response.poll(cx, up, down),
            Some(transform) => transform.poll(cx, up, down),
        }
    }

    /// Whether to go on waiting.
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
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
            scope.watchdog.arm(self.idle_limit);
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            return gave_up(Reason::RequestTimeout, "the request took too long");
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

/// The bound on the whole request, if its route has one.
pub(crate) fn request_timer(
    x: &Exchange,
    scope: &Scope<'_>,
) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let limit = x.route.as_ref()?.route.timeouts.request?;
    let spent = scope.conn.worker.now() - x.record.started?;
    Some(Box::pin(time::sleep(limit.saturating_sub(spent))))
}
