//! What is known of the proxies.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use weft_authority::{Fingerprint, LeafReport, ProxyReport};
use weft_distribute::{Kind, ProxyStatus};
use weft_model::Generation;
use weft_model::id::WorkloadName;
use weft_model::identity::Identity;
use weft_runtime::time;
use weft_tls::Clock;

use crate::applications::Applications;
use crate::attest::{Attested, Peer};
use crate::fleet::Fleet;
use crate::metrics::{Given, Metrics};

/// How long a proxy that is gone stays listed, if nothing else keeps it.
const GONE_KEPT: Duration = Duration::from_secs(600);

/// Workloads of one identity that the mesh does not know by itself, as where there is no node. Ten
/// times as many as a workload's name has instances at most.
const NAMES_MAX: usize = 10_000;

/// What is known of the proxies. Clones share it.
#[derive(Debug, Clone)]
pub struct Registry(Rc<Shared>);

/// What is known of all proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetStatus {
    /// The newest generation.
    pub generation: Generation,
    /// By workload.
    pub proxies: Vec<ProxyEntry>,
    /// Applications with an SVID, by the name that it is reported under. Their streams are open, so
    /// that they hear of every change.
    pub applications: Vec<WorkloadName>,
}

/// What is known of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyEntry {
    /// Its workload.
    pub workload: WorkloadName,
    /// Whether it is there.
    pub phase: ProxyPhase,
    /// Where it comes, or came, from.
    pub peer: String,
    /// Its product's version, as it says.
    pub product_version: String,
    /// Since when it is connected, or gone.
    pub since: SystemTime,
    /// When it last said something.
    pub last_seen: SystemTime,
    /// The generation that it was last sent whole.
    pub sent: Generation,
    /// The generation of which it said that all is in force.
    pub in_force: Generation,
    /// Services that it uses.
    pub subscribed: usize,
    /// Resources that it could not take, with the reason.
    pub rejected: Vec<(Kind, Arc<str>, String)>,
    /// The roots that it trusts, as last reported.
    pub trusts: Vec<Fingerprint>,
    /// The certificate that it presents, as last reported.
    pub leaf: Option<LeafReport>,
}

/// Whether a proxy is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyPhase {
    /// It has a stream.
    Connected,
    /// It has none, and was there not long ago.
    Gone,
}

/// The stream of a proxy. Dropping it says that the stream has ended.
#[derive(Debug)]
pub(crate) struct Connected {
    registry: Registry,
    workload: WorkloadName,
    stream: u64,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    proxies: RefCell<Proxies>,
    applications: Applications,
    /// Says that the fleet is another one, for whoever writes it down.
    changed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Proxies {
    by_workload: BTreeMap<WorkloadName, Proxy>,
    fleet: Fleet,
    streams: u64,
    convergence: Convergence,
}

/// How far the newest generation has come.
#[derive(Debug, Default)]
struct Convergence {
    newest: Generation,
    /// When something has changed that is not in force everywhere yet.
    since: Option<Instant>,
    /// Connected proxies on which the newest generation is not in force.
    behind: BTreeSet<WorkloadName>,
}

#[derive(Debug)]
struct Proxy {
    identity: Identity,
    /// Newest last. More than one while a proxy is upgraded in place.
    streams: Vec<u64>,
    peer: String,
    product_version: String,
    since: SystemTime,
    last_seen: SystemTime,
    status: ProxyStatus,
}

// === impl Registry ===

impl Registry {
    pub(crate) fn new(
        clock: Clock,
        fleet: Fleet,
        applications: Applications,
        metrics: Arc<Metrics>,
    ) -> Self {
        let proxies = RefCell::new(Proxies { fleet, ..Default::default() });
        let changed = watch::Sender::new(());
        Self(Rc::new(Shared { clock, proxies, applications, changed, metrics }))
    }

    /// What is known now.
    pub fn status(&self, generation: Generation) -> FleetStatus {
        let now = self.0.clock.now();
        let mut proxies = self.0.proxies.borrow_mut();
        proxies.forget(now);
        let Proxies { by_workload, fleet, .. } = &*proxies;
        let entry = |(name, proxy): (&WorkloadName, &Proxy)| proxy.entry(name, fleet);
        let applications = self.0.applications.reports();
        FleetStatus {
            generation,
            proxies: by_workload.iter().map(entry).collect(),
            applications: applications.into_iter().map(|it| it.proxy).collect(),
        }
    }

