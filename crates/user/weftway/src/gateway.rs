//! `weftway gateway`: the wiring of a standalone gateway.
//!
//! The process's first thread is the control thread: it reads documents, compiles, publishes plans
//! and serves the admin endpoint. Traffic is the workers' alone.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use weft_compile::World;
use weft_proxy::access_log::{self, AccessLog};
use weft_proxy::live::Live;
use weft_proxy::plan::SharedPlan;
use weft_proxy::spool::SpoolArea;
use weft_runtime::drain::{self, Drained, Watch};
use weft_runtime::metrics::{Collect, Gauge, Registry, Sink};
use weft_runtime::ready::{Blocker, Readiness};
use weft_runtime::signal::Termination;
use weft_runtime::{log, task, time, worker};
use weft_upstream::Prepared;
use weft_upstream::health::Prober;
use weft_upstream::resolve::{Resolved, Resolver};
use weft_upstream::shared::Shared;

use crate::admin::{self, AdminConfig, AdminState};
use crate::args::{AccessLogFormat, AddressOrOff, GatewayArgs};
use crate::fleet::{self, Fleet, Parts};
use crate::source::Source;

/// A running gateway, as the control thread sees it.
pub(crate) struct Gateway {
    source: Source,
    fleet: Fleet,
    world: Option<World>,
    plan: Option<SharedPlan>,
    readiness: Readiness,
    loading: Option<Blocker>,
    config: watch::Sender<Option<AdminConfig>>,
    backends: watch::Sender<Arc<Prepared>>,
    resolved: watch::Receiver<Resolved>,
    live: Live,
    registry: Registry,
    in_force: Arc<InForce>,
}

/// The generation that every worker serves.
#[derive(Debug, Default)]
struct InForce(Gauge);

/// Runs until a signal has drained it.
pub(crate) fn run(args: &GatewayArgs) -> anyhow::Result<ExitCode> {
    let format = if args.log_json { log::Format::Json } else { log::Format::Text };
    log::init(&args.log, format);
    let drained = worker::block_on(serve(args)).context("the runtime cannot be started")??;
    if drained == Drained::Forced {
        tracing::warn!("what still ran at the end of the drain was cut off");
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &GatewayArgs) -> anyhow::Result<Drained> {
    // What goes away later stays as it was read. What never was there is a slip of the pen, and
    // nothing would be served.
    for path in &args.documents.files {
        std::fs::metadata(path)
            .with_context(|| format!("{} cannot be read (see --file)", path.display()))?;
    }
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let (drain, watch) = drain::drain();
    let mut gateway = Gateway::start(args, watch)?;
    gateway.reload().await;
    let admin = gateway.serve_admin(args).await?;
    if let Some(path) = &args.address_file {
        write_addresses(path, &gateway.fleet.addresses(), admin)?;
    }
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                break;
            }
            changed = gateway.source.changed() => match changed {
                Ok(()) => gateway.reload().await,
                Err(error) => tracing::error!("{error:#}; what was in force stays"),
            },
            Ok(()) = gateway.resolved.changed() => gateway.publish().await,
        }
    }
    let draining = gateway.readiness.block("draining");
    let force = async {
        let name = termination.next().await;
        tracing::warn!(signal = name, "a second signal");
    };
    let drained = drain.run(args.drain_timeout, force).await;
    gateway.fleet.join();
    drop(draining);
    Ok(drained)
}

// === impl Gateway ===

