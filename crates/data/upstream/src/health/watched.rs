//! Which endpoints are probed, and when. No I/O, no clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use weft_model::backend::{Endpoint, HealthCheck};
use weft_model::id::BackendId;
use weft_model::mesh::Peer;
use weft_resilience::health::{Active, Change};
use weft_resilience::rng::Rng;

use super::settings;
use crate::backends::{Prepared, PreparedBackend};
use crate::shared::{Shared, SharedEndpoint};

/// An endpoint of a backend.
pub(super) type Key = (BackendId, SocketAddr);

/// The endpoints that are probed.
pub(super) struct Watched {
    shared: Shared,
    rng: Rng,
    entries: HashMap<Key, Entry>,
    /// Backends whose endpoints were looked at before.
    backends: HashSet<BackendId>,
    /// Entries that wait for their next probe. An entry's own serial keeps equal instants apart,
    /// and tells what has left or was replaced in the meantime.
    waiting: BTreeMap<(Instant, u64), Key>,
    serial: u64,
}

/// A probe that should begin.
pub(super) struct Due {
    pub(super) key: Key,
    pub(super) serial: u64,
    pub(super) backend: PreparedBackend,
    pub(super) check: Arc<HealthCheck>,
    /// The proxy through which it is reached.
    pub(super) peer: Option<Arc<Peer>>,
}

/// What a result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) healthy: bool,
    pub(super) change: Option<Change>,
}

struct Entry {
    /// Changes with what is asked, so that an answer to an old question does not count.
    serial: u64,
    active: Active,
    endpoint: Arc<SharedEndpoint>,
    backend: PreparedBackend,
    check: Arc<HealthCheck>,
    peer: Option<Arc<Peer>>,
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(shared: Shared, rng: Rng) -> Self {
        let (entries, backends) = (HashMap::new(), HashSet::new());
        Self { shared, rng, entries, backends, waiting: BTreeMap::new(), serial: 0 }
    }

    /// Takes in the present backends. What is asked as before keeps its health and its turn; an
    /// endpoint that is not probed any more counts as healthy.
    pub(super) fn follow(&mut self, prepared: &Prepared, now: Instant) {
        let mut before = std::mem::take(&mut self.entries);
        for (id, backend) in &prepared.backends {
            let Some(check) = &backend.settings.health_check else { continue };
            for endpoint in backend.endpoints.iter() {
                let key = (id.clone(), endpoint.addr);
                let entry = match before.remove(&key) {
                    Some(entry)
                        if entry.peer == endpoint.peer
                            && is_same_question(&entry, backend, check) =>
                    {
                        entry
                    }
                    known => self.enter(&key, known, (backend, endpoint), check, now),
                };
                self.entries.insert(key, entry);
            }
        }
        self.backends.retain(|id| prepared.backends.contains_key(id));
        self.backends.extend(prepared.backends.keys().cloned());
        for entry in before.into_values() {
            entry.endpoint.set_healthy(true);
        }
        let entries = &self.entries;
        self.waiting
            .retain(|(_, serial), key| entries.get(key).is_some_and(|e| e.serial == *serial));
    }

    /// When the next probe should begin.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// A probe that should begin now. It is not due again before its result is recorded.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let first = self.waiting.first_entry()?;
        let (due, serial) = *first.key();
        if due > now {
            return None;
        }
        let key = first.remove();
        let entry = self.entries.get(&key)?;
        let (backend, check) = (entry.backend.clone(), entry.check.clone());
        let peer = entry.peer.clone();
        Some(Due { key, serial, backend, check, peer })
    }

    /// Takes in the result of a probe. None when nobody asks any more, or for something else.
    pub(super) fn record(
        &mut self,
        key: &Key,
        serial: u64,
        now: Instant,
        passed: bool,
    ) -> Option<Verdict> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.serial == serial)?;
        let change = entry.active.record(&settings(&entry.check), now, passed, &self.rng);
        let healthy = entry.active.is_healthy();
        entry.endpoint.set_healthy(healthy);
        self.waiting.insert((entry.active.due(), serial), key.clone());
        Some(Verdict { healthy, change })
    }

    /// Asks at another time: the probe did not come about.
    pub(super) fn put_off(&mut self, key: &Key, serial: u64, due: Instant) {
        if self.entries.get(key).is_some_and(|entry| entry.serial == serial) {
            self.waiting.insert((due, serial), key.clone());
        }
    }

    /// Whether an endpoint is probed.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    fn enter(
        &mut self,
        key: &Key,
        known: Option<Entry>,
        (backend, listed): (&PreparedBackend, &Endpoint),
        check: &Arc<HealthCheck>,
        now: Instant,
    ) -> Entry {
        self.serial += 1;
        let endpoint = match known {
            Some(entry) => entry.endpoint,
            None => {
                let since = self.backends.contains(&key.0).then_some(now);
                self.shared.endpoint(&key.0, key.1, since)
            }
        };
        let active = Active::new(&settings(check), endpoint.is_healthy(), now, &self.rng);
        self.waiting.insert((active.due(), self.serial), key.clone());
        let (backend, check) = (backend.clone(), check.clone());
        let peer = listed.peer.clone();
        Entry { serial: self.serial, active, endpoint, backend, check, peer }
    }
}

/// Whether a probe of `entry` is one that the present configuration would make.
fn is_same_question(entry: &Entry, backend: &PreparedBackend, check: &Arc<HealthCheck>) -> bool {
    let same_tls = match (&entry.backend.tls, &backend.tls) {
        (None, None) => true,
        (Some(have), Some(wanted)) => Arc::ptr_eq(have, wanted),
        _ => false,
    };
    let (have, wanted) = (&entry.backend.settings, &backend.settings);
    same_tls
        && entry.check == *check
        && have.protocol == wanted.protocol
        && have.calling.proxy_protocol == wanted.calling.proxy_protocol
}

#[cfg(test)]
mod tests;
