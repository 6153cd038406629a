//! What tower's services may expect of each other, and these layers beside tower's own.

use std::task::{Context, Poll};

use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_service::Service;

use super::{TestError, begin, hanging, ms, secs};
use crate::balance::BalanceSettings;
use crate::retry::RetrySettings;
use crate::settings::{AdaptiveSettings, HedgeSettings, RateSettings};
use crate::{
    Balance, BoxError, Breaker, ConcurrencyLimit, Endpoints, Error, Hedge, RateLimit,
    RateLimitByKey, Refused, Retry, Timeout, breaker,
};

/// Panics when it is called without having been ready. A clone of it is not.
#[derive(Debug, Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it was called before it was ready");
        std::future::ready(Ok(number))
    }
}

/// All layers of this crate around a service.
fn stack<S>(
    inner: S,
) -> impl Service<u32, Response = u32, Error = S::Error, Future: Send> + Clone + Send + Sync
where
    S: Service<u32, Response = u32> + Clone + Send + Sync + 'static,
    S::Error: From<Refused> + crate::AsRefused + Send,
    S::Future: Send,
{
    let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
    endpoints.insert("first", inner);
    ServiceBuilder::new()
        .layer(Timeout::new(secs(5)))
        .layer(Retry::new(RetrySettings::DEFAULT))
        .layer(Hedge::new(HedgeSettings::DEFAULT))
        .layer(Timeout::new(secs(1)))
        .layer(Breaker::new(&breaker::on_failure_ratio(0.5, 1_000)))
        .layer(RateLimit::new(RateSettings { average: 0, period: secs(1), burst: 1 }))
        .layer(RateLimitByKey::new(
            RateSettings { average: 0, period: secs(1), burst: 1 },
            |_: &u32| "key",
        ))
        .layer(ConcurrencyLimit::fixed(1_000))
        .layer(ConcurrencyLimit::adaptive(AdaptiveSettings::DEFAULT))
        .service(Balance::new(endpoints))
}

#[tokio::test(start_paused = true)]
async fn whoever_is_called_was_ready() {
    let mut service = stack(Strict::default());
    for number in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(number).await.unwrap(), number);
    }
    // Another one than the one that was ready.
    service.ready().await.unwrap();
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 7);
    // Two calls of one that was ready once for each.
    let first = service.ready().await.unwrap().call(1);
    let second = service.ready().await.unwrap().call(2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn layers_that_pass_readiness_on_do_so_for_each_clone() {
    let mut service = crate::ErrorLayer.layer(Strict::default());
    service.ready().await.unwrap();
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 7);
    assert_eq!(service.call(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn they_fit_into_the_boxes_of_tower() {
    let boxed = BoxCloneService::new(stack(Strict::default()));
    assert_eq!(boxed.clone().oneshot(7).await.unwrap(), 7);
    let boxed = BoxCloneSyncService::new(stack(boxed_sync()));
    assert_eq!(boxed.oneshot(7).await.unwrap(), 7);
}

/// A box in a box.
fn boxed_sync() -> BoxCloneSyncService<u32, u32, BoxError> {
    BoxCloneSyncService::new(stack(Strict::default()))
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_cloned_goes_into_a_buffer() {
    struct Single(Strict);
    impl Service<u32> for Single {
        type Response = u32;
        type Error = BoxError;
        type Future = std::future::Ready<Result<u32, BoxError>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, number: u32) -> Self::Future {
            self.0.call(number)
        }
    }
    let inside = stack(Buffer::new(Single(Strict::default()), 8));
    assert_eq!(inside.oneshot(7).await.unwrap(), 7);
    let outside = Buffer::new(stack(Strict::default()), 8);
    assert_eq!(outside.oneshot(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_permit_of_tower_is_part_of_the_call() {
    let (client, calls) = hanging();
    // One set of permits for all clones.
    let client = ConcurrencyLimitLayer::new(1).layer(client);
    let service = Timeout::new(ms(50)).layer(client);
    let mut first = Box::pin(service.clone().oneshot(1));
    begin(&mut first).await;
    // Handles that are ready hold no permit, and calls that wait for one end in time.
    let mut idle = service.clone();
    idle.ready().await.unwrap();
    let late = Err(Error::Refused(Refused::Timeout { limit: ms(50) }));
    assert_eq!(service.clone().oneshot(2).await, late);
    assert_eq!(calls.get(), 1);
    // One that waits and is dropped leaves its place in the queue, and the permit comes back.
    let mut waiting = Box::pin(service.clone().oneshot(3));
    begin(&mut waiting).await;
    drop((waiting, first));
    let mut next = Box::pin(idle.call(4));
    begin(&mut next).await;
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_overload_that_tower_sheds_is_an_error_like_any_other() {
    let client = service_fn(|_: u32| std::future::pending::<Result<u32, BoxError>>());
    let client = ServiceBuilder::new()
        .layer(Retry::new(RetrySettings::DEFAULT.attempts(2)))
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(client);
    let mut first = Box::pin(client.clone().oneshot(1));
    begin(&mut first).await;
    let shed = client.oneshot(2).await.unwrap_err();
    assert!(shed.is::<tower::load_shed::error::Overloaded>(), "{shed}");
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_to_be_ready_is_not_called() {
    /// As a layer of somebody else might do it.
    #[derive(Clone)]
    struct Closed;
    impl Service<http::Request<()>> for Closed {
        type Response = http::Response<String>;
        type Error = TestError;
        type Future = std::future::Ready<Result<Self::Response, TestError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
            Poll::Ready(Err(Refused::Policy { name: "closed", retry_after: None }.into()))
        }

        fn call(&mut self, _: http::Request<()>) -> Self::Future {
            panic!("it was not ready")
        }
    }
    let mut server = crate::AnswerLayer.layer(Closed);
    for _ in 0..2 {
        let answer = server.ready().await.unwrap().call(http::Request::new(())).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_str()), (503, "refused\n"));
    }
}
