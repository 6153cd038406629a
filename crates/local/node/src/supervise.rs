//! Does what a [`Life`] says: starts, signals and waits for processes.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio as ProcessStdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::command::SYSTEM_PATH;
use crate::launch::{Proxy, Surroundings, User};
use crate::life::{Action, Event, Exit, Input, Life, Outcome, Process, Times};
use crate::listens::Listens;

mod ready;

/// Standard input, output and error of an application.
#[derive(Debug)]
pub struct Stdio {
    /// What it reads.
    pub stdin: OwnedFd,
    /// What it writes.
    pub stdout: OwnedFd,
    /// What it complains to.
    pub stderr: OwnedFd,
}

/// What somebody outside wants of a workload.
#[derive(Debug)]
pub(crate) enum Order {
    /// End; the second time at once.
    Stop,
    /// Pass a signal on to the application.
    Signal(Signal),
    /// Put another proxy in the place of the one there is.
    Upgrade(Upgrade),
}

/// Another proxy for a workload.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// What it runs.
    pub(crate) program: PathBuf,
    /// Hears how it went: why the proxy there is goes on.
    pub(crate) done: oneshot::Sender<Result<(), String>>,
}

/// Everything that a workload is started from.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) times: Times,
    pub(crate) surroundings: Surroundings,
    pub(crate) proxy: Proxy,
    /// Where the proxy says whether it is ready.
    pub(crate) ready: SocketAddr,
    pub(crate) user: User,
    /// The script that becomes the application.
    pub(crate) script: PathBuf,
    /// Where the application is to listen.
    pub(crate) listens: Listens,
    pub(crate) stdio: Stdio,
}

/// What a supervisor tells of its work.
pub(crate) enum Note {
    /// Something happened.
    Event(Event),
    /// A process has begun.
    Started(Process, u32),
    /// A process is no more.
    Ended(Process, u32),
}

type Probe = Pin<Box<dyn Future<Output = ()>>>;

/// A process with its id, which is needed once more when it has ended.
struct Running {
    child: Child,
    id: u32,
}

/// The processes of one life.
struct Processes {
    start: StartOnce,
    proxy: Option<Running>,
    successor: Option<Running>,
    predecessor: Option<Running>,
    application: Option<Running>,
    /// The application's process group, which may outlive its first process.
    group: Option<Pid>,
    /// Whether the proxy is ready.
    probe: Option<Probe>,
    /// Whether its successor is.
    successor_probe: Option<Probe>,
    /// Whether the application listens.
    listens_probe: Option<Probe>,
    /// What the successor runs, and who waits for it.
    upgrade: Option<Upgrade>,
}

/// What is used up by starting the application is in an option.
struct StartOnce {
    surroundings: Surroundings,
    proxy: Proxy,
    ready: SocketAddr,
    user: User,
    script: PathBuf,
    listens: Listens,
    stdio: Option<Stdio>,
}

/// Lives a life to its end. `orders` that ends means stop.
///
/// Processes are told by the kernel when the thread that started them dies, so this has to run on a
/// thread that lasts as long as the program: the control thread.
///
/// Not cancel safe: dropped, it leaves processes behind.
pub(crate) async fn supervise(
    start: Start,
    mut orders: mpsc::Receiver<Order>,
    mut tell: impl FnMut(Note),
) -> Outcome {
    let has_ports = !start.listens.ports.is_empty();
    let (mut life, actions) = Life::begin(start.times, has_ports, weft_runtime::time::now());
    let mut processes = Processes::new(start);
    let mut actions = VecDeque::from(actions);
    let mut are_orders_open = true;
    loop {
        while let Some(action) = actions.pop_front() {
            match processes.carry_out(action, &mut tell) {
                Done::Nothing => {}
                Done::NotStarted(process, reason) => {
                    let input = Input::NotStarted(process, reason);
                    actions.extend(life.handle(weft_runtime::time::now(), input));
                }
                Done::Over(outcome) => return outcome,
            }
        }
        let wake = life.wake();
        let input = tokio::select! {
            input = processes.next(&mut tell) => input,
            order = orders.recv(), if are_orders_open => match order {
                Some(Order::Signal(signal)) => {
                    processes.pass_on(signal);
                    continue;
                }
                Some(Order::Upgrade(upgrade)) => match life.may_upgrade() {
                    Ok(()) => {
                        processes.upgrade = Some(upgrade);
                        Input::Upgrade
                    }
                    Err(reason) => {
                        upgrade.answer(Err(reason.to_owned()));
                        continue;
                    }
                },
                Some(Order::Stop) => Input::Stop,
                None => {
                    are_orders_open = false;
                    Input::Stop
                }
            },
            () = due(wake) => Input::Tick,
        };
        actions.extend(life.handle(weft_runtime::time::now(), input));
    }
}

