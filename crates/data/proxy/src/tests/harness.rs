//! A worker on a snapshot made by hand, with clients and origins that tests drive.
//!
//! Clients and origins speak HTTP/1.1 and HTTP/2 through the same [`Leg`], so that one test body
//! serves every pair of versions.

mod client;
mod origin;
mod proxy;
mod tcp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use weft_message::PathRules;
use weft_model::backend::{Backend, Endpoint, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::Calling;
use weft_model::id::{BackendId, ListenerId, PolicyId, RouteId};
use weft_model::listener::{HttpRoutes, Limits, Listener, Served, TlsServed, TlsTable};
use weft_model::policy::{Step, StepKind};
use weft_model::route::{Matcher, Origin as Place, Rank, Route, Target, TcpRoute, Timeouts};
use weft_model::{Generation, Snapshot};
use weft_runtime::drain::{Drain, Drained, drain};
use weft_runtime::metrics::Registry;
use weft_runtime::task::{self, Task};
use weft_runtime::time;
use weft_tls::MeshTlsCell;
use weft_upstream::shared::Shared;

use crate::live::Live;
use crate::plan::SharedPlan;
use crate::spool::SpoolArea;
use crate::worker::{self, Command, Start};

pub(super) use client::{Answer, Client, response_lines};
pub(super) use origin::{Begun, Origin, begin, finish, read, reply, reply_with, send_interim};
pub(super) use proxy::{
    Destined, Proxy, endpoint, entry, inbound, mesh_tls, prove, service, unknown,
};
pub(super) use tcp::{TcpApp, is_reset, read_exactly};

/// A version of HTTP on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// What a worker is to serve.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) backends: Vec<Backend>,
    pub(super) routes: Vec<Route>,
    pub(super) tcp: Vec<TcpRoute>,
    /// How TLS ends, where it is served, too.
    pub(super) tls: Option<TlsTable>,
    /// What proves to be a member of a mesh.
    pub(super) mesh: MeshTlsCell,
}

/// A running worker.
pub(super) struct Gateway {
    pub(super) addr: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    drain: Option<Drain>,
    registry: Registry,
    worker: Task<()>,
    plan: Arc<SharedPlan>,
    pub(super) live: Live,
}

/// Room for bodies that are held in files.
pub(super) const SPOOL_BYTES_MAX: u64 = 16 << 20;

/// How long a whole test may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every pair of versions.
const PAIRS: [(Http, Http); 4] = [
    (Http::One, Http::One),
    (Http::One, Http::Two),
    (Http::Two, Http::One),
    (Http::Two, Http::Two),
];

/// Runs a test on a runtime like a worker's.
pub(super) fn run<F: Future>(test: F) -> F::Output {
    FLYING.set(false);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime can be built")
        .block_on(test)
}

/// Runs a test that fails when it hangs.
pub(super) fn run_bounded<F: Future>(test: F) -> F::Output {
    run(async { time::timeout(PATIENCE, test).await.expect("it hangs") })
}

/// Runs a test for every pair of versions. One that hangs fails, and says for which.
pub(super) fn matrix<F: Future<Output = ()>>(test: impl Fn(Http, Http) -> F) {
    for (down, up) in PAIRS {
        run(async {
            // Half a minute of real time, or hours of time that flies.
            let mut patience = 30;
            let hangs = async {
                while patience > 0 {
                    time::sleep(Duration::from_secs(1)).await;
                    patience -= 1;
                    if is_time_flying() {
                        time::sleep(Duration::from_secs(3_600)).await;
                    }
                }
            };
            tokio::select! {
                () = test(down, up) => {}
                () = hangs => panic!("{down:?} to {up:?} hangs"),
            }
        });
    }
}

/// From here on the clock jumps to the next deadline whenever nothing moves, so that a timeout of a
/// minute takes no time. Only for tests in which nothing but a timeout is to come: a byte on its way
/// through the kernel is no move.
pub(super) fn make_time_fly() {
    tokio::time::pause();
    FLYING.set(true);
}

