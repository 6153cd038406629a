//! The way back: an upstream's answer, or one of our own.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weft_http::error::WriteError;
use weft_http::{BodyEvent, Leg};
use weft_message::h1::{BodyFraming, Persistence, write_response};
use weft_message::{Known, Method, peer};
use weft_model::outcome::Reason;
use weft_policy::answer::{self, Asker, DirectResponse};
use weft_policy::sticky;
use weft_runtime::drain::Phase;

use crate::attempt::Answered;
use crate::body_steps::{self, Transform};
use crate::exchange::Exchange;
use crate::request::{Scope, Stop};
use crate::spool::{Cursor, Whole};
use crate::{compare, spent, steps, stream, upgrade};

/// An answer of ours of which a client takes nothing for this time is given up.
const DIRECT_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a request's body, as far as it is there already, is thrown away for an answer that
/// does not need it; so that the connection can be used again.
const DISCARDED_BYTES_MAX: usize = 64 << 10;

/// Streams an upstream's answer to the client. The answer is taken out of `slot`; it stays there as
/// long as anything is waited for, so that it is not once more in every future on the way.
pub(crate) async fn upstream(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    slot: &mut Option<Answered>,
) -> Result<Reason, Stop> {
    let found = x.rsp.fields.strip_hop_by_hop();
    // Whoever has said it: it was read by now, and goes on only where it is set anew.
    let is_spent = peer::take_retried(&mut x.rsp.fields);
    let is_tunnel = slot.as_ref().is_some_and(|answered| answered.tunnel);
    if let Some(answered) = slot.take_if(|_| is_tunnel) {
        return Box::pin(upgrade::tunnel(scope, x, down, answered, found.upgrade)).await;
    }
    compare::begin(scope, x);
    steps::response(x).map_err(|error| {
        Stop::because(Reason::UpstreamTooLarge, format!("response headers: {error}"))
    })?;
    spent::mark(scope, x, is_spent);
    let status = x.rsp.status();
    if let Some(page) = body_steps::wanted_page(x, status)
        && let Some(fetched) = Box::pin(body_steps::fetch_page(scope, x, &page, status)).await
        && let Some(answered) = slot.take()
    {
        return Box::pin(body_steps::error_page(scope, x, down, answered, page, fetched)).await;
    }
    let has_body = slot.as_ref().is_some_and(|answered| answered.framing != BodyFraming::None);
    if has_body
        && let Some(buffering) = body_steps::wanted_buffer(x)
        && let Some(answered) = slot.take()
    {
        return Box::pin(body_steps::buffered(scope, x, down, answered, buffering)).await;
    }
    let Some(answered) = slot.take() else { return Err(Stop::internal("there is no answer")) };
    streamed(scope, x, down, answered)?.await
}

/// Begins the answer, and gives what goes on with it.
fn streamed<'a>(
    scope: &'a Scope<'_>,
    x: &'a mut Exchange,
    down: &'a mut Leg,
    answered: Answered,
) -> Result<impl Future<Output = Result<Reason, Stop>> + 'a, Stop> {
    add_marks(x);
    let mut framing = framing_downstream(x, answered.framing);
    let mut declared = answered.declared;
    let transform = body_steps::wanted_coding(x, answered.framing).map(|coding| {
        framing = framing_downstream(x, BodyFraming::Chunked);
        declared = BodyFraming::Chunked;
        Transform::new(coding)
    });
    begin(scope, x, down, framing, declared)
        .map_err(|error| Stop::Cut(Reason::ClientGone, Some(error.to_string().into())))?;
    Ok(stream::stream(scope, x, down, answered, framing, transform))
}

/// Sends an answer of our own.
pub(crate) async fn direct(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answer: DirectResponse,
) -> Reason {
    let DirectResponse { head, body, reason, detail } = answer;
    x.rsp = head;
    // Before the steps, which may replace or remove it.
    scope.conn.worker.date.put(&mut x.rsp);
    x.record.detail = detail;
    whole(scope, x, down, &*body, reason).await
}

