//! Listeners and backends, made or kept.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use weft_message::PathRules;
use weft_model::Snapshot;
use weft_model::backend::Backend;
use weft_model::calling::Source;
use weft_model::id::{BackendId, ListenerId, RouteId};
use weft_model::listener::{Destination, HttpRoutes, Intake, Limits, Listener, Served};
use weft_model::mesh::Protocol;
use weft_model::outcome::Reason;
use weft_model::policy::{Step, StepKind};
use weft_model::route::{
    Matcher, Origin, Rank, Route, Target, TcpMatcher, TcpRoute, TcpTls, Timeouts,
};

use super::rules::Rules;
use crate::resolve::{Resolved, keep};

/// A sidecar judges no path: the application would have got it, too.
const PATH_RULES: PathRules = PathRules {
    allow_encoded_slash: true,
    allow_encoded_backslash: true,
    allow_encoded_nul: true,
    allow_non_utf8: true,
};

/// What a proxy bears with on a connection of another, which carries the requests and connections of a
/// whole workload: what some of them do must not end or hold up the others.
const PEERS: Limits = Limits {
    // Of its callers' callers who gave up: their proxies have bounds of their own.
    h2_resets_max: 100_000,
    // More than all streams have that nobody reads. Half of it is what small frames may take besides
    // their data: as much as one stream has whose frames are of one byte, 256 for each.
    h2_connection_window_bytes: 32 << 20,
    // That, and the same for heads and for what is queued.
    connection_memory_bytes_max: 96 << 20,
    ..Limits::DEFAULT
};

/// The parts of a snapshot while it is put together.
pub(super) struct Parts<'a> {
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) backends: BTreeMap<BackendId, Arc<Backend>>,
    pub(super) sources: HashMap<BackendId, Arc<[Source]>>,
    /// Whether destinations that were there before are known to be the same.
    pub(super) keep: bool,
    listeners_before: HashMap<&'a ListenerId, &'a Arc<Listener>>,
    before: Option<&'a Snapshot>,
}

/// A destination, and what leads there.
pub(super) struct Meant {
    /// The kind of document that it comes from.
    pub(super) kind: &'static str,
    pub(super) destination: Destination,
    /// What is called where no rule says otherwise.
    pub(super) backend: BackendId,
    pub(super) rules: Rules,
    /// Rules that come before those, and leave what they do not take to them.
    pub(super) first: Rules,
    /// What is done to requests where no rule says otherwise.
    pub(super) steps: Arc<[Arc<Step>]>,
}

// === impl Parts ===

impl<'a> Parts<'a> {
    pub(super) fn new(before: Option<&'a Snapshot>) -> Self {
        let listeners = before.into_iter().flat_map(|before| &before.listeners);
        Self {
            listeners: Vec::new(),
            backends: BTreeMap::new(),
            sources: HashMap::new(),
            keep: false,
            listeners_before: listeners.map(|listener| (&listener.id, listener)).collect(),
            before,
        }
    }

    /// Adds a listener that serves nothing by itself.
    pub(super) fn bound(&mut self, id: &str, addr: SocketAddr, intake: Intake) {
        let limits = if intake == Intake::Mesh { PEERS } else { Limits::DEFAULT };
        let listener = listener(ListenerId::new(id), addr, intake, None);
        self.listener(Listener { limits, ..listener });
    }

    /// Adds a destination of that name. Its backends are still to be added.
    pub(super) fn destination(&mut self, id: &str, make: impl FnOnce() -> Meant) -> Arc<Listener> {
        let id = ListenerId::new(id);
        if self.keep
            && let Some(listener) = self.listeners_before.get(&id)
        {
            self.listeners.push(Arc::clone(listener));
            return Arc::clone(listener);
        }
        let meant = make();
        let served = meant.served(&id);
        let destination = meant.destination;
        let ip = destination.addrs.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let addr = SocketAddr::new(ip, destination.port.unwrap_or(0));
        self.listener(listener(id, addr, Intake::Destination(destination), Some(served)))
    }

    /// Adds a backend of that name, unless it is there already. `is_same` says that it is known to
    /// be as it was before, if it was there.
    pub(super) fn backend(
        &mut self,
        id: &BackendId,
        is_same: bool,
        make: impl FnOnce() -> Resolved,
    ) {
        if self.backends.contains_key(id) {
            return;
        }
        let before = self.before.and_then(|before| before.backends.get(id));
        let (backend, sources) = match (before, self.before) {
            (Some(backend), Some(before)) if is_same => {
                (Arc::clone(backend), before.sources.get(id).cloned())
            }
            _ => {
                let Resolved { backend, sources } = make();
                (keep(backend, before), sources)
            }
        };
        self.sources.extend(sources.map(|sources| (id.clone(), sources)));
        self.backends.insert(id.clone(), backend);
    }