/// What came of an action.
enum Done {
    Nothing,
    NotStarted(Process, String),
    Over(Outcome),
}

// === impl Upgrade ===

impl Upgrade {
    fn answer(self, answer: Result<(), String>) {
        // Whoever has asked may be gone.
        let _ = self.done.send(answer);
    }
}

// === impl Processes ===

impl Processes {
    fn new(start: Start) -> Self {
        let Start { times: _, surroundings, proxy, ready, user, script, listens, stdio } = start;
        let stdio = Some(stdio);
        let start = StartOnce { surroundings, proxy, ready, user, script, listens, stdio };
        Self {
            start,
            proxy: None,
            successor: None,
            predecessor: None,
            application: None,
            group: None,
            probe: None,
            successor_probe: None,
            listens_probe: None,
            upgrade: None,
        }
    }

    fn carry_out(&mut self, action: Action, tell: &mut impl FnMut(Note)) -> Done {
        match action {
            Action::Start(process) => match self.start(process) {
                Ok(id) => tell(Note::Started(process, id)),
                Err(error) => return Done::NotStarted(process, error.to_string()),
            },
            Action::Succeed => {
                self.succeed();
                if let Some(proxy) = &self.proxy {
                    tell(Note::Started(Process::Proxy, proxy.id));
                }
            }
            Action::Terminate(process) => self.signal(process, Signal::TERM),
            Action::Kill(process) => self.signal(process, Signal::KILL),
            Action::Report(event) => {
                self.answer(&event);
                tell(Note::Event(event));
            }
            Action::Finish(outcome) => {
                // What has left the application behind and ignored SIGTERM.
                self.signal(Process::Application, Signal::KILL);
                return Done::Over(outcome);
            }
        }
        Done::Nothing
    }

    /// The next thing that happens to a process.
    ///
    /// Cancel safe.
    async fn next(&mut self, tell: &mut impl FnMut(Note)) -> Input {
        let (process, (id, exit)) = tokio::select! {
            ended = ended(&mut self.proxy) => (Process::Proxy, ended),
            ended = ended(&mut self.successor) => (Process::Successor, ended),
            ended = ended(&mut self.predecessor) => (Process::Predecessor, ended),
            ended = ended(&mut self.application) => (Process::Application, ended),
            () = probed(&mut self.probe) => return Input::Ready(Process::Proxy),
            () = probed(&mut self.successor_probe) => return Input::Ready(Process::Successor),
            () = probed(&mut self.listens_probe) => return Input::Ready(Process::Application),
        };
        match process {
            Process::Proxy => self.probe = None,
            Process::Successor => self.successor_probe = None,
            Process::Application => self.listens_probe = None,
            Process::Predecessor => {}
        }
        tell(Note::Ended(process, id));
        Input::Ended(process, exit)
    }

    fn start(&mut self, process: Process) -> io::Result<u32> {
        match process {
            Process::Proxy => {
                let running = Running::new(self.start.proxy(&self.start.proxy.program)?)?;
                self.probe = Some(Box::pin(ready::until_ready(self.start.ready, None)));
                Ok(self.proxy.insert(running).id)
            }
            Process::Successor | Process::Predecessor => {
                let Some(upgrade) = &self.upgrade else {
                    return Err(io::Error::other("nobody has asked for another proxy"));
                };
                let running = Running::new(self.start.proxy(&upgrade.program)?)?;
                // The one before answers at the same address until this one is ready.
                let probe = ready::until_ready(self.start.ready, Some(running.id));
                self.successor_probe = Some(Box::pin(probe));
                Ok(self.successor.insert(running).id)
            }
            Process::Application => {
                let running = Running::new(self.start.application()?)?;
                self.group = Pid::from_raw(running.id.cast_signed());
                let listens = self.start.listens.clone();
                let has_ports = !listens.ports.is_empty();
                let probe: Probe = Box::pin(listens.until_open(running.id));
                self.listens_probe = has_ports.then_some(probe);
                Ok(self.application.insert(running).id)
            }
        }
    }

