//! Trying again: how often, after what wait, and for what share of all calls.
//!
//! A retry helps the call that failed and adds load to an upstream that may fail for its load. So
//! each kind of bound is always there:
//!
//! - **attempts** of one call ([`RetrySettings::attempts`]);
//! - a **budget** over all calls of the policy: retries stay a share of them, with a small rate on
//!   top where there is little traffic ([`RetrySettings::budget`]);
//! - **waits** that grow, with full jitter: each is even between zero and its bound, so that those
//!   who failed together do not come back together;
//! - what the **upstream asks for**: no attempt before its `retry-after` is over, and none at all if
//!   that is too far away ([`RetrySettings::retry_after_max`]);
//! - **no retry of a retry** across hops: see [`hop`](crate::hop).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use weft_resilience::retry::RetryBudget;
use weft_resilience::settings::{BackoffSettings, BudgetSettings};

use crate::chance::Chance;
use crate::classify::{ByError, Classify};
use crate::clock;
use crate::error::{GaveUp, Stop};
use crate::observe::{Observed, Observer};
use crate::oneshot::FnService;
use crate::replay::{CloneReplay, Replay};

mod tries;

use tries::Tries;

/// How calls are tried again.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::retry::RetrySettings;
///
/// let settings = RetrySettings::DEFAULT.attempts(5).within(Duration::from_secs(2));
/// assert_eq!(settings.attempts, 5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RetrySettings {
    /// Attempts of one call, the first included; 0 counts as 1. 3 by default.
    pub attempts: u32,
    /// Waits between them. By default up to 25 ms, 50 ms and so on to 250 ms.
    pub backoff: BackoffSettings,
    /// Bounds the retries of all calls. By default 20 % of the calls of the last 10 s, and 10 per
    /// second whatever their number.
    pub budget: BudgetSettings,
    /// An upstream that asks for a longer wait gets no other attempt. 10 s by default.
    pub retry_after_max: Duration,
    /// No attempt begins later than this after the call. No bound by default; to end attempts that
    /// are under way use [`Timeout`](crate::Timeout).
    pub within: Option<Duration>,
}

/// Tries failed calls again.
///
/// A layer for tower, and the policy of [`retry`](retry()). Clones share one budget: make one
/// policy for each upstream and use it for all calls to it.
///
/// What is worth a retry is for the [classifier](crate::classify) to say, and which requests may be
/// repeated for the [replay](crate::replay). [`Retry::http`] and `Retry::grpc` have both set.
///
/// The answer of the last attempt is the answer of the call, be it a failure.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use resilience_tower::{BoxError, Retry, retry::RetrySettings};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// // Any client that is a service of HTTP requests; this one fails at first.
/// let client = service_fn(async |req: Request<Full<Bytes>>| {
///     let first = req.headers()["x-envoy-attempt-count"] == "1";
///     let status = if first { 503 } else { 200 };
///     Ok::<_, BoxError>(Response::builder().status(status).body(()).expect("it is valid"))
/// });
/// let client = ServiceBuilder::new().layer(Retry::http(RetrySettings::DEFAULT)).service(client);
///
/// let req = Request::get("http://payments/health").body(Full::default()).expect("it is valid");
/// assert_eq!(client.oneshot(req).await.expect("an answer").status(), 200);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Retry<C = ByError, R = CloneReplay> {
    shared: Arc<Shared>,
    classifier: C,
    replay: R,
    observed: Observed,
}

/// The service of a [`Retry`].
#[derive(Debug, Clone)]
pub struct RetryService<S, C = ByError, R = CloneReplay> {
    policy: Retry<C, R>,
    inner: S,
}

pin_project! {
    /// A call with all its attempts.
    pub struct ResponseFuture<S, Req, C, R>
    where
        S: Service<Req>,
        R: Replay<Req>,
    {
        #[pin]
        tries: Tries<S, Req, C, R>,
    }
}

/// What all clones of a policy have in common.
#[derive(Debug)]
struct Shared {
    settings: RetrySettings,
    budget: RetryBudget,
    chance: Chance,
}

/// Calls a function until it succeeds or the policy says that it is enough.
///
/// Cancel safe as far as the calls are: dropping it drops the attempt that is under way.
///
/// # Errors
///
/// The failure of the last attempt, with the reason why it was the last ([`GaveUp`]);
/// [`into_last`](GaveUp::into_last) leaves only the failure.
///
/// # Panics
///
/// When polled outside a tokio runtime with a clock.
///
/// ```
/// use std::cell::Cell;
/// use resilience_tower::{Retry, retry, retry::RetrySettings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let calls = Cell::new(0);
/// let policy = Retry::new(RetrySettings::DEFAULT);
/// let answer = retry(&policy, || async {
///     calls.set(calls.get() + 1);
///     if calls.get() < 3 { Err("connection reset") } else { Ok("200 OK from service B") }
/// });
/// assert_eq!(answer.await, Ok("200 OK from service B"));
/// # }
/// ```
///
/// Errors may be of any type that says whether it holds a refusal of this crate
/// ([`AsRefused`](crate::AsRefused)). For those of other crates take [`ByResult`], which does not
/// ask (`Retry::new(settings).classified_by(ByResult)`), or a closure of your own.
///
/// [`ByResult`]: crate::classify::ByResult
pub async fn retry<F, Fut, T, E, C>(policy: &Retry<C, CloneReplay>, call: F) -> Result<T, GaveUp<E>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>> + Clone,
{
    let tries = Tries::new(policy.clone(), FnService(call), ());
    let (outcome, end) = tries.await;
    outcome.map_err(|last| GaveUp {
        last,
        attempts: end.attempts,
        stop: end.stop.unwrap_or(Stop::NotRetryable),
    })
}

