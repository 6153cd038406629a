use std::collections::VecDeque;

use super::*;
use crate::virtual_clock::{ms, secs, start};

fn compare_to(measure: Measure, operator: Operator, value: f64) -> BreakerExpression {
    BreakerExpression::Compare(measure, operator, value)
}

fn settings(expression: BreakerExpression) -> BreakerSettings {
    BreakerSettings {
        expression,
        check_period: ms(100),
        fallback_duration: secs(10),
        recovery_duration: secs(10),
        response_code: 503,
    }
}

fn server_errors(operator: Operator, value: f64) -> BreakerExpression {
    let measure = Measure::ResponseCodeRatio { from: 500, to: 600, div_from: 0, div_to: 600 };
    compare_to(measure, operator, value)
}

fn outcome(status: u16) -> Outcome {
    Outcome { status: Some(status), network_error: false, latency: ms(10) }
}

const UNREACHABLE: Outcome =
    Outcome { status: None, network_error: true, latency: Duration::from_millis(1) };

/// Whether an expression opens the breaker, given these outcomes at one moment.
fn check(expression: BreakerExpression, outcomes: &[Outcome], opens: bool) {
    let epoch = start();
    let breaker = Breaker::new(&settings(expression.clone()), epoch);
    // The check that the last outcome causes is the only one that sees them all.
    breaker.check_at.store(nanos(secs(1)), Ordering::Relaxed);
    let (last, before) = outcomes.split_last().expect("outcomes");
    for outcome in before {
        assert!(!breaker.record(epoch, *outcome));
    }
    assert_eq!(breaker.record(epoch + secs(1), *last), opens, "{expression:?}");
    assert_eq!(breaker.state(), if opens { State::Open } else { State::Closed });
}

#[test]
fn expressions_mean_what_they_say() {
    use Measure::{LatencyAtQuantileMs, NetworkErrorRatio, RequestThreshold, ResponseCodeRatio};
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};

    let half = [UNREACHABLE, outcome(200)];
    for (operator, opens) in [
        (Less, false),
        (LessOrEqual, true),
        (Greater, false),
        (GreaterOrEqual, true),
        (Equal, true),
        (NotEqual, false),
    ] {
        check(compare_to(NetworkErrorRatio, operator, 0.5), &half, opens);
    }
    check(compare_to(RequestThreshold, GreaterOrEqual, 2.0), &half, true);
    check(compare_to(RequestThreshold, Greater, 2.0), &half, false);

    // `from` counts, `to` does not.
    let ratio = |from, to, div_from, div_to| ResponseCodeRatio { from, to, div_from, div_to };
    let mixed = [outcome(499), outcome(500), outcome(599), outcome(600)];
    check(compare_to(ratio(500, 600, 0, 601), Equal, 0.5), &mixed, true);
    check(compare_to(ratio(500, 600, 0, 600), Greater, 0.66), &mixed, true);
    check(compare_to(ratio(500, 600, 200, 300), Equal, 0.0), &mixed, true);
    check(compare_to(ratio(500, 501, 500, 600), Equal, 0.5), &mixed, true);

    let slow = Outcome { latency: ms(200), ..outcome(200) };
    check(compare_to(LatencyAtQuantileMs(50.0), Greater, 100.0), &[slow, outcome(200)], false);
    check(compare_to(LatencyAtQuantileMs(51.0), Greater, 100.0), &[slow, outcome(200)], true);
    check(compare_to(LatencyAtQuantileMs(100.0), Greater, 250.0), &[slow, slow], false);
}

#[test]
fn expressions_combine() {
    let (one, all) = ([outcome(500)], [outcome(500), outcome(500), outcome(500)]);
    let failing = || Box::new(server_errors(Operator::Greater, 0.5));
    let many = || Box::new(compare_to(Measure::RequestThreshold, Operator::GreaterOrEqual, 3.0));
    check(BreakerExpression::And(failing(), many()), &one, false);
    check(BreakerExpression::And(failing(), many()), &all, true);
    check(BreakerExpression::Or(failing(), many()), &one, true);
    check(BreakerExpression::And(failing(), Box::new(BreakerExpression::Not(many()))), &one, true);
    check(BreakerExpression::Not(failing()), &one, false);
}

#[test]
fn equal_ranges_share_a_counter() {
    let twice = || Box::new(server_errors(Operator::Greater, 0.5));
    let breaker = Breaker::new(&settings(BreakerExpression::And(twice(), twice())), start());
    assert_eq!(breaker.ranges.len(), 2);
    assert!(breaker.latencies.is_none());
}

#[test]
fn opens_recovers_and_closes() {
    let (epoch, rng) = (start(), Rng::new(1));
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.5)), epoch);
    assert_eq!(breaker.admit(epoch, &rng), Ok(()));
    assert!(breaker.record(epoch, outcome(500)));
    assert_eq!(breaker.admit(epoch + secs(4), &rng), Err(RetryAfter(secs(6))));
    assert_eq!(breaker.admit(epoch + ms(9_999), &rng), Err(RetryAfter(ms(1))));
    assert_eq!(breaker.state(), State::Open);
    // The first request after the fallback finds a share of zero.
    assert_eq!(breaker.admit(epoch + secs(15), &rng), Err(RetryAfter(secs(10))));
    assert_eq!(breaker.state(), State::Recovering);
    assert_eq!(breaker.admit(epoch + secs(25), &rng), Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn recovery_ramps_evenly() {
    let (epoch, rng) = (start(), Rng::new(2));
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.5)), epoch);
    breaker.record(epoch, outcome(500));
    let begin = epoch + secs(10);
    assert!(breaker.admit(begin, &rng).is_err());
    for tenth in 0..10u32 {
        let now = begin + secs(1) * tenth;
        let passed = (0..10_000).filter(|_| breaker.admit(now, &rng).is_ok()).count();
        let expected = f64::from(tenth) / 10.0;
        assert!((passed as f64 / 10_000.0 - expected).abs() < 0.02, "{passed} at {tenth}");
    }
}

