//! One backend as one worker sees it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use weft_model::backend as model;
use weft_model::calling::Calling;
use weft_resilience::adaptive::{AdaptiveLimit, AdaptivePermit};
use weft_resilience::hedge::Hedge;
use weft_resilience::inflight::Permit;
use weft_resilience::limits::{Bound, BoundReached};
use weft_resilience::outlier::Outlier;
use weft_resilience::pick::{self, Candidates as _, Picker};
use weft_resilience::retry::{Active, RetryBudget};
use weft_resilience::rng::Rng;
use weft_resilience::settings::LocalitySettings;
use weft_runtime::task::{self, Task};
use weft_tls::ClientTls;

use crate::backends::PreparedBackend;
use crate::bound::{self, Overflow};
use crate::call::{Ask, Call};
use crate::copies::Copied;
use crate::dialled::DialledEndpoints;
use crate::endpoint::Endpoint;
use crate::error::PickError;
use crate::hear::Heard;
use crate::lease::{Lease, Permits, Tried};
use crate::metrics::{BackendCells, IdleShare};
use crate::peer::{PeerPool, Peers};
use crate::pool::Reuse;
use crate::shared::{Shared, SharedBackend};
use crate::view::{EndpointSet, View};

/// A destination with its endpoints, picker and connections.
#[derive(Debug)]
pub struct Backend {
    pub(crate) settings: Arc<model::Backend>,
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) outlier: Option<Arc<Outlier>>,
    pub(crate) cells: Arc<BackendCells>,
    /// What all workers know of it.
    pub(crate) shared: Arc<SharedBackend>,
    pub(crate) reuse: Reuse,
    endpoints: RefCell<Rc<EndpointSet>>,
    dialled: DialledEndpoints,
    /// The proxy through which addresses that are dialled are reached.
    through: RefCell<Option<Rc<PeerPool>>>,
    /// What all workers know of all backends, for addresses that are dialled.
    process: Shared,
    picker: Picker,
    retry_budget: Option<Arc<RetryBudget>>,
    adaptive: Option<Arc<AdaptiveLimit>>,
    hedge: Option<Arc<Hedge>>,
    retired: Cell<bool>,
    idle: IdleShare,
    /// Makes room for connections of other workers.
    yielding: OnceCell<Yielding>,
}

/// What counts under the bounds of a backend on requests.
#[derive(Debug, Default)]
struct Admitted {
    permit: Option<Permit>,
    adaptive: Option<AdaptivePermit>,
}

/// A task that ends with its backend.
#[derive(Debug)]
struct Yielding(Task<()>);

// === impl Backend ===

