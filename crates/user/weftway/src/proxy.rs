//! `weftway proxy`: the proxy beside one workload.
//!
//! It knows what its control plane tells it: which services there are, where those run that its
//! workload calls, who may call its workload. What it last knew is on disk, so that it starts and
//! serves without a control plane.

mod files;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use weft_compile::Report;
use weft_dns::{DnsMetrics, Names, Server, Sockets, Upstreams, Zone};
use weft_explain::Standpoint;
use weft_link::{Link, Mode, ProxyRole, State, assemble};
use weft_model::Snapshot;
use weft_model::id::{ServiceName, WorkloadName};
use weft_proxy::interception::{Interception, Resolve};
use weft_runtime::drain::{self, Drained, Watch};
use weft_runtime::metrics::Registry;
use weft_runtime::ready::{Blocker, Readiness};
use weft_runtime::signal::Termination;
use weft_runtime::task::Task;
use weft_runtime::{log, task, time, worker};

use crate::admin::{self, AdminConfig, AdminState, Listening};
use crate::args::{AddressOrOff, ProxyArgs};
use crate::engine::{Engine, Surroundings};
use crate::link;
use crate::takeover::{self, Inherited, Named, Takeover};
use files::LocalFiles;

/// Services asked for by DNS that nobody has looked at yet.
const WANTED_MAX: usize = 1_024;

/// How often the link is told which services are in use; a service nobody uses is forgotten after
/// ten minutes.
const USED_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether the process is ready.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// What sockets of the responder are called when they are passed on.
const DNS_UDP: &str = "dns-udp";
const DNS_TCP: &str = "dns-tcp";

/// A running proxy, as the control thread sees it.
struct Proxy {
    role: ProxyRole,
    zone: Zone,
    link: Link,
    /// Services that are asked for.
    demand: mpsc::UnboundedSender<ServiceName>,
    state: watch::Receiver<State>,
    engine: Engine,
    /// What is in force, without what is in files.
    before: Option<(State, Arc<Snapshot>)>,
    files: LocalFiles,
    names: watch::Sender<Arc<Names>>,
    config: watch::Sender<Option<AdminConfig>>,
    /// Endpoints for people, scrapers and probes.
    served: Vec<admin::Serving>,
    /// The admin endpoint in its folder.
    on_socket: Option<Task<()>>,
    dns: Option<Dns>,
}

/// The responder for names, and its sockets for a newer process.
struct Dns {
    server: Server,
    kept: Vec<Named>,
}

/// What there is to do when the first state is in force.
struct Opening {
    /// Where names are asked for: who knows none would deny them all.
    names: Option<Sockets>,
    /// Where an older process answers until now.
    admin: Vec<Listening>,
    /// What is known is not yet served.
    block: Blocker,
}

/// What the process was told, and what it shows.
#[derive(Clone, Copy)]
struct Process<'a> {
    args: &'a ProxyArgs,
    registry: &'a Registry,
    readiness: &'a Readiness,
}

