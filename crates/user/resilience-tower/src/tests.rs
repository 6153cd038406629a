//! What tests of this crate share, and what holds for all layers together.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_service::Service;

use crate::balance::BalanceSettings;
use crate::observe::{Event, Observer};
use crate::retry::RetrySettings;
use crate::settings::{AdaptiveSettings, HedgeSettings, RateSettings};
use crate::{
    Balance, Breaker, ConcurrencyLimit, Endpoints, Error, ErrorLayer, Hedge, RateLimit,
    RateLimitByKey, Refused, Retry, Timeout, breaker,
};

mod chain;
mod contract;
mod model;

/// What every failing service of these tests fails with.
pub(crate) type TestError = Error<&'static str>;

/// Milliseconds.
pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Seconds.
pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Writes down what it hears. Clones are one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

/// Counts. Clones are one count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

/// Counts as long as it lives: what a call under way holds.
#[derive(Debug)]
pub(crate) struct Held(Count);

impl Observer for Heard {
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Heard {
    /// All events so far, as they print.
    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Count {
    pub(crate) fn add(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self) -> Held {
        self.add();
        Held(self.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Polls a future once: enough for a call to begin.
pub(crate) async fn begin<F: Future + Unpin>(call: &mut F) {
    let polled = futures_once(call).await;
    assert!(polled, "it should not have ended yet");
}

async fn futures_once<F: Future + Unpin>(call: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *call).poll(cx).is_pending())
    })
    .await
}

/// A service that never answers, and the number of calls it holds.
pub(crate) fn hanging() -> (impl Service<u32, Response = u32, Error = TestError> + Clone, Count) {
    let calls = Count::default();
    let counted = calls.clone();
    let service = service_fn(move |_: u32| {
        let held = counted.hold();
        async move {
            let _held = held;
            std::future::pending::<Result<u32, TestError>>().await
        }
    });
    (service, calls)
}

#[tokio::test]
async fn services_and_their_calls_can_be_sent_and_cloned() {
    fn check<S: Service<u32> + Clone + Send + Sync + 'static>(service: S) -> S
    where
        S::Future: Send + 'static,
    {
        service
    }
    let client = check(service_fn(async |number: u32| Ok::<_, &'static str>(number)));
    let client = check(ErrorLayer.layer(client));
    let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
    endpoints.insert("first", client);
    let client = check(Balance::new(endpoints));
    let client = check(ConcurrencyLimit::adaptive(AdaptiveSettings::DEFAULT).layer(client));
    let client = check(ConcurrencyLimit::fixed(7).layer(client));
    let rate = RateSettings { average: 10, period: secs(1), burst: 10 };
    let client = check(RateLimit::new(rate).layer(client));
    let client = check(RateLimitByKey::new(rate, |_: &u32| "key").layer(client));
    let client = check(Breaker::new(&breaker::on_failure_ratio(0.5, 10)).layer(client));
    let client = check(Hedge::new(HedgeSettings::DEFAULT).layer(client));
    let client = check(Retry::new(RetrySettings::DEFAULT).layer(client));
    let client = check(Timeout::new(secs(1)).layer(client));
    assert_eq!(client.oneshot(7).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_back_what_it_holds_in_every_layer() {
    let (client, calls) = hanging();
    let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
    endpoints.insert("first", client);
    let limit = ConcurrencyLimit::fixed(1);
    let stack = ServiceBuilder::new()
        .layer(Timeout::new(secs(60)))
        .layer(Retry::new(RetrySettings::DEFAULT))
        .layer(Hedge::new(HedgeSettings::DEFAULT))
        .layer(Breaker::new(&breaker::on_failure_ratio(0.5, 1)))
        .layer(limit.clone())
        .service(Balance::new(endpoints));

    let mut call = Box::pin(stack.clone().oneshot(1));
    begin(&mut call).await;
    assert_eq!((calls.get(), limit.count()), (1, 1));
    let refused = stack.clone().oneshot(2).await;
    assert_eq!(refused, Err(Refused::Busy { limit: 1 }.into()));

    drop(call);
    assert_eq!((calls.get(), limit.count()), (0, 0));
    let mut call = Box::pin(stack.oneshot(3));
    begin(&mut call).await;
    assert_eq!((calls.get(), limit.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_ready_holds_nothing() {
    let limit = ConcurrencyLimit::fixed(1);
    let client = service_fn(async |number: u32| Ok::<_, TestError>(number));
    let stack = ServiceBuilder::new()
        .layer(Breaker::new(&breaker::on_failure_ratio(0.5, 1)))
        .layer(limit.clone())
        .service(client);
    // Many handles that are ready and never called leave the one place to who calls.
    let mut idle = vec![stack.clone(); 10];
    for service in &mut idle {
        service.ready().await.unwrap();
    }
    assert_eq!(limit.count(), 0);
    assert_eq!(stack.oneshot(7).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_touch_the_service_below() {
    // tower's own limit reserves its permit when polled: a refused call must not keep it.
    let polled = Count::default();
    let below =
        Polled { inner: service_fn(async |n: u32| Ok::<_, TestError>(n)), polled: polled.clone() };
    let service = ConcurrencyLimit::fixed(0).layer(below);
    let mut service = service.clone();
    service.ready().await.unwrap();
    assert_eq!(service.call(1).await, Err(Refused::Busy { limit: 0 }.into()));
    assert_eq!(polled.get(), 0);
}

/// Counts the calls of `poll_ready`.
#[derive(Clone)]
struct Polled<S> {
    inner: S,
    polled: Count,
}

impl<S: Service<Req>, Req> Service<Req> for Polled<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.polled.add();
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, req: Req) -> S::Future {
        self.inner.call(req)
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_inner_layers_are_not_retried_and_do_not_open_the_breaker() {
    let heard = Heard::default();
    let breaker = Breaker::new(&breaker::on_failure_ratio(0.1, 1));
    let stack = ServiceBuilder::new()
        .layer(Retry::new(RetrySettings::DEFAULT).observed_by(heard.clone()))
        .layer(breaker.clone())
        .layer(ConcurrencyLimit::fixed(0))
        .service(service_fn(async |number: u32| Ok::<_, TestError>(number)));
    for _ in 0..20 {
        let refused = stack.clone().oneshot(7).await;
        assert_eq!(refused, Err(Refused::Busy { limit: 0 }.into()));
    }
    assert_eq!(breaker.state(), breaker::State::Closed);
    assert_eq!(
        heard.events()[..2],
        ["Attempt { number: 1 }", "GaveUp { attempts: 1, stop: NotRetryable }",]
    );
    assert_eq!(heard.events().len(), 40);
}
