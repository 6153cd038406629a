//! Limits on how many calls are under way at one time.
//!
//! A fixed bound protects what is known to break beyond it. An adaptive one finds the number of
//! calls at which an upstream is busy but none waits for another, from latencies alone, and follows
//! it. Both refuse at once: what waits in a queue here would only come too late.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tower_layer::Layer;
use weft_resilience::adaptive::{AdaptiveLimit, AdaptivePermit};
use weft_resilience::inflight::{self, InFlight};
use weft_resilience::settings::AdaptiveSettings;

use crate::classify::{ByError, Class, Classify};
use crate::clock;
use crate::error::{Error, Refused};
use crate::gate::{self, Admitted, Gate, GateService, Hears};
use crate::observe::{Event, Observed, Observer};

/// Bounds the calls under way, with [`Refused::Busy`].
///
/// A layer for tower, and a handle for plain calls. Clones share one bound. A call counts until it
/// has ended or is dropped.
///
/// ```
/// use resilience_tower::{ConcurrencyLimit, Error, Refused};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let limit = ConcurrencyLimit::fixed(1);
/// let result = limit.call(async {
///     // One call is under way: this one.
///     limit.call(async { Ok::<_, &str>("another") }).await
/// });
/// let refused = Err(Error::Refused(Refused::Busy { limit: 1 }));
/// assert_eq!(result.await.map_err(Error::flatten), refused);
/// assert_eq!(limit.count(), 0);
/// # }
/// ```
///
/// As a layer, with a bound that finds itself:
///
/// ```
/// use resilience_tower::{BoxError, ConcurrencyLimit, settings::AdaptiveSettings};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let limit = ConcurrencyLimit::adaptive(AdaptiveSettings::DEFAULT);
/// let service = ServiceBuilder::new()
///     .layer(limit)
///     .service(service_fn(async |name: &'static str| Ok::<_, BoxError>(format!("hello, {name}"))));
/// assert!(service.oneshot("you").await.is_ok());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit<C = ByError> {
    machine: Machine,
    classifier: C,
    observed: Observed,
    /// The bound that observers were told last, so that each change is told once.
    told: Arc<AtomicU32>,
}

/// The place of a call under way. Dropped, it gives it back.
#[derive(Debug)]
pub struct Permit(Place);

#[derive(Debug, Clone)]
enum Machine {
    Fixed(InFlight),
    Adaptive(AdaptiveLimit),
}

#[derive(Debug)]
enum Place {
    Fixed { _permit: inflight::Permit },
    Adaptive(AdaptivePermit),
}

// === impl ConcurrencyLimit ===

impl ConcurrencyLimit {
    /// At most so many; 0 refuses all.
    #[must_use]
    pub fn fixed(limit: u32) -> Self {
        Self::new(Machine::Fixed(InFlight::new(limit)))
    }

    /// As many as do not slow each other down. Calls that are refused further in, or dropped, say
    /// nothing about that.
    #[must_use]
    pub fn adaptive(settings: AdaptiveSettings) -> Self {
        Self::new(Machine::Adaptive(AdaptiveLimit::new(settings, clock::now())))
    }

    fn new(machine: Machine) -> Self {
        let told = Arc::new(AtomicU32::new(machine.limit()));
        Self { machine, classifier: ByError, observed: Observed::default(), told }
    }
}

impl<C> ConcurrencyLimit<C> {
    /// With another opinion on what was refused further in, for an adaptive bound. The bound stays
    /// shared.
    #[must_use]
    pub fn classified_by<D>(self, classifier: D) -> ConcurrencyLimit<D> {
        let Self { machine, observed, told, .. } = self;
        ConcurrencyLimit { machine, classifier, observed, told }
    }

    /// Tells an observer of refusals and of changes of the bound.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// The bound at present.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.machine.limit()
    }

    /// Calls under way.
    #[must_use]
    pub fn count(&self) -> u32 {
        match &self.machine {
            Machine::Fixed(machine) => machine.count(),
            Machine::Adaptive(machine) => machine.count(),
        }
    }

    /// Carries out a call, if there is a place for it.
    ///
    /// Cancel safe as far as the call is; dropping it gives the place back.
    ///
    /// # Errors
    ///
    /// [`Refused::Busy`] when it was not begun, else its own as [`Error::Inner`].
    pub async fn call<F, T, E>(&self, call: F) -> Result<T, Error<E>>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<Result<T, E>>,
    {
        gate::pass(self, &(), call).await
    }
}

impl<C, Req> Gate<Req> for ConcurrencyLimit<C> {
    type Ticket = Permit;

    fn admit(&self, _: &Req) -> Result<Admitted<Permit>, Refused> {
        let place = match &self.machine {
            Machine::Fixed(machine) => {
                machine.acquire().map(|permit| Place::Fixed { _permit: permit })
            }
            Machine::Adaptive(machine) => machine.acquire(clock::now()).map(Place::Adaptive),
        };
        let admitted = place.map(|place| Admitted::at_once(Permit(place)));
        admitted.map_err(|reached| self.observed.refused(Refused::Busy { limit: reached.limit }))
    }
}

impl<T, C: Classify<T>> Hears<Permit, T> for ConcurrencyLimit<C> {
    fn ended(&self, permit: Permit, outcome: &T) {
        let Permit(Place::Adaptive(permit)) = permit else { return };
        if self.classifier.classify(outcome).class != Class::Refused {
            permit.complete(clock::now());
        }
        let limit = self.limit();
        if self.told.load(Ordering::Relaxed) != limit
            && self.told.swap(limit, Ordering::Relaxed) != limit
        {
            self.observed.event(&Event::LimitChanged { limit });
        }
    }
}

impl<S, C: Clone> Layer<S> for ConcurrencyLimit<C> {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(self.clone(), inner)
    }
}

// === impl Machine ===

impl Machine {
    fn limit(&self) -> u32 {
        match self {
            Self::Fixed(machine) => machine.limit(),
            Self::Adaptive(machine) => machine.limit(),
        }
    }
}

#[cfg(test)]
mod tests;
