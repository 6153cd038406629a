//! What all workers of a process know of backends and their endpoints.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weft_model::id::BackendId;
use weft_resilience::adaptive::AdaptiveLimit;
use weft_resilience::hedge::Hedge;
use weft_resilience::limits::Bound;
use weft_resilience::load::ReportedLoad;
use weft_resilience::outlier::EndpointHealth;
use weft_resilience::retry::RetryBudget;
use weft_resilience::settings::{AdaptiveSettings, BudgetSettings, HedgeSettings};
use weft_runtime::metrics::{Collect, Sink};
use weft_runtime::time;

use crate::bound::UnderWay;
use crate::copies::Copies;
use crate::metrics::{BACKENDS_SHOWN_MAX, OTHERS};

/// The backends and endpoints of a process. An entry lives as long as some worker or prober holds
/// it.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    backends: Mutex<HashMap<BackendId, Weak<SharedBackend>>>,
    endpoints: Mutex<HashMap<(BackendId, SocketAddr), Weak<SharedEndpoint>>>,
}

/// One backend.
#[derive(Debug)]
pub(crate) struct SharedBackend {
    pub(crate) under_way: UnderWay,
    /// Somebody waits for a connection, here or at an endpoint: who has an idle one that is counted
    /// is to let it go.
    pub(crate) wanted: Notify,
    pub(crate) copies: Copies,
    budget: Slot<BudgetSettings, RetryBudget>,
    adaptive: Slot<AdaptiveSettings, AdaptiveLimit>,
    hedge: Slot<HedgeSettings, Hedge>,
}

/// One endpoint of one backend.
#[derive(Debug)]
pub struct SharedEndpoint {
    /// Its address.
    pub addr: SocketAddr,
    epoch: Instant,
    /// When its share began to grow, in nanoseconds since the epoch; [`NEVER`] for one that has its
    /// full share.
    growing_since: AtomicU64,
    /// What passive health knows.
    pub passive: EndpointHealth,
    /// What it reports of itself.
    pub(crate) reported: ReportedLoad,
    pub(crate) under_way: UnderWay,
    unhealthy: AtomicBool,
}

/// How an endpoint stands, as all workers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether active health checks, if there are any, find it healthy.
    pub is_healthy: bool,
    /// Whether it is set aside because requests failed.
    pub is_set_aside: bool,
    /// Connections that are open or being made.
    pub connections: u32,
    /// Requests under way, where they are bounded.
    pub requests: u32,
}

/// No time at which a share began to grow.
const NEVER: u64 = u64::MAX;

/// A state machine and the settings it was made with: those who want it with the same ones share it.
#[derive(Debug)]
struct Slot<S, T>(Mutex<Option<(S, Arc<T>)>>);

// === impl Shared ===

impl Shared {
    /// Nothing is known. `epoch` is the start of the process or any instant before the first
    /// request.
    pub fn new(epoch: Instant) -> Self {
        let (backends, endpoints) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { epoch, backends, endpoints }))
    }

    /// The instant that atomics count from.
    pub fn epoch(&self) -> Instant {
        self.0.epoch
    }

    /// The entry of a backend, made if it is new.
    pub(crate) fn backend(&self, id: &BackendId) -> Arc<SharedBackend> {
        entry(&self.0.backends, id.clone(), SharedBackend::default)
    }

    /// The entry of an endpoint, made if it is new. `since` is when it appeared among the others of
    /// its backend. It is `None` for one that was there before anybody used the backend: nobody
    /// knows how warm it is, and it has no elder to leave its share to.
    pub fn endpoint(
        &self,
        backend: &BackendId,
        addr: SocketAddr,
        since: Option<Instant>,
    ) -> Arc<SharedEndpoint> {
        entry(&self.0.endpoints, (backend.clone(), addr), || {
            SharedEndpoint::new(addr, since, self.0.epoch)
        })
    }

    /// How an endpoint stands at present; `None` when nobody has used it.
    pub fn standing(&self, backend: &BackendId, addr: SocketAddr) -> Option<Standing> {
        let endpoints = lock(&self.0.endpoints);
        let endpoint = endpoints.get(&(backend.clone(), addr))?.upgrade()?;
        Some(Standing {
            is_healthy: endpoint.is_healthy(),
            is_set_aside: !endpoint.passive.is_usable(time::now()),
            connections: endpoint.under_way.connections.count(),
            requests: endpoint.under_way.limits.count(Bound::Requests),
        })
    }
}

