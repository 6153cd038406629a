//! What the layers add to the state machines, against plain models of it, on a paused clock.

use std::future::Future;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::oneshot;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::{Count, TestError, begin, ms};
use crate::balance::BalanceSettings;
use crate::classify::{Class, Verdict};
use crate::retry::RetrySettings;
use crate::settings::{BackoffSettings, BudgetSettings, HedgeSettings, RecentBudget};
use crate::{
    Balance, Breaker, ConcurrencyLimit, Endpoints, Error, Hedge, Refused, Retry, Stop, breaker,
    clock, hedge, retry,
};

/// Runs on a clock that stands still while anybody has something to do.
fn block_on<T>(run: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(run)
}

/// How one attempt goes, after so many milliseconds.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    takes: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Good,
    Bad,
    /// Bad, and it would be so again.
    Final,
    /// Bad, and asks for a wait of so many milliseconds.
    Busy(u64),
}

/// Milliseconds that are even: bounds are odd, so that no two things happen at one moment.
fn even(max: u64) -> impl Strategy<Value = u64> {
    (0..max / 2).prop_map(|half| half * 2)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let end = prop_oneof![
        1 => Just(End::Good),
        4 => Just(End::Bad),
        1 => Just(End::Final),
        2 => even(1_500).prop_map(End::Busy),
    ];
    (even(400), end).prop_map(|(takes, end)| Attempt { takes, end })
}

/// What a call with retries comes to: its attempts, why it stopped if it failed, and how long it
/// took. Waits are those that were asked for.
fn retried(
    script: &[Attempt],
    attempts: u32,
    retry_after_max: u64,
    within: Option<u64>,
) -> (u32, Option<Stop>, u64) {
    let mut time = 0;
    for (attempt, number) in script.iter().zip(1..) {
        time += attempt.takes;
        let asked = if let End::Busy(wait) = attempt.end { wait } else { 0 };
        let stop = match attempt.end {
            End::Good => return (number, None, time),
            End::Final => Some(Stop::NotRetryable),
            _ if number == attempts => Some(Stop::Attempts),
            _ if asked > retry_after_max => Some(Stop::RetryAfter),
            _ if within.is_some_and(|within| time + asked > within) => Some(Stop::Deadline),
            _ => None,
        };
        if stop.is_some() {
            return (number, stop, time);
        }
        time += asked;
    }
    unreachable!("a script is as long as there may be attempts")
}

fn judge(outcome: &Result<(), End>) -> Verdict {
    match outcome {
        Ok(()) => Verdict::SUCCESS,
        Err(End::Busy(wait)) => Verdict::failure(Class::Overload).retry_after(ms(*wait)),
        Err(End::Final) => Verdict::failure(Class::Failure).retryable(false),
        Err(_) => Verdict::failure(Class::Failure),
    }
}

