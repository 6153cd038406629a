//! What belongs to one worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use weft_http::buffers::Buffers;
use weft_model::Generation;
use weft_model::id::{ListenerId, RouteId};
use weft_net::BufferPool;
use weft_policy::basic::cache::CredentialCache;
use weft_resilience::rng::Rng;
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::metrics::Registry;
use weft_runtime::{Deadlines, task, time};
use weft_tls::MeshTlsCell;
use weft_upstream::metrics::UpstreamMetrics;
use weft_upstream::resolve::Hosts;
use weft_upstream::shared::Shared;
use weft_upstream::{Backends, Environment};

use crate::access_log::{AccessLog, Writer};
use crate::date::Date;
use crate::exchange::Exchange;
use crate::interception::{Interception, Learning, OriginalDestination, Resolve};
use crate::learned::Lessons;
use crate::live::Live;
use crate::metrics::WorkerMetrics;
use crate::plan::{Plan, SharedPlan};
use crate::runtime::TargetRuntime;
use crate::sample::Sampler;
use crate::serve_h1::Slots;
use crate::spool::SpoolArea;
use crate::{accept, metrics};

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Put a plan in force and answer when it is.
    Apply(Arc<SharedPlan>, oneshot::Sender<Generation>),
    /// Accept on a socket for a listener. Replaces nothing: each listener gets its own sockets.
    Listen(ListenerId, std::net::TcpListener),
    /// Accept no more for a listener; its open connections drain.
    Unlisten(ListenerId),
}

/// What a worker is started with.
#[derive(Debug)]
pub struct Start {
    /// Position among the workers.
    pub index: usize,
    /// Seeds chance.
    pub seed: u64,
    /// Keys what is remembered of passwords; from the system's entropy.
    pub secret: [u8; 32],
    /// What upstreams are told in `X-Forwarded-Server`; nothing when empty.
    pub server_name: Arc<str>,
    /// Where commands come from.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// Tells when to end.
    pub drain: Watch,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Live state of policies, for all workers.
    pub live: Live,
    /// Live state of endpoints, for all workers.
    pub shared: Shared,
    /// Who this process is in the mesh; empty outside of one, and until it is known.
    pub mesh: MeshTlsCell,
    /// What is done for it where connections are captured.
    pub interception: Interception,
    /// Where bodies go that are held and too large for memory.
    pub spool: SpoolArea,
    /// The access log, if there is one.
    pub access_log: Option<AccessLog>,
}

/// One worker. Every connection and request of it holds an `Rc` of this.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) buffers: Buffers,
    pub(crate) deadlines: Deadlines,
    pub(crate) backends: Backends,
    pub(crate) rng: Rng,
    pub(crate) live: Live,
    pub(crate) spool: Rc<SpoolArea>,
    pub(crate) server_name: Arc<str>,
    pub(crate) date: Date,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) log: Option<Writer>,
    #[expect(clippy::vec_box, reason = "they move between requests by pointer")]
    pub(crate) exchanges: RefCell<Vec<Box<Exchange>>>,
    pub(crate) slots: Slots,
    pub(crate) credentials: RefCell<CredentialCache>,
    /// Targets of TCP routes under the present plan, kept because their pickers take turns.
    pub(crate) tcp_targets: RefCell<HashMap<RouteId, TargetRuntime>>,
    pub(crate) mesh: MeshTlsCell,
    pub(crate) original: OriginalDestination,
    pub(crate) resolve: Resolve,
    /// Knows all other hosts that applications call by us as a forward proxy.
    pub(crate) hosts: Hosts,
    pub(crate) learning: Learning,
    pub(crate) lessons: Lessons,
    pub(crate) sampler: Sampler,
    /// Answers of mirrors that are being compared.
    pub(crate) comparing: Rc<Cell<u32>>,
    plan: RefCell<Rc<Plan>>,
    /// Counts the plans that closed or opened a destination.
    policies: Cell<u64>,
    phase: Cell<Phase>,
}

/// Exchanges kept for reuse: as many as requests are usually under way on a worker.
const EXCHANGES_KEPT_MAX: usize = 512;

/// One whose heads were larger is dropped, so that some huge heads do not stay in memory.
const EXCHANGE_KEPT_BYTES_MAX: usize = 16 << 10;