/// Runs until a signal has drained it.
pub(crate) fn run(args: &ProxyArgs) -> anyhow::Result<ExitCode> {
    let format = if args.process.log_json { log::Format::Json } else { log::Format::Text };
    log::init(&args.process.log, format);
    let drained = worker::block_on(serve(args)).context("the runtime cannot be started")??;
    if drained == Drained::Forced {
        tracing::warn!("what still ran at the end of the drain was cut off");
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &ProxyArgs) -> anyhow::Result<Drained> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let (drain, watch) = drain::drain();
    let registry = Registry::new();
    let readiness = Readiness::new();
    let (demand, mut demanded) = mpsc::unbounded_channel();
    let (link, running) = weft_link::start(link_settings(args)?, &readiness);
    let linking = task::spawn("link", running);
    let path = args.takeover();
    let inherited = Inherited::ask(path.as_deref()).await?;
    let mut proxy = Proxy::start(args, link, &registry, demand, inherited, watch)?;
    let (wanted, mut wanted_by_dns) = mpsc::channel(WANTED_MAX);
    let process = Process { args, registry: &registry, readiness: &readiness };
    let mut opening = Some(proxy.begin(process).await?);
    let mut ready = pin!(until_ready(&readiness));
    let mut takeover = None;
    let mut used = task::spawn("used", time::sleep(USED_INTERVAL));
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                break;
            }
            Ok(()) = proxy.state.changed() => {
                proxy.apply().await;
                if let Some(opening) = opening.take() {
                    proxy.open(opening, process, &wanted)?;
                }
            }
            () = &mut ready, if takeover.is_none() => {
                // The older process ends now that this one has something to serve.
                proxy.engine.inherited().say_ready().await;
                takeover = Some(Takeover::new(path.as_deref(), proxy.engine.inherited())?);
                proxy.serve_on_socket(process)?;
            }
            newer = asked(takeover.as_ref()) => {
                if let Some(takeover) = &takeover {
                    takeover.pass(newer, proxy.sockets());
                }
            }
            () = succeeded(takeover.as_ref()) => {
                proxy.step_down();
                break;
            }
            () = proxy.engine.names_changed() => proxy.engine.refresh().await,
            () = proxy.files.changed() => proxy.reread().await,
            Some(service) = demanded.recv() => proxy.want(service),
            Some(service) = wanted_by_dns.recv() => proxy.want(service),
            _ = &mut used => {
                proxy.tell_used();
                used = task::spawn("used", time::sleep(USED_INTERVAL));
            }
        }
    }
    let draining = readiness.block("draining");
    proxy.engine.keep_no_longer();
    let force = async {
        let name = termination.next().await;
        tracing::warn!(signal = name, "a second signal");
    };
    let drained = drain.run(args.process.drain_timeout, force).await;
    proxy.engine.join();
    proxy.link.say_goodbye().await;
    linking.abort();
    drop(draining);
    Ok(drained)
}

// === impl Proxy ===

impl Proxy {
    fn start(
        args: &ProxyArgs,
        link: Link,
        registry: &Registry,
        demand: mpsc::UnboundedSender<ServiceName>,
        inherited: Inherited,
        drain: Watch,
    ) -> anyhow::Result<Self> {
        let workload = WorkloadName::new(args.workload.as_str());
        let mode = args.explicit.map_or(Mode::Captured, Mode::Explicit);
        let namespace = link::namespace(&args.workload)?;
        let interception = Interception {
            demand: Some(demand.clone()),
            resolve: resolve(link.state(), namespace, &args.link.domain),
            ..Interception::default()
        };
        let zone = Zone::new(&args.link.domain, namespace)?;
        let workers = args.process.workers.map_or(1, usize::from);
        let surroundings = Surroundings { tls: link.tls(), interception };
        Ok(Self {
            role: ProxyRole { workload, ports: Default::default(), mode },
            names: watch::channel(Arc::new(Names::empty(&zone))).0,
            zone,
            state: link.state(),
            link,
            demand,
            engine: Engine::start(
                &args.process,
                workers,
                registry,
                surroundings,
                inherited,
                drain,
            )?,
            before: None,
            files: LocalFiles::default(),
            config: watch::channel(None).0,
            served: Vec::new(),
            on_socket: None,
            dns: None,
        })
    }

    /// Puts the newest state in force, and tells the control plane.
    async fn apply(&mut self) {
        let started = time::now();
        let state = self.state.borrow_and_update().clone();
        let before = self.before.as_ref().map(|(state, snapshot)| (state, &**snapshot));
        let snapshot = Arc::new(assemble(&state, &self.role, before));
        let generation = state.generation;
        let services = state.services.values().map(|has| has.value.clone());
        self.names.send_replace(Arc::new(Names::new(&self.zone, state.index.clone(), services)));
        self.before = Some((state, snapshot.clone()));
        if self.put_in_force(snapshot).await {
            self.link.put_in_force(generation);
        }
        let took = time::now() - started;
        tracing::info!(%generation, ?took, "configuration in force");
    }

