//! One error type for a service and all layers around it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::Error;

/// Makes the errors of a service [`Error::Inner`], so that the layers of this crate around it can
/// add refusals to them.
///
/// Put it innermost, next to the client. It is not needed around a service whose error type takes
/// a [`Refused`](crate::Refused) by itself: [`BoxError`](crate::BoxError), or one of your own.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{Error, ErrorLayer, Refused, Timeout};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(Timeout::new(Duration::from_millis(50)))
///     .layer(ErrorLayer)
///     .service(service_fn(|_: &'static str| std::future::pending::<Result<(), std::io::Error>>()));
///
/// let error = service.oneshot("hello?").await.expect_err("nobody answers");
/// assert!(matches!(error, Error::Refused(Refused::Timeout { .. })));
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorLayer;

/// The service of an [`ErrorLayer`].
#[derive(Debug, Clone, Copy)]
pub struct ErrorService<S> {
    inner: S,
}

pin_project! {
    /// The future of an [`ErrorService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: F,
    }
}

// === impl ErrorLayer ===

impl<S> Layer<S> for ErrorLayer {
    type Service = ErrorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorService { inner }
    }
}

// === impl ErrorService ===

impl<S: Service<Req>, Req> Service<Req> for ErrorService<S> {
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, req: Req) -> Self::Future {
        ResponseFuture { call: self.inner.call(req) }
    }
}

// === impl ResponseFuture ===

impl<F: Future<Output = Result<T, E>>, T, E> Future for ResponseFuture<F> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().call.poll(cx)).map_err(Error::Inner))
    }
}
