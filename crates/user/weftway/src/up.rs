//! `weftway up`: a mesh on one machine, control plane, authority and node in one process, and a
//! gateway beside it.

mod gateway;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use weft_compile::ServiceRange;
use weft_controlplane::{Attest, Attested, Claim, Listener, NotAttested, Process, Side};
use weft_dns::{Names, Server, Upstreams, Zone};
use weft_model::id::WorkloadName;
use weft_model::identity::{Identity, TrustDomain};
use weft_model::mesh::{MESH_PORT, Phase, Registered, RegisteredPort, RegisteredWorkload};
use weft_node::attest::{self, Caller};
use weft_node::host::Host;
use weft_node::launch::Proxy;
use weft_node::network::{Network, PROXY_UID, Range};
use weft_node::node::{Ground, Node};
use weft_node::permit::Permit;
use weft_node::{api, life};
use weft_runtime::drain::{self, Drained};
use weft_runtime::signal::Termination;
use weft_runtime::{log, task, worker};

use crate::args::UpArgs;
use crate::control::{Control, bind_unix};
use crate::folder;
use crate::print_line;
use crate::status;

use gateway::Gateway;

/// The namespace and name of the gateway.
pub(crate) const GATEWAY: (&str, &str) = (gateway::NAMESPACE, gateway::NAME);

/// Where the control plane listens.
struct Sockets {
    /// For proxies.
    control: PathBuf,
    /// For applications that want certificates themselves.
    applications: PathBuf,
}

/// Who a process is, by the node that has started it.
struct ByNode {
    /// The node, once there is one: it needs to know where the control plane is.
    node: Rc<RefCell<Option<Node>>>,
    /// The gateway, which no node has started.
    gateway: gateway::Process,
    trust_domain: TrustDomain,
}

/// Runs until a signal has drained it.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<ExitCode> {
    log::init(&args.log, log::Format::Text);
    worker::block_on(serve(args)).context("the runtime cannot be started")??;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &UpArgs) -> anyhow::Result<Drained> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let (drain, watch) = drain::drain();
    let state = folder::path(args.state.as_deref());
    let known = Rc::new(RefCell::new(None));
    let trust_domain = TrustDomain::new(&args.mesh.trust_domain).context("--trust-domain")?;
    let process = gateway::Process::default();
    let attest = ByNode { node: known.clone(), gateway: process.clone(), trust_domain };
    let mut control = Control::start(&state, &args.files, &args.mesh, Rc::new(attest)).await?;
    let _admin = control.serve_admin(args.admin).await?;
    let starting = control.readiness().block("node");
    let sockets = Sockets {
        control: state.join("control.sock"),
        applications: state.join("workload-api.sock"),
    };
    let listeners = vec![
        Listener::Unix(bind_unix(&sockets.control)?),
        Listener::Applications(bind_unix(&sockets.applications)?),
    ];
    let status = status::bind(&state)?;
    let controlling = task::spawn("control", control.run(listeners, watch.clone()));
    let showing =
        task::spawn("status", status::serve(status, control.plane().clone(), control.base()));

    let ground = ground(args, &state).await?;
    if let Ground::Namespaces(host) = &ground {
        let Range { v4, v6 } = host.network().services;
        control.assign_from(ServiceRange { v4, v6 });
    }
    let _names = relay_names(&ground)?;
    let node = open_node(args, &state, &sockets, ground)?;
    *known.borrow_mut() = Some(node.clone());
    let node_socket = state.join("node.sock");
    let bound = weft_node::node::bind(&node_socket)
        .with_context(|| format!("cannot listen on {}", node_socket.display()))?;
    let serving = {
        let node = node.clone();
        task::spawn("node", async move { node.serve(bound, watch).await })
    };
    starting.clear();
    let gateway = match has_gateway(args, &node) {
        true => Some(Gateway::start(args, &state, &sockets, process)?),
        false => None,
    };
    greet(&state, &node, &sockets, gateway.as_ref()).await;
    follow(&mut control, &node, &mut termination).await;
    let _draining = control.readiness().block("draining");
    // It calls workloads, so it ends before them; at once, if there is another signal.
    if let Some(gateway) = gateway {
        tokio::select! {
            () = gateway.stop() => {}
            _ = termination.next() => {}
        }
    }
    let force = async {
        termination.next().await;
    };
    // Whoever has a workload running holds the drain until it has ended.
    let (drained, closed) =
        tokio::join!(drain.run(life::Times::DEFAULT.grace * 2, force), node.close());
    closed.context("not everything could be removed")?;
    serving.abort();
    controlling.abort();
    showing.abort();
    Ok(drained)
}

