//! What all workers of a process know of an endpoint.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use weft_model::id::BackendId;
use weft_resilience::outlier::EndpointHealth;

/// The endpoints of a process. An entry lives as long as some worker or prober holds it.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    entries: Mutex<HashMap<(BackendId, SocketAddr), Weak<SharedEndpoint>>>,
}

/// One endpoint of one backend.
#[derive(Debug)]
pub struct SharedEndpoint {
    /// Its address.
    pub addr: SocketAddr,
    /// When it appeared among the others of its backend, for slow start. `None` when it was there
    /// before anybody used the backend: nobody knows how warm it is, and it has no elder to leave
    /// its share to.
    pub since: Option<Instant>,
    /// What passive health knows.
    pub passive: EndpointHealth,
    unhealthy: AtomicBool,
}

// === impl Shared ===

impl Shared {
    /// No endpoints. `epoch` is the start of the process or any instant before the first request.
    pub fn new(epoch: Instant) -> Self {
        Self(Arc::new(Inner { epoch, entries: Mutex::default() }))
    }

    /// The instant that atomics count from.
    pub fn epoch(&self) -> Instant {
        self.0.epoch
    }

    /// The entry of an endpoint, made if it is new: then with `since`.
    pub fn endpoint(
        &self,
        backend: &BackendId,
        addr: SocketAddr,
        since: Option<Instant>,
    ) -> Arc<SharedEndpoint> {
        // Held for a look-up when a plan is built, never on the path of a request.
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (backend.clone(), addr);
        if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        let entry = Arc::new(SharedEndpoint::new(addr, since, self.0.epoch));
        entries.insert(key, Arc::downgrade(&entry));
        if entries.len() > 64 && entries.len().is_power_of_two() {
            entries.retain(|_, entry| entry.strong_count() > 0);
        }
        entry
    }
}

// === impl SharedEndpoint ===

impl SharedEndpoint {
    /// An endpoint of which nothing is known. `epoch` is not later than its first request.
    pub(crate) fn new(addr: SocketAddr, since: Option<Instant>, epoch: Instant) -> Self {
        let passive = EndpointHealth::new(epoch);
        Self { addr, since, passive, unhealthy: AtomicBool::new(false) }
    }

    /// Whether active health checks, if there are any, find it healthy.
    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Relaxed)
    }

    /// Sets what active health checks found.
    pub fn set_healthy(&self, healthy: bool) {
        self.unhealthy.store(!healthy, Relaxed);
    }
}
