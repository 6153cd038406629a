use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::tests::{Count, Heard, TestError, hanging, ms};

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes_and_a_late_one_does_not() {
    let client = service_fn(async |millis: u64| {
        tokio::time::sleep(ms(millis)).await;
        Ok::<_, TestError>(millis)
    });
    let client = Timeout::new(ms(100)).layer(client);
    assert_eq!(client.clone().oneshot(99).await, Ok(99));
    assert_eq!(client.clone().oneshot(100).await, Ok(100)); // both with one tick
    let late = client.oneshot(101).await;
    assert_eq!(late, Err(Refused::Timeout { limit: ms(100) }.into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_too_late_is_dropped_and_told_of() {
    let (client, calls) = hanging();
    let heard = Heard::default();
    let client = Timeout::new(ms(100)).observed_by(heard.clone()).layer(client);
    assert!(client.oneshot(1).await.is_err());
    assert_eq!(calls.get(), 0);
    assert_eq!(heard.events(), ["Refused { by: Timeout { limit: 100ms } }"]);
}

/// Never ready.
#[derive(Clone)]
struct Starting;

impl Service<u32> for Starting {
    type Response = u32;
    type Error = TestError;
    type Future = std::future::Ready<Result<u32, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        Poll::Pending
    }

    fn call(&mut self, _: u32) -> Self::Future {
        panic!("it was not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_service_counts() {
    let result = Timeout::new(ms(100)).layer(Starting).oneshot(1).await;
    assert_eq!(result, Err(Refused::Timeout { limit: ms(100) }.into()));
}

#[tokio::test(start_paused = true)]
async fn a_plain_future_is_bounded_and_dropped() {
    let calls = Count::default();
    let held = calls.hold();
    let call = async move {
        let _held = held;
        std::future::pending::<Result<(), &str>>().await
    };
    assert_eq!(timeout(ms(5), call).await, Err(Refused::Timeout { limit: ms(5) }.into()));
    assert_eq!(calls.get(), 0);
    let failed = timeout(ms(5), async { Err::<(), _>("reset") }).await;
    assert_eq!(failed, Err(Error::Inner("reset")));
}
