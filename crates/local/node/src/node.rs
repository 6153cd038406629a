//! The node: which workloads there are, and what is done with them.
//!
//! Everything here lives on one thread, the control thread, so it is shared without locks.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};

use crate::Name;
use crate::api::{Phase, Refusal, RefusalKind, Registered, Run};
use crate::attest::{self, Attested, Caller, Facts, Known};
use crate::host::check::find_program;
use crate::host::{Host, HostError, Lock, NETNS_HANDLES, processes};
use crate::launch::{self, Proxy, Surroundings, User};
use crate::life::{Event, Outcome, Process, Times};
use crate::listens::Listens;
use crate::loopback;
use crate::network::{Addrs, Network, PROXY_UID, READY_PORT, Range};
use crate::permit::Permit;
use crate::plan::Plan;
use crate::pool::{Exhausted, InvalidPool, Pool};
use crate::ports::{self, Claim, PortConflict, Scope};
use crate::supervise::{self, Note, Order, Start, Upgrade};

mod server;

pub use server::bind;

pub use crate::supervise::Stdio;

/// How many instances of one name may run. More would be a runaway loop.
const INSTANCES_MAX: u32 = 1000;

/// Orders and events that may wait for a workload's supervisor and for its caller. They come from
/// people and from deaths, so this is never reached unless one of both hangs.
const WAITING_MAX: usize = 64;

/// The first address of a range that is given out: the one before is the machine's.
const FIRST_OFFSET: u32 = 2;

/// How a node works.
pub struct Settings {
    /// The folder for what the node keeps: addresses, scripts, locks, sockets.
    pub state: PathBuf,
    /// Whose node it is: that user may touch every workload, as root may, and run workloads as any
    /// service account.
    pub owner: u32,
    /// What other users may run. Whoever calls [`Node::run`] itself is not asked.
    pub permits: Vec<Permit>,
    /// Times of each life, unless the workload says otherwise.
    pub times: Times,
    /// What every application has in its environment besides its own.
    pub environment: Vec<(String, String)>,
    /// The proxy for a workload.
    pub proxy: Box<dyn Fn(&Registered) -> Proxy>,
}

/// What workloads stand on.
#[derive(Debug)]
pub enum Ground {
    /// Each has a network namespace, and its traffic is captured.
    Namespaces(Host),
    /// All share the machine's loopback, and are told of their proxies.
    Loopback {
        /// The domain that names of services end in.
        domain: String,
    },
}

/// A node. Clones are the same one.
#[derive(Clone)]
pub struct Node(Rc<Inner>);

/// A workload that was started.
#[derive(Debug)]
pub struct Running {
    /// The workload.
    pub registered: Registered,
    /// What happens to it.
    pub events: mpsc::Receiver<Event>,
    /// How it ends, once everything of it is removed.
    pub outcome: oneshot::Receiver<Outcome>,
}

/// The node cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file of the state folder cannot be read or written.
    #[error("cannot use {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another node uses the folder.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The addresses that were kept cannot be read.
    #[error("cannot read {path}; remove it, and every workload gets a new address", path = .path.display())]
    Pool {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidPool,
    },
}

struct Inner {
    settings: Settings,
    ground: Ground,
    is_closing: Cell<bool>,
    /// What proxies run that are started from now on, if not what the settings say.
    program: RefCell<Option<PathBuf>>,
    /// Borrowed for the length of one statement, never across an await.
    state: RefCell<State>,
    registry: watch::Sender<Arc<[Registered]>>,
    /// The state folder's, unless the host has it.
    _lock: Option<Lock>,
}

struct State {
    workloads: Kept,
    live: BTreeMap<Name, Live>,
}

/// A pool and its file.
struct Kept {
    pool: Pool,
    path: PathBuf,
}

struct Live {
    registered: Registered,
    known: Known,
    standing: Standing,
    orders: mpsc::Sender<Order>,
}

/// What has come of a workload so far.
#[derive(Debug, Default)]
struct Standing {
    has_proxy: bool,
    /// The application runs, and listens if it is to.
    is_open: bool,
    is_stopping: bool,
}

