//! `weftway gateway`: the wiring of a gateway, by itself or as a part of a mesh.
//!
//! The process's first thread is the control thread: it reads documents, compiles, publishes plans
//! and serves the admin endpoint. Traffic is the workers' alone.

mod member;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use weft_compile::World;
use weft_explain::Standpoint;
use weft_model::Snapshot;
use weft_model::identity::TrustDomain;
use weft_model::mesh::Index;
use weft_runtime::drain::{self, Drained, Watch};
use weft_runtime::metrics::Registry;
use weft_runtime::ready::{Blocker, Readiness};
use weft_runtime::signal::Termination;
use weft_runtime::task::Task;
use weft_runtime::{log, time, worker};

use crate::admin::{self, AdminConfig, AdminState};
use crate::args::{AddressOrOff, GatewayArgs, LinkArgs};
use crate::engine::{Engine, Surroundings};
use crate::source::Source;
use crate::takeover::{Inherited, Named, Takeover};

use member::Member;

/// A running gateway, as the control thread sees it.
pub(crate) struct Gateway {
    source: Source,
    engine: Engine,
    /// The mesh that it is part of.
    member: Option<Member>,
    world: Option<World>,
    /// What is in force.
    snapshot: Option<Arc<Snapshot>>,
    readiness: Readiness,
    loading: Option<Blocker>,
    config: watch::Sender<Option<AdminConfig>>,
    registry: Registry,
    admin: Option<admin::Serving>,
    /// The same in the folder of a member of a mesh.
    on_socket: Option<Task<()>>,
}

/// Runs until a signal has drained it.
pub(crate) fn run(args: &GatewayArgs) -> anyhow::Result<ExitCode> {
    let format = if args.process.log_json { log::Format::Json } else { log::Format::Text };
    log::init(&args.process.log, format);
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
    let path = args.process.takeover.as_deref();
    let inherited = Inherited::ask(path).await?;
    let mut gateway = Gateway::start(args, inherited, watch)?;
    for remark in gateway.source.remarks() {
        tracing::warn!("{}", gateway.source.render(&remark));
    }
    if let Some(member) = &mut gateway.member {
        member.begin().await;
    }
    gateway.reload().await;
    let admin = gateway.serve_admin(args).await?;
    if let Some(path) = &args.process.address_file {
        write_addresses(path, &gateway.engine.addresses(), admin)?;
    }
    gateway.engine.inherited().say_ready().await;
    let takeover = Takeover::new(path, gateway.engine.inherited())?;
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                break;
            }
            newer = takeover.asked() => takeover.pass(newer, gateway.sockets()),
            () = takeover.succeeded() => {
                tracing::info!("a newer process serves; draining");
                // Its answers are the ones that count.
                gateway.step_down();
                break;
            }
            changed = gateway.source.changed() => match changed {
                Ok(()) => gateway.reload().await,
                Err(error) => tracing::error!("{error:#}; what was in force stays"),
            },
            () = gateway.engine.names_changed() => gateway.engine.refresh().await,
            () = mesh_changed(gateway.member.as_mut(), gateway.world.as_ref()) => {
                gateway.follow().await;
            }
        }
    }
    let draining = gateway.readiness.block("draining");
    gateway.engine.keep_no_longer();
    let force = async {
        let name = termination.next().await;
        tracing::warn!(signal = name, "a second signal");
    };
    let drained = drain.run(args.process.drain_timeout, force).await;
    gateway.engine.join();
    if let Some(member) = gateway.member {
        member.leave().await;
    }
    drop(draining);
    Ok(drained)
}

// === impl Gateway ===

impl Gateway {
    fn start(args: &GatewayArgs, inherited: Inherited, drain: Watch) -> anyhow::Result<Self> {
        let LinkArgs { domain, trust_domain, .. } = &args.member.link;
        let trust_domain = TrustDomain::new(trust_domain).context("--trust-domain")?;
        let registry = Registry::new();
        let readiness = Readiness::new();
        let loading = Some(readiness.block("first configuration"));
        let workers = args.process.workers.map_or_else(worker::cores, usize::from);
        let member = Member::start(&args.member, &readiness)?;
        let surroundings = match &member {
            Some(member) => Surroundings { tls: member.link().tls(), ..Surroundings::default() },
            None => Surroundings::default(),
        };
        Ok(Self {
            engine: Engine::start(
                &args.process,
                workers,
                &registry,
                surroundings,
                inherited,
                drain,
            )?,
            member,
            admin: None,
            on_socket: None,
            source: Source::new(&args.documents, &args.limits)?.in_mesh(domain, trust_domain),
            world: None,
            snapshot: None,
            readiness,
            loading,
            config: watch::channel(None).0,
            registry,
        })
    }

