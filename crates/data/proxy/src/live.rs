//! Live state of policies, for all workers, kept by policy id across generations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weft_model::id::{ListenerId, PolicyId};
use weft_resilience::breaker::Breaker;
use weft_resilience::bucket::KeyedBuckets;
use weft_resilience::inflight::{KeyedInFlight, KeyedPermit};
use weft_resilience::settings::{BreakerSettings, RateSettings};

use crate::metrics::OpenConnections;

/// Limits and breakers of a process.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    secret: [u64; 2],
    states: Mutex<HashMap<PolicyId, State>>,
    connections: Mutex<HashMap<ListenerId, Arc<OpenConnections>>>,
}

#[derive(Debug, Clone)]
enum State {
    Rate(RateSettings, Arc<KeyedBuckets>),
    InFlight(Arc<KeyedInFlight>),
    Breaker(Box<BreakerSettings>, Arc<Breaker>),
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
        Self(Arc::new(Inner { epoch, secret, states, connections }))
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

    pub(crate) fn rate(&self, id: &PolicyId, settings: RateSettings) -> Arc<KeyedBuckets> {
        let make = || {
            let buckets = KeyedBuckets::new(settings, self.0.epoch, self.0.secret);
            State::Rate(settings, Arc::new(buckets))
        };
        let fits = |state: &State| matches!(state, State::Rate(have, _) if *have == settings);
        match self.state(id, fits, make) {
            State::Rate(_, buckets) => buckets,
            State::InFlight(_) | State::Breaker(..) => {
                Arc::new(KeyedBuckets::new(settings, self.0.epoch, self.0.secret))
            }
        }
    }

    pub(crate) fn in_flight(&self, id: &PolicyId, amount: u32) -> Arc<KeyedInFlight> {
        let make = || State::InFlight(Arc::new(KeyedInFlight::new(amount, self.0.secret)));
        match self.state(id, |state| matches!(state, State::InFlight(_)), make) {
            State::InFlight(limit) => {
                limit.set_limit(amount);
                limit
            }
            State::Rate(..) | State::Breaker(..) => {
                Arc::new(KeyedInFlight::new(amount, self.0.secret))
            }
        }
    }

    pub(crate) fn breaker(&self, id: &PolicyId, settings: &BreakerSettings) -> Arc<Breaker> {
        let make = || {
            let breaker = Breaker::new(settings, self.0.epoch);
            State::Breaker(Box::new(settings.clone()), Arc::new(breaker))
        };
        let fits = |state: &State| matches!(state, State::Breaker(have, _) if **have == *settings);
        match self.state(id, fits, make) {
            State::Breaker(_, breaker) => breaker,
            State::Rate(..) | State::InFlight(_) => Arc::new(Breaker::new(settings, self.0.epoch)),
        }
    }

    /// Drops the state of policies that no plan names any more.
    pub fn retain(&self, in_use: impl Fn(&PolicyId) -> bool) {
        self.lock().retain(|id, _| in_use(id));
    }

    /// The state kept under an id if it fits the settings, else a new one in its place.
    fn state(
        &self,
        id: &PolicyId,
        fits: impl Fn(&State) -> bool,
        make: impl FnOnce() -> State,
    ) -> State {
        let mut states = self.lock();
        match states.get(id) {
            Some(state) if fits(state) => state.clone(),
            _ => {
                let state = make();
                states.insert(id.clone(), state.clone());
                state
            }
        }
    }

    // Taken when a worker first uses a route of a new plan, never once it did.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PolicyId, State>> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
