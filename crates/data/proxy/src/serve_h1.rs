//! HTTP/1.1 connections from downstream.
//!
//! A connection is either idle or busy. Idle, it is this small future, holding no buffer and no
//! exchange. Its first byte makes it busy: it moves into a slot, a reused allocation that holds the
//! large future of a request, and moves back when no more bytes are there.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use weft_http::Leg;
use weft_http::error::HeadError;
use weft_http::h1::Conn;
use weft_message::Version;
use weft_message::h1::{ErrorClass, ParseError, RequestFacts};
use weft_model::listener::Limits;
use weft_model::outcome::Reason;
use weft_policy::answer::Asker;
use weft_runtime::Watchdog;
use weft_runtime::drain::Phase;

use crate::connection::{Connection, Via};
use crate::exchange::{Exchange, Facts};
use crate::metrics::Limit;
use crate::plan::ListenerPlan;
use crate::request::{self, After, Scope};
use crate::{front, record, respond};

/// How long a connection that is being closed may take to read what we sent last.
const LINGER: Duration = Duration::from_secs(2);

/// How much of a request's unread body is thrown away before a connection is closed on it. Many
/// clients send the whole body before they look for an answer, and lose it when the connection is
/// closed on them; more than this is no mistake.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// How long a connection that came just before the end may take to begin its first request: most
/// likely it came for one.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long an idle connection is still listened to before it is closed for the end, because a
/// request and a close may cross: the way there and back across an ocean.
const LAST_CALL: Duration = Duration::from_millis(200);

/// Slots kept for reuse: as many as requests are usually under way on a worker.
const SLOTS_KEPT_MAX: usize = 512;

/// A connection that has something to read, on its way into a slot and out of it.
pub(crate) struct Busy {
    conn: Rc<Connection>,
    h1: Box<Conn>,
    watchdog: Watchdog,
    served: u32,
}

/// The futures of busy connections, as reused allocations.
#[derive(Default)]
pub(crate) struct Slots(RefCell<Vec<Pin<Box<dyn Slot>>>>);

/// One reused allocation.
trait Slot {
    /// Puts a connection in.
    fn start(self: Pin<&mut Self>, busy: Busy);
    /// Serves it until it is idle again; `None` when it is closed.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Busy>>;
}

pin_project! {
    struct Serving<M, F> {
        make: M,
        #[pin]
        future: Option<F>,
    }
}

/// Serves a connection until it is closed.
pub(crate) async fn serve(conn: Rc<Connection>, h1: Box<Conn>) {
    let worker = conn.worker.clone();
    let watchdog = poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let mut busy = Busy { conn, h1, watchdog, served: 0 };
    loop {
        if !until_readable(&mut busy).await {
            return;
        }
        let mut slot = worker.slots.take();
        slot.as_mut().start(busy);
        let idle = poll_fn(|cx| slot.as_mut().poll(cx)).await;
        worker.slots.give(slot);
        match idle {
            Some(idle) => busy = idle,
            None => return,
        }
    }
}

/// Waits, owning next to nothing, for the first byte of a request.
async fn until_readable(busy: &mut Busy) -> bool {
    busy.watchdog.arm(limits(&busy.conn).idle_timeout);
    let Busy { conn, h1, watchdog, served } = busy;
    let mut hurries = false;
    poll_fn(|cx| {
        // A request that has arrived is served, draining or not: its client has done no wrong.
        if let Poll::Ready(readable) = h1.poll_readable(cx) {
            return Poll::Ready(readable.unwrap_or(false));
        }
        if watchdog.expired() {
            if !hurries {
                conn.worker.metrics.limit(Limit::IdleTimeout);
            }
            return Poll::Ready(false);
        }
        if conn.is_ending() {
            if conn.worker.phase() == Phase::Forced {
                return Poll::Ready(false);
            }
            // A request may be on its way already; closing would be its failure.
            if !hurries {
                hurries = true;
                watchdog.arm(if *served == 0 { DRAIN_GRACE } else { LAST_CALL });
            }
        }
        Poll::Pending
    })
    .await
}