impl Backend {
    /// A backend without endpoints; [`Backend::set_endpoints`] brings them, or
    /// [`Backend::pick_addr`].
    pub(crate) fn new(wanted: &PreparedBackend, cells: Arc<BackendCells>, shared: &Shared) -> Self {
        let PreparedBackend { settings, tls, outlier, endpoints: _ } = wanted.clone();
        let (calling, process) = (settings.calling.clone(), shared.clone());
        let (shared, epoch) = (process.backend(&settings.id), process.epoch());
        shared.under_way.set_limits(calling.limits);
        Self {
            outlier,
            picker: picker(&calling),
            retry_budget: shared.budget(calling.retry_budget, epoch),
            adaptive: shared.adaptive(calling.adaptive, epoch),
            hedge: shared.hedge(calling.hedge, epoch),
            reuse: Reuse::of(&calling),
            shared,
            settings,
            tls,
            idle: IdleShare::new(cells.clone()),
            cells,
            endpoints: RefCell::default(),
            dialled: DialledEndpoints::default(),
            through: RefCell::default(),
            process,
            retired: Cell::new(false),
            yielding: OnceCell::new(),
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
        self.endpoints.borrow().endpoints().any(|endpoint| !tried.contains(endpoint))
    }

    /// Whether any endpoint could be picked now.
    pub fn is_available(&self, now: Instant) -> bool {
        if self.is_dialled() {
            return true;
        }
        let set = self.endpoints.borrow().clone();
        let view = self.view(&set, now, false);
        (0..view.len()).any(|index| view.usable(index))
    }

    /// Begins a request, which counts towards the budget of retries until the call is dropped.
    pub fn call(self: &Rc<Self>, now: Instant) -> Call {
        let budget = self.retry_budget.as_ref();
        let request = budget.map_or(Active::uncounted(), |budget| budget.request(now));
        Call::new(self.clone(), request)
    }

    /// Chooses an endpoint for a request, which counts under the bounds on requests until the lease
    /// is dropped.
    ///
    /// # Errors
    ///
    /// When there is none, or none that is usable and untried, or when as many requests as may be
    /// are under way.
    pub fn pick(self: &Rc<Self>, ask: &Ask<'_>, rng: &Rng) -> Result<Lease, PickError> {
        let picked = self.admit(ask.now).map_err(PickError::from).and_then(|admitted| {
            let (endpoint, permits) = self.choose(ask, rng, true)?;
            Ok(self.lease(endpoint, ask.now, admitted, permits))
        });
        self.counted(picked)
    }

    /// The same for a connection of bytes, which is no request.
    ///
    /// # Errors
    ///
    /// When there is no endpoint, or none that is usable and untried.
    pub fn pick_stream(self: &Rc<Self>, ask: &Ask<'_>, rng: &Rng) -> Result<Lease, PickError> {
        let (endpoint, permits) = self.choose(ask, rng, false)?;
        Ok(self.lease(endpoint, ask.now, Admitted::default(), permits))
    }

    /// The endpoint at the address that a connection was made to, for a request. There is no other,
    /// so it does not matter how healthy it is.
    ///
    /// # Errors
    ///
    /// When as many requests as may be are under way.
    pub fn pick_addr(self: &Rc<Self>, now: Instant, addr: SocketAddr) -> Result<Lease, PickError> {
        let endpoint = self.dialled_endpoint(now, addr);
        let picked = self.admit(now).and_then(|admitted| {
            let permits = self.enter(&endpoint, false)?;
            Ok(self.lease(endpoint, now, admitted, permits))
        });
        self.counted(picked.map_err(PickError::from))
    }

    /// The same for a connection of bytes.
    pub fn pick_addr_stream(self: &Rc<Self>, now: Instant, addr: SocketAddr) -> Lease {
        let endpoint = self.dialled_endpoint(now, addr);
        self.lease(endpoint, now, Admitted::default(), Permits::default())
    }

    /// The endpoint that `wanted` accepts (the one a sticky cookie names), for a request, if it is
    /// usable and was not tried.
    ///
    /// # Errors
    ///
    /// When as many requests as may be are under way to the backend.
    pub fn pick_where(
        self: &Rc<Self>,
        ask: &Ask<'_>,
        wanted: impl Fn(&Endpoint) -> bool,
    ) -> Result<Option<Lease>, PickError> {
        let Ask { now, tried, is_retry, key: _, elsewhere: _ } = *ask;
        let set = self.endpoints.borrow().clone();
        let Some(index) = set.endpoints().position(|endpoint| wanted(endpoint)) else {
            return Ok(None);
        };
        let endpoint = &set.members[index].endpoint;
        if !self.view(&set, now, is_retry).usable(index) || tried.contains(endpoint) {
            return Ok(None);
        }
        let admitted = self.counted(self.admit(now).map_err(PickError::from))?;
        let Ok(permits) = self.enter(endpoint, is_retry) else { return Ok(None) };
        if !endpoint.shared.passive.begin(now) {
            return Ok(None);
        }
        Ok(Some(self.lease(endpoint.clone(), now, admitted, permits)))
    }

    /// Begins a copy of a request, of whose body so much is held in memory; `None` when that is too
    /// much beside those that are under way ([`crate::COPIES_MAX`]), which is counted.
    pub fn begin_copy(&self, bytes: u64) -> Option<Copied> {
        let copied = Copied::begin(&self.shared, bytes);
        if copied.is_none() {
            self.cells.refuse_copy();
        }
        copied
    }

    /// When second tries are sent, if they are.
    pub fn hedge(&self) -> Option<&Arc<Hedge>> {
        self.hedge.as_ref()
    }

    /// What is counted of this backend.
    pub fn cells(&self) -> &BackendCells {
        &self.cells
    }

    /// The endpoints, for dumps and metrics.
    pub fn endpoints(&self) -> Vec<Rc<Endpoint>> {
        self.endpoints.borrow().endpoints().cloned().collect()
    }

    /// Takes a retry from the budget, if one is left.
    pub(crate) fn retry_from_budget(&self, now: Instant) -> Option<Active> {
        let budget = self.retry_budget.as_ref();
        budget.map_or(Some(Active::uncounted()), |budget| budget.try_retry(now))
    }

    /// An endpoint, with the permits for a request to it if it `is_request`.
    fn choose(
        &self,
        ask: &Ask<'_>,
        rng: &Rng,
        is_request: bool,
    ) -> Result<(Rc<Endpoint>, Permits), PickError> {
        let set = self.endpoints.borrow().clone();
        if set.members.is_empty() {
            return Err(PickError::NoEndpoint);
        }
        let view = self.view(&set, ask.now, ask.is_retry);
        let mut tried = set.positions(ask.tried);
        let pick = |tried: &[usize]| {
            let Ask { now, key, tried: _, elsewhere, is_retry: _ } = *ask;
            let index = self.picker.pick(&view, &pick::Ask { now, key, tried, elsewhere }, rng);
            let index = index.ok_or_else(|| self.none(&view))?;
            let endpoint = &set.members[index].endpoint;
            let permits = match is_request {
                true => self.enter(endpoint, ask.is_retry),
                false => Ok(Permits::default()),
            };
            Ok::<_, PickError>((index, endpoint, permits))
        };
        let (index, endpoint, permits) = pick(&tried)?;
        if let Ok(permits) = permits
            && endpoint.shared.passive.begin(ask.now)
        {
            return Ok((endpoint.clone(), permits));
        }
        // Another request is the one that decides of it, or took the last place. Where there is
        // nobody else, two decide.
        tried.push(index);
        let (_, endpoint, permits) = pick(&tried)?;
        Ok((endpoint.clone(), permits?))
    }

    /// Why no endpoint can be picked.
    fn none(&self, view: &View<'_>) -> PickError {
        let limit = self.settings.calling.endpoint_limits.requests;
        let is_busy = (0..view.len()).any(|index| view.is_up(index) && view.is_full(index));
        match limit.filter(|_| is_busy) {
            Some(limit) => {
                Overflow::Endpoint(BoundReached { bound: Bound::Requests, limit }).into()
            }
            None => PickError::NoHealthyEndpoint,
        }
    }

    /// One more request to the backend, if that is not too many.
    fn admit(&self, now: Instant) -> Result<Admitted, Overflow> {
        let limit = self.settings.calling.limits.requests;
        let permit =
            self.shared.under_way.enter(Bound::Requests, limit).map_err(Overflow::Backend)?;
        let adaptive = self.adaptive.as_ref().map(|adaptive| adaptive.acquire(now));
        Ok(Admitted { permit, adaptive: adaptive.transpose().map_err(Overflow::Adaptive)? })
    }

    /// One more request to the endpoint, if that is not too many.
    fn enter(&self, endpoint: &Endpoint, is_retry: bool) -> Result<Permits, Overflow> {
        let limits = &self.settings.calling.endpoint_limits;
        let enter = |bound, limit| {
            endpoint.shared.under_way.enter(bound, limit).map_err(Overflow::Endpoint)
        };
        let retries = limits.retries.filter(|_| is_retry);
        Ok([None, enter(Bound::Requests, limits.requests)?, enter(Bound::Retries, retries)?])
    }

    /// Counts what is refused because of a bound.
    fn counted<T>(&self, picked: Result<T, PickError>) -> Result<T, PickError> {
        if let Err(PickError::Overflow(overflow)) = &picked {
            self.cells.refuse(*overflow);
        }
        picked
    }

    fn lease(
        self: &Rc<Self>,
        endpoint: Rc<Endpoint>,
        now: Instant,
        admitted: Admitted,
        mut permits: Permits,
    ) -> Lease {
        permits[0] = admitted.permit;
        let pending = endpoint.latency.begin();
        self.cells.in_flight.inc();
        Lease {
            backend: self.clone(),
            endpoint,
            started: now,
            papers: Cell::new(None),
            shares: Cell::new(false),
            queues: Cell::new(false),
            behalf: OnceCell::new(),
            heard: Cell::new(Heard::Nothing),
            adaptive: Cell::new(admitted.adaptive),
            _permits: permits,
            _pending: pending,
        }
    }

    fn dialled_endpoint(&self, now: Instant, addr: SocketAddr) -> Rc<Endpoint> {
        self.dialled.get(addr, now, || {
            let known = self.process.endpoint(&self.settings.id, addr, None);
            known.under_way.set_limits(self.settings.calling.endpoint_limits);
            Endpoint::new(known, self.through.borrow().clone(), now)
        })
    }

    fn view<'a>(&'a self, set: &'a EndpointSet, now: Instant, is_retry: bool) -> View<'a> {
        View { set, calling: &self.settings.calling, now, is_retry }
    }
}

/// How it follows the configuration.
impl Backend {
    /// Replaces the endpoints; those that stay, and are reached in the same way, keep their
    /// connections and estimates, whatever becomes of their weight. `since` is the moment at which
    /// new ones appear, `None` for the first of a backend.
    pub(crate) fn set_endpoints(
        &self,
        wanted: &PreparedBackend,
        (shared, peers): (&Shared, &Peers),
        since: Option<Instant>,
        now: Instant,
    ) {
        self.lead(&wanted.settings.endpoints, peers);
        let before = self.endpoints.borrow().clone();
        let by_addr: HashMap<SocketAddr, &Rc<Endpoint>> =
            before.endpoints().map(|endpoint| (endpoint.addr, endpoint)).collect();
        let set = before.follow(&wanted.endpoints, |listed| {
            let kept = by_addr.get(&listed.addr);
            let endpoint = match kept.filter(|kept| kept.peer() == listed.peer.as_ref()) {
                Some(&kept) => kept.clone(),
                None => {
                    let known = shared.endpoint(&self.settings.id, listed.addr, since);
                    let peer = listed.peer.as_ref().map(|peer| peers.pool(peer));
                    Rc::new(Endpoint::new(known, peer, now))
                }
            };
            endpoint.shared.under_way.set_limits(self.settings.calling.endpoint_limits);
            endpoint
        });
        if let Some(outlier) = &self.outlier {
            outlier.set_endpoints(set.members.len());
        }
        self.endpoints.replace(Rc::new(set));
    }

