//! The link as it runs: it connects, follows, renews, and keeps what it has.

mod certificates;
mod discovery;
mod keep;

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tonic::Status;
use weft_authority::renew_at;
use weft_model::Generation;
use weft_model::id::ServiceName;
use weft_resilience::rng::Rng;
use weft_runtime::ready::{Blocker, Readiness};
use weft_runtime::time;
use weft_tls::mesh::{Credentials, MeshTls, MeshTlsCell};

use crate::backoff::Backoff;
use crate::channel::Channel;
use crate::client::Client;
use crate::endpoint::{CannotConnect, Pass, Proof};
use crate::held::Held;
use crate::settings::Settings;
use crate::state::State;

/// Wishes that wait to be sent. A worker that has more waits for its next dial.
const DEMAND_MAX: usize = 4096;

/// Attempts to renew that are made at least in what is left of a certificate.
const PATIENCE_SHARE: u32 = 8;

/// The shortest wait, also for who has a certificate that has ended.
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A proxy's line to the control plane. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Link(Rc<Shared>);

/// Where workers say which services they use. Cheap to clone, for any thread.
#[derive(Debug, Clone)]
pub struct Demand(mpsc::Sender<ServiceName>);

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether there is a connection.
    pub is_connected: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// Why the last connection ended, or did not come about.
    pub last_error: Option<String>,
    /// Attempts to connect so far.
    pub attempts: u64,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    demand: mpsc::Sender<ServiceName>,
    state: watch::Sender<State>,
    held: watch::Sender<Option<Held>>,
    credentials: watch::Sender<Option<Arc<Credentials>>>,
    tls: MeshTlsCell,
    in_force: watch::Sender<Generation>,
    status: watch::Sender<LinkStatus>,
    /// Set when a newer process is the proxy.
    succeeded: watch::Sender<bool>,
    /// Set when the proxy ends.
    ending: watch::Sender<bool>,
    ended: watch::Sender<bool>,
    rng: Rng,
    blockers: RefCell<Blockers>,
}

#[derive(Debug)]
struct Blockers {
    certificate: Option<Blocker>,
    configuration: Option<Blocker>,
}

/// What one connection ended with.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connect(#[from] CannotConnect),
    #[error("the control plane cannot be spoken to")]
    Http(#[from] hyper::Error),
    #[error("the control plane says: {}", .0.message())]
    Refused(Status),
    #[error("the control plane has ended the stream")]
    Ended,
    #[error("no answer in time")]
    Late,
    #[error("the certificate that was issued cannot be used")]
    Certificate(#[source] Box<dyn Error + Send + Sync>),
}

/// How a connection ended that did what it was for.
enum Done {
    /// There is a certificate now, to come back with.
    Joined,
    /// The proxy ends.
    Ending,
}

/// A link, and what runs it: to be spawned on the control thread. It ends after
/// [`Link::say_goodbye`].
///
/// Blocks `readiness` by `certificate` and `configuration` until there is one of each. The
/// configuration may come from the disk; a certificate from there is for when the control plane
/// cannot be asked for a fresh one: others may have ceased to trust its root meanwhile.
pub fn start(
    settings: Settings,
    readiness: &Readiness,
) -> (Link, impl Future<Output = ()> + use<>) {
    let (demand, wishes) = mpsc::channel(DEMAND_MAX);
    let status = LinkStatus {
        is_connected: false,
        since: settings.clock.now(),
        last_error: None,
        attempts: 0,
    };
    let blockers = Blockers {
        certificate: Some(readiness.block("certificate")),
        configuration: Some(readiness.block("configuration")),
    };
    let shared = Rc::new(Shared {
        rng: Rng::new(settings.seed),
        settings,
        demand,
        state: watch::Sender::new(State::default()),
        held: watch::Sender::new(None),
        credentials: watch::Sender::new(None),
        tls: MeshTlsCell::new(),
        in_force: watch::Sender::new(Generation::default()),
        status: watch::Sender::new(status),
        succeeded: watch::Sender::new(false),
        ending: watch::Sender::new(false),
        ended: watch::Sender::new(false),
        blockers: RefCell::new(blockers),
    });
    (Link(shared.clone()), run(shared, wishes))
}

// === impl Link ===

impl Link {
    /// What the proxy has of the mesh; always whole.
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// What the proxy proves its identity with.
    pub fn credentials(&self) -> watch::Receiver<Option<Arc<Credentials>>> {
        self.0.credentials.subscribe()
    }

    /// The same, made ready for handshakes. The authority hears of roots that are trusted after they
    /// are in force here.
    pub fn tls(&self) -> MeshTlsCell {
        self.0.tls.clone()
    }

    /// Where workers say which services they use.
    pub fn demand(&self) -> Demand {
        Demand(self.0.demand.clone())
    }

    /// All of that generation is in force.
    pub fn put_in_force(&self, generation: Generation) {
        self.0.in_force.send_replace(generation);
    }

    /// A newer process is the proxy; this one finishes what it has, with the certificate that it has.
    /// Another one would be taken for the newer process', whose own this must not end at the
    /// goodbye.
    pub fn succeeded(&self) {
        self.0.succeeded.send_replace(true);
    }

    /// How the link is.
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.0.status.subscribe()
    }

    /// Tells the authority that the certificate of this proxy is presented no more, and ends the
    /// link. Waits 2 s at most.
    ///
    /// Cancel safe; the link ends anyway.
    pub async fn say_goodbye(&self) {
        self.0.ending.send_replace(true);
        let mut ended = self.0.ended.subscribe();
        let _ = time::timeout(GOODBYE, ended.wait_for(|ended| *ended)).await;
    }
}

