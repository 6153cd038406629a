use std::time::Duration;

use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::tests::{Heard, TestError, begin, ms, secs};

const TEN_PER_MINUTE: RateSettings =
    RateSettings { average: 10, period: Duration::from_secs(60), burst: 2 };

fn refused(retry_after: Duration) -> Result<u32, TestError> {
    Err(Refused::RateLimited { retry_after }.into())
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_the_rest_learns_when_to_come_back() {
    let heard = Heard::default();
    let client = service_fn(async |number: u32| Ok::<_, TestError>(number));
    let client = RateLimit::new(TEN_PER_MINUTE).observed_by(heard.clone()).layer(client);
    let call = |number| client.clone().oneshot(number);
    assert_eq!(call(1).await, Ok(1));
    assert_eq!(call(2).await, Ok(2));
    assert_eq!(call(3).await, refused(secs(6)));
    tokio::time::advance(secs(2)).await;
    assert_eq!(call(4).await, refused(secs(4)));
    tokio::time::advance(secs(4)).await;
    assert_eq!(call(5).await, Ok(5));
    assert_eq!(
        heard.events(),
        [
            "Refused { by: RateLimited { retry_after: 6s } }",
            "Refused { by: RateLimited { retry_after: 4s } }",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_a_little_early_waits_for_the_turn() {
    let heard = Heard::default();
    // One each 100 ms, so a wait is at most 50 ms.
    let settings = RateSettings { average: 10, period: secs(1), burst: 1 };
    let limit = RateLimit::new(settings).observed_by(heard.clone());
    let client = limit.layer(service_fn(async |number: u32| Ok::<_, TestError>(number)));
    assert_eq!(client.clone().oneshot(1).await, Ok(1));
    tokio::time::advance(ms(60)).await;
    let begun = clock::now();
    assert_eq!(client.oneshot(2).await, Ok(2));
    assert_eq!(clock::now() - begun, ms(40));
    assert_eq!(heard.events(), ["Waited { wait: 40ms }"]);
}

#[tokio::test(start_paused = true)]
async fn each_source_has_its_own_rate() {
    let client = service_fn(async |number: u32| Ok::<_, TestError>(number));
    let key = |number: &u32| (number % 2).to_string();
    let client = RateLimitByKey::new(TEN_PER_MINUTE, key).layer(client);
    let call = |number| client.clone().oneshot(number);
    assert_eq!((call(1).await, call(3).await), (Ok(1), Ok(3)));
    assert_eq!(call(5).await, refused(secs(6)));
    assert_eq!(call(2).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn plain_calls_share_the_rate_with_clones() {
    let limit = RateLimit::new(TEN_PER_MINUTE);
    assert_eq!(limit.call(async { Ok::<_, &str>(1) }).await, Ok(1));
    assert_eq!(limit.clone().turn().await, Ok(()));
    let late = limit.call(async { Ok::<u32, &str>(3) }).await;
    assert_eq!(late, refused(secs(6)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_has_not_begun() {
    let settings = RateSettings { average: 10, period: secs(1), burst: 1 };
    let (client, calls) = crate::tests::hanging();
    let client = RateLimit::new(settings).layer(client);
    let mut first = Box::pin(client.clone().oneshot(1));
    begin(&mut first).await;
    tokio::time::advance(ms(60)).await;
    let mut second = Box::pin(client.oneshot(2));
    begin(&mut second).await;
    assert_eq!(calls.get(), 1);
    tokio::time::advance(ms(41)).await;
    begin(&mut second).await;
    assert_eq!(calls.get(), 2);
}
