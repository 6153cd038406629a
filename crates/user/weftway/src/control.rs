//! `weftway control`: the control plane by itself, and the part of it that `weftway up` shares.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use weft_admin_api::BaseView;
use weft_admin_api::base::WorkloadView;
use weft_compile::{Assigned, MeshOptions, MeshWorld, Report, ServiceRange, compile_mesh};
use weft_controlplane::{Attest, ByUid, ControlPlane, Listener, Settings, Store};
use weft_distribute::Published;
use weft_model::Generation;
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{
    Phase, Registered, RegisteredPort, RegisteredWorkload, UnknownDestinations,
};
use weft_runtime::drain::{self, Drained, Watch};
use weft_runtime::metrics::Registry;
use weft_runtime::ready::Readiness;
use weft_runtime::signal::Termination;
use weft_runtime::{log, task, time, worker};
use weft_source_file::{FileSource, Following};

use crate::admin::{self, ControlAdmin, Serving};
use crate::args::{AddressOrOff, ControlArgs, MeshArgs, Unknown};
use crate::authority;
use crate::documents::Documents;
use crate::folder;
use crate::status;
use crate::takeover::Inherited;

/// The namespace and service account of the control plane's own identity.
const OWN_ACCOUNT: (&str, &str) = ("weftway-system", "control");

/// A control plane, as its control thread sees it.
pub(crate) struct Control {
    following: Following,
    documents: Documents,
    registered: Registered,
    options: MeshOptions,
    world: Option<MeshWorld>,
    published: watch::Sender<Published>,
    plane: ControlPlane,
    /// What still keeps it from being ready.
    readiness: Readiness,
    report: watch::Sender<Arc<Report>>,
    /// What it is compiled from.
    base: watch::Sender<BaseView>,
    /// Where is kept which virtual address a service has.
    addresses_path: PathBuf,
}

/// Runs until a signal has drained it.
pub(crate) fn run(args: &ControlArgs) -> anyhow::Result<ExitCode> {
    let format = if args.log_json { log::Format::Json } else { log::Format::Text };
    log::init(&args.log, format);
    worker::block_on(serve(args)).context("the runtime cannot be started")??;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &ControlArgs) -> anyhow::Result<Drained> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let (drain, watch) = drain::drain();
    // Without a node, whoever owns this process may be any workload of this machine.
    let uids = [rustix::process::getuid().as_raw(), 0];
    let attest = Rc::new(ByUid::new(uids));
    let mut control = Control::start(&args.state, &args.files, &args.mesh, attest).await?;
    let _admin = control.serve_admin(args.admin).await?;
    let starting = control.readiness().block("sockets");
    let mut listeners = Vec::new();
    let socket = args.socket.clone().unwrap_or_else(|| args.state.join("control.sock"));
    listeners.push(Listener::Unix(bind_unix(&socket)?));
    tracing::info!(socket = %socket.display(), "proxies of this machine are welcome");
    if let Some(addr) = args.listen {
        let listener = TcpListener::bind(addr)
            .await
            .with_context(|| format!("cannot listen on {addr} (see --listen)"))?;
        let addr = listener.local_addr().context("the bound address is unknown")?;
        tracing::info!(%addr, "proxies of other machines are welcome");
        listeners.push(Listener::Tcp(listener));
    }
    let status = status::bind(&args.state)?;
    let running = task::spawn("control", control.run(listeners, watch));
    let showing =
        task::spawn("status", status::serve(status, control.plane().clone(), control.base()));
    starting.clear();
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                break;
            }
            () = control.changed() => control.compile(),
        }
    }
    let _draining = control.readiness().block("draining");
    let force = async {
        termination.next().await;
    };
    let drained = drain.run(weft_controlplane::Limits::DEFAULT.drain * 2, force).await;
    running.abort();
    showing.abort();
    Ok(drained)
}

// === impl Control ===

