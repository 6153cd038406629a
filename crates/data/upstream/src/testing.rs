//! Values for the tests of this crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weft_model::backend::{
    Backend, Endpoint, Endpoints, HealthCheck, HostHeader, PoolSettings, Probe, UpstreamProtocol,
};
use weft_model::id::BackendId;
use weft_resilience::settings::PickerKind;
use weft_runtime::time;

use crate::backends::{Prepared, PreparedBackend};

/// A plain backend at these addresses.
pub(crate) fn backend(id: &str, addrs: &[SocketAddr]) -> PreparedBackend {
    let endpoint = |addr: &SocketAddr| Endpoint { addr: *addr, weight: 1, zone: None, peer: None };
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

/// An address that nobody listens on: it was given to a socket that is closed again.
pub(crate) fn closed_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("it is bound")
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
        tls: None,
        picker: PickerKind::RoundRobin,
        sticky: None,
        health_check: None,
        outlier: None,
        slow_start: Duration::ZERO,
        retry_budget: None,
        pool: PoolSettings::DEFAULT,
        host: HostHeader::Pass,
        proxy_protocol: None,
        termination_delay: None,
    }
}