// === impl Node ===

impl Node {
    /// A node without workloads. Addresses are those that names had before, if the state folder
    /// still knows them.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub fn open(settings: Settings, ground: Ground) -> Result<Self, NodeError> {
        make_folder(&settings.state, 0o755)?;
        // A user finds the own script by its name; nobody sees the names of others.
        make_folder(&settings.state.join("launch"), 0o711)?;
        let lock = match &ground {
            Ground::Namespaces(_) => None,
            Ground::Loopback { .. } => Some(Lock::take(&settings.state)?),
        };
        let workloads =
            Kept::open(ground.workloads(), settings.state.join("workload-addresses.json"))?;
        let state = RefCell::new(State { workloads, live: BTreeMap::new() });
        let registry = watch::Sender::new(Arc::from([]));
        Ok(Self(Rc::new(Inner {
            settings,
            ground,
            is_closing: Cell::new(false),
            program: RefCell::default(),
            state,
            registry,
            _lock: lock,
        })))
    }

    /// What workloads stand on.
    pub fn ground(&self) -> &Ground {
        &self.0.ground
    }

    /// The workloads there are, now and whenever that changes.
    pub fn registry(&self) -> watch::Receiver<Arc<[Registered]>> {
        self.0.registry.subscribe()
    }

    /// Starts a workload for `user` and returns as soon as its proxy is being started.
    ///
    /// Not cancel safe: dropped in between, it leaves a network behind until the node closes.
    ///
    /// # Errors
    ///
    /// [`Refusal`], in the words of which a user finds a way out.
    pub async fn run(&self, run: Run, stdio: Stdio, user: User) -> Result<Running, Refusal> {
        let (orders, received) = mpsc::channel(WAITING_MAX);
        let registered = self.register(&run, &user, orders)?;
        let name = registered.name.clone();
        let guard = Unregister { node: self, name: &name };
        let script = self.prepare(&run, &registered, &user)?;
        let plan = self.create(&run, &registered).await?;
        guard.keep();
        let start = Start {
            times: Times {
                grace: run.grace_ms.map_or(self.0.settings.times.grace, Duration::from_millis),
                ..self.0.settings.times
            },
            surroundings: self.surroundings(&registered),
            proxy: self.proxy(&registered),
            listens: self.listens(&registered),
            ready: SocketAddr::new(IpAddr::V4(registered.addrs.v4), READY_PORT),
            user,
            script,
            stdio,
        };
        let (event_sender, events) = mpsc::channel(WAITING_MAX);
        let (outcome_sender, outcome) = oneshot::channel();
        let node = self.clone();
        weft_runtime::task::spawn("workload", async move {
            let outcome = node.live(&name, start, received, &event_sender).await;
            node.forget(&name, plan.as_ref()).await;
            // Whoever started it may not want to know.
            let _ = outcome_sender.send(outcome);
        });
        Ok(Running { registered, events, outcome })
    }

    /// Asks a workload to end; the second time it is ended at once.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when there is none of that name.
    pub fn stop(&self, workload: &Name) -> Result<(), Refusal> {
        self.order(workload, Order::Stop)
    }

    /// Passes a signal to an application.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when there is no such workload or signal.
    pub fn signal(&self, workload: &Name, signal: i32) -> Result<(), Refusal> {
        let signal = Signal::from_named_raw(signal).ok_or_else(|| {
            Refusal::new(RefusalKind::Invalid, format!("{signal} is not the number of a signal"))
        })?;
        self.order(workload, Order::Signal(signal))
    }

    /// Puts another proxy in the place of a workload's: it takes the sockets over, and the one before
    /// finishes what it has. Returns when the newer one is ready.
    ///
    /// Cancel safe: what was begun goes on.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with the reason why the proxy that there was goes on.
    pub async fn upgrade(&self, workload: &Name, program: &Path) -> Result<(), Refusal> {
        let program = checked(program)?;
        let (done, answer) = oneshot::channel();
        self.order(workload, Order::Upgrade(Upgrade { program, done }))?;
        let answer = answer.await.unwrap_or_else(|_| Err("the workload has ended".to_owned()));
        answer.map_err(|reason| Refusal::new(RefusalKind::Machine, reason))
    }

    /// What proxies run that are started from now on.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when that is no program.
    pub fn set_program(&self, program: &Path) -> Result<(), Refusal> {
        *self.0.program.borrow_mut() = Some(checked(program)?);
        Ok(())
    }

    /// Whose process that is; `None` for those that belong to no workload of this node.
    pub fn who(&self, caller: Caller) -> Option<Attested> {
        let state = self.0.state.borrow();
        let known = state.live.iter().map(|(name, live)| (name.clone(), live.known.clone()));
        let known = known.collect();
        attest::decide(caller, &Facts::of(caller), &known)
    }

    /// Ends every workload as it should, and removes all that was created.
    ///
    /// Not cancel safe: call it again.
    ///
    /// # Errors
    ///
    /// [`HostError`] when something remains.
    pub async fn close(&self) -> Result<(), HostError> {
        self.0.is_closing.set(true);
        let names: Vec<Name> = self.0.state.borrow().live.keys().cloned().collect();
        for name in names {
            // Who is gone meanwhile needs no order.
            let _ = self.stop(&name);
        }
        let mut registry = self.registry();
        // It ends with an error only if the node were gone, which we hold.
        let _ = registry.wait_for(|workloads| workloads.is_empty()).await;
        match &self.0.ground {
            Ground::Namespaces(host) => host.close().await,
            Ground::Loopback { .. } => Ok(()),
        }
    }

    /// Finds a name, addresses and free ports, all in one moment so that nobody comes between.
    fn register(
        &self,
        run: &Run,
        user: &User,
        orders: mpsc::Sender<Order>,
    ) -> Result<Registered, Refusal> {
        self.admit(run, user)?;
        let mut state = self.0.state.borrow_mut();
        let name = instance(&run.name, &state.live)?;
        let is_own = matches!(self.0.ground, Ground::Namespaces(_));
        let conflicts = ports::conflicts(
            &claims(&name, run.ports.iter().map(|port| port.number), is_own),
            &state.live.values().flat_map(|live| live.claims(is_own)).collect::<Vec<_>>(),
        );
        if !conflicts.is_empty() {
            return Err(conflict(&conflicts));
        }
        let addrs = state.workloads.claim(&name.to_string());
        let addrs = addrs.map_err(|error| Refusal::new(RefusalKind::Conflict, error))?;
        let namespace = match &self.0.ground {
            Ground::Namespaces(host) => Some(crate::plan::namespace(host.network(), &name)),
            Ground::Loopback { .. } => {
                if let Some(found) = taken_port(&name, addrs.v4.into(), &run.ports) {
                    state.workloads.release(&name.to_string());
                    return Err(conflict(&[found]));
                }
                None
            }
        };
        let registered = Registered {
            name: name.clone(),
            service: run.name.clone(),
            service_account: run.service_account().to_owned(),
            labels: run.labels.clone(),
            ports: run.ports.clone(),
            addrs,
            namespace,
            phase: Phase::Starting,
            uid: user.uid,
            application_pid: None,
            proxy_pid: None,
        };
        let live = Live {
            registered: registered.clone(),
            known: Known::default(),
            standing: Standing::default(),
            orders,
        };
        state.live.insert(name, live);
        drop(state);
        self.publish();
        Ok(registered)
    }

    /// Whether that may be run at all.
    fn admit(&self, run: &Run, user: &User) -> Result<(), Refusal> {
        let invalid = |reason: &str| Err(Refusal::new(RefusalKind::Invalid, reason));
        if self.0.is_closing.get() {
            return Err(Refusal::new(RefusalKind::Closing, "the node is about to end"));
        }
        if user.uid == PROXY_UID {
            return invalid(
                "applications do not run as user 2102: that is the proxies', whose traffic is not \
                 captured; run it as another user",
            );
        }
        let own = rustix::process::geteuid();
        if !own.is_root() && user.uid != own.as_raw() {
            let reason = "this node runs without root and can only run programs of its own user; \
                          start a node of your own, or one as root";
            return Err(Refusal::new(RefusalKind::Forbidden, reason));
        }
        if run.application.argv.first().is_none_or(String::is_empty) {
            return invalid("no program is named; put it behind `--`");
        }
        let words = run.application.env.iter().flat_map(|(name, value)| [name, value]);
        if words.chain(&run.application.argv).any(|word| word.contains('\0')) {
            return invalid("arguments and environment cannot hold a zero byte");
        }
        let is_variable = |name: &str| !name.is_empty() && !name.contains('=');
        if !run.application.env.iter().all(|(name, _)| is_variable(name)) {
            return invalid("a variable of the environment has no name, or one with `=` in it");
        }
        Ok(())
    }

    /// Writes the script that becomes the application, for its user only.
    fn prepare(&self, run: &Run, registered: &Registered, user: &User) -> Result<PathBuf, Refusal> {
        let Registered { name, addrs, .. } = registered;
        let mut application = run.application.clone();
        let mut more = vec![
            ("WEFTWAY_WORKLOAD".to_owned(), name.to_string()),
            ("WEFTWAY_ADDRESS".to_owned(), addrs.v4.to_string()),
        ];
        more.extend(self.0.settings.environment.iter().cloned());
        if let Ground::Loopback { domain } = &self.0.ground {
            more.extend(loopback::environment(*addrs, domain));
        }
        application.env.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        application.env.extend(more);

        let path = self.script(name);
        let written = write_private(&path, &launch::script(&application), user);
        written.map_err(|error| {
            let reason = format!("cannot write {}: {error}", path.display());
            Refusal::new(RefusalKind::Machine, reason)
        })?;
        Ok(path)
    }

    /// Makes the workload's network.
    async fn create(&self, run: &Run, registered: &Registered) -> Result<Option<Plan>, Refusal> {
        let Ground::Namespaces(host) = &self.0.ground else { return Ok(None) };
        let Registered { name, addrs, .. } = registered;
        let plan = host.plan(name.clone(), *addrs, run.exclusions.clone());
        host.create(&plan).await.map_err(|error| Refusal::new(RefusalKind::Machine, error))?;
        let handle = Path::new(NETNS_HANDLES).join(&plan.namespace);
        self.change(name, |live| live.known.namespace = processes::namespace_of_handle(&handle));
        Ok(Some(plan))
    }

    fn proxy(&self, registered: &Registered) -> Proxy {
        let proxy = (self.0.settings.proxy)(registered);
        let program = self.0.program.borrow().clone();
        Proxy { program: program.unwrap_or(proxy.program), ..proxy }
    }

    fn listens(&self, registered: &Registered) -> Listens {
        let state = self.0.state.borrow();
        Listens {
            addrs: registered.addrs,
            ports: registered.ports.iter().map(|port| port.number).collect(),
            namespace: state.live.get(&registered.name).and_then(|live| live.known.namespace),
        }
    }

    fn surroundings(&self, registered: &Registered) -> Surroundings {
        Surroundings {
            namespace: registered.namespace.clone(),
            is_root: rustix::process::geteuid().is_root(),
            has_setpriv: find_program("setpriv").is_some(),
        }
    }

    async fn live(
        &self,
        name: &Name,
        start: Start,
        orders: mpsc::Receiver<Order>,
        events: &mpsc::Sender<Event>,
    ) -> Outcome {
        let outcome = supervise::supervise(start, orders, |note| match note {
            Note::Started(process, pid) => self.change(name, |live| live.started(process, pid)),
            Note::Ended(process, pid) => self.change(name, |live| live.ended(process, pid)),
            Note::Event(event) => {
                tracing::info!(workload = %name, ?event, "workload");
                self.change(name, |live| live.follow(&event));
                // A caller that does not listen misses events, and only those.
                let _ = events.try_send(event);
            }
        });
        let outcome = outcome.await;
        tracing::info!(workload = %name, ?outcome, "workload ended");
        outcome
    }

    /// Removes everything of a workload that has ended.
    async fn forget(&self, name: &Name, plan: Option<&Plan>) {
        if let (Ground::Namespaces(host), Some(plan)) = (&self.0.ground, plan)
            && let Err(error) = host.remove(plan).await
        {
            tracing::error!(workload = %name, %error, "its network cannot be removed");
        }
        self.unregister(name);
    }

    fn unregister(&self, name: &Name) {
        // It is not there if the workload has failed before it was written.
        let _ = std::fs::remove_file(self.script(name));
        let mut state = self.0.state.borrow_mut();
        state.live.remove(name);
        state.workloads.release(&name.to_string());
        drop(state);
        self.publish();
    }

    fn order(&self, workload: &Name, order: Order) -> Result<(), Refusal> {
        let state = self.0.state.borrow();
        let Some(live) = state.live.get(workload) else {
            let reason = format!("there is no workload {workload}; `weftway run` starts one");
            return Err(Refusal::new(RefusalKind::Unknown, reason));
        };
        live.orders.try_send(order).map_err(|_| {
            Refusal::new(RefusalKind::Machine, format!("{workload} does not take orders any more"))
        })
    }

    fn change(&self, name: &Name, change: impl FnOnce(&mut Live)) {
        if let Some(live) = self.0.state.borrow_mut().live.get_mut(name) {
            change(live);
        }
        self.publish();
    }

    /// Tells the registry's readers, if something is new.
    fn publish(&self) {
        let state = self.0.state.borrow();
        let all: Arc<[Registered]> =
            state.live.values().map(|live| live.registered.clone()).collect();
        self.0.registry.send_if_modified(|kept| {
            let is_new = *kept != all;
            *kept = all;
            is_new
        });
    }

    fn script(&self, name: &Name) -> PathBuf {
        self.0.settings.state.join("launch").join(name.handle())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("ground", &self.0.ground).finish_non_exhaustive()
    }
}

