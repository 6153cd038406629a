use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use weft_authority::{Authority, Lifetimes};
use weft_distribute::Published;
use weft_link::{Connect, Connecting, ControlPeer, Endpoint, Link, Transport};
use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{Index, IndexEntry, Location, Mesh, Service, ServiceEndpoints, Workload};
use weft_runtime::drain::{Drain, Watch, drain};
use weft_runtime::ready::Readiness;
use weft_runtime::task::{self, Task};
use weft_runtime::time;
use weft_tls::Clock;
use weft_wire::workload_api::SECURITY_KEY;

use weft_controlplane::{Attested, ByUid, ControlPlane, Keeper, Limits, Settings};

/// Runs a test on a paused clock.
pub(crate) fn run<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async { test().await })
}

/// The clock of certificates goes with that of the runtime.
#[derive(Debug)]
struct RuntimeClock(Instant);

impl TimeProvider for RuntimeClock {
    fn current_time(&self) -> Option<UnixTime> {
        let gone = time::now() - self.0;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000) + gone))
    }
}

pub(crate) fn identity(name: &str) -> Identity {
    Identity::new(&TrustDomain::default(), "shop", name).unwrap()
}

pub(crate) fn attested(name: &str) -> Attested {
    let workload = WorkloadName::new(format!("shop/{name}-1"));
    Attested { workload, identity: identity(name) }
}

pub(crate) fn control_identity() -> Identity {
    Identity::new(&TrustDomain::default(), "weftway-system", "control").unwrap()
}

pub(crate) fn authority(clock: &Clock) -> Authority {
    let leaf = Duration::from_secs(3600);
    let lifetimes = Lifetimes { leaf, ..Lifetimes::default() };
    Authority::generate(TrustDomain::default(), lifetimes, clock.now()).unwrap()
}

