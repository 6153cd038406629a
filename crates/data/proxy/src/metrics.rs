//! What one worker counts.

mod mesh;
mod open;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use weft_message::h1::ParseError;
use weft_model::id::RouteId;
use weft_model::outcome::Reason;
use weft_runtime::metrics::{Collect, Counter, Gauge, Histogram, Sink};

use crate::compare::{Compared, OUTCOMES};

pub(crate) use mesh::{MeshMetrics, Outcome, Refused};
pub(crate) use open::{ConnectionCount, ListenerCount, OpenConnections};

/// Names of the families, in the order of docs/METRICS.md.
pub const FAMILIES: &[&str] = &[
    "weftway_requests_total",
    "weftway_request_duration_seconds",
    "weftway_request_bytes_total",
    "weftway_response_bytes_total",
    "weftway_request_failures_total",
    "weftway_connections_total",
    "weftway_connections_open",
    "weftway_limit_reached_total",
    "weftway_config_generation",
    "weftway_spool_bytes",
    "weftway_spool_files_total",
    "weftway_spool_refused_total",
    "weftway_tcp_connections_total",
    "weftway_tcp_bytes_total",
    "weftway_protocol_detections_total",
    "weftway_protocol_detection_duration_seconds",
    "weftway_mesh_refused_total",
    "weftway_external_requests_total",
    "weftway_external_connections_total",
    "weftway_mirror_comparisons_total",
];

/// More routes than this share one series, `other`, so that a scrape stays bounded whatever the
/// configuration.
const ROUTES_SHOWN_MAX: usize = 2_000;

/// Limits whose reaching is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Limit {
    /// Connections of a listener.
    Connections,
    /// Time for a head.
    HeadTimeout,
    /// Size of a head.
    HeadBytes,
    /// Length of a target.
    TargetBytes,
    /// Time without progress of a body.
    BodyIdle,
    /// Time for a handshake.
    HandshakeTimeout,
    /// Streams reset by one peer.
    H2Resets,
    /// Memory of one connection.
    ConnectionMemory,
    /// Size of a body that has to be held.
    BodyBytes,
    /// Lines of a head.
    HeadFields,
    /// Streams at one time on one connection: none more is taken until one of them ends.
    H2Streams,
    /// Control frames of one peer.
    H2ControlFrames,
    /// Time without a request.
    IdleTimeout,
    /// Requests of one connection.
    RequestsPerConnection,
}

const LIMITS: [(Limit, &str); 14] = [
    (Limit::Connections, "connections"),
    (Limit::HeadTimeout, "head_timeout"),
    (Limit::HeadBytes, "head_bytes"),
    (Limit::TargetBytes, "target_bytes"),
    (Limit::BodyIdle, "body_idle_timeout"),
    (Limit::HandshakeTimeout, "handshake_timeout"),
    (Limit::H2Resets, "h2_resets"),
    (Limit::ConnectionMemory, "connection_memory_bytes"),
    (Limit::BodyBytes, "body_bytes"),
    (Limit::HeadFields, "head_fields"),
    (Limit::H2Streams, "h2_streams"),
    (Limit::H2ControlFrames, "h2_control_frames"),
    (Limit::IdleTimeout, "idle_timeout"),
    (Limit::RequestsPerConnection, "requests_per_connection"),
];

/// The cells of one worker.
#[derive(Debug)]
pub(crate) struct WorkerMetrics {
    pub(crate) connections: Counter,
    pub(crate) tcp_connections: Counter,
    pub(crate) tcp_bytes: Counter,
    open: Gauge,
    limits: [Counter; LIMITS.len()],
    reasons: Vec<Counter>,
    /// Requests that no route took.
    pub(crate) unrouted: Arc<RouteCells>,
    routes: Mutex<HashMap<RouteId, Arc<RouteCells>>>,
    compared: [Counter; OUTCOMES.len()],
    pub(crate) mesh: MeshMetrics,
}

/// The cells of one route in one worker.
#[derive(Debug, Default)]
pub(crate) struct RouteCells {
    /// By hundreds of the status; the first is for no status at all.
    classes: [Counter; 6],
    duration: Histogram,
    request_bytes: Counter,
    response_bytes: Counter,
}

// === impl Limit ===

impl Limit {
    /// The limit that a head was refused for, if it was for one.
    pub(crate) fn of_head(error: ParseError) -> Option<Self> {
        match error {
            ParseError::HeadTooLarge => Some(Self::HeadBytes),
            ParseError::TooManyFields => Some(Self::HeadFields),
            ParseError::TargetTooLong => Some(Self::TargetBytes),
            _ => None,
        }
    }
}

// === impl WorkerMetrics ===

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            tcp_connections: Counter::default(),
            tcp_bytes: Counter::default(),
            open: Gauge::default(),
            limits: Default::default(),
            reasons: Reason::ALL.iter().map(|_| Counter::default()).collect(),
            unrouted: Arc::default(),
            routes: Mutex::default(),
            compared: Default::default(),
            mesh: MeshMetrics::default(),
        }
    }
}

impl WorkerMetrics {
    /// Counts a new connection.
    pub(crate) fn connection(self: &Arc<Self>) -> ConnectionCount {
        ConnectionCount::new(self.clone())
    }

