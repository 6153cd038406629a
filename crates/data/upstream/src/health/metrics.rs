//! What is counted of health checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use weft_model::id::BackendId;
use weft_runtime::metrics::{Collect, Sink};

use super::watched::Key;

/// Counts by backend, and the health of each endpoint. Its size is that of the configuration:
/// what leaves it is dropped.
#[derive(Debug, Default)]
pub(super) struct HealthMetrics(Mutex<BTreeMap<BackendId, BackendHealth>>);

#[derive(Debug, Default)]
struct BackendHealth {
    passed: u64,
    failed: u64,
    endpoints: BTreeMap<SocketAddr, bool>,
}

// === impl HealthMetrics ===

impl HealthMetrics {
    /// Notes the result of one probe and the health that follows.
    pub(super) fn record(&self, (backend, endpoint): &Key, passed: bool, healthy: bool) {
        self.with(|backends| {
            let entry = backends.entry(backend.clone()).or_default();
            if passed {
                entry.passed += 1;
            } else {
                entry.failed += 1;
            }
            entry.endpoints.insert(*endpoint, healthy);
        });
    }

    /// Drops endpoints that are not watched any more, and backends without any left.
    pub(super) fn keep(&self, is_watched: impl Fn(&Key) -> bool) {
        self.with(|backends| {
            backends.retain(|id, entry| {
                entry.endpoints.retain(|endpoint, _| is_watched(&(id.clone(), *endpoint)));
                !entry.endpoints.is_empty()
            });
        });
    }

    // Held for one probe's result, a change of configuration or a scrape, all on the control
    // thread; never on the path of a request and never across an await.
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<BackendId, BackendHealth>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Collect for HealthMetrics {
    fn collect(&self, sink: &mut Sink) {
        self.with(|backends| {
            for (id, BackendHealth { passed, failed, endpoints }) in backends.iter() {
                for (result, count) in [("passed", passed), ("failed", failed)] {
                    sink.counter(
                        "weftway_health_checks_total",
                        "Active health checks of endpoints.",
                        &[("backend", id.as_str()), ("result", result)],
                        *count,
                    );
                }
                for (endpoint, healthy) in endpoints {
                    sink.gauge(
                        "weftway_endpoint_healthy",
                        "Whether active health checks find an endpoint healthy.",
                        &[("backend", id.as_str()), ("endpoint", &endpoint.to_string())],
                        f64::from(u8::from(*healthy)),
                    );
                }
            }
        });
    }
}
