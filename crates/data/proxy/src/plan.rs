//! A snapshot made ready for use.

mod destinations;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_message::PathRules;
use weft_message::h1::HeadLimits;
use weft_model::id::{BackendId, ListenerId, ServiceName};
use weft_model::listener::{Destination, Direction, Intake, Listener, Served};
use weft_model::mesh::Mtls;
use weft_model::policy::Refusal;
use weft_model::route::Route;
use weft_model::{Generation, Snapshot, backend};
use weft_resilience::outlier::Outlier;
use weft_route::{HttpTable, TcpTable};
use weft_tls::{ClientTls, ServerTls};
use weft_upstream::{Prepared, PreparedBackend};

use crate::live::Live;
use crate::metrics::OpenConnections;
use crate::runtime::RouteRuntime;
use crate::worker::Worker;

pub(crate) use destinations::{Destinations, Standing};

/// A snapshot with its tables and TLS configurations built; the same for all workers.
#[derive(Debug, Default)]
pub struct SharedPlan {
    /// Generation of the snapshot.
    pub generation: Generation,
    /// By position as in the snapshot.
    pub listeners: Vec<Arc<SharedListener>>,
    /// Backends.
    pub upstreams: Arc<Prepared>,
    /// How listeners are found.
    index: Arc<Index>,
}

/// The listeners of a plan, by what they are asked for by.
#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<ListenerId, usize>,
    destinations: Destinations,
}

/// One listener of a [`SharedPlan`].
#[derive(Debug)]
pub struct SharedListener {
    /// As compiled.
    pub settings: Arc<Listener>,
    /// Limits of request heads.
    pub head_limits: HeadLimits,
    /// What a path may contain.
    pub path_rules: PathRules,
    /// Served without TLS.
    pub plain: Option<Side>,
    /// Served on TLS.
    pub tls: Option<Side>,
    /// Certificates by server name; there when `tls` is.
    pub server_tls: Option<Arc<ServerTls>>,
}

/// The tables of one side of a listener.
#[derive(Debug, Clone)]
pub struct Side {
    /// HTTP routes; `None` when HTTP is not spoken.
    pub http: Option<Arc<HttpTable>>,
    /// TCP routes.
    pub tcp: Arc<TcpTable>,
}

/// Something in a snapshot that cannot be put in force. The rest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanProblem {
    /// `listener web`, `backend shop/checkout:8080`.
    pub subject: String,
    /// What is wrong.
    pub message: String,
}

/// A plan as one worker uses it: the shared part, and what this worker made of it so far.
#[derive(Debug)]
pub struct Plan {
    /// The shared part.
    pub shared: Arc<SharedPlan>,
    /// In the order of the shared part.
    listeners: Vec<Rc<ListenerPlan>>,
}

/// One listener as one worker uses it.
#[derive(Debug)]
pub(crate) struct ListenerPlan {
    pub(crate) shared: Arc<SharedListener>,
    open: OnceCell<Arc<OpenConnections>>,
    plain: Vec<OnceCell<Rc<RouteRuntime>>>,
    tls: Vec<OnceCell<Rc<RouteRuntime>>>,
}

// === impl SharedPlan ===

impl SharedPlan {
    /// Builds the tables and TLS configurations of a snapshot. What is equal to the previous
    /// plan's is taken from it. Problems concern single parts; they are left out or keep their
    /// previous form.
    pub fn build(snapshot: &Snapshot, previous: Option<&Self>) -> (Self, Vec<PlanProblem>) {
        let mut problems = Vec::new();
        let listeners: Vec<_> = snapshot
            .listeners
            .iter()
            .map(|listener| shared_listener(listener, previous, &mut problems))
            .collect();
        let index = Arc::new(Index::new(snapshot));
        let backends = snapshot
            .backends
            .iter()
            .filter_map(|(id, settings)| {
                let prepared = prepared_backend(id, settings, previous, &mut problems)?;
                Some((id.clone(), prepared))
            })
            .collect();
        let upstreams = Arc::new(Prepared { backends });
        (Self { generation: snapshot.generation, listeners, upstreams, index }, problems)
    }

    /// Whether destinations are closed, or open to callers without a proof of who they are, as in
    /// another plan.
    pub(crate) fn closes_as(&self, other: &Self) -> bool {
        fn closing(
            plan: &SharedPlan,
        ) -> impl Iterator<Item = (&ListenerId, Mtls, Option<&Refusal>)> {
            plan.listeners.iter().filter_map(|listener| {
                let destination = listener.destination()?;
                Some((&listener.settings.id, destination.mtls, destination.closed.as_ref()))
            })
        }
        closing(self).eq(closing(other))
    }

