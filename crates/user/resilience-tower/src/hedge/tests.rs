use bytes::Bytes;
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::classify::HttpClassifier;
use crate::error::{Error, Refused};
use crate::replay::HttpReplay;
use crate::retry::RetrySettings;
use crate::tests::{Count, Heard, TestError, begin, hanging, ms, secs};
use crate::{Retry, hop};

const SETTINGS: HedgeSettings =
    HedgeSettings { budget_ratio: 0.1, burst: 1, ..HedgeSettings::DEFAULT };

/// Answers after so many milliseconds, each call its own; what is left of the list counts as 10.
fn scripted(
    delays: impl IntoIterator<Item = u64>,
) -> (impl Service<u32, Response = u32, Error = TestError, Future: Send> + Clone + Send, Count) {
    let delays =
        Arc::new(std::sync::Mutex::new(delays.into_iter().collect::<Vec<_>>().into_iter()));
    let calls = Count::default();
    let counted = calls.clone();
    let client = service_fn(move |number: u32| {
        let call = counted.add();
        let delay = delays.lock().unwrap().next().unwrap_or(10);
        async move {
            tokio::time::sleep(ms(delay)).await;
            if number == 0 { Err(Error::Inner("reset")) } else { Ok(call) }
        }
    });
    (client, calls)
}

/// Calls of 10 ms until the policy has learned that, and earned a second try.
async fn learn(policy: &Hedge) {
    for _ in 0..200 {
        let call = hedge(policy, || async {
            tokio::time::sleep(ms(10)).await;
            Ok::<_, TestError>(())
        });
        call.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_longer_than_most_is_sent_again() {
    let heard = Heard::default();
    let policy = Hedge::new(SETTINGS).observed_by(heard.clone());
    learn(&policy).await;
    assert_eq!(heard.events(), [""; 0]);

    let (client, calls) = scripted([5_000, 10]);
    let begun = clock::now();
    assert_eq!(policy.layer(client).oneshot(1).await, Ok(2)); // the second call's answer
    let took = clock::now() - begun;
    // The 95th percentile is 10 ms, and the second takes as long.
    assert!(took >= ms(19) && took <= ms(23), "{took:?}");
    assert_eq!(calls.get(), 2);
    let events = heard.events();
    assert!(events[0].starts_with("Hedged { after: "), "{events:?}");
    assert_eq!(events[1..], ["HedgeWon"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_may_still_win() {
    let policy = Hedge::new(SETTINGS);
    learn(&policy).await;
    let (client, calls) = scripted([15, 5_000]);
    assert_eq!(policy.layer(client).oneshot(1).await, Ok(1));
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_enough_known_nothing_is_sent_twice() {
    let policy = Hedge::new(SETTINGS);
    let (client, calls) = scripted([5_000]);
    assert_eq!(policy.layer(client).oneshot(1).await, Ok(1));
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_second_tries() {
    // By the median, which these calls do not move: most that is known stays quick.
    let policy = Hedge::new(HedgeSettings { quantile: 0.5, ..SETTINGS });
    learn(&policy).await;
    let (client, calls) = scripted(vec![300; 1_000]);
    let client = policy.layer(client);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..150 {
        running.spawn(client.clone().oneshot(1));
        tokio::time::sleep(ms(5)).await;
    }
    running.join_all().await;
    let hedged = calls.get() - 150;
    assert!((14..=16).contains(&hedged), "{hedged} of 150: 10 %, and the one saved up");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_one_try_waits_for_the_other() {
    let policy = Hedge::new(SETTINGS);
    learn(&policy).await;
    // The second fails at once, the first answers later.
    let calls = Count::default();
    let call = || {
        let call = calls.add();
        async move {
            if call == 2 {
                return Err(Error::from(Refused::Busy { limit: 1 }));
            }
            tokio::time::sleep(ms(100)).await;
            Ok::<_, TestError>(call)
        }
    };
    assert_eq!(hedge(&policy, call).await, Ok(1));
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_call_fails() {
    let policy = Hedge::new(SETTINGS);
    learn(&policy).await;
    let (client, calls) = scripted([50, 60]);
    assert_eq!(policy.layer(client).oneshot(0).await, Err(Error::Inner("reset")));
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_second_try_is_the_answer() {
    let policy = Hedge::new(SETTINGS);
    learn(&policy).await;
    let (client, calls) = scripted([5]);
    assert_eq!(policy.layer(client).oneshot(0).await, Err(Error::Inner("reset")));
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_drops_both_tries() {
    let policy = Hedge::new(SETTINGS);
    learn(&policy).await;
    let (client, calls) = hanging();
    let mut call = Box::pin(policy.layer(client).oneshot(1));
    begin(&mut call).await;
    tokio::time::advance(secs(1)).await;
    begin(&mut call).await;
    assert_eq!(calls.get(), 2);
    drop(call);
    assert_eq!(calls.get(), 0);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_is_not_sent_twice() {
    let check = async |method: &str, expected: u32| {
        let policy = Hedge::new(SETTINGS);
        learn(&policy).await;
        let policy = policy.replayed_by(crate::replay::HttpReplay::new());
        let calls = Count::default();
        let client = service_fn(|_: http::Request<()>| {
            calls.add();
            async {
                tokio::time::sleep(secs(1)).await;
                Ok::<_, TestError>(())
            }
        });
        let req = http::Request::builder().method(method).body(()).unwrap();
        policy.layer(client).oneshot(req).await.unwrap();
        assert_eq!(calls.get(), expected, "{method}");
    };
    check("GET", 2).await;
    check("POST", 1).await;
}

/// Fails at once; hangs; answers at once.
fn third_time_lucky() -> (
    impl Service<
        http::Request<Full<Bytes>>,
        Response = http::Response<()>,
        Error = TestError,
        Future: Send,
    > + Clone,
    Count,
) {
    let calls = Count::default();
    let counted = calls.clone();
    let client = service_fn(move |_| {
        let call = counted.add();
        async move {
            if call == 2 {
                tokio::time::sleep(secs(5)).await;
            }
            let status = if call == 1 { 503 } else { 200 };
            Ok(http::Response::builder().status(status).body(()).unwrap())
        }
    });
    (client, calls)
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_this_process_may_be_hedged_and_one_of_another_may_not() {
    for (attempt, status, sent) in [("1", 200, 3), ("2", 503, 1)] {
        let policy = Hedge::new(SETTINGS);
        learn(&policy).await;
        let policy = policy.classified_by(HttpClassifier::new()).replayed_by(HttpReplay::new());
        let (client, calls) = third_time_lucky();
        let client = Retry::http(RetrySettings::DEFAULT).layer(policy.layer(client));
        let req = http::Request::get("/").header(hop::ATTEMPT, attempt);
        let begun = clock::now();
        let answer = client.oneshot(req.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!((answer.status().as_u16(), calls.get()), (status, sent), "{attempt}");
        assert!(clock::now() - begun < secs(1), "nobody waits for what hangs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_another_caller_is_not_sent_twice() {
    let policy = Hedge::new(SETTINGS);
    learn(&policy).await;
    let policy = policy.classified_by(HttpClassifier::new()).replayed_by(HttpReplay::new());
    let (client, calls) = third_time_lucky();
    let client = policy.layer(client);
    for _ in 0..2 {
        let req = http::Request::get("/").header(hop::ATTEMPT, "2");
        let _ = client.clone().oneshot(req.body(Full::default()).unwrap()).await.unwrap();
    }
    assert_eq!(calls.get(), 2);
}
