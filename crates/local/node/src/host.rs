//! The machine: what it lacks, the bridge that joins workloads, and plans made real.
//!
//! One node at a time may use a folder and a network; locks say which. Whoever has them may take
//! everything with the network's names for leftovers of a run that has crashed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::Signal;

use crate::Name;
use crate::command::{Command, CommandError};
use crate::network::{Addrs, Network};
use crate::plan::{self, Exclusions, External, Machine, NETNS_FILES, Placement, Plan, Step};

pub(crate) mod check;
pub(crate) mod processes;
mod routes;
mod rules;

#[cfg(test)]
mod tests;

pub use check::Missing;

/// Where `ip netns` keeps a handle for each namespace.
pub const NETNS_HANDLES: &str = "/run/netns";

/// How long a process that outlives its workload may take to end after SIGTERM.
const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// The file below the state folder that says what forwarding was before we switched it on.
const FORWARDING_BEFORE: &str = "forwarding-before";
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const FORWARDING_V6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// A machine whose network is set up for workloads.
#[derive(Debug)]
pub struct Host {
    network: Network,
    state: PathBuf,
    external: External,
    remarks: Vec<String>,
    _lock: Lock,
    /// The network's, which no folder knows of.
    _claim: UnixListener,
}

/// A state folder that is this process's, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

/// The machine's network could not be set up or taken down.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The machine lacks something.
    #[error("this machine lacks {}", .0.iter().map(Missing::to_string).collect::<Vec<_>>().join("; and "))]
    Missing(Vec<Missing>),
    /// Another node uses the network.
    #[error("another node (process {pid}) uses {path}; stop it first, or join it with `weftway run`", path = .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// Who has it, as far as it says.
        pid: String,
    },
    /// A node with another folder uses the network.
    #[error(
        "another node uses the bridge {bridge}; stop it first, or join it with `weftway run --state FOLDER`"
    )]
    NetworkBusy {
        /// The bridge.
        bridge: String,
    },
    /// Something else uses the addresses.
    #[error("{range} is taken: {by} uses it; configure other ranges for workloads and services")]
    Taken {
        /// The range that was to be used.
        range: String,
        /// Network and link that use it.
        by: String,
    },
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file cannot be read or written.
    #[error("cannot use {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is still there after it was removed.
    #[error("{0} is still there after it was removed; `ip netns delete {0}` as root may tell why")]
    Remains(String),
}

// === impl Host ===

impl Host {
    /// Whether a program of the system is there.
    pub fn has_program(name: &str) -> bool {
        check::find_program(name).is_some()
    }

    /// Everything that this machine and process lack; empty if workloads can have namespaces.
    /// Changes nothing.
    pub fn check() -> Vec<Missing> {
        check::check()
    }

    /// Sets the machine up: removes what a crash has left, makes the bridge and, where packets can
    /// be forwarded, the way out. `state` is the folder for the lock and what must survive a crash.
    ///
    /// Not cancel safe: what is half done is removed by the next call.
    ///
    /// # Errors
    ///
    /// [`HostError`]; nothing stays behind then.
    pub async fn open(network: Network, state: &Path) -> Result<Self, HostError> {
        let missing = Self::check();
        if !missing.is_empty() {
            return Err(HostError::Missing(missing));
        }
        let has_v6 = Path::new("/proc/sys/net/ipv6").exists();
        let network = if has_v6 { network } else { network.without_v6() };
        fs::create_dir_all(state).map_err(|source| file_error(state, source))?;
        let lock = Lock::take(state)?;
        let claim = claim(&network.bridge)?;
        let mut host = Self {
            network,
            state: state.to_owned(),
            external: External::default(),
            remarks: Vec::new(),
            _lock: lock,
            _claim: claim,
        };
        if !has_v6 {
            host.remarks.push("the kernel has no IPv6, so workloads have none".into());
        }
        host.sweep().await?;
        if let Err(error) = host.set_up().await {
            // The first error counts; a second one would be of the same cause.
            let _ = host.close().await;
            return Err(error);
        }
        Ok(host)
    }

    /// The network, as it is used: without IPv6 on a kernel without.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What workloads can reach beyond the machine.
    pub fn external(&self) -> External {
        self.external
    }

    /// What a user should know about this machine, in sentences; mostly nothing.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The plan for a workload on this machine.
    pub fn plan(&self, workload: Name, addrs: Addrs, exclusions: Exclusions) -> Plan {
        let external = self.external;
        let machine = machine();
        let placement = Placement { workload, addrs, exclusions, external, machine };
        plan::plan(&self.network, &placement)
    }

