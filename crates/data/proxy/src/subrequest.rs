//! Requests of our own: to an authorizer, for an error page, copies for a mirror.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::{HeadError, ReadError, WriteError};
use weft_message::h1::{BodyFraming, HeadLimits};
use weft_message::{Known, RequestHead, ResponseHead};
use weft_model::outcome::Reason;
use weft_model::policy::AnswerDiff;
use weft_runtime::{task, time};
use weft_upstream::error::{ConnectError, PickError};
use weft_upstream::{Ask, Backend, Connection, Copied, Dialled, Lease, Speaks, Tried};

use crate::attempt::{self, Sending};
use crate::compare::{self, Compared, Seen, Turn};
use crate::exchange::Exchange;
use crate::request::Scope;
use crate::spool::{Cursor, Spool, Whole};
use crate::worker::Worker;
use crate::{body_steps, respond, select};

/// A request of ours that takes longer is given up: a client waits for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// What is read of a mirror's answer before its connection is dropped instead.
const MIRROR_ANSWER_BYTES_MAX: u64 = 64 << 10;

const RESPONSE_HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 64 << 10, fields_max: 256, target_bytes_max: 0 };

/// A request of ours.
struct Subrequest<'a> {
    head: RequestHead,
    body: Option<&'a Spool>,
    how: Spoken,
    /// More of an answer is not read.
    answer_max: u64,
}

/// What a request has to be sent over.
#[derive(Debug, Clone, Copy)]
struct Spoken {
    speaks: Speaks,
    te_trailers: bool,
}

/// A copy that is to be sent.
struct Copy {
    backend: Rc<Backend>,
    head: RequestHead,
    body: Option<Rc<Spool>>,
    how: Spoken,
    compared: Option<(Rc<Seen>, AnswerDiff)>,
    /// Held until it has ended.
    _copied: Copied,
}