/// Publishes what documents and the node say, until a signal comes.
async fn follow(control: &mut Control, node: &Node, termination: &mut Termination) {
    let mut registry = node.registry();
    let mut present: BTreeSet<WorkloadName> = BTreeSet::new();
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                return;
            }
            () = control.changed() => control.compile(),
            Ok(()) = registry.changed() => {
                let workloads = registry.borrow_and_update().clone();
                let names: BTreeSet<_> =
                    workloads.iter().map(|workload| workload.name.workload()).collect();
                // Also proxies that were killed, and cannot say goodbye themselves.
                for ended in present.difference(&names) {
                    control.plane().forget(ended);
                }
                present = names;
                control.register(registered(&workloads));
            }
        }
    }
}

/// A permit whose user has a number. The system knows more users than one file has.
fn known_user(permit: &Permit) -> anyhow::Result<Permit> {
    let (Some(user), None) = (&permit.user, permit.uid) else { return Ok(permit.clone()) };
    let found = std::process::Command::new("id").args(["-u", "--", user]).output();
    let found = found.context("users cannot be looked up")?;
    let uid = String::from_utf8_lossy(&found.stdout).trim().parse();
    let uid = uid.with_context(|| format!("there is no user {user} (see --allow-user)"))?;
    Ok(Permit { uid: Some(uid), ..permit.clone() })
}

fn open_node(
    args: &UpArgs,
    state: &Path,
    sockets: &Sockets,
    ground: Ground,
) -> anyhow::Result<Node> {
    let settings = weft_node::node::Settings {
        state: state.to_path_buf(),
        owner: rustix::process::getuid().as_raw(),
        permits: args.allow_users.iter().map(known_user).collect::<Result<_, _>>()?,
        // Where SPIFFE libraries look for the Workload API.
        environment: vec![(
            "SPIFFE_ENDPOINT_SOCKET".to_owned(),
            format!("unix://{}", sockets.applications.display()),
        )],
        times: life::Times::DEFAULT,
        proxy: launcher(args, state, &sockets.control, &ground)?,
    };
    Node::open(settings, ground).context("the node cannot be started")
}

/// Namespaces where they can be had, addresses of the loopback interface elsewhere.
async fn ground(args: &UpArgs, state: &Path) -> anyhow::Result<Ground> {
    let domain = args.mesh.domain.clone();
    if args.loopback {
        return Ok(Ground::Loopback { domain });
    }
    let missing = Host::check();
    if !missing.is_empty() {
        print_line("Workloads get loopback addresses and explicit proxies, because:");
        for missing in missing {
            print_line(&format!("  {missing}"));
        }
        return Ok(Ground::Loopback { domain });
    }
    let network = Network { domain, ..Network::default() };
    let host = Host::open(network, state).await.context("the network cannot be set up")?;
    for remark in host.remarks() {
        tracing::warn!("{remark}");
    }
    Ok(Ground::Namespaces(host))
}

/// Resolvers of the machine are not reached from the namespaces of workloads: their proxies ask the
/// bridge, and it asks the machine's.
fn relay_names(ground: &Ground) -> anyhow::Result<Option<Server>> {
    let Ground::Namespaces(host) = ground else { return Ok(None) };
    let gateway = host.network().gateway();
    let addrs: Vec<_> = gateway.iter().map(|ip| (ip, 53).into()).collect();
    let sockets =
        weft_dns::Sockets::bind(&addrs).context("names cannot be relayed to workloads")?;
    let zone = Zone::new("invalid.weftway", "default")?;
    let (wanted, _) = tokio::sync::mpsc::channel(1);
    let settings = weft_dns::Settings {
        names: watch::channel(Arc::new(Names::empty(&zone))).1,
        upstreams: Upstreams::file("/etc/resolv.conf"),
        wanted,
        limits: weft_dns::Limits::DEFAULT,
        metrics: Arc::default(),
    };
    Ok(Some(Server::start(sockets, settings)?))
}

/// Says how the proxy of a workload is started.
type Launcher = Box<dyn Fn(&api::Registered) -> Proxy>;

fn launcher(
    args: &UpArgs,
    state: &Path,
    socket: &Path,
    ground: &Ground,
) -> anyhow::Result<Launcher> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let logs = state.join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
    let resolver = match ground {
        Ground::Namespaces(host) => Some(host.network().gateway().v4),
        Ground::Loopback { .. } => None,
    };
    let folders = state.join("proxies");
    // Proxies run as this user unless it is root.
    let owner = rustix::process::getuid().is_root().then_some(PROXY_UID);
    let (mesh, log) = (args.mesh.clone(), args.log.clone());
    let socket = socket.to_path_buf();
    Ok(Box::new(move |workload| {
        let name = workload.name.to_string();
        let handle = workload.name.handle();
        let mut arguments = vec![
            "proxy".to_owned(),
            format!("--workload={name}"),
            format!("--service-account={}", workload.service_account),
            format!("--trust-domain={}", mesh.trust_domain),
            format!("--domain={}", mesh.domain),
            format!("--control={}", socket.display()),
            format!("--log={log}"),
        ];
        match own_folder(&folders.join(&handle), owner) {
            Ok(folder) => arguments.push(format!("--state={}", folder.display())),
            // It serves all the same, as long as the control plane is there when it starts.
            Err(error) => tracing::warn!(workload = name, %error, "a proxy keeps nothing on disk"),
        }
        match resolver {
            Some(resolver) => arguments.push(format!("--dns-upstream={resolver}:53")),
            None => {
                let ip = workload.addrs.v4;
                arguments.push(format!("--explicit={ip}"));
                arguments.push(format!("--ready={ip}:15021"));
                arguments.push(format!("--metrics={ip}:15020"));
                arguments.push(format!("--admin={ip}:15000"));
            }
        }
        Proxy {
            program: program.clone(),
            args: arguments,
            env: Vec::new(),
            log: Some(logs.join(format!("{handle}.log"))),
        }
    }))
}

