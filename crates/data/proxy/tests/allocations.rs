//! A request on a warm connection allocates nothing: not in reading, routing, admitting, picking,
//! sending, streaming or recording.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, mpsc, oneshot};
use weft_message::PathRules;
use weft_model::backend::{Backend, Endpoint, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::{Calling, Locality, LocalityOrder};
use weft_model::id::{BackendId, ListenerId, PolicyId, RouteId};
use weft_model::listener::{Destination, Direction, HttpRoutes, Intake, Limits, Listener, Served};
use weft_model::mesh::{Mtls, Protocol};
use weft_model::policy::{
    Abort, BasicAuth, Fault, IpStrategy, LocalRateLimit, RetryPolicy, SourceCriterion, Step,
    StepKind,
};
use weft_model::route::{HostMatch, Matcher, Origin, PathMatch, Rank, Route, Target, Timeouts};
use weft_model::{Generation, Snapshot};
use weft_net::original::OriginalDst;
use weft_proxy::interception::{Interception, OriginalDestination};
use weft_proxy::live::Live;
use weft_proxy::plan::SharedPlan;
use weft_proxy::spool::SpoolArea;
use weft_proxy::worker::{self, Command, Start};
use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BiasSettings, BudgetSettings, LimitSettings,
    LoadReportSettings, MaglevSettings, OutlierSettings, PickerKind, RateSettings,
    RingHashSettings, SlowStartSettings,
};
use weft_runtime::drain::{Drain, drain};
use weft_runtime::metrics::Registry;
use weft_runtime::{task, time};
use weft_upstream::shared::Shared;

/// Requests that fill pools and caches, and the ring of samples, before anything is counted.
const WARM_UP: usize = 400;

/// Requests that are counted.
const COUNTED: usize = 1_000;

/// What a worker does besides requests in that time: looking over connections once a second.
const BESIDES_MAX: u64 = 20;

/// How long anything may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(30);

const REQUEST: &[u8] = b"GET /shop/cart?item=1 HTTP/1.1\r\nHost: shop.example\r\n\
    User-Agent: test\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\nCookie: a=b; c=d\r\n\r\n";

const POST: &[u8] = b"POST /shop/cart HTTP/1.1\r\nHost: shop.example\r\n\
    X-Request-Id: 0123456789abcdef\r\n\
    Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"item\": 123}";

const AUTHENTICATED: &[u8] = b"GET /shop/cart HTTP/1.1\r\nHost: shop.example\r\n\
    Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: test\r\n\
    Endpoint-Load-Metrics: JSON {\"cpu_utilization\": 0.3, \"rps_fractional\": 10}\r\n\
    Content-Length: 12\r\n\r\nhello, world";

