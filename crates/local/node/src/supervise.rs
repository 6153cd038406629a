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
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::command::SYSTEM_PATH;
use crate::launch::{Proxy, Surroundings, User};
use crate::life::{Action, Event, Exit, Input, Life, Outcome, Process, Times};

/// How often a proxy is asked whether it is ready: fast enough not to be noticed at a start.
const READY_POLL: Duration = Duration::from_millis(20);

/// How long one such question may take.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long its connection may take. The first packet to a namespace that has just come up may be
/// lost, and TCP would repeat it after a second only.
const READY_CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// End; the second time at once.
    Stop,
    /// Pass a signal on to the application.
    Signal(Signal),
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
    pub(crate) stdio: Stdio,
}

/// What a supervisor tells of its work.
pub(crate) enum Note {
    /// Something happened.
    Event(Event),
    /// A process has begun, or is no more.
    Process(Process, Option<u32>),
}

type Probe = Pin<Box<dyn Future<Output = ()>>>;

/// The processes of one life.
struct Processes {
    start: StartOnce,
    proxy: Option<Child>,
    application: Option<Child>,
    /// The application's process group, which may outlive its first process.
    group: Option<Pid>,
    probe: Option<Probe>,
}

/// What is used up by starting the application is in an option.
struct StartOnce {
    surroundings: Surroundings,
    proxy: Proxy,
    ready: SocketAddr,
    user: User,
    script: PathBuf,
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
    let Start { times, surroundings, proxy, ready, user, script, stdio } = start;
    let stdio = Some(stdio);
    let start = StartOnce { surroundings, proxy, ready, user, script, stdio };
    let mut processes =
        Processes { start, proxy: None, application: None, group: None, probe: None };
    let (mut life, actions) = Life::begin(times, weft_runtime::time::now());
    let mut actions = VecDeque::from(actions);
    let mut are_orders_open = true;
    loop {
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Start(process) => match processes.start(process) {
                    Ok(pid) => tell(Note::Process(process, pid)),
                    Err(error) => {
                        let reason = error.to_string();
                        let input = Input::NotStarted(process, reason);
                        actions.extend(life.handle(weft_runtime::time::now(), input));
                    }
                },
                Action::Terminate(process) => processes.signal(process, Signal::TERM),
                Action::Kill(process) => processes.signal(process, Signal::KILL),
                Action::Report(event) => tell(Note::Event(event)),
                Action::Finish(outcome) => {
                    // What has left the application behind and ignored SIGTERM.
                    processes.signal(Process::Application, Signal::KILL);
                    return outcome;
                }
            }
        }
        let wake = life.wake();
        let input = tokio::select! {
            exit = ended(&mut processes.proxy) => {
                processes.probe = None;
                tell(Note::Process(Process::Proxy, None));
                Input::Ended(Process::Proxy, exit)
            }
            exit = ended(&mut processes.application) => {
                tell(Note::Process(Process::Application, None));
                Input::Ended(Process::Application, exit)
            }
            () = probed(&mut processes.probe) => Input::ProxyReady,
            order = orders.recv(), if are_orders_open => match order {
                Some(Order::Signal(signal)) => {
                    processes.pass_on(signal);
                    continue;
                }
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

// === impl Processes ===

impl Processes {
    fn start(&mut self, process: Process) -> io::Result<Option<u32>> {
        match process {
            Process::Proxy => {
                let child = self.start.proxy()?;
                let pid = child.id();
                self.proxy = Some(child);
                self.probe = Some(Box::pin(until_ready(self.start.ready)));
                Ok(pid)
            }
            Process::Application => {
                let child = self.start.application()?;
                let pid = child.id();
                self.group = pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
                self.application = Some(child);
                Ok(pid)
            }
        }
    }

    fn signal(&self, process: Process, signal: Signal) {
        // Who is gone meanwhile needs no signal.
        let _ = match process {
            Process::Proxy => pid(self.proxy.as_ref()).map(|pid| kill_process(pid, signal)),
            Process::Application => self.group.map(|group| kill_process_group(group, signal)),
        };
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

    fn proxy(&self) -> io::Result<Child> {
        let Proxy { program, env, log, .. } = &self.proxy;
        // A program below a home folder cannot be reached by the proxy's user by its path, but can
        // be by a descriptor, which is open just long enough for the child to have it.
        let by_descriptor = (self.surroundings.is_root && !is_reachable(program))
            .then(|| rustix::fs::open(program, OFlags::PATH, Mode::empty()))
            .transpose()?;
        let program = match &by_descriptor {
            Some(descriptor) => PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd())),
            None => program.clone(),
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

fn pid(child: Option<&Child>) -> Option<Pid> {
    Pid::from_raw(child?.id()?.cast_signed())
}

async fn ended(child: &mut Option<Child>) -> Exit {
    let Some(running) = child else { return std::future::pending().await };
    let status = running.wait().await;
    *child = None;
    // That a child of ours cannot be waited for does not happen; it counts as a failure.
    status.map_or(Exit::Code(1), exit)
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

/// Asks until the proxy says that it is ready.
async fn until_ready(addr: SocketAddr) {
    loop {
        let answer = weft_runtime::time::timeout(READY_TIMEOUT, is_ready(addr)).await;
        if matches!(answer, Ok(Ok(true))) {
            return;
        }
        weft_runtime::time::sleep(READY_POLL).await;
    }
}

/// `GET /readyz`, answered with 200.
async fn is_ready(addr: SocketAddr) -> io::Result<bool> {
    let connect = tokio::net::TcpStream::connect(addr);
    let connected = weft_runtime::time::timeout(READY_CONNECT_TIMEOUT, connect).await;
    let mut stream = connected.map_err(|_| io::ErrorKind::TimedOut)??;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // The status line begins `HTTP/1.1 200`.
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
}
