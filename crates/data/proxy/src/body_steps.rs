//! Steps that look at bodies: holding them, replacing error pages, compressing.

mod transform;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use weft_http::error::ReadError;
use weft_http::pump::PumpError;
use weft_http::{BodyEvent, Leg};
use weft_message::h1::BodyFraming;
use weft_message::{Known, Method, ResponseHead};
use weft_model::outcome::Reason;
use weft_model::policy::{Buffering, Coding, ErrorPages};
use weft_policy::answer::DirectResponse;
use weft_policy::{compress, errors};
use weft_runtime::drain::Phase;

use crate::attempt::{Answered, client_reason, describe};
use crate::body::{self, HELD_BYTES_MAX, Hold, HoldError, SendError};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::passed::Place;
use crate::request::{Scope, Stop};
use crate::runtime::{StepRuntimeKind, TargetRuntime};
use crate::spool::{Spool, SpoolError};
use crate::{deadline, respond, select, subrequest};

pub(crate) use transform::Transform;

/// The most of an error page that is read.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// A page that replaces an answer.
pub(crate) struct Page {
    settings: Box<ErrorPages>,
    target: TargetRuntime,
    status: u16,
    /// Where the step is that asks for it: the page passes those around it.
    around: Place,
}

/// What came for it.
pub(crate) struct FetchedPage {
    head: ResponseHead,
    body: Vec<u8>,
}

/// Reads the whole body of the request before anything goes on, for a step that looks at it. One
/// larger than is held is refused with `reason`.
pub(crate) async fn hold(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    hold: Hold,
    reason: Reason,
) -> Result<(), Stop> {
    let declared = match x.facts.framing {
        BodyFraming::Length(length) => length,
        BodyFraming::None | BodyFraming::Chunked | BodyFraming::UntilClose => 0,
    };
    if declared.max(x.body.kept_bytes()) > hold.bytes_max {
        return Err(too_large(scope, reason));
    }
    if x.body.is_held() {
        return Ok(());
    }
    if !x.body.is_kept() {
        return Err(Stop::internal("the beginning of the body is gone"));
    }
    respond::send_continue(x, down);
    Box::pin(read_body(scope, x, down, hold, reason)).await
}

async fn read_body(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    hold: Hold,
    reason: Reason,
) -> Result<(), Stop> {
    let area = &scope.conn.worker.spool;
    let idle = scope.body_idle(x);
    scope.watchdog.arm(idle);
    let mut seen = x.body.kept_bytes();
    let ended = poll_fn(|cx| {
        // What we said (100 Continue) has to leave before the client sends anything.
        if let Poll::Ready(Err(error)) = down.poll_flush(cx) {
            let stop = Stop::because(Reason::ClientGone, describe(&error));
            return Poll::Ready(Err(stop));
        }
        let polled = x.body.poll_whole(cx, down, hold, area);
        if x.body.kept_bytes() != seen {
            seen = x.body.kept_bytes();
            scope.watchdog.arm(idle);
        } else if polled.is_pending() && scope.watchdog.expired() {
            scope.conn.worker.metrics.limit(Limit::BodyIdle);
            return Poll::Ready(Err(Stop::Refuse(Reason::BodyTimeout, None)));
        } else if polled.is_pending() && scope.conn.worker.phase() == Phase::Forced {
            return Poll::Ready(Err(Stop::Refuse(Reason::Draining, None)));
        }
        polled.map_err(|error| match error {
            HoldError::Read(error) => Stop::because(client_reason(&error), describe(&error)),
            HoldError::Spool(error) => no_room(&error),
        })
    })
    .await?;
    scope.watchdog.disarm();
    x.record.request_bytes = x.body.kept_bytes();
    if ended { Ok(()) } else { Err(too_large(scope, reason)) }
}

/// There is no room for a body that has to be held.
fn no_room(error: &SpoolError) -> Stop {
    Stop::because(Reason::NoRoom, describe(error))
}

fn too_large(scope: &Scope<'_>, reason: Reason) -> Stop {
    scope.conn.worker.metrics.limit(Limit::BodyBytes);
    Stop::because(reason, "the request body is larger than a step of the route allows")
}

