//! HTTP/2 connections from downstream.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use weft_http::Leg;
use weft_http::error::HeadError;
use weft_http::h2::{Accepted, Ended, Excess, Server, ServerSettings, Tunnel};
use weft_http::io::Io;
use weft_message::h1::BodyFraming;
use weft_message::{Fields, Known, Method};
use weft_model::listener::Limits;
use weft_model::outcome::Reason;
use weft_policy::answer::{Asker, DirectResponse};
use weft_runtime::drain::Phase;
use weft_runtime::{Watchdog, task, time};

use crate::captured::{self, Denied};
use crate::connection::{Connection, Via};
use crate::exchange::{Exchange, Facts};
use crate::front::{Front, Inside, Passage};
use crate::metrics::Limit;
use crate::request::{self, Scope};
use crate::serve_h1::parse_reason;
use crate::{record, respond};

/// How long a peer may take to end a connection that we have ended in order.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How long the last frame may take to leave when we end a connection at once.
const FORCE_GRACE: Duration = Duration::from_secs(1);

/// What the streams of a connection tell it.
#[derive(Debug, Default)]
struct Streams {
    /// Streams the client reset before they were answered, since the connection last looked.
    resets: Cell<u32>,
    /// Streams under way.
    open: Cell<u32>,
    /// What their heads take, bytes.
    head_bytes: Cell<usize>,
    /// Wakes the connection's task.
    waker: RefCell<Option<Waker>>,
}

/// A stream under way; counts until it is dropped.
struct OpenStream {
    streams: Rc<Streams>,
    head_bytes: usize,
}

/// How far the end of a connection has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Requests are welcome.
    Open,
    /// The client was told to send no more.
    Drained,
    /// What runs is cut off.
    Forced,
}

/// A connection, between two requests.
struct Serving {
    conn: Rc<Connection>,
    server: Server,
    streams: Rc<Streams>,
    watchdog: Watchdog,
    limits: Limits,
    heads_max: usize,
    served: u32,
    ending: Ending,
}

/// Serves a connection until it is closed.
pub(crate) async fn serve(conn: Rc<Connection>, io: Io) {
    let limits = limits(&conn);
    // What the client may send us unread, what we queue for it, and the heads of its requests
    // share the memory of a connection.
    let memory = limits.connection_memory_bytes_max;
    let window = limits.h2_connection_window_bytes.min(memory / 2);
    let share = ((memory - window) / 2) as usize;
    let settings = ServerSettings {
        streams_max: limits.h2_streams_max,
        head_bytes_max: limits.head_bytes_max,
        connection_window_bytes: window,
        stream_window_bytes: limits.h2_stream_window_bytes,
        resets_max: limits.h2_resets_max,
        control_frames_max: limits.h2_control_frames_max,
    };
    let handshake = time::timeout(
        limits.handshake_timeout,
        Server::handshake(io, &settings, &conn.worker.buffers),
    );
    let Ok(Ok(server)) = handshake.await else { return };
    let watchdog = poll_fn(|cx| Poll::Ready(conn.worker.deadlines.watchdog(cx))).await;
    watchdog.arm(limits.idle_timeout);
    let mut serving = Serving {
        conn,
        server,
        streams: Rc::default(),
        watchdog,
        heads_max: share,
        limits,
        served: 0,
        ending: Ending::Open,
    };
    while let Some(accepted) = poll_fn(|cx| serving.poll_accept(cx)).await {
        serving.begin(accepted);
    }
}

// === impl Serving ===

