//! Retries that were spent further down, so that nobody up the chain spends more on one failure.
//!
//! A workload that is called often fails because a call of its own has failed, after all the tries
//! that its policy allows. If its callers tried again in turn, tries would multiply from hop to hop.
//! The application need not help: its proxy sees both sides, and says of an answer that fails while
//! such a call failed that retries were spent on it ([`weft_message::peer::RETRIED`]). An application
//! that retries in the process, past its proxy, says so itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use weft_message::{grpc, peer};
use weft_model::listener::Direction;

use crate::exchange::Exchange;
use crate::request::Scope;

/// When a call of the workload last failed with its retries spent, over all workers. Written then
/// only, and read only for answers that fail.
#[derive(Debug)]
pub(crate) struct Spent {
    epoch: Instant,
    /// Nanoseconds since the epoch, and one; 0 is never.
    last: AtomicU64,
}

// === impl Spent ===

impl Spent {
    /// Never so far. `epoch` is not later than the first request.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, last: AtomicU64::new(0) }
    }

    fn note(&self, now: Instant) {
        self.last.fetch_max(self.stamp(now), Relaxed);
    }

    fn is_since(&self, started: Instant) -> bool {
        self.last.load(Relaxed) >= self.stamp(started)
    }

    fn stamp(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX - 1) + 1
    }
}

// === functions ===

/// Notes that a call of the workload has failed and is not to be tried again by anybody. It has to
/// be known before the application hears of the failure.
pub(crate) fn note(scope: &Scope<'_>) {
    let worker = &scope.conn.worker;
    if scope.conn.meant().is_some_and(|meant| meant.direction == Direction::Outbound) {
        worker.live.spent().note(worker.now());
    }
}

/// Marks an answer of the application to a proxy of the mesh, if it fails and so has a call that the
/// application made meanwhile. One made for another request counts, too: nobody can tell. `is_said`
/// when the application has marked it itself, as one does that sends its calls again by itself.
pub(crate) fn mark(scope: &Scope<'_>, x: &mut Exchange, is_said: bool) {
    let is_since = |started| scope.conn.worker.live.spent().is_since(started);
    if is_peers(scope) && is_failure(x) && (is_said || x.record.started.is_some_and(is_since)) {
        peer::set_retried(&mut x.rsp.fields);
    }
}

/// Whether the application answers to a proxy of the mesh.
fn is_peers(scope: &Scope<'_>) -> bool {
    scope.conn.meant().is_some_and(|meant| meant.peer.is_some())
}

/// Whether an answer fails in a way for which requests are sent again.
fn is_failure(x: &Exchange) -> bool {
    x.rsp.status() >= 500 || grpc::status(&x.rsp.fields).is_some_and(|code| code != 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weft_runtime::time;

    use super::Spent;

    #[test]
    fn what_failed_meanwhile_is_known() {
        let start = time::now();
        let at = |millis| start + Duration::from_millis(millis);
        let spent = Spent::new(start);
        assert!(!spent.is_since(start), "nothing has failed");
        spent.note(at(5));
        assert!(spent.is_since(at(3)) && spent.is_since(at(5)));
        assert!(!spent.is_since(at(6)), "it was over before");
        spent.note(at(4));
        assert!(spent.is_since(at(5)), "workers come in any order");
    }
}
