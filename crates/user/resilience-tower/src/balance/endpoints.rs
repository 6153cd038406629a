//! The set.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_core::Stream;
use weft_resilience::load::LoadReport;

use super::hints::Wanted;
use super::member::{Judge, Known, Lease};
use super::set::Set;
use super::{BalanceSettings, Place};
use crate::chance::Chance;
use crate::classify::{ByError, Classify};
use crate::clock;
use crate::error::{Error, Refused};
use crate::gate::Hears;
use crate::observe::{Observed, Observer};

/// A set of endpoints: a key for each (an address, a name), and a service that calls it.
///
/// Clones are one set. What is known of an endpoint (its load, its failures) stays with its key as
/// long as that is in the set. An endpoint that was removed is not picked any more; calls under way
/// to it go on.
///
/// Pickers that hash tell endpoints apart by how their keys print (`Debug`): processes whose keys
/// print alike send equal requests to the same endpoint.
///
/// ```
/// use resilience_tower::{Endpoints, balance::BalanceSettings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// // An endpoint's service may be anything that can be cloned; here it is only a name.
/// let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
/// endpoints.insert("10.0.0.1:80", "first");
/// endpoints.insert("10.0.0.2:80", "second");
/// endpoints.remove(&"10.0.0.1:80");
///
/// let answer = endpoints.call(async |name| Ok::<_, &str>(format!("hello from the {name}")));
/// assert_eq!(answer.await, Ok("hello from the second".to_owned()));
/// # }
/// ```
pub struct Endpoints<K, S, C = ByError> {
    shared: Arc<Shared<K, S>>,
    pub(super) classifier: C,
    pub(super) observed: Observed,
}

/// A change of a set of endpoints, for [`Endpoints::follow`]: those of tower's `Discover`, and one
/// with a place.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change<K, S> {
    /// A new endpoint, or another service for a key that is known; at [`Place::DEFAULT`].
    Insert(K, S),
    /// The same with a place.
    InsertAt(K, S, Place),
    /// It is gone.
    Remove(K),
}

/// What all clones of a set have in common.
struct Shared<K, S> {
    judge: Arc<Judge>,
    chance: Chance,
    /// Held while one endpoint is picked or the set is changed: a few comparisons, and for a pick a
    /// clone of the endpoint's service.
    set: Mutex<Set<K, S>>,
}

// === impl Endpoints ===

impl<K, S> Endpoints<K, S> {
    /// No endpoint yet. Every error counts against an endpoint but refusals by layers further in.
    #[must_use]
    pub fn new(settings: BalanceSettings) -> Self {
        let shared = Shared {
            judge: Arc::new(Judge::new(&settings)),
            chance: Chance::new(),
            set: Mutex::new(Set::new(&settings)),
        };
        Self { shared: Arc::new(shared), classifier: ByError, observed: Observed::default() }
    }
}

#[cfg(feature = "http")]
impl<K, S> Endpoints<K, S, crate::classify::HttpClassifier> {
    /// For HTTP and gRPC: knows statuses.
    #[must_use]
    pub fn http(settings: BalanceSettings) -> Self {
        Endpoints::new(settings).classified_by(crate::classify::HttpClassifier::new())
    }
}

impl<K, S, C> Endpoints<K, S, C> {
    /// With another opinion on what is a failure. The set stays shared.
    #[must_use]
    pub fn classified_by<D>(self, classifier: D) -> Endpoints<K, S, D> {
        let Self { shared, observed, .. } = self;
        Endpoints { shared, classifier, observed }
    }

