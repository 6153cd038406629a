//! The gateway of `weftway up`: a process of its own, which is a part of the mesh as any workload.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use weft_model::id::WorkloadName;
use weft_node::host::Host;
use weft_runtime::task::{self, Task};
use weft_runtime::time;

use super::{Sockets, own_folder};
use crate::args::{AddressOrOff, UpArgs};

/// The namespace that it is in.
pub(super) const NAMESPACE: &str = "weftway-system";
/// Its name there, and that of its service account.
pub(super) const NAME: &str = "weftway-gateway";

/// One that is not ready by then is not waited for.
const READY_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether it is ready.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// From the end of one that has died to the next, at first; twice as long each time.
const RESTART_MIN: Duration = Duration::from_millis(500);

/// The longest wait.
const RESTART_MAX: Duration = Duration::from_secs(30);

/// A gateway may drain for 30 s; what goes on for longer is killed.
const END_MAX: Duration = Duration::from_secs(35);

/// What a gateway of root may do: bind ports below 1024, and read what root may read.
const CAPABILITIES: &str = "-all,+net_bind_service,+dac_override";

/// The gateway, as the one who has started it sees it. It is kept running until it is stopped.
pub(super) struct Gateway {
    task: Task<()>,
    stop: watch::Sender<bool>,
    address_file: PathBuf,
}

/// Its name in the mesh.
pub(super) fn workload() -> WorkloadName {
    WorkloadName::new(format!("{NAMESPACE}/{NAME}"))
}

/// The process of the gateway, for whoever has to know it again.
pub(super) type Process = Rc<Cell<Option<u32>>>;

/// The user whom a gateway runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// Whoever this is.
    Own,
    /// Root, with few of its rights.
    Root,
    /// Whoever has typed `sudo`: user and group.
    Behind(u32, u32),
}

/// How the process is started.
struct Plan {
    argv: Vec<String>,
    /// Its access log is added to this file. What else it says is said beside us.
    log: PathBuf,
}

// === impl Gateway ===

impl Gateway {
    /// Starts it, and starts it again whenever it ends.
    pub(super) fn start(
        args: &UpArgs,
        state: &Path,
        sockets: &Sockets,
        process: Process,
    ) -> anyhow::Result<Self> {
        let user = User::present();
        let folder = own_folder(&state.join("gateway"), user.id())
            .context("the gateway's folder cannot be made")?;
        let address_file = folder.join("addresses.json");
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut argv = user.before(Host::has_program("setpriv"));
        argv.push(program.display().to_string());
        argv.extend(arguments(args, &folder, &address_file, &sockets.control));
        let plan = Plan { argv, log: state.join("logs").join("gateway.log") };
        let (stop, stopped) = watch::channel(false);
        let task = task::spawn("gateway", plan.keep(process, stopped, address_file.clone()));
        Ok(Self { task, stop, address_file })
    }

    /// Where it listens, in words.
    pub(super) async fn place(&self) -> String {
        let written = async {
            loop {
                match std::fs::read_to_string(&self.address_file) {
                    Ok(text) => return listeners(&text),
                    Err(_) => time::sleep(READY_INTERVAL).await,
                }
            }
        };
        let Ok(Some(listeners)) = time::timeout(READY_MAX, written).await else {
            return "not ready yet; it is said above why".to_owned();
        };
        let listeners: Vec<String> =
            listeners.iter().map(|(name, addr)| format!("{name} {addr}")).collect();
        listeners.join(", ")
    }

    /// Ends it in order.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        // A task that has panicked has dropped its process, which ended it.
        let _ = self.task.await;
    }
}

// === impl User ===

impl User {
    /// The user who has typed the command.
    #[expect(clippy::disallowed_methods, reason = "sudo says by the environment who has typed it")]
    fn present() -> Self {
        let id = |name: &str| std::env::var(name).ok()?.parse().ok();
        let sudo = id("SUDO_UID").zip(id("SUDO_GID"));
        Self::of(rustix::process::getuid().is_root(), sudo)
    }

    fn of(is_root: bool, sudo: Option<(u32, u32)>) -> Self {
        match (is_root, sudo) {
            (false, _) => Self::Own,
            (true, None | Some((0, _))) => Self::Root,
            (true, Some((uid, gid))) => Self::Behind(uid, gid),
        }
    }