/// Takes a workload out again that could not be started.
struct Unregister<'a> {
    node: &'a Node,
    name: &'a Name,
}

impl Unregister<'_> {
    /// It is started, and taken out when it ends.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unregister<'_> {
    fn drop(&mut self) {
        self.node.unregister(self.name);
    }
}

// === impl Ground ===

impl Ground {
    /// The network, or what of it there is without namespaces.
    pub fn network(&self) -> Network {
        match self {
            Self::Namespaces(host) => host.network().clone(),
            Self::Loopback { domain } => Network {
                workloads: loopback::range(),
                domain: domain.clone(),
                ..Network::default()
            },
        }
    }

    fn workloads(&self) -> Range {
        self.network().workloads
    }
}

// === impl Live ===

impl Live {
    fn claims(&self, is_own: bool) -> Vec<Claim> {
        let Registered { name, ports, .. } = &self.registered;
        claims(name, ports.iter().map(|port| port.number), is_own)
    }

    fn started(&mut self, process: Process, pid: u32) {
        let Self { registered, known, .. } = self;
        match process {
            Process::Proxy => {
                registered.proxy_pid = Some(pid);
                known.proxies.insert(pid);
            }
            // It needs its identity before it can be the proxy.
            Process::Successor | Process::Predecessor => {
                known.proxies.insert(pid);
            }
            Process::Application => {
                (registered.application_pid, known.application) = (Some(pid), Some(pid));
            }
        }
    }

