use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};
use weft_resilience::settings::{ActiveBudget, RecentBudget};

use super::*;
use crate::classify::{ByResult, Class, Verdict};
use crate::error::Error;
use crate::tests::{Count, Heard, TestError, begin, ms, secs};

/// No wait, and no bound on all calls together.
const FREE: RetrySettings = RetrySettings {
    attempts: 3,
    backoff: BackoffSettings::traefik(Duration::ZERO),
    budget: BudgetSettings::Recent(RecentBudget { ratio: 1e6, ..RecentBudget::DEFAULT }),
    retry_after_max: Duration::from_secs(10),
    within: None,
};

/// Fails until so many calls were made.
fn failing(failures: u32) -> (impl Service<u32, Response = u32, Error = TestError> + Clone, Count) {
    let calls = Count::default();
    let counted = calls.clone();
    let client = service_fn(move |number: u32| {
        let failed = counted.add() <= failures;
        async move { if failed { Err(Error::Inner("reset")) } else { Ok(number) } }
    });
    (client, calls)
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_tried_again_until_it_succeeds() {
    let heard = Heard::default();
    let (client, calls) = failing(2);
    let client = Retry::new(FREE).observed_by(heard.clone()).layer(client);
    assert_eq!(client.oneshot(7).await, Ok(7));
    assert_eq!(calls.get(), 3);
    assert_eq!(
        heard.events(),
        [
            "Attempt { number: 1 }",
            "Retry { number: 2, wait: 0ns }",
            "Attempt { number: 2 }",
            "Retry { number: 3, wait: 0ns }",
            "Attempt { number: 3 }",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_the_last_failure_is_the_answer() {
    let heard = Heard::default();
    let (client, calls) = failing(u32::MAX);
    let policy = Retry::new(FREE).observed_by(heard.clone());
    assert_eq!(policy.layer(client.clone()).oneshot(7).await, Err(Error::Inner("reset")));
    assert_eq!(calls.get(), 3);
    assert_eq!(heard.events().last().unwrap(), "GaveUp { attempts: 3, stop: Attempts }");

    let given_up = retry(&policy, || client.clone().oneshot(7)).await.unwrap_err();
    let expected = GaveUp { last: Error::Inner("reset"), attempts: 3, stop: Stop::Attempts };
    assert_eq!(given_up, expected);
}

/// Calls that fail in all their attempts: how many of so many retries were made, and the last stop.
async fn storm(policy: &Retry<ByResult>, calls: u32) -> (u32, Stop) {
    let attempts = Count::default();
    let mut stop = Stop::Attempts;
    for _ in 0..calls {
        let call = || {
            attempts.add();
            async { Err::<(), _>("reset") }
        };
        stop = retry(policy, call).await.unwrap_err().stop;
    }
    (attempts.get() - calls, stop)
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_the_retries_of_all_calls_and_clones() {
    let budget = RecentBudget { ratio: 0.2, retries_min: 0, ..RecentBudget::DEFAULT };
    let settings = RetrySettings { budget: BudgetSettings::Recent(budget), ..FREE };
    let policy = Retry::new(settings).classified_by(ByResult);
    let (retries, stop) = storm(&policy, 500).await;
    assert_eq!((retries, stop), (100, Stop::Budget));
    let (retries, _) = storm(&policy.clone(), 500).await;
    assert_eq!(retries, 100);
    // Another policy has a budget of its own.
    let (retries, _) = storm(&Retry::new(settings).classified_by(ByResult), 5).await;
    assert_eq!(retries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_retry_gives_its_place_in_the_budget_back() {
    let budget = ActiveBudget { ratio: 0.0, retries_min: 1, interval: Duration::ZERO };
    let settings = RetrySettings { budget: BudgetSettings::Active(budget), ..FREE };
    let policy = Retry::new(settings);
    let calls = Count::default();
    let hanging = || {
        let first = calls.add() == 1;
        async move {
            if first {
                Err(Error::Inner("reset"))
            } else {
                std::future::pending::<Result<(), TestError>>().await
            }
        }
    };
    let mut retried = Box::pin(retry(&policy, hanging));
    begin(&mut retried).await;
    assert_eq!(calls.get(), 2);

    let failing = || async { Err::<(), TestError>(Error::Inner("reset")) };
    let refused = retry(&policy, failing).await.unwrap_err();
    assert_eq!((refused.attempts, refused.stop), (1, Stop::Budget));
    drop(retried);
    assert_eq!(retry(&policy, failing).await.unwrap_err().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_not_tried_again() {
    let (client, calls) = crate::tests::hanging();
    let mut call = Box::pin(Retry::new(FREE).layer(client).oneshot(1));
    begin(&mut call).await;
    assert_eq!(calls.get(), 1);
    drop(call);
    assert_eq!(calls.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_worth_a_retry_is_not_retried() {
    let classifier = |outcome: &Result<(), &str>| match outcome {
        Err("denied") => Verdict { retryable: false, ..Verdict::failure(Class::Failure) },
        Err(_) => Verdict::failure(Class::Failure),
        Ok(()) => Verdict::SUCCESS,
    };
    let policy = Retry::new(FREE).classified_by(classifier);
    let given_up = retry(&policy, || async { Err("denied") }).await.unwrap_err();
    assert_eq!((given_up.attempts, given_up.stop), (1, Stop::NotRetryable));
    assert_eq!(retry(&policy, || async { Err("reset") }).await.unwrap_err().attempts, 3);
}

/// An upstream that asks to come back later.
fn asking(wait: Duration) -> impl Fn(&Result<(), &'static str>) -> Verdict + Clone {
    move |_: &Result<(), &'static str>| Verdict {
        retry_after: Some(wait),
        ..Verdict::failure(Class::Overload)
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_before_the_upstream_asks_to() {
    let backoff = BackoffSettings::envoy(ms(25));
    let settings = RetrySettings { backoff, attempts: 2, ..FREE };
    let policy = Retry::new(settings).classified_by(asking(secs(2)));
    let begun = clock::now();
    assert_eq!(retry(&policy, || async { Err("busy") }).await.unwrap_err().attempts, 2);
    let waited = clock::now() - begun;
    assert!(waited >= secs(2) && waited <= secs(2) + ms(26), "{waited:?}");

    let policy = Retry::new(settings).classified_by(asking(secs(11)));
    let given_up = retry(&policy, || async { Err("busy") }).await.unwrap_err();
    assert_eq!((given_up.attempts, given_up.stop), (1, Stop::RetryAfter));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_time_is_up() {
    let settings = RetrySettings { within: Some(secs(3)), ..FREE };
    let policy = Retry::new(settings).classified_by(asking(secs(2)));
    let given_up = retry(&policy, || async { Err("busy") }).await.unwrap_err();
    assert_eq!((given_up.attempts, given_up.stop), (2, Stop::Deadline));
}

/// The waits of one call whose attempts all fail, as observers hear them.
fn waits(backoff: BackoffSettings, attempts: u32) -> Vec<Duration> {
    let waits = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&waits);
    let observer = move |event: &crate::observe::Event<'_>| {
        if let crate::observe::Event::Retry { wait, .. } = event {
            heard.lock().unwrap().push(*wait);
        }
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let settings = RetrySettings { backoff, attempts, ..FREE };
        let policy = Retry::new(settings).classified_by(ByResult).observed_by(observer);
        let begun = clock::now();
        let _ = retry(&policy, || async { Err::<(), _>("reset") }).await;
        let told: Duration = waits.lock().unwrap().iter().sum();
        let waited = clock::now() - begun;
        // tokio's clock ticks in milliseconds.
        assert!(waited >= told && waited <= told + ms(u64::from(attempts)), "{waited:?} {told:?}");
    });
    waits.lock().unwrap().clone()
}

proptest! {
    #[test]
    fn each_wait_is_within_its_bound(
        initial in 0u64..500, factor in 1.0..4.0f64, max in 0u64..5_000, attempts in 2u32..8,
    ) {
        let backoff = BackoffSettings {
            initial_interval: ms(initial),
            interval_min: Duration::ZERO,
            factor,
            interval_max: ms(max),
        };
        let waits = waits(backoff, attempts);
        prop_assert_eq!(waits.len(), attempts as usize - 1);
        let mut bound = initial.min(max) as f64;
        for wait in waits {
            prop_assert!(wait.as_secs_f64() * 1e3 <= bound + 1e-3, "{:?} above {} ms", wait, bound);
            bound = (bound * factor).min(max as f64);
        }
    }
}

#[test]
fn waits_fill_the_whole_bound_and_differ_between_callers() {
    let backoff = BackoffSettings::traefik(ms(100));
    let mut firsts: Vec<Duration> = (0..200).map(|_| waits(backoff, 2)[0]).collect();
    firsts.sort();
    assert!(firsts[20] < ms(30) && firsts[180] > ms(70), "{firsts:?}");
    firsts.dedup();
    assert!(firsts.len() > 190, "callers that wait equally long: {firsts:?}");
}

/// A service that must not be polled again once it has failed.
#[derive(Clone)]
struct Dead(Count);

impl Service<u32> for Dead {
    type Response = u32;
    type Error = TestError;
    type Future = std::future::Ready<Result<u32, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        self.0.add();
        Poll::Ready(Err(Error::Inner("closed")))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        panic!("it was not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_failed_for_good_is_left_alone() {
    let polled = Count::default();
    let result = Retry::new(FREE).layer(Dead(polled.clone())).oneshot(1).await;
    assert_eq!((result, polled.get()), (Err(Error::Inner("closed")), 1));
}

#[tokio::test(start_paused = true)]
async fn plain_calls_may_fail_with_errors_of_any_crate() {
    // Shaped like a client with requests and errors of its own that knows nothing of this crate.
    #[derive(Debug, PartialEq)]
    struct ForeignError;
    let calls = Count::default();
    let send = || {
        let calls = calls.clone();
        async move { if calls.add() < 3 { Err(ForeignError) } else { Ok("sent") } }
    };
    let policy = Retry::new(FREE).classified_by(ByResult);
    assert_eq!(retry(&policy, send).await, Ok("sent"));
}
