use super::*;
use crate::virtual_clock::{ms, secs, start};

#[test]
fn attempts_count_the_first_try() {
    let mut attempts = Attempts::new(3);
    assert_eq!(attempts.left(), 3);
    assert!(attempts.begin() && attempts.begin() && attempts.begin());
    assert!(!attempts.begin());
    assert_eq!((attempts.begun(), attempts.left()), (3, 0));
    let mut least = Attempts::new(0);
    assert!(least.begin());
    assert!(!least.begin());
}

/// Waits stay below these bounds, come close to them, and are half of them on average.
fn check(settings: BackoffSettings, bounds: &[u64]) {
    let rng = Rng::new(8);
    let mut sums = vec![0.0; bounds.len()];
    let mut most = vec![Duration::ZERO; bounds.len()];
    for _ in 0..4_000 {
        let mut backoff = Backoff::new(settings);
        for (step, bound) in bounds.iter().enumerate() {
            let wait = backoff.next(&rng);
            assert!(wait <= ms(*bound), "{wait:?} at {step}");
            sums[step] += wait.as_secs_f64() * 1_000.0;
            most[step] = most[step].max(wait);
        }
    }
    for (step, bound) in bounds.iter().enumerate() {
        let (mean, bound) = (sums[step] / 4_000.0, *bound as f64);
        assert!((mean - bound / 2.0).abs() <= bound * 0.02, "{mean} at {step}");
        assert!(most[step].as_secs_f64() * 1_000.0 >= bound * 0.99);
    }
}

#[test]
fn backoff_grows_to_twice_the_first() {
    check(BackoffSettings::traefik(ms(100)), &[100, 150, 200, 200, 200]);
    check(BackoffSettings::traefik(ms(0)), &[0, 0, 0]);
}

#[test]
fn backoff_of_other_settings() {
    let settings = BackoffSettings {
        initial_interval: ms(10),
        interval_min: ms(0),
        factor: 3.0,
        interval_max: ms(50),
    };
    check(settings, &[10, 30, 50, 50]);
    check(BackoffSettings { factor: 0.1, ..settings }, &[10, 10]);
    check(BackoffSettings { factor: f64::NAN, ..settings }, &[10, 10]);
    check(BackoffSettings { initial_interval: ms(80), ..settings }, &[50, 50]);
}

#[test]
fn no_wait_is_below_the_minimum() {
    let rng = Rng::new(8);
    let settings = BackoffSettings { interval_min: ms(20), ..BackoffSettings::traefik(ms(30)) };
    for _ in 0..1_000 {
        let mut backoff = Backoff::new(settings);
        for bound in [30, 45, 60, 60] {
            let wait = backoff.next(&rng);
            assert!(wait >= ms(20) && wait <= ms(bound), "{wait:?}, not 20 to {bound} ms");
        }
    }
    // A minimum above every bound is the wait.
    let settings = BackoffSettings { interval_min: ms(100), ..settings };
    assert_eq!(Backoff::new(settings).next(&rng), ms(100));
}

#[test]
fn backoff_does_not_overflow() {
    let (rng, max) = (Rng::new(1), Duration::MAX);
    let settings = BackoffSettings {
        initial_interval: max,
        interval_min: ms(0),
        factor: 1e300,
        interval_max: max,
    };
    let mut backoff = Backoff::new(settings);
    let _ = (backoff.next(&rng), backoff.next(&rng));
}

fn budget(ratio: f64, retries_min: u32) -> (RetryBudget, Instant) {
    let settings = BudgetSettings { ratio, retries_min, ..BudgetSettings::DEFAULT };
    let epoch = start();
    (RetryBudget::new(settings, epoch), epoch)
}

fn retries(budget: &RetryBudget, now: Instant, asked: usize) -> usize {
    (0..asked).filter(|_| budget.try_retry(now)).count()
}

#[test]
fn retries_are_a_share_of_requests() {
    let (budget, now) = budget(0.2, 0);
    assert_eq!(retries(&budget, now, 10), 0);
    for _ in 0..100 {
        budget.request(now);
    }
    assert_eq!(retries(&budget, now + secs(5), 100), 20);
    // The requests leave the window before the retries do.
    assert_eq!(retries(&budget, now + secs(10), 100), 0);
}

#[test]
fn ratios_are_not_cut_by_rounding() {
    for percent in 1..100u32 {
        let (budget, now) = budget(f64::from(percent) / 100.0, 0);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(retries(&budget, now, 200), percent as usize);
    }
}

#[test]
fn a_minimum_is_allowed_anyway() {
    let (budget, now) = budget(0.2, 10);
    assert_eq!(retries(&budget, now, 100), 10);
    assert_eq!(retries(&budget, now + ms(100), 100), 1);
    assert_eq!(retries(&budget, now + secs(5), 100), 10);
}

#[test]
fn total_failure_adds_only_the_ratio() {
    let (budget, epoch) = budget(0.2, 0);
    let (mut requests, mut retried) = (0, 0);
    for step in 0..60_000 {
        let now = epoch + ms(step);
        budget.request(now);
        requests += 1;
        // Each fails, and would be tried three times more.
        retried += retries(&budget, now, 3);
    }
    let ratio = retried as f64 / f64::from(requests);
    assert!((0.19..=0.2001).contains(&ratio), "{ratio}");
}

#[test]
fn a_ratio_of_nothing_is_no_retry() {
    let (budget, now) = budget(0.0, 0);
    (0..1_000).for_each(|_| budget.request(now));
    assert_eq!(retries(&budget, now, 10), 0);
}