    fn ended(&mut self, process: Process, pid: u32) {
        let Self { registered, known, .. } = self;
        match process {
            Process::Proxy | Process::Successor | Process::Predecessor => {
                known.proxies.remove(&pid);
                registered.proxy_pid = registered.proxy_pid.filter(|proxy| *proxy != pid);
            }
            Process::Application => (registered.application_pid, known.application) = (None, None),
        }
    }

    fn follow(&mut self, event: &Event) {
        let Standing { has_proxy, is_open, is_stopping } = &mut self.standing;
        match event {
            Event::ProxyReady => *has_proxy = true,
            Event::ProxyLost { .. } => *has_proxy = false,
            Event::ApplicationStarted => *is_open = self.registered.ports.is_empty(),
            Event::ApplicationListens => *is_open = true,
            Event::Stopping | Event::ApplicationEnded(_) => *is_stopping = true,
            Event::ProxyUpgraded
            | Event::ProxyNotUpgraded { .. }
            | Event::ApplicationSilent { .. } => {}
        }
        self.registered.phase = self.standing.phase();
    }
}

// === impl Standing ===

impl Standing {
    fn phase(&self) -> Phase {
        match self {
            Self { is_stopping: true, .. } => Phase::Stopping,
            Self { is_open: false, .. } => Phase::Starting,
            Self { has_proxy: false, .. } => Phase::WithoutProxy,
            Self { .. } => Phase::Running,
        }
    }
}

