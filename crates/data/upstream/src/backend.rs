//! One backend as one worker sees it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use weft_model::backend as model;
use weft_resilience::outlier::Outlier;
use weft_resilience::pick::{Candidates, Picker};
use weft_resilience::retry::RetryBudget;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{PickerKind, SlowStartSettings};
use weft_resilience::slow_start;
use weft_tls::ClientTls;

use crate::backends::PreparedBackend;
use crate::dialled::DialledEndpoints;
use crate::endpoint::Endpoint;
use crate::error::PickError;
use crate::lease::{Lease, Tried};
use crate::metrics::{BackendCells, IdleShare};
use crate::peer::{PeerPool, Peers};
use crate::shared::{Shared, SharedEndpoint};

/// A destination with its endpoints, picker and connections.
#[derive(Debug)]
pub struct Backend {
    pub(crate) settings: Arc<model::Backend>,
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) outlier: Option<Arc<Outlier>>,
    pub(crate) cells: Arc<BackendCells>,
    endpoints: RefCell<Rc<[Rc<Endpoint>]>>,
    dialled: DialledEndpoints,
    /// The proxy through which addresses that are dialled are reached.
    through: RefCell<Option<Rc<PeerPool>>>,
    epoch: Instant,
    picker: Picker,
    retry_budget: Option<RetryBudget>,
    retired: Cell<bool>,
    idle: IdleShare,
}

/// The share a new endpoint begins with, so that it is not without any traffic to warm up by.
const SLOW_START_RATIO_MIN: f64 = 0.1;

/// The endpoints at one moment, as the picker looks at them.
struct View<'a> {
    endpoints: &'a [Rc<Endpoint>],
    slow_start: SlowStartSettings,
    now: Instant,
    by_latency: bool,
}

// === impl Backend ===

impl Backend {
    /// A backend without endpoints; [`Backend::set_endpoints`] brings them, or
    /// [`Backend::pick_addr`]. `epoch` is not later than its first request.
    pub(crate) fn new(
        settings: Arc<model::Backend>,
        tls: Option<Arc<ClientTls>>,
        outlier: Option<Arc<Outlier>>,
        cells: Arc<BackendCells>,
        epoch: Instant,
    ) -> Self {
        Self {
            outlier,
            picker: Picker::new(settings.picker),
            retry_budget: settings.retry_budget.map(|budget| RetryBudget::new(budget, epoch)),
            settings,
            tls,
            idle: IdleShare::new(cells.clone()),
            cells,
            endpoints: RefCell::new(Rc::new([])),
            dialled: DialledEndpoints::default(),
            through: RefCell::default(),
            epoch,
            retired: Cell::new(false),
        }
    }

    /// Settings as they were compiled.
    pub fn settings(&self) -> &Arc<model::Backend> {
        &self.settings
    }

    /// Whether its endpoint is the address that a connection was made to: [`Backend::pick_addr`]
    /// takes the place of [`Backend::pick`].
    pub fn is_dialled(&self) -> bool {
        self.settings.endpoints.is_dialled()
    }

    /// Whether there is an endpoint that was not tried.
    pub fn has_others(&self, tried: &Tried) -> bool {
        self.endpoints.borrow().iter().any(|endpoint| !tried.contains(endpoint))
    }

    /// Whether any endpoint could be picked now.
    pub fn is_available(&self, now: Instant) -> bool {
        if self.is_dialled() {
            return true;
        }
        let endpoints = self.endpoints.borrow().clone();
        let view = self.view(&endpoints, now);
        (0..endpoints.len()).any(|index| view.usable(index))
    }

    /// Chooses an endpoint. `key` is what keeps a client on its endpoint: the value of a sticky
    /// cookie, or the hash of its address.
    ///
    /// # Errors
    ///
    /// When there is none, or none that is usable and untried.
    pub fn pick(
        self: &Rc<Self>,
        now: Instant,
        rng: &Rng,
        key: Option<u64>,
        tried: &Tried,
    ) -> Result<Lease, PickError> {
        let endpoints = self.endpoints.borrow().clone();
        if endpoints.is_empty() {
            return Err(PickError::NoEndpoint);
        }
        let view = self.view(&endpoints, now);
        let tried = tried.positions(&endpoints);
        let index =
            self.picker.pick(&view, key, &tried, rng).ok_or(PickError::NoHealthyEndpoint)?;
        Ok(self.lease(endpoints[index].clone(), now))
    }

    /// The endpoint at the address that a connection was made to. There is no other, so it does not
    /// matter how healthy it is.
    pub fn pick_addr(self: &Rc<Self>, now: Instant, addr: SocketAddr) -> Lease {
        let endpoint = self.dialled.get(addr, now, || {
            let shared = Arc::new(SharedEndpoint::new(addr, None, self.epoch));
            Endpoint::new(shared, self.through.borrow().clone(), 1.0, now)
        });
        self.lease(endpoint, now)
    }

    /// The endpoint that `wanted` accepts (the one a sticky cookie names), if it is usable and was
    /// not tried.
    pub fn pick_where(
        self: &Rc<Self>,
        now: Instant,
        tried: &Tried,
        wanted: impl Fn(&Endpoint) -> bool,
    ) -> Option<Lease> {
        let endpoints = self.endpoints.borrow().clone();
        let index = endpoints.iter().position(|endpoint| wanted(endpoint))?;
        let usable = self.view(&endpoints, now).usable(index) && !tried.contains(&endpoints[index]);
        usable.then(|| self.lease(endpoints[index].clone(), now))
    }

    /// Counts a request towards the budget that its retries come from.
    pub fn note_request(&self, now: Instant) {
        if let Some(budget) = &self.retry_budget {
            budget.request(now);
        }
    }