/// Sends the answer whose head is in `x.rsp`, with a body that is there whole.
pub(crate) async fn whole<B: Whole + ?Sized>(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    body: &B,
    mut reason: Reason,
) -> Reason {
    // What cannot be edited into an error answer is left out of it: the answer itself protects.
    let _ = steps::response(x);
    add_marks(x);
    let is_head = *x.req.method() == Method::Head;
    let declared = BodyFraming::Length(body.len());
    let framing = if is_head { BodyFraming::None } else { declared };
    discard_arrived(x, down).await;
    let sent = match begin(scope, x, down, framing, declared) {
        Ok(()) if is_head => send_all(scope, down, &b""[..]).await.is_ok(),
        Ok(()) => send_all(scope, down, body).await.is_ok(),
        Err(_) => false,
    };
    if sent {
        x.record.response_bytes = if is_head { 0 } else { body.len() };
    } else {
        down.abort(weft_http::h2::Reason::CANCEL);
        reason = Reason::ClientGone;
    }
    reason
}

/// The answer for an error.
pub(crate) fn refusal(
    scope: &Scope<'_>,
    x: &Exchange,
    reason: Reason,
    detail: Option<Arc<str>>,
) -> DirectResponse {
    let mut answer = DirectResponse { detail, ..answer::error(reason, asker(scope, x)) };
    if reason.is_overflow() {
        // As Envoy says it; there is room for it in a head of ours.
        let _ = answer.head.fields.set(Known::XEnvoyOverloaded, b"true");
    }
    answer
}

/// What the form of an error answer depends on. A step may have taken the grounds for it away.
pub(crate) fn asker<'x>(scope: &'x Scope<'_>, x: &'x Exchange) -> Asker<'x> {
    Asker { form: x.decided.form, service: scope.conn.service(), ..Asker::of(&x.req) }
}

/// Passes an interim response (100, 103) on. It has to be flushed.
pub(crate) fn interim(x: &mut Exchange, down: &mut Leg) -> Result<(), WriteError> {
    x.rsp.fields.strip_hop_by_hop();
    if x.facts.http10 {
        return Ok(());
    }
    match down {
        Leg::H1(conn) => {
            let rsp = &x.rsp;
            conn.begin_message(BodyFraming::None, |out| {
                write_response(rsp, BodyFraming::None, Persistence::KeepAlive, out);
            });
            Ok(())
        }
        Leg::H2(stream) => stream.send_interim(&x.rsp),
    }
}

/// Tells a client that waits for it to go on with the body, because we are about to hold it.
pub(crate) fn send_continue(x: &mut Exchange, down: &mut Leg) {
    if !std::mem::take(&mut x.facts.expect_continue) {
        return;
    }
    x.req.fields.remove(Known::Expect);
    match down {
        Leg::H1(conn) => conn.begin_message(BodyFraming::None, |out| {
            out.extend_from_slice(weft_message::h1::CONTINUE);
        }),
        Leg::H2(stream) => {
            x.rsp.clear();
            x.rsp.set_status(100);
            // A client that is gone is noticed when its body is read.
            let _ = stream.send_interim(&x.rsp);
        }
    }
}

