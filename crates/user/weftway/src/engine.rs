//! The data plane of a process, as its control thread sees it: workers, what lives longer than a
//! plan, names that are resolved, health that is asked for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_explain::Standpoint;
use weft_model::id::ServiceName;
use weft_model::{Generation, Snapshot};
use weft_proxy::access_log::{self, AccessLog};
use weft_proxy::interception::Interception;
use weft_proxy::live::Live;
use weft_proxy::plan::SharedPlan;
use weft_proxy::spool::SpoolArea;
use weft_runtime::drain::Watch;
use weft_runtime::metrics::{Collect, Gauge, Registry, Sink};
use weft_runtime::{task, time, worker};
use weft_tls::MeshTlsCell;
use weft_upstream::Prepared;
use weft_upstream::health::Prober;
use weft_upstream::resolve::{Resolved, Resolver};
use weft_upstream::shared::Shared;

use crate::args::{AccessLogFormat, ProcessArgs};
use crate::fleet::{self, Fleet, Parts};
use crate::inspect::Inspect;
use crate::takeover::{Inherited, Named};

/// A running data plane.
pub(crate) struct Engine {
    fleet: Fleet,
    snapshot: Option<Arc<Snapshot>>,
    plan: Option<SharedPlan>,
    backends: watch::Sender<Arc<Prepared>>,
    resolved: watch::Receiver<Resolved>,
    live: Live,
    shared: Shared,
    in_force: Arc<InForce>,
}

/// What a process in a mesh has besides; a gateway by itself has the default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Who it is in the mesh.
    pub(crate) tls: MeshTlsCell,
    /// What is done for it where connections are captured.
    pub(crate) interception: Interception,
}

/// The generation that every worker serves.
#[derive(Debug, Default)]
struct InForce(Gauge);

// === impl Engine ===

impl Engine {
    /// Starts the workers; they serve nothing yet.
    pub(crate) fn start(
        args: &ProcessArgs,
        workers: usize,
        registry: &Registry,
        surroundings: Surroundings,
        inherited: Inherited,
        drain: Watch,
    ) -> anyhow::Result<Self> {
        let epoch = time::now();
        let secret = [fleet::random()?, fleet::random()?];
        let live = Live::new(epoch, secret.map(u64::from_le_bytes));
        let shared = Shared::new(epoch);
        registry.register(Arc::new(shared.clone()));
        let mesh = surroundings.tls.clone();
        let parts = Parts {
            server_name: host_name(),
            registry: registry.clone(),
            live: live.clone(),
            shared: shared.clone(),
            spool: spool(args, registry),
            access_log: start_access_log(args.access_log, registry),
            surroundings,
            drain,
        };
        let in_force = Arc::new(InForce::default());
        registry.register(in_force.clone());
        let fleet = Fleet::start(workers, &parts, inherited)?;
        let (backends, watched) = watch::channel(Arc::default());
        task::spawn("health", Prober::new(shared.clone(), mesh, registry).run(watched.clone()));
        let (resolver, resolved) = Resolver::start(watched);
        task::spawn("resolver", resolver.run());
        Ok(Self { fleet, snapshot: None, plan: None, backends, resolved, live, shared, in_force })
    }

    /// Puts a snapshot in force in every worker, and its listeners; gives what could not be bound.
    pub(crate) async fn put_in_force(&mut self, snapshot: Arc<Snapshot>) -> Vec<anyhow::Error> {
        let (plan, problems) = SharedPlan::build(&snapshot, self.plan.as_ref());
        for problem in problems {
            tracing::error!(subject = problem.subject, "{}", problem.message);
        }
        self.plan = Some(plan);
        self.snapshot = Some(snapshot);
        self.publish().await
    }

    /// Waits until a name resolves to other addresses; [`Engine::refresh`] puts them in force.
    ///
    /// Cancel safe.
    pub(crate) async fn names_changed(&mut self) {
        if self.resolved.changed().await.is_err() {
            // The resolver ends with the process only.
            std::future::pending::<()>().await;
        }
    }

    /// What can be asked about requests that are made at `standpoint`.
    pub(crate) fn inspect(&self, standpoint: Standpoint) -> Inspect {
        let (samples, shared) = (self.live.samples().clone(), self.shared.clone());
        Inspect { standpoint, samples, shared, demand: None }
    }

    /// Puts the present snapshot in force with the addresses that names resolve to at present.
    pub(crate) async fn refresh(&mut self) {
        for error in self.publish().await {
            tracing::error!("{error:#}");
        }
    }

    /// Services of the mesh that the plan speaks of, and for how long nobody has used them.
    pub(crate) fn used(&self) -> HashMap<ServiceName, Duration> {
        self.plan.as_ref().map(|plan| plan.used(&self.live, time::now())).unwrap_or_default()
    }

    /// Listeners and the addresses they are bound at.
    pub(crate) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.fleet.addresses()
    }

    /// What a newer process is to listen on.
    pub(crate) fn sockets(&self) -> Vec<Named> {
        self.fleet.sockets()
    }

    /// What was taken over and is still unused.
    pub(crate) fn inherited(&mut self) -> &mut Inherited {
        self.fleet.inherited()
    }

    /// The drain begins: nothing is passed on any more.
    pub(crate) fn keep_no_longer(&mut self) {
        self.fleet.keep_no_longer();
    }

    /// Waits for the workers' threads, which end once they have drained.
    pub(crate) fn join(self) {
        self.fleet.join();
    }

    async fn publish(&mut self) -> Vec<anyhow::Error> {
        let (Some(plan), Some(snapshot)) = (&self.plan, &self.snapshot) else { return Vec::new() };
        let plan = Arc::new(plan.with_resolved(&self.resolved.borrow_and_update()));
        let errors = self.fleet.apply(&plan).await;
        let Generation(generation) = plan.generation;
        self.in_force.0.set(generation);
        self.backends.send_replace(plan.upstreams.clone());
        let in_use: HashSet<_> = snapshot.policies().collect();
        self.live.retain(|id| in_use.contains(id) || id.as_str().starts_with("in-flight@"));
        errors
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

/// What the system calls this machine; nothing if that is no text.
fn host_name() -> Arc<str> {
    let names = rustix::system::uname();
    names.nodename().to_str().unwrap_or_default().into()
}

/// Where bodies go that are held and too large for memory.
fn spool(args: &ProcessArgs, registry: &Registry) -> SpoolArea {
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