/// How often idle upstream connections are looked over, and the date is read.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a worker until it has drained.
pub async fn run(start: Start) {
    let Start {
        index,
        seed,
        secret,
        server_name,
        commands,
        drain,
        registry,
        live,
        shared,
        mesh,
        interception,
        spool,
        access_log,
    } = start;
    let buffers = Buffers::new(BufferPool::default());
    let upstream_metrics = Arc::new(UpstreamMetrics::default());
    let metrics = Arc::new(WorkerMetrics::default());
    registry.register(upstream_metrics.clone());
    registry.register(metrics.clone());
    let environment = Environment {
        buffers: buffers.clone(),
        shared,
        metrics: upstream_metrics,
        mesh: mesh.clone(),
    };
    let Interception { demand, original, resolve } = interception;
    let worker = Rc::new(Worker {
        buffers,
        deadlines: Deadlines::new(),
        backends: Backends::new(environment),
        rng: Rng::new(seed ^ index as u64),
        comparing: Rc::default(),
        sampler: live.samples().sampler(time::now()),
        live,
        spool: Rc::new(spool),
        server_name,
        date: Date::now(),
        metrics,
        log: access_log.map(Writer::new),
        exchanges: RefCell::default(),
        slots: Slots::default(),
        credentials: RefCell::new(CredentialCache::new(secret, CredentialCache::ENTRIES_DEFAULT)),
        tcp_targets: RefCell::default(),
        mesh,
        original,
        resolve,
        hosts: Hosts::default(),
        learning: Learning::new(demand),
        lessons: Lessons::default(),
        plan: RefCell::new(Rc::new(Plan::new(Arc::default()))),
        policies: Cell::default(),
        phase: Cell::new(Phase::Serving),
    });
    task::spawn("deadlines", worker.deadlines.clone().run());
    let housekeeping = task::spawn("housekeeping", housekeep(Rc::downgrade(&worker)));
    obey(worker, commands, drain).await;
    housekeeping.abort();
}

async fn housekeep(worker: std::rc::Weak<Worker>) {
    loop {
        time::sleep(HOUSEKEEPING_INTERVAL).await;
        let Some(worker) = worker.upgrade() else { return };
        worker.date.refresh();
        worker.backends.sweep(time::now());
        if let Some(log) = &worker.log {
            log.flush();
        }
    }
}

/// Carries out commands until the drain begins, then waits for what runs.
async fn obey(
    worker: Rc<Worker>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    mut drain: Watch,
) {
    let mut acceptors = accept::Acceptors::default();
    loop {
        tokio::select! {
            biased;
            phase = drain.reached(Phase::Draining) => {
                worker.set_phase(phase);
                break;
            }
            command = commands.recv() => match command {
                Some(Command::Apply(plan, done)) => {
                    let generation = worker.apply(plan);
                    // The control thread may have given up waiting.
                    let _ = done.send(generation);
                }
                Some(Command::Listen(id, socket)) => acceptors.listen(&worker, id, socket),
                Some(Command::Unlisten(id)) => {
                    acceptors.unlisten(&id);
                    // So that its idle connections notice.
                    worker.deadlines.wake_all();
                }
                None => break,
            }
        }
    }
    acceptors.stop();
    // Connections hold clones of the drain's watch through the worker; when the last is gone, so
    // is the worker.
    let forced = async {
        drain.reached(Phase::Forced).await;
        worker.set_phase(Phase::Forced);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = forced => {}
        () = worker.until_idle() => {}
    }
}

// === impl Worker ===

impl Worker {
    /// The plan in force. A request asks once.
    pub(crate) fn plan(&self) -> Rc<Plan> {
        self.plan.borrow().clone()
    }

    /// Where the process is on its way out.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.phase.get() != Phase::Serving
    }

    /// An exchange, new or used before.
    pub(crate) fn take_exchange(&self) -> Box<Exchange> {
        self.exchanges.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives an exchange back; what it held is let go.
    pub(crate) fn give_exchange(&self, mut exchange: Box<Exchange>) {
        if exchange.head_bytes() > EXCHANGE_KEPT_BYTES_MAX {
            return;
        }
        exchange.clear();
        let mut kept = self.exchanges.borrow_mut();
        if kept.len() < EXCHANGES_KEPT_MAX {
            kept.push(exchange);
        }
    }

    /// Lets the other requests of this turn of the loop be decoded before this one is written, so
    /// that they go upstream in one burst: a receiver that is busy with the first of them need not be
    /// woken for the others, and to wake it is the dearest part of a write. A client that is alone
    /// does not wait. Streams of HTTP/2 come in bursts by themselves.
    pub(crate) async fn gather(&self) {
        if self.metrics.connections_open() > 1 {
            tokio::task::yield_now().await;
        }
    }

    fn apply(&self, shared: Arc<SharedPlan>) -> Generation {
        let generation = shared.generation;
        self.backends.reconcile(shared.upstreams.clone(), time::now());
        self.tcp_targets.borrow_mut().clear();
        let closes = self.plan().shared.closes_as(&shared);
        self.plan.replace(Rc::new(Plan::new(shared)));
        self.learning.applied();
        if !closes {
            self.policies.set(self.policies.get() + 1);
            // So that whoever is on a connection that is refused now notices.
            self.deadlines.wake_all();
        }
        generation
    }

    /// A number that is another when a plan has closed a destination, or opened one.
    pub(crate) fn policies(&self) -> u64 {
        self.policies.get()
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.deadlines.wake_all();
    }

    /// Waits until no connection is open.
    async fn until_idle(&self) {
        while self.metrics.connections_open() > 0 {
            time::sleep(Duration::from_millis(5)).await;
        }
        if let Some(log) = &self.log {
            log.flush();
        }
    }

    pub(crate) fn now(&self) -> Instant {
        time::now()
    }
}

/// Names of the metric families of this crate, for documentation.
pub use metrics::FAMILIES;