    /// Whose its files are, if not ours.
    fn id(self) -> Option<u32> {
        match self {
            Self::Own | Self::Root => None,
            Self::Behind(uid, _) => Some(uid),
        }
    }

    /// What stands before the program. It gets SIGTERM when we die.
    fn before(self, has_setpriv: bool) -> Vec<String> {
        if !has_setpriv {
            return Vec::new();
        }
        let mut argv = vec!["setpriv".to_owned(), "--pdeathsig=TERM".to_owned()];
        match self {
            Self::Own => {}
            Self::Root => argv.push(format!("--bounding-set={CAPABILITIES}")),
            Self::Behind(uid, gid) => {
                argv.extend([format!("--reuid={uid}"), format!("--regid={gid}")]);
                argv.push("--clear-groups".to_owned());
                let kinds = ["inh-caps", "ambient-caps", "bounding-set"];
                argv.extend(kinds.map(|kind| format!("--{kind}=-all,+net_bind_service")));
            }
        }
        argv.extend(["--no-new-privs".to_owned(), "--".to_owned()]);
        argv
    }
}

// === impl Plan ===

impl Plan {
    /// Keeps the process running until it is to stop.
    async fn keep(self, process: Process, mut stopped: watch::Receiver<bool>, addresses: PathBuf) {
        let mut wait = RESTART_MIN;
        while !*stopped.borrow() {
            // What an earlier one has written says nothing of this one.
            let _ = std::fs::remove_file(&addresses);
            let started = time::now();
            match self.spawn() {
                Ok(mut child) => {
                    process.set(child.id());
                    tokio::select! {
                        ended = child.wait() => {
                            let how = ended.map_or_else(|error| error.to_string(), |code| code.to_string());
                            tracing::warn!(how, "the gateway has ended; it is started again");
                        }
                        _ = stopped.wait_for(|stopped| *stopped) => end(&mut child).await,
                    }
                    process.set(None);
                }
                Err(error) => tracing::error!("{error:#}"),
            }
            if time::now() - started > RESTART_MAX {
                wait = RESTART_MIN;
            }
            let stopped = stopped.wait_for(|stopped| *stopped);
            if time::timeout(wait, stopped).await.is_ok() {
                return;
            }
            wait = (wait * 2).min(RESTART_MAX);
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let context = || "the gateway cannot be started";
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("{} cannot be written", self.log.display()))?;
        let (program, args) = self.argv.split_first().with_context(context)?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(log).kill_on_drop(true);
        // Ctrl-C is for us, who end it in order.
        command.process_group(0);
        command.spawn().with_context(context)
    }
}

/// Lets the process drain; kills it if that takes too long.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // The child is ours and was not waited for, so the id is still its own.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if time::timeout(END_MAX, child.wait()).await.is_err() {
        tracing::warn!("the gateway does not end, and is killed");
        let _ = child.kill().await;
    }
}

/// What the gateway is told.
fn arguments(args: &UpArgs, folder: &Path, addresses: &Path, control: &Path) -> Vec<String> {
    let mut all = vec![
        "gateway".to_owned(),
        format!("--control={}", control.display()),
        format!("--workload={}", workload()),
        format!("--service-account={NAME}"),
        format!("--trust-domain={}", args.mesh.trust_domain),
        format!("--domain={}", args.mesh.domain),
        format!("--state={}", folder.display()),
        format!("--address-file={}", addresses.display()),
        format!("--log={}", args.log),
        match args.gateway_admin {
            AddressOrOff::Address(addr) => format!("--admin={addr}"),
            AddressOrOff::Off => "--admin=off".to_owned(),
        },
    ];
    all.extend(args.listen.typed());
    all.extend(args.files.iter().map(|path| format!("--file={}", path.display())));
    all
}

/// The listeners in a gateway's address file.
fn listeners(text: &str) -> Option<BTreeMap<String, SocketAddr>> {
    #[derive(serde::Deserialize)]
    struct Written {
        listeners: BTreeMap<String, SocketAddr>,
    }
    serde_json::from_str::<Written>(text).ok().map(|written| written.listeners)
}
