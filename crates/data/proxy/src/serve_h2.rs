//! HTTP/2 connections from downstream.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use weft_http::Leg;
use weft_http::error::HeadError;
use weft_http::h2::{Accepted, Ended, Server, ServerSettings};
use weft_http::io::Io;
use weft_message::h1::BodyFraming;
use weft_message::{Known, Method};
use weft_model::listener::Limits;
use weft_model::outcome::Reason;
use weft_runtime::drain::Phase;
use weft_runtime::{Watchdog, task, time};

use crate::connection::Connection;
use crate::exchange::{Exchange, Facts};
use crate::metrics::Limit;
use crate::request::{self, Scope};
use crate::serve_h1::parse_reason;
use crate::{record, respond};

/// What the streams of a connection tell it.
#[derive(Debug, Default)]
struct Streams {
    /// Streams the client reset before they were answered, since the connection last looked.
    resets: Cell<u32>,
    /// Streams under way.
    open: Cell<u32>,
    /// Wakes the connection's task.
    waker: RefCell<Option<Waker>>,
}

/// Serves a connection until it is closed.
pub(crate) async fn serve(conn: Rc<Connection>, io: Io) {
    let limits = limits(&conn);
    let settings = ServerSettings {
        streams_max: limits.h2_streams_max,
        head_bytes_max: limits.head_bytes_max,
        connection_window_bytes: limits.h2_connection_window_bytes,
        stream_window_bytes: limits.h2_stream_window_bytes,
        send_buffer_bytes: limits.connection_memory_bytes_max as usize / 8,
        resets_max: limits.h2_resets_max,
    };
    let handshake = time::timeout(limits.handshake_timeout, Server::handshake(io, &settings));
    let Ok(Ok(mut server)) = handshake.await else { return };
    let worker = conn.worker.clone();
    let watchdog = poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let streams = Rc::new(Streams::default());
    let mut phase = Phase::Serving;
    watchdog.arm(limits.idle_timeout);
    loop {
        let accepted = poll_fn(|cx| {
            if streams.waker.borrow().is_none() {
                streams.waker.replace(Some(cx.waker().clone()));
            }
            watch_phase(&conn, &mut server, &mut phase);
            watch_resets(&conn, &mut server, &streams);
            if watchdog.expired() {
                if streams.open.get() == 0 {
                    // Nobody asked for anything for long: GOAWAY, and the end.
                    server.drain();
                    watchdog.disarm();
                } else {
                    watchdog.arm(limits.idle_timeout);
                }
            }
            server.poll_accept(cx)
        })
        .await;
        match accepted {
            Ok(accepted) => {
                watchdog.arm(limits.idle_timeout);
                streams.open.set(streams.open.get() + 1);
                let stream = serve_stream(conn.clone(), accepted, streams.clone());
                task::spawn("h2-stream", stream);
            }
            Err(Ended::Closed) => return,
            Err(Ended::TooManyResets) => return,
            Err(Ended::Failed(error)) => {
                if error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) {
                    worker.metrics.limit(Limit::H2Resets);
                }
                tracing::debug!(client = %conn.client, %error, "an HTTP/2 connection failed");
                return;
            }
        }
    }
}

fn watch_phase(conn: &Connection, server: &mut Server, seen: &mut Phase) {
    let phase = conn.worker.phase();
    if phase == *seen {
        return;
    }
    *seen = phase;
    match phase {
        Phase::Serving => {}
        Phase::Draining => server.drain(),
        Phase::Forced => server.force(),
    }
}

fn watch_resets(conn: &Connection, server: &mut Server, streams: &Streams) {
    for _ in 0..streams.resets.replace(0) {
        if server.count_reset(conn.worker.now()) {
            conn.worker.metrics.limit(Limit::H2Resets);
            return;
        }
    }
}

async fn serve_stream(conn: Rc<Connection>, accepted: Accepted, streams: Rc<Streams>) {
    let worker = conn.worker.clone();
    let watchdog = poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    let mut x = worker.take_exchange();
    serve_request(&conn, &watchdog, &mut x, accepted, &streams).await;
    worker.give_exchange(x);
    streams.open.set(streams.open.get() - 1);
}

async fn serve_request(
    conn: &Connection,
    watchdog: &Watchdog,
    x: &mut Exchange,
    accepted: Accepted,
    streams: &Streams,
) {
    let scope = Scope { conn, watchdog };
    let plan = conn.worker.plan();
    let Some(listener) = conn.listener_in(&plan) else { return };
    let shared = &listener.shared;
    let (stream, result) = accepted.into_request(
        conn.scheme(),
        &shared.head_limits,
        &shared.path_rules,
        &mut x.req,
    );
    let mut leg = Leg::H2(stream);
    if let Err(error) = result {
        refuse(&scope, x, &mut leg, &error).await;
        return;
    }
    match facts(x, &leg) {
        Ok(facts) => x.facts = facts,
        Err(detail) => {
            let answer = respond::refusal(&scope, x, Reason::BadRequest, Some(detail.into()));
            finish(&scope, x, &mut leg, answer).await;
            return;
        }
    }
    request::handle(scope, x, &mut leg).await;
    if x.record.status == Reason::ClientGone.status() {
        streams.resets.set(streams.resets.get() + 1);
        if let Some(waker) = &*streams.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

fn facts(x: &mut Exchange, leg: &Leg) -> Result<Facts, &'static str> {
    let length = x.req.fields.content_length().map_err(|_| "the content length is malformed")?;
    let complete = leg.is_body_complete();
    let framing = match (length, complete) {
        (None | Some(0), true) => BodyFraming::None,
        (Some(_), true) => return Err("the content length promises a body that is not there"),
        (Some(length), false) => BodyFraming::Length(length),
        (None, false) => BodyFraming::Chunked,
    };
    let te_trailers = x.req.fields.get(Known::Te).is_some();
    let expect_continue = x
        .req
        .fields
        .get(Known::Expect)
        .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
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
        HeadError::Parse(error) => parse_reason(*error),
        _ => Reason::BadRequest,
    };
    match reason {
        Reason::HeadTooLarge => metrics.limit(Limit::HeadBytes),
        Reason::TargetTooLong => metrics.limit(Limit::TargetBytes),
        Reason::BadRequest => {
            metrics.reason(reason);
            leg.abort(h2::Reason::PROTOCOL_ERROR);
            return;
        }
        _ => {}
    }
    let detail = crate::attempt::describe(error);
    let answer = respond::refusal(scope, x, reason, Some(detail.into()));
    finish(scope, x, leg, answer).await;
}

async fn finish(
    scope: &Scope<'_>,
    x: &mut Exchange,
    leg: &mut Leg,
    answer: weft_policy::answer::DirectResponse,
) {
    x.record.started = Some(scope.conn.worker.now());
    let reason = respond::direct(scope, x, leg, answer).await;
    record::record(scope, x, reason);
}

fn limits(conn: &Connection) -> Limits {
    let plan = conn.worker.plan();
    conn.listener_in(&plan)
        .map_or(Limits::DEFAULT, |listener| listener.shared.settings.limits.clone())
}