/// From here on time passes as it does.
pub(super) fn make_time_walk() {
    tokio::time::resume();
    FLYING.set(false);
}

thread_local! {
    static FLYING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn is_time_flying() -> bool {
    FLYING.get()
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let step = if is_time_flying() { Duration::from_secs(5) } else { Duration::from_millis(1) };
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        time::sleep(step).await;
    }
    panic!("{what} did not come");
}

/// Bytes whose order is told by their values.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

// === impl Setup ===

impl Setup {
    /// One route for everything, to one backend with these endpoints.
    pub(super) fn new(http: Http, endpoints: &[SocketAddr]) -> Self {
        Self {
            limits: Limits::DEFAULT,
            backends: vec![backend("one", http, endpoints)],
            routes: vec![route("all", backend_target("one"))],
            tcp: Vec::new(),
            tls: None,
            mesh: MeshTlsCell::new(),
        }
    }

    pub(super) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(super) fn backend(mut self, backend: Backend) -> Self {
        self.backends.push(backend);
        self
    }

    /// Changes the first backend.
    pub(super) fn change_backend(mut self, change: impl FnOnce(&mut Backend)) -> Self {
        change(&mut self.backends[0]);
        self
    }

    /// Changes how the first backend is called.
    pub(super) fn calling(self, change: impl FnOnce(&mut Calling)) -> Self {
        self.change_backend(|backend| change(Arc::make_mut(&mut backend.calling)))
    }

    /// Changes the first route.
    pub(super) fn change_route(mut self, change: impl FnOnce(&mut Route)) -> Self {
        change(&mut self.routes[0]);
        self
    }

    pub(super) fn step(self, kind: StepKind) -> Self {
        self.change_route(|route| {
            let id = PolicyId::new(format!("step-{}", route.steps.len()));
            let steps = route.steps.iter().cloned().chain([Arc::new(Step { id, kind })]);
            route.steps = steps.collect();
        })
    }

    pub(super) async fn start(self) -> Gateway {
        Gateway::start(&self).await
    }

    pub(super) fn snapshot(&self, generation: u64, addr: SocketAddr) -> Snapshot {
        let routes = self.routes.iter().cloned().map(Arc::new).collect();
        let served = Served {
            tcp: self.tcp.iter().cloned().map(Arc::new).collect(),
            http: Arc::new(HttpRoutes { routes, enabled: true }),
        };
        let tls = self.tls.clone().map(Arc::new);
        let tls = tls.map(|terminate| TlsServed { served: served.clone(), terminate });
        let listener = Listener {
            intake: weft_model::listener::Intake::Bound,
            id: ListenerId::new("web"),
            addr,
            proxy_protocol_from: Vec::new(),
            forwarded_from: Vec::new(),
            limits: self.limits.clone(),
            path_rules: PathRules::default(),
            plain: Some(served),
            tls,
        };
        let backends =
            self.backends.iter().map(|backend| (backend.id.clone(), Arc::new(backend.clone())));
        Snapshot {
            generation: Generation(generation),
            listeners: vec![Arc::new(listener)],
            lines: Default::default(),
            sources: Default::default(),
            services: Arc::default(),
            neighbours: Default::default(),
            backends: backends.collect(),
        }
    }
}

pub(super) fn backend(id: &str, http: Http, endpoints: &[SocketAddr]) -> Backend {
    let endpoints = endpoints.iter().map(|addr| Endpoint::new(*addr));
    Backend {
        id: BackendId::new(id),
        endpoints: Endpoints::Static(endpoints.collect()),
        protocol: match http {
            Http::One => UpstreamProtocol::Http1,
            Http::Two => UpstreamProtocol::Http2,
        },
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }
}

pub(super) fn backend_target(id: &str) -> Target {
    Target::Backend(BackendId::new(id))
}

