//! What is counted of upstream connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use weft_model::id::BackendId;
use weft_runtime::metrics::{Collect, Counter, Gauge, Sink};

/// More backends than this share one series, `other`, so that a scrape stays bounded whatever the
/// configuration.
const BACKENDS_SHOWN_MAX: usize = 2_000;

/// The cells of one backend in one worker.
#[derive(Debug, Default)]
pub struct BackendCells {
    /// Connections made.
    pub connects: Counter,
    /// Attempts to connect that failed.
    pub connect_failures: Counter,
    /// Requests sent on a connection that had been used before.
    pub reuses: Counter,
    /// Requests sent again because a reused connection turned out to be closed.
    pub replays: Counter,
    /// Attempts after the first that a retry policy asked for.
    pub retries: Counter,
    /// Requests in flight.
    pub in_flight: Gauge,
}

/// The cells of all backends that one worker has used.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    backends: Mutex<HashMap<BackendId, Arc<BackendCells>>>,
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    /// A backend's cells; kept for the life of the process, so that a counter never goes back.
    pub(crate) fn cells(&self, id: &BackendId) -> Arc<BackendCells> {
        // Short: one look-up; taken by the scrape and at the first use of a backend only.
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cells) = backends.get(id) {
            return cells.clone();
        }
        let shown = backends.len() < BACKENDS_SHOWN_MAX;
        let id = if shown { id.clone() } else { BackendId::new("other") };
        backends.entry(id).or_default().clone()
    }
}

impl Collect for UpstreamMetrics {
    fn collect(&self, sink: &mut Sink) {
        for (id, cells) in self.backends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = [("backend", id.as_str())];
            let BackendCells { connects, connect_failures, reuses, replays, retries, in_flight } =
                &**cells;
            for (name, help, counter) in [
                ("weftway_upstream_connects_total", "Connections made to upstreams.", connects),
                (
                    "weftway_upstream_connect_failures_total",
                    "Attempts to connect to an upstream that failed.",
                    connect_failures,
                ),
                (
                    "weftway_upstream_reuses_total",
                    "Requests sent on a pooled upstream connection.",
                    reuses,
                ),
                (
                    "weftway_upstream_replays_total",
                    "Requests sent again because a pooled connection had been closed.",
                    replays,
                ),
                (
                    "weftway_upstream_retries_total",
                    "Attempts after the first that a policy asked for.",
                    retries,
                ),
            ] {
                sink.counter(name, help, &labels, counter.value());
            }
            sink.gauge(
                "weftway_upstream_requests_in_flight",
                "Requests sent to upstreams and not yet answered in full.",
                &labels,
                in_flight.value() as f64,
            );
        }
    }
}