/// A mesh of services by name and weight of their port, and two workloads.
pub(crate) fn mesh(generation: u64, services: &[(&str, u16)]) -> Mesh {
    let entry = |name: &str, port: u16| IndexEntry {
        name: ServiceName::new(name),
        addrs: ["10.78.0.1".parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [weft_model::mesh::ServicePort {
            number: port,
            name: "http".into(),
            protocol: Default::default(),
        }]
        .into(),
        location: Location::Mesh,
    };
    let entries: BTreeMap<ServiceName, Arc<IndexEntry>> = services
        .iter()
        .map(|(name, port)| (ServiceName::new(*name), Arc::new(entry(name, *port))))
        .collect();
    let service = |entry: &Arc<IndexEntry>| {
        Arc::new(Service {
            entry: entry.clone(),
            endpoints: ServiceEndpoints::Known([].into()),
            traffic: Arc::default(),
        })
    };
    let workload = |name: &str| {
        let workload = Workload {
            addrs: ["10.77.0.1".parse().unwrap()].into(),
            ..Workload::new(WorkloadName::new(format!("shop/{name}-1")), identity(name))
        };
        (workload.name.clone(), Arc::new(workload))
    };
    Mesh {
        generation: Generation(generation),
        services: entries.iter().map(|(name, entry)| (name.clone(), service(entry))).collect(),
        index: Index { entries },
        workloads: ["one", "two"].map(workload).into(),
        ..Mesh::default()
    }
}

/// A control plane that can be stopped and started, and a way to it that can be cut.
pub(crate) struct Harness {
    pub(crate) clock: Clock,
    pub(crate) published: watch::Sender<Published>,
    pub(crate) plane: RefCell<ControlPlane>,
    running: RefCell<Option<(Drain, Watch, Task<()>)>>,
    fleet_path: Option<PathBuf>,
}

impl Harness {
    pub(crate) async fn new(services: &[(&str, u16)]) -> Rc<Self> {
        let clock = Clock::new(Arc::new(RuntimeClock(time::now())));
        let keeper = Keeper::in_memory(authority(&clock));
        Self::with(services, clock, keeper, Limits::DEFAULT).await
    }

    /// One that writes down who has which certificate.
    pub(crate) async fn with_fleet(path: &Path) -> Rc<Self> {
        let clock = Clock::new(Arc::new(RuntimeClock(time::now())));
        let keeper = Keeper::in_memory(authority(&clock));
        Self::make(&[], clock, keeper, Limits::DEFAULT, Some(path.to_owned())).await
    }

    pub(crate) async fn with(
        services: &[(&str, u16)],
        clock: Clock,
        keeper: Keeper,
        limits: Limits,
    ) -> Rc<Self> {
        Self::make(services, clock, keeper, limits, None).await
    }

    async fn make(
        services: &[(&str, u16)],
        clock: Clock,
        keeper: Keeper,
        limits: Limits,
        fleet_path: Option<PathBuf>,
    ) -> Rc<Self> {
        let published = Published::default().next(&mesh(1, services));
        let published = watch::Sender::new(published);
        let plane = plane(&published, keeper, &clock, limits, fleet_path.clone()).await;
        let running = RefCell::new(Some(start(&plane)));
        Rc::new(Self { clock, published, plane: RefCell::new(plane), running, fleet_path })
    }

    pub(crate) fn plane(&self) -> ControlPlane {
        self.plane.borrow().clone()
    }

    pub(crate) fn publish(&self, generation: u64, services: &[(&str, u16)]) {
        self.published.send_modify(|it| *it = it.next(&mesh(generation, services)));
    }

    /// Stops the control plane.
    pub(crate) async fn stop(&self) {
        let (drain, watch, task) = self.running.take().unwrap();
        drop(watch);
        drain.run(Duration::from_secs(60), std::future::pending()).await;
        task.await.unwrap();
    }

    /// Starts another one with the same authority, which knows nothing of proxies and has encoded
    /// everything anew.
    pub(crate) async fn start(&self, generation: u64, services: &[(&str, u16)]) {
        let published = Published::default().next(&mesh(generation, services));
        self.published.send_replace(published);
        let keeper = Keeper::in_memory(self.plane().authority());
        let fleet_path = self.fleet_path.clone();
        let plane = plane(&self.published, keeper, &self.clock, Limits::DEFAULT, fleet_path).await;
        self.running.replace(Some(start(&plane)));
        self.plane.replace(plane);
    }

    /// A pipe to the control plane.
    pub(crate) fn pipe(&self, who: Option<Attested>) -> io::Result<DuplexStream> {
        let running = self.running.borrow();
        let (_, watch, _) = running.as_ref().ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(match who {
            Some(who) => self.plane().attach(who, watch),
            None => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                self.plane().take(ours, None, watch);
                theirs
            }
        })
    }

    /// A way there on which the control plane knows by TLS who comes.
    pub(crate) fn way(self: &Rc<Self>) -> Rc<Way> {
        self.way_of(None)
    }

    /// A way there on which it knows so, as on a Unix socket.
    pub(crate) fn socket_of(self: &Rc<Self>, name: &str) -> Rc<Way> {
        self.way_of(Some(attested(name)))
    }

    fn way_of(self: &Rc<Self>, who: Option<Attested>) -> Rc<Way> {
        Rc::new(Way {
            harness: self.clone(),
            who,
            is_open: Cell::new(true),
            hangs: Cell::new(false),
            pipes: RefCell::default(),
            is_mute: Rc::default(),
            received_bytes: Rc::default(),
        })
    }

    pub(crate) fn peer(&self, token: Option<&str>) -> ControlPeer {
        let authority = self.plane().authority();
        let roots = authority.bundle().certificates().map(|root| root.der().clone()).collect();
        ControlPeer { identity: control_identity(), roots, token: token.map(Into::into) }
    }

    pub(crate) async fn token(&self, name: &str) -> String {
        let hour = Duration::from_secs(3600);
        let token = self.plane().create_token(identity(name).into(), hour).await.unwrap();
        token.as_str().into()
    }

    /// The settings of a proxy that joins by a token.
    pub(crate) async fn settings(self: &Rc<Self>, name: &str) -> (weft_link::Settings, Rc<Way>) {
        let (way, token) = (self.way(), self.token(name).await);
        let endpoint = Endpoint::other(way.clone(), Some(self.peer(Some(&token))));
        (self.settings_at(name, endpoint), way)
    }

    pub(crate) fn settings_at(&self, name: &str, endpoint: Endpoint) -> weft_link::Settings {
        let workload = WorkloadName::new(format!("shop/{name}-1"));
        let settings = weft_link::Settings::new(workload, identity(name), endpoint);
        weft_link::Settings { clock: self.clock.clone(), seed: 7, ..settings }
    }

    pub(crate) async fn proxy(self: &Rc<Self>, name: &str) -> Proxy {
        let (settings, way) = self.settings(name).await;
        Proxy::start(settings, way)
    }

    /// A proxy that has kept on disk what it knows, and what it was started with.
    pub(crate) async fn kept_proxy(
        self: &Rc<Self>,
        name: &str,
        folder: &Path,
    ) -> (Proxy, weft_link::Settings) {
        let (settings, way) = self.settings(name).await;
        let settings = weft_link::Settings {
            state_path: Some(folder.join("state")),
            credentials_path: Some(folder.join("credentials")),
            ..settings
        };
        let proxy = Proxy::start(settings.clone(), way);
        proxy.has(1).await;
        until("kept", || folder.join("state").exists()).await;
        until("kept", || folder.join("credentials").exists()).await;
        (proxy, settings)
    }

    /// Waits until what is known of the proxies is so.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&ControlPlane) -> bool) {
        until(what, || is(&self.plane())).await;
    }
}