#[test]
fn failure_while_recovering_opens_again() {
    let (epoch, rng) = (start(), Rng::new(3));
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.5)), epoch);
    breaker.record(epoch, outcome(500));
    let _ = breaker.admit(epoch + secs(10), &rng);
    assert_eq!(breaker.state(), State::Recovering);
    assert!(!breaker.record(epoch + secs(12), outcome(200)));
    assert!(!breaker.record(epoch + secs(13), outcome(500)), "half is not above half");
    assert!(breaker.record(epoch + secs(14), outcome(500)));
    assert_eq!(breaker.admit(epoch + secs(14), &rng), Err(RetryAfter(secs(10))));
}

#[test]
fn stragglers_do_not_count_against_the_recovery() {
    let (epoch, rng) = (start(), Rng::new(4));
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.5)), epoch);
    breaker.record(epoch, outcome(500));
    for _ in 0..100 {
        assert!(!breaker.record(epoch + ms(9_900), outcome(500)));
    }
    let _ = breaker.admit(epoch + secs(10), &rng);
    assert!(!breaker.record(epoch + secs(11), outcome(200)));
    assert_eq!(breaker.state(), State::Recovering);
}

#[test]
fn counts_are_forgotten_when_it_opens() {
    let (epoch, rng) = (start(), Rng::new(4));
    let failing = Box::new(server_errors(Operator::Greater, 0.4));
    let slow = compare_to(Measure::LatencyAtQuantileMs(100.0), Operator::Greater, 100.0);
    let expression = BreakerExpression::Or(failing, Box::new(slow));
    let short = BreakerSettings { fallback_duration: secs(1), ..settings(expression) };
    let breaker = Breaker::new(&short, epoch);
    assert!(breaker.record(epoch, Outcome { latency: secs(1), ..outcome(500) }));
    let _ = breaker.admit(epoch + secs(1), &rng);
    // With the first, half would have failed, and the slowest be slow.
    assert!(!breaker.record(epoch + secs(2), outcome(200)));
    assert_eq!(breaker.state(), State::Recovering);
}

#[test]
fn checks_once_per_period() {
    let epoch = start();
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.5)), epoch);
    assert!(!breaker.record(epoch, outcome(200)));
    for _ in 0..10 {
        assert!(!breaker.record(epoch + ms(99), outcome(500)));
    }
    assert!(breaker.record(epoch + ms(100), outcome(200)));
}

#[test]
fn outcomes_leave_the_window_after_ten_seconds() {
    let epoch = start();
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.4)), epoch);
    breaker.record(epoch, outcome(200));
    breaker.record(epoch + ms(1), outcome(500));
    breaker.record(epoch + ms(2), outcome(500));
    assert!(!breaker.record(epoch + secs(10), outcome(200)));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn zero_durations_hold() {
    let (epoch, rng) = (start(), Rng::new(5));
    let zero = Duration::ZERO;
    let settings = BreakerSettings {
        check_period: zero,
        fallback_duration: zero,
        recovery_duration: zero,
        ..settings(server_errors(Operator::Greater, 0.5))
    };
    let breaker = Breaker::new(&settings, epoch);
    assert!(breaker.record(epoch, outcome(500)));
    assert_eq!(breaker.admit(epoch, &rng), Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

/// Counts by remembering everything.
#[derive(Default)]
struct Naive(VecDeque<(u64, u16)>);

impl Naive {
    fn failing(&mut self, second: u64) -> bool {
        self.0.retain(|(at, _)| at + 10 > second);
        let failed = self.0.iter().filter(|(_, status)| *status >= 500).count();
        self.0.len() >= 20 && failed as f64 / self.0.len() as f64 > 0.3
    }
}

#[test]
fn agrees_with_a_naive_model() {
    let (epoch, rng) = (start(), Rng::new(6));
    let many = compare_to(Measure::RequestThreshold, Operator::GreaterOrEqual, 20.0);
    let failing = server_errors(Operator::Greater, 0.3);
    let expression = BreakerExpression::And(Box::new(many), Box::new(failing));
    let settings = BreakerSettings { check_period: Duration::ZERO, ..settings(expression) };
    let breaker = Breaker::new(&settings, epoch);
    let (mut naive, mut at, mut opened) = (Naive::default(), ms(0), 0);
    for _ in 0..20_000 {
        at += ms(rng.below(200) as u64 + 1);
        if breaker.admit(epoch + at, &rng).is_err() {
            continue;
        }
        // Errors come in waves.
        let bad = at.as_secs() / 40 % 2 == 1;
        let status = if rng.below(10) < if bad { 5 } else { 2 } { 502 } else { 200 };
        naive.0.push_back((at.as_secs(), status));
        let opens = naive.failing(at.as_secs());
        assert_eq!(breaker.record(epoch + at, outcome(status)), opens, "at {at:?}");
        if opens {
            naive.0.clear();
            opened += 1;
        }
    }
    assert!(opened > 10, "{opened}");
}

#[test]
fn one_of_many_threads_opens_it() {
    let epoch = start();
    let breaker = Breaker::new(&settings(server_errors(Operator::Greater, 0.5)), epoch);
    let opened: usize = std::thread::scope(|scope| {
        let count = || (0..1_000).filter(|_| breaker.record(epoch, outcome(500))).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(opened, 1);
    assert_eq!(breaker.state(), State::Open);
}