impl Control {
    /// Opens the authority in `state`, or makes one, and reads the documents.
    pub(crate) async fn start(
        state: &Path,
        files: &[PathBuf],
        mesh: &MeshArgs,
        attest: Rc<dyn Attest>,
    ) -> anyhow::Result<Self> {
        folder::make(state)?;
        let trust_domain = TrustDomain::new(&mesh.trust_domain).context("--trust-domain")?;
        let keeper = authority::open(state, &trust_domain, &mesh.authority).await?;
        let addresses_path = state.join("service-addresses");
        let mut options = MeshOptions::new(trust_domain.clone());
        let base = BaseView {
            files: files.iter().map(|path| absolute(path)).collect(),
            domain: mesh.domain.clone(),
            trust_domain: mesh.trust_domain.clone(),
            workloads: Vec::new(),
        };
        options.domain = mesh.domain.as_str().into();
        options.outbound = match mesh.unknown {
            Unknown::Allow => UnknownDestinations::Allow,
            Unknown::Refuse => UnknownDestinations::Refuse,
        };
        options.assigned = assigned(&addresses_path)?;
        // Proxies outlive this process, and compare generations with those of earlier ones.
        let since = time::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        options.first_generation = Generation(since.as_millis() as u64);
        let (namespace, account) = OWN_ACCOUNT;
        let settings = Settings {
            identity: Identity::new(&trust_domain, namespace, account)?,
            limits: weft_controlplane::Limits::DEFAULT,
            clock: weft_tls::Clock::wall(),
            fleet_path: Some(state.join("fleet")),
        };
        let (published, receiver) = watch::channel(Published::default());
        let mut control = Self {
            following: Following::start(FileSource::new(files.to_vec(), Vec::new()))
                .context("files cannot be watched")?,
            documents: Documents::default(),
            registered: Registered::default(),
            options,
            world: None,
            published,
            plane: ControlPlane::new(receiver, keeper, attest, settings).await?,
            readiness: Readiness::new(),
            report: watch::Sender::default(),
            base: watch::Sender::new(base),
            addresses_path,
        };
        control.documents.read(control.following.files());
        control.compile();
        Ok(control)
    }

    /// The control plane itself.
    pub(crate) fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// What keeps it from being ready, to add to.
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Metrics, health and what is known, as long as the answer is kept.
    pub(crate) async fn serve_admin(&self, at: AddressOrOff) -> anyhow::Result<Option<Serving>> {
        let AddressOrOff::Address(addr) = at else { return Ok(None) };
        let registry = Registry::new();
        registry.register(self.plane.metrics());
        let admin = ControlAdmin {
            registry,
            readiness: self.readiness.clone(),
            plane: self.plane.clone(),
            report: self.report.subscribe(),
        };
        let listening = admin::listen("admin", addr, &mut Inherited::default()).await;
        let listening =
            listening.with_context(|| format!("cannot listen on {addr} (see --admin)"))?;
        tracing::info!(addr = %listening.addr(), "admin endpoint");
        Ok(Some(listening.serve(|socket| admin::serve_control(socket, admin))))
    }

