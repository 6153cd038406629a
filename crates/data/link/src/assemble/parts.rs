//! Listeners and backends, made or kept.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use weft_message::PathRules;
use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoints, HostHeader, PoolSettings, UpstreamProtocol};
use weft_model::id::{BackendId, ListenerId, RouteId};
use weft_model::listener::{Destination, HttpRoutes, Intake, Limits, Listener, Served};
use weft_model::mesh::{Protocol, ServiceDefaults};
use weft_model::outcome::Reason;
use weft_model::route::{
    Matcher, Origin, Rank, Route, Target, TcpMatcher, TcpRoute, TcpTls, Timeouts,
};

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
    /// Whether destinations that were there before are known to be the same.
    pub(super) keep: bool,
    listeners_before: HashMap<&'a ListenerId, &'a Arc<Listener>>,
    backends_before: Option<&'a BTreeMap<BackendId, Arc<Backend>>>,
}

/// A destination, and what leads there.
pub(super) struct Meant {
    /// The kind of document that it comes from.
    pub(super) kind: &'static str,
    pub(super) destination: Destination,
    pub(super) endpoints: Endpoints,
    pub(super) defaults: ServiceDefaults,
}

// === impl Parts ===

impl<'a> Parts<'a> {
    pub(super) fn new(before: Option<&'a Snapshot>) -> Self {
        let listeners = before.into_iter().flat_map(|before| &before.listeners);
        Self {
            listeners: Vec::new(),
            backends: BTreeMap::new(),
            keep: false,
            listeners_before: listeners.map(|listener| (&listener.id, listener)).collect(),
            backends_before: before.map(|before| &before.backends),
        }
    }

    /// Adds a listener that serves nothing by itself.
    pub(super) fn bound(&mut self, id: &str, addr: SocketAddr, intake: Intake) {
        let limits = if intake == Intake::Mesh { PEERS } else { Limits::DEFAULT };
        let listener = listener(ListenerId::new(id), addr, intake, None);
        self.listener(Listener { limits, ..listener });
    }

    /// Adds a destination of that name.
    pub(super) fn destination(&mut self, id: &str, make: impl FnOnce() -> Meant) {
        if self.keep
            && let Some(listener) = self.listeners_before.get(&ListenerId::new(id))
        {
            self.listeners.push(Arc::clone(listener));
            let backend = self.backends_before.and_then(|before| before.get_key_value(id));
            self.backends.extend(backend.map(|(id, backend)| (id.clone(), Arc::clone(backend))));
            return;
        }
        let Meant { kind, destination, endpoints, defaults } = make();
        let target = match &destination.closed {
            // Hosts that the mesh knows are open all the same.
            Some(refusal) if refusal.reason != Reason::UnknownDestination => {
                Target::Refuse(refusal.clone())
            }
            Some(_) | None => {
                let backend = backend(id, destination.protocol, endpoints, &defaults);
                Target::Backend(self.backend(backend))
            }
        };
        let origin =
            Origin { kind: kind.into(), name: destination.name.clone(), ..Origin::default() };
        let served = served(id, &origin, destination.protocol, &target);
        let ip = destination.addrs.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let addr = SocketAddr::new(ip, destination.port.unwrap_or(0));
        let intake = Intake::Destination(destination);
        self.listener(listener(ListenerId::new(id), addr, intake, Some(served)));
    }

    fn listener(&mut self, mut listener: Listener) {
        let before = self.listeners_before.get(&listener.id).copied();
        self.listeners.push(match before {
            Some(before) if **before == listener => Arc::clone(before),
            Some(before) => {
                if let (Some(have), Some(new)) = (&before.plain, &mut listener.plain) {
                    keep_served(have, new);
                }
                Arc::new(listener)
            }
            None => Arc::new(listener),
        });
    }

    fn backend(&mut self, mut backend: Backend) -> BackendId {
        let id = backend.id.clone();
        let before = self.backends_before.and_then(|before| before.get(&id));
        let made = match before {
            Some(before) if **before == backend => Arc::clone(before),
            Some(before) => {
                if let (Endpoints::Static(have), Endpoints::Static(new)) =
                    (&before.endpoints, &mut backend.endpoints)
                    && have == new
                {
                    *new = Arc::clone(have);
                }
                Arc::new(backend)
            }
            None => Arc::new(backend),
        };
        self.backends.insert(id.clone(), made);
        id
    }
}

// === functions ===

/// Where routes are the same, they stay the same.
fn keep_served(have: &Served, new: &mut Served) {
    if have.http == new.http {
        new.http = Arc::clone(&have.http);
    }
    if have.tcp == new.tcp {
        new.tcp.clone_from(&have.tcp);
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

/// One route for whatever is HTTP, and one for whatever is not, as far as the protocol allows.
fn served(id: &str, origin: &Origin, protocol: Protocol, target: &Target) -> Served {
    let (http, tcp) = match protocol {
        Protocol::Detect => (true, true),
        Protocol::Http | Protocol::Http2 => (true, false),
        Protocol::Tls | Protocol::Tcp => (false, true),
    };
    let route = || Route {
        id: RouteId::new(id),
        origin: origin.clone(),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::new([]),
        target: target.clone(),
        timeouts: Timeouts::default(),
    };
    let tcp_route = || TcpRoute {
        id: RouteId::new(id),
        origin: origin.clone(),
        rank: Rank::default(),
        matcher: TcpMatcher::All(Vec::new()),
        tls: TcpTls::Plain,
        in_flight_max: None,
        allow: Vec::new(),
        target: target.clone(),
    };
    let routes = http.then(|| Arc::new(route())).into_iter().collect();
    Served {
        tcp: tcp.then(|| Arc::new(tcp_route())).into_iter().collect(),
        http: Arc::new(HttpRoutes { routes, enabled: http }),
    }
}

fn backend(
    id: &str,
    protocol: Protocol,
    endpoints: Endpoints,
    defaults: &ServiceDefaults,
) -> Backend {
    let ServiceDefaults { picker, outlier, connect_timeout } = defaults;
    // An address that was dialled has no other beside it to go to.
    let outlier = outlier.filter(|_| !endpoints.is_dialled());
    Backend {
        id: BackendId::new(id),
        endpoints,
        protocol: match protocol {
            Protocol::Detect | Protocol::Http => UpstreamProtocol::AsClient,
            Protocol::Http2 => UpstreamProtocol::Http2,
            Protocol::Tls | Protocol::Tcp => UpstreamProtocol::Http1,
        },
        tls: None,
        picker: *picker,
        sticky: None,
        health_check: None,
        outlier,
        slow_start: Duration::ZERO,
        retry_budget: None,
        pool: PoolSettings { connect_timeout: *connect_timeout, ..PoolSettings::DEFAULT },
        host: HostHeader::Pass,
        proxy_protocol: None,
        termination_delay: None,
    }
}