    /// Whether the budget has a retry left; takes it, and counts what came of it.
    #[must_use = "a retry may be made only if this is true"]
    pub fn try_retry(&self, now: Instant) -> bool {
        let allowed = self.retry_budget.as_ref().is_none_or(|budget| budget.try_retry(now));
        if !allowed {
            self.cells.retries_denied.inc();
        }
        allowed
    }

    /// What is counted of this backend.
    pub fn cells(&self) -> &BackendCells {
        &self.cells
    }

    /// Replaces the endpoints; those that stay, and are reached in the same way, keep their
    /// connections and estimates, whatever becomes of their weight. `since` is the moment at which new ones appear, `None` for the first
    /// of a backend.
    pub(crate) fn set_endpoints(
        &self,
        wanted: &PreparedBackend,
        (shared, peers): (&Shared, &Peers),
        since: Option<Instant>,
        now: Instant,
    ) {
        self.lead(&wanted.settings.endpoints, peers);
        let known = self.endpoints.borrow().clone();
        let by_addr: HashMap<SocketAddr, &Rc<Endpoint>> =
            known.iter().map(|endpoint| (endpoint.addr, endpoint)).collect();
        let endpoints: Rc<[Rc<Endpoint>]> = wanted
            .endpoints
            .iter()
            .map(|wanted| {
                let weight = f64::from(wanted.weight);
                let kept = by_addr.get(&wanted.addr);
                match kept.filter(|kept| kept.peer() == wanted.peer.as_ref()) {
                    Some(&kept) => {
                        kept.weight.set(weight);
                        kept.clone()
                    }
                    None => {
                        let known = shared.endpoint(&self.settings.id, wanted.addr, since);
                        let peer = wanted.peer.as_ref().map(|peer| peers.pool(peer));
                        Rc::new(Endpoint::new(known, peer, weight, now))
                    }
                }
            })
            .collect();
        if let Some(outlier) = &self.outlier {
            outlier.set_endpoints(endpoints.len());
        }
        self.endpoints.replace(endpoints);
    }

    /// Takes the place of a backend with other settings but the same way of connecting: its
    /// endpoints come over with their connections, estimates and health.
    pub(crate) fn adopt(&self, before: &Self) {
        self.endpoints.replace(before.endpoints.borrow().clone());
        self.dialled.adopt(&before.dialled);
        self.through.replace(before.through.borrow().clone());
    }

    /// Drops idle connections that are too old or were closed by the peer, and says in the metrics
    /// how many are left.
    pub(crate) fn sweep(&self, now: Instant) {
        let idle_timeout = self.settings.pool.idle_timeout;
        let endpoints = self.endpoints.borrow();
        let listed = endpoints.iter().map(|endpoint| endpoint.sweep(now, idle_timeout));
        self.idle.show(listed.sum::<usize>() + self.dialled.sweep(now, idle_timeout));
    }

    /// Lets go what is idle in tunnels: we have become known as somebody else, or trust others.
    pub(crate) fn clear_tunnels(&self) {
        let endpoints = self.endpoints.borrow();
        endpoints.iter().filter(|endpoint| endpoint.peer.is_some()).for_each(|one| one.clear());
        if self.through.borrow().is_some() {
            self.dialled.clear();
        }
    }

    /// Whether it left the configuration.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// The backend left the configuration: what is idle is closed, what runs may finish.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.show(0);
        self.endpoints.borrow().iter().for_each(|endpoint| endpoint.clear());
        self.dialled.clear();
    }

    /// The endpoints, for dumps and metrics.
    pub fn endpoints(&self) -> Rc<[Rc<Endpoint>]> {
        self.endpoints.borrow().clone()
    }

    /// Leads what is dialled through the proxy that is named now. Who it was before is no longer
    /// who is called.
    fn lead(&self, endpoints: &model::Endpoints, peers: &Peers) {
        let wanted = match endpoints {
            model::Endpoints::DialledThrough(peer) => Some(peer),
            _ => None,
        };
        if self.through.borrow().as_ref().map(|pool| pool.peer()) != wanted {
            self.through.replace(wanted.map(|peer| peers.pool(peer)));
            self.dialled.clear();
        }
    }

    fn view<'a>(&self, endpoints: &'a [Rc<Endpoint>], now: Instant) -> View<'a> {
        View {
            endpoints,
            slow_start: SlowStartSettings {
                window: self.settings.slow_start,
                ratio_min: SLOW_START_RATIO_MIN,
                aggression: 1.0,
            },
            now,
            by_latency: self.settings.picker == PickerKind::PeakEwma,
        }
    }

    fn lease(self: &Rc<Self>, endpoint: Rc<Endpoint>, now: Instant) -> Lease {
        let pending = endpoint.latency.begin();
        self.cells.in_flight.inc();
        Lease { backend: self.clone(), endpoint, started: now, _pending: pending }
    }
}

// === impl View ===

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.endpoints.len()
    }

    fn weight(&self, index: usize) -> f64 {
        let endpoint = &self.endpoints[index];
        match endpoint.shared.since {
            Some(since) if !self.slow_start.window.is_zero() => {
                let age = self.now.saturating_duration_since(since);
                endpoint.weight.get() * slow_start::factor(&self.slow_start, age)
            }
            _ => endpoint.weight.get(),
        }
    }

    fn usable(&self, index: usize) -> bool {
        let shared = &self.endpoints[index].shared;
        shared.is_healthy() && shared.passive.is_usable(self.now)
    }

    fn load(&self, index: usize) -> f64 {
        let endpoint = &self.endpoints[index];
        if self.by_latency {
            endpoint.latency.cost(self.now)
        } else {
            f64::from(endpoint.latency.in_flight())
        }
    }

    fn hash(&self, index: usize) -> u64 {
        self.endpoints[index].hash
    }
}
