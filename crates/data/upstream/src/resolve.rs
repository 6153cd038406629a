//! Addresses of backends that are known by name, on the control thread.
//!
//! A name is asked for again when its answer's TTL ends, between 1 s and 5 min. What fails is tried
//! again, ever less often up to a minute, and meanwhile the last good answer holds, for an hour
//! after its TTL ended: a resolver that is down, or that denies a name by mistake, must not
//! take down backends that are up. After that hour the backend has no endpoints.
//!
//! Address literals and `localhost` (as 127.0.0.1; write `[::1]` for the other) need no resolver.

mod hosts;
mod names;
mod system;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use weft_model::backend::Endpoint;
use weft_model::id::BackendId;
use weft_resilience::rng::Rng;
use weft_runtime::{task, time};

use crate::backends::Prepared;
use names::Names;

pub use hosts::Hosts;
pub use system::SystemLookup;

/// Addresses by backend, sorted. A backend whose name was never answered is not here.
pub type Resolved = HashMap<BackendId, Arc<[Endpoint]>>;

/// Names asked for at one time. More would only queue in the resolver.
const LOOKUPS_MAX: usize = 32;

/// For one name, all servers and tries of the resolver together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// When nothing is due: any change of the configuration wakes the resolver anyway.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

/// Who knows addresses.
pub trait Lookup {
    /// The addresses of a host name, A and AAAA.
    ///
    /// Cancel safe: dropping it has no effect.
    fn lookup(&self, name: &str) -> impl Future<Output = Result<Answer, LookupError>>;
}

/// Addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// In any order.
    pub addrs: Vec<IpAddr>,
    /// How long they hold.
    pub ttl: Duration,
}

/// A name has no addresses that anybody would tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The system's resolver configuration cannot be read.
    #[error("the resolver configuration of the system cannot be used: {0}")]
    System(String),
    /// The question was answered with an error, or not at all.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
}

/// Keeps the addresses of names.
pub struct Resolver<L = SystemLookup> {
    backends: watch::Receiver<Arc<Prepared>>,
    resolved: watch::Sender<Resolved>,
    lookup: Rc<L>,
    names: Names,
    running: usize,
}

/// What came of a look-up.
struct Done {
    name: Arc<str>,
    result: Result<Answer, LookupError>,
}

// === impl Resolver ===

impl Resolver {
    /// A resolver for the names among `backends` that asks as the system is configured to
    /// (`/etc/resolv.conf`, `/etc/hosts`), and where its answers appear. [`Resolver::run`] does the
    /// work.
    pub fn start(backends: watch::Receiver<Arc<Prepared>>) -> (Self, watch::Receiver<Resolved>) {
        Self::with_lookup(backends, SystemLookup::default())
    }
}

impl<L: Lookup + 'static> Resolver<L> {
    /// The same with another source of addresses.
    pub fn with_lookup(
        backends: watch::Receiver<Arc<Prepared>>,
        lookup: L,
    ) -> (Self, watch::Receiver<Resolved>) {
        let (resolved, receiver) = watch::channel(Resolved::new());
        // Spreads questions over time; no secret depends on it.
        let rng = Rng::new(RandomState::new().build_hasher().finish());
        let names = Names::new(rng);
        let resolver = Self { backends, resolved, lookup: Rc::new(lookup), names, running: 0 };
        (resolver, receiver)
    }

    /// Resolves until nobody can change the backends any more.
    ///
    /// Cancel safe: dropping it leaves the addresses as they were last seen.
    pub async fn run(mut self) {
        let (done, mut results) = mpsc::unbounded_channel();
        let mut backends = self.backends.clone();
        backends.mark_changed();
        loop {
            self.begin(&done);
            let wake = self.wake();
            tokio::select! {
                changed = backends.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let prepared = backends.borrow_and_update().clone();
                    self.names.follow(&prepared, time::now());
                }
                Some(done) = results.recv() => self.take_in(done),
                () = time::sleep_until(wake) => {}
            }
            self.publish();
        }
    }

    fn wake(&self) -> std::time::Instant {
        let now = time::now();
        let due = if self.running >= LOOKUPS_MAX { None } else { self.names.next_due() };
        let wake = due.unwrap_or(now + NOTHING_DUE);
        self.names.next_end(now).map_or(wake, |end| wake.min(end))
    }

    /// Begins the look-ups that are due, as far as there is room.
    fn begin(&mut self, results: &mpsc::UnboundedSender<Done>) {
        while self.running < LOOKUPS_MAX {
            let Some(name) = self.names.take_due(time::now()) else { return };
            self.running += 1;
            let (lookup, results) = (self.lookup.clone(), results.clone());
            task::spawn("lookup", async move {
                let result = time::timeout(LOOKUP_TIMEOUT, lookup.lookup(&name)).await;
                let result = result.unwrap_or(Err(LookupError::Timeout));
                // Without a resolver nobody wants to know.
                let _ = results.send(Done { name, result });
            });
        }
    }

    fn take_in(&mut self, Done { name, result }: Done) {
        self.running -= 1;
        if let Err(error) = &result {
            tracing::warn!(%name, %error, "a name cannot be resolved");
        }
        self.names.record(&name, time::now(), result.ok());
    }

    fn publish(&self) {
        let now = time::now();
        self.resolved.send_if_modified(|resolved| {
            let next = self.names.resolved(now, resolved);
            let changed = next != *resolved;
            if changed {
                *resolved = next;
            }
            changed
        });
    }
}

impl<L> std::fmt::Debug for Resolver<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("running", &self.running).finish_non_exhaustive()
    }
}