/// The limits of a connection's listener.
pub(crate) fn limits(conn: &Connection) -> Limits {
    let plan = conn.worker.plan();
    conn.listener_in(&plan)
        .map_or(Limits::DEFAULT, |listener| listener.shared.settings.limits.clone())
}

/// Serves requests for as long as bytes are there.
pub(crate) async fn serve_busy(busy: Busy) -> Option<Busy> {
    let Busy { conn, h1, watchdog, mut served } = busy;
    let worker = conn.worker.clone();
    let mut x = worker.take_exchange();
    let mut leg = Leg::H1(h1);
    let after = loop {
        let scope = Scope { conn: &conn, watchdog: &watchdog };
        served += 1;
        let after = serve_one(scope, &mut x, &mut leg, served).await;
        x.clear();
        let more = match &leg {
            Leg::H1(h1) => h1.has_unread(),
            Leg::H2(_) => false,
        };
        if after != After::Reuse || !more {
            break after;
        }
    };
    worker.give_exchange(x);
    match (leg, after) {
        (Leg::H1(h1), After::Reuse) => Some(Busy { conn, h1, watchdog, served }),
        (Leg::H1(mut h1), After::Close) => {
            linger(&mut h1, &watchdog).await;
            None
        }
        (Leg::H1(_) | Leg::H2(_), _) => None,
    }
}

async fn serve_one(scope: Scope<'_>, x: &mut Exchange, leg: &mut Leg, served: u32) -> After {
    let worker = &scope.conn.worker;
    let plan = worker.plan();
    let Some(listener) = scope.conn.listener_in(&plan) else {
        let detail = "the listener is gone".into();
        return finish(&scope, x, leg, Reason::NoRoute, Some(detail)).await;
    };
    let limits = &listener.shared.settings.limits;
    scope.watchdog.arm(limits.head_timeout);
    let facts = match read_head(&scope, x, leg, listener).await {
        Ok(facts) => facts,
        Err(error) => return refuse(&scope, x, leg, error).await,
    };
    scope.watchdog.disarm();
    x.req.set_scheme(scope.conn.scheme());
    let found = x.req.fields.strip_hop_by_hop();
    let last = limits.requests_per_connection_max;
    let is_last = last > 0 && served >= last;
    if is_last {
        worker.metrics.limit(Limit::RequestsPerConnection);
    }
    x.facts = Facts {
        framing: facts.framing,
        keep_alive: facts.keep_alive && !is_last,
        expect_continue: facts.expect_continue,
        upgrade: found.upgrade.filter(|protocols| facts.upgrade && may_upgrade(protocols)),
        te_trailers: found.te_trailers,
        http10: x.req.version() == Version::Http10,
    };
    if facts.expect_unknown {
        return finish(&scope, x, leg, Reason::Expectation, None).await;
    }
    let inner;
    let conn = match &scope.conn.via {
        Via::Explicit(front) => match Box::pin(front::lead(&scope, front, x, leg)).await {
            Ok(led) => {
                inner = led;
                &*inner
            }
            Err(after) => return after,
        },
        Via::Bound | Via::Destination(_) | Via::Mesh(_) => scope.conn,
    };
    request::handle(Scope { conn, ..scope }, x, leg).await
}

/// HTTP/2 inside an upgraded connection would be requests that no policy sees: they are asked for
/// with the protocol's preface, or not at all (RFC 9113 section 3.1 has done away with `h2c`).
fn may_upgrade(protocols: &[u8]) -> bool {
    !protocols
        .split(|byte| *byte == b',')
        .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

/// Why there is no head.
enum NoHead {
    Error(HeadError),
    Timeout,
    Forced,
}

async fn read_head(
    scope: &Scope<'_>,
    x: &mut Exchange,
    leg: &mut Leg,
    listener: &ListenerPlan,
) -> Result<RequestFacts, NoHead> {
    let Leg::H1(h1) = leg else { return Err(NoHead::Forced) };
    let shared = &listener.shared;
    poll_fn(|cx| {
        let polled = h1.poll_request(cx, &shared.head_limits, &shared.path_rules, &mut x.req);
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map_err(NoHead::Error));
        }
        if scope.watchdog.expired() {
            return Poll::Ready(Err(NoHead::Timeout));
        }
        if scope.conn.worker.phase() == Phase::Forced {
            return Poll::Ready(Err(NoHead::Forced));
        }
        Poll::Pending
    })
    .await
}