    /// Takes up what is news of the mesh: services, or only where they run.
    async fn follow(&mut self) {
        let is_new = self.member.as_mut().is_some_and(|member| member.index().1);
        if is_new { self.reload().await } else { self.publish().await }
    }

    /// Reads what changed, compiles it, and puts it in force.
    async fn reload(&mut self) {
        let started = time::now();
        for problem in self.source.unreadable() {
            tracing::error!("{problem}");
        }
        let (set, options) = (self.source.set(), self.source.options());
        let alone = Index::default();
        let index = self.member.as_mut().map_or(&alone, |member| member.index().0);
        let world = weft_compile::compile_in_mesh(set, options, index, self.world.as_ref());
        let problems = match &self.world {
            Some(before) => world.report.news(&before.report),
            None => world.report.problems(),
        };
        for problem in &problems {
            tracing::warn!("{}", self.source.render(problem));
        }
        let (parsed, compiled) = (set.parsed(), world.compiled());
        self.world = Some(world);
        self.publish().await;
        let took = time::now() - started;
        let generation = self.snapshot.as_ref().map(|snapshot| snapshot.generation);
        let generation = generation.unwrap_or_default();
        tracing::info!(%generation, parsed, compiled, ?took, "configuration in force");
    }

    /// Puts in force what was compiled last, with the places where services of the mesh run now.
    async fn publish(&mut self) {
        let Some(world) = &self.world else { return };
        let snapshot = match &mut self.member {
            Some(member) => member.settle(&world.snapshot, self.snapshot.as_deref()).await,
            None => world.snapshot.clone(),
        };
        let errors = self.engine.put_in_force(snapshot.clone()).await;
        for error in &errors {
            tracing::error!("{error:#}");
        }
        self.config.send_replace(Some(AdminConfig {
            snapshot: snapshot.clone(),
            report: world.report.clone(),
            addresses: self.engine.addresses(),
        }));
        self.snapshot = Some(snapshot);
        if !errors.is_empty() {
            return;
        }
        if let Some(member) = &self.member {
            member.put_in_force();
        }
        if let Some(loading) = self.loading.take() {
            loading.clear();
        }
    }

    async fn serve_admin(&mut self, args: &GatewayArgs) -> anyhow::Result<Option<SocketAddr>> {
        let state = AdminState {
            registry: self.registry.clone(),
            readiness: self.readiness.clone(),
            config: self.config.subscribe(),
            inspect: self.engine.inspect(Standpoint::Gateway),
        };
        if let (Some(_), Some(folder)) = (&self.member, &args.member.link.state) {
            self.on_socket = admin::serve_in(folder, state.clone());
        }
        let AddressOrOff::Address(addr) = args.process.admin else { return Ok(None) };
        let inherited = self.engine.inherited();
        let listener = admin::listen("admin", addr, inherited)
            .await
            .with_context(|| format!("the admin endpoint cannot listen on {addr} (see --admin)"))?;
        let addr = listener.addr();
        self.admin = Some(listener.serve(|socket| admin::serve(socket, state)));
        tracing::info!(%addr, "admin endpoint");
        Ok(Some(addr))
    }

    /// A newer process serves.
    fn step_down(&mut self) {
        self.admin = None;
        if let Some(on_socket) = self.on_socket.take() {
            on_socket.abort();
        }
    }

    /// What a newer process is to listen on.
    fn sockets(&self) -> Vec<Named> {
        let admin = self.admin.as_ref().and_then(admin::Serving::duplicate);
        self.engine.sockets().into_iter().chain(admin).collect()
    }
}

/// Waits for news of the mesh, if there is one.
async fn mesh_changed(member: Option<&mut Member>, world: Option<&World>) {
    match member {
        Some(member) => member.changed(world.map(|world| &*world.snapshot)).await,
        None => std::future::pending().await,
    }
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
