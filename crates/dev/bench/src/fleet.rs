//! Many proxies against one control plane, over TCP with mutual TLS: how long a change takes to
//! reach them all, and what the control plane costs.
//!
//! The control plane is a process of its own, so that its memory is its alone. The proxies are in a
//! second one, which it starts: links, and nothing else of a proxy.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use weft_authority::{Authority, Lifetimes, TrustBundle};
use weft_controlplane::{ByUid, ControlPlane, Keeper, Limits, Listener, Settings};
use weft_distribute::Published;
use weft_link::{ControlPeer, Endpoint};
use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{
    Index, IndexEntry, Location, Mesh, MeshEndpoint, Service, ServiceEndpoints, ServicePort,
    Transport,
};
use weft_runtime::drain::drain;
use weft_runtime::ready::Readiness;
use weft_runtime::{task, time, worker};
use weft_tls::Clock;

use crate::stats::quantile;

/// Services that each proxy has dialled; the one that changes is among them.
const DIALLED: usize = 10;

/// Longest wait for everybody to be there, or to have a change.
const LIMIT: Duration = Duration::from_secs(300);

/// A process of the fleet.
#[derive(clap::Args)]
pub(crate) struct FleetArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// The control plane; prints an [`Outcome`] at the end.
    Control { proxies: usize, services: usize, changes: usize },
    /// The proxies: tokens and roots come in, and what arrives when goes out.
    Proxies { control: String, proxies: usize, services: usize },
}

/// What a run has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// From the start of the first proxy until all had everything in force.
    pub(crate) joined_secs: f64,
    pub(crate) p50_millis: f64,
    pub(crate) p99_millis: f64,
    pub(crate) max_millis: f64,
    /// CPU time of the control plane for each change.
    pub(crate) cpu_millis: f64,
    /// Resident memory of the control plane, the most that was seen, in 10^6 bytes.
    pub(crate) resident_mb: f64,
}

/// Is the process that it is told to be.
pub(crate) fn run(args: &FleetArgs) -> anyhow::Result<()> {
    match &args.role {
        Role::Control { proxies, services, changes } => {
            let outcome = Box::pin(control(*proxies, *services, *changes));
            let outcome = worker::block_on(outcome)??;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(())
        }
        Role::Proxies { control, proxies: count, services } => {
            worker::block_on(proxies(control.clone(), *count, *services))?
        }
    }
}

async fn control(proxies: usize, services: usize, changes: usize) -> anyhow::Result<Outcome> {
    let clock = Clock::wall();
    let authority = Authority::generate(TrustDomain::default(), Lifetimes::default(), clock.now())?;
    let mut parts = Parts::new(services);
    let published = watch::Sender::new(Published::default().next(&parts.mesh(1)));
    let identity = control_identity()?;
    let settings = Settings { identity, limits: Limits::DEFAULT, clock, fleet_path: None };
    let (keeper, attest) = (Keeper::in_memory(authority), Rc::new(ByUid::new([])));
    let plane = ControlPlane::new(published.subscribe(), keeper, attest, settings).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?.to_string();
    let (drain, watch) = drain();
    let running = plane.clone();
    let running =
        task::spawn(
            "plane",
            async move { running.run(vec![Listener::Tcp(listener)], watch).await },
        );

    let start = time::now();
    let (mut child, mut arrivals) = spawn(&plane, &addr, proxies, services).await?;
    gather(&mut arrivals, 1, proxies).await?;
    while plane.status().in_force() != (proxies, proxies) {
        time::sleep(Duration::from_millis(50)).await;
    }
    let joined_secs = (time::now() - start).as_secs_f64();
    let mut resident = resident_mb()?;

    let mut all = Vec::new();
    let cpu = cpu_secs()?;
    for change in 0..changes {
        parts.change(change);
        let generation = change as u64 + 2;
        let changed = nanos();
        published.send_modify(|it| *it = it.next(&parts.mesh(generation)));
        let taken = gather(&mut arrivals, generation, proxies).await?;
        all.extend(taken.iter().map(|at| at.saturating_sub(changed) as f64 / 1e6));
    }
    let cpu = (cpu_secs()? - cpu) / changes as f64;
    resident = resident.max(resident_mb()?);
    child.kill()?;
    child.wait()?;
    drain.run(Duration::from_secs(5), std::future::pending()).await;
    running.await.map_err(|ended| anyhow!("the control plane: {ended:?}"))?;
    Ok(Outcome {
        joined_secs,
        p50_millis: quantile(&all, 0.5),
        p99_millis: quantile(&all, 0.99),
        max_millis: quantile(&all, 1.0),
        cpu_millis: cpu * 1e3,
        resident_mb: resident,
    })
}

/// Starts the process of the proxies, and hears from it.
async fn spawn(
    plane: &ControlPlane,
    addr: &str,
    proxies: usize,
    services: usize,
) -> anyhow::Result<(Child, mpsc::UnboundedReceiver<(u64, u64)>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["fleet", "proxies", addr, &proxies.to_string(), &services.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("the proxies have no input")?;
    for proxy in 0..proxies {
        let token = plane.create_token(identity(proxy)?.into(), LIMIT).await?;
        writeln!(input, "{}", token.as_str())?;
    }
    write!(input, "{}", plane.rotation().bundle().to_pem())?;
    drop(input);
    let output = child.stdout.take().context("the proxies have no output")?;
    let (sender, arrivals) = mpsc::unbounded_channel();
    worker::spawn_blocking("arrivals", move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let arrival = line
                .split_once(' ')
                .and_then(|(generation, at)| Some((generation.parse().ok()?, at.parse().ok()?)));
            if arrival.is_none_or(|arrival| sender.send(arrival).is_err()) {
                break;
            }
        }
    });
    Ok((child, arrivals))
}