    fn listener(&mut self, mut listener: Listener) -> Arc<Listener> {
        let before = self.listeners_before.get(&listener.id).copied();
        let made = match before {
            Some(before) if **before == listener => Arc::clone(before),
            Some(before) => {
                if let (Some(have), Some(new)) = (&before.plain, &mut listener.plain) {
                    keep_served(have, new);
                }
                Arc::new(listener)
            }
            None => Arc::new(listener),
        };
        self.listeners.push(Arc::clone(&made));
        made
    }
}

// === impl Meant ===

impl Meant {
    /// Rules, or one route, for whatever is HTTP, and for whatever is not, as far as the protocol
    /// allows.
    fn served(&self, id: &ListenerId) -> Served {
        let Self { destination, rules, first, .. } = self;
        let (http, tcp) = match destination.protocol {
            Protocol::Detect => (true, true),
            Protocol::Http | Protocol::Http2 => (true, false),
            Protocol::Tls | Protocol::Tcp => (false, true),
        };
        let routes = match &rules.http {
            _ if !http => Vec::new(),
            Some(routes) => routes.clone(),
            None => vec![Arc::new(self.route(id))],
        };
        let tcp = match &rules.tcp {
            _ if !tcp => Vec::new(),
            Some(routes) => routes.clone(),
            None => vec![Arc::new(self.tcp_route(id))],
        };
        let routes = first.http.iter().flatten().cloned().chain(routes).collect();
        let tcp = first.tcp.iter().flatten().cloned().chain(tcp).collect();
        Served { tcp, http: Arc::new(HttpRoutes { routes, enabled: http }) }
    }

    fn route(&self, id: &ListenerId) -> Route {
        Route {
            id: RouteId::new(id.as_str()),
            origin: self.origin(),
            rank: Rank::default(),
            matcher: Matcher::All(Vec::new()),
            steps: Arc::clone(&self.steps),
            target: self.target(),
            timeouts: Timeouts::default(),
        }
    }

    fn tcp_route(&self, id: &ListenerId) -> TcpRoute {
        // Steps are for requests. What refuses all of those refuses connections of bytes, too.
        let refusal = self.steps.iter().find_map(|step| match &step.kind {
            StepKind::Refuse(refusal) => Some(Target::Refuse(refusal.clone())),
            _ => None,
        });
        TcpRoute {
            id: RouteId::new(id.as_str()),
            origin: self.origin(),
            rank: Rank::default(),
            matcher: TcpMatcher::All(Vec::new()),
            tls: TcpTls::Plain,
            in_flight_max: None,
            allow: Vec::new(),
            target: refusal.unwrap_or_else(|| self.target()),
        }
    }

    fn origin(&self) -> Origin {
        let name = self.destination.name.clone();
        Origin { kind: self.kind.into(), name, ..Origin::default() }
    }

    fn target(&self) -> Target {
        match &self.destination.closed {
            // Hosts that the mesh knows are open all the same.
            Some(refusal) if refusal.reason != Reason::UnknownDestination => {
                Target::Refuse(refusal.clone())
            }
            Some(_) | None => Target::Backend(self.backend.clone()),
        }
    }
}

// === functions ===

/// Where routes are the same, they stay the same.
fn keep_served(have: &Served, new: &mut Served) {
    let Served { tcp, http } = new;
    keep_routes(&have.tcp, tcp, |route| &route.id);
    let is_enabled = http.enabled;
    keep_routes(&have.http.routes, &mut Arc::make_mut(http).routes, |route| &route.id);
    let is_same = have.http.routes.len() == http.routes.len()
        && have.http.routes.iter().zip(&http.routes).all(|(have, new)| Arc::ptr_eq(have, new));
    if is_same && have.http.enabled == is_enabled {
        *http = Arc::clone(&have.http);
    }
}

fn keep_routes<T: PartialEq>(have: &[Arc<T>], new: &mut [Arc<T>], id: impl Fn(&T) -> &RouteId) {
    let have: HashMap<&RouteId, &Arc<T>> = have.iter().map(|route| (id(route), route)).collect();
    for route in new {
        if let Some(have) = have.get(id(route)).filter(|have| ***have == *route) {
            *route = Arc::clone(have);
        }
    }
}

fn listener(id: ListenerId, addr: SocketAddr, intake: Intake, plain: Option<Served>) -> Listener {
    Listener {
        id,
        addr,
        intake,
        proxy_protocol_from: Vec::new(),
        forwarded_from: Vec::new(),
        limits: Limits::DEFAULT,
        path_rules: PATH_RULES,
        plain,
        tls: None,
    }
}