proptest! {
    #[test]
    fn a_call_with_retries_goes_as_its_attempts_do(
        script in prop::collection::vec(attempt(), 6),
        attempts in 1u32..6,
        retry_after_max in even(1_500),
        within in prop::option::of(even(2_000).prop_map(|within| within + 1)),
    ) {
        let budget = BudgetSettings::Recent(RecentBudget { ratio: 1e6, ..RecentBudget::DEFAULT });
        let settings = RetrySettings {
            within: within.map(ms),
            ..RetrySettings::DEFAULT
                .attempts(attempts)
                .retry_after_max(ms(retry_after_max))
                .backoff(BackoffSettings::traefik(Duration::ZERO))
                .budget(budget)
        };
        let (got, took) = block_on(async {
            let policy = Retry::new(settings).classified_by(judge);
            let begun = clock::now();
            let mut attempts = script.iter();
            let mut count = 0;
            let outcome = retry(&policy, || {
                count += 1;
                let Attempt { takes, end } = *attempts.next().expect("there are enough");
                async move {
                    tokio::time::sleep(ms(takes)).await;
                    if end == End::Good { Ok(()) } else { Err(end) }
                }
            })
            .await;
            if let Err(given_up) = &outcome {
                assert_eq!(given_up.attempts, count);
            }
            ((count, outcome.err().map(|given_up| given_up.stop)), clock::now() - begun)
        });
        let (count, stop, time) = retried(&script, attempts, retry_after_max, within);
        prop_assert_eq!(got, (count, stop));
        prop_assert_eq!(took, ms(time));
    }

    #[test]
    fn a_hedged_call_ends_with_the_first_success_or_the_last_failure(
        takes in [even(100), even(100)],
        good in any::<[bool; 2]>(),
    ) {
        const DELAY: u64 = 31;
        let settings = HedgeSettings {
            samples_min: 1,
            delay_min: ms(DELAY),
            delay_max: ms(DELAY),
            budget_ratio: 1.0,
            burst: 10,
            ..HedgeSettings::DEFAULT
        };
        let (outcome, calls, took) = block_on(async {
            let policy = Hedge::new(settings);
            for _ in 0..200 {
                let learned = hedge(&policy, || async {
                    tokio::time::sleep(ms(10)).await;
                    Ok::<_, TestError>(0)
                });
                learned.await.unwrap();
            }
            let calls = Count::default();
            let begun = clock::now();
            let outcome = hedge(&policy, || {
                let call = calls.add() as usize - 1;
                async move {
                    tokio::time::sleep(ms(takes[call])).await;
                    if good[call] { Ok(call) } else { Err(Error::Inner(["first", "second"][call])) }
                }
            });
            (outcome.await, calls.get(), clock::now() - begun)
        });
        let ends = [takes[0], DELAY + takes[1]];
        let first = Err(Error::Inner("first"));
        let expected = match good {
            _ if ends[0] < DELAY => (if good[0] { Ok(0) } else { first }, 1, ends[0]),
            [true, true] if ends[0] < ends[1] => (Ok(0), 2, ends[0]),
            [_, true] => (Ok(1), 2, ends[1]),
            [true, false] => (Ok(0), 2, ends[0]),
            [false, false] => (Err(Error::Inner("second")), 2, ends[0].max(ends[1])),
        };
        prop_assert_eq!((outcome, calls, took), (expected.0, expected.1, ms(expected.2)));
    }
}

/// What happens to one of the calls that are under way.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Answer(usize),
    Fail(usize),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Begin),
        1 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    /// However calls begin and end, what is held is held for those that are under way.
    #[test]
    fn places_are_held_for_calls_under_way_and_for_no_others(
        limit in 0u32..6, steps in steps(),
    ) {
        block_on(async {
            let hands = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let client = |endpoint: usize| {
                let hands = std::sync::Arc::clone(&hands);
                service_fn(move |_: u32| {
                    let (hand, answer) = oneshot::channel::<Result<u32, TestError>>();
                    hands.lock().unwrap().push((endpoint, hand));
                    async { answer.await.expect("its hand is kept") }
                })
            };
            let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
            (0..3).for_each(|key| endpoints.insert(key, client(key)));
            let bound = ConcurrencyLimit::fixed(limit);
            let stack = ServiceBuilder::new()
                .layer(Breaker::new(&breaker::on_failure_ratio(1.0, 1_000)))
                .layer(bound.clone())
                .service(Balance::new(endpoints.clone()));
            let mut running = Vec::new();
            for step in steps {
                match step {
                    Step::Begin => {
                        let mut call = Box::pin(stack.clone().oneshot(7));
                        if running.len() < limit as usize {
                            begin(&mut call).await;
                            running.push((call, hands.lock().unwrap().pop().unwrap()));
                        } else {
                            assert_eq!(call.await, Err(Refused::Busy { limit }.into()));
                        }
                    }
                    _ if running.is_empty() => {}
                    Step::Drop(which) => drop(running.swap_remove(which % running.len())),
                    Step::Answer(which) | Step::Fail(which) => {
                        let (call, (_, hand)) = running.swap_remove(which % running.len());
                        let is_good = matches!(step, Step::Answer(_));
                        let outcome = if is_good { Ok(7) } else { Err(Error::Inner("reset")) };
                        hand.send(outcome.clone()).unwrap();
                        assert_eq!(call.await, outcome);
                    }
                }
                assert_eq!(bound.count() as usize, running.len());
                for key in 0..3 {
                    let held = running.iter().filter(|(_, (endpoint, _))| *endpoint == key);
                    assert_eq!(endpoints.calls(&key), Some(held.count() as u32));
                }
            }
        });
    }
}
