//! Many proxies against one control plane, over TCP with mutual TLS: how long a change takes to
//! reach them all, and what the control plane costs.
//!
//! ```text
//! cargo run --release -p weft-simulation --example fleet [PROXIES [SERVICES [CHANGES]]]
//! ```
//!
//! The proxies are links in a process of their own, and nothing else of a proxy.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for measuring, which ends where something is wrong"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    Index, IndexEntry, Location, Mesh, MeshEndpoint, Service, ServiceDefaults, ServiceEndpoints,
    ServicePort, Transport,
};
use weft_runtime::drain::drain;
use weft_runtime::ready::Readiness;
use weft_runtime::{task, time, worker};
use weft_tls::Clock;

/// Services that each proxy has dialled; the one that changes is among them.
const DIALLED: usize = 10;

/// Longest wait for everybody to be there, or to have a change.
const LIMIT: Duration = Duration::from_secs(300);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        args.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    if args.first().is_some_and(|first| first == "proxies") {
        worker::block_on(proxies(args[1].clone(), number(2, 0), number(3, 0))).unwrap();
    } else {
        let (proxies, services, changes) = (number(0, 1000), number(1, 1000), number(2, 20));
        worker::block_on(Box::pin(control(proxies, services, changes))).unwrap();
    }
}

/// The control plane, and the table at the end.
async fn control(proxies: usize, services: usize, changes: usize) {
    let clock = Clock::wall();
    let authority =
        Authority::generate(TrustDomain::default(), Lifetimes::default(), clock.now()).unwrap();
    let mut parts = Parts::new(services);
    let published = watch::Sender::new(Published::default().next(&parts.mesh(1)));
    let settings =
        Settings { identity: control_identity(), limits: Limits::DEFAULT, clock, fleet_path: None };
    let (keeper, attest) = (Keeper::in_memory(authority), Rc::new(ByUid::new([])));
    let plane = ControlPlane::new(published.subscribe(), keeper, attest, settings).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (drain, watch) = drain();
    let running = plane.clone();
    let running =
        task::spawn(
            "plane",
            async move { running.run(vec![Listener::Tcp(listener)], watch).await },
        );

    let start = time::now();
    let (mut child, mut arrivals) = spawn(&plane, &addr, proxies, services).await;
    gather(&mut arrivals, 1, proxies).await;
    while plane.status().in_force() != (proxies, proxies) {
        time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{proxies} proxies joined and in force in {:.1} s",
        (time::now() - start).as_secs_f64()
    );
    println!("control plane: {} MiB resident", resident_mib());

    let mut all = Vec::new();
    let cpu = cpu_secs();
    for change in 0..changes {
        parts.change(change);
        let generation = change as u64 + 2;
        let changed = nanos();
        published.send_modify(|it| *it = it.next(&parts.mesh(generation)));
        let mut taken = gather(&mut arrivals, generation, proxies).await;
        taken.sort_unstable();
        all.extend(taken.iter().map(|at| at.saturating_sub(changed)));
    }
    let cpu = (cpu_secs() - cpu) / changes as f64;
    all.sort_unstable();
    let at = |ratio: f64| all[((all.len() - 1) as f64 * ratio) as usize] as f64 / 1e6;
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    println!(
        "one endpoint changes, from publishing to proxy: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
    );
    println!("control plane: {:.1} ms of CPU a change, {} MiB resident", cpu * 1e3, resident_mib());
    child.kill().unwrap();
    child.wait().unwrap();
    drain.run(Duration::from_secs(5), std::future::pending()).await;
    running.await.unwrap();
}

/// Starts the process of the proxies, and hears from it.
async fn spawn(
    plane: &ControlPlane,
    addr: &str,
    proxies: usize,
    services: usize,
) -> (Child, mpsc::UnboundedReceiver<(u64, u64)>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["proxies", addr, &proxies.to_string(), &services.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for proxy in 0..proxies {
        let token = plane.create_token(identity(proxy).into(), LIMIT).await.unwrap();
        writeln!(input, "{}", token.as_str()).unwrap();
    }
    write!(input, "{}", plane.rotation().bundle().to_pem()).unwrap();
    drop(input);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, arrivals) = mpsc::unbounded_channel();
    worker::spawn_blocking("arrivals", move || {
        for line in lines.map_while(Result::ok) {
            let (generation, at) = line.split_once(' ').unwrap();
            let arrival = (generation.parse().unwrap(), at.parse().unwrap());
            if sender.send(arrival).is_err() {
                break;
            }
        }
    });
    (child, arrivals)
}

/// When each proxy had that generation.
async fn gather(
    arrivals: &mut mpsc::UnboundedReceiver<(u64, u64)>,
    generation: u64,
    count: usize,
) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < count {
        let next = time::timeout(LIMIT, arrivals.recv()).await.expect("in time");
        let (of, at) = next.expect("the proxies are running");
        if of == generation {
            found.push(at);
        }
    }
    found
}

/// The proxies: says on standard output when each has what generation.
async fn proxies(addr: String, count: usize, services: usize) {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let tokens: Vec<String> = lines.by_ref().take(count).collect();
    let pem: String = lines.map(|line| line + "\n").collect();
    let roots = TrustBundle::from_pem(pem.as_bytes()).unwrap();
    let roots: Vec<_> = roots.certificates().map(|root| root.der().clone()).collect();
    for (proxy, token) in tokens.into_iter().enumerate() {
        let peer =
            ControlPeer { identity: control_identity(), roots: roots.clone(), token: Some(token) };
        let workload = WorkloadName::new(format!("shop/p{proxy}-1"));
        let endpoint = Endpoint::tcp(addr.clone(), peer);
        let settings = weft_link::Settings::new(workload, identity(proxy), endpoint);
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
            workloads: BTreeMap::new(),
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
        zone: None,
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
        defaults: ServiceDefaults::DEFAULT,
    }
}

fn service_name(number: usize) -> ServiceName {
    ServiceName::new(format!("s{number}.shop.svc.cluster.local"))
}

fn identity(proxy: usize) -> Identity {
    Identity::new(&TrustDomain::default(), "shop", &format!("p{proxy}")).unwrap()
}

fn control_identity() -> Identity {
    Identity::new(&TrustDomain::default(), "weftway-system", "control").unwrap()
}

fn nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Memory of this process, from `/proc/self/statm` in pages of 4 KiB.
fn resident_mib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4 / 1024
}

/// CPU time of this process, from `/proc/self/stat` in hundredths of a second.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = |at: usize| stat.split(' ').nth(at).unwrap().parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / 100.0
}