    /// Serves proxies until the drain begins.
    pub(crate) fn run(
        &self,
        listeners: Vec<Listener>,
        drain: Watch,
    ) -> impl Future<Output = ()> + 'static {
        let plane = self.plane.clone();
        async move { plane.run(listeners, drain).await }
    }

    /// Waits until a document is another.
    ///
    /// Cancel safe.
    pub(crate) async fn changed(&mut self) {
        self.following.next().await;
        self.documents.read(self.following.files());
    }

    /// Services without an address of their own get one of this range from now on.
    pub(crate) fn assign_from(&mut self, range: ServiceRange) {
        if self.options.service_range != range {
            self.options.service_range = range;
            self.compile();
        }
    }

    /// What it is compiled from, for whoever plans a change.
    pub(crate) fn base(&self) -> watch::Receiver<BaseView> {
        self.base.subscribe()
    }

    /// What the node knows of workloads is this now.
    pub(crate) fn register(&mut self, registered: Registered) {
        let workloads = registered.workloads.values().map(|one| workload_view(one)).collect();
        self.base.send_modify(|base| base.workloads = workloads);
        self.registered = registered;
        self.compile();
    }

    /// Compiles what is known, and publishes it.
    pub(crate) fn compile(&mut self) {
        let metrics = self.plane.metrics();
        for problem in &self.following.files().problems {
            metrics.failed(Store::Documents);
            tracing::error!("{problem}");
        }
        let started = time::now();
        let set = self.documents.set();
        let world = compile_mesh(set, &self.registered, &self.options, self.world.as_ref());
        let problems = match &self.world {
            Some(before) => world.report.news(&before.report),
            None => world.report.problems(),
        };
        for problem in &problems {
            tracing::warn!("{}", self.documents.render(problem));
        }
        if let Err(error) = self.keep_addresses(&world) {
            metrics.failed(Store::Addresses);
            tracing::error!("{error:#}");
        }
        let mesh = world.mesh.clone();
        self.published.send_modify(|published| *published = published.next(&mesh));
        let generation = mesh.generation;
        let (services, workloads) = (mesh.services.len(), mesh.workloads.len());
        let took = time::now() - started;
        metrics.compiled(took, verdicts(&world.report));
        self.report.send_replace(world.report.clone());
        tracing::info!(%generation, services, workloads, ?took, "published");
        self.world = Some(world);
    }

    /// Virtual addresses outlive this process: applications may have them in their memory.
    fn keep_addresses(&self, world: &MeshWorld) -> anyhow::Result<()> {
        let before = self.world.as_ref().map(MeshWorld::assigned);
        if before == Some(world.assigned()) {
            return Ok(());
        }
        let path = &self.addresses_path;
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, world.assigned().encode())
            .and_then(|()| fs::rename(&temporary, path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// What became of each document, by kind.
fn verdicts(report: &Report) -> impl Iterator<Item = (String, &'static str)> {
    report.resources.iter().map(|resource| {
        let kind = resource.key().map_or("unreadable", |key| &*key.kind);
        (kind.to_owned(), resource.verdict.as_str())
    })
}

/// A socket for processes of this machine; what an earlier process left there is replaced.
///
/// Who connects is asked of the kernel; proxies run as another user.
pub(crate) fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    bind_with_mode(path, 0o666)
}

/// The same for processes of this user alone.
pub(crate) fn bind_unix_private(path: &Path) -> anyhow::Result<UnixListener> {
    bind_with_mode(path, 0o600)
}

/// The same in place of an older process that still listens there: who connects from now on comes
/// here.
pub(crate) fn bind_unix_in_place(path: &Path) -> anyhow::Result<UnixListener> {
    let beside = path.with_extension("new");
    let listener = bind_unix_private(&beside)?;
    fs::rename(&beside, path).with_context(|| format!("cannot listen on {}", path.display()))?;
    Ok(listener)
}

fn bind_with_mode(path: &Path, mode: u32) -> anyhow::Result<UnixListener> {
    let context = || format!("cannot listen on {}", path.display());
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("{}: another process listens there", context());
    }
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(context)?;
    Ok(listener)
}

fn assigned(path: &Path) -> anyhow::Result<Assigned> {
    match fs::read_to_string(path) {
        Ok(text) => Assigned::decode(&text).with_context(|| {
            format!("{} is damaged; remove it to give services new addresses", path.display())
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Assigned::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// A path that others find, whatever folder they are in.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

fn workload_view(workload: &RegisteredWorkload) -> WorkloadView {
    let port = |port: &RegisteredPort| {
        (port.number, port.name.to_string(), port.app_protocol.as_deref().map(Into::into))
    };
    let labels = workload.labels.iter();
    WorkloadView {
        namespace: workload.namespace.to_string(),
        name: workload.name.to_string(),
        service: workload.service.to_string(),
        labels: labels.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        service_account: workload.service_account.to_string(),
        addrs: workload.addrs.to_vec(),
        ports: workload.ports.iter().map(port).collect(),
        proxy: workload.proxy,
        zone: workload.zone.as_deref().map(Into::into),
        is_ready: workload.phase == Phase::Ready,
    }
}
