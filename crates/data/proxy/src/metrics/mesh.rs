//! What one worker counts of the mesh.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use weft_model::listener::Direction;
use weft_runtime::metrics::{Counter, Histogram, Sink};

/// More external hosts than this share one series, `other`: which there are is up to the
/// applications, and to whoever tells them what to call.
const HOSTS_SHOWN_MAX: usize = 200;

/// What a connection turned out to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// TLS of the application's own.
    Tls,
    /// Something else, and the client began.
    ClientFirst,
    /// The server began.
    ServerFirst,
    /// Nothing: it ended before anybody had said enough.
    Silent,
}

const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Http1, "http1"),
    (Outcome::Http2, "http2"),
    (Outcome::Tls, "tls"),
    (Outcome::ClientFirst, "tcp_client_first"),
    (Outcome::ServerFirst, "tcp_server_first"),
    (Outcome::Silent, "silent"),
];

// === impl Outcome ===

impl Outcome {
    /// The word in metrics and the log.
    pub(crate) fn label(self) -> &'static str {
        OUTCOMES[self as usize].1
    }
}

/// Why a connection of the mesh, or a request on it, was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Refused {
    /// It came in plain text, where callers have to prove who they are.
    Plaintext,
    /// It came with mutual TLS, where that is switched off.
    MutualTls,
    /// The destination serves nobody.
    Closed,
    /// What a peer asks for is no address of this workload.
    NotOurs,
    /// It leads back to the proxy.
    Loop,
    /// The peer's handshake failed, or its identity was refused.
    Handshake,
    /// There are no credentials yet.
    NoCredentials,
    /// The service was not learned of in time.
    Unlearned,
    /// Nothing stands for the destination.
    NoDestination,
    /// A request, among bytes that were taken for another protocol.
    Disguised,
}

const REFUSED: [(Refused, &str); 10] = [
    (Refused::Plaintext, "plaintext"),
    (Refused::MutualTls, "mutual_tls"),
    (Refused::Closed, "closed"),
    (Refused::NotOurs, "not_ours"),
    (Refused::Loop, "loop"),
    (Refused::Handshake, "handshake"),
    (Refused::NoCredentials, "no_credentials"),
    (Refused::Unlearned, "unlearned"),
    (Refused::NoDestination, "no_destination"),
    (Refused::Disguised, "disguised"),
];

/// The cells of one worker.
#[derive(Debug, Default)]
pub(crate) struct MeshMetrics {
    detected: [[Counter; OUTCOMES.len()]; 2],
    latency: [Histogram; 2],
    refused: [Counter; REFUSED.len()],
    /// By host: requests, and connections that were not HTTP.
    hosts: Mutex<HashMap<Box<str>, [Counter; 2]>>,
}

// === impl MeshMetrics ===

impl MeshMetrics {
    /// Counts what a connection turned out to be, and how long that took from its beginning.
    pub(crate) fn detected(&self, direction: Direction, outcome: Outcome, took: Duration) {
        self.detected[direction as usize][outcome as usize].inc();
        if outcome != Outcome::Silent {
            self.latency[direction as usize].observe(took);
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, why: Refused) {
        self.refused[why as usize].inc();
    }

    /// Counts a request to a host outside of the mesh.
    pub(crate) fn external_request(&self, host: &str) {
        self.external(host, 0);
    }

    /// Counts a connection to a host outside of the mesh that was not HTTP.
    pub(crate) fn external_connection(&self, host: &str) {
        self.external(host, 1);
    }

    fn external(&self, host: &str, kind: usize) {
        // This worker's own; shared with a scrape only.
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = hosts.get(host) {
            counters[kind].inc();
            return;
        }
        let host = if hosts.len() < HOSTS_SHOWN_MAX { host } else { "other" };
        hosts.entry(host.into()).or_default()[kind].inc();
    }

    pub(super) fn collect(&self, sink: &mut Sink) {
        for (direction, label) in
            [(Direction::Outbound, "outbound"), (Direction::Inbound, "inbound")]
        {
            for ((_, outcome), counter) in OUTCOMES.iter().zip(&self.detected[direction as usize]) {
                if counter.value() > 0 {
                    sink.counter(
                        "weftway_protocol_detections_total",
                        "Connections whose protocol had to be found out, by what it was.",
                        &[("direction", label), ("outcome", outcome)],
                        counter.value(),
                    );
                }
            }
            if self.detected[direction as usize].iter().any(|counter| counter.value() > 0) {
                sink.histogram(
                    "weftway_protocol_detection_duration_seconds",
                    "From a connection's beginning until its protocol was known.",
                    &[("direction", label)],
                    &self.latency[direction as usize],
                );
            }
        }
        for ((_, reason), counter) in REFUSED.iter().zip(&self.refused) {
            if counter.value() > 0 {
                sink.counter(
                    "weftway_mesh_refused_total",
                    "Connections and requests that the mesh does not serve, by reason.",
                    &[("reason", reason)],
                    counter.value(),
                );
            }
        }
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        for (host, [requests, connections]) in hosts.iter() {
            for (name, help, counter) in [
                (
                    "weftway_external_requests_total",
                    "Requests to hosts outside of the mesh.",
                    requests,
                ),
                (
                    "weftway_external_connections_total",
                    "Connections to hosts outside of the mesh that are not HTTP.",
                    connections,
                ),
            ] {
                if counter.value() > 0 {
                    sink.counter(name, help, &[("host", host)], counter.value());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_indexed_by_position() {
        for (index, (outcome, _)) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
        for (index, (refused, _)) in REFUSED.iter().enumerate() {
            assert_eq!(*refused as usize, index);
        }
    }

    #[test]
    fn hosts_are_bounded() {
        let metrics = MeshMetrics::default();
        for index in 0..HOSTS_SHOWN_MAX + 50 {
            metrics.external_request(&format!("host-{index}.example"));
        }
        let hosts = metrics.hosts.lock().unwrap();
        assert_eq!(hosts.len(), HOSTS_SHOWN_MAX + 1);
        assert_eq!(hosts["other"][0].value(), 50);
    }
}