/// Puts the response's head on the downstream leg. `declared` is what the head says of a length
/// when no body follows.
pub(crate) fn begin(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    framing: BodyFraming,
    declared: BodyFraming,
) -> Result<(), WriteError> {
    x.record.status = x.rsp.status();
    let shown = match (framing, declared) {
        (BodyFraming::None, BodyFraming::Chunked) if x.facts.http10 => BodyFraming::None,
        (BodyFraming::None, declared) => declared,
        (framing, _) => framing,
    };
    match down {
        Leg::H1(conn) => {
            // With an answer this early, whether the rest of the request still comes is not known.
            let early = !conn.is_body_complete();
            let keep = keeps_alive(scope, x) && framing != BodyFraming::UntilClose && !early;
            let persistence = match (keep, x.facts.http10) {
                (true, false) => Persistence::KeepAlive,
                (true, true) => Persistence::KeepAliveHttp10,
                (false, _) => Persistence::Close,
            };
            let rsp = &x.rsp;
            conn.begin_message(framing, |out| {
                write_response(rsp, shown, persistence, out);
            });
            if !keep {
                conn.close_after_message();
            }
            Ok(())
        }
        Leg::H2(stream) => {
            if let BodyFraming::Length(length) = shown {
                // A number is a valid value, and there was room for it where it came from.
                let _ = x.rsp.fields.set(Known::ContentLength, length.to_string().as_bytes());
            }
            let end = matches!(framing, BodyFraming::None | BodyFraming::Length(0));
            stream.begin_response(&x.rsp, end)
        }
    }
}

/// Whether the client's connection may be used again after this response.
fn keeps_alive(scope: &Scope<'_>, x: &Exchange) -> bool {
    x.facts.keep_alive && !scope.conn.worker.is_draining()
}

/// How a body that comes framed like that is framed towards the client.
fn framing_downstream(x: &Exchange, upstream: BodyFraming) -> BodyFraming {
    match upstream {
        BodyFraming::None => BodyFraming::None,
        BodyFraming::Length(length) => BodyFraming::Length(length),
        BodyFraming::Chunked | BodyFraming::UntilClose if x.facts.http10 => BodyFraming::UntilClose,
        BodyFraming::Chunked | BodyFraming::UntilClose => BodyFraming::Chunked,
    }
}

fn add_marks(x: &mut Exchange) {
    let chosen = x.decided.marks.iter().map(|(affinity, value)| (&**affinity, *value));
    // The values are ours and valid; only a head that is full could refuse one.
    let _ = sticky::write_all(chosen, &x.req.fields, &mut x.rsp);
}

/// Throws away what has arrived of the request's body, without waiting for more.
async fn discard_arrived(x: &Exchange, down: &mut Leg) {
    let Leg::H1(conn) = down else { return };
    if conn.is_body_complete() || x.facts.expect_continue {
        return;
    }
    let mut discarded = 0;
    poll_fn(|cx| {
        while let Poll::Ready(Ok(BodyEvent::Data)) = conn.poll_body(cx) {
            let count = conn.chunk().len();
            conn.consume_body(count);
            discarded += count;
            if discarded > DISCARDED_BYTES_MAX {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
}

async fn send_all<B: Whole + ?Sized>(
    scope: &Scope<'_>,
    down: &mut Leg,
    body: &B,
) -> Result<(), WriteError> {
    let (mut sent, mut seen) = (Cursor::default(), 0);
    scope.watchdog.arm(DIRECT_IDLE_TIMEOUT);
    let result = poll_fn(|cx| {
        let polled = poll_send_all(cx, down, body, &mut sent);
        if polled.is_pending() && sent.at() != seen {
            seen = sent.at();
            scope.watchdog.arm(DIRECT_IDLE_TIMEOUT);
        } else if polled.is_pending()
            && (scope.watchdog.expired() || scope.conn.worker.phase() == Phase::Forced)
        {
            return Poll::Ready(Err(WriteError::Io(std::io::ErrorKind::TimedOut.into())));
        }
        polled
    })
    .await;
    scope.watchdog.disarm();
    result
}

/// Sends a body that is there whole; ready when all was sent, and flushed.
pub(crate) fn poll_send_all<B: Whole + ?Sized>(
    cx: &mut Context<'_>,
    to: &mut Leg,
    body: &B,
    sent: &mut Cursor,
) -> Poll<Result<(), WriteError>> {
    loop {
        let chunk = body.chunk(sent).map_err(WriteError::Io)?;
        if chunk.is_empty() {
            return to.poll_finish(cx, None);
        }
        let count = ready!(to.poll_send(cx, chunk))?;
        sent.advance(count);
    }
}
