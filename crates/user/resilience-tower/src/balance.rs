//! Spreading calls over a set of endpoints that changes.
//!
//! [`Endpoints`] is the set: a handle that any number of clones share. Discovery puts endpoints in
//! and takes them out, by hand or from a stream of [`Change`]s; [`Balance`] is the service that
//! sends each call to one of them, and [`Endpoints::call`] does the same for plain functions.
//!
//! An endpoint that fails real calls is *ejected* for a while, as far as enough others are left. How
//! one is chosen, what ejects, and how a new one warms up is in [`BalanceSettings`].

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use tower_service::Service;
use weft_resilience::outlier::Outlier;
use weft_resilience::settings::{BiasSettings, OutlierSettings, PickerKind, SlowStartSettings};

use crate::chance::Chance;
use crate::classify::{ByError, Classify};
use crate::clock;
use crate::error::{Error, Refused};
use crate::gate::{Hears, ResponseFuture};
use crate::observe::{Event, Observed, Observer};
use crate::oneshot::Oneshot;

mod hints;
mod member;
mod set;

#[cfg(feature = "http")]
pub use hints::HttpHints;
pub use hints::{Hints, KeyHints, NoHints, Tried};
pub use member::Lease;

use set::Set;

/// How endpoints are chosen and set aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BalanceSettings {
    /// How one is chosen. By default the less busy of two. Kinds that hash need
    /// [hints](Balance::hinted_by); nobody reports load here, so `WeightedByLoad` is `RoundRobin`.
    pub picker: PickerKind,
    /// What ejects an endpoint. By default five failures in a row, for 30 s and longer each time,
    /// at most a tenth of the endpoints (but one of a few) at one time.
    pub outlier: OutlierSettings,
    /// What a failure costs an endpoint with [`PickerKind::PeakEwma`], or who fails quickly would
    /// look quick. By default it counts as 5 s.
    pub bias: BiasSettings,
    /// How the share of a new endpoint grows. By default it is whole at once.
    pub slow_start: Option<SlowStartSettings>,
}

/// A set of endpoints: a key for each (an address, a name), and a service that calls it.
///
/// Clones are one set. What is known of an endpoint (its load, its failures) stays with its key as
/// long as that is in the set. An endpoint that was removed is not picked any more; calls under way
/// to it go on.
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
    classifier: C,
    observed: Observed,
}

/// A change of a set of endpoints, for [`Endpoints::follow`]: the same two as those of tower's
/// `Discover`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<K, S> {
    /// A new endpoint, or another service for a key that is known.
    Insert(K, S),
    /// It is gone.
    Remove(K),
}

/// Sends each call to one of a set of endpoints.
///
/// Around a [`Retry`](crate::Retry), an attempt does not go to an endpoint that an earlier one went
/// to while there are others, if the requests tell which were tried: those of HTTP do, with
/// [`HttpHints`]. [`KeyHints`] keeps requests with the same key together.
///
/// ```
/// use std::convert::Infallible;
/// use resilience_tower::{Balance, Endpoints, ErrorLayer, balance::BalanceSettings};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
/// for name in ["first", "second"] {
///     let client = service_fn(move |req: &'static str| async move {
///         Ok::<_, Infallible>(format!("{req} from the {name}"))
///     });
///     endpoints.insert(name, ErrorLayer.layer(client));
/// }
/// let service = Balance::new(endpoints.clone());
/// let answer = service.oneshot("hello").await.expect("both work");
/// assert!(answer.starts_with("hello from the "));
/// # }
/// ```
pub struct Balance<K, S, C = ByError, H = NoHints> {
    endpoints: Endpoints<K, S, C>,
    hints: H,
}

/// What all clones of a set have in common.
struct Shared<K, S> {
    outlier: Outlier,
    bias: BiasSettings,
    chance: Chance,
    /// Held while one endpoint is picked or the set is changed: a few comparisons, and for a pick a
    /// clone of the endpoint's service.
    set: Mutex<Set<K, S>>,
}

// === impl BalanceSettings ===

