//! Which names are asked for, when, and what is known of them. No I/O, no clock.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_model::backend::{Endpoint, Endpoints};
use weft_model::id::BackendId;
use weft_resilience::jitter;
use weft_resilience::rng::Rng;

use super::{Answer, Resolved};
use crate::backends::Prepared;

/// A TTL of 0 would ask without end.
pub(super) const TTL_MIN: Duration = Duration::from_secs(1);

/// A longer TTL would keep a wrong answer for longer than people wait for a change.
pub(super) const TTL_MAX: Duration = Duration::from_secs(300);

/// How long an answer holds when it cannot be renewed after its TTL.
pub(super) const STALE_MAX: Duration = Duration::from_secs(3600);

/// Between two tries that fail: doubles up to the second.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Look-ups of several gateways should not keep step.
const JITTER_RATIO: f64 = 0.1;

/// Addresses of one name; what is more is left out. The largest answers seen have a few hundred.
const ADDRESSES_MAX: usize = 1024;

/// The names among the backends.
pub(super) struct Names {
    rng: Rng,
    backends: HashMap<BackendId, (Arc<str>, u16)>,
    names: HashMap<Arc<str>, Name>,
    /// Names that wait for their next look-up.
    waiting: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Default)]
struct Name {
    /// Sorted, and when they end.
    known: Option<(Arc<[IpAddr]>, Instant)>,
    failures: u32,
    due: Option<Instant>,
}

// === impl Names ===

impl Names {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, backends: HashMap::new(), names: HashMap::new(), waiting: BTreeSet::new() }
    }

    /// Takes in the present backends: new names are due at once, those that are gone forgotten.
    pub(super) fn follow(&mut self, prepared: &Prepared, now: Instant) {
        self.backends.clear();
        let mut before = std::mem::take(&mut self.names);
        for (id, backend) in &prepared.backends {
            let Endpoints::Dns { name, port } = &backend.settings.endpoints else { continue };
            let name: Arc<str> = Arc::from(&**name);
            self.backends.insert(id.clone(), (name.clone(), *port));
            if self.names.contains_key(&name) {
                continue;
            }
            let entry = before.remove(&name).unwrap_or_else(|| match literal(&name) {
                Some(addr) => Name { known: Some((Arc::new([addr]), far(now))), ..Name::default() },
                None => {
                    self.waiting.insert((now, name.clone()));
                    Name { due: Some(now), ..Name::default() }
                }
            });
            self.names.insert(name, entry);
        }
        for (name, entry) in before {
            if let Some(due) = entry.due {
                self.waiting.remove(&(due, name));
            }
        }
    }

    /// When the next look-up should begin.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// When the next answer ends for good.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let ends = self.names.values().filter_map(|name| name.known.as_ref().map(|(_, end)| *end));
        ends.filter(|end| *end > now).min()
    }

    /// A name to look up now. It is not due again before its result is recorded.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Arc<str>> {
        if self.next_due()? > now {
            return None;
        }
        let (_, name) = self.waiting.pop_first()?;
        if let Some(entry) = self.names.get_mut(&name) {
            entry.due = None;
        }
        Some(name)
    }

    /// Takes in the answer of a look-up, or that there is none. An answer without addresses is
    /// none.
    pub(super) fn record(&mut self, name: &Arc<str>, now: Instant, answer: Option<Answer>) {
        // Gone in the meantime; or gone and back again, and about to be asked for anew.
        let Some(entry) = self.names.get_mut(name).filter(|entry| entry.due.is_none()) else {
            return;
        };
        let wait = match answer.filter(|answer| !answer.addrs.is_empty()) {
            Some(Answer { mut addrs, ttl }) => {
                addrs.sort_unstable();
                addrs.dedup();
                addrs.truncate(ADDRESSES_MAX);
                let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
                entry.known = Some((addrs.into(), now + ttl + STALE_MAX));
                entry.failures = 0;
                ttl
            }
            None => {
                let factor = 1 << entry.failures.min(6);
                entry.failures += 1;
                jitter::around((RETRY_MIN * factor).min(RETRY_MAX), JITTER_RATIO, &self.rng)
            }
        };
        let due = now + wait;
        entry.due = Some(due);
        self.waiting.insert((due, name.clone()));
    }

    /// The addresses of all backends. What is as in `before` keeps its place in memory.
    pub(super) fn resolved(&self, now: Instant, before: &Resolved) -> Resolved {
        let mut resolved = Resolved::new();
        for (id, (name, port)) in &self.backends {
            let known = self.names.get(name).and_then(|name| name.known.as_ref());
            let Some((addrs, end)) = known else { continue };
            let addrs: &[IpAddr] = if *end > now { addrs } else { &[] };
            let endpoint = |addr: &IpAddr| Endpoint {
                addr: SocketAddr::new(*addr, *port),
                weight: 1,
                locality: None,
                tier: 0,
                peer: None,
            };
            let endpoints: Vec<Endpoint> = addrs.iter().map(endpoint).collect();
            let same = before.get(id).filter(|have| have[..] == endpoints[..]);
            resolved.insert(id.clone(), same.map_or_else(|| endpoints.into(), Arc::clone));
        }
        resolved
    }
}

/// The address that a name is by itself.
pub(super) fn literal(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(addr) = bare.parse() {
        return Some(addr);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// As good as never.
fn far(now: Instant) -> Instant {
    now + Duration::from_secs(100 * 365 * 86_400)
}

#[cfg(test)]
mod tests;
