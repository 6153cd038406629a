//! A bound on how long a call may take.
//!
//! One around everything bounds what the caller waits for. One inside of [`Retry`](crate::Retry)
//! bounds each attempt, so that one that hangs leaves time for another.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::clock;
use crate::error::{Error, Refused};
use crate::observe::{Observed, Observer};
use crate::oneshot::Oneshot;

/// Ends calls that take too long with [`Refused::Timeout`].
///
/// A call that is ended is dropped, and with it what it holds: permits, its place among an
/// endpoint's calls, its connection where the client cannot use it any more. The time counts from
/// the call and includes the wait until the service below is ready.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{BoxError, Timeout};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(Timeout::new(Duration::from_millis(250)))
///     .service(service_fn(async |name: &'static str| {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         Ok::<_, BoxError>(format!("hello, {name}"))
///     }));
///
/// let error = service.oneshot("you").await.expect_err("a second is too long");
/// assert_eq!(error.to_string(), "no answer within 250ms");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Timeout {
    limit: Duration,
    observed: Observed,
}

/// The service of a [`Timeout`].
#[derive(Debug, Clone)]
pub struct TimeoutService<S> {
    policy: Timeout,
    inner: S,
}

pin_project! {
    /// A call that ends in time.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: F,
        #[pin]
        sleep: Sleep,
        policy: Timeout,
    }
}

/// Bounds a future.
///
/// Cancel safe as far as `call` is: dropping it drops the call.
///
/// # Errors
///
/// [`Refused::Timeout`] when it did not end in time, else its own as [`Error::Inner`].
///
/// # Panics
///
/// When polled outside a tokio runtime with a clock.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{Error, timeout};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let slow = std::future::pending::<Result<(), std::io::Error>>();
/// let result = timeout(Duration::from_millis(20), slow).await;
/// assert!(matches!(result, Err(Error::Refused(_))));
/// # }
/// ```
pub async fn timeout<F, T, E>(limit: Duration, call: F) -> Result<T, Error<E>>
where
    F: Future<Output = Result<T, E>>,
{
    Timeout::new(limit).run(call).await
}

// === impl Timeout ===

impl Timeout {
    /// So long, from the call to its answer: for HTTP to the head of it, not to the end of its body.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, observed: Observed::default() }
    }

    /// Tells an observer of timeouts ([`Event::Refused`](crate::observe::Event::Refused)).
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// Bounds a future, like [`timeout`].
    ///
    /// # Errors
    ///
    /// [`Refused::Timeout`] when it did not end in time, else its own as [`Error::Inner`].
    ///
    /// # Panics
    ///
    /// When polled outside a tokio runtime with a clock.
    pub async fn run<F, T, E>(&self, call: F) -> Result<T, Error<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let call = async { call.await.map_err(Error::Inner) };
        self.bound(call).await
    }

    fn bound<F>(&self, call: F) -> ResponseFuture<F> {
        ResponseFuture { call, sleep: clock::sleep(self.limit), policy: self.clone() }
    }
}

impl<S> Layer<S> for Timeout {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService { policy: self.clone(), inner }
    }
}

// === impl TimeoutService ===

impl<S, Req> Service<Req> for TimeoutService<S>
where
    S: Service<Req> + Clone,
    S::Error: From<Refused>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<S, Req>>;

    /// Always ready: the wait for the service below is part of the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        self.policy.bound(Oneshot::new(self.inner.clone(), req))
    }
}

// === impl ResponseFuture ===

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Refused>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The call first: an answer that comes with the last tick counts.
        if let Poll::Ready(result) = this.call.poll(cx) {
            return Poll::Ready(result);
        }
        if this.sleep.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let limit = this.policy.limit;
        Poll::Ready(Err(this.policy.observed.refused(Refused::Timeout { limit }).into()))
    }
}

#[cfg(test)]
mod tests;
