//! Refusals as answers of HTTP, for servers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::{Error, Refused};
use crate::oneshot::OrRefused;

/// Answers refused requests, so that a server with limits has no other errors than it had without.
///
/// Put it outermost, and an [`ErrorLayer`](crate::ErrorLayer) innermost. See [`answer`] for what is
/// answered.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use resilience_tower::{AnswerLayer, ConcurrencyLimit, ErrorLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// // With axum: `Router::layer(ServiceBuilder::new().layer(AnswerLayer)...)`.
/// let server = ServiceBuilder::new()
///     .layer(AnswerLayer)
///     .layer(ConcurrencyLimit::fixed(0))
///     .layer(ErrorLayer)
///     .service(service_fn(async |_: Request<String>| {
///         Ok::<_, Infallible>(Response::new("hello".to_owned()))
///     }));
///
/// let answer: Result<Response<String>, Infallible> = server.oneshot(Request::default()).await;
/// assert_eq!(answer.expect("nothing can fail").status(), 503);
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerLayer;

/// The service of an [`AnswerLayer`].
#[derive(Debug)]
pub struct AnswerService<S> {
    inner: S,
    /// The service below refused to be ready: the next call has this for its answer, since there is
    /// no request to answer before.
    refused: Option<Refused>,
}

pin_project! {
    /// The future of an [`AnswerService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: OrRefused<F>,
    }
}

/// What a client is told of a refusal: 429 for a rate, 504 for a timeout, 503 for the rest; the
/// time in `retry-after`, in whole seconds rounded up; and the reason as text, without details.
pub fn answer<B: From<String>>(refused: &Refused) -> Response<B> {
    let (status, text) = match refused {
        Refused::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
        Refused::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
        Refused::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too many requests at one time"),
        Refused::BreakerOpen { .. } => (StatusCode::SERVICE_UNAVAILABLE, "circuit breaker is open"),
        Refused::NoEndpoint { .. } => (StatusCode::SERVICE_UNAVAILABLE, "no endpoint is usable"),
        Refused::Policy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "refused"),
    };
    let mut answer = Response::new(B::from(format!("{text}\n")));
    *answer.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, text);
    if let Some(wait) = refused.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

// === impl AnswerLayer ===

impl<S> Layer<S> for AnswerLayer {
    type Service = AnswerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerService { inner, refused: None }
    }
}

// === impl AnswerService ===

impl<S, Req, B, E> Service<Req> for AnswerService<S>
where
    S: Service<Req, Response = Response<B>, Error = Error<E>>,
    B: From<String>,
{
    type Response = Response<B>;
    type Error = E;
    type Future = ResponseFuture<S::Future>;

    /// As the service below; a refusal of its is the answer to the next call.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.refused = match ready!(self.inner.poll_ready(cx)) {
            Ok(()) => None,
            Err(Error::Refused(by)) => Some(by),
            Err(Error::Inner(error)) => return Poll::Ready(Err(error)),
        };
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let call = match self.refused.take() {
            Some(by) => OrRefused::Refused { by },
            None => OrRefused::Call { call: self.inner.call(req) },
        };
        ResponseFuture { call }
    }
}

impl<S: Clone> Clone for AnswerService<S> {
    /// Not ready.
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), refused: None }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, Error<E>>>,
    B: From<String>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().call.poll(cx)) {
            Ok(answer) => Ok(answer),
            Err(Error::Refused(refused)) => Ok(answer(&refused)),
            Err(Error::Inner(error)) => Err(error),
        })
    }
}

#[cfg(test)]
mod tests;