    /// Puts a plan in force with what its files hold; whether all of it is.
    async fn put_in_force(&mut self, snapshot: Arc<Snapshot>) -> bool {
        let snapshot = self.files.fill(snapshot);
        let errors = self.engine.put_in_force(snapshot.clone()).await;
        for error in &errors {
            tracing::error!("{error:#}");
        }
        self.config.send_replace(Some(AdminConfig {
            snapshot,
            report: Arc::new(Report::default()),
            addresses: self.engine.addresses(),
        }));
        errors.is_empty()
    }

    /// Puts the same state in force with what the files hold now.
    async fn reread(&mut self) {
        let Some((_, snapshot)) = &self.before else { return };
        self.put_in_force(snapshot.clone()).await;
        tracing::info!("files in force");
    }

    /// Says which services are in use, so that they are not forgotten.
    fn tell_used(&self) {
        let used: HashMap<ServiceName, Duration> = self.engine.used();
        for (service, unused) in used {
            if unused < USED_INTERVAL {
                self.want(service);
            }
        }
    }

    /// A service is used. Who asks for more than can be asked for at one time asks again.
    fn want(&self, service: ServiceName) {
        if !self.link.demand().want(service) {
            tracing::warn!("too many services are asked for at one time");
        }
    }

    /// Listens, and serves what can be served without a state.
    async fn begin(&mut self, process: Process<'_>) -> anyhow::Result<Opening> {
        let Process { args, readiness, .. } = process;
        let block = readiness.block("listeners");
        let answers_names = args.explicit.is_none() && !args.dns.is_empty();
        let names = answers_names.then(|| self.dns_sockets(&args.dns)).transpose()?;
        let mut admin = self.listen_admin(args).await?;
        if !self.engine.inherited().has_predecessor() {
            self.serve_admin(std::mem::take(&mut admin), process)?;
        }
        Ok(Opening { names, admin, block })
    }

    /// Serves the rest.
    fn open(
        &mut self,
        opening: Opening,
        process: Process<'_>,
        wanted: &mpsc::Sender<ServiceName>,
    ) -> anyhow::Result<()> {
        let Opening { names, admin, block } = opening;
        if let Some(sockets) = names {
            self.dns = Some(self.serve_names(sockets, process, wanted.clone())?);
        }
        self.serve_admin(admin, process)?;
        block.clear();
        Ok(())
    }

    /// Answers questions for names, where applications ask this proxy.
    fn serve_names(
        &self,
        sockets: Sockets,
        process: Process<'_>,
        wanted: mpsc::Sender<ServiceName>,
    ) -> anyhow::Result<Dns> {
        let Process { args, registry, .. } = process;
        let udp = sockets.udp.iter().filter_map(|socket| takeover::duplicate(DNS_UDP, socket));
        let tcp = sockets.tcp.iter().filter_map(|socket| takeover::duplicate(DNS_TCP, socket));
        let kept = udp.chain(tcp).collect();
        let upstreams = match args.dns_upstream.is_empty() {
            true => Upstreams::file("/etc/resolv.conf"),
            false => Upstreams::fixed(args.dns_upstream.iter().copied()),
        };
        let metrics = Arc::new(DnsMetrics::default());
        registry.register(metrics.clone());
        let settings = weft_dns::Settings {
            names: self.names.subscribe(),
            upstreams,
            wanted,
            limits: weft_dns::Limits::DEFAULT,
            metrics,
        };
        Ok(Dns { server: Server::start(sockets, settings)?, kept })
    }

    fn dns_sockets(&mut self, addrs: &[SocketAddr]) -> anyhow::Result<Sockets> {
        let inherited = self.engine.inherited();
        let udp = inherited.udp(DNS_UDP);
        if udp.is_empty() {
            return Sockets::bind(addrs).context("names cannot be served (see --dns)");
        }
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok(Sockets { udp, tcp: inherited.tcp(DNS_TCP, any) })
    }

