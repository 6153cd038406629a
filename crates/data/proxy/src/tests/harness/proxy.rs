//! The proxy beside a workload, whose captured connections a test makes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use weft_message::PathRules;
use weft_model::backend::{Backend, Endpoint, Endpoints, UpstreamProtocol};
use weft_model::calling::Calling;
use weft_model::id::{ListenerId, PolicyId, ServiceName};
use weft_model::identity::Identity;
use weft_model::listener::{Destination, Direction, HttpRoutes, Intake, Limits, Listener, Served};
use weft_model::mesh::{Directory, IndexEntry, Location, Mtls, Peer, Protocol, ServicePort};
use weft_model::policy::{Step, StepKind};
use weft_model::route::{Route, TcpMatcher, TcpRoute, TcpTls, Timeouts};
use weft_model::{Generation, Snapshot};
use weft_net::original::OriginalDst;
use weft_runtime::drain::{Drain, drain};
use weft_runtime::metrics::Registry;
use weft_runtime::task;
use weft_runtime::time;
use weft_testkit::MeshAuthority;
use weft_tls::mesh::Credentials;
use weft_tls::{MeshTls, MeshTlsCell};
use weft_upstream::shared::Shared;

use super::{Http, SPOOL_BYTES_MAX, backend, backend_target, route};
use crate::access_log::{AccessLog, Format};
use crate::interception::{Interception, OriginalDestination, Resolve};
use crate::live::Live;
use crate::plan::SharedPlan;
use crate::spool::SpoolArea;
use crate::worker::{self, Command, Start};

/// A running proxy. Its workload has the address 127.0.0.1.
pub(in crate::tests) struct Proxy {
    pub(in crate::tests) addrs: HashMap<&'static str, SocketAddr>,
    pub(in crate::tests) identity: Identity,
    pub(in crate::tests) tls: Arc<MeshTls>,
    pub(in crate::tests) demanded: mpsc::UnboundedReceiver<ServiceName>,
    pub(in crate::tests) live: Live,
    commands: mpsc::UnboundedSender<Command>,
    registry: Registry,
    originals: Arc<Mutex<HashMap<SocketAddr, SocketAddr>>>,
    plan: Arc<SharedPlan>,
    log: RefCell<Log>,
    _drain: Drain,
}

/// The access log.
struct Log {
    receiver: Receiver<Vec<u8>>,
    /// Lines that nobody has asked for yet.
    lines: Vec<String>,
}

/// A destination with where it leads.
#[derive(Clone)]
pub(in crate::tests) struct Destined {
    destination: Destination,
    backend: Backend,
    timeouts: Timeouts,
    steps: Vec<StepKind>,
}

/// The bound listeners, by id.
const BOUND: [(&str, Intake); 4] = [
    ("outbound", Intake::Captured(Direction::Outbound)),
    ("inbound", Intake::Captured(Direction::Inbound)),
    ("mesh", Intake::Mesh),
    ("explicit", Intake::Explicit),
];

/// A service at a virtual address.
pub(in crate::tests) fn service(
    name: &str,
    addr: &str,
    protocol: Protocol,
    endpoints: &[Endpoint],
) -> Destined {
    let addr: SocketAddr = addr.parse().expect("an address");
    let destination = destination(Direction::Outbound, name, protocol);
    let destination =
        Destination { addrs: [addr.ip()].into(), port: Some(addr.port()), ..destination };
    let endpoints = Endpoints::Static(endpoints.into());
    Destined::new(destination, lead(&format!("outbound/{name}"), protocol, endpoints))
}

/// What the mesh does not know.
pub(in crate::tests) fn unknown() -> Destined {
    Destined::new(
        destination(Direction::Outbound, "unknown", Protocol::Detect),
        lead("outbound/unknown", Protocol::Detect, Endpoints::Dialled),
    )
}

/// A port of the workload, or all others.
pub(in crate::tests) fn inbound(port: Option<u16>, protocol: Protocol) -> Destined {
    let destination = destination(Direction::Inbound, "shop/cart-1", protocol);
    let own = "127.0.0.1".parse().expect("an address");
    let id = port.map_or("inbound/other".into(), |port| format!("inbound/{port}"));
    let destination = Destination { addrs: [own].into(), port, ..destination };
    Destined::new(destination, lead(&id, protocol, Endpoints::Dialled))
}