/// The error page that an answer with this status is to be replaced by.
pub(crate) fn wanted_page(x: &Exchange, status: u16) -> Option<Page> {
    x.decided.passed.in_reverse().find_map(|(around, step)| match &step.kind {
        StepRuntimeKind::Errors(settings, target) => {
            let status = errors::wants(settings, status)?;
            Some(Page { settings: settings.clone(), target: target.clone(), status, around })
        }
        _ => None,
    })
}

/// The buffering that a response is to go through.
pub(crate) fn wanted_buffer(x: &Exchange) -> Option<Buffering> {
    x.decided.passed.in_reverse().find_map(|(_, step)| match &step.kind {
        StepRuntimeKind::Buffering(buffering, _) if buffering.response_bytes_max.is_some() => {
            Some((**buffering).clone())
        }
        _ => None,
    })
}

/// The coding that a response is to be compressed with; its head is changed to say so.
pub(crate) fn wanted_coding(x: &mut Exchange, framing: BodyFraming) -> Option<Coding> {
    let length = match framing {
        BodyFraming::None => return None,
        BodyFraming::Length(length) => Some(length),
        BodyFraming::Chunked | BodyFraming::UntilClose => None,
    };
    let settings = x.decided.passed.in_reverse().find_map(|(_, step)| match &step.kind {
        StepRuntimeKind::Compress(settings) => Some(settings.clone()),
        _ => None,
    })?;
    let is_head = *x.req.method() == Method::Head;
    if !compress::applies(&settings, &x.rsp, is_head, length) {
        return None;
    }
    // Whatever is chosen, a cache must know what it depended on. A head that is full is sent as
    // it is.
    compress::add_vary(&mut x.rsp).ok()?;
    let coding = compress::negotiate_fields(&x.req.fields, &settings)?;
    compress::edit(coding, &mut x.rsp).ok()?;
    Some(coding)
}

/// Replaces an upstream's answer by an error page.
pub(crate) async fn error_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: Answered,
    page: Page,
    fetched: FetchedPage,
) -> Result<Reason, Stop> {
    let status = x.rsp.status();
    answered.discard(scope);
    let detail = Some(format!("status {status} was replaced by an error page").into());
    Ok(send_page(scope, x, down, page, fetched, (Reason::Upstream, detail)).await)
}

/// Replaces an answer of ours by an error page.
pub(crate) async fn direct_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answer: DirectResponse,
    page: Page,
) -> Reason {
    match fetch_page(scope, x, &page, answer.status()).await {
        Some(fetched) => {
            let why = (answer.reason, answer.detail);
            send_page(scope, x, down, page, fetched, why).await
        }
        None => respond::direct(scope, x, down, answer).await,
    }
}

/// Sends a page under its status, with the headers that it came with: those of the answer that it
/// replaces are gone with it. Of the steps, those around the one that asked for it are passed.
async fn send_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    page: Page,
    fetched: FetchedPage,
    (reason, detail): (Reason, Option<Arc<str>>),
) -> Reason {
    let FetchedPage { mut head, body } = fetched;
    head.set_status(page.status);
    head.fields.strip_hop_by_hop();
    head.fields.remove(Known::ContentLength);
    x.decided.passed.go_back(page.around);
    let answer = DirectResponse { head, body: body.into(), reason, detail };
    respond::direct(scope, x, down, answer).await
}

/// Asks for an error page in the place of an answer with `status`. Without one, the answer that it
/// was to replace goes out as it is.
pub(crate) async fn fetch_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    page: &Page,
    status: u16,
) -> Option<FetchedPage> {
    let tls = scope.conn.tls.is_some();
    let question = errors::question(&page.settings, page.status, status, &x.req, tls)?;
    let key = Some(scope.conn.client_key());
    let backend = select::aside(&scope.conn.worker, &page.target, key)?;
    let fetched = subrequest::fetch(scope, &backend, question, None, PAGE_BYTES_MAX).await;
    match fetched {
        Ok((head, body)) => Some(FetchedPage { head, body }),
        Err(error) => {
            tracing::warn!(error = %describe(&error), "an error page could not be fetched");
            None
        }
    }
}

