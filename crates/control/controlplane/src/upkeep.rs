//! What a control plane does of its own accord: it renews its certificates, and writes down who has
//! which.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weft_authority::{Validity, renew_at};
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::{file, task, time};
use weft_tls::mesh::AuthorityTls;

use crate::fleet::RETURNING;
use crate::metrics::Store;
use crate::plane::{ControlPlane, credentials};

/// How often it is looked whether a certificate is due. Leaves live 10 s at least, so that a tenth
/// of it is early enough.
const LOOK: Duration = Duration::from_secs(1);

/// How long an attempt that has failed is let alone.
const AGAIN: Duration = Duration::from_secs(60);

/// Who may read the list of certificates.
const MODE: u32 = 0o600;

/// Goes on until the drain begins.
pub(crate) async fn run(plane: ControlPlane, mut drain: Watch) {
    let mut authority_changes = plane.0.keeper.changes();
    let mut fleet_changes = plane.0.registry.fleet_changes();
    let mut own = Own { root: None, validity: None };
    let mut intermediate_at = SystemTime::UNIX_EPOCH;
    loop {
        own.renew(&plane);
        renew_intermediate(&plane, &mut intermediate_at).await;
        if fleet_changes.has_changed().unwrap_or(false) {
            fleet_changes.mark_unchanged();
            keep_fleet(&plane).await;
        }
        tokio::select! {
            () = time::sleep(LOOK) => {}
            _ = authority_changes.changed() => {}
            _ = drain.reached(Phase::Draining) => break,
        }
    }
    keep_fleet(&plane).await;
}

/// Follows what is published, for the log and metrics. Goes on until the drain begins.
pub(crate) async fn follow(plane: ControlPlane, mut drain: Watch) {
    let mut published = plane.0.published.clone();
    loop {
        let newest = published.borrow_and_update().generation();
        plane.0.registry.published(newest);
        tokio::select! {
            changed = published.changed() => if changed.is_err() {
                return;
            },
            _ = drain.reached(Phase::Draining) => return,
        }
    }
}

/// The control plane's own certificate.
struct Own {
    /// The bundle it goes with, and the root it chains to.
    root: Option<(weft_authority::TrustBundle, weft_authority::Fingerprint)>,
    validity: Option<Validity>,
}

// === impl Own ===

impl Own {
    fn renew(&mut self, plane: &ControlPlane) {
        let parts = &plane.0;
        let authority = parts.keeper.authority();
        let now = parts.settings.clock.now();
        let signing = authority.rotation().signing().root().certificate().fingerprint();
        let known = (authority.bundle().clone(), signing);
        let is_due =
            |validity: Validity| now >= renew_at(validity.not_before, validity.not_after, 0.0);
        if self.root.as_ref() == Some(&known) && !self.validity.is_some_and(is_due) {
            return;
        }
        let made = credentials(&authority, &parts.settings.identity, &parts.settings);
        let (credentials, issued) = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn Error,
                    "the control plane has no certificate"
                );
                return;
            }
        };
        match AuthorityTls::build(&credentials, parts.settings.clock.provider(), RETURNING) {
            Ok(tls) => {
                parts.tls.replace(Arc::new(tls));
                parts.credentials.send_replace(credentials);
                (self.root, self.validity) = (Some(known), Some(issued.validity));
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a certificate cannot be used");
            }
        }
    }
}

/// `next_at` is not before when it is tried.
async fn renew_intermediate(plane: &ControlPlane, next_at: &mut SystemTime) {
    let now = plane.0.settings.clock.now();
    let due = plane.0.keeper.authority().rotation().renew_intermediate_at();
    if due.is_some_and(|at| at <= now) && *next_at <= now {
        *next_at = now + AGAIN;
        // It is logged there, whatever becomes of it.
        let _ = plane.renew_intermediate().await;
    }
}

async fn keep_fleet(plane: &ControlPlane) {
    let Some(path) = plane.0.settings.fleet_path.clone() else { return };
    let bytes = plane.0.registry.fleet_bytes();
    let at = path.clone();
    if let Ok(Err(error)) = task::blocking(move || file::replace(&at, &bytes, MODE)).await {
        plane.0.metrics.failed(Store::Fleet);
        tracing::error!(?path, %error, "who has which certificate cannot be written down");
    }
}