impl BalanceSettings {
    /// As the fields say.
    pub const DEFAULT: Self = Self {
        picker: PickerKind::LeastRequest,
        outlier: OutlierSettings::ISTIO,
        bias: BiasSettings::DEFAULT,
        slow_start: None,
    };
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl Endpoints ===

impl<K, S> Endpoints<K, S> {
    /// No endpoint yet. Every error counts against an endpoint but refusals by layers further in.
    #[must_use]
    pub fn new(settings: BalanceSettings) -> Self {
        let shared = Shared {
            outlier: Outlier::new(settings.outlier, 0),
            bias: settings.bias,
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
        self.shared.outlier.ejected(clock::now())
    }

    fn with_set<T>(&self, with: impl FnOnce(&mut Set<K, S>) -> T) -> T {
        with(&mut self.shared.set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Eq + Hash + Clone + fmt::Debug, S, C> Endpoints<K, S, C> {
    /// Adds an endpoint with weight 1, or gives a known one another service.
    pub fn insert(&self, key: K, service: S) {
        self.insert_weighted(key, service, 1.0);
    }

    /// Like [`insert`](Self::insert) with a share relative to the others; one of 0 is never picked.
    pub fn insert_weighted(&self, key: K, service: S, weight: f64) {
        self.change(|set| set.insert(key, service, weight, clock::now()));
    }

    /// Takes an endpoint out; whether it was there.
    pub fn remove(&self, key: &K) -> bool {
        self.change(|set| set.remove(key))
    }

    /// Makes the set consist of these, each with weight 1, in one step: others are taken out, and
    /// those that stay keep what is known of them.
    pub fn replace(&self, endpoints: impl IntoIterator<Item = (K, S)>) {
        let endpoints: Vec<(K, S)> = endpoints.into_iter().collect();
        let keys: HashSet<K> = endpoints.iter().map(|(key, _)| key.clone()).collect();
        self.change(|set| {
            set.retain(|known| keys.contains(known));
            for (key, service) in endpoints {
                set.insert(key, service, 1.0, clock::now());
            }
        });
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
        let (service, lease) = self.pick(None, None)?;
        let outcome = call(service).await;
        self.ended(lease, &outcome);
        outcome.map_err(Error::Inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Set<K, S>) -> T) -> T {
        self.with_set(|set| {
            let result = change(set);
            self.shared.outlier.set_endpoints(set.len());
            result
        })
    }

    fn pick(&self, key: Option<u64>, tried: Option<&Tried>) -> Result<(S, Lease<K>), Refused>
    where
        S: Clone,
    {
        let (now, rng) = (clock::now(), self.shared.chance.rng());
        self.with_set(|set| set.pick(now, key, tried, &rng))
            .map_err(|known| self.observed.refused(Refused::NoEndpoint { known }))
    }
}

impl<K: fmt::Debug, S, C: Classify<T>, T> Hears<Lease<K>, T> for Endpoints<K, S, C> {
    fn ended(&self, lease: Lease<K>, outcome: &T) {
        let verdict = self.classifier.classify(outcome);
        let Shared { outlier, bias, .. } = &*self.shared;
        if let Some(ejection) = lease.ended(clock::now(), &verdict, outlier, bias) {
            self.observed.event(&Event::Ejected {
                endpoint: lease.key(),
                duration: ejection.duration,
                count: ejection.count,
            });
        }
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

// === impl Balance ===

impl<K, S, C> Balance<K, S, C> {
    /// Over these endpoints, without regard to what is in a request.
    #[must_use]
    pub fn new(endpoints: Endpoints<K, S, C>) -> Self {
        Self { endpoints, hints: NoHints }
    }
}

impl<K, S, C, H> Balance<K, S, C, H> {
    /// Looks into requests for what decides on their endpoint.
    #[must_use]
    pub fn hinted_by<G>(self, hints: G) -> Balance<K, S, C, G> {
        Balance { endpoints: self.endpoints, hints }
    }
}

impl<K, S, C, H, Req> Service<Req> for Balance<K, S, C, H>
where
    K: Eq + Hash + Clone + fmt::Debug,
    S: Service<Req> + Clone,
    S::Error: From<Refused>,
    C: Classify<Result<S::Response, S::Error>> + Clone,
    H: Hints<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<S, Req>, Endpoints<K, S, C>, Lease<K>>;

    /// Always ready: which endpoint is asked is decided in the call, and the wait for its service
    /// is part of it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let endpoints = self.endpoints.clone();
        match endpoints.pick(self.hints.key(&req), self.hints.tried(&req)) {
            Ok((service, lease)) => {
                ResponseFuture::begun(endpoints, lease, Oneshot::new(service, req))
            }
            Err(by) => ResponseFuture::refused(endpoints, by),
        }
    }
}

impl<K, S, C: Clone, H: Clone> Clone for Balance<K, S, C, H> {
    fn clone(&self) -> Self {
        Self { endpoints: self.endpoints.clone(), hints: self.hints.clone() }
    }
}

impl<K: fmt::Debug, S, C, H> fmt::Debug for Balance<K, S, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Balance").field(&self.endpoints).finish()
    }
}

#[cfg(test)]
mod tests;