    /// The same plan with other addresses for backends that are resolved by name.
    #[must_use]
    pub fn with_resolved(&self, resolved: &HashMap<BackendId, Arc<[backend::Endpoint]>>) -> Self {
        let mut backends = self.upstreams.backends.clone();
        for (id, endpoints) in resolved {
            if let Some(prepared) = backends.get_mut(id) {
                prepared.endpoints = endpoints.clone();
            }
        }
        Self {
            generation: self.generation,
            listeners: self.listeners.clone(),
            upstreams: Arc::new(Prepared { backends }),
            index: self.index.clone(),
        }
    }

    /// The services that this plan speaks of, and for how long nobody here has used them: zero for
    /// those that a connection is open to, at most the life of `live` for those never used.
    pub fn used(&self, live: &Live, now: Instant) -> HashMap<ServiceName, Duration> {
        let mut used: HashMap<ServiceName, Duration> = HashMap::new();
        for listener in &self.listeners {
            let Some(destination) = listener.destination() else { continue };
            if destination.direction == Direction::Inbound || destination.addrs.is_empty() {
                continue;
            }
            let idle = live.idle(&listener.settings.id, now);
            used.entry(ServiceName::new(&*destination.name))
                .and_modify(|least| *least = idle.min(*least))
                .or_insert(idle);
        }
        used
    }

    /// What captured connections are meant for.
    pub(crate) fn destinations(&self) -> &Destinations {
        &self.index.destinations
    }

    fn listener(&self, id: &ListenerId) -> Option<&Arc<SharedListener>> {
        self.index.by_id.get(id).and_then(|place| self.listeners.get(*place))
    }
}

// === impl Index ===

impl Index {
    fn new(snapshot: &Snapshot) -> Self {
        let listeners = || snapshot.listeners.iter().map(|listener| &**listener);
        Self {
            by_id: listeners().map(|listener| listener.id.clone()).zip(0..).collect(),
            destinations: Destinations::new(
                listeners(),
                snapshot.services.clone(),
                snapshot.neighbours.clone(),
            ),
        }
    }
}

// === impl SharedListener ===

impl SharedListener {
    /// What it stands for, if nothing is bound for it.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        match &self.settings.intake {
            Intake::Destination(destination) => Some(destination),
            Intake::Bound | Intake::Captured(_) | Intake::Mesh | Intake::Explicit => None,
        }
    }
}

// === building ===

fn shared_listener(
    listener: &Arc<Listener>,
    previous: Option<&SharedPlan>,
    problems: &mut Vec<PlanProblem>,
) -> Arc<SharedListener> {
    let known = previous.and_then(|plan| plan.listener(&listener.id));
    if let Some(known) = known
        && Arc::ptr_eq(&known.settings, listener)
    {
        return known.clone();
    }
    let limits = &listener.limits;
    let server_tls = listener.tls.as_ref().map(|tls| {
        let before = known.and_then(|known| known.server_tls.as_deref());
        // An entry that cannot be served refuses its own names only.
        let (built, errors) = ServerTls::build_partial(&tls.terminate, before);
        problems.extend(errors.iter().map(|error| PlanProblem {
            subject: format!("listener {}", listener.id),
            message: error.to_string(),
        }));
        Arc::new(built)
    });
    Arc::new(SharedListener {
        head_limits: HeadLimits {
            head_bytes_max: limits.head_bytes_max as usize,
            fields_max: usize::from(limits.head_fields_max),
            target_bytes_max: limits.target_bytes_max as usize,
        },
        path_rules: listener.path_rules,
        plain: listener
            .plain
            .as_ref()
            .map(|served| side(served, known.and_then(|known| known.plain.as_ref()))),
        tls: listener
            .tls
            .as_ref()
            .map(|tls| side(&tls.served, known.and_then(|known| known.tls.as_ref()))),
        server_tls,
        settings: listener.clone(),
    })
}

fn side(served: &Served, previous: Option<&Side>) -> Side {
    let http = served.http.enabled.then(|| {
        let routes = &served.http.routes;
        match previous.and_then(|side| side.http.as_ref()) {
            Some(table) => Arc::new(HttpTable::update(table, routes)),
            None => Arc::new(HttpTable::new(routes)),
        }
    });
    Side { http, tcp: Arc::new(TcpTable::new(&served.tcp)) }
}