/// Reads a whole response before any of it is sent, as the buffering step asks.
pub(crate) async fn buffered(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    mut answered: Answered,
    buffering: Buffering,
) -> Result<Reason, Stop> {
    let hold = Hold {
        bytes_max: buffering.response_bytes_max.unwrap_or(HELD_BYTES_MAX),
        memory_bytes: buffering.response_memory_bytes,
    };
    let body = match read_buffered(scope, x, down, &mut answered, hold).await {
        Ok(body) => body,
        Err(stop) => {
            if let Stop::Refuse(reason, _) = &stop {
                deadline::note_failed(x, &answered.lease, scope.conn.worker.now(), *reason);
            }
            answered.up.abort(weft_http::h2::Reason::CANCEL);
            return Err(stop);
        }
    };
    answered.discard(scope);
    // The response has.
    x.decided.passed.clear();
    Ok(respond::whole(scope, x, down, &body, Reason::Upstream).await)
}

/// Reads the response while the rest of the request, if any, is still sent.
async fn read_buffered(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: &mut Answered,
    hold: Hold,
) -> Result<Spool, Stop> {
    let Answered { up, sender, .. } = answered;
    let mut body = Spool::default();
    let area = &scope.conn.worker.spool;
    let mut uploading = !sender.is_done();
    let bound = deadline::bound(x);
    let whole = poll_fn(|cx| {
        if uploading {
            match sender.poll(cx, &mut x.body, down, up) {
                Poll::Ready(Err(SendError::Pump(PumpError::Read(error)))) => {
                    let stop = Stop::because(client_reason(&error), describe(&error));
                    return Poll::Ready(Err(stop));
                }
                Poll::Ready(Err(error @ SendError::Held(_))) => {
                    return Poll::Ready(Err(Stop::because(Reason::Internal, describe(&error))));
                }
                Poll::Ready(_) => uploading = false,
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(read) = body::poll_hold(cx, up, &mut body, hold, area) {
            return Poll::Ready(read.map_err(|error| match error {
                HoldError::Spool(error) => no_room(&error),
                HoldError::Read(error) if error.is_malformed() => {
                    Stop::because(Reason::UpstreamProtocol, describe(&error))
                }
                HoldError::Read(error) => Stop::because(Reason::UpstreamReset, describe(&error)),
            }));
        }
        let gone = down.is_body_complete() && down.poll_gone(cx).is_ready();
        let late = bound.map_or(Poll::Pending, |bound| bound.poll(cx, scope.watchdog));
        let reason = match (gone, late) {
            (true, _) => Reason::ClientGone,
            (false, Poll::Ready(reason)) => reason,
            _ if scope.conn.worker.phase() == Phase::Forced => Reason::Draining,
            _ => return Poll::Pending,
        };
        Poll::Ready(Err(Stop::Refuse(reason, None)))
    })
    .await?;
    x.record.request_bytes = sender.bytes();
    if whole { Ok(body) } else { Err(Stop::Refuse(Reason::UpstreamTooLarge, None)) }
}

/// A whole body, or `None` when it is larger than `max`.
pub(crate) async fn read_response(up: &mut Leg, max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let mut body = Vec::new();
    let whole = poll_fn(|cx| poll_read_response(cx, up, max, &mut body)).await?;
    Ok(whole.then_some(body))
}

/// Appends to `body` what comes; false when that is more than `max`.
fn poll_read_response(
    cx: &mut Context<'_>,
    up: &mut Leg,
    max: u64,
    body: &mut Vec<u8>,
) -> Poll<Result<bool, ReadError>> {
    loop {
        match ready!(up.poll_body(cx))? {
            BodyEvent::End => return Poll::Ready(Ok(true)),
            BodyEvent::Data => {
                let chunk = up.chunk();
                if (body.len() + chunk.len()) as u64 > max {
                    return Poll::Ready(Ok(false));
                }
                body.extend_from_slice(chunk);
                let count = chunk.len();
                up.consume(count);
            }
        }
    }
}