// === impl Kept ===

impl Kept {
    fn open(range: Range, path: PathBuf) -> Result<Self, NodeError> {
        let pool = match std::fs::read(&path) {
            Ok(bytes) => Pool::decode(range, FIRST_OFFSET, &bytes)
                .map_err(|source| NodeError::Pool { path: path.clone(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Pool::new(range, FIRST_OFFSET)
            }
            Err(source) => return Err(NodeError::File { path, source }),
        };
        Ok(Self { pool, path })
    }

    fn claim(&mut self, name: &str) -> Result<Addrs, Exhausted> {
        let is_new = self.pool.addrs(name).is_none();
        let addrs = self.pool.claim(name)?;
        if is_new {
            self.keep();
        }
        Ok(addrs)
    }

    fn release(&mut self, name: &str) {
        self.pool.release(name);
        self.keep();
    }

    /// A file that cannot be written costs names their addresses after the next start, no more.
    fn keep(&self) {
        let fresh = self.path.with_extension("new");
        let written = std::fs::write(&fresh, self.pool.encode())
            .and_then(|()| std::fs::rename(&fresh, &self.path));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "addresses cannot be kept");
        }
    }
}

/// A program that a proxy can be.
fn checked(program: &Path) -> Result<PathBuf, Refusal> {
    if program.is_absolute() && program.is_file() {
        return Ok(program.to_path_buf());
    }
    let reason = format!("{} is not the path of a program, from the root on", program.display());
    Err(Refusal::new(RefusalKind::Invalid, reason))
}