impl Serving {
    /// Waits for a request; `None` is the end of the connection.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        if self.streams.waker.borrow().is_none() {
            self.streams.waker.replace(Some(cx.waker().clone()));
        }
        self.watch_phase();
        self.watch_streams();
        if self.watchdog.expired() && !self.watch_time() {
            return Poll::Ready(None);
        }
        let polled = self.server.poll_accept(cx);
        self.watch_limits();
        match ready!(polled) {
            Ok(accepted) => Poll::Ready(Some(accepted)),
            Err(Ended::Closed) => Poll::Ready(None),
            Err(Ended::Failed(error)) => {
                tracing::debug!(client = %self.conn.client, %error, "an HTTP/2 connection failed");
                Poll::Ready(None)
            }
        }
    }

    /// Serves a request in a task of its own.
    fn begin(&mut self, accepted: Accepted) {
        let head_bytes = accepted.head_bytes();
        let held = self.streams.head_bytes.get();
        // A single one is as large as it is: how large is a limit of its own, and has an answer.
        if held > 0 && held + head_bytes > self.heads_max {
            self.conn.worker.metrics.limit(Limit::ConnectionMemory);
            // It counts like a reset: to go on like this is no way to use a connection.
            self.streams.resets.set(self.streams.resets.get() + 1);
            accepted.refuse();
            return;
        }
        self.served = self.served.saturating_add(1);
        if self.ending == Ending::Open {
            self.watchdog.arm(self.limits.idle_timeout);
            let last = self.limits.requests_per_connection_max;
            if last > 0 && self.served >= last {
                self.conn.worker.metrics.limit(Limit::RequestsPerConnection);
                self.drain();
            }
        }
        let open = OpenStream::new(&self.streams, head_bytes);
        if self.streams.open.get() == self.limits.h2_streams_max {
            self.conn.worker.metrics.limit(Limit::H2Streams);
        }
        task::spawn("h2-stream", serve_stream(self.conn.clone(), accepted, open));
    }

    fn watch_phase(&mut self) {
        if self.conn.worker.phase() == Phase::Forced {
            if self.ending != Ending::Forced {
                self.server.force();
                self.forced();
            }
        } else if self.ending == Ending::Open && self.conn.is_ending() {
            self.drain();
        }
    }

    /// What the streams have told since.
    fn watch_streams(&mut self) {
        for _ in 0..self.streams.resets.take() {
            self.server.count_reset(self.conn.worker.now());
        }
    }

    /// What the connection has told since it was polled.
    fn watch_limits(&mut self) {
        let metrics = &self.conn.worker.metrics;
        for _ in 0..self.server.take_queue_exhausted() {
            metrics.limit(Limit::ConnectionMemory);
        }
        for _ in 0..self.server.take_heads_exceeded() {
            metrics.limit(Limit::HeadBytes);
        }
        if let Some(excess) = self.server.take_excess() {
            metrics.limit(match excess {
                Excess::Resets => Limit::H2Resets,
                Excess::Frames(_) => Limit::H2ControlFrames,
                Excess::Head => Limit::HeadBytes,
            });
            let client = self.conn.client;
            tracing::info!(%client, %excess, "an HTTP/2 connection was ended: its client does too much");
            self.forced();
        } else if self.server.is_closing() && self.ending != Ending::Forced {
            self.forced();
        }
    }

    /// Time is up for what was waited for. False when nothing more is.
    fn watch_time(&mut self) -> bool {
        match self.ending {
            Ending::Open if self.streams.open.get() > 0 => {
                self.watchdog.arm(self.limits.idle_timeout);
            }
            // Nobody asked for anything for long.
            Ending::Open => {
                self.conn.worker.metrics.limit(Limit::IdleTimeout);
                self.drain();
            }
            Ending::Drained if self.streams.open.get() > 0 => self.watchdog.arm(CLOSE_GRACE),
            // The client does not take the hint.
            Ending::Drained => {
                self.server.force();
                self.forced();
            }
            Ending::Forced => return false,
        }
        true
    }

    fn drain(&mut self) {
        self.server.drain();
        self.ending = Ending::Drained;
        self.watchdog.arm(CLOSE_GRACE);
    }

    fn forced(&mut self) {
        self.ending = Ending::Forced;
        self.watchdog.arm(FORCE_GRACE);
    }
}

// === impl OpenStream ===

impl OpenStream {
    fn new(streams: &Rc<Streams>, head_bytes: usize) -> Self {
        streams.open.set(streams.open.get() + 1);
        streams.head_bytes.set(streams.head_bytes.get() + head_bytes);
        Self { streams: streams.clone(), head_bytes }
    }

    /// The client gave the stream up before it was answered.
    fn was_reset(&self) {
        self.streams.resets.set(self.streams.resets.get() + 1);
        if let Some(waker) = &*self.streams.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.open.set(self.streams.open.get() - 1);
        self.streams.head_bytes.set(self.streams.head_bytes.get() - self.head_bytes);
    }
}

// === functions ===

async fn serve_stream(conn: Rc<Connection>, accepted: Accepted, open: OpenStream) {
    let worker = conn.worker.clone();
    let watchdog = poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let mut x = worker.take_exchange();
    let tunnel = serve_request(&conn, &watchdog, &mut x, accepted).await;
    if x.record.status == Reason::ClientGone.status() {
        open.was_reset();
    }
    worker.give_exchange(x);
    drop(watchdog);
    if let Some((Passage { conn, upstream }, tunnel)) = tunnel {
        captured::at(conn, Io::Other(Box::new(tunnel)), upstream).await;
    }
}

/// Serves a request; gives a tunnel if it asked for one and may have it.
async fn serve_request(
    conn: &Connection,
    watchdog: &Watchdog,
    x: &mut Exchange,
    accepted: Accepted,
) -> Option<(Passage, Tunnel)> {
    let scope = Scope { conn, watchdog };
    let plan = conn.worker.plan();
    let shared = &conn.listener_in(&plan)?.shared;
    let (stream, result) =
        accepted.into_request(conn.scheme(), &shared.head_limits, &shared.path_rules, &mut x.req);
    let mut leg = Leg::H2(stream);
    if let Err(error) = result {
        refuse(&scope, x, &mut leg, &error).await;
        return None;
    }
    match facts(x, &leg) {
        Ok(facts) => x.facts = facts,
        Err((reason, detail)) => {
            finish(&scope, x, &mut leg, reason, Some(detail.into())).await;
            return None;
        }
    }
    let front = match &conn.via {
        Via::Mesh(front) | Via::Explicit(front) => front,
        Via::Bound | Via::Destination(_) => {
            request::handle(scope, x, &mut leg).await;
            return None;
        }
    };
    if *x.req.method() == Method::Connect {
        return Box::pin(open_tunnel(&scope, front, x, leg)).await;
    }
    let inner = match front.destination(conn, x).await {
        Ok(addr) => front.inner(conn, addr, Inside::Requests).await,
        Err(denied) => Err(denied),
    };
    match inner {
        Ok(inner) => {
            request::handle(Scope { conn: &inner, watchdog }, x, &mut leg).await;
        }
        Err(denied) => deny(&scope, x, &mut leg, denied).await,
    }
    None
}

