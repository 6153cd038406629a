//! Steps that look at bodies: holding them, replacing error pages, compressing.

mod transform;

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use weft_http::error::ReadError;
use weft_http::pump::PumpError;
use weft_http::{BodyEvent, Leg};
use weft_message::h1::BodyFraming;
use weft_message::{Known, Method};
use weft_model::outcome::Reason;
use weft_model::policy::{Buffering, Coding, ErrorPages};
use weft_policy::answer::DirectResponse;
use weft_policy::{compress, errors};
use weft_runtime::drain::Phase;

use crate::attempt::{Answered, client_reason, describe};
use crate::body::{self, RequestBody};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::{Scope, Stop};
use crate::runtime::{StepRuntime, StepRuntimeKind, TargetRuntime};
use crate::{respond, select, stream, subrequest};

pub(crate) use transform::Transform;

/// The most of one body that is held in memory where the user gives no bound.
pub(crate) const HELD_BYTES_MAX: u64 = 4 << 20;

/// The most of an error page that is read.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// A page that replaces an answer.
pub(crate) struct Page {
    settings: Box<ErrorPages>,
    target: TargetRuntime,
    status: u16,
}

/// What came for it.
pub(crate) struct FetchedPage {
    body: Vec<u8>,
    content_type: Option<Vec<u8>>,
}

/// Reads the whole body of the request before anything goes on, for a step that looks at it. One
/// larger than `max` is refused with `reason`.
pub(crate) async fn hold(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    max: u64,
    reason: Reason,
) -> Result<(), Stop> {
    let known = match (x.body.bytes(), x.facts.framing) {
        (Some(bytes), _) => Some(bytes.len() as u64),
        (None, BodyFraming::Length(length)) => Some(length),
        (None, _) => None,
    };
    if known.is_some_and(|length| length > max) {
        return Err(too_large(scope, reason));
    }
    if x.body.is_held() {
        return Ok(());
    }
    respond::send_continue(x, down);
    Box::pin(read_body(scope, x, down, max, reason)).await
}

async fn read_body(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    max: u64,
    reason: Reason,
) -> Result<(), Stop> {
    let mut bytes = Vec::new();
    let idle = scope.body_idle(x);
    scope.watchdog.arm(idle);
    let mut seen = 0;
    let ended = poll_fn(|cx| {
        // What we said (100 Continue) has to leave before the client sends anything.
        if let Poll::Ready(Err(error)) = down.poll_flush(cx) {
            let stop = Stop::because(Reason::ClientGone, describe(&error));
            return Poll::Ready(Err(stop));
        }
        let polled = body::poll_hold(cx, down, &mut bytes, max);
        if bytes.len() != seen {
            seen = bytes.len();
            scope.watchdog.arm(idle);
        } else if polled.is_pending() && scope.watchdog.expired() {
            scope.conn.worker.metrics.limit(Limit::BodyIdle);
            return Poll::Ready(Err(Stop::Refuse(Reason::BodyTimeout, None)));
        } else if polled.is_pending() && scope.conn.worker.phase() == Phase::Forced {
            return Poll::Ready(Err(Stop::Refuse(Reason::Draining, None)));
        }
        polled.map_err(|error| Stop::because(client_reason(&error), describe(&error)))
    })
    .await?;
    scope.watchdog.disarm();
    x.record.request_bytes = bytes.len() as u64;
    if !ended {
        return Err(too_large(scope, reason));
    }
    x.body = RequestBody::held(bytes);
    Ok(())
}

fn too_large(scope: &Scope<'_>, reason: Reason) -> Stop {
    scope.conn.worker.metrics.limit(Limit::BodyBytes);
    Stop::because(reason, "the request body is larger than a step of the route allows")
}

/// The error page that a response is to be replaced by.
pub(crate) fn wanted_page(x: &Exchange) -> Option<Page> {
    passed(x).find_map(|step| match &step.kind {
        StepRuntimeKind::Errors(settings, target) => errors::wants(settings, x.rsp.status())
            .map(|status| Page { settings: settings.clone(), target: target.clone(), status }),
        _ => None,
    })
}