    /// Takes the place of a backend with other settings but the same way of connecting: its
    /// endpoints come over with their connections, estimates and health.
    pub(crate) fn adopt(&self, before: &Self) {
        self.endpoints.replace(before.endpoints.borrow().clone());
        self.dialled.adopt(&before.dialled);
        self.dialled.set_limits(self.settings.calling.endpoint_limits);
        self.through.replace(before.through.borrow().clone());
    }

    /// Drops idle connections that are too old or were closed by the peer, and says in the metrics
    /// how many are left.
    pub(crate) fn sweep(&self, now: Instant) {
        let set = self.endpoints.borrow().clone();
        let listed = set.endpoints().map(|endpoint| endpoint.sweep(now, &self.reuse));
        self.idle.show(listed.sum::<usize>() + self.dialled.sweep(now, &self.reuse));
        drop(set);
        // What was shared when it was asked for may have become idle since.
        self.make_room();
    }

    /// Lets go what is idle in tunnels: we have become known as somebody else, or trust others.
    pub(crate) fn clear_tunnels(&self) {
        let set = self.endpoints.borrow();
        set.endpoints().filter(|endpoint| endpoint.peer.is_some()).for_each(|one| one.clear());
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
        self.endpoints.borrow().endpoints().for_each(|endpoint| endpoint.clear());
        self.dialled.clear();
    }

