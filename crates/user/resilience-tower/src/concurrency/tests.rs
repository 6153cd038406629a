use std::time::Duration;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::tests::{Count, Heard, TestError, begin, hanging, ms, secs};

#[tokio::test(start_paused = true)]
async fn what_is_over_the_bound_is_refused_and_a_dropped_call_makes_room() {
    let heard = Heard::default();
    let (client, calls) = hanging();
    let limit = ConcurrencyLimit::fixed(2).observed_by(heard.clone());
    let client = limit.layer(client);
    let mut first = Box::pin(client.clone().oneshot(1));
    let mut second = Box::pin(client.clone().oneshot(2));
    begin(&mut first).await;
    begin(&mut second).await;
    let third = client.clone().oneshot(3).await;
    assert_eq!(third, Err(Refused::Busy { limit: 2 }.into()));
    assert_eq!(heard.events(), ["Refused { by: Busy { limit: 2 } }"]);

    drop(first);
    assert_eq!((calls.get(), limit.count()), (1, 1));
    let mut third = Box::pin(client.oneshot(3));
    begin(&mut third).await;
    assert_eq!(limit.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_ended_makes_room() {
    let limit = ConcurrencyLimit::fixed(1);
    for _ in 0..3 {
        assert_eq!(limit.call(async { Ok::<_, &str>(7) }).await, Ok(7));
        assert_eq!(limit.call(async { Err::<(), _>("reset") }).await, Err(Error::Inner("reset")));
    }
    assert_eq!(limit.count(), 0);
}

/// Serves up to ten calls at one time in 20 ms each; more share its time.
fn server() -> impl Service<u32, Response = u32, Error = TestError, Future: Send> + Clone + Send {
    let calls = Count::default();
    service_fn(move |number: u32| {
        let held = calls.hold();
        let slower = calls.get().max(10) / 10;
        async move {
            tokio::time::sleep(ms(20) * slower).await;
            drop(held);
            Ok(number)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_bound_finds_what_the_upstream_bears() {
    let heard = Heard::default();
    let settings = AdaptiveSettings { ideal_period: secs(600), ..AdaptiveSettings::DEFAULT };
    let limit = ConcurrencyLimit::adaptive(settings).observed_by(heard.clone());
    let client = limit.layer(server());
    // A hundred callers who come back whatever happens.
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        callers.spawn(async move {
            for number in 0.. {
                let _ = client.clone().oneshot(number).await;
                tokio::time::sleep(ms(5)).await;
            }
        });
    }
    tokio::time::sleep(secs(20)).await;
    let found = limit.limit();
    assert!((5..=40).contains(&found), "{found}: the knee is at 10 to 20");
    assert!(heard.events().iter().any(|event| event.starts_with("LimitChanged")));
    callers.shutdown().await;
    assert_eq!(limit.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_further_in_says_nothing_about_latency() {
    let settings = AdaptiveSettings {
        limit_initial: 10,
        ideal_samples: 1,
        update_period: Duration::ZERO,
        ..AdaptiveSettings::DEFAULT
    };
    let limit = ConcurrencyLimit::adaptive(settings);
    let AdaptiveSettings { limit_min, .. } = settings;
    for _ in 0..10 {
        let refused = async { Err::<(), TestError>(Refused::Busy { limit: 1 }.into()) };
        let _ = limit.call(refused).await;
    }
    // The ideal latency is still being measured.
    assert_eq!(limit.limit(), limit_min);
    let _ = limit.call(async { Ok::<_, TestError>(()) }).await;
    assert_eq!(limit.limit(), 10);
}
