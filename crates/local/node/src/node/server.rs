//! The node's Unix socket.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use weft_runtime::drain::{Phase, Watch};

use super::{Node, Running, Stdio};
use crate::Name;
use crate::api::channel::{Channel, ChannelError};
use crate::api::{Answer, Refusal, RefusalKind, Registered, Request, Run};
use crate::attest::Caller;
use crate::host::processes;
use crate::launch::User;
use crate::life::{Event, Outcome};

/// How many callers may be connected. Each is a process of a user, so more would be a mistake of
/// one of them.
const CALLERS_MAX: usize = 1024;

/// Who calls.
#[derive(Debug, Clone, Copy)]
struct Peer {
    pid: u32,
    uid: u32,
    gid: u32,
}

/// One caller's connection.
struct Session {
    node: Node,
    peer: Peer,
    channel: Channel,
    workload: Option<Workload>,
    drain: Watch,
}

/// The workload that a caller has started.
struct Workload {
    name: Name,
    events: mpsc::Receiver<Event>,
    outcome: oneshot::Receiver<Outcome>,
    is_detached: bool,
}

/// Binds the node's socket, in place of one that a crash has left. Every user may call: what a
/// caller may do depends on who it is.
///
/// # Errors
///
/// When the folder is not there or not ours.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    // The lock of the state folder says that nobody else uses it.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    Ok(listener)
}

impl Node {
    /// Serves callers until the drain begins. Those who are there keep their connection until
    /// their workload has ended.
    ///
    /// Cancel safe: dropping it stops accepting.
    pub async fn serve(&self, listener: UnixListener, mut drain: Watch) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = drain.reached(Phase::Draining) => return,
            };
            match accepted {
                Ok((stream, _)) if self.callers() < CALLERS_MAX => {
                    let (node, drain) = (self.clone(), drain.clone());
                    let _ends_with_its_caller =
                        weft_runtime::task::spawn("node caller", node.converse(stream, drain));
                }
                Ok(_) => tracing::warn!("a caller was turned away: there are 1024 already"),
                Err(error) => {
                    tracing::warn!(%error, "a caller cannot be accepted");
                    weft_runtime::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Clones of the node are one for each caller and each workload, and a few.
    fn callers(&self) -> usize {
        std::rc::Rc::strong_count(&self.0)
    }

    async fn converse(self, stream: UnixStream, drain: Watch) {
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "the kernel does not tell who calls");
                return;
            }
        };
        let channel = Channel::new(stream);
        let mut session = Session { node: self, peer, channel, workload: None, drain };
        if let Err(error) = session.serve().await {
            tracing::debug!(pid = peer.pid, %error, "a caller's connection ended");
        }
        session.leave();
    }
}

// === impl Session ===