/// Answers every request with the same; on threads of its own, so that it is not counted.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let addr = listener.local_addr().expect("it is bound");
    weft_runtime::worker::spawn_blocking("origin", move || {
        for stream in listener.incoming() {
            let stream = stream.expect("it accepts");
            weft_runtime::worker::spawn_blocking("origin", move || serve(stream));
        }
    });
    addr
}

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("it is open");
    let mut buffer = [0; 4 << 10];
    let mut seen = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer[seen..]) {
        seen += count;
        let text = &buffer[..seen];
        // It ends as one of the two that are sent.
        let is_whole =
            text.ends_with(b"\r\n\r\n") && text.starts_with(b"GET") || text.ends_with(b"}");
        if is_whole {
            seen = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

/// Sends as many requests as it is told, one after the other on one connection, and says when it
/// has; on a thread of its own.
fn client(gateway: SocketAddr, request: &'static [u8], told: Receiver<usize>, done: Arc<Notify>) {
    weft_runtime::worker::spawn_blocking("client", move || {
        let mut stream = TcpStream::connect(gateway).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is open");
        stream.set_nodelay(true).expect("it is open");
        let mut buffer = [0; 4 << 10];
        while let Ok(requests) = told.recv() {
            for _ in 0..requests {
                stream.write_all(request).expect("it is sent");
                let mut seen = 0;
                while !buffer[..seen].ends_with(b"hello, world") {
                    let count = stream.read(&mut buffer[seen..]).expect("it is read");
                    assert!(count > 0, "{}", String::from_utf8_lossy(&buffer[..seen]));
                    seen += count;
                }
                assert!(buffer.starts_with(b"HTTP/1.1 200 "));
            }
            done.notify_one();
        }
    });
}

fn step(id: &str, kind: StepKind) -> Arc<Step> {
    Arc::new(Step { id: PolicyId::new(id), kind })
}

/// The address of the service, where connections are captured.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 78, 0, 1)), 80);

/// How connections come to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Bound,
    Captured,
}

fn steps() -> Vec<Arc<Step>> {
    let source = || SourceCriterion::Ip(IpStrategy::default());
    let settings =
        RateSettings { average: 1_000_000, period: Duration::from_secs(1), burst: 1_000_000 };
    let clients =
        LocalRateLimit { total: Some(settings), identity: Some(settings), overrides: Vec::new() };
    let retry = RetryPolicy { attempts: 3, statuses: vec![(500, 599)], ..RetryPolicy::NEVER };
    vec![
        step("rate", StepKind::RateLimit { settings, source: source() }),
        step("in-flight", StepKind::InFlight { amount: 100, source: source() }),
        step("clients", StepKind::LocalRateLimit(Box::new(clients))),
        step("fault", StepKind::Fault(Fault { delay: None, abort: Some((Abort::Http(503), 0)) })),
        step("retry", StepKind::Retry(retry)),
    ]
}

fn password() -> Arc<Step> {
    let auth = BasicAuth {
        users: vec![("ann".into(), "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".into())],
        realm: "test".into(),
        header: None,
        remove_header: false,
    };
    step("password", StepKind::BasicAuth(auth))
}

fn snapshot(
    addr: SocketAddr,
    origin: SocketAddr,
    calling: Calling,
    arrival: Arrival,
    steps: Vec<Arc<Step>>,
) -> Snapshot {
    let route = Route {
        id: RouteId::new("shop"),
        origin: Origin::default(),
        rank: Rank::default(),
        matcher: Matcher::All(vec![
            Matcher::Host(HostMatch::Exact("shop.example".into())),
            Matcher::Path(PathMatch::Prefix("/shop".into())),
        ]),
        steps: steps.into(),
        target: Target::Backend(BackendId::new("shop")),
        timeouts: Timeouts::default(),
    };
    // Three names for one origin, so that there is something to pick.
    let endpoints = (0..3).map(|_| Endpoint::new(origin));
    let backend = Backend {
        id: BackendId::new("shop"),
        endpoints: Endpoints::Static(endpoints.collect()),
        protocol: UpstreamProtocol::Http1,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::new(calling),
    };
    let http = Arc::new(HttpRoutes { routes: vec![Arc::new(route)], enabled: true });
    let served = Some(Served { tcp: Vec::new(), http });
    let destination = Destination {
        direction: Direction::Outbound,
        addrs: [SERVICE.ip()].into(),
        range: None,
        port: Some(SERVICE.port()),
        protocol: Protocol::Detect,
        name: "shop".into(),
        mtls: Mtls::Permissive,
        closed: None,
    };
    let captured = Intake::Captured(Direction::Outbound);
    let listeners = match arrival {
        Arrival::Bound => vec![listener("web", addr, Intake::Bound, served)],
        Arrival::Captured => vec![
            listener("web", addr, captured, None),
            listener("outbound/shop", SERVICE, Intake::Destination(destination), served),
        ],
    };
    Snapshot {
        generation: Generation(1),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        backends: [(backend.id.clone(), Arc::new(backend))].into(),
        ..Snapshot::default()
    }
}

fn listener(id: &str, addr: SocketAddr, intake: Intake, plain: Option<Served>) -> Listener {
    Listener {
        id: ListenerId::new(id),
        addr,
        intake,
        proxy_protocol_from: Vec::new(),
        forwarded_from: Vec::new(),
        limits: Limits::DEFAULT,
        path_rules: PathRules::default(),
        plain,
        tls: None,
    }
}

/// A worker on this thread; it lives as long as what is given back.
fn gateway(
    runtime: &LocalRuntime,
    calling: Calling,
    arrival: Arrival,
    steps: Vec<Arc<Step>>,
) -> (SocketAddr, mpsc::UnboundedSender<Command>, Drain) {
    runtime.block_on(async {
        let socket = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = socket.local_addr().expect("it is bound");
        let snapshot = snapshot(addr, origin(), calling, arrival, steps);
        let (plan, problems) = SharedPlan::build(&snapshot, None);
        assert_eq!(problems, []);
        let (commands, receiver) = mpsc::unbounded_channel();
        let (drain, watch) = drain();
        let original =
            OriginalDestination::new(|_| Ok(OriginalDst { addr: SERVICE, is_redirected: true }));
        task::spawn(
            "worker",
            worker::run(Start {
                index: 0,
                seed: 1,
                secret: [1; 32],
                server_name: "edge-1".into(),
                commands: receiver,
                drain: watch,
                mesh: weft_tls::MeshTlsCell::new(),
                interception: Interception { original, ..Interception::default() },
                registry: Registry::new(),
                live: Live::new(time::now(), [1, 2]),
                shared: Shared::new(time::now()),
                spool: SpoolArea::new(std::env::temp_dir(), SpoolArea::BYTES_MAX),
                access_log: None,
            }),
        );
        let (done, applied) = oneshot::channel();
        let send = |command| commands.send(command).expect("the worker lives");
        send(Command::Apply(Arc::new(plan), done));
        applied.await.expect("the worker lives");
        send(Command::Listen(ListenerId::new("web"), socket));
        (addr, commands, drain)
    })
}

/// How often so many requests allocate.
fn count(request: &'static [u8], calling: Calling, arrival: Arrival, steps: Vec<Arc<Step>>) -> u64 {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime can be built");
    let (addr, _commands, _drain) = gateway(&runtime, calling, arrival, steps);
    let (tell, told) = channel();
    let done = Arc::new(Notify::new());
    client(addr, request, told, done.clone());
    let serve = |requests| {
        tell.send(requests).expect("the client lives");
        let served = runtime.block_on(async { time::timeout(PATIENCE, done.notified()).await });
        assert!(served.is_ok(), "{requests} requests are not served");
    };
    serve(WARM_UP);
    allocation_counter::measure(|| serve(COUNTED)).count_total
}

fn check(request: &'static [u8], calling: Calling, arrival: Arrival) {
    let what = format!("{calling:?}");
    let count = count(request, calling, arrival, steps());
    assert!(count < BESIDES_MAX, "{count} allocations in {COUNTED} requests, called by {what}");
}

fn picked_by(picker: PickerKind) -> Calling {
    Calling { picker, retry_budget: Some(BudgetSettings::DEFAULT), ..Calling::default() }
}

/// Everything that a policy may ask for on the way to an endpoint.
fn rich(picker: PickerKind) -> Calling {
    let limits = LimitSettings {
        connections: Some(100),
        pending: Some(100),
        requests: Some(100),
        retries: Some(100),
    };
    Calling {
        outlier: Some(OutlierSettings {
            usable_ratio_min: 0.1,
            ejected_ratio_max: 0.5,
            ..OutlierSettings::LINKERD_UNIFIED
        }),
        slow_start: SlowStartSettings::linear(Duration::from_secs(60)),
        retry_budget: Some(BudgetSettings::Active(ActiveBudget::DEFAULT)),
        limits,
        endpoint_limits: limits,
        adaptive: Some(AdaptiveSettings::DEFAULT),
        bias: Some(BiasSettings::DEFAULT),
        ..picked_by(picker)
    }
}

#[test]
fn a_request_on_a_warm_connection_allocates_nothing() {
    for picker in [PickerKind::RoundRobin, PickerKind::LeastRequest, PickerKind::PeakEwma] {
        check(REQUEST, picked_by(picker), Arrival::Bound);
    }
}

#[test]
fn neither_does_one_with_a_body() {
    check(POST, picked_by(PickerKind::RoundRobin), Arrival::Bound);
}

#[test]
fn neither_does_picking_by_the_clients_address() {
    check(REQUEST, picked_by(PickerKind::Rendezvous), Arrival::Bound);
}

#[test]
fn neither_does_one_on_a_captured_connection() {
    for request in [REQUEST, POST] {
        check(request, picked_by(PickerKind::LeastRequest), Arrival::Captured);
    }
}

#[test]
fn neither_does_one_through_passive_health_budget_and_all_bounds() {
    for picker in [PickerKind::LeastRequest, PickerKind::PeakEwma, PickerKind::Random] {
        check(REQUEST, rich(picker), Arrival::Bound);
    }
}

#[test]
fn neither_does_picking_from_tables_or_by_reports_of_load() {
    let load_max_percent = Some(150);
    for picker in [
        PickerKind::RingHash(RingHashSettings { load_max_percent, ..RingHashSettings::DEFAULT }),
        PickerKind::Maglev(MaglevSettings { load_max_percent, ..MaglevSettings::DEFAULT }),
        PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT),
    ] {
        check(REQUEST, rich(picker), Arrival::Bound);
    }
}

#[test]
fn neither_does_picking_by_place() {
    let order = LocalityOrder::Place;
    let locality = Some(Arc::new(Locality { order, ..Locality::default() }));
    check(REQUEST, Calling { locality, ..rich(PickerKind::LeastRequest) }, Arrival::Bound);
}

#[test]
fn a_limit_of_each_client_allocates_nothing_for_users_either() {
    // What it costs to find out who it is, is paid in both.
    let counted = |place| {
        let mut steps = steps();
        steps.insert(place, password());
        count(AUTHENTICATED, picked_by(PickerKind::RoundRobin), Arrival::Bound, steps)
    };
    let (known, unknown) = (counted(0), counted(steps().len()));
    assert!(known.abs_diff(unknown) < BESIDES_MAX, "{known} allocations, {unknown} without a user");
}