/// A request of ours failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no endpoint can be picked")]
    Pick(#[source] PickError),
    #[error("the endpoint cannot be reached")]
    Connect(#[source] ConnectError),
    #[error("the request could not be sent")]
    Write(#[source] WriteError),
    #[error("no answer came")]
    Head(#[source] HeadError),
    #[error("the answer broke off")]
    Read(#[source] ReadError),
    #[error("the answer is too large")]
    TooLarge(Box<ResponseHead>),
    #[error("no answer came in time")]
    Timeout,
}

// === impl FetchError ===

impl FetchError {
    /// What it says of the endpoint.
    fn reason(&self) -> Reason {
        match self {
            Self::Pick(error) => error.reason(),
            Self::Connect(error) => error.reason(),
            Self::Write(_) => Reason::UpstreamReset,
            Self::Head(error) if error.is_malformed() => Reason::UpstreamProtocol,
            Self::Read(error) if error.is_malformed() => Reason::UpstreamProtocol,
            Self::Head(_) | Self::Read(_) => Reason::UpstreamReset,
            Self::TooLarge(_) => Reason::UpstreamTooLarge,
            Self::Timeout => Reason::UpstreamTimeout,
        }
    }
}

// === functions ===

/// Sends a request and reads the whole answer.
pub(crate) async fn fetch(
    scope: &Scope<'_>,
    backend: &Rc<Backend>,
    head: RequestHead,
    body: Option<&Spool>,
    answer_max: u64,
) -> Result<(ResponseHead, Vec<u8>), FetchError> {
    let how = Spoken { speaks: Speaks::Any, te_trailers: false };
    let request = Subrequest { head, body, how, answer_max };
    fetch_for(&scope.conn.worker, backend, request).await
}

/// Sends the copies that were decided on, each in a task of its own; nobody waits for them. One that
/// would be too many beside those under way to the same backend is dropped, and counted there.
pub(crate) fn send_mirrors(scope: &Scope<'_>, x: &mut Exchange) {
    if x.decided.mirrors.is_empty() {
        return;
    }
    let body = x.body.take().map(Rc::new);
    let seen: Option<Rc<Seen>> = x.decided.seen.take().map(Into::into);
    // As the request itself was: who takes gRPC takes the copies of it in no other form.
    let how = Spoken { speaks: attempt::speaks(scope, x), te_trailers: x.facts.te_trailers };
    for mirror in std::mem::take(&mut x.decided.mirrors) {
        let body = match (&body, mirror.body) {
            (_, false) => None,
            (Some(body), true) => Some(body.clone()),
            // Too large to have been copied: not mirrored, as promised.
            (None, true) => continue,
        };
        let too_large = |max| body.as_ref().is_some_and(|body| body.len() > max);
        if mirror.body_bytes_max.is_some_and(too_large) {
            continue;
        }
        let worker = scope.conn.worker.clone();
        let Some(backend) = select::aside(&worker, &mirror.target, None) else { continue };
        let held = body.as_ref().map_or(0, |body| body.memory_bytes());
        let Some(copied) = backend.begin_copy(held) else { continue };
        let compared = seen.clone().zip(mirror.compared);
        let compared = compared.filter(|(seen, how)| seen.is_drawn(scope, how));
        let mut head = x.req.clone();
        if body.is_none() {
            head.fields.remove(Known::ContentLength);
        }
        let copy = Copy { backend, head, body, how, compared, _copied: copied };
        task::spawn("mirror", async move { mirror_to(&worker, copy).await });
    }
}

async fn mirror_to(worker: &Rc<Worker>, copy: Copy) {
    let Copy { backend, head, body, how, compared, _copied } = copy;
    let turn = compared.as_ref().and_then(|_| Turn::take(worker));
    let answer_max = match &turn {
        Some(_) => compare::ANSWER_BYTES_MAX,
        None => MIRROR_ANSWER_BYTES_MAX,
    };
    let shown = if compared.is_some() { head.clone() } else { RequestHead::new() };
    let request = Subrequest { head, body: body.as_deref(), how, answer_max };
    let sent = fetch_for(worker, &backend, request).await;
    if let Err(error) = &sent {
        tracing::debug!(backend = %backend.settings().id, %error, "a mirrored request failed");
    }
    let Some((seen, how)) = compared else { return };
    let outcome = match (&turn, &sent) {
        (None, _) => (Compared::Skipped, 0),
        (Some(_), Ok((head, body))) => (seen.compare(&how, head, Some(body)), head.status()),
        (Some(_), Err(FetchError::TooLarge(head))) if !how.body => {
            (seen.compare(&how, head, None), head.status())
        }
        (Some(_), Err(_)) => (Compared::Failed, 0),
    };
    compare::record(worker, &shown, backend.settings().id.as_str(), &seen, outcome);
}

async fn fetch_for(
    worker: &Rc<Worker>,
    backend: &Rc<Backend>,
    mut request: Subrequest<'_>,
) -> Result<(ResponseHead, Vec<u8>), FetchError> {
    let lease = backend
        .pick(&Ask::new(worker.now(), &Tried::default()), &worker.rng)
        .map_err(FetchError::Pick)?;
    let exchange = exchange(worker, &lease, &mut request);
    let result = match time::timeout(FETCH_TIMEOUT, exchange).await {
        Ok(result) => result,
        Err(time::Elapsed) => Err(FetchError::Timeout),
    };
    if let Err(error) = &result {
        lease.failed(worker.now(), error.reason());
    }
    result
}

/// On a pooled connection that turns out to be closed, the request is sent once more, on a new one:
/// nobody has answered it, and what asks here (an authorizer, an error page) has no side effects.
/// Copies for mirrors are sent once.
async fn exchange(
    worker: &Rc<Worker>,
    lease: &Lease,
    request: &mut Subrequest<'_>,
) -> Result<(ResponseHead, Vec<u8>), FetchError> {
    let replayable = request.head.method().is_idempotent();
    let speaks = request.how.speaks;
    if let Some(Dialled { connection, idle }) = lease.pooled(worker.now(), replayable, speaks) {
        match exchange_on(worker, lease, connection, request).await {
            Err(FetchError::Write(_) | FetchError::Head(HeadError::Closed)) if replayable => {
                lease.stale(idle.unwrap_or_default());
            }
            result => return result,
        }
    }
    // Rare, so its state does not make every request's larger.
    let dialled = Box::pin(lease.dial(&worker.buffers, request.head.host(), speaks)).await;
    let Dialled { connection, .. } = dialled.map_err(FetchError::Connect)?;
    exchange_on(worker, lease, connection, request).await
}

async fn exchange_on(
    worker: &Rc<Worker>,
    lease: &Lease,
    connection: Connection,
    request: &mut Subrequest<'_>,
) -> Result<(ResponseHead, Vec<u8>), FetchError> {
    let Subrequest { head, body, how, answer_max } = request;
    let framing = match body.map_or(0, Whole::len) {
        0 => BodyFraming::None,
        length => BodyFraming::Length(length),
    };
    let sending = Sending { framing, upgrade: None, te_trailers: how.te_trailers };
    let mut up = sending.begin(head, connection).map_err(FetchError::Write)?;
    send(&mut up, *body).await.map_err(FetchError::Write)?;
    let mut rsp = ResponseHead::default();
    let keep_alive = read_head(&mut up, head, &mut rsp).await.map_err(FetchError::Head)?;
    lease.answered(worker.now(), &rsp);
    weft_message::peer::take_retried(&mut rsp.fields);
    let answer = body_steps::read_response(&mut up, *answer_max).await.map_err(FetchError::Read)?;
    let Some(answer) = answer else { return Err(FetchError::TooLarge(Box::new(rsp))) };
    let now = worker.now();
    lease.ended(now, up.trailers());
    if let Leg::H1(conn) = up
        && keep_alive
    {
        lease.give_back(now, conn);
    }
    Ok((rsp, answer))
}

async fn send(up: &mut Leg, body: Option<&Spool>) -> Result<(), WriteError> {
    let mut sent = Cursor::default();
    poll_fn(|cx| match body {
        Some(body) => respond::poll_send_all(cx, up, body, &mut sent),
        None => up.poll_finish(cx, None),
    })
    .await
}

async fn read_head(
    up: &mut Leg,
    head: &RequestHead,
    rsp: &mut ResponseHead,
) -> Result<bool, HeadError> {
    poll_fn(|cx| {
        loop {
            let (interim, keep_alive) = match up {
                Leg::H1(conn) => {
                    let facts = std::task::ready!(conn.poll_response(
                        cx,
                        &RESPONSE_HEAD,
                        head.method(),
                        rsp
                    ))?;
                    (facts.interim, facts.keep_alive)
                }
                Leg::H2(stream) => {
                    std::task::ready!(stream.poll_response(cx, &RESPONSE_HEAD, rsp))?;
                    (false, true)
                }
            };
            if !interim {
                return std::task::Poll::Ready(Ok(keep_alive));
            }
        }
    })
    .await
}
