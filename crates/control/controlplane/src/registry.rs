//! What is known of the proxies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use weft_authority::{Fingerprint, LeafReport, ProxyReport};
use weft_distribute::{Kind, ProxyStatus};
use weft_model::Generation;
use weft_model::id::WorkloadName;
use weft_tls::Clock;

use crate::attest::{Attested, Peer};
use crate::fleet::Fleet;

/// How long a proxy that is gone stays listed, if nothing else keeps it.
const GONE_KEPT: Duration = Duration::from_secs(600);

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
    /// Says that the fleet is another one, for whoever writes it down.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Proxies {
    by_workload: BTreeMap<WorkloadName, Proxy>,
    fleet: Fleet,
    streams: u64,
}

#[derive(Debug)]
struct Proxy {
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
    pub(crate) fn new(clock: Clock, fleet: Fleet) -> Self {
        let proxies = RefCell::new(Proxies { fleet, ..Default::default() });
        Self(Rc::new(Shared { clock, proxies, changed: watch::Sender::new(()) }))
    }

    /// What is known now.
    pub fn status(&self, generation: Generation) -> FleetStatus {
        let now = self.0.clock.now();
        let mut proxies = self.0.proxies.borrow_mut();
        proxies.forget(now);
        let Proxies { by_workload, fleet, .. } = &*proxies;
        let entry = |(name, proxy): (&WorkloadName, &Proxy)| proxy.entry(name, fleet);
        FleetStatus { generation, proxies: by_workload.iter().map(entry).collect() }
    }

    /// What decides how far a rotation may go.
    pub fn reports(&self) -> Vec<ProxyReport> {
        let mut proxies = self.0.proxies.borrow_mut();
        proxies.fleet.forget_ended(self.0.clock.now());
        proxies.fleet.reports()
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
            streams,
            peer: peer.to_string(),
            product_version: product_version.into(),
            since: now,
            last_seen: now,
            status,
        };
        proxies.by_workload.insert(who.workload.clone(), proxy);
        Connected { registry: self.clone(), workload: who.workload.clone(), stream }
    }

    /// Somebody is given a certificate, along with what to trust.
    pub(crate) fn issued(&self, who: &Attested, trusts: &[Fingerprint], leaf: LeafReport) {
        let now = self.0.clock.now();
        self.change_fleet(|fleet| fleet.issued(&who.workload, trusts, leaf, now));
    }

    /// A proxy says what it trusts and presents.
    pub(crate) fn reported(&self, workload: &WorkloadName, report: ProxyReport) {
        self.change_fleet(|fleet| fleet.reported(workload, report));
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
        let mut proxies = self.registry.0.proxies.borrow_mut();
        let proxy = proxies.by_workload.get_mut(&self.workload);
        if let Some(proxy) = proxy.filter(|it| it.streams.last() == Some(&self.stream)) {
            update(proxy);
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let now = self.registry.0.clock.now();
        let mut proxies = self.registry.0.proxies.borrow_mut();
        if let Some(proxy) = proxies.by_workload.get_mut(&self.workload) {
            proxy.streams.retain(|stream| *stream != self.stream);
            if proxy.streams.is_empty() {
                proxy.since = now;
            }
        }
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
}

// === impl Proxy ===

impl Proxy {
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