impl Session {
    async fn serve(&mut self) -> Result<(), ChannelError> {
        loop {
            let is_idle = self.workload.is_none();
            let answer = tokio::select! {
                // What is to be told comes before what is asked, so that the end is not lost.
                biased;
                answer = told(&mut self.workload) => answer,
                _ = self.drain.reached(Phase::Draining), if is_idle => return Ok(()),
                request = self.channel.receive::<Request>() => match request {
                    Ok(Some(request)) => self.answer(request).await,
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        let refusal = Refusal::new(RefusalKind::Invalid, &error);
                        self.channel.send(&Answer::Refused(refusal), &[]).await?;
                        return Err(error);
                    }
                },
            };
            if matches!(answer, Answer::Ended(_)) {
                self.workload = None;
            }
            self.channel.send(&answer, &[]).await?;
        }
    }

    async fn answer(&mut self, request: Request) -> Answer {
        let answered = match request {
            Request::Run(run) => self.run(*run).await,
            Request::List => Ok(Answer::Workloads(self.visible())),
            Request::Stop { workload } => self
                .may_touch(&workload)
                .and_then(|()| self.node.stop(&workload))
                .map(|()| Answer::Done),
            Request::Signal { workload, signal } => self
                .may_touch(&workload)
                .and_then(|()| self.node.signal(&workload, signal))
                .map(|()| Answer::Done),
            Request::Upgrade { .. } | Request::Program { .. } | Request::Who { .. }
                if !self.is_master() =>
            {
                Err(forbidden("only root and the node's owner may ask that"))
            }
            Request::Upgrade { workload, program } => {
                self.node.upgrade(&workload, &program).await.map(|()| Answer::Done)
            }
            Request::Program { program } => self.node.set_program(&program).map(|()| Answer::Done),
            Request::Who { pid, uid } => Ok(Answer::Who(self.node.who(Caller { pid, uid }))),
        };
        answered.unwrap_or_else(Answer::Refused)
    }

    async fn run(&mut self, run: Run) -> Result<Answer, Refusal> {
        let invalid = |reason: &str| Refusal::new(RefusalKind::Invalid, reason);
        if self.workload.is_some() {
            return Err(invalid("this connection has its workload already; open another one"));
        }
        let descriptors: Result<[OwnedFd; 3], _> = self.channel.take_descriptors().try_into();
        let [stdin, stdout, stderr] = descriptors
            .map_err(|_| invalid("standard input, output and error have to come along"))?;
        let user = match &run.user {
            None => self.peer.user(),
            Some(user) if self.peer.uid == 0 || *user == self.peer.user() => user.clone(),
            Some(_) => return Err(forbidden("only root may run programs of others")),
        };
        self.may_be(&run)?;
        let is_detached = run.detach;
        let running = self.node.run(run, Stdio { stdin, stdout, stderr }, user).await?;
        let Running { registered, events, outcome } = running;
        let name = registered.name.clone();
        self.workload = Some(Workload { name, events, outcome, is_detached });
        Ok(Answer::Started(Box::new(registered)))
    }

    /// What the caller may see: all for root and the owner, others their own.
    fn visible(&self) -> Vec<Registered> {
        let all = self.node.registry().borrow().clone();
        let is_visible = |workload: &&Registered| self.is_master() || workload.uid == self.peer.uid;
        all.iter().filter(is_visible).cloned().collect()
    }

    fn may_touch(&self, workload: &Name) -> Result<(), Refusal> {
        let all = self.node.registry().borrow().clone();
        let owner = all.iter().find(|other| other.name == *workload).map(|other| other.uid);
        if self.is_master() || owner.is_none_or(|uid| uid == self.peer.uid) {
            return Ok(());
        }
        Err(forbidden(&format!("{workload} is another user's; only root and the node's owner may")))
    }

    /// An identity is what others let in, so it is not for everybody to choose.
    fn may_be(&self, run: &Run) -> Result<(), Refusal> {
        let (uid, namespace, account) =
            (self.peer.uid, run.name.namespace(), run.service_account());
        let permits = &self.node.0.settings.permits;
        if self.is_master() || permits.iter().any(|it| it.allows(uid, namespace, account)) {
            return Ok(());
        }
        let what = format!("{namespace}/{account}");
        Err(forbidden(&format!(
            "user {uid} may not run workloads as {what}: root and the owner of this node may, and \
             who has a permit (`weftway up --allow-user {uid}={what}`)"
        )))
    }

    fn is_master(&self) -> bool {
        self.peer.uid == 0 || self.peer.uid == self.node.0.settings.owner
    }

    /// The caller is gone: what it ran in the foreground ends.
    fn leave(self) {
        if let Some(Workload { name, is_detached: false, .. }) = self.workload {
            // It may have ended meanwhile.
            let _ = self.node.stop(&name);
        }
    }
}

// === impl Peer ===

impl Peer {
    fn of(stream: &UnixStream) -> io::Result<Self> {
        let peer = stream.peer_cred()?;
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(Self { pid, uid: peer.uid(), gid: peer.gid() })
    }

    /// The caller as a user. Its groups are those of its process, as long as that is still there;
    /// what a client claims has no weight.
    fn user(self) -> User {
        let Self { pid, uid, gid } = self;
        let field = |name: &str| processes::status_field(pid, name).unwrap_or_default();
        // Real, effective, saved and file system user have to be the caller.
        let is_same = field("Uid:").split_whitespace().all(|word| word == uid.to_string());
        let groups = if is_same { field("Groups:") } else { String::new() };
        let groups = groups.split_whitespace().filter_map(|group| group.parse().ok()).collect();
        User { uid, gid, groups }
    }
}

/// What is to be told of a workload; never, when there is none.
async fn told(workload: &mut Option<Workload>) -> Answer {
    let Some(Workload { events, outcome, .. }) = workload else {
        return std::future::pending().await;
    };
    match events.recv().await {
        Some(event) => Answer::Event(event),
        // The sender goes with the task that gives the outcome.
        None => match outcome.await {
            Ok(outcome) => Answer::Ended(outcome),
            Err(_) => Answer::Ended(Outcome::Failed("its supervisor ended early".into())),
        },
    }
}

fn forbidden(reason: &str) -> Refusal {
    Refusal::new(RefusalKind::Forbidden, reason)
}