    async fn listen_admin(&mut self, args: &ProxyArgs) -> anyhow::Result<Vec<Listening>> {
        let mut all = Vec::new();
        for (name, addr) in
            [("admin", args.process.admin), ("ready", args.ready), ("metrics", args.metrics)]
        {
            let AddressOrOff::Address(addr) = addr else { continue };
            let listening = admin::listen(name, addr, self.engine.inherited()).await;
            all.push(listening.with_context(|| format!("cannot listen on {addr} (see --{name})"))?);
        }
        Ok(all)
    }

    /// The admin endpoint on loopback, and beside it what others may see: metrics and readiness.
    fn serve_admin(&mut self, all: Vec<Listening>, process: Process<'_>) -> anyhow::Result<()> {
        let state = self.admin_state(process)?;
        for listening in all {
            let state = state.clone();
            self.served.push(match listening.name() {
                "admin" => listening.serve(|socket| admin::serve(socket, state)),
                _ => listening.serve(|socket| admin::serve_probes(socket, state)),
            });
        }
        Ok(())
    }

    /// The same in the proxy's folder, if it has one, where commands find it that its network keeps
    /// out; in place of an older process, once there is something to tell.
    fn serve_on_socket(&mut self, process: Process<'_>) -> anyhow::Result<()> {
        let Some(folder) = &process.args.link.state else { return Ok(()) };
        let state = self.admin_state(process)?;
        self.on_socket = admin::serve_in(folder, state);
        Ok(())
    }

    fn admin_state(&self, process: Process<'_>) -> anyhow::Result<AdminState> {
        let Process { args, registry, readiness } = process;
        let standpoint = Standpoint::Workload {
            namespace: link::namespace(&args.workload)?.into(),
            domain: args.link.domain.as_str().into(),
        };
        Ok(AdminState {
            registry: registry.clone(),
            readiness: readiness.clone(),
            config: self.config.subscribe(),
            inspect: self.engine.inspect(standpoint).which_asks(self.demand.clone()),
        })
    }

    /// A newer process serves; its answers are the ones that count.
    fn step_down(&mut self) {
        tracing::info!("a newer process serves; draining");
        self.link.succeeded();
        self.served.clear();
        if let Some(on_socket) = self.on_socket.take() {
            on_socket.abort();
        }
        if let Some(dns) = &mut self.dns {
            dns.server.close();
        }
    }

    /// What a newer process is to listen on.
    fn sockets(&self) -> Vec<Named> {
        let served = self.served.iter().filter_map(admin::Serving::duplicate);
        let dns = self.dns.iter().flat_map(|dns| &dns.kept);
        let dns = dns.filter_map(|(name, socket)| takeover::duplicate(name, socket));
        self.engine.sockets().into_iter().chain(served).chain(dns).collect()
    }
}

/// Waits until nothing keeps this process from being ready.
async fn until_ready(readiness: &Readiness) {
    while !readiness.is_ready() {
        time::sleep(READY_INTERVAL).await;
    }
}

/// Waits for a newer process that asks for the sockets.
async fn asked(takeover: Option<&Takeover>) -> UnixStream {
    match takeover {
        Some(takeover) => takeover.asked().await,
        None => std::future::pending().await,
    }
}

/// Waits until a newer process is ready.
async fn succeeded(takeover: Option<&Takeover>) {
    match takeover {
        Some(takeover) => takeover.succeeded().await,
        None => std::future::pending().await,
    }
}

/// The addresses of the mesh's hosts, as far as they are known.
fn resolve(state: watch::Receiver<State>, namespace: &str, domain: &str) -> Resolve {
    let (namespace, domain) = (namespace.to_owned(), domain.to_owned());
    Resolve::new(move |host| {
        let state = state.borrow();
        let service = state.index.resolve(host, &namespace, &domain)?.service;
        service.addrs().chain(service.endpoint_addrs()).next()
    })
}

fn link_settings(args: &ProxyArgs) -> anyhow::Result<weft_link::Settings> {
    link::settings(&args.workload, &args.service_account, &args.control, &args.link)
}