/// An endpoint, behind a proxy or not.
pub(in crate::tests) fn endpoint(addr: SocketAddr, proxy: Option<&Proxy>) -> Endpoint {
    let peer = proxy.map(|proxy| {
        Arc::new(Peer { addr: proxy.addrs["mesh"], identity: proxy.identity.clone() })
    });
    Endpoint { peer, ..Endpoint::new(addr) }
}

/// What every proxy knows of a service.
pub(in crate::tests) fn entry(name: &str, addr: &str) -> Arc<IndexEntry> {
    let addr: SocketAddr = addr.parse().expect("an address");
    let port = ServicePort { number: addr.port(), name: "".into(), protocol: Protocol::Detect };
    Arc::new(IndexEntry {
        name: ServiceName::new(name),
        addrs: [addr.ip()].into(),
        endpoint_addrs: [].into(),
        ports: [port].into(),
        location: Location::Mesh,
    })
}

fn destination(direction: Direction, name: &str, protocol: Protocol) -> Destination {
    Destination {
        direction,
        addrs: [].into(),
        range: None,
        port: None,
        protocol,
        name: name.into(),
        mtls: Mtls::Permissive,
        closed: None,
    }
}

fn lead(id: &str, protocol: Protocol, endpoints: Endpoints) -> Backend {
    let protocol = match protocol {
        Protocol::Http2 => UpstreamProtocol::Http2,
        Protocol::Detect | Protocol::Http | Protocol::Tls | Protocol::Tcp => {
            UpstreamProtocol::AsClient
        }
    };
    Backend { endpoints, protocol, ..backend(id, Http::One, &[]) }
}

/// What proves to be an account.
pub(in crate::tests) fn prove(authority: &MeshAuthority, account: &str) -> (Identity, MeshTlsCell) {
    let (identity, tls) = mesh_tls(authority, account);
    let cell = MeshTlsCell::new();
    cell.set(tls);
    (identity, cell)
}

/// The same before it is in force.
pub(in crate::tests) fn mesh_tls(authority: &MeshAuthority, account: &str) -> (Identity, MeshTls) {
    let identity = format!("spiffe://cluster.local/ns/shop/sa/{account}");
    let svid = authority.svid(&identity);
    let identity: Identity = identity.parse().expect("an identity");
    let credentials = Credentials {
        chain: svid.chain.clone(),
        key: (&svid.key).into(),
        bundle: vec![authority.root().clone()],
        identity: identity.clone(),
        not_after: svid.not_after,
    };
    (identity, MeshTls::build(&credentials).expect("credentials are good"))
}

// === impl Destined ===

impl Destined {
    fn new(destination: Destination, backend: Backend) -> Self {
        Self { destination, backend, timeouts: Timeouts::default(), steps: Vec::new() }
    }

    /// Changes how it is called.
    pub(in crate::tests) fn calling(mut self, change: impl FnOnce(&mut Calling)) -> Self {
        change(Arc::make_mut(&mut self.backend.calling));
        self
    }

    /// Bounds its requests in time, and says when they are sent again.
    pub(in crate::tests) fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Adds a step.
    pub(in crate::tests) fn step(mut self, kind: StepKind) -> Self {
        self.steps.push(kind);
        self
    }

    /// Changes the destination.
    pub(in crate::tests) fn change(mut self, change: impl FnOnce(&mut Destination)) -> Self {
        change(&mut self.destination);
        self
    }

