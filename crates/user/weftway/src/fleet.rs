//! The workers of a process and their sockets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};
use weft_model::Generation;
use weft_model::id::ListenerId;
use weft_net::listen::{self, ListenOptions};
use weft_proxy::access_log::AccessLog;
use weft_proxy::live::Live;
use weft_proxy::plan::SharedPlan;
use weft_proxy::spool::SpoolArea;
use weft_proxy::worker::{self, Command, Start};
use weft_runtime::drain::Watch;
use weft_runtime::metrics::Registry;
use weft_upstream::shared::Shared;

use crate::engine::Surroundings;
use crate::takeover::{self, Inherited, Named};

/// The workers, as the control thread sees them.
pub(crate) struct Fleet {
    workers: Vec<Worker>,
    bound: BTreeMap<ListenerId, Bound>,
    /// Sockets of an older process that were not asked for yet.
    inherited: Inherited,
    /// A newer process may ask for the sockets.
    keeps: bool,
}

struct Worker {
    /// Unbounded, but short: a plan waits for the one before it.
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// Where a listener was asked to be and where it is (they differ for port 0).
struct Bound {
    wanted: SocketAddr,
    addr: SocketAddr,
    /// One more descriptor of each socket, for a newer process.
    kept: Vec<Named>,
}

/// What all workers share.
pub(crate) struct Parts {
    /// What upstreams are told in `X-Forwarded-Server`.
    pub(crate) server_name: Arc<str>,
    pub(crate) registry: Registry,
    pub(crate) live: Live,
    pub(crate) shared: Shared,
    pub(crate) spool: SpoolArea,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) surroundings: Surroundings,
    pub(crate) drain: Watch,
}

// === impl Fleet ===

impl Fleet {
    /// Starts the workers; they serve nothing yet.
    pub(crate) fn start(count: usize, parts: &Parts, inherited: Inherited) -> anyhow::Result<Self> {
        let workers =
            (0..count).map(|index| start_worker(index, parts)).collect::<Result<_, _>>()?;
        let keeps = inherited.keeps();
        Ok(Self { workers, bound: BTreeMap::new(), inherited, keeps })
    }

    /// Puts a plan in force in every worker, and its listeners; gives what could not be bound.
    ///
    /// New listeners accept once every worker has the plan, removed ones stop first, so that no
    /// connection meets a worker without a plan for it.
    pub(crate) async fn apply(&mut self, plan: &Arc<SharedPlan>) -> Vec<anyhow::Error> {
        self.close_removed(plan);
        self.publish(plan).await;
        let mut errors = Vec::new();
        for listener in plan.listeners.iter().filter(|listener| listener.settings.is_bound()) {
            let settings = &listener.settings;
            let wanted = settings.addr;
            if self.bound.get(&settings.id).is_some_and(|bound| bound.wanted == wanted) {
                continue;
            }
            match self.bind(&settings.id, wanted) {
                Ok(bound) => {
                    tracing::info!(listener = %settings.id, addr = %bound.addr, "listening");
                    self.bound.insert(settings.id.clone(), bound);
                }
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// Listeners and the addresses they are bound at.
    pub(crate) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.bound.iter().map(|(id, bound)| (id.to_string(), bound.addr)).collect()
    }

    /// What a newer process is to listen on.
    pub(crate) fn sockets(&self) -> Vec<Named> {
        let kept = self.bound.values().flat_map(|bound| &bound.kept);
        kept.filter_map(|(name, socket)| takeover::duplicate(name, socket)).collect()
    }

    /// What was taken over and is still unused.
    pub(crate) fn inherited(&mut self) -> &mut Inherited {
        &mut self.inherited
    }

    /// Lets go of sockets that only wait to be passed on: while one descriptor of it is open, the
    /// kernel takes connections for a socket, and nobody would accept them.
    pub(crate) fn keep_no_longer(&mut self) {
        self.keeps = false;
        self.bound.values_mut().for_each(|bound| bound.kept.clear());
    }

    /// Waits for the workers' threads, which end once they have drained.
    pub(crate) fn join(self) {
        for worker in self.workers {
            drop(worker.commands);
            if worker.thread.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }

    /// Sends the plan to all workers and waits until it is in force in each.
    async fn publish(&self, plan: &Arc<SharedPlan>) {
        let mut answers: Vec<oneshot::Receiver<Generation>> = Vec::new();
        for worker in &self.workers {
            let (done, answer) = oneshot::channel();
            // A worker that is gone has panicked; its end is seen when it is joined.
            if worker.commands.send(Command::Apply(plan.clone(), done)).is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            let _ = answer.await;
        }
    }

    fn close_removed(&mut self, plan: &SharedPlan) {
        let kept = |id: &ListenerId, bound: &Bound| {
            plan.listeners.iter().any(|listener| {
                listener.settings.id == *id && listener.settings.addr == bound.wanted
            })
        };
        let workers = &self.workers;
        self.bound.retain(|id, bound| {
            let keep = kept(id, bound);
            if !keep {
                tracing::info!(listener = %id, addr = %bound.addr, "no longer listening");
                for worker in workers {
                    let _ = worker.commands.send(Command::Unlisten(id.clone()));
                }
            }
            keep
        });
    }

    /// One socket a worker on the same address; the kernel spreads connections over them. Sockets of
    /// an older process are all accepted from, whatever their number: closing one would reset the
    /// connections in its queue.
    fn bind(&mut self, id: &ListenerId, wanted: SocketAddr) -> anyhow::Result<Bound> {
        let mut sockets: Vec<TcpListener> = self.inherited.tcp(id.as_str(), wanted);
        let mut addr = wanted;
        if let Some(first) = sockets.first() {
            addr = first.local_addr().context("a bound socket has an address")?;
        }
        while sockets.len() < self.workers.len() {
            let socket = listen::bind(addr, &ListenOptions::DEFAULT)
                .with_context(|| format!("listener {id} cannot be served"))?;
            addr = socket.local_addr().context("a bound socket has an address")?;
            sockets.push(socket);
        }
        let keep = |socket: &TcpListener| takeover::duplicate(id.as_str(), socket);
        let kept = if self.keeps { sockets.iter().filter_map(keep).collect() } else { Vec::new() };
        for (worker, socket) in self.workers.iter().cycle().zip(sockets) {
            let _ = worker.commands.send(Command::Listen(id.clone(), socket));
        }
        Ok(Bound { wanted, addr, kept })
    }
}

fn start_worker(index: usize, parts: &Parts) -> anyhow::Result<Worker> {
    let (commands, receiver) = mpsc::unbounded_channel();
    let start = Start {
        index,
        seed: u64::from_le_bytes(random()?),
        secret: random()?,
        server_name: parts.server_name.clone(),
        commands: receiver,
        drain: parts.drain.clone(),
        registry: parts.registry.clone(),
        live: parts.live.clone(),
        shared: parts.shared.clone(),
        mesh: parts.surroundings.tls.clone(),
        interception: parts.surroundings.interception.clone(),
        spool: parts.spool.clone(),
        access_log: parts.access_log.clone(),
    };
    let thread =
        weft_runtime::worker::spawn(&format!("worker-{index}"), move || worker::run(start))
            .context("a worker thread cannot be started")?;
    Ok(Worker { commands, thread })
}

/// Bytes of the system's entropy.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(bytes)
}
