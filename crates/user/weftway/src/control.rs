//! `weftway control`: the control plane by itself, and the part of it that `weftway up` shares.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use weft_authority::{Authority, Lifetimes, Secret};
use weft_compile::{Assigned, MeshOptions, MeshWorld, compile_mesh};
use weft_controlplane::{Attest, ByUid, ControlPlane, Keeper, Listener, Settings};
use weft_distribute::Published;
use weft_model::Generation;
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{Registered, UnknownDestinations};
use weft_runtime::drain::{self, Drained, Watch};
use weft_runtime::signal::Termination;
use weft_runtime::{log, task, time, worker};
use weft_source_file::{FileSource, Following};

use crate::args::{ControlArgs, MeshArgs, Unknown};
use crate::documents::Documents;
use crate::status;

/// The namespace and service account of the control plane's own identity.
const OWN_ACCOUNT: (&str, &str) = ("weftway-system", "control");

/// Bytes of a key that seals the authority's file.
const KEY_BYTES: usize = 32;

/// A control plane, as its control thread sees it.
pub(crate) struct Control {
    following: Following,
    documents: Documents,
    registered: Registered,
    options: MeshOptions,
    world: Option<MeshWorld>,
    published: watch::Sender<Published>,
    plane: ControlPlane,
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
    let showing = task::spawn("status", status::serve(status, control.plane().clone()));
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                break;
            }
            () = control.changed() => control.compile(),
        }
    }
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
        make_private(state)?;
        let trust_domain = TrustDomain::new(&mesh.trust_domain).context("--trust-domain")?;
        let secret = secret(mesh.key_file.as_deref(), state)?;
        let lifetimes = Lifetimes { leaf: mesh.certificate_lifetime, ..Lifetimes::default() };
        // Looked at first, because it is made only when there is no file.
        let fresh = Authority::generate(trust_domain.clone(), lifetimes, time::wall())
            .context("--certificate-lifetime")?;
        let keeper = Keeper::open(&state.join("authority"), &secret, || fresh).await?;
        let addresses_path = state.join("service-addresses");
        let mut options = MeshOptions::new(trust_domain.clone());
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

    /// What the node knows of workloads is this now.
    pub(crate) fn register(&mut self, registered: Registered) {
        self.registered = registered;
        self.compile();
    }

    /// Compiles what is known, and publishes it.
    pub(crate) fn compile(&mut self) {
        for problem in &self.following.files().problems {
            tracing::error!("{problem}");
        }
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
            tracing::error!("{error:#}");
        }
        let mesh = world.mesh.clone();
        self.published.send_modify(|published| *published = published.next(&mesh));
        let generation = mesh.generation;
        let (services, workloads) = (mesh.services.len(), mesh.workloads.len());
        tracing::info!(%generation, services, workloads, "published");
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

/// Makes a folder whose files are nobody else's business; the sockets in it are.
pub(crate) fn make_private(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made (see --state)", folder.display()))
}

/// The key that seals the authority's file; made when none is named and there is none yet.
fn secret(named: Option<&Path>, state: &Path) -> anyhow::Result<Secret> {
    let own = state.join("authority.key");
    let path = named.unwrap_or(&own);
    if named.is_none() && !own.exists() {
        let bytes: [u8; KEY_BYTES] = crate::fleet::random()?;
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&own)
            .and_then(|mut file| file.write_all(&bytes))
            .with_context(|| format!("{} cannot be written", own.display()))?;
    }
    let bytes = fs::read(path)
        .with_context(|| format!("{} cannot be read (see --key-file)", path.display()))?;
    Secret::key_file(&bytes).with_context(|| format!("{} (see --key-file)", path.display()))
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