    /// What decides how far a rotation may go: what proxies say, and applications that have an SVID.
    pub fn reports(&self) -> Vec<ProxyReport> {
        let mut proxies = self.0.proxies.borrow_mut();
        proxies.fleet.forget_ended(self.0.clock.now());
        let mut reports = proxies.fleet.reports();
        reports.extend(self.0.applications.reports());
        reports
    }

    /// Whether somebody's certificate that ends, or has ended, then is the last one it had.
    pub(crate) fn is_last(&self, who: &Attested, not_after: SystemTime) -> bool {
        self.0.proxies.borrow().fleet.is_last(&who.workload, &who.identity, not_after)
    }

    /// Whether it is known by that name, or its identity has not too many names already.
    pub(crate) fn has_room(&self, who: &Attested) -> bool {
        let proxies = self.0.proxies.borrow();
        let Proxies { by_workload, fleet, .. } = &*proxies;
        let name = &who.workload;
        let is_known = by_workload.contains_key(name) || fleet.contains(name);
        // Counting takes long only where it has to be.
        is_known || by_workload.len() < NAMES_MAX && fleet.len() < NAMES_MAX || {
            let connected = by_workload.values().filter(|proxy| proxy.identity == who.identity);
            connected.count() < NAMES_MAX && fleet.names_of(&who.identity) < NAMES_MAX
        }
    }

    /// A proxy has a stream.
    pub(crate) fn connected(
        &self,
        who: &Attested,
        peer: &Peer,
        product_version: &str,
        status: ProxyStatus,
    ) -> Connected {
        let now = self.0.clock.now();
        let mut proxies = self.0.proxies.borrow_mut();
        proxies.forget(now);
        proxies.streams += 1;
        let stream = proxies.streams;
        let mut streams = proxies.by_workload.remove(&who.workload).map_or(vec![], |it| it.streams);
        streams.push(stream);
        let proxy = Proxy {
            identity: who.identity.clone(),
            streams,
            peer: peer.to_string(),
            product_version: product_version.into(),
            since: now,
            last_seen: now,
            status,
        };
        proxies.by_workload.insert(who.workload.clone(), proxy);
        drop(proxies);
        self.settle(|proxies| proxies.note(&who.workload));
        Connected { registry: self.clone(), workload: who.workload.clone(), stream }
    }

    /// There is a new generation.
    pub(crate) fn published(&self, newest: Generation) {
        self.settle(|proxies| proxies.publish(newest, time::now()));
    }

    /// Somebody is given a certificate, along with what to trust.
    pub(crate) fn issued(&self, who: &Attested, trusts: &[Fingerprint], leaf: LeafReport) -> Given {
        let now = self.0.clock.now();
        let had_one = self.0.proxies.borrow().fleet.contains(&who.workload);
        self.change_fleet(|fleet| fleet.issued(&who.workload, trusts, leaf, now));
        if had_one { Given::Renewed } else { Given::First }
    }

    /// A proxy says what it trusts and presents.
    pub(crate) fn reported(&self, report: ProxyReport) {
        self.change_fleet(|fleet| fleet.reported(report));
    }

    /// A proxy ends for good.
    pub(crate) fn goodbye(&self, workload: &WorkloadName, leaf: Option<&LeafReport>) {
        self.change_fleet(|fleet| fleet.goodbye(workload, leaf));
    }

    /// A workload has ended, as whoever has started it knows.
    pub(crate) fn forget(&self, workload: &WorkloadName) {
        self.change_fleet(|fleet| fleet.forget(workload));
    }

    /// The content of the file that it is kept in.
    pub(crate) fn fleet_bytes(&self) -> Vec<u8> {
        self.0.proxies.borrow().fleet.to_bytes()
    }

    /// Says whenever the fleet has become another one.
    pub(crate) fn fleet_changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Makes a change, and says so when with it the newest generation is in force everywhere.
    fn settle(&self, change: impl FnOnce(&mut Proxies)) {
        let mut proxies = self.0.proxies.borrow_mut();
        change(&mut proxies);
        let Convergence { newest, since, behind } = &mut proxies.convergence;
        if behind.is_empty()
            && let Some(since) = since.take()
        {
            let (generation, took) = (*newest, time::now().saturating_duration_since(since));
            tracing::info!(%generation, ?took, "in force on every connected proxy");
            self.0.metrics.convergence.observe(took);
        }
    }