/// When each proxy had that generation.
async fn gather(
    arrivals: &mut mpsc::UnboundedReceiver<(u64, u64)>,
    generation: u64,
    count: usize,
) -> anyhow::Result<Vec<u64>> {
    let mut found = Vec::new();
    while found.len() < count {
        let next = time::timeout(LIMIT, arrivals.recv()).await;
        let next = next.map_err(|time::Elapsed| anyhow!("a proxy does not have the change"))?;
        let (of, at) = next.context("the proxies have ended")?;
        if of == generation {
            found.push(at);
        }
    }
    Ok(found)
}

/// The proxies: says on standard output when each has what generation.
async fn proxies(addr: String, count: usize, services: usize) -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lines();
    let tokens: Vec<String> = lines.by_ref().take(count).collect::<Result<_, _>>()?;
    let pem: Vec<String> = lines.collect::<Result<_, _>>()?;
    let roots = TrustBundle::from_pem(pem.join("\n").as_bytes())?;
    let roots: Vec<_> = roots.certificates().map(|root| root.der().clone()).collect();
    for (proxy, token) in tokens.into_iter().enumerate() {
        let peer =
            ControlPeer { identity: control_identity()?, roots: roots.clone(), token: Some(token) };
        let workload = WorkloadName::new(format!("shop/p{proxy}-1"));
        let endpoint = Endpoint::tcp(addr.clone(), peer);
        let settings = weft_link::Settings::new(workload, identity(proxy)?, endpoint);
        let (link, run) = weft_link::start(settings, &Readiness::new());
        let demand = link.demand();
        for service in 0..DIALLED.min(services) {
            demand.want(service_name(service));
        }
        task::spawn("link", run);
        let mut states = link.state();
        task::spawn("proxy", async move {
            let mut last = Generation(0);
            while states.changed().await.is_ok() {
                let generation = states.borrow_and_update().generation;
                if generation != last {
                    last = generation;
                    println!("{generation} {}", nanos());
                }
                link.put_in_force(generation);
            }
        });
    }
    std::future::pending().await
}

/// Services by name.
struct Parts(BTreeMap<ServiceName, Arc<Service>>);

impl Parts {
    fn new(services: usize) -> Self {
        Self((0..services).map(|at| (service_name(at), Arc::new(service(at, 0)))).collect())
    }

    /// One endpoint of a dialled service is another one.
    fn change(&mut self, change: usize) {
        self.0.insert(service_name(0), Arc::new(service(0, change as u8 + 1)));
    }

    fn mesh(&self, generation: u64) -> Mesh {
        let entries = self.0.iter().map(|(name, it)| (name.clone(), it.entry.clone())).collect();
        Mesh {
            generation: Generation(generation),
            index: Index { entries },
            services: self.0.clone(),
            ..Mesh::default()
        }
    }
}

fn service(number: usize, last: u8) -> Service {
    let [high, low] = (number as u16).to_be_bytes();
    let endpoint = MeshEndpoint {
        workload: WorkloadName::new(format!("shop/s{number}-1")),
        ip: [10, 77, 0, last].into(),
        ports: [(80, 8080)].into(),
        weight: 1,
        locality: None,
        labels: Arc::default(),
        hostname: None,
        transport: Transport::Plain,
    };
    let port = ServicePort { number: 80, name: "http".into(), protocol: Default::default() };
    let entry = IndexEntry {
        name: service_name(number),
        addrs: [[10, 78, high, low].into()].into(),
        endpoint_addrs: [].into(),
        ports: [port].into(),
        location: Location::Mesh,
    };
    Service {
        entry: Arc::new(entry),
        endpoints: ServiceEndpoints::Known([endpoint].into()),
        traffic: Arc::default(),
    }
}

fn service_name(number: usize) -> ServiceName {
    ServiceName::new(format!("s{number}.shop.svc.cluster.local"))
}

fn identity(proxy: usize) -> anyhow::Result<Identity> {
    Ok(Identity::new(&TrustDomain::default(), "shop", &format!("p{proxy}"))?)
}

fn control_identity() -> anyhow::Result<Identity> {
    Ok(Identity::new(&TrustDomain::default(), "weftway-system", "control")?)
}

/// The wall clock, which both processes have.
fn nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64
}

/// Memory of this process in 10^6 bytes, from `/proc/self/statm` in pages of 4 KiB.
fn resident_mb() -> anyhow::Result<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).context("statm names no resident memory")?;
    Ok(pages.parse::<f64>()? * 4096.0 / 1e6)
}

/// CPU time of this process, from `/proc/self/stat` in hundredths of a second.
fn cpu_secs() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let ticks = |at: usize| -> anyhow::Result<f64> {
        Ok(stat.split(' ').nth(at).context("stat is short")?.parse()?)
    };
    Ok((ticks(13)? + ticks(14)?) / 100.0)
}