    fn succeed(&mut self) {
        self.predecessor = self.proxy.take();
        self.proxy = self.successor.take();
        // If it is not ready yet, it is the proxy's readiness that is asked for from now on.
        self.probe = self.successor_probe.take();
        if let Some(upgrade) = &self.upgrade {
            // Also for when it dies.
            self.start.proxy.program.clone_from(&upgrade.program);
        }
    }

    /// Tells who has asked for an upgrade how it went.
    fn answer(&mut self, event: &Event) {
        let answer = match event {
            Event::ProxyUpgraded => Ok(()),
            Event::ProxyNotUpgraded { reason } => Err(reason.clone()),
            Event::ProxyReady if self.successor.is_none() => Ok(()),
            _ => return,
        };
        if let Some(upgrade) = self.upgrade.take() {
            upgrade.answer(answer);
        }
    }

    fn signal(&self, process: Process, signal: Signal) {
        let running = match process {
            Process::Proxy => &self.proxy,
            Process::Successor => &self.successor,
            Process::Predecessor => &self.predecessor,
            Process::Application => {
                // Who is gone meanwhile needs no signal.
                let _ = self.group.map(|group| kill_process_group(group, signal));
                return;
            }
        };
        let _ = pid(running.as_ref()).map(|pid| kill_process(pid, signal));
    }

    /// What a terminal sends to everything in the foreground goes to the whole group, anything
    /// else to the application itself.
    fn pass_on(&self, signal: Signal) {
        let is_of_terminal = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TSTP, Signal::CONT];
        if is_of_terminal.contains(&signal) {
            self.signal(Process::Application, signal);
        } else {
            let _ = pid(self.application.as_ref()).map(|pid| kill_process(pid, signal));
        }
    }
}

// === impl Running ===

impl Running {
    fn new(child: Child) -> io::Result<Self> {
        let id = child.id().ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(Self { child, id })
    }
}

// === impl StartOnce ===

impl StartOnce {
    fn application(&mut self) -> io::Result<Child> {
        let argv = self.surroundings.application(&self.user, &self.script);
        let Some(Stdio { stdin, stdout, stderr }) = self.stdio.take() else {
            return Err(io::Error::other("the application was started before"));
        };
        let mut command = clean(&argv)?;
        command.process_group(0).stdin(stdin).stdout(stdout).stderr(stderr).spawn()
    }

    fn proxy(&self, program: &Path) -> io::Result<Child> {
        let Proxy { program: _, args: _, env, log } = &self.proxy;
        // A program below a home folder cannot be reached by the proxy's user by its path, but can
        // be by a descriptor, which is open just long enough for the child to have it.
        let by_descriptor = (self.surroundings.is_root && !is_reachable(program))
            .then(|| rustix::fs::open(program, OFlags::PATH, Mode::empty()))
            .transpose()?;
        let program = match &by_descriptor {
            Some(descriptor) => PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd())),
            None => program.to_path_buf(),
        };
        let argv = self.surroundings.proxy(&self.proxy, &program);
        let mut command = clean(&argv)?;
        command.envs(env.iter().map(|(name, value)| (name, value)));
        if let Some(path) = log {
            let file = std::fs::File::options().create(true).append(true).open(path)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        // Its own group: what a terminal sends to the node is not for it.
        command.process_group(0).stdin(ProcessStdio::null()).spawn()
    }
}

/// A program with nothing in its environment but where programs of the system are.
fn clean(argv: &[String]) -> io::Result<Command> {
    let Some((program, args)) = argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", SYSTEM_PATH);
    Ok(command)
}

/// Whether everybody may run it, and pass through the folders above it.
fn is_reachable(program: &Path) -> bool {
    let Ok(program) = program.canonicalize() else { return false };
    program
        .ancestors()
        .all(|path| path.metadata().is_ok_and(|metadata| metadata.mode() & 0o001 != 0))
}

fn pid(running: Option<&Running>) -> Option<Pid> {
    Pid::from_raw(running?.child.id()?.cast_signed())
}

async fn ended(process: &mut Option<Running>) -> (u32, Exit) {
    let Some(running) = process else { return std::future::pending().await };
    let id = running.id;
    let status = running.child.wait().await;
    *process = None;
    // That a child of ours cannot be waited for does not happen; it counts as a failure.
    (id, status.map_or(Exit::Code(1), exit))
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

async fn probed(probe: &mut Option<Probe>) {
    match probe {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
    *probe = None;
}

async fn due(at: Option<std::time::Instant>) {
    match at {
        Some(at) => weft_runtime::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
