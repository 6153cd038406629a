//! The admin endpoint of a control plane: the same paths, and another `/config`.

use std::rc::Rc;
use std::sync::Arc;

use axum::extract::{Extension, FromRef};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use weft_admin_api::ControlDump;
use weft_admin_api::control::PublishedView;
use weft_compile::Report;
use weft_controlplane::ControlPlane;
use weft_distribute::Kind;
use weft_runtime::metrics::Registry;
use weft_runtime::ready::Readiness;

use super::{Look, dump, guarded, index, probes, serve_routes};
use crate::status::views;

/// What the endpoint of a control plane shows.
pub(crate) struct ControlAdmin {
    /// Metrics; those of the control plane are among them.
    pub(crate) registry: Registry,
    /// What still keeps the process from being ready.
    pub(crate) readiness: Readiness,
    /// What knows about proxies and certificates.
    pub(crate) plane: ControlPlane,
    /// What became of each document.
    pub(crate) report: watch::Receiver<Arc<Report>>,
}

/// What handlers may have; the control plane itself stays on its thread.
#[derive(Clone)]
struct Shared {
    registry: Registry,
    readiness: Readiness,
}

/// Serves until the process ends.
///
/// Cancel safe: dropping it stops accepting; connections that are open go on.
pub(crate) async fn serve(listener: TcpListener, admin: ControlAdmin) {
    let ControlAdmin { registry, readiness, plane, report } = admin;
    let routes: Router<Shared> = index(probes()).route("/config", get(config));
    let look: Look = Rc::new(move |req: &mut Request<Incoming>| match req.uri().path() {
        "/metrics" => plane.measure(),
        "/config" => {
            let dump = Arc::new(control_dump(&plane, &report.borrow()));
            req.extensions_mut().insert(dump);
        }
        _ => {}
    });
    serve_routes(listener, guarded(routes, Shared { registry, readiness }), look).await;
}

async fn config(Extension(dump): Extension<Arc<ControlDump>>) -> Response {
    Json(&*dump).into_response()
}

fn control_dump(plane: &ControlPlane, report: &Report) -> ControlDump {
    let status = plane.status();
    let names = |kind| plane.names(kind);
    ControlDump {
        generation: status.generation.0,
        published: PublishedView {
            index: names(Kind::Index),
            services: names(Kind::Service),
            workloads: names(Kind::Workload),
        },
        resources: dump::resources(report),
        problems: dump::problems(report),
        proxies: views::proxies_now(plane),
        certificates: views::certificates_now(plane),
        rotation: views::rotation_now(plane),
    }
}

// === impl Shared ===

impl FromRef<Shared> for Registry {
    fn from_ref(shared: &Shared) -> Self {
        shared.registry.clone()
    }
}

impl FromRef<Shared> for Readiness {
    fn from_ref(shared: &Shared) -> Self {
        shared.readiness.clone()
    }
}
