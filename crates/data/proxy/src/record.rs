//! The last phase: what happened is counted and written down.

use std::time::{Duration, Instant};

use weft_model::outcome::Reason;
use weft_resilience::breaker::Outcome;

use crate::exchange::{Exchange, Record};
use crate::live::Hold;
use crate::request::Scope;
use crate::sample;

/// Counts and logs an exchange that has ended, and lets go what it held.
pub(crate) fn record(scope: &Scope<'_>, x: &mut Exchange, reason: Reason) {
    let worker = &scope.conn.worker;
    let now = x.record.ended.unwrap_or_else(|| worker.now());
    let duration = duration(&x.record, now);
    release(x, 0, now, reason, x.record.status);
    let cells = match &x.route {
        Some(route) => &route.cells,
        None => &worker.metrics.unrouted,
    };
    let record = &x.record;
    cells.observe(record.status, duration, record.request_bytes, record.response_bytes);
    worker.metrics.reason(reason);
    if scope.conn.meant().is_some_and(|meant| meant.external) {
        worker.metrics.mesh.external_request(x.req.host());
    }
    if let Some(log) = &worker.log {
        log.request(scope, x, reason, duration);
    }
    sample::end(scope, x, reason, duration);
}

/// Lets go what the exchange holds, all but the first so many, and tells breakers how it went.
/// `status` is 0 where there is none.
pub(crate) fn release(x: &mut Exchange, first: usize, now: Instant, reason: Reason, status: u16) {
    for hold in x.decided.holds.drain(first..) {
        if let Hold::Breaker(breaker) = hold {
            let network_error = matches!(
                reason,
                Reason::ConnectFailed
                    | Reason::ConnectTimeout
                    | Reason::UpstreamTls
                    | Reason::IdentityRefused
                    | Reason::UpstreamReset
                    | Reason::UpstreamTimeout
            );
            let status = (status > 0).then_some(status);
            let latency = duration(&x.record, now);
            breaker.record(now, Outcome { status, network_error, latency });
        }
    }
}

fn duration(record: &Record, now: Instant) -> Duration {
    record.started.map_or(Duration::ZERO, |started| now - started)
}
