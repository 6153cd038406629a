//! Live state of policies, for all workers, kept by policy id across generations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weft_model::id::{ListenerId, PolicyId};
use weft_model::policy::LocalRateLimit;
use weft_resilience::breaker::Breaker;
use weft_resilience::bucket::{ClientBuckets, KeyedBuckets};
use weft_resilience::hedge::Hedge;
use weft_resilience::inflight::{KeyedInFlight, KeyedPermit};
use weft_resilience::settings::{BreakerSettings, HedgeSettings, RateSettings};

use crate::metrics::OpenConnections;
use crate::sample::Samples;
use crate::spent::Spent;

/// Limits and breakers of a process.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    secret: [u64; 2],
    states: Mutex<HashMap<PolicyId, State>>,
    connections: Mutex<HashMap<ListenerId, Arc<OpenConnections>>>,
    spent: Spent,
    samples: Samples,
}

#[derive(Debug)]
enum State {
    Rate(RateSettings, Arc<KeyedBuckets>),
    InFlight(Arc<KeyedInFlight>),
    Breaker(Box<BreakerSettings>, Arc<Breaker>),
    Clients(Box<LocalRateLimit>, Arc<ClientBuckets>),
    Hedge(HedgeSettings, Arc<Hedge>),
}

/// What an exchange holds until it ends.
#[derive(Debug)]
pub(crate) enum Hold {
    /// A place under a limit of requests at one time.
    InFlight {
        /// Released by drop.
        _permit: KeyedPermit,
    },
    /// A breaker that wants to know how it went.
    Breaker(Arc<Breaker>),
}

// === impl Live ===

impl Live {
    /// No state. `secret` keeps peers from choosing sources that collide.
    pub fn new(epoch: Instant, secret: [u64; 2]) -> Self {
        let (states, connections) = (Mutex::default(), Mutex::default());
        let (spent, samples) = (Spent::new(epoch), Samples::default());
        Self(Arc::new(Inner { epoch, secret, states, connections, spent, samples }))
    }

    /// The count of a listener's open connections.
    pub(crate) fn connections(&self, id: &ListenerId) -> Arc<OpenConnections> {
        // Taken when a worker begins to accept, or first serves a destination of a plan.
        let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(OpenConnections::new(self.0.epoch));
        connections.entry(id.clone()).or_insert_with(make).clone()
    }

    /// For how long a listener has had no open connection: since the beginning if it never had one.
    pub(crate) fn idle(&self, id: &ListenerId, now: Instant) -> Duration {
        let connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let never = || now.saturating_duration_since(self.0.epoch);
        connections.get(id).map_or_else(never, |open| open.idle(now))
    }

    /// Forgets listeners that no plan has any more and no connection is open to.
    pub fn retain_listeners(&self, in_use: impl Fn(&ListenerId) -> bool) {
        let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|id, open| in_use(id) || Arc::strong_count(open) > 1);
    }

    /// Recent requests.
    pub fn samples(&self) -> &Samples {
        &self.0.samples
    }

    /// What is known of calls whose retries were spent.
    pub(crate) fn spent(&self) -> &Spent {
        &self.0.spent
    }

    pub(crate) fn rate(&self, id: &PolicyId, settings: RateSettings) -> Arc<KeyedBuckets> {
        let find = |state: &State| match state {
            State::Rate(have, buckets) if *have == settings => Some(buckets.clone()),
            _ => None,
        };
        self.state(id, find, || {
            let buckets = Arc::new(KeyedBuckets::new(settings, self.0.epoch, self.0.secret));
            (State::Rate(settings, buckets.clone()), buckets)
        })
    }

    pub(crate) fn clients(&self, id: &PolicyId, limit: &LocalRateLimit) -> Arc<ClientBuckets> {
        let find = |state: &State| match state {
            State::Clients(have, buckets) if **have == *limit => Some(buckets.clone()),
            _ => None,
        };
        self.state(id, find, || {
            let LocalRateLimit { total, identity, overrides } = limit.clone();
            let (epoch, secret) = (self.0.epoch, self.0.secret);
            let buckets = ClientBuckets::new(total, identity, overrides, epoch, secret);
            let buckets = Arc::new(buckets);
            (State::Clients(Box::new(limit.clone()), buckets.clone()), buckets)
        })
    }

    pub(crate) fn in_flight(&self, id: &PolicyId, amount: u32) -> Arc<KeyedInFlight> {
        let find = |state: &State| match state {
            State::InFlight(limit) => Some(limit.clone()),
            _ => None,
        };
        let limit = self.state(id, find, || {
            let limit = Arc::new(KeyedInFlight::new(amount, self.0.secret));
            (State::InFlight(limit.clone()), limit)
        });
        limit.set_limit(amount);
        limit
    }

    pub(crate) fn breaker(&self, id: &PolicyId, settings: &BreakerSettings) -> Arc<Breaker> {
        let find = |state: &State| match state {
            State::Breaker(have, breaker) if **have == *settings => Some(breaker.clone()),
            _ => None,
        };
        self.state(id, find, || {
            let breaker = Arc::new(Breaker::new(settings, self.0.epoch));
            (State::Breaker(Box::new(settings.clone()), breaker.clone()), breaker)
        })
    }

    pub(crate) fn hedge(&self, id: &PolicyId, settings: HedgeSettings) -> Arc<Hedge> {
        let find = |state: &State| match state {
            State::Hedge(have, hedge) if *have == settings => Some(hedge.clone()),
            _ => None,
        };
        self.state(id, find, || {
            let hedge = Arc::new(Hedge::new(settings, self.0.epoch));
            (State::Hedge(settings, hedge.clone()), hedge)
        })
    }

    /// Drops the state of policies that no plan names any more.
    pub fn retain(&self, in_use: impl Fn(&PolicyId) -> bool) {
        self.lock().retain(|id, _| in_use(id));
    }

    /// The state kept under an id if `find` takes it, else a new one in its place.
    fn state<T>(
        &self,
        id: &PolicyId,
        find: impl Fn(&State) -> Option<T>,
        make: impl FnOnce() -> (State, T),
    ) -> T {
        let mut states = self.lock();
        if let Some(found) = states.get(id).and_then(find) {
            return found;
        }
        let (state, made) = make();
        states.insert(id.clone(), state);
        made
    }

    // Taken when a worker first uses a route of a new plan, never once it did.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PolicyId, State>> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