    /// Tells an observer of ejections, and of calls refused for want of an endpoint.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// Endpoints in the set, ejected or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with_set(|set| set.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Endpoints that are set aside at present.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.shared.judge.outlier.ejected(clock::now())
    }

    #[cfg(feature = "http")]
    pub(super) fn judge(&self) -> &Arc<Judge> {
        &self.shared.judge
    }

    pub(super) fn with_set<T>(&self, with: impl FnOnce(&mut Set<K, S>) -> T) -> T {
        with(&mut self.shared.set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Eq + Hash + Clone + fmt::Debug, S, C> Endpoints<K, S, C> {
    /// Adds an endpoint, or gives a known one another service; at [`Place::DEFAULT`].
    pub fn insert(&self, key: K, service: S) {
        self.insert_at(key, service, Place::DEFAULT);
    }

    /// Like [`insert`](Self::insert) with a place.
    pub fn insert_at(&self, key: K, service: S, place: Place) {
        drop(self.change(|set| set.insert(key, service, place, clock::now())));
    }

    /// Takes an endpoint out; whether it was there.
    pub fn remove(&self, key: &K) -> bool {
        !self.change(|set| set.retain(|known| known != key)).is_empty()
    }

    /// Makes the set consist of these, each at [`Place::DEFAULT`], in one step: others are taken
    /// out, and those that stay keep what is known of them.
    pub fn replace(&self, endpoints: impl IntoIterator<Item = (K, S)>) {
        self.replace_at(endpoints.into_iter().map(|(key, service)| (key, service, Place::DEFAULT)));
    }

    /// Like [`replace`](Self::replace) with places.
    pub fn replace_at(&self, endpoints: impl IntoIterator<Item = (K, S, Place)>) {
        let endpoints: Vec<(K, S, Place)> = endpoints.into_iter().collect();
        let keys: HashSet<K> = endpoints.iter().map(|(key, ..)| key.clone()).collect();
        let now = clock::now();
        drop(self.change(|set| {
            let mut gone = set.retain(|known| keys.contains(known));
            let inserted = endpoints.into_iter();
            gone.extend(
                inserted.filter_map(|(key, service, at)| set.insert(key, service, at, now)),
            );
            gone
        }));
    }

    /// Takes in what an endpoint reports of its load by another way than its answers: from a stream
    /// of reports, or from what it is scraped for. Does nothing with other pickers than
    /// [`PickerKind::WeightedByLoad`](crate::settings::PickerKind::WeightedByLoad), or for an
    /// endpoint that is not in the set.
    pub fn report(&self, key: &K, report: &LoadReport) {
        self.with_set(|set| {
            if let Some(known) = set.known(key) {
                self.shared.judge.reported(clock::now(), known, || Some(*report));
            }
        });
    }

    /// Calls under way to an endpoint; `None` for one that is not in the set.
    #[must_use]
    pub fn calls(&self, key: &K) -> Option<u32> {
        self.with_set(|set| set.known(key).map(Known::calls))
    }

    /// Keys in the set.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        self.with_set(|set| set.keys().cloned().collect())
    }

    /// Carries out the changes of a stream until it ends: spawn it beside the service.
    ///
    /// When it ends or is dropped the set stays as it is: a discovery that fails takes no endpoint
    /// away.
    ///
    /// # Errors
    ///
    /// The stream's first.
    pub async fn follow<D, E>(&self, changes: D) -> Result<(), E>
    where
        D: Stream<Item = Result<Change<K, S>, E>>,
    {
        let mut changes = std::pin::pin!(changes);
        while let Some(change) = std::future::poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
            match change? {
                Change::Insert(key, service) => self.insert(key, service),
                Change::InsertAt(key, service, place) => self.insert_at(key, service, place),
                Change::Remove(key) => {
                    self.remove(&key);
                }
            }
        }
        Ok(())
    }

    /// Calls one of the endpoints.
    ///
    /// Cancel safe as far as the call is; one that is dropped counts neither for nor against its
    /// endpoint.
    ///
    /// # Errors
    ///
    /// [`Refused::NoEndpoint`] when none could be asked, else the call's own as [`Error::Inner`].
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, Error<E>>
    where
        S: Clone,
        F: FnOnce(S) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<Result<T, E>>,
    {
        self.call_for(Wanted::new(), call).await
    }

    /// Like [`call`](Self::call) for a call that wants a certain endpoint, or a new one.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn call_for<F, Fut, T, E>(&self, wanted: Wanted<'_>, call: F) -> Result<T, Error<E>>
    where
        S: Clone,
        F: FnOnce(S) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<Result<T, E>>,
    {
        let (service, lease) = self.pick(&wanted)?;
        let outcome = call(service).await;
        self.ended(lease, &outcome);
        outcome.map_err(Error::Inner)
    }

    pub(super) fn pick(&self, wanted: &Wanted<'_>) -> Result<(S, Lease<K>), Refused>
    where
        S: Clone,
    {
        let (now, rng) = (clock::now(), self.shared.chance.rng());
        self.with_set(|set| set.pick(now, wanted, &rng))
            .map_err(|known| self.observed.refused(Refused::NoEndpoint { known }))
    }

    /// Carries out a change; what it leaves behind comes out of the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Set<K, S>) -> T) -> T {
        self.with_set(|set| {
            let left = change(set);
            set.settle();
            self.shared.judge.outlier.set_endpoints(set.len());
            left
        })
    }
}

impl<K: fmt::Debug, S, C: Classify<T>, T> Hears<Lease<K>, T> for Endpoints<K, S, C> {
    fn ended(&self, lease: Lease<K>, outcome: &T) {
        let (now, judge) = (clock::now(), &self.shared.judge);
        let verdict = self.classifier.classify(outcome);
        judge.answered(now, &lease, &verdict);
        judge.reported(now, lease.known(), || self.classifier.load_report(outcome));
        judge.ended(now, &lease, &verdict, &self.observed);
    }
}

impl<K, S, C: Clone> Clone for Endpoints<K, S, C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            classifier: self.classifier.clone(),
            observed: self.observed.clone(),
        }
    }
}

impl<K: fmt::Debug, S, C> fmt::Debug for Endpoints<K, S, C> {
    /// With the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_set(|set| f.debug_set().entries(set.keys()).finish())
    }
}