impl Gateway {
    fn start(args: &GatewayArgs, drain: Watch) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let readiness = Readiness::new();
        let loading = Some(readiness.block("first configuration"));
        let epoch = time::now();
        let secret = [fleet::random()?, fleet::random()?];
        let live = Live::new(epoch, secret.map(u64::from_le_bytes));
        let shared = Shared::new(epoch);
        let parts = Parts {
            registry: registry.clone(),
            live: live.clone(),
            shared: shared.clone(),
            spool: spool(args, &registry),
            access_log: start_access_log(args.access_log, &registry),
            drain,
        };
        let in_force = Arc::new(InForce::default());
        registry.register(in_force.clone());
        let count = args.workers.map_or_else(worker::cores, usize::from);
        let fleet = Fleet::start(count, &parts)?;
        let (backends, watched) = watch::channel(Arc::default());
        task::spawn("health", Prober::new(shared, &registry).run(watched.clone()));
        let (resolver, resolved) = Resolver::start(watched);
        task::spawn("resolver", resolver.run());
        Ok(Self {
            source: Source::new(&args.documents, &args.limits)?,
            fleet,
            world: None,
            plan: None,
            readiness,
            loading,
            config: watch::channel(None).0,
            backends,
            resolved,
            live,
            in_force,
            registry,
        })
    }

    /// Reads what changed, compiles it, and puts it in force.
    async fn reload(&mut self) {
        let started = time::now();
        for problem in self.source.unreadable() {
            tracing::error!("{problem}");
        }
        let (set, options) = (self.source.set(), self.source.options());
        let world = weft_compile::compile(set, options, self.world.as_ref());
        let problems = match &self.world {
            Some(before) => world.report.news(&before.report),
            None => world.report.problems(),
        };
        for problem in &problems {
            tracing::warn!("{}", self.source.render(problem));
        }
        let (plan, problems) = SharedPlan::build(&world.snapshot, self.plan.as_ref());
        for problem in problems {
            tracing::error!(subject = problem.subject, "{}", problem.message);
        }
        let generation = plan.generation;
        let (parsed, compiled) = (set.parsed(), world.compiled());
        self.world = Some(world);
        self.plan = Some(plan);
        self.publish().await;
        let took = time::now() - started;
        tracing::info!(%generation, parsed, compiled, ?took, "configuration in force");
    }

    /// Puts the present plan in force, with the addresses that names resolve to at present.
    async fn publish(&mut self) {
        let (Some(plan), Some(world)) = (&self.plan, &self.world) else { return };
        let plan = Arc::new(plan.with_resolved(&self.resolved.borrow_and_update()));
        let errors = self.fleet.apply(&plan).await;
        self.in_force.0.set(plan.generation.0);
        for error in &errors {
            tracing::error!("{error:#}");
        }
        self.backends.send_replace(plan.upstreams.clone());
        let in_use: HashSet<_> = world.snapshot.policies().collect();
        self.live.retain(|id| in_use.contains(id) || id.as_str().starts_with("in-flight@"));
        self.config.send_replace(Some(AdminConfig {
            snapshot: world.snapshot.clone(),
            report: world.report.clone(),
            addresses: self.fleet.addresses(),
        }));
        if errors.is_empty()
            && let Some(loading) = self.loading.take()
        {
            loading.clear();
        }
    }

    async fn serve_admin(&self, args: &GatewayArgs) -> anyhow::Result<Option<SocketAddr>> {
        let AddressOrOff::Address(addr) = args.admin else { return Ok(None) };
        let listener = tokio::net::TcpListener::bind(addr)
            .await
            .with_context(|| format!("the admin endpoint cannot listen on {addr} (see --admin)"))?;
        let addr = listener.local_addr()?;
        let state = AdminState {
            registry: self.registry.clone(),
            readiness: self.readiness.clone(),
            config: self.config.subscribe(),
        };
        task::spawn("admin", admin::serve(listener, state));
        tracing::info!(%addr, "admin endpoint");
        Ok(Some(addr))
    }
}

impl Collect for InForce {
    fn collect(&self, sink: &mut Sink) {
        sink.gauge(
            "weftway_config_generation",
            "Generation of the configuration that every worker serves.",
            &[],
            self.0.value() as f64,
        );
    }
}

/// Where bodies go that are held and too large for memory.
fn spool(args: &GatewayArgs, registry: &Registry) -> SpoolArea {
    let folder = args.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    let area = SpoolArea::new(folder, args.spool_bytes_max);
    registry.register(area.metrics());
    area
}

fn start_access_log(format: AccessLogFormat, registry: &Registry) -> Option<AccessLog> {
    let format = match format {
        AccessLogFormat::Off => return None,
        AccessLogFormat::Text => access_log::Format::Text,
        AccessLogFormat::Json => access_log::Format::Json,
    };
    let (log, receiver) = AccessLog::new(format, registry);
    worker::spawn_blocking("access-log", move || {
        access_log::write_all(&receiver, std::io::stdout());
    });
    Some(log)
}

/// Written to a neighbouring file first, so that nobody reads half of it.
fn write_addresses(
    path: &Path,
    listeners: &BTreeMap<String, SocketAddr>,
    admin: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let text = serde_json::json!({ "listeners": listeners, "admin": admin }).to_string();
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("the address file {} cannot be written", path.display()))
}