    fn listener(&self) -> Listener {
        let id = self.backend.id.as_str();
        let target = backend_target(id);
        let speaks_http = !matches!(self.destination.protocol, Protocol::Tcp | Protocol::Tls);
        let speaks_other = !matches!(self.destination.protocol, Protocol::Http | Protocol::Http2);
        let other = TcpRoute {
            id: route(id, target.clone()).id,
            origin: Default::default(),
            rank: Default::default(),
            matcher: TcpMatcher::All(Vec::new()),
            tls: TcpTls::Plain,
            in_flight_max: None,
            allow: Vec::new(),
            target: target.clone(),
        };
        let step = |(place, kind): (usize, &StepKind)| {
            let id = PolicyId::new(format!("{id}/{place}"));
            Arc::new(Step { id, kind: kind.clone() })
        };
        let steps = self.steps.iter().enumerate().map(step).collect();
        let timeouts = self.timeouts.clone();
        let http = vec![Arc::new(Route { steps, timeouts, ..route(id, target) })];
        let ip = self.destination.addrs.first().copied();
        let addr = SocketAddr::new(
            ip.unwrap_or_else(|| std::net::Ipv4Addr::UNSPECIFIED.into()),
            self.destination.port.unwrap_or(0),
        );
        let plain = Served {
            tcp: speaks_other.then(|| Arc::new(other)).into_iter().collect(),
            http: Arc::new(HttpRoutes {
                routes: if speaks_http { http } else { Vec::new() },
                enabled: speaks_http,
            }),
        };
        listener(id, addr, Intake::Destination(self.destination.clone()), Some(plain))
    }
}

fn listener(id: &str, addr: SocketAddr, intake: Intake, plain: Option<Served>) -> Listener {
    Listener {
        id: ListenerId::new(id),
        addr,
        intake,
        proxy_protocol_from: Vec::new(),
        forwarded_from: Vec::new(),
        limits: Limits { head_timeout: Duration::from_secs(1), ..Limits::DEFAULT },
        path_rules: PathRules::default(),
        plain,
        tls: None,
    }
}

// === impl Proxy ===

impl Proxy {
    /// A proxy that proves to be `account`, which knows these destinations and services.
    pub(in crate::tests) async fn start(
        authority: &MeshAuthority,
        account: &str,
        destinations: &[Destined],
        services: &[Arc<IndexEntry>],
    ) -> Self {
        let (identity, cell) = prove(authority, account);
        let tls = cell.current().expect("just set");
        Self::with((identity, tls), cell, destinations, services).await
    }

    /// One that is to be `account`, and has nothing yet to prove it by.
    pub(in crate::tests) async fn unproved(authority: &MeshAuthority, account: &str) -> Self {
        let (identity, tls) = mesh_tls(authority, account);
        Self::with((identity, Arc::new(tls)), MeshTlsCell::new(), &[], &[]).await
    }