async fn plane(
    published: &watch::Sender<Published>,
    keeper: Keeper,
    clock: &Clock,
    limits: Limits,
    fleet_path: Option<PathBuf>,
) -> ControlPlane {
    let settings =
        Settings { identity: control_identity(), limits, clock: clock.clone(), fleet_path };
    let attest = Rc::new(ByUid::new([]));
    ControlPlane::new(published.subscribe(), keeper, attest, settings).await.unwrap()
}

fn start(plane: &ControlPlane) -> (Drain, Watch, Task<()>) {
    let (drain, watch) = drain();
    let (running, guard) = (plane.clone(), watch.clone());
    let task = task::spawn("control plane", async move { running.run(vec![], guard).await });
    (drain, watch, task)
}

/// Waits for a condition, at most ten minutes of the paused clock.
pub(crate) async fn until(what: &str, is: impl Fn() -> bool) {
    let end = time::now() + Duration::from_secs(600);
    while !is() {
        assert!(time::now() < end, "not in time: {what}");
        time::sleep(Duration::from_millis(10)).await;
    }
}

/// A proxy with what it needs.
pub(crate) struct Proxy {
    pub(crate) link: Link,
    pub(crate) readiness: Readiness,
    pub(crate) way: Rc<Way>,
    task: Task<()>,
}

impl Proxy {
    /// Starts a link whose proxy puts in force whatever comes, at once.
    pub(crate) fn start(settings: weft_link::Settings, way: Rc<Way>) -> Self {
        let readiness = Readiness::new();
        let (link, run) = weft_link::start(settings, &readiness);
        let task = task::spawn("link", run);
        let (mut states, other) = (link.state(), link.clone());
        task::spawn("proxy", async move {
            while states.changed().await.is_ok() {
                let generation = states.borrow_and_update().generation;
                other.put_in_force(generation);
            }
        });
        Self { link, readiness, way, task }
    }

    /// Waits until it has that generation whole.
    pub(crate) async fn has(&self, generation: u64) {
        let states = self.link.state();
        let what = format!("generation {generation}");
        until(&what, || states.borrow().generation == Generation(generation)).await;
    }

    /// The process is killed.
    pub(crate) fn kill(self) {
        self.task.abort();
        self.way.cut();
    }

    pub(crate) fn last_error(&self) -> String {
        self.link.status().borrow().last_error.clone().unwrap_or_default()
    }
}

/// A way to the control plane that can be cut, and that counts bytes.
pub(crate) struct Way {
    harness: Rc<Harness>,
    who: Option<Attested>,
    is_open: Cell<bool>,
    hangs: Cell<bool>,
    pipes: RefCell<Vec<Task<()>>>,
    is_mute: Rc<Cell<bool>>,
    pub(crate) received_bytes: Rc<Cell<usize>>,
}

impl Way {
    /// Breaks what is connected.
    pub(crate) fn cut(&self) {
        for task in self.pipes.take() {
            task.abort();
        }
    }