    /// Makes a plan real.
    ///
    /// Not cancel safe: undo it with [`Host::remove`].
    ///
    /// # Errors
    ///
    /// [`HostError`]; what was made is unmade then.
    pub async fn create(&self, plan: &Plan) -> Result<(), HostError> {
        for step in &plan.create {
            if let Err(error) = execute(step).await {
                let _ = self.remove(plan).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Unmakes a plan, and ends what still runs in its namespace. What is not there is fine.
    ///
    /// Not cancel safe: call it again.
    ///
    /// # Errors
    ///
    /// [`HostError::Remains`] when the namespace cannot be removed.
    pub async fn remove(&self, plan: &Plan) -> Result<(), HostError> {
        remove_namespace(&plan.namespace).await?;
        for step in &plan.remove {
            if let Err(error) = execute(step).await {
                tracing::trace!(%error, "nothing to remove");
            }
        }
        gone(&plan.namespace)
    }

    /// Takes everything down, forwarding included if it was off before.
    ///
    /// Not cancel safe: call it again.
    ///
    /// # Errors
    ///
    /// [`HostError`] when something remains.
    pub async fn close(&self) -> Result<(), HostError> {
        let swept = self.sweep().await;
        let before = self.state.join(FORWARDING_BEFORE);
        if let Ok(value) = fs::read_to_string(&before) {
            write(Path::new(FORWARDING), &value)?;
            let _ = fs::remove_file(&before);
        }
        swept
    }

    /// Removes everything that has one of our names.
    async fn sweep(&self) -> Result<(), HostError> {
        let Network { prefix, bridge, table, .. } = &self.network;
        for namespace in names_in(NETNS_HANDLES, prefix) {
            tracing::info!(%namespace, "removed a network namespace that was left behind");
            remove_namespace(&namespace).await?;
            gone(&namespace)?;
        }
        for link in names_in("/sys/class/net", prefix) {
            // It may be gone with its other end a moment after the namespace is.
            let _ = Command::new("ip", &format!("link delete {link} type veth")).run().await;
        }
        for folder in names_in(NETNS_FILES, prefix) {
            execute(&Step::RemoveFolder(Path::new(NETNS_FILES).join(folder))).await?;
        }
        if Path::new("/sys/class/net").join(bridge).exists() {
            Command::new("ip", &format!("link delete {bridge} type bridge")).run().await?;
        }
        // Made first, so that there is something to delete.
        let rules = format!("table inet {table}\ndelete table inet {table}\n");
        Command::new("nft", "-f -").reading(rules).run().await?;
        Ok(())
    }

    async fn set_up(&mut self) -> Result<(), HostError> {
        let routes = Command::new("ip", "-json route show table all").run().await?;
        let routes_v6 = Command::new("ip", "-json -6 route show table all").run().await?;
        for range in [self.network.workloads, self.network.services] {
            if let Some(by) = routes::taken(&range, &[&routes, &routes_v6]) {
                return Err(HostError::Taken { range: range.to_string(), by });
            }
        }
        self.bridge().await?;
        let is_guarded = self.forwarding();
        let rules = rules::rules(&self.network, self.external, is_guarded);
        Command::new("nft", "-f -").reading(rules).run().await?;
        self.look_at_firewall().await;
        Ok(())
    }

    async fn bridge(&self) -> Result<(), HostError> {
        let Network { bridge, workloads, .. } = &self.network;
        let gateway = self.network.gateway();
        let ip = async |args: String| Command::new("ip", &args).run().await;
        ip(format!("link add {bridge} type bridge")).await?;
        let v4_bits = workloads.v4.prefix_len();
        ip(format!("address add {}/{v4_bits} dev {bridge}", gateway.v4)).await?;
        if let (Some(v6), Some(net)) = (gateway.v6, workloads.v6) {
            let folder = Path::new("/proc/sys/net/ipv6/conf").join(bridge);
            for (name, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")] {
                write(&folder.join(name), value)?;
            }
            ip(format!("address add {v6}/{} dev {bridge} nodad", net.prefix_len())).await?;
        }
        ip(format!("link set {bridge} up")).await?;
        Ok(())
    }

    /// Sees to it that packets are forwarded, and tells whether that was not so before: then our
    /// rules keep the machine from forwarding anybody else's.
    ///
    /// IPv6 is left as it is: a machine that forwards it no longer learns its own routes from
    /// routers (`accept_ra`), which may cost it its network.
    fn forwarding(&mut self) -> bool {
        let is_on = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() != "0");
        let before = self.state.join(FORWARDING_BEFORE);
        let was_on = is_on(FORWARDING) && !before.exists();
        if !was_on {
            let switched = write(&before, "0").and_then(|()| write(Path::new(FORWARDING), "1"));
            if let Err(error) = switched {
                self.remarks.push(format!(
                    "workloads cannot reach hosts beyond this machine: IPv4 forwarding is off and \
                     cannot be switched on ({error}); `sysctl -w net.ipv4.ip_forward=1` does it \
                     where it is allowed"
                ));
            }
        }
        let has_v6 = self.network.workloads.v6.is_some();
        self.external = External { v4: is_on(FORWARDING), v6: has_v6 && is_on(FORWARDING_V6) };
        if has_v6 && !self.external.v6 {
            self.remarks.push(
                "workloads reach hosts beyond this machine by IPv4 only: IPv6 forwarding is off; \
                 `sysctl -w net.ipv6.conf.all.forwarding=1` switches it on"
                    .into(),
            );
        }
        self.external.v4 && !was_on
    }

    /// A policy of dropping in another table overrides that we accept.
    async fn look_at_firewall(&mut self) {
        let Ok(rules) = Command::new("nft", "list chain ip filter FORWARD").run().await else {
            return;
        };
        if rules.contains("policy drop") {
            let bridge = &self.network.bridge;
            self.remarks.push(format!(
                "this machine's firewall drops forwarded packets unless told otherwise (Docker \
                 sets it so), so workloads may not reach hosts beyond it; allow them with \
                 `iptables -I FORWARD -i {bridge} -j ACCEPT` and \
                 `iptables -I FORWARD -o {bridge} -j ACCEPT`"
            ));
        }
    }
}

// === impl Lock ===

impl Lock {
    pub(crate) fn take(state: &Path) -> Result<Self, HostError> {
        let path = &state.join("node.lock");
        let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(|source| file_error(path, source))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            // It is for people; the lock is what counts.
            let _ = file.read_to_string(&mut pid);
            return Err(HostError::Busy { path: path.into(), pid: pid.trim().into() });
        }
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being started has the file, too.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Claims a network: an abstract name is there once in a network namespace, and goes with its
/// owner. Nobody is listened to.
fn claim(bridge: &str) -> Result<UnixListener, HostError> {
    let name = SocketAddr::from_abstract_name(format!("weftway/network/{bridge}"));
    let claimed = name.and_then(|name| UnixListener::bind_addr(&name));
    claimed.map_err(|_| HostError::NetworkBusy { bridge: bridge.to_owned() })
}

/// What namespaces inherit from this machine.
fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).ok();
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Machine {
        hostname,
        hosts: read("/etc/hosts").unwrap_or_default(),
        nsswitch: read("/etc/nsswitch.conf"),
        resolv: read("/etc/resolv.conf").unwrap_or_default(),
    }
}

async fn execute(step: &Step) -> Result<(), HostError> {
    match step {
        Step::Run(command) => {
            command.run().await?;
            Ok(())
        }
        Step::Write { path, text } => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
            }
            write(path, text)
        }
        Step::RemoveFolder(path) => match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(path, error)),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

/// Ends what runs in a namespace, and removes it.
async fn remove_namespace(namespace: &str) -> Result<(), HostError> {
    let handle = Path::new(NETNS_HANDLES).join(namespace);
    if !handle.exists() {
        return Ok(());
    }
    let all = || processes::in_namespace(&handle);
    processes::signal(&all(), Signal::TERM);
    let until = weft_runtime::time::now() + LEFTOVER_GRACE;
    while !all().is_empty() && weft_runtime::time::now() < until {
        weft_runtime::time::sleep(Duration::from_millis(10)).await;
    }
    processes::signal(&all(), Signal::KILL);
    Command::new("ip", &format!("netns delete {namespace}")).run().await?;
    Ok(())
}

fn gone(namespace: &str) -> Result<(), HostError> {
    if Path::new(NETNS_HANDLES).join(namespace).exists() {
        return Err(HostError::Remains(namespace.into()));
    }
    Ok(())
}

/// The names in a folder that begin with `prefix`, in order; none if there is no folder.
fn names_in(folder: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

fn write(path: &Path, text: &str) -> Result<(), HostError> {
    fs::write(path, text).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> HostError {
    HostError::File { path: path.into(), source }
}
