//! All backends of one worker, and how they follow the configuration.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use weft_http::buffers::Buffers;
use weft_model::backend as model;
use weft_model::id::BackendId;
use weft_resilience::outlier::Outlier;
use weft_tls::{ClientTls, MeshTlsCell};

use crate::backend::Backend;
use crate::metrics::UpstreamMetrics;
use crate::peer::Peers;
use crate::shared::Shared;

/// What a snapshot says of backends, prepared once for all workers.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// By id.
    pub backends: HashMap<BackendId, PreparedBackend>,
}

/// One backend of a snapshot.
#[derive(Debug, Clone)]
pub struct PreparedBackend {
    /// Settings as compiled.
    pub settings: Arc<model::Backend>,
    /// The TLS configuration, built.
    pub tls: Option<Arc<ClientTls>>,
    /// Passive health, if wanted; for all workers.
    pub outlier: Option<Arc<Outlier>>,
    /// Addresses, whether configured or resolved.
    pub endpoints: Arc<[model::Endpoint]>,
}

/// What a worker lends to its backends.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Buffers for connections.
    pub buffers: Buffers,
    /// What all workers know.
    pub shared: Shared,
    /// Where to count.
    pub metrics: Arc<UpstreamMetrics>,
    /// Who this process is in the mesh; empty outside of one, and until it is known.
    pub mesh: MeshTlsCell,
}

/// The backends of one worker.
#[derive(Debug)]
pub struct Backends {
    environment: Environment,
    peers: Peers,
    known: RefCell<HashMap<BackendId, Rc<Backend>>>,
    prepared: RefCell<Arc<Prepared>>,
}

// === impl Backends ===

impl Backends {
    /// No backends.
    pub fn new(environment: Environment) -> Self {
        let peers = Peers::new(environment.mesh.clone(), environment.metrics.peers());
        Self { environment, peers, known: RefCell::default(), prepared: RefCell::default() }
    }

    /// Follows a new snapshot. Backends whose settings are the same keep everything; those whose
    /// endpoints changed keep what stays; those whose settings changed are made anew, with the
    /// endpoints they had as far as they are connected to in the same way; those that are gone are
    /// retired.
    pub fn reconcile(&self, prepared: Arc<Prepared>, now: Instant) {
        let before = self.prepared.replace(prepared.clone());
        let around = (&self.environment.shared, &self.peers);
        self.known.borrow_mut().retain(|id, backend| {
            let Some(wanted) = prepared.backends.get(id) else {
                backend.retire();
                return false;
            };
            if before.backends.get(id).is_some_and(|before| is_untouched(before, wanted)) {
                return true;
            }
            let same_tls = is_same_tls(backend.tls.as_ref(), wanted.tls.as_ref());
            if !same_tls || !is_same_but_endpoints(&backend.settings, &wanted.settings) {
                let cells = backend.cells.clone();
                let made = Rc::new(Backend::new(wanted, cells, &self.environment.shared));
                made.heed_others();
                if same_tls && backend.settings.protocol == wanted.settings.protocol {
                    made.adopt(backend);
                } else {
                    // While the old one is held, what all workers know of an address is found.
                    made.set_endpoints(wanted, around, Some(now), now);
                    backend.retire();
                }
                *backend = made;
            }
            backend.set_endpoints(wanted, around, Some(now), now);
            true
        });
    }

    /// A backend by id; made when it is first used, so that memory follows use.
    pub fn backend(&self, id: &BackendId, now: Instant) -> Option<Rc<Backend>> {
        if let Some(backend) = self.known.borrow().get(id) {
            return Some(backend.clone());
        }
        let prepared = self.prepared.borrow().backends.get(id)?.clone();
        let cells = self.environment.metrics.cells(id);
        let backend = Rc::new(Backend::new(&prepared, cells, &self.environment.shared));
        backend.heed_others();
        let around = (&self.environment.shared, &self.peers);
        backend.set_endpoints(&prepared, around, None, now);
        self.known.borrow_mut().insert(id.clone(), backend.clone());
        Some(backend)
    }

    /// Drops idle connections whose time has come, or that were made with other credentials of the
    /// mesh than the present ones. Called about once a second.
    pub fn sweep(&self, now: Instant) {
        let other_credentials = self.peers.sweep(now);
        for backend in self.known.borrow().values() {
            if other_credentials {
                backend.clear_tunnels();
            }
            backend.sweep(now);
        }
    }

    /// What the worker lends.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// Whether nothing at all has changed: the common case, once for every backend and change.
fn is_untouched(before: &PreparedBackend, wanted: &PreparedBackend) -> bool {
    Arc::ptr_eq(&before.settings, &wanted.settings)
        && Arc::ptr_eq(&before.endpoints, &wanted.endpoints)
        && is_same_tls(before.tls.as_ref(), wanted.tls.as_ref())
}

fn is_same_tls(have: Option<&Arc<ClientTls>>, wanted: Option<&Arc<ClientTls>>) -> bool {
    match (have, wanted) {
        (None, None) => true,
        (Some(have), Some(wanted)) => Arc::ptr_eq(have, wanted),
        _ => false,
    }
}

fn is_same_but_endpoints(have: &model::Backend, wanted: &model::Backend) -> bool {
    // In full, so that a new field cannot be forgotten.
    let model::Backend { id, endpoints, protocol, health_check, host, termination_delay, calling } =
        wanted;
    have.id == *id
        && have.endpoints.is_dialled() == endpoints.is_dialled()
        && have.protocol == *protocol
        && have.health_check == *health_check
        && have.host == *host
        && have.termination_delay == *termination_delay
        && have.calling == *calling
}

#[cfg(test)]
mod tests;
