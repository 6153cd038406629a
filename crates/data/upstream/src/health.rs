//! Active health: asks endpoints how they are, on the control thread.
//!
//! What is asked, and how often, is the backend's [`HealthCheck`]; what the answers mean is
//! [`weft_resilience::health::Active`]'s. Workers see the verdict through
//! [`SharedEndpoint`](crate::shared::SharedEndpoint), without a message. Probes make connections of
//! their own, by the same code that requests use, so that a pool that still works does not hide an
//! endpoint that takes no new connection. A workload of the mesh is asked through its proxy, as who
//! we are.
//!
//! A new endpoint counts as healthy until its first probe, which begins within a second and decides
//! alone.

mod metrics;
mod probe;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use weft_http::buffers::Buffers;
use weft_model::backend::HealthCheck;
use weft_net::BufferPool;
use weft_resilience::health::Change;
use weft_resilience::rng::Rng;
use weft_runtime::metrics::{Collect, Registry};
use weft_runtime::{task, time};
use weft_tls::MeshTlsCell;

use crate::backends::Prepared;
use crate::error::ConnectError;
use crate::peer::Peers;
use crate::shared::Shared;
use metrics::HealthMetrics;
use probe::{Asked, ProbeError};
use watched::{Key, Watched};

/// Probes at one time. Thousands of endpoints at an interval of 30 s need a few hundred a second,
/// most of which take a millisecond; those that hang must not take all descriptors.
const PROBES_MAX: usize = 64;

/// When nothing is due: any change of the configuration wakes the prober anyway.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

/// Until workloads of the mesh are asked that could not be for want of a certificate.
const NO_CERTIFICATE_WAIT: Duration = Duration::from_millis(200);

/// Probes the endpoints of backends that ask for it.
pub struct Prober {
    watched: Watched,
    metrics: Arc<HealthMetrics>,
    buffers: Buffers,
    peers: Peers,
    running: usize,
}

/// What came of a probe.
struct Done {
    key: Key,
    serial: u64,
    result: Result<(), ProbeError>,
}

// === impl Prober ===

impl Prober {
    /// Probes nothing yet. Verdicts go to `shared`; metrics are registered for as long as the
    /// prober lives. `mesh` says who we are where endpoints are reached through proxies.
    pub fn new(shared: Shared, mesh: MeshTlsCell, registry: &Registry) -> Self {
        let metrics = Arc::new(HealthMetrics::default());
        let collect: Arc<dyn Collect> = metrics.clone();
        registry.register_weak(Arc::downgrade(&collect));
        // Spreads probes of several gateways over time; no secret depends on it.
        let rng = Rng::new(RandomState::new().build_hasher().finish());
        Self {
            watched: Watched::new(shared, rng),
            metrics,
            buffers: Buffers::new(BufferPool::default()),
            // Counted are the connections of requests.
            peers: Peers::new(mesh, Arc::default()),
            running: 0,
        }
    }

    /// Probes the endpoints of the present backends until nobody can change them any more.
    ///
    /// Cancel safe: dropping it leaves every endpoint as it was last seen. Probes under way end by
    /// their own timeout.
    pub async fn run(mut self, mut backends: watch::Receiver<Arc<Prepared>>) {
        let (done, mut results) = mpsc::unbounded_channel();
        loop {
            if backends.has_changed().is_err() {
                return;
            }
            let prepared = backends.borrow_and_update().clone();
            self.watched.follow(&prepared, time::now());
            self.peers.sweep(time::now());
            self.metrics.keep(|key| self.watched.contains(key));
            loop {
                self.begin(&done);
                let wake = self.wake();
                tokio::select! {
                    changed = backends.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Some(done) = results.recv() => self.take_in(done),
                    () = time::sleep_until(wake) => {}
                }
            }
        }
    }

    /// When there is something to do besides waiting for answers.
    fn wake(&self) -> std::time::Instant {
        let idle = time::now() + NOTHING_DUE;
        if self.running >= PROBES_MAX { idle } else { self.watched.next_due().unwrap_or(idle) }
    }

    /// Begins the probes that are due, as far as there is room.
    fn begin(&mut self, results: &mpsc::UnboundedSender<Done>) {
        let now = time::now();
        while self.running < PROBES_MAX {
            let Some(due) = self.watched.take_due(now) else { return };
            self.running += 1;
            let (buffers, results) = (self.buffers.clone(), results.clone());
            let through = due.peer.as_ref().map(|peer| self.peers.pool(peer));
            task::spawn("probe", async move {
                let asked = Asked::new(&due.backend, &due.check, due.key.1, through.as_deref());
                let result = probe::probe(&asked, &buffers).await;
                // Without a prober nobody wants to know.
                let _ = results.send(Done { key: due.key, serial: due.serial, result });
            });
        }
    }

    fn take_in(&mut self, done: Done) {
        self.running -= 1;
        let Done { key, serial, result } = done;
        if let Err(ProbeError::Connect(
            ConnectError::NoCertificate | ConnectError::CertificateExpired(_),
        )) = result
        {
            // That is our own fault, and says nothing of the endpoint.
            self.watched.put_off(&key, serial, time::now() + NO_CERTIFICATE_WAIT);
            return;
        }
        let passed = result.is_ok();
        let Some(verdict) = self.watched.record(&key, serial, time::now(), passed) else { return };
        self.metrics.record(&key, passed, verdict.healthy);
        let (backend, endpoint) = &key;
        match (verdict.change, result) {
            (Some(Change::Unhealthy), Err(error)) => {
                let error = chain(&error);
                tracing::warn!(%backend, %endpoint, error, "unhealthy");
            }
            (Some(_), _) => tracing::info!(%backend, %endpoint, "healthy"),
            (None, Err(error)) => {
                let error = chain(&error);
                tracing::debug!(%backend, %endpoint, error, "a health check failed");
            }
            (None, Ok(())) => {}
        }
    }
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").field("running", &self.running).finish_non_exhaustive()
    }
}

fn chain(error: &ProbeError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn settings(check: &HealthCheck) -> weft_resilience::settings::ActiveSettings {
    weft_resilience::settings::ActiveSettings {
        interval: check.interval,
        unhealthy_interval: check.unhealthy_interval,
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
    }
}