    /// Connections that are open.
    pub(crate) fn connections_open(&self) -> u64 {
        self.open.value().cast_unsigned()
    }

    /// Counts that a limit was reached.
    pub(crate) fn limit(&self, limit: Limit) {
        self.limits[limit as usize].inc();
    }

    /// Counts how a request ended, if not by the upstream's answer.
    pub(crate) fn reason(&self, reason: Reason) {
        if reason != Reason::Upstream {
            self.reasons[reason as usize].inc();
        }
    }

    /// Counts what came of comparing a mirror's answer.
    pub(crate) fn compared(&self, outcome: Compared) {
        self.compared[outcome as usize].inc();
    }

    /// The cells of a route; kept for the life of the process, so that a counter never goes back.
    pub(crate) fn route(&self, id: &RouteId) -> Arc<RouteCells> {
        // Taken when a worker first uses a route of a new plan, never once it did.
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cells) = routes.get(id) {
            return cells.clone();
        }
        let id = if routes.len() < ROUTES_SHOWN_MAX { id.clone() } else { RouteId::new("other") };
        routes.entry(id).or_default().clone()
    }
}

impl Collect for WorkerMetrics {
    fn collect(&self, sink: &mut Sink) {
        self.unrouted.collect("none", sink);
        for (id, cells) in self.routes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cells.collect(id.as_str(), sink);
        }
        for (index, (_, label)) in LIMITS.iter().enumerate() {
            sink.counter(
                "weftway_limit_reached_total",
                "How often a configured limit was reached.",
                &[("limit", label)],
                self.limits[index].value(),
            );
        }
        for (reason, counter) in Reason::ALL.iter().zip(&self.reasons) {
            if counter.value() > 0 {
                sink.counter(
                    "weftway_request_failures_total",
                    "Requests that did not end by an upstream's answer, by reason.",
                    &[("reason", reason.label())],
                    counter.value(),
                );
            }
        }
        for ((_, outcome), counter) in OUTCOMES.iter().zip(&self.compared) {
            if counter.value() > 0 {
                sink.counter(
                    "weftway_mirror_comparisons_total",
                    "Answers of mirrors compared with the main one, by what differs.",
                    &[("outcome", outcome)],
                    counter.value(),
                );
            }
        }
        for (name, help, counter) in [
            ("weftway_connections_total", "Connections accepted.", &self.connections),
            ("weftway_tcp_connections_total", "TCP connections routed.", &self.tcp_connections),
            ("weftway_tcp_bytes_total", "Bytes of routed TCP, both ways.", &self.tcp_bytes),
        ] {
            sink.counter(name, help, &[], counter.value());
        }
        let open = self.open.value() as f64;
        sink.gauge("weftway_connections_open", "Connections open.", &[], open);
        self.mesh.collect(sink);
    }
}

// === impl RouteCells ===

impl RouteCells {
    /// Counts one request.
    pub(crate) fn observe(
        &self,
        status: u16,
        duration: std::time::Duration,
        request_bytes: u64,
        response_bytes: u64,
    ) {
        self.classes[usize::from(status / 100).min(5)].inc();
        self.duration.observe(duration);
        if request_bytes > 0 {
            self.request_bytes.add(request_bytes);
        }
        self.response_bytes.add(response_bytes);
    }

    fn collect(&self, route: &str, sink: &mut Sink) {
        const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
        let mut any = false;
        for (class, counter) in CLASSES.iter().zip(&self.classes) {
            if counter.value() > 0 {
                any = true;
                sink.counter(
                    "weftway_requests_total",
                    "Requests, by route and class of status.",
                    &[("route", route), ("status", class)],
                    counter.value(),
                );
            }
        }
        if !any {
            return;
        }
        let labels = [("route", route)];
        sink.histogram(
            "weftway_request_duration_seconds",
            "From a request's head to the last byte of its answer.",
            &labels,
            &self.duration,
        );
        sink.counter(
            "weftway_request_bytes_total",
            "Body bytes received from clients.",
            &labels,
            self.request_bytes.value(),
        );
        sink.counter(
            "weftway_response_bytes_total",
            "Body bytes sent to clients.",
            &labels,
            self.response_bytes.value(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_indexed_by_position() {
        for (index, (limit, _)) in LIMITS.iter().enumerate() {
            assert_eq!(*limit as usize, index);
        }
    }

    #[test]
    fn series_are_bounded() {
        let metrics = WorkerMetrics::default();
        for index in 0..ROUTES_SHOWN_MAX + 50 {
            let cells = metrics.route(&RouteId::new(format!("route/{index}")));
            cells.observe(200, std::time::Duration::from_millis(1), 0, 1);
        }
        let registry = weft_runtime::metrics::Registry::new();
        registry.register(Arc::new(metrics));
        let text = registry.render();
        let series =
            text.lines().filter(|line| line.starts_with("weftway_requests_total{")).count();
        assert_eq!(series, ROUTES_SHOWN_MAX + 1);
        assert!(text.contains("weftway_requests_total{route=\"other\",status=\"2xx\"} 50"));
    }
}