// === impl RetrySettings ===

impl RetrySettings {
    /// As the fields say.
    pub const DEFAULT: Self = Self {
        attempts: 3,
        backoff: BackoffSettings::envoy(Duration::from_millis(25)),
        budget: BudgetSettings::DEFAULT,
        retry_after_max: Duration::from_secs(10),
        within: None,
    };

    /// With another number of [`attempts`](Self#structfield.attempts).
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// With another [`backoff`](Self#structfield.backoff).
    #[must_use]
    pub const fn backoff(self, backoff: BackoffSettings) -> Self {
        Self { backoff, ..self }
    }

    /// With another [`budget`](Self#structfield.budget).
    #[must_use]
    pub const fn budget(self, budget: BudgetSettings) -> Self {
        Self { budget, ..self }
    }

    /// With another [`retry_after_max`](Self#structfield.retry_after_max).
    #[must_use]
    pub const fn retry_after_max(self, wait: Duration) -> Self {
        Self { retry_after_max: wait, ..self }
    }

    /// With another bound [`within`](Self#structfield.within) which attempts begin.
    #[must_use]
    pub const fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl Retry ===

impl Retry {
    /// Every error is worth a retry but refusals by layers further in, and every request may be
    /// repeated.
    #[must_use]
    pub fn new(settings: RetrySettings) -> Self {
        let shared = Shared {
            settings,
            budget: RetryBudget::new(settings.budget, clock::now()),
            chance: Chance::new(),
        };
        Self {
            shared: Arc::new(shared),
            classifier: ByError,
            replay: CloneReplay,
            observed: Observed::default(),
        }
    }
}

#[cfg(feature = "http")]
impl Retry<crate::classify::HttpClassifier, crate::replay::HttpReplay> {
    /// For HTTP: 502, 503, 504, a 429 that says when to come back, and errors; only requests that
    /// are safe to repeat.
    #[must_use]
    pub fn http(settings: RetrySettings) -> Self {
        Retry::new(settings)
            .classified_by(crate::classify::HttpClassifier::new())
            .replayed_by(crate::replay::HttpReplay::new())
    }
}

#[cfg(feature = "tonic")]
impl Retry<crate::classify::HttpClassifier, crate::replay::GrpcReplay> {
    /// For gRPC as tonic speaks it: UNAVAILABLE, a RESOURCE_EXHAUSTED that says when to come back,
    /// and errors; calls whose messages were not too long to keep.
    #[must_use]
    pub fn grpc(settings: RetrySettings) -> Self {
        Retry::new(settings)
            .classified_by(crate::classify::HttpClassifier::new())
            .replayed_by(crate::replay::GrpcReplay::new())
    }
}

impl<C, R> Retry<C, R> {
    /// With another opinion on what is worth a retry. The budget stays shared.
    #[must_use]
    pub fn classified_by<D>(self, classifier: D) -> Retry<D, R> {
        let Self { shared, replay, observed, .. } = self;
        Retry { shared, classifier, replay, observed }
    }

    /// With another way to repeat requests. The budget stays shared.
    #[must_use]
    pub fn replayed_by<Q>(self, replay: Q) -> Retry<C, Q> {
        let Self { shared, classifier, observed, .. } = self;
        Retry { shared, classifier, replay, observed }
    }

    /// Tells an observer of attempts, retries and calls given up.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &RetrySettings {
        &self.shared.settings
    }
}

impl<S, C: Clone, R: Clone> Layer<S> for Retry<C, R> {
    type Service = RetryService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService { policy: self.clone(), inner }
    }
}

// === impl RetryService ===

impl<S, C, R, Req> Service<Req> for RetryService<S, C, R>
where
    S: Service<Req> + Clone,
    C: Classify<Result<S::Response, S::Error>> + Clone,
    R: Replay<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C, R>;

    /// Always ready: the wait for the service below is part of each attempt.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        ResponseFuture { tries: Tries::new(self.policy.clone(), self.inner.clone(), req) }
    }
}

// === impl ResponseFuture ===

impl<S, Req, C, R> Future for ResponseFuture<S, Req, C, R>
where
    S: Service<Req>,
    C: Classify<Result<S::Response, S::Error>>,
    R: Replay<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (outcome, _) = ready!(self.project().tries.poll(cx));
        Poll::Ready(outcome)
    }
}

impl<S: Service<Req>, Req, C, R: Replay<Req>> fmt::Debug for ResponseFuture<S, Req, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