impl Collect for Shared {
    fn collect(&self, sink: &mut Sink) {
        let now = time::now();
        let mut known: BTreeMap<BackendId, (u32, u32)> = BTreeMap::new();
        for (id, shared) in lock(&self.0.backends).iter() {
            if let Some(shared) = shared.upgrade() {
                let open = shared.under_way.connections.count();
                known.insert(id.clone(), (open, 0));
            }
        }
        for ((id, _), endpoint) in lock(&self.0.endpoints).iter() {
            if let (Some(counts), Some(endpoint)) = (known.get_mut(id), endpoint.upgrade()) {
                counts.1 += u32::from(!endpoint.passive.is_usable(now));
            }
        }
        for (index, (id, (open, ejected))) in known.iter().enumerate() {
            let id = if index < BACKENDS_SHOWN_MAX { id.as_str() } else { OTHERS };
            let labels = [("backend", id)];
            let help = "Connections to a backend that are open or being made.";
            sink.gauge("weftway_upstream_connections_open", help, &labels, f64::from(*open));
            let help = "Endpoints that are set aside at present because requests to them failed.";
            sink.gauge("weftway_upstream_endpoints_ejected", help, &labels, f64::from(*ejected));
        }
    }
}

// === impl SharedBackend ===

impl SharedBackend {
    /// The budget of retries of all workers.
    pub(crate) fn budget(
        &self,
        settings: Option<BudgetSettings>,
        epoch: Instant,
    ) -> Option<Arc<RetryBudget>> {
        settings.map(|settings| self.budget.of(settings, |s| RetryBudget::new(s, epoch)))
    }

    /// The bound that follows from the latencies that all workers see.
    pub(crate) fn adaptive(
        &self,
        settings: Option<AdaptiveSettings>,
        epoch: Instant,
    ) -> Option<Arc<AdaptiveLimit>> {
        settings.map(|settings| self.adaptive.of(settings, |s| AdaptiveLimit::new(s, epoch)))
    }

    /// When second tries are sent, by the latencies that all workers see.
    pub(crate) fn hedge(
        &self,
        settings: Option<HedgeSettings>,
        epoch: Instant,
    ) -> Option<Arc<Hedge>> {
        settings.map(|settings| self.hedge.of(settings, |s| Hedge::new(s, epoch)))
    }
}

impl Default for SharedBackend {
    fn default() -> Self {
        Self {
            under_way: UnderWay::default(),
            wanted: Notify::new(),
            copies: Copies::default(),
            budget: Slot::default(),
            adaptive: Slot::default(),
            hedge: Slot::default(),
        }
    }
}

// === impl SharedEndpoint ===

impl SharedEndpoint {
    /// An endpoint of which nothing is known. `epoch` is not later than its first request.
    pub(crate) fn new(addr: SocketAddr, since: Option<Instant>, epoch: Instant) -> Self {
        let growing_since = since.map_or(NEVER, |since| nanos(epoch, since));
        Self {
            addr,
            epoch,
            growing_since: AtomicU64::new(growing_since),
            passive: EndpointHealth::new(epoch),
            reported: ReportedLoad::new(epoch),
            under_way: UnderWay::default(),
            unhealthy: AtomicBool::new(false),
        }
    }

    /// Whether active health checks, if there are any, find it healthy.
    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Relaxed)
    }

    /// Sets what active health checks found. One that has recovered is as one that has just
    /// appeared.
    pub fn set_healthy(&self, healthy: bool) {
        let was_unhealthy = self.unhealthy.swap(!healthy, Relaxed);
        if healthy && was_unhealthy {
            self.growing_since.store(nanos(self.epoch, time::now()), Relaxed);
        }
    }

    /// For how long its share has been growing, for slow start. `None` for one that was there before
    /// its backend was used, and well ever since.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let since = self.growing_since.load(Relaxed);
        let since = Duration::from_nanos(Some(since).filter(|since| *since != NEVER)?);
        Some(now.saturating_duration_since(self.epoch).saturating_sub(since))
    }
}

// === impl Slot ===

impl<S: Copy + PartialEq, T> Slot<S, T> {
    /// The one with these settings, made anew if it has others.
    fn of(&self, settings: S, make: impl FnOnce(S) -> T) -> Arc<T> {
        let mut slot = lock(&self.0);
        if let Some((have, machine)) = &*slot
            && *have == settings
        {
            return Arc::clone(machine);
        }
        let machine = Arc::new(make(settings));
        *slot = Some((settings, Arc::clone(&machine)));
        machine
    }
}

impl<S, T> Default for Slot<S, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

// === functions ===

fn nanos(epoch: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(epoch).as_nanos()).unwrap_or(NEVER)
}

/// The entry under a key, made if nobody holds one.
fn entry<K: Eq + std::hash::Hash, T>(
    entries: &Mutex<HashMap<K, Weak<T>>>,
    key: K,
    make: impl FnOnce() -> T,
) -> Arc<T> {
    let mut entries = lock(entries);
    if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
        return entry;
    }
    let entry = Arc::new(make());
    entries.insert(key, Arc::downgrade(&entry));
    if entries.len() > 64 && entries.len().is_power_of_two() {
        entries.retain(|_, entry| entry.strong_count() > 0);
    }
    entry
}

// Held for a look-up when a plan is put in force, when an address is dialled that was not of late, or
// for a scrape; otherwise never on the path of a request.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