// === impl Demand ===

impl Demand {
    /// A service is used: to be said at its first dial, and again once a minute or so while it is in
    /// use. Answers whether it was heard; if not, there is a flood of wishes, and the next dial says
    /// it again.
    pub fn want(&self, name: ServiceName) -> bool {
        self.0.try_send(name).is_ok()
    }
}

// === impl Shared ===

impl Shared {
    /// Puts a certificate in force, or other roots for the one that there is. The proxy is ready with
    /// it when [`Shared::settle`] says so.
    fn put_in_force(&self, held: Held) -> Result<(), Broken> {
        let clock = self.settings.clock.provider();
        let tls = MeshTls::build_with_clock(&held.credentials, clock)
            .map_err(|error| Broken::Certificate(error.into()))?;
        self.tls.set(tls);
        self.credentials.send_replace(Some(held.credentials.clone()));
        self.held.send_replace(Some(held));
        Ok(())
    }

    /// The certificate in force is one to be ready with.
    fn settle(&self) {
        if let Some(blocker) = self.blockers.borrow_mut().certificate.take() {
            blocker.clear();
        }
    }

    /// Whether there is only the certificate of an earlier process so far, and it is valid.
    fn has_only_kept(&self) -> bool {
        self.blockers.borrow().certificate.is_some() && self.valid().is_some()
    }

    /// There is no fresh certificate to be had for now.
    fn settle_for_kept(&self, why: &str) {
        if self.has_only_kept() {
            tracing::warn!(why, "the proxy starts with the certificate that was kept");
            self.settle();
        }
    }

    /// Puts a state out.
    fn put_out(&self, state: State) {
        self.state.send_replace(state);
        if let Some(blocker) = self.blockers.borrow_mut().configuration.take() {
            blocker.clear();
        }
    }

    /// The certificate, if it is valid.
    fn valid(&self) -> Option<Held> {
        let now = self.settings.clock.now();
        self.held.borrow().clone().filter(|held| held.validity.contains(now))
    }

    /// The longest wait before something is tried again that a certificate depends on. One that is
    /// due to be renewed lets nobody wait for long.
    fn patience(&self) -> Duration {
        let now = self.settings.clock.now();
        let held = self.held.borrow();
        let validity = held.as_ref().map(|held| held.validity);
        match validity.filter(|it| renew_at(it.not_before, it.not_after, 0.0) <= now) {
            Some(validity) => (validity.left(now) / PATIENCE_SHARE).max(PATIENCE_MIN),
            None => Duration::MAX,
        }
    }

