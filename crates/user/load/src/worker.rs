//! One thread of load: its runtime, its connections, its lanes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};

use crate::error::LoadError;
use crate::options::Protocol;
use crate::pace::{OpenLoop, Pacer, Timer};
use crate::tally::{Answer, Failure, FailureKind, Tally};
use crate::target::{Plan, share};
use crate::{h1, h2};

/// What the calling thread may see while the workers run.
pub(crate) struct Live {
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
    start: OnceLock<Instant>,
    /// All workers have opened their connections.
    ready: Barrier,
}

/// Which of the target's addresses worked last.
#[derive(Default)]
pub(crate) struct Addrs {
    pub(crate) last_good: Cell<usize>,
}

/// What the lanes of one worker share.
struct Shared {
    plan: Arc<Plan>,
    live: Arc<Live>,
    addrs: Addrs,
    tally: RefCell<Tally>,
    last_answer: Cell<Option<Instant>>,
}

/// One request at a time.
enum Lane {
    Http1(Box<h1::Client>),
    Http2(Rc<h2::Client>),
}

/// A closed loop against a target that refuses connections must not spin.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// Starts worker `index`; its counts, or why it could not run, arrive at `results`.
pub(crate) fn start(
    index: usize,
    plan: &Arc<Plan>,
    live: &Arc<Live>,
    results: Sender<Result<Tally, LoadError>>,
) -> Result<JoinHandle<()>, LoadError> {
    let (plan, live) = (plan.clone(), live.clone());
    let thread = std::thread::Builder::new().name(format!("load-{index}")).spawn(move || {
        // The receiver only goes away when the caller has given up.
        let _ = results.send(work(index, plan, live));
    })?;
    Ok(thread)
}

// === impl Live ===

impl Live {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            start: OnceLock::new(),
            ready: Barrier::new(threads),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.get().map_or(Duration::ZERO, Instant::elapsed)
    }
}

// === impl Lane ===

impl Lane {
    async fn connect(&mut self, shared: &Shared) -> Result<(), Failure> {
        match self {
            Self::Http1(client) => client.connect(&shared.plan, &shared.addrs).await,
            Self::Http2(client) => client.connect(&shared.plan, &shared.addrs).await,
        }
    }

    async fn request(&mut self, shared: &Shared) -> Result<Answer, Failure> {
        match self {
            Self::Http1(client) => client.request(&shared.plan, &shared.addrs).await,
            Self::Http2(client) => client.request(&shared.plan, &shared.addrs).await,
        }
    }

    /// After a timeout: the HTTP/1.1 connection is in the middle of an answer; an HTTP/2 one has
    /// only lost a stream.
    fn timed_out(&mut self) {
        if let Self::Http1(client) = self {
            client.abandon();
        }
    }
}

fn work(index: usize, plan: Arc<Plan>, live: Arc<Live>) -> Result<Tally, LoadError> {
    // Nobody may wait at the barrier for a worker that failed: fail after it.
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let shared = Rc::new(Shared {
        plan: plan.clone(),
        live: live.clone(),
        addrs: Addrs::default(),
        tally: RefCell::new(Tally::new()),
        last_answer: Cell::new(None),
    });
    let mut lanes = lanes(&plan, index);
    if let Ok(runtime) = &runtime {
        runtime.block_on(connect_all(&mut lanes, &shared));
    }
    live.ready.wait();
    let runtime = runtime?;
    let start = *live.start.get_or_init(Instant::now);
    let pacer = Rc::new(pacer(&plan, index, start));
    runtime.block_on(run_all(lanes, &shared, &pacer))?;
    let mut tally = shared.tally.replace(Tally::new());
    tally.missed = pacer.missed();
    let end = shared.last_answer.get().unwrap_or_else(Instant::now);
    tally.elapsed = end.saturating_duration_since(start);
    Ok(tally)
}

fn lanes(plan: &Plan, index: usize) -> Vec<Lane> {
    let connections = share(plan.connections as u64, plan.threads, index) as usize;
    let mut lanes = Vec::with_capacity(connections * plan.streams);
    for _ in 0..connections {
        match plan.protocol {
            Protocol::Http1 => lanes.push(Lane::Http1(Box::new(h1::Client::new()))),
            Protocol::Http2 => {
                let client = Rc::new(h2::Client::new());
                lanes.extend((0..plan.streams).map(|_| Lane::Http2(client.clone())));
            }
        }
    }
    lanes
}

fn pacer(plan: &Plan, index: usize, start: Instant) -> Pacer {
    let requests = plan.requests.map(|requests| share(requests, plan.threads, index));
    let open = plan.rate_per_sec.map(|rate| OpenLoop {
        // The workers' schedules interleave: together they are the asked-for rate.
        offset: Duration::from_secs_f64(index as f64 / rate),
        interval_nanos: plan.threads as f64 * 1e9 / rate,
    });
    Pacer::new(start, plan.duration, requests, open)
}

/// Opens every connection, so that the first requests measure requests. One that cannot be opened
/// now is tried again by its first request, which then reports why.
async fn connect_all(lanes: &mut [Lane], shared: &Rc<Shared>) {
    if !shared.plan.keep_alive {
        return;
    }
    for lane in lanes {
        let connect = tokio::time::timeout(shared.plan.timeout, lane.connect(shared));
        if !matches!(connect.await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn run_all(
    lanes: Vec<Lane>,
    shared: &Rc<Shared>,
    pacer: &Rc<Pacer>,
) -> Result<(), LoadError> {
    if shared.plan.rate_per_sec.is_some() {
        let (timer, pacer) = (Timer::new()?, pacer.clone());
        // It ends with the runtime, after the last lane.
        tokio::task::spawn_local(async move { pacer.drive(&timer).await });
    }
    let mut tasks = Vec::with_capacity(lanes.len());
    for lane in lanes {
        tasks.push(tokio::task::spawn_local(run_lane(lane, shared.clone(), pacer.clone())));
    }
    for task in tasks {
        task.await.map_err(|_| LoadError::WorkerDied)?;
    }
    Ok(())
}

async fn run_lane(mut lane: Lane, shared: Rc<Shared>, pacer: Rc<Pacer>) {
    while let Some(start) = pacer.next().await {
        let result = match tokio::time::timeout(shared.plan.timeout, lane.request(&shared)).await {
            Ok(result) => result,
            Err(_) => {
                lane.timed_out();
                Err(Failure::new(FailureKind::Timeout, "no complete answer in time"))
            }
        };
        let now = Instant::now();
        shared.last_answer.set(Some(now));
        match result {
            Ok(answer) => {
                shared.live.answered.fetch_add(1, Ordering::Relaxed);
                shared.tally.borrow_mut().answered(answer, start, now);
            }
            Err(failure) => {
                let is_refused = failure.kind == FailureKind::Connect;
                shared.live.failed.fetch_add(1, Ordering::Relaxed);
                shared.tally.borrow_mut().failed(failure);
                if is_refused {
                    tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
                }
            }
        }
    }
}
