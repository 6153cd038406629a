//! Steps that look at bodies: holding them, replacing error pages, compressing.

mod transform;

use std::future::poll_fn;

use weft_http::{BodyEvent, Leg};
use weft_message::h1::BodyFraming;
use weft_message::{Known, Method};
use weft_model::outcome::Reason;
use weft_model::policy::{Buffering, Coding, ErrorPages};
use weft_policy::answer::DirectResponse;
use weft_policy::{compress, errors};

use crate::attempt::{Answered, client_reason, describe};
use crate::body::{self, RequestBody};
use crate::exchange::Exchange;
use crate::metrics::Limit;
use crate::request::{Scope, Stop};
use crate::runtime::{StepRuntime, StepRuntimeKind, TargetRuntime};
use crate::{respond, select, subrequest};

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

/// Reads the request's body so that it can be looked at or sent again. A body larger than `max` is
/// refused with `refuse`, or, without it, what was read is sent first and the rest streams after,
/// once.
pub(crate) async fn hold(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    max: u64,
    refuse: Option<Reason>,
) -> Result<(), Stop> {
    if x.body.is_held() {
        return match (x.body.bytes(), refuse) {
            (Some(bytes), Some(reason)) if bytes.len() as u64 > max => {
                Err(too_large(scope, reason))
            }
            _ => Ok(()),
        };
    }
    if x.body.bytes().is_some() {
        // It was too large for an earlier step already.
        return refuse.map_or(Ok(()), |reason| Err(too_large(scope, reason)));
    }
    if let (BodyFraming::Length(length), Some(reason)) = (x.facts.framing, refuse)
        && length > max
    {
        return Err(too_large(scope, reason));
    }
    respond::send_continue(x, down);
    Box::pin(read_body(scope, x, down, max, refuse)).await
}

async fn read_body(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    max: u64,
    refuse: Option<Reason>,
) -> Result<(), Stop> {
    let mut bytes = Vec::new();
    let idle = weft_model::listener::Limits::DEFAULT.body_idle_timeout;
    scope.watchdog.arm(idle);
    let mut seen = 0;
    let ended = poll_fn(|cx| {
        // What we said (100 Continue) has to leave before the client sends anything.
        if let std::task::Poll::Ready(Err(error)) = down.poll_flush(cx) {
            let stop = Stop::because(Reason::ClientGone, describe(&error));
            return std::task::Poll::Ready(Err(stop));
        }
        let polled = body::poll_hold(cx, down, &mut bytes, max);
        if bytes.len() != seen {
            seen = bytes.len();
            scope.watchdog.arm(idle);
        } else if polled.is_pending() && scope.watchdog.expired() {
            scope.conn.worker.metrics.limit(Limit::BodyIdle);
            return std::task::Poll::Ready(Err(Stop::Refuse(Reason::BodyTimeout, None)));
        }
        polled.map_err(|error| Stop::because(client_reason(&error), describe(&error)))
    })
    .await?;
    scope.watchdog.disarm();
    x.record.request_bytes = bytes.len() as u64;
    match (ended, refuse) {
        (false, Some(reason)) => Err(too_large(scope, reason)),
        (ended, _) => {
            x.body = RequestBody::held(bytes, !ended);
            Ok(())
        }
    }
}

fn too_large(scope: &Scope<'_>, reason: Reason) -> Stop {
    scope.conn.worker.metrics.limit(Limit::BodyBytes);
    Stop::because(reason, "the request body is larger than a step of the route allows")
}

/// The error page that a response is to be replaced by.
pub(crate) fn wanted_page(x: &Exchange) -> Option<Page> {
    passed(x).find_map(|step| match &step.kind {
        StepRuntimeKind::Errors(settings, target) => {
            errors::wants(settings, x.rsp.status()).map(|status| Page {
                settings: settings.clone(),
                target: target.clone(),
                status,
            })
        }
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

/// Replaces an answer by an error page. When the page cannot be had, the answer goes out as it is.
pub(crate) async fn error_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: Answered,
    page: Page,
) -> Result<Reason, Stop> {
    let status = x.rsp.status();
    answered.discard(scope, status);
    let (body, content_type) = fetch_page(scope, x, &page, status).await.unwrap_or_default();
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

async fn fetch_page(
    scope: &Scope<'_>,
    x: &mut Exchange,
    page: &Page,
    status: u16,
) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let tls = scope.conn.tls.is_some();
    let question = errors::question(&page.settings, page.status, status, &x.req, tls)?;
    let backend = select::select(scope, x, &page.target).ok()?;
    let fetched = subrequest::fetch(scope, &backend, question, None, PAGE_BYTES_MAX).await;
    match fetched {
        Ok((head, body)) => {
            let content_type = head.fields.get(Known::ContentType).map(<[u8]>::to_vec);
            Some((body, content_type))
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
    let body = read_response(&mut answered.up, max).await;
    let status = x.rsp.status();
    let body = match body {
        Ok(Some(body)) => body,
        Ok(None) => {
            answered.up.abort(h2::Reason::CANCEL);
            return Err(Stop::Refuse(Reason::UpstreamTooLarge, None));
        }
        Err(error) => {
            answered.up.abort(h2::Reason::CANCEL);
            return Err(Stop::because(Reason::UpstreamReset, describe(&error)));
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

/// A whole body, or `None` when it is larger than `max`.
pub(crate) async fn read_response(
    up: &mut Leg,
    max: u64,
) -> Result<Option<Vec<u8>>, weft_http::error::ReadError> {
    let mut body = Vec::new();
    poll_fn(|cx| {
        loop {
            match std::task::ready!(up.poll_body(cx))? {
                BodyEvent::End => return std::task::Poll::Ready(Ok(true)),
                BodyEvent::Data => {
                    let chunk = up.chunk();
                    if (body.len() + chunk.len()) as u64 > max {
                        return std::task::Poll::Ready(Ok(false));
                    }
                    body.extend_from_slice(chunk);
                    let count = chunk.len();
                    up.consume(count);
                }
            }
        }
    })
    .await
    .map(|whole| whole.then_some(body))
}

/// The steps that the request has passed, the outermost last.
fn passed(x: &Exchange) -> impl Iterator<Item = &StepRuntime> {
    let route = x.route.as_ref().map_or(&[][..], |route| {
        &route.steps[..x.decided.steps_passed.min(route.steps.len())]
    });
    let choices = x.decided.choice_steps.iter().rev().flat_map(|steps| steps.iter().rev());
    choices.chain(route.iter().rev())
}