/// The buffering that a response is to go through.
pub(crate) fn wanted_buffer(x: &Exchange) -> Option<Buffering> {
    passed(x).find_map(|step| match &step.kind {
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
    let settings = passed(x).find_map(|step| match &step.kind {
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

/// Replaces an answer by an error page.
pub(crate) async fn error_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: Answered,
    page: Page,
    fetched: FetchedPage,
) -> Result<Reason, Stop> {
    let status = x.rsp.status();
    answered.discard(scope, status);
    let FetchedPage { body, content_type } = fetched;
    x.rsp.fields.remove(Known::ContentEncoding);
    x.rsp.fields.remove(Known::ContentType);
    if let Some(content_type) = content_type {
        // It was valid in the page's own head.
        let _ = x.rsp.fields.set(Known::ContentType, &content_type);
    }
    x.rsp.set_status(page.status);
    let mut head = std::mem::take(&mut x.rsp);
    head.set_status(page.status);
    let answer = DirectResponse {
        head,
        body: body.into(),
        reason: Reason::Upstream,
        detail: Some(format!("status {status} was replaced by an error page").into()),
    };
    // The steps have seen this response already.
    x.decided.steps_passed = 0;
    x.decided.choice_steps.clear();
    Ok(respond::direct(scope, x, down, answer).await)
}

/// Asks for an error page. Without one, the answer that it was to replace goes out as it is.
pub(crate) async fn fetch_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    page: &Page,
) -> Option<FetchedPage> {
    let status = x.rsp.status();
    let tls = scope.conn.tls.is_some();
    let question = errors::question(&page.settings, page.status, status, &x.req, tls)?;
    let backend = select::select(scope, x, &page.target).ok()?;
    let fetched = subrequest::fetch(scope, &backend, question, None, PAGE_BYTES_MAX).await;
    match fetched {
        Ok((head, body)) => {
            let content_type = head.fields.get(Known::ContentType).map(<[u8]>::to_vec);
            Some(FetchedPage { body, content_type })
        }
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
    let max = buffering.response_bytes_max.unwrap_or(HELD_BYTES_MAX);
    let status = x.rsp.status();
    let body = match read_buffered(scope, x, down, &mut answered, max).await {
        Ok(body) => body,
        Err(stop) => {
            answered.up.abort(h2::Reason::CANCEL);
            return Err(stop);
        }
    };
    answered.discard(scope, status);
    let answer = DirectResponse {
        head: std::mem::take(&mut x.rsp),
        body: body.into(),
        reason: Reason::Upstream,
        detail: None,
    };
    x.decided.steps_passed = 0;
    x.decided.choice_steps.clear();
    Ok(respond::direct(scope, x, down, answer).await)
}

/// Reads the response while the rest of the request, if any, is still sent.
async fn read_buffered(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: &mut Answered,
    max: u64,
) -> Result<Vec<u8>, Stop> {
    let Answered { up, sender, .. } = answered;
    let mut body = Vec::new();
    let mut uploading = !sender.is_done();
    let mut timer = stream::request_timer(x, scope);
    let whole = poll_fn(|cx| {
        if uploading {
            match sender.poll(cx, &mut x.body, down, up) {
                Poll::Ready(Err(PumpError::Read(error))) => {
                    let stop = Stop::because(client_reason(&error), describe(&error));
                    return Poll::Ready(Err(stop));
                }
                Poll::Ready(_) => uploading = false,
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(read) = poll_read_response(cx, up, max, &mut body) {
            return Poll::Ready(read.map_err(|error| {
                let malformed = error.is_malformed();
                let reason =
                    if malformed { Reason::UpstreamProtocol } else { Reason::UpstreamReset };
                Stop::because(reason, describe(&error))
            }));
        }
        let gone = down.is_body_complete() && down.poll_gone(cx).is_ready();
        let late = timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        let reason = match (gone, late) {
            (true, _) => Reason::ClientGone,
            (false, true) => Reason::RequestTimeout,
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

/// The steps that the request has passed, the outermost last.
fn passed(x: &Exchange) -> impl Iterator<Item = &StepRuntime> {
    let route = x
        .route
        .as_ref()
        .map_or(&[][..], |route| &route.steps[..x.decided.steps_passed.min(route.steps.len())]);
    let choices = x.decided.choice_steps.iter().rev().flat_map(|steps| steps.iter().rev());
    choices.chain(route.iter().rev())
}