    fn change_fleet(&self, change: impl FnOnce(&mut Fleet)) {
        change(&mut self.0.proxies.borrow_mut().fleet);
        self.0.changed.send_replace(());
    }
}

// === impl FleetStatus ===

impl FleetStatus {
    /// On how many of the connected proxies the newest generation is in force, and how many are
    /// connected.
    pub fn in_force(&self) -> (usize, usize) {
        let connected = self.proxies.iter().filter(|it| it.phase == ProxyPhase::Connected);
        let current = connected.clone().filter(|it| it.in_force == self.generation);
        (current.count(), connected.count())
    }
}

// === impl Connected ===

impl Connected {
    /// The proxy has said something.
    pub(crate) fn heard(&self, status: ProxyStatus) {
        let now = self.registry.0.clock.now();
        self.update(|proxy| {
            proxy.status = status;
            proxy.last_seen = now;
        });
    }

    /// The proxy was sent something.
    pub(crate) fn sent(&self, status: ProxyStatus) {
        self.update(|proxy| proxy.status = status);
    }

    /// Of two streams of one proxy the newer one tells how it is.
    fn update(&self, update: impl FnOnce(&mut Proxy)) {
        self.registry.settle(|proxies| {
            let proxy = proxies.by_workload.get_mut(&self.workload);
            if let Some(proxy) = proxy.filter(|it| it.streams.last() == Some(&self.stream)) {
                update(proxy);
                proxies.note(&self.workload);
            }
        });
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let now = self.registry.0.clock.now();
        self.registry.settle(|proxies| {
            let Some(proxy) = proxies.by_workload.get_mut(&self.workload) else { return };
            proxy.streams.retain(|stream| *stream != self.stream);
            if proxy.streams.is_empty() {
                proxy.since = now;
            }
            proxies.note(&self.workload);
        });
    }
}

// === impl Proxies ===

impl Proxies {
    /// Forgets those that are gone for long and need not be waited for.
    fn forget(&mut self, now: SystemTime) {
        self.fleet.forget_ended(now);
        let fleet = &self.fleet;
        self.by_workload.retain(|name, proxy| {
            let gone = now.duration_since(proxy.since).unwrap_or_default();
            !proxy.streams.is_empty() || gone <= GONE_KEPT || fleet.contains(name)
        });
    }

    /// There is a new generation, which those that are connected do not have.
    fn publish(&mut self, newest: Generation, now: Instant) {
        let behind = self.by_workload.iter().filter(|(_, proxy)| proxy.is_behind(newest));
        let behind: BTreeSet<_> = behind.map(|(name, _)| name.clone()).collect();
        let Convergence { since, .. } = self.convergence;
        let since = if behind.is_empty() { since } else { since.or(Some(now)) };
        self.convergence = Convergence { newest, since, behind };
    }

    /// A proxy is no longer where it was.
    fn note(&mut self, workload: &WorkloadName) {
        let Convergence { newest, behind, .. } = &mut self.convergence;
        let proxy = self.by_workload.get(workload);
        if proxy.is_some_and(|proxy| proxy.is_behind(*newest)) {
            if !behind.contains(workload) {
                behind.insert(workload.clone());
            }
        } else {
            behind.remove(workload);
        }
    }
}

// === impl Proxy ===

impl Proxy {
    fn is_behind(&self, newest: Generation) -> bool {
        !self.streams.is_empty() && self.status.in_force != newest
    }

    fn entry(&self, workload: &WorkloadName, fleet: &Fleet) -> ProxyEntry {
        let reported = fleet.reported_by(workload);
        let ProxyStatus { workload: _, sent, in_force, subscribed, rejected } = self.status.clone();
        ProxyEntry {
            workload: workload.clone(),
            phase: match self.streams.is_empty() {
                true => ProxyPhase::Gone,
                false => ProxyPhase::Connected,
            },
            peer: self.peer.clone(),
            product_version: self.product_version.clone(),
            since: self.since,
            last_seen: self.last_seen,
            sent,
            in_force,
            subscribed,
            rejected,
            trusts: reported.map(|it| it.trusts.iter().copied().collect()).unwrap_or_default(),
            leaf: reported.and_then(|it| it.leaf.clone()),
        }
    }
}
