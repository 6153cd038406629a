//! What is counted of upstream connections.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use weft_model::id::BackendId;
use weft_resilience::limits::Bound;
use weft_resilience::outlier::Trigger;
use weft_runtime::metrics::{Collect, Counter, Gauge, Sink};

use crate::bound::Overflow;

/// More backends than this share one series, `other`, so that a scrape stays bounded whatever the
/// configuration.
pub(crate) const BACKENDS_SHOWN_MAX: usize = 2_000;

/// The label of all others.
pub(crate) const OTHERS: &str = "other";

/// Labels of bounds: which, and whether it is on the backend or on one endpoint.
const BOUNDS: [(&str, &str); 10] = [
    ("connections", "backend"),
    ("pending", "backend"),
    ("requests", "backend"),
    ("retries", "backend"),
    ("connections", "endpoint"),
    ("pending", "endpoint"),
    ("requests", "endpoint"),
    ("retries", "endpoint"),
    ("adaptive", "backend"),
    ("copies", "backend"),
];

/// Labels of what sets an endpoint aside.
const TRIGGERS: [&str; 6] = [
    "consecutive",
    "consecutive_gateway",
    "consecutive_local",
    "in_window",
    "success_rate",
    "probe",
];

/// The cells of one backend in one worker.
#[derive(Debug, Default)]
pub struct BackendCells {
    /// Requests, however often each was sent.
    pub requests: Counter,
    /// Attempts of them: the first ones, retries, replays and second tries.
    pub attempts: Counter,
    /// Second tries that were sent while the first ran.
    pub hedges: Counter,
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
    /// Requests that wait for a connection.
    pub pending: Gauge,
    /// Connections on which nothing is under way.
    pub idle: Gauge,
    /// What bounds refused, as in [`BOUNDS`].
    refused: [Counter; BOUNDS.len()],
    /// Endpoints set aside, as in [`TRIGGERS`].
    ejections: [Counter; TRIGGERS.len()],
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
        let id = if shown { id.clone() } else { BackendId::new(OTHERS) };
        backends.entry(id).or_default().clone()
    }
}

impl Collect for UpstreamMetrics {
    fn collect(&self, sink: &mut Sink) {
        self.peers.collect(sink);
        for (id, cells) in self.backends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cells.collect(id, sink);
        }
    }
}

// === impl BackendCells ===

impl BackendCells {
    /// Counts what a bound refused.
    pub(crate) fn refuse(&self, overflow: Overflow) {
        let place = match overflow {
            Overflow::Backend(reached) => bound_place(reached.bound),
            Overflow::Endpoint(reached) => 4 + bound_place(reached.bound),
            Overflow::Adaptive(_) => 8,
        };
        self.refused[place].inc();
    }

    /// Counts a copy of a request that was not sent, because too many are under way.
    pub(crate) fn refuse_copy(&self) {
        self.refused[9].inc();
    }

    /// Counts an endpoint that was set aside.
    pub(crate) fn eject(&self, trigger: Trigger) {
        let place = match trigger {
            Trigger::Consecutive => 0,
            Trigger::ConsecutiveGateway => 1,
            Trigger::ConsecutiveLocal => 2,
            Trigger::InWindow => 3,
            Trigger::SuccessRate => 4,
            Trigger::Probe => 5,
        };
        self.ejections[place].inc();
    }

    fn collect(&self, id: &BackendId, sink: &mut Sink) {
        let backend = ("backend", id.as_str());
        for (name, help, counter) in self.counters() {
            sink.counter(name, help, &[backend], counter.value());
        }
        for (name, help, gauge) in self.gauges() {
            sink.gauge(name, help, &[backend], gauge.value() as f64);
        }
        // Those that never happened are left out: most backends have no bounds.
        for ((bound, scope), counter) in BOUNDS.iter().zip(&self.refused) {
            if counter.value() > 0 {
                sink.counter(
                    "weftway_upstream_refused_total",
                    "Requests, copies and connections that a bound on a backend or an endpoint refused.",
                    &[backend, ("bound", bound), ("scope", scope)],
                    counter.value(),
                );
            }
        }
        for (trigger, counter) in TRIGGERS.iter().zip(&self.ejections) {
            if counter.value() > 0 {
                sink.counter(
                    "weftway_upstream_ejections_total",
                    "Endpoints that were set aside because requests to them failed.",
                    &[backend, ("trigger", trigger)],
                    counter.value(),
                );
            }
        }
    }

    fn counters(&self) -> [(&'static str, &'static str, &Counter); 9] {
        [
            (
                "weftway_upstream_requests_total",
                "Requests to a backend, however often each was sent.",
                &self.requests,
            ),
            (
                "weftway_upstream_attempts_total",
                "Attempts of requests: the first ones, retries, replays and second tries.",
                &self.attempts,
            ),
            (
                "weftway_upstream_hedges_total",
                "Second tries that were sent while the first ran.",
                &self.hedges,
            ),
            ("weftway_upstream_connects_total", "Connections made to upstreams.", &self.connects),
            (
                "weftway_upstream_connect_failures_total",
                "Attempts to connect to an upstream that failed.",
                &self.connect_failures,
            ),
            (
                "weftway_upstream_reuses_total",
                "Requests sent on a pooled upstream connection.",
                &self.reuses,
            ),
            (
                "weftway_upstream_replays_total",
                "Requests sent again because a connection had been closed, or ended in order.",
                &self.replays,
            ),
            (
                "weftway_upstream_retries_total",
                "Attempts after the first that a policy asked for.",
                &self.retries,
            ),
            (
                "weftway_upstream_retries_denied_total",
                "Attempts that a policy asked for and the retry budget did not allow.",
                &self.retries_denied,
            ),
        ]
    }

    fn gauges(&self) -> [(&'static str, &'static str, &Gauge); 3] {
        [
            (
                "weftway_upstream_requests_in_flight",
                "Requests sent to upstreams and not yet answered in full.",
                &self.in_flight,
            ),
            (
                "weftway_upstream_requests_pending",
                "Requests that wait for a connection to an upstream.",
                &self.pending,
            ),
            (
                "weftway_upstream_connections_idle",
                "Upstream connections that are kept for their next use.",
                &self.idle,
            ),
        ]
    }
}

/// Where a bound on a backend stands in [`BOUNDS`].
const fn bound_place(bound: Bound) -> usize {
    match bound {
        Bound::Connections => 0,
        Bound::Pending => 1,
        Bound::Requests => 2,
        Bound::Retries => 3,
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
