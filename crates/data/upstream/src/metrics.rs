//! What is counted of upstream connections.

use std::cell::Cell;
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
    /// Attempts that a policy asked for and the retry budget did not allow.
    pub retries_denied: Counter,
    /// Requests in flight.
    pub in_flight: Gauge,
    /// Connections on which nothing is under way.
    pub idle: Gauge,
}

/// The cells of the connections to other proxies of the mesh, in one worker.
#[derive(Debug, Default)]
pub struct PeerCells {
    /// Connections made, and accepted by the other side.
    pub connects: Counter,
    /// Attempts to make one that failed or were given up.
    pub failures: Counter,
    /// Connections that are open.
    pub open: Gauge,
}

/// How many idle connections one backend adds to a gauge; takes them away when it is dropped.
#[derive(Debug)]
pub(crate) struct IdleShare {
    cells: Arc<BackendCells>,
    shown: Cell<i64>,
}

/// The cells of all backends that one worker has used.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    backends: Mutex<HashMap<BackendId, Arc<BackendCells>>>,
    peers: Arc<PeerCells>,
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    /// The cells of connections to other proxies.
    pub(crate) fn peers(&self) -> Arc<PeerCells> {
        Arc::clone(&self.peers)
    }

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
        self.peers.collect(sink);
        for (id, cells) in self.backends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = [("backend", id.as_str())];
            let BackendCells {
                connects,
                connect_failures,
                reuses,
                replays,
                retries,
                retries_denied,
                in_flight,
                idle,
            } = &**cells;
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
                (
                    "weftway_upstream_retries_denied_total",
                    "Attempts that a policy asked for and the retry budget did not allow.",
                    retries_denied,
                ),
            ] {
                sink.counter(name, help, &labels, counter.value());
            }
            for (name, help, gauge) in [
                (
                    "weftway_upstream_requests_in_flight",
                    "Requests sent to upstreams and not yet answered in full.",
                    in_flight,
                ),
                (
                    "weftway_upstream_connections_idle",
                    "Upstream connections that are kept for their next use.",
                    idle,
                ),
            ] {
                sink.gauge(name, help, &labels, gauge.value() as f64);
            }
        }
    }
}

// === impl PeerCells ===

impl PeerCells {
    fn collect(&self, sink: &mut Sink) {
        let Self { connects, failures, open } = self;
        if connects.value() + failures.value() == 0 {
            // Most likely there is no mesh here.
            return;
        }
        for (name, help, counter) in [
            ("weftway_mesh_connects_total", "Connections made to other proxies.", connects),
            (
                "weftway_mesh_connect_failures_total",
                "Attempts to connect to another proxy that failed or were given up.",
                failures,
            ),
        ] {
            sink.counter(name, help, &[], counter.value());
        }
        let help = "Open connections to other proxies.";
        sink.gauge("weftway_mesh_connections_open", help, &[], open.value() as f64);
    }
}

// === impl IdleShare ===

impl IdleShare {
    /// None yet.
    pub(crate) fn new(cells: Arc<BackendCells>) -> Self {
        Self { cells, shown: Cell::new(0) }
    }

    /// There are so many now.
    pub(crate) fn show(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.cells.idle.change(count - self.shown.replace(count));
    }
}

impl Drop for IdleShare {
    fn drop(&mut self) {
        self.show(0);
    }
}
