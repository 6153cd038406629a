//! Values for the tests of this crate.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_http::buffers::Buffers;
use weft_message::ResponseHead;
use weft_model::backend::{
    Backend, Endpoint, Endpoints, HealthCheck, HostHeader, Probe, UpstreamProtocol,
};
use weft_model::calling::Calling;
use weft_model::id::BackendId;
use weft_net::BufferPool;
use weft_resilience::outlier::Outlier;
use weft_runtime::metrics::Registry;
use weft_runtime::time;
use weft_tls::MeshTlsCell;

use crate::backends::{Backends, Environment, Prepared, PreparedBackend};
use crate::lease::Lease;
use crate::shared::Shared;

/// A plain backend at these addresses.
pub(crate) fn backend(id: &str, addrs: &[SocketAddr]) -> PreparedBackend {
    let endpoint = |addr: &SocketAddr| Endpoint::new(*addr);
    let endpoints: Arc<[Endpoint]> = addrs.iter().map(endpoint).collect();
    PreparedBackend {
        settings: Arc::new(settings(id, Endpoints::Static(endpoints.clone()))),
        tls: None,
        outlier: None,
        endpoints,
    }
}

/// A backend known by name.
pub(crate) fn named(id: &str, name: &str, port: u16) -> PreparedBackend {
    let endpoints = Endpoints::Dns { name: name.into(), port };
    PreparedBackend {
        settings: Arc::new(settings(id, endpoints)),
        tls: None,
        outlier: None,
        endpoints: Arc::new([]),
    }
}

/// The same with other settings.
pub(crate) fn with(
    mut backend: PreparedBackend,
    change: impl FnOnce(&mut Backend),
) -> PreparedBackend {
    change(Arc::make_mut(&mut backend.settings));
    backend
}

/// The same called in another way; with passive health if that says so.
pub(crate) fn calling(
    backend: PreparedBackend,
    change: impl FnOnce(&mut Calling),
) -> PreparedBackend {
    let endpoints = backend.endpoints.len();
    let changed = with(backend, |settings| change(Arc::make_mut(&mut settings.calling)));
    let outlier = changed.settings.calling.outlier;
    let outlier = outlier.map(|settings| Arc::new(Outlier::new(settings, endpoints)));
    PreparedBackend { outlier, ..changed }
}

/// A worker of a process that has these backends.
pub(crate) fn worker(shared: &Shared, all: impl IntoIterator<Item = PreparedBackend>) -> Backends {
    let backends = Backends::new(Environment {
        buffers: Buffers::new(BufferPool::default()),
        shared: shared.clone(),
        metrics: Arc::default(),
        mesh: MeshTlsCell::new(),
    });
    backends.reconcile(prepared(all), time::now());
    backends
}

/// One of a worker's backends.
pub(crate) fn get(worker: &Backends, id: &str) -> Rc<crate::backend::Backend> {
    worker.backend(&BackendId::new(id), time::now()).expect("it is configured")
}

/// An address of this machine; nobody need listen there.
pub(crate) fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A whole answer of this status, without fields.
pub(crate) fn answer(lease: &Lease, now: Instant, status: u16) {
    let mut head = ResponseHead::default();
    head.set_status(status);
    lease.answered(now, &head);
    lease.ended(now, None);
}

/// The metrics of a worker that begin so.
pub(crate) fn metrics(worker: &Backends, prefix: &str) -> Vec<String> {
    let registry = Registry::new();
    registry.register(worker.environment().metrics.clone());
    registry.register(Arc::new(worker.environment().shared.clone()));
    let rendered = registry.render();
    rendered.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
}

/// A check that asks every few milliseconds and believes every answer.
pub(crate) fn check(probe: Probe) -> HealthCheck {
    HealthCheck {
        probe,
        interval: Duration::from_millis(5),
        unhealthy_interval: Duration::from_millis(5),
        timeout: Duration::from_secs(10),
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        port: None,
    }
}

/// `GET /health`.
pub(crate) fn ask_health() -> Probe {
    Probe::Http {
        path: "/health".into(),
        method: "GET".into(),
        host: None,
        headers: Vec::new(),
        statuses: Vec::new(),
    }
}

/// What a snapshot of these backends says.
pub(crate) fn prepared(backends: impl IntoIterator<Item = PreparedBackend>) -> Arc<Prepared> {
    let backends = backends.into_iter().map(|one| (one.settings.id.clone(), one)).collect();
    Arc::new(Prepared { backends })
}

/// Runs on a runtime as the control thread's.
pub(crate) fn local<F: Future>(future: F) -> F::Output {
    weft_runtime::worker::block_on(future).expect("a runtime can be made")
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(15);
    time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

fn settings(id: &str, endpoints: Endpoints) -> Backend {
    Backend {
        id: BackendId::new(id),
        endpoints,
        protocol: UpstreamProtocol::Auto,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }
}