    /// Breaks what is connected, and lets nobody connect.
    pub(crate) fn close(&self) {
        self.is_open.set(false);
        self.cut();
    }

    pub(crate) fn open(&self) {
        self.is_open.set(true);
    }

    /// The control plane hears nothing any more on what is connected.
    pub(crate) fn mute(&self) {
        self.is_mute.set(true);
    }

    /// Who connects from now on hears nothing.
    pub(crate) fn hang(&self) {
        self.hangs.set(true);
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Way")
    }
}

impl Connect for Way {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            if !self.is_open.get() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let theirs = self.harness.pipe(self.who.clone())?;
            let (ours, end) = tokio::io::duplex(64 * 1024);
            if self.hangs.get() {
                let silence = task::spawn("silence", async move {
                    let _open = (theirs, end);
                    std::future::pending().await
                });
                self.pipes.borrow_mut().push(silence);
                return Ok(Box::new(ours) as Box<dyn Transport>);
            }
            let (is_mute, counter) = (self.is_mute.clone(), self.received_bytes.clone());
            let task = task::spawn("way", carry(theirs, end, is_mute, counter));
            self.pipes.borrow_mut().push(task);
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

async fn carry(
    plane: DuplexStream,
    link: DuplexStream,
    is_mute: Rc<Cell<bool>>,
    received_bytes: Rc<Cell<usize>>,
) {
    let (mut from_plane, mut to_plane) = tokio::io::split(plane);
    let (mut from_link, mut to_link) = tokio::io::split(link);
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_link.read(&mut buffer).await {
            if !is_mute.get() && to_plane.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_plane.read(&mut buffer).await {
            received_bytes.set(received_bytes.get() + count);
            if to_link.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { () = up => {} () = down => {} }
}

/// Spawns onto the present thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        task::spawn("raw stream", future);
    }
}

/// A client without any manners of its own.
pub(crate) struct Raw(pub(crate) http2::SendRequest<tonic::body::Body>);

impl Raw {
    pub(crate) async fn connect(harness: &Harness, name: &str) -> Self {
        Self::over(harness.pipe(Some(attested(name))).unwrap()).await
    }

    pub(crate) async fn over<I: Transport + 'static>(io: I) -> Self {
        let builder = http2::Builder::new(LocalExecutor);
        let (sender, conn) = builder.handshake(TokioIo::new(io)).await.unwrap();
        task::spawn("raw", async move {
            let _ = conn.await;
        });
        Self(sender)
    }

    /// A call of the Workload API, with the header that it asks for or without.
    pub(crate) async fn fetch<Req, Rsp>(
        &self,
        path: &'static str,
        request: Req,
        has_header: bool,
    ) -> Result<Streaming<Rsp>, Status>
    where
        Req: prost::Message + Default + Send + Sync + 'static,
        Rsp: prost::Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(request);
        if has_header {
            request.metadata_mut().insert(SECURITY_KEY, "true".parse().unwrap());
        }
        let codec = ProstCodec::<Req, Rsp>::new();
        let mut grpc = self.grpc();
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static(path);
        Ok(grpc.server_streaming(request, path, codec).await?.into_inner())
    }

    pub(crate) async fn stream<Req, Rsp>(
        &self,
        path: &'static str,
    ) -> Result<(mpsc::Sender<Req>, Streaming<Rsp>), Status>
    where
        Req: prost::Message + Default + Send + Sync + 'static,
        Rsp: prost::Message + Default + Send + Sync + 'static,
    {
        let (sender, receiver) = mpsc::channel(64);
        let request = Request::new(ReceiverStream::new(receiver));
        let codec = ProstCodec::<Req, Rsp>::new();
        let mut grpc = self.grpc();
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static(path);
        Ok((sender, grpc.streaming(request, path, codec).await?.into_inner()))
    }

    pub(crate) fn grpc(&self) -> tonic::client::Grpc<RawService> {
        let origin = http::Uri::from_static("http://control");
        tonic::client::Grpc::with_origin(RawService(self.0.clone()), origin)
    }
}

pub(crate) struct RawService(http2::SendRequest<tonic::body::Body>);

impl tonic::client::GrpcService<tonic::body::Body> for RawService {
    type ResponseBody = hyper::body::Incoming;
    type Error = hyper::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>>,
    >;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