    /// Lets an idle connection go for each place that somebody waits for: at an endpoint one of it,
    /// else one of any.
    pub(crate) fn make_room(&self) {
        let set = self.endpoints.borrow();
        let wanted = |endpoint: &&Rc<Endpoint>| endpoint.shared.under_way.connections.is_wanted();
        for endpoint in set.endpoints().filter(wanted) {
            endpoint.give_way();
        }
        if self.shared.under_way.connections.is_wanted() {
            let _ = set.endpoints().any(|endpoint| endpoint.give_way()) || self.dialled.give_way();
        }
        self.dialled.make_room();
    }

    /// Makes room when another worker wants some, if connections are bounded: those of this worker
    /// count there as well.
    pub(crate) fn heed_others(self: &Rc<Self>) {
        let Calling { limits, endpoint_limits, .. } = &*self.settings.calling;
        if limits.connections.is_none() && endpoint_limits.connections.is_none() {
            return;
        }
        let (backend, shared) = (Rc::downgrade(self), self.shared.clone());
        self.yielding.get_or_init(|| {
            Yielding(task::spawn("yielding", async move {
                let look = || backend.upgrade().map(|backend| backend.make_room()).is_some();
                bound::heed(&shared.wanted, look).await;
            }))
        });
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
}

// === impl Yielding ===

impl Drop for Yielding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === functions ===

/// The picker of a destination.
fn picker(calling: &Calling) -> Picker {
    let usable_ratio_min = calling.outlier.map_or(0.0, |outlier| outlier.usable_ratio_min);
    let picker = Picker::new(calling.picker).with_panic_ratio(usable_ratio_min);
    match &calling.locality {
        None => picker,
        Some(locality) => {
            let weighted = !locality.distribute.is_empty();
            picker.with_locality(LocalitySettings { weighted, ..LocalitySettings::DEFAULT })
        }
    }
}