/// Answers a head that could not be read, and closes.
async fn refuse(scope: &Scope<'_>, x: &mut Exchange, leg: &mut Leg, error: NoHead) -> After {
    let metrics = &scope.conn.worker.metrics;
    let (reason, detail) = match error {
        NoHead::Forced | NoHead::Error(HeadError::Closed | HeadError::Io(_) | HeadError::H2(_)) => {
            return After::Drop;
        }
        NoHead::Timeout => {
            metrics.limit(Limit::HeadTimeout);
            (Reason::HeadTimeout, None)
        }
        NoHead::Error(HeadError::Truncated) => (Reason::BadRequest, None),
        NoHead::Error(HeadError::Parse(error)) => {
            if let Some(limit) = Limit::of_head(error) {
                metrics.limit(limit);
            }
            (parse_reason(error), Some(crate::attempt::describe(&error).into()))
        }
    };
    finish(scope, x, leg, reason, detail).await
}

/// What a head that breaks the rules is answered with.
pub(crate) fn parse_reason(error: ParseError) -> Reason {
    match error.class() {
        ErrorClass::Malformed => Reason::BadRequest,
        ErrorClass::Ambiguous => match error {
            ParseError::Target(_) | ParseError::Host(_) | ParseError::HostMismatch => {
                Reason::AmbiguousTarget
            }
            _ => Reason::BadRequest,
        },
        ErrorClass::HeadTooLarge => Reason::HeadTooLarge,
        ErrorClass::TargetTooLong => Reason::TargetTooLong,
        ErrorClass::Version => Reason::HttpVersion,
    }
}

/// Answers with an error, and closes.
pub(crate) async fn finish(
    scope: &Scope<'_>,
    x: &mut Exchange,
    leg: &mut Leg,
    reason: Reason,
    detail: Option<std::sync::Arc<str>>,
) -> After {
    x.record.started = Some(scope.conn.worker.now());
    // Where the next message would start is not known any more.
    x.facts.keep_alive = false;
    x.decided.form = Asker::of(&x.req).form;
    let answer = respond::refusal(scope, x, reason, detail);
    let reason = Box::pin(respond::direct(scope, x, leg, answer)).await;
    record::record(scope, x, reason);
    After::Close
}

/// Closes so that the client can still read what we sent last: closing at once while it sends
/// would make its kernel throw our answer away.
async fn linger(h1: &mut Conn, watchdog: &Watchdog) {
    watchdog.arm(LINGER);
    let mut thrown = 0;
    poll_fn(|cx| {
        if watchdog.expired() || matches!(h1.poll_shutdown(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        loop {
            match h1.poll_discard(cx) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => {
                    thrown += count;
                    if thrown > LINGER_BYTES_MAX {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

// === impl Slots ===

impl Slots {
    fn take(&self) -> Pin<Box<dyn Slot>> {
        self.0
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Box::pin(Serving { make: |busy| serve_busy(busy), future: None }))
    }

    fn give(&self, slot: Pin<Box<dyn Slot>>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < SLOTS_KEPT_MAX {
            kept.push(slot);
        }
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({})", self.0.borrow().len())
    }
}

// === impl Serving ===

impl<M, F> Slot for Serving<M, F>
where
    M: Fn(Busy) -> F,
    F: Future<Output = Option<Busy>>,
{
    fn start(self: Pin<&mut Self>, busy: Busy) {
        let mut this = self.project();
        let future = (this.make)(busy);
        this.future.set(Some(future));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Busy>> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let idle = std::task::ready!(future.poll(cx));
        this.future.set(None);
        Poll::Ready(idle)
    }
}
