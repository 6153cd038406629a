//! A circuit breaker: stops calling what fails, and comes back gently.
//!
//! *Closed*, it lets all calls pass and watches how they end. When a condition of the last ten
//! seconds holds it is *open*: all calls are refused at once, which spares the upstream and the
//! caller's time. After a while it is *recovering*: a growing share passes, from none to all, and it
//! is closed again at the end, or open again as soon as the condition holds.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tower_layer::Layer;
use weft_resilience::breaker::{Breaker as Machine, Outcome};
use weft_resilience::settings::{BreakerExpression, BreakerSettings, Measure, Operator};

use crate::chance::Chance;
use crate::classify::{ByError, Class, Classify};
use crate::clock;
use crate::error::{Error, Refused};
use crate::gate::{self, Admitted, Gate, GateService, Hears};
use crate::observe::{Event, Observed, Observer};

pub use weft_resilience::breaker::State;

/// Stops calling what fails, with [`Refused::BreakerOpen`].
///
/// A layer for tower, and a handle for plain calls. Clones are one breaker: make one for each
/// upstream. Calls that further layers refuse, and calls that are dropped, do not count.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{Breaker, Error, Refused, breaker};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// // Opens when half of at least 20 calls fail.
/// let breaker = Breaker::new(&breaker::on_failure_ratio(0.5, 20));
/// for _ in 0..20 {
///     let result = breaker.call(async {
///         tokio::time::sleep(Duration::from_millis(1)).await;
///         Err::<(), _>("connection refused")
///     });
///     assert_eq!(result.await, Err(Error::Inner("connection refused")));
/// }
/// let result = breaker.call(async { Ok::<_, &str>("not even tried") }).await;
/// assert!(matches!(result, Err(Error::Refused(Refused::BreakerOpen { .. }))));
/// # }
/// ```
///
/// As a layer:
///
/// ```
/// use resilience_tower::{BoxError, Breaker, breaker};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let breaker = Breaker::new(&breaker::on_failure_ratio(0.5, 20));
/// let service = ServiceBuilder::new()
///     .layer(breaker.clone())
///     .service(service_fn(async |name: &'static str| Ok::<_, BoxError>(format!("hello, {name}"))));
/// assert_eq!(service.oneshot("you").await.expect("it is closed"), "hello, you");
/// assert_eq!(breaker.state(), breaker::State::Closed);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Breaker<C = ByError> {
    shared: Arc<Shared>,
    classifier: C,
    observed: Observed,
}

#[derive(Debug)]
struct Shared {
    machine: Machine,
    chance: Chance,
    /// The state that observers were told last, so that each change is told once.
    told: AtomicU8,
}

/// Opens when more than this share of the calls of the last ten seconds fails (0 to 1), with at
/// least so many calls; for 10 s, and recovers within 10 s more. Looks after each call.
#[must_use]
pub fn on_failure_ratio(ratio: f64, calls_min: u32) -> BreakerSettings {
    use BreakerExpression::{And, Compare, Or};
    let enough = Compare(Measure::RequestThreshold, Operator::GreaterOrEqual, f64::from(calls_min));
    let unreachable = Compare(Measure::NetworkErrorRatio, Operator::Greater, ratio);
    let server_errors = Measure::ResponseCodeRatio { from: 500, to: 600, div_from: 0, div_to: 600 };
    let failed = Compare(server_errors, Operator::Greater, ratio);
    BreakerSettings {
        expression: And(Box::new(enough), Box::new(Or(Box::new(unreachable), Box::new(failed)))),
        check_period: Duration::ZERO,
        fallback_duration: Duration::from_secs(10),
        recovery_duration: Duration::from_secs(10),
        response_code: 503,
    }
}

// === impl Breaker ===

impl Breaker {
    /// Closed. Every error counts against the upstream but refusals by layers further in.
    #[must_use]
    pub fn new(settings: &BreakerSettings) -> Self {
        let shared = Shared {
            machine: Machine::new(settings, clock::now()),
            chance: Chance::new(),
            told: AtomicU8::new(code(State::Closed)),
        };
        Self { shared: Arc::new(shared), classifier: ByError, observed: Observed::default() }
    }
}

#[cfg(feature = "http")]
impl Breaker<crate::classify::HttpClassifier> {
    /// For HTTP and gRPC: knows statuses.
    #[must_use]
    pub fn http(settings: &BreakerSettings) -> Self {
        Breaker::new(settings).classified_by(crate::classify::HttpClassifier::new())
    }
}

impl<C> Breaker<C> {
    /// With another opinion on what is a failure. The state stays shared.
    #[must_use]
    pub fn classified_by<D>(self, classifier: D) -> Breaker<D> {
        let Self { shared, observed, .. } = self;
        Breaker { shared, classifier, observed }
    }

    /// Tells an observer of refusals and of changes of the state.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// What it does at present. An open breaker whose time is up stays open until a call asks.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.machine.state()
    }

    /// Carries out a call if the breaker lets it pass, and watches how it ends.
    ///
    /// Cancel safe as far as the call is; one that is dropped does not count.
    ///
    /// # Errors
    ///
    /// [`Refused::BreakerOpen`] when it was not begun, else its own as [`Error::Inner`].
    pub async fn call<F, T, E>(&self, call: F) -> Result<T, Error<E>>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<Result<T, E>>,
    {
        gate::pass(self, &(), call).await
    }

    /// Tells a change of the state, once.
    fn tell(&self) {
        let state = self.shared.machine.state();
        // A load for all calls but those that see a change; an exchange, so that one thread tells.
        if self.shared.told.load(Ordering::Relaxed) != code(state)
            && self.shared.told.swap(code(state), Ordering::Relaxed) != code(state)
        {
            self.observed.event(&Event::Breaker { state });
        }
    }
}

impl<C, Req> Gate<Req> for Breaker<C> {
    /// When the call began.
    type Ticket = Instant;

    fn admit(&self, _: &Req) -> Result<Admitted<Instant>, Refused> {
        let now = clock::now();
        let admitted = self.shared.machine.admit(now, &self.shared.chance.rng());
        self.tell();
        match admitted {
            Ok(()) => Ok(Admitted::at_once(now)),
            Err(open) => Err(self.observed.refused(Refused::BreakerOpen { retry_after: open.0 })),
        }
    }
}

impl<T, C: Classify<T>> Hears<Instant, T> for Breaker<C> {
    fn ended(&self, begun: Instant, outcome: &T) {
        let verdict = self.classifier.classify(outcome);
        let failed = match verdict.class {
            Class::Refused => return,
            Class::Success => false,
            Class::Failure | Class::Overload | Class::Unreachable => true,
        };
        // Without a status there is only one kind of failure to measure.
        let network_error =
            verdict.class == Class::Unreachable || failed && verdict.status.is_none();
        let now = clock::now();
        let latency = now.saturating_duration_since(begun);
        self.shared.machine.record(now, Outcome { status: verdict.status, network_error, latency });
        self.tell();
    }
}

impl<S, C: Clone> Layer<S> for Breaker<C> {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(self.clone(), inner)
    }
}

/// A state as a number.
fn code(state: State) -> u8 {
    match state {
        State::Closed => 0,
        State::Open => 1,
        State::Recovering => 2,
    }
}

#[cfg(test)]
mod tests;