    fn set_connected(&self, is_connected: bool, error: Option<String>) {
        let now = self.settings.clock.now();
        self.status.send_modify(|status| {
            if status.is_connected != is_connected {
                (status.is_connected, status.since) = (is_connected, now);
            }
            if !is_connected {
                status.last_error = error;
            }
        });
    }

    /// Ends when the proxy ends.
    async fn ending(&self) {
        let mut ending = self.ending.subscribe();
        // The sender is in `self`.
        let _ = ending.wait_for(|ending| *ending).await;
    }
}

async fn run(shared: Rc<Shared>, mut wishes: mpsc::Receiver<ServiceName>) {
    let state = keep::load(&shared).await;
    let Settings { workload, identity, product_version, .. } = &shared.settings;
    let mut follower =
        discovery::Follower::new(Client::new(workload, Some(identity), product_version, state));
    tokio::select! {
        () = connect(&shared, &mut follower, &mut wishes) => {}
        () = keep::keep_state(&shared) => {}
        () = keep::keep_credentials(&shared) => {}
        never = settle_in_time(&shared) => match never {},
    }
    shared.ended.send_replace(true);
}

/// A control plane that says nothing does not keep a proxy with a certificate from being ready.
async fn settle_in_time(shared: &Shared) -> Infallible {
    time::sleep(shared.settings.times.fresh).await;
    shared.settle_for_kept("no answer in time");
    pending().await
}

/// Connects again and again, until the proxy ends.
async fn connect(
    shared: &Shared,
    follower: &mut discovery::Follower,
    wishes: &mut mpsc::Receiver<ServiceName>,
) {
    let mut backoff = Backoff::new(shared.settings.seed, shared.settings.times.reconnect_max);
    loop {
        shared.status.send_modify(|status| status.attempts += 1);
        let mut has_followed = false;
        let done = tokio::select! {
            done = once(shared, follower, wishes, &mut has_followed) => done,
            () = goodbye_late(shared) => return,
        };
        follower.end_wait(shared);
        let error = match done {
            Ok(Done::Ending) => return,
            Ok(Done::Joined) => continue,
            Err(error) => describe(&error),
        };
        if shared.status.borrow().last_error.as_ref() != Some(&error) {
            tracing::warn!(%error, "no connection to the control plane; what is known goes on");
        }
        shared.settle_for_kept(&error);
        shared.set_connected(false, Some(error));
        if has_followed {
            backoff.reset();
        }
        let wait = backoff.next().min(shared.patience());
        tokio::select! {
            () = time::sleep(wait) => {}
            () = shared.ending() => return,
        }
    }
}

/// One connection, from its beginning to its end.
async fn once(
    shared: &Shared,
    follower: &mut discovery::Follower,
    wishes: &mut mpsc::Receiver<ServiceName>,
    has_followed: &mut bool,
) -> Result<Done, Broken> {
    let times = shared.settings.times;
    let is_valid = shared.valid().is_some();
    let tls = shared.tls.current();
    let opened = time::timeout(times.connect, async {
        let Settings { endpoint, clock, .. } = &shared.settings;
        let proof = tls.as_deref().map(|tls| Proof { tls, is_valid });
        let attempt = shared.status.borrow().attempts;
        let connection = endpoint.connect(proof, attempt, clock).await?;
        Ok::<_, Broken>((Channel::open(connection.io).await?, connection.pass))
    });
    let (channel, pass) = opened.await.map_err(|_| Broken::Late)??;
    if !is_valid || shared.has_only_kept() {
        let token = match &pass {
            Pass::Token(token) => Some(token.as_str()),
            Pass::Known | Pass::Ended => None,
        };
        certificates::renew(shared, &channel, token).await?;
        if pass != Pass::Known {
            return Ok(Done::Joined);
        }
    }
    tokio::select! {
        broken = follower.follow(shared, &channel, wishes, has_followed) => Err(broken),
        done = certificates::roots(shared, &channel) => done,
        never = certificates::renew_in_time(shared, &channel) => match never {},
    }
}

/// Ends a while after the proxy has begun to end, for a connection that is not there yet.
async fn goodbye_late(shared: &Shared) {
    shared.ending().await;
    time::sleep(GOODBYE / 2).await;
}

fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