pub(super) fn route(id: &str, target: Target) -> Route {
    Route {
        id: RouteId::new(id),
        origin: Place::default(),
        rank: Rank::default(),
        matcher: Matcher::All(Vec::new()),
        steps: Arc::new([]),
        target,
        timeouts: Timeouts::default(),
    }
}

// === impl Gateway ===

impl Gateway {
    async fn start(setup: &Setup) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = socket.local_addr().expect("it is bound");
        let (plan, problems) = SharedPlan::build(&setup.snapshot(1, addr), None);
        assert_eq!(problems, []);
        let (commands, receiver) = mpsc::unbounded_channel();
        let (drain, watch) = drain();
        let registry = Registry::new();
        let live = Live::new(time::now(), [1, 2]);
        let spool = SpoolArea::new(std::env::temp_dir(), SPOOL_BYTES_MAX);
        registry.register(spool.metrics());
        let start = Start {
            index: 0,
            seed: 1,
            secret: [1; 32],
            server_name: "edge-1".into(),
            commands: receiver,
            drain: watch,
            mesh: setup.mesh.clone(),
            interception: crate::interception::Interception::default(),
            registry: registry.clone(),
            live: live.clone(),
            shared: Shared::new(time::now()),
            spool,
            access_log: None,
        };
        let worker = task::spawn("worker", worker::run(start));
        let (drain, plan) = (Some(drain), Arc::new(plan));
        let gateway = Self { addr, commands, drain, registry, worker, plan, live };
        gateway.apply_plan().await;
        gateway.send(Command::Listen(ListenerId::new("web"), socket));
        gateway
    }

    /// Puts another setup in force.
    pub(super) async fn apply(&mut self, generation: u64, setup: &Setup) {
        let snapshot = setup.snapshot(generation, self.addr);
        let (plan, problems) = SharedPlan::build(&snapshot, Some(&self.plan));
        assert_eq!(problems, []);
        self.plan = Arc::new(plan);
        self.apply_plan().await;
    }

    /// Takes the listener out of the configuration.
    pub(super) async fn remove_listener(&mut self) {
        self.plan = Arc::new(SharedPlan::default());
        self.apply_plan().await;
        self.send(Command::Unlisten(ListenerId::new("web")));
    }

    /// Tells the worker to end; the result says how it did.
    pub(super) fn drain(&mut self, deadline: Duration) -> Task<Drained> {
        let drain = self.drain.take().expect("it is drained once");
        task::spawn("drain", drain.run(deadline, std::future::pending()))
    }

    /// Waits for the end of the worker.
    pub(super) async fn ended(self) {
        self.worker.await.expect("it ends by itself");
    }

    /// The value of a series, written as it is rendered; 0 when there is none.
    pub(super) fn metric(&self, series: &str) -> f64 {
        let text = self.registry.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a value is a number"))
    }

    /// Waits until nothing is under way that belongs to a request or a connection.
    pub(super) async fn until_idle(&self) {
        let in_flight = "weftway_upstream_requests_in_flight{backend=\"one\"}";
        until("the end of all requests", || self.metric(in_flight) == 0.0).await;
    }

    /// Waits until no connection is open.
    pub(super) async fn until_closed(&self) {
        until("the end of all connections", || self.metric("weftway_connections_open") == 0.0)
            .await;
    }

    /// How often a limit was reached.
    pub(super) fn reached(&self, limit: &str) -> f64 {
        self.metric(&format!("weftway_limit_reached_total{{limit=\"{limit}\"}}"))
    }

    /// How many requests ended for a reason of ours.
    pub(super) fn failures(&self, reason: &str) -> f64 {
        self.metric(&format!("weftway_request_failures_total{{reason=\"{reason}\"}}"))
    }

    async fn apply_plan(&self) {
        let (done, applied) = oneshot::channel();
        self.send(Command::Apply(self.plan.clone(), done));
        assert_eq!(applied.await, Ok(self.plan.generation));
    }

    fn send(&self, command: Command) {
        self.commands.send(command).expect("the worker lives");
    }
}
