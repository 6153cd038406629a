//! Until when a request has to be answered, and who is told.
//!
//! The request itself may say how much time its sender has left, and its route may bound it. What
//! holds is the lesser of the two; upstream it is told in what is left of it.

use std::task::{Context, Poll};
use std::time::Instant;

use weft_model::outcome::Reason;
use weft_policy::answer::Form;
use weft_policy::deadline::{self, Told};
use weft_resilience::deadline::Deadline;
use weft_runtime::deadline::Watchdog;
use weft_upstream::{Backend, Lease};

use crate::exchange::Exchange;
use crate::request::{Scope, Stop};

/// The earliest of the moments at which waiting ends, and why it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    at: Instant,
    reason: Reason,
}

// === impl Bound ===

impl Bound {
    /// The earlier of two; `None` when neither is bounded.
    pub(crate) fn earliest(one: (Deadline, Reason), other: (Deadline, Reason)) -> Option<Self> {
        let (deadline, reason) = match (one.0.instant(), other.0.instant()) {
            (Some(first), Some(second)) if second < first => other,
            (Some(_), _) => one,
            (None, _) => other,
        };
        Some(Self { at: deadline.instant()?, reason })
    }

    /// Ready with the reason when nobody is to wait any more.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, watchdog: &Watchdog) -> Poll<Reason> {
        watchdog.poll_until(cx, self.at).map(|()| self.reason)
    }

    /// Whether it is later than that.
    pub(crate) fn is_after(&self, at: Instant) -> bool {
        self.at > at
    }
}

// === functions ===

/// Sets until when the request has to be answered. The route's bound does not count the time for
/// which a fault has held the request up; the client's does, unless the backend's settings say that
/// it is to be ignored.
///
/// # Errors
///
/// When that is over already.
pub(crate) fn decide(scope: &Scope<'_>, x: &mut Exchange, backend: &Backend) -> Result<(), Stop> {
    let ignores = backend.settings().calling.ignores_deadlines;
    if ignores {
        deadline::remove(&mut x.req.fields);
    }
    let (said, mut told) = deadline::read(&x.req.fields);
    let by_route = x.route.as_ref().and_then(|route| route.route.timeouts.request);
    if said.is_none() && by_route.is_none() {
        // A target that was left may have had more to say.
        x.decided.told = Told::default();
        x.decided.by_client = false;
        x.decided.deadline = Deadline::NEVER;
        return Ok(());
    }
    if by_route.is_some() && scope.conn.meant().is_some() && !ignores {
        told.envoy = true;
        told.grpc |= x.decided.form == Form::Grpc;
    }
    x.decided.told = told;
    let now = scope.conn.worker.now();
    let started = x.record.started.unwrap_or(now);
    let by_route = by_route.map(|limit| limit.saturating_add(x.decided.delayed));
    x.decided.by_client = said.is_some_and(|said| by_route.is_none_or(|limit| said < limit));
    x.decided.deadline =
        Deadline::after_some(started, said).earliest(Deadline::after_some(started, by_route));
    match x.decided.deadline.expired(now) {
        true => Err(Stop::because(Reason::RequestTimeout, "no time was left to send it")),
        false => Ok(()),
    }
}

/// Tells upstream what is left.
pub(crate) fn tell(x: &mut Exchange, now: Instant) {
    if let Some(left) = x.decided.deadline.remaining(now) {
        deadline::write(&mut x.req.fields, left, x.decided.told);
    }
}

/// The bound on what is still to come of an answer.
pub(crate) fn bound(x: &Exchange) -> Option<Bound> {
    let request = (x.decided.deadline, Reason::RequestTimeout);
    Bound::earliest(request, (x.decided.answer_by, Reason::UpstreamTimeout))
}

/// Says that an attempt has failed, for what is known of its endpoint. Clients have no endpoint set
/// aside: neither by deadlines that nobody can keep, nor by sending or reading slowly.
pub(crate) fn note_failed(x: &Exchange, lease: &Lease, now: Instant, reason: Reason) {
    let is_clients = match reason {
        Reason::RequestTimeout => x.decided.by_client || x.decided.client_lags,
        Reason::UpstreamTimeout => x.decided.client_lags,
        _ => false,
    };
    if !is_clients {
        lease.failed(now, reason);
    }
}

/// The whole request was sent: from now on the answer has the time that the route gives it.
pub(crate) fn note_sent(x: &mut Exchange, now: Instant) {
    let limit = x.route.as_ref().and_then(|route| route.route.timeouts.response);
    if limit.is_some() && x.decided.answer_by == Deadline::NEVER {
        x.decided.answer_by = Deadline::after_some(now, limit);
    }
}