/// Answers a CONNECT (RFC 9113 section 8.5): that the tunnel is open says that what is behind it
/// has taken the connection.
async fn open_tunnel(
    scope: &Scope<'_>,
    front: &Front,
    x: &mut Exchange,
    mut leg: Leg,
) -> Option<(Passage, Tunnel)> {
    let passage = match front.tunnel(scope.conn, x).await {
        Ok(passage) => passage,
        Err(denied) => {
            deny(scope, x, &mut leg, denied).await;
            return None;
        }
    };
    let Leg::H2(stream) = leg else { return None };
    Some((passage, Tunnel::accept(stream, Fields::new()).ok()?))
}

async fn deny(scope: &Scope<'_>, x: &mut Exchange, leg: &mut Leg, denied: Denied) {
    let Denied { why, refusal } = denied;
    scope.conn.worker.metrics.mesh.refused(why);
    x.decided.form = Asker::of(&x.req).form;
    let mut answer = respond::refusal(scope, x, refusal.reason, Some(refusal.detail));
    if *x.req.method() == Method::Connect && refusal.reason == Reason::ConnectFailed {
        // As other proxies with tunnels say that nobody listens.
        answer.head.set_status(503);
    }
    send(scope, x, leg, answer).await;
}

/// What the head says about the message, or why it is refused.
fn facts(x: &mut Exchange, leg: &Leg) -> Result<Facts, (Reason, &'static str)> {
    let bad = |detail| (Reason::BadRequest, detail);
    let length = x.req.fields.content_length();
    let length = length.map_err(|_| bad("the content length is malformed"))?;
    let complete = leg.is_body_complete();
    let framing = match (length, complete) {
        (None | Some(0), true) => BodyFraming::None,
        (Some(_), true) => {
            return Err(bad("the content length promises a body that is not there"));
        }
        (Some(length), false) => BodyFraming::Length(length),
        (None, false) => BodyFraming::Chunked,
    };
    let te_trailers = x.req.fields.get(Known::Te).is_some();
    let is_continue = |expect: &[u8]| expect.eq_ignore_ascii_case(b"100-continue");
    if !x.req.fields.get_all(Known::Expect).all(is_continue) {
        return Err((Reason::Expectation, "it expects something else than 100-continue"));
    }
    let expect_continue = x.req.fields.contains(Known::Expect);
    x.req.fields.strip_hop_by_hop();
    if *x.req.method() == Method::Connect {
        return Ok(Facts::default());
    }
    Ok(Facts { framing, te_trailers, expect_continue, ..Facts::default() })
}

/// A head that breaks HTTP's rules is a stream error (RFC 9113 section 8.1.1); one that breaks
/// only our limits or taste is answered.
async fn refuse(scope: &Scope<'_>, x: &mut Exchange, leg: &mut Leg, error: &HeadError) {
    let metrics = &scope.conn.worker.metrics;
    let reason = match error {
        HeadError::Parse(error) => {
            if let Some(limit) = Limit::of_head(*error) {
                metrics.limit(limit);
            }
            parse_reason(*error)
        }
        _ => Reason::BadRequest,
    };
    if reason == Reason::BadRequest {
        metrics.reason(reason);
        leg.abort(weft_http::h2::Reason::PROTOCOL_ERROR);
        return;
    }
    let detail = crate::attempt::describe(error);
    finish(scope, x, leg, reason, Some(detail.into())).await;
}

async fn finish(
    scope: &Scope<'_>,
    x: &mut Exchange,
    leg: &mut Leg,
    reason: Reason,
    detail: Option<Arc<str>>,
) {
    x.decided.form = Asker::of(&x.req).form;
    let answer = respond::refusal(scope, x, reason, detail);
    send(scope, x, leg, answer).await;
}

async fn send(scope: &Scope<'_>, x: &mut Exchange, leg: &mut Leg, answer: DirectResponse) {
    x.record.started = Some(scope.conn.worker.now());
    let reason = respond::direct(scope, x, leg, answer).await;
    record::record(scope, x, reason);
}

fn limits(conn: &Connection) -> Limits {
    let plan = conn.worker.plan();
    conn.listener_in(&plan)
        .map_or(Limits::DEFAULT, |listener| listener.shared.settings.limits.clone())
}