/// The first instance of that name that is not there yet.
fn instance(name: &Name, live: &BTreeMap<Name, Live>) -> Result<Name, Refusal> {
    let taken: BTreeSet<&Name> = live.keys().collect();
    for number in 1..=INSTANCES_MAX {
        let candidate = name.instance(number);
        let candidate = candidate.map_err(|error| Refusal::new(RefusalKind::Invalid, error))?;
        if !taken.contains(&candidate) {
            return Ok(candidate);
        }
    }
    let reason = format!("{INSTANCES_MAX} instances of {name} run; end some of them");
    Err(Refusal::new(RefusalKind::Conflict, reason))
}

fn claims(name: &Name, numbers: impl Iterator<Item = u16>, is_own: bool) -> Vec<Claim> {
    let scope = if is_own { Scope::Own } else { Scope::Machine };
    numbers.map(|port| Claim { workload: name.clone(), port, scope: scope.clone() }).collect()
}

/// The first port that a program outside of the mesh listens on, on this address or on all.
fn taken_port(name: &Name, ip: IpAddr, ports: &[crate::api::Port]) -> Option<PortConflict> {
    let is_taken = |port: u16| {
        let bound = std::net::TcpListener::bind((ip, port));
        bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    let port = ports.iter().map(|port| port.number).find(|port| is_taken(*port))?;
    Some(PortConflict::Machine { workload: name.clone(), port, ip })
}

fn conflict(found: &[PortConflict]) -> Refusal {
    let reasons: Vec<String> = found.iter().map(ToString::to_string).collect();
    Refusal::new(RefusalKind::Conflict, reasons.join("; "))
}

/// A folder with these rights, whatever the umask says.
fn make_folder(path: &Path, mode: u32) -> Result<(), NodeError> {
    let rights = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, rights))
        .map_err(|source| NodeError::File { path: path.into(), source })
}

fn write_private(path: &Path, text: &str, user: &User) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    // What a crash has left has another owner, perhaps.
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o400).open(path)?;
    file.write_all(text.as_bytes())?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}