fn prepared_backend(
    id: &BackendId,
    settings: &Arc<backend::Backend>,
    previous: Option<&SharedPlan>,
    problems: &mut Vec<PlanProblem>,
) -> Option<PreparedBackend> {
    let known = previous.and_then(|plan| plan.upstreams.backends.get(id));
    let tls = match (&settings.calling.tls, known) {
        (None, _) => None,
        (Some(wanted), Some(PreparedBackend { settings: before, tls: Some(built), .. }))
            if before.calling.tls.as_deref() == Some(wanted)
                && before.protocol == settings.protocol =>
        {
            Some(built.clone())
        }
        (Some(wanted), _) => match ClientTls::build(wanted, Some(settings.protocol)) {
            Ok(built) => Some(Arc::new(built)),
            Err(error) => {
                problems.push(PlanProblem {
                    subject: format!("backend {id}"),
                    message: error.to_string(),
                });
                // Never plain instead: without its TLS the backend is not used at all.
                return None;
            }
        },
    };
    let endpoints = match (&settings.endpoints, known) {
        (backend::Endpoints::Static(endpoints), _) => endpoints.clone(),
        (backend::Endpoints::Dns { .. }, Some(known))
            if known.settings.endpoints == settings.endpoints =>
        {
            known.endpoints.clone()
        }
        // Addresses that were dialled come one by one, with their connections.
        (
            backend::Endpoints::Dns { .. }
            | backend::Endpoints::Dialled
            | backend::Endpoints::DialledThrough(_)
            | backend::Endpoints::Service { .. },
            _,
        ) => Arc::new([]),
    };
    let outlier = match (settings.calling.outlier, known) {
        (None, _) => None,
        (wanted, Some(known)) if known.settings.calling.outlier == wanted => known.outlier.clone(),
        (Some(wanted), _) => Some(Arc::new(Outlier::new(wanted, endpoints.len()))),
    };
    Some(PreparedBackend { settings: settings.clone(), tls, outlier, endpoints })
}

// === impl Plan ===

impl Plan {
    /// A worker's view of a shared plan; nothing is made of it yet.
    pub fn new(shared: Arc<SharedPlan>) -> Self {
        let listeners = shared
            .listeners
            .iter()
            .map(|listener| {
                let cells = |side: &Option<Side>| {
                    let table = side.as_ref().and_then(|side| side.http.as_ref());
                    std::iter::repeat_with(OnceCell::new)
                        .take(table.map_or(0, |table| table.routes().len()))
                        .collect()
                };
                let plan = ListenerPlan {
                    plain: cells(&listener.plain),
                    tls: cells(&listener.tls),
                    open: OnceCell::new(),
                    shared: listener.clone(),
                };
                Rc::new(plan)
            })
            .collect();
        Self { shared, listeners }
    }

    /// The listener at a place that [`Standing`] names.
    pub(crate) fn listener_at(&self, place: usize) -> Option<&Rc<ListenerPlan>> {
        self.listeners.get(place)
    }

    pub(crate) fn listener(&self, id: &ListenerId) -> Option<&Rc<ListenerPlan>> {
        self.listener_near(id, &Cell::new(0))
    }

    /// The same for a caller that asks again and again: it remembers where it found the listener.
    pub(crate) fn listener_near(
        &self,
        id: &ListenerId,
        place: &Cell<usize>,
    ) -> Option<&Rc<ListenerPlan>> {
        let is_it = |plan: &&Rc<ListenerPlan>| plan.shared.settings.id == *id;
        self.listeners.get(place.get()).filter(is_it).or_else(|| {
            let found = *self.shared.index.by_id.get(id)?;
            place.set(found);
            self.listeners.get(found)
        })
    }
}

// === impl ListenerPlan ===

impl ListenerPlan {
    /// The side of the listener that a connection is on.
    pub(crate) fn side(&self, tls: bool) -> Option<&Side> {
        if tls { self.shared.tls.as_ref() } else { self.shared.plain.as_ref() }
    }

    /// Its open connections, of all workers.
    pub(crate) fn open(&self, worker: &Worker) -> &Arc<OpenConnections> {
        self.open.get_or_init(|| worker.live.connections(&self.shared.settings.id))
    }

    /// What this worker made of the route at `index` of that side's table.
    pub(crate) fn route(
        &self,
        tls: bool,
        index: usize,
        make: impl FnOnce() -> Rc<RouteRuntime>,
    ) -> Rc<RouteRuntime> {
        let cells = if tls { &self.tls } else { &self.plain };
        cells[index].get_or_init(make).clone()
    }
}

/// The route of a table entry, for dumps.
pub fn routes(side: &Side) -> impl Iterator<Item = &Arc<Route>> {
    side.http.iter().flat_map(|table| table.routes())
}
