//! A second try while the first still runs.
//!
//! A call that takes longer than most is often quicker when asked again: it was unlucky with its
//! endpoint, a lost packet, a pause for garbage. [`Hedge`] learns how long calls take, sends one
//! that takes longer than a high quantile of them a second time, and gives the answer that comes
//! first; the other call is dropped. A budget bounds the share of calls that get a second try, so
//! that it cannot make an overload worse.
//!
//! Only for calls that may be carried out twice. The second try should be able to go elsewhere: put
//! a [`Balance`](crate::Balance) further in.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;
use weft_resilience::hedge::Hedge as Machine;
use weft_resilience::settings::HedgeSettings;

use crate::classify::{ByError, Class, Classify};
use crate::clock;
use crate::error::Stop;
use crate::observe::{Event, Observed, Observer};
use crate::oneshot::{FnService, Oneshot};
use crate::replay::{CloneReplay, Replay};

/// Sends slow calls a second time.
///
/// A layer for tower, and the policy of [`hedge`](hedge()). Clones learn together and share one
/// budget: make one for each kind of call to an upstream.
///
/// A failure of one of two tries is not given to the caller while the other one runs. A failure of
/// the only one is: trying again is for [`Retry`](crate::Retry), whose attempts may each be hedged.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{BoxError, Hedge, settings::HedgeSettings};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(Hedge::new(HedgeSettings::DEFAULT))
///     .service(service_fn(async |name: &'static str| Ok::<_, BoxError>(format!("hello, {name}"))));
/// assert_eq!(service.oneshot("you").await.expect("it works"), "hello, you");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Hedge<C = ByError, R = CloneReplay> {
    machine: Arc<Machine>,
    classifier: C,
    replay: R,
    observed: Observed,
}

/// The service of a [`Hedge`].
#[derive(Debug, Clone)]
pub struct HedgeService<S, C = ByError, R = CloneReplay> {
    policy: Hedge<C, R>,
    inner: S,
}

pin_project! {
    /// A call that may be sent twice.
    pub struct ResponseFuture<S, Req, C, R>
    where
        S: Service<Req>,
        R: Replay<Req>,
    {
        policy: Hedge<C, R>,
        service: S,
        kept: Result<R::Kept, Stop>,
        #[pin]
        first: Try<S, Req>,
        #[pin]
        second: Try<S, Req>,
        #[pin]
        timer: Option<Sleep>,
        delay: Duration,
    }
}

pin_project! {
    /// One try.
    #[project = TryProj]
    enum Try<S, Req>
    where
        S: Service<Req>,
    {
        Unsent,
        Running { #[pin] call: Oneshot<S, Req>, begun: Instant },
        Failed { outcome: Option<Result<S::Response, S::Error>> },
    }
}

/// Calls a function, and once more if the first call takes longer than most.
///
/// Both futures are polled in this one, so nothing is spawned, and dropping it drops both.
///
/// # Errors
///
/// That of the call; of the second, if both fail.
///
/// # Panics
///
/// When polled outside a tokio runtime with a clock.
///
/// ```
/// use resilience_tower::{Hedge, hedge, settings::HedgeSettings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let policy = Hedge::new(HedgeSettings::DEFAULT);
/// assert_eq!(hedge(&policy, || async { Ok::<_, &str>("hello") }).await, Ok("hello"));
/// # }
/// ```
pub async fn hedge<F, Fut, T, E, C>(policy: &Hedge<C, CloneReplay>, call: F) -> Result<T, E>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>> + Clone,
{
    ResponseFuture::new(policy.clone(), FnService(&call), ()).await
}

// === impl Hedge ===

impl Hedge {
    /// Nothing learned yet. Any answer is good enough but an error, and every request may be sent
    /// twice.
    #[must_use]
    pub fn new(settings: HedgeSettings) -> Self {
        Self {
            machine: Arc::new(Machine::new(settings, clock::now())),
            classifier: ByError,
            replay: CloneReplay,
            observed: Observed::default(),
        }
    }
}

#[cfg(feature = "http")]
impl Hedge<crate::classify::HttpClassifier, crate::replay::HttpReplay> {
    /// For HTTP: knows statuses, and sends only requests twice that are safe to repeat.
    #[must_use]
    pub fn http(settings: HedgeSettings) -> Self {
        Hedge::new(settings)
            .classified_by(crate::classify::HttpClassifier::new())
            .replayed_by(crate::replay::HttpReplay::new())
    }
}

impl<C, R> Hedge<C, R> {
    /// With another opinion on what is a failure. What was learned and the budget stay shared.
    #[must_use]
    pub fn classified_by<D>(self, classifier: D) -> Hedge<D, R> {
        let Self { machine, replay, observed, .. } = self;
        Hedge { machine, classifier, replay, observed }
    }

    /// With another way to repeat requests. What was learned and the budget stay shared.
    #[must_use]
    pub fn replayed_by<Q>(self, replay: Q) -> Hedge<C, Q> {
        let Self { machine, classifier, observed, .. } = self;
        Hedge { machine, classifier, replay, observed }
    }

    /// Tells an observer of second tries, and of those that were the quicker ones.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// The request of the second try, if there may be one. The budget is asked last, so that
    /// nothing is taken from it in vain.
    fn again<Req>(&self, kept: &Result<R::Kept, Stop>) -> Option<Req>
    where
        R: Replay<Req>,
    {
        let req = self.replay.again(kept.as_ref().ok()?)?;
        self.machine.try_hedge().then_some(req)
    }

    fn observe(&self, begun: Instant) {
        let now = clock::now();
        self.machine.observe(now, now.saturating_duration_since(begun));
    }
}

impl<S, C: Clone, R: Clone> Layer<S> for Hedge<C, R> {
    type Service = HedgeService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        HedgeService { policy: self.clone(), inner }
    }
}