/// A folder that only its owner may look into, this user unless another one is named: a key is
/// there.
fn own_folder(path: &Path, owner: Option<u32>) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(path, owner, None)?;
    Ok(path.to_path_buf())
}

/// What the mesh has to know of the node's workloads.
fn registered(workloads: &[api::Registered]) -> Registered {
    let port = |port: &api::Port| RegisteredPort {
        number: port.number,
        name: port.name.as_str().into(),
        app_protocol: port.protocol.as_deref().map(Into::into),
    };
    let workload = |workload: &api::Registered| RegisteredWorkload {
        namespace: workload.name.namespace().into(),
        name: workload.name.name().into(),
        service: workload.service.name().into(),
        labels: workload
            .labels
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        service_account: workload.service_account.as_str().into(),
        addrs: workload.addrs.iter().collect(),
        ports: workload.ports.iter().map(port).collect(),
        proxy: Some((workload.addrs.v4, MESH_PORT).into()),
        zone: None,
        phase: match workload.phase {
            api::Phase::Starting | api::Phase::WithoutProxy => Phase::Unready,
            api::Phase::Running => Phase::Ready,
            api::Phase::Stopping => Phase::Terminating,
        },
    };
    workloads.iter().map(workload).collect()
}

/// Whether there is to be a gateway. Where workloads have no network of their own, one that has
/// nothing to serve does not take ports from them.
fn has_gateway(args: &UpArgs, node: &Node) -> bool {
    let is_alone = matches!(node.ground(), Ground::Namespaces(_));
    !args.no_gateway && (is_alone || !args.files.is_empty())
}

/// Says where everything is.
async fn greet(state: &Path, node: &Node, sockets: &Sockets, gateway: Option<&Gateway>) {
    let how = match node.ground() {
        Ground::Namespaces(_) => "a network namespace",
        Ground::Loopback { .. } => "a loopback address",
    };
    let gateway = match gateway {
        Some(gateway) => gateway.place().await,
        None => "none".to_owned(),
    };
    print_line(&format!(
        "The mesh is up; its folder is {}.\n\n\
         \x20 gateway        {gateway}\n\
         \x20 control plane  {}\n\
         \x20 Workload API   {}\n\n\
         Each workload gets {how}, a name and a proxy:\n\n  \
         weftway run payments --port 8080 -- ./payments\n",
        state.display(),
        sockets.control.display(),
        sockets.applications.display(),
    ));
}

// === impl ByNode ===

impl Attest for ByNode {
    fn attest(&self, caller: Process, side: Side, _: &Claim) -> Result<Attested, NotAttested> {
        let pid = caller.pid.and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| NotAttested("the system does not say who calls".into()))?;
        if self.gateway.get() == Some(pid) && side == Side::Proxy {
            let identity = Identity::new(&self.trust_domain, gateway::NAMESPACE, gateway::NAME);
            let identity = identity.map_err(|error| NotAttested(error.to_string()))?;
            return Ok(Attested { workload: gateway::workload(), identity });
        }
        let node = self.node.borrow();
        let node = node.as_ref().ok_or_else(|| NotAttested("the node is not ready yet".into()))?;
        let who = node.who(Caller { pid, uid: caller.uid }).ok_or_else(|| {
            NotAttested(format!("process {pid} belongs to no workload that this node has started"))
        })?;
        // What an application said there would count as said by its proxy.
        match (who.process, side) {
            (attest::Side::Proxy, Side::Proxy) | (attest::Side::Application, Side::Application) => {
            }
            (attest::Side::Application, Side::Proxy) => {
                let name = who.workload;
                return Err(NotAttested(format!("process {pid} of {name} is not its proxy")));
            }
            (attest::Side::Proxy, Side::Application) => {
                let name = who.workload;
                return Err(NotAttested(format!("process {pid} is the proxy of {name}")));
            }
        }
        let workloads = node.registry().borrow().clone();
        let workload = workloads.iter().find(|workload| workload.name == who.workload);
        let workload =
            workload.ok_or_else(|| NotAttested(format!("{} has ended", who.workload)))?;
        let identity =
            Identity::new(&self.trust_domain, workload.name.namespace(), &workload.service_account);
        let identity = identity.map_err(|error| NotAttested(error.to_string()))?;
        Ok(Attested { workload: workload.name.workload(), identity })
    }
}