    async fn with(
        (identity, tls): (Identity, Arc<MeshTls>),
        cell: MeshTlsCell,
        destinations: &[Destined],
        services: &[Arc<IndexEntry>],
    ) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (demand, demanded) = mpsc::unbounded_channel();
        let (drain, watch) = drain();
        let registry = Registry::new();
        let live = Live::new(time::now(), [1, 2]);
        let originals: Arc<Mutex<HashMap<SocketAddr, SocketAddr>>> = Arc::default();
        let known = originals.clone();
        let original = OriginalDestination::new(move |stream| {
            let addr = known.lock().unwrap().get(&stream.peer_addr()?).copied();
            let local = stream.local_addr()?;
            Ok(OriginalDst { addr: addr.unwrap_or(local), is_redirected: addr.is_some() })
        });
        let resolve = Resolve::new(|host| {
            (host == "payments").then(|| "10.78.0.1".parse().expect("an address"))
        });
        let (access_log, lines) = AccessLog::new(Format::Text, &registry);
        let start = Start {
            index: 0,
            seed: 1,
            secret: [1; 32],
            server_name: "".into(),
            commands: receiver,
            drain: watch,
            registry: registry.clone(),
            live: live.clone(),
            shared: Shared::new(time::now()),
            mesh: cell,
            interception: Interception { demand: Some(demand), original, resolve },
            spool: SpoolArea::new(std::env::temp_dir(), SPOOL_BYTES_MAX),
            access_log: Some(access_log),
        };
        task::spawn("worker", worker::run(start));
        let sockets = BOUND.map(|(id, _)| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            (id, socket.local_addr().expect("it is bound"), socket)
        });
        let mut proxy = Self {
            addrs: sockets.iter().map(|(id, addr, _)| (*id, *addr)).collect(),
            identity,
            tls,
            demanded,
            live,
            commands,
            registry,
            originals,
            plan: Arc::default(),
            log: RefCell::new(Log { receiver: lines, lines: Vec::new() }),
            _drain: drain,
        };
        proxy.apply(1, destinations, services).await;
        for (id, _, socket) in sockets {
            proxy.send(Command::Listen(ListenerId::new(id), socket));
        }
        proxy
    }

    /// Puts another plan in force.
    pub(in crate::tests) async fn apply(
        &mut self,
        generation: u64,
        destinations: &[Destined],
        services: &[Arc<IndexEntry>],
    ) {
        let bound = BOUND.map(|(id, intake)| listener(id, self.addrs[id], intake, None));
        let virtual_ones = destinations.iter().map(Destined::listener);
        let backends = destinations.iter().map(|destined| {
            let backend = &destined.backend;
            (backend.id.clone(), Arc::new(backend.clone()))
        });
        let snapshot = Snapshot {
            generation: Generation(generation),
            listeners: bound.into_iter().chain(virtual_ones).map(Arc::new).collect(),
            backends: backends.collect(),
            services: Arc::new(Directory::new(services)),
            ..Snapshot::default()
        };
        let (plan, problems) = SharedPlan::build(&snapshot, Some(&self.plan));
        assert_eq!(problems, []);
        self.plan = Arc::new(plan);
        let (done, applied) = oneshot::channel();
        self.send(Command::Apply(self.plan.clone(), done));
        assert_eq!(applied.await, Ok(Generation(generation)));
    }

    /// A connection of the workload to `addr`, as the kernel brings it.
    pub(in crate::tests) async fn dial(&self, addr: &str) -> TcpStream {
        self.captured("outbound", addr.parse().expect("an address")).await
    }

    /// A connection of somebody without a proxy to the workload.
    pub(in crate::tests) async fn dial_inbound(&self, addr: SocketAddr) -> TcpStream {
        self.captured("inbound", addr).await
    }

    async fn captured(&self, listener: &str, addr: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("there is a free port");
        let local = socket.local_addr().expect("it is bound");
        self.originals.lock().unwrap().insert(local, addr);
        let stream = socket.connect(self.addrs[listener]).await.expect("it accepts");
        stream.set_nodelay(true).expect("it is open");
        stream
    }

    /// The value of a series; 0 when there is none.
    pub(in crate::tests) fn metric(&self, series: &str) -> f64 {
        let text = self.registry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a value is a number"))
    }

    /// How many connections turned out to be that.
    pub(in crate::tests) fn detected(&self, direction: &str, outcome: &str) -> f64 {
        self.metric(&format!(
            "weftway_protocol_detections_total{{direction=\"{direction}\",outcome=\"{outcome}\"}}"
        ))
    }

    /// How many connections and requests were refused for that.
    pub(in crate::tests) fn refused(&self, reason: &str) -> f64 {
        self.metric(&format!("weftway_mesh_refused_total{{reason=\"{reason}\"}}"))
    }

    /// The first line of the access log with that in it that was not given yet, once it is written.
    pub(in crate::tests) async fn logged(&self, part: &str) -> String {
        let mut found = None;
        let what = format!("a line with {part}");
        super::until(&what, || {
            let Log { receiver, lines } = &mut *self.log.borrow_mut();
            for bytes in receiver.try_iter() {
                let text = String::from_utf8(bytes).expect("text");
                lines.extend(text.lines().map(str::to_owned));
            }
            let place = lines.iter().position(|line| line.contains(part));
            found = place.map(|place| lines.remove(place));
            found.is_some()
        })
        .await;
        found.expect("it was waited for")
    }

    /// For how long a service was not used.
    pub(in crate::tests) fn unused_for(&self, name: &str) -> Option<Duration> {
        let used = self.plan.used(&self.live, time::now());
        used.get(&ServiceName::new(name)).copied()
    }

    fn send(&self, command: Command) {
        self.commands.send(command).expect("the worker lives");
    }
}