// === impl HedgeService ===

impl<S, C, R, Req> Service<Req> for HedgeService<S, C, R>
where
    S: Service<Req> + Clone,
    C: Classify<Result<S::Response, S::Error>> + Clone,
    R: Replay<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C, R>;

    /// Always ready: the wait for the service below is part of each try.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        ResponseFuture::new(self.policy.clone(), self.inner.clone(), req)
    }
}

// === impl ResponseFuture ===

impl<S, Req, C, R> ResponseFuture<S, Req, C, R>
where
    S: Service<Req> + Clone,
    R: Replay<Req>,
{
    fn new(policy: Hedge<C, R>, service: S, req: Req) -> Self {
        let (req, kept) = policy.replay.keep_beside(req);
        let now = clock::now();
        let delay = policy.machine.request(now).filter(|_| kept.is_ok());
        Self {
            kept,
            first: Try::new(service.clone(), req, now),
            second: Try::Unsent,
            timer: delay.map(clock::sleep),
            delay: delay.unwrap_or_default(),
            service,
            policy,
        }
    }
}

impl<S, Req, C, R> Future for ResponseFuture<S, Req, C, R>
where
    S: Service<Req> + Clone,
    C: Classify<Result<S::Response, S::Error>>,
    R: Replay<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(outcome) = this.first.as_mut().advance(cx, this.policy) {
            this.second.lost(this.policy);
            return Poll::Ready(outcome);
        }
        let timer = this.timer.as_mut().as_pin_mut();
        if this.first.is_running() && timer.is_some_and(|timer| timer.poll(cx).is_ready()) {
            this.timer.set(None);
            if let Some(req) = this.policy.again(this.kept) {
                this.policy.observed.event(&Event::Hedged { after: *this.delay });
                this.second.set(Try::new(this.service.clone(), req, clock::now()));
            }
        }
        if let Some(outcome) = this.second.as_mut().advance(cx, this.policy) {
            this.policy.observed.event(&Event::HedgeWon);
            this.first.lost(this.policy);
            return Poll::Ready(outcome);
        }
        if this.first.is_running() || this.second.is_running() {
            return Poll::Pending;
        }
        let failed = this.second.failure().or_else(|| this.first.failure());
        Poll::Ready(failed.expect("what runs no longer without success has failed"))
    }
}

impl<S: Service<Req>, Req, C, R: Replay<Req>> fmt::Debug for ResponseFuture<S, Req, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl Try ===

impl<S: Service<Req>, Req> Try<S, Req> {
    fn new(service: S, req: Req, begun: Instant) -> Self {
        Self::Running { call: Oneshot::new(service, req), begun }
    }

    fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Goes on; the outcome, if it is a success. A failure is kept.
    fn advance<C, R>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        policy: &Hedge<C, R>,
    ) -> Option<Result<S::Response, S::Error>>
    where
        C: Classify<Result<S::Response, S::Error>>,
    {
        let TryProj::Running { call, begun } = self.as_mut().project() else { return None };
        let Poll::Ready(outcome) = call.poll(cx) else { return None };
        if policy.classifier.classify(&outcome).class == Class::Success {
            policy.observe(*begun);
            return Some(outcome);
        }
        self.set(Self::Failed { outcome: Some(outcome) });
        None
    }

    /// The other try was quicker: this one is known to take longer than until now.
    fn lost<C, R>(self: Pin<&mut Self>, policy: &Hedge<C, R>) {
        if let TryProj::Running { begun, .. } = self.project() {
            policy.observe(*begun);
        }
    }

    /// The outcome that was kept.
    fn failure(self: Pin<&mut Self>) -> Option<Result<S::Response, S::Error>> {
        match self.project() {
            TryProj::Failed { outcome } => outcome.take(),
            TryProj::Unsent | TryProj::Running { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
