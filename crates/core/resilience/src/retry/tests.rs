use proptest::prelude::{prop_assert, proptest};

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
    let settings = RecentBudget { ratio, retries_min, ..RecentBudget::DEFAULT };
    let epoch = start();
    (RetryBudget::new(BudgetSettings::Recent(settings), epoch), epoch)
}

fn active(ratio: f64, retries_min: u32, interval: Duration) -> (RetryBudget, Instant) {
    let settings = ActiveBudget { ratio, retries_min, interval };
    let epoch = start();
    (RetryBudget::new(BudgetSettings::Active(settings), epoch), epoch)
}

/// So many requests that end at once.
fn requests(budget: &RetryBudget, now: Instant, count: usize) {
    (0..count).for_each(|_| drop(budget.request(now)));
}

fn retries(budget: &RetryBudget, now: Instant, asked: usize) -> usize {
    (0..asked).filter_map(|_| budget.try_retry(now)).count()
}

#[test]
fn retries_are_a_share_of_requests() {
    let (budget, now) = budget(0.2, 0);
    assert_eq!(retries(&budget, now, 10), 0);
    requests(&budget, now, 100);
    assert_eq!(retries(&budget, now + secs(5), 100), 20);
    // The requests leave the window before the retries do.
    assert_eq!(retries(&budget, now + secs(10), 100), 0);
}

#[test]
fn ratios_are_not_cut_by_rounding() {
    for percent in 1..100u32 {
        let (budget, now) = budget(f64::from(percent) / 100.0, 0);
        requests(&budget, now, 100);
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
fn a_minimum_comes_in_place_of_the_ratio_and_not_on_top() {
    let (budget, epoch) = budget(0.2, 10);
    let mut retried = 0;
    // 500 requests a second, of which each fails.
    for step in 1..=4_000 {
        let now = epoch + ms(2 * step);
        requests(&budget, now, 1);
        retried += retries(&budget, now, 3);
        let most = (step as usize / 5).max(100);
        assert!(retried <= most, "{retried} after {step}");
    }
    assert_eq!(retried, 800);
}

#[test]
fn the_minimum_and_the_ratio_do_not_add_up() {
    let (budget, now) = budget(0.2, 10);
    requests(&budget, now, 20);
    assert_eq!(retries(&budget, now, 100), 10, "four by the ratio are four of the ten");
    requests(&budget, now, 80);
    assert_eq!(retries(&budget, now, 100), 10, "the ten are ten of the twenty");
}

#[test]
fn the_first_retries_are_part_of_the_share_of_a_steady_load() {
    // 500 a second for 5 s, of which all fail from some moment on.
    for first in [0, 500, 2_490] {
        let (budget, epoch) = budget(0.2, 10);
        let mut retried = 0;
        for step in 0..2_500 {
            let now = epoch + ms(2 * step);
            requests(&budget, now, 1);
            let wanted = if step < first { 0 } else { 60 };
            retried += retries(&budget, now, wanted);
        }
        assert_eq!(retried, 500, "failures from request {first} on");
    }
}

#[test]
fn a_minimum_goes_on_without_requests() {
    let (budget, epoch) = budget(0.2, 10);
    let retried: usize = (0..600).map(|step| retries(&budget, epoch + ms(100 * step), 9)).sum();
    assert!((590..=610).contains(&retried), "{retried} in a minute");
}

proptest! {
    /// Over any time as long as the interval, give or take one of the ten slots in which it is
    /// measured.
    #[test]
    fn retries_are_never_more_than_the_greater_of_ratio_and_minimum(
        percent in 0..60_u32,
        retries_min in 0..15_u32,
        min_secs in 1..4_u64,
        steps in proptest::collection::vec((0..700_u64, 0..40_usize, 0..30_usize), 1..150),
    ) {
        let ratio = f64::from(percent) / 100.0;
        let settings = RecentBudget {
            ratio,
            retries_min,
            retries_min_interval: secs(min_secs),
            ..RecentBudget::DEFAULT
        };
        let epoch = start();
        let budget = RetryBudget::new(BudgetSettings::Recent(settings), epoch);
        let minimum = (u64::from(retries_min) * 10).div_ceil(min_secs).max(retries_min.into());
        let (mut now, mut asked, mut granted) = (epoch, Vec::new(), Vec::new());
        for (gap, count, wanted) in steps {
            now += ms(gap);
            requests(&budget, now, count);
            asked.push((now, count as u64));
            granted.push((now, retries(&budget, now, wanted) as u64));
            let since = |all: &[(Instant, u64)], length: Duration| -> u64 {
                let recent = all.iter().filter(|(at, _)| now - *at < length);
                recent.map(|(_, count)| count).sum()
            };
            let allowed = share(since(&asked, secs(10)), ratio).max(minimum);
            // What was granted earlier may have been within the share of requests that have left.
            if granted.last().is_some_and(|(_, count)| *count > 0) {
                let found = since(&granted, secs(9));
                prop_assert!(found <= allowed, "{found} where {allowed} are allowed");
            }
        }
    }
}

#[test]
fn total_failure_adds_only_the_ratio() {
    let (budget, epoch) = budget(0.2, 0);
    let mut retried = 0;
    for step in 0..60_000 {
        let now = epoch + ms(step);
        requests(&budget, now, 1);
        // Each fails, and would be tried three times more.
        retried += retries(&budget, now, 3);
    }
    let ratio = retried as f64 / 60_000.0;
    assert!((0.19..=0.2001).contains(&ratio), "{ratio}");
}

#[test]
fn a_ratio_of_nothing_is_no_retry() {
    let (budget, now) = budget(0.0, 0);
    requests(&budget, now, 1_000);
    assert_eq!(retries(&budget, now, 10), 0);
}

/// So many retries that all stay under way.
fn under_way(budget: &RetryBudget, now: Instant, asked: usize) -> Vec<Active> {
    (0..asked).filter_map(|_| budget.try_retry(now)).collect()
}

#[test]
fn retries_under_way_are_a_share_of_requests_under_way() {
    // The figures of Istio's and Envoy's documentation.
    let (budget, now) = active(0.2, 3, secs(0));
    let mut requests: Vec<_> = (0..25).map(|_| budget.request(now)).collect();
    let mut retries = under_way(&budget, now, 100);
    assert_eq!(retries.len(), 5);
    retries.pop();
    assert_eq!(under_way(&budget, now, 100).len(), 1, "one has ended");
    requests.truncate(20);
    assert!(budget.try_retry(now).is_none(), "4 of 20 are under way");
    requests.truncate(2);
    retries.truncate(2);
    assert_eq!(under_way(&budget, now, 100).len(), 1, "three are allowed anyway");
}

#[test]
fn requests_count_for_the_interval_of_an_active_budget() {
    let (budget, now) = active(0.1, 0, secs(10));
    requests(&budget, now, 100);
    assert_eq!(under_way(&budget, now + secs(5), 100).len(), 10);
    assert_eq!(under_way(&budget, now + secs(10), 100).len(), 0);
    // Those that last longer than the interval count too.
    let _requests: Vec<_> = (0..30).map(|_| budget.request(now + secs(20))).collect();
    assert_eq!(under_way(&budget, now + secs(60), 100).len(), 3);
}

#[test]
fn threads_have_no_more_retries_under_way_than_allowed() {
    let (budget, now) = active(0.0, 7, secs(0));
    let granted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let held = under_way(&budget, now, 500);
                granted.fetch_add(held.len() as u32, Ordering::Relaxed);
                // Held until all threads have asked for as many as they want.
                std::mem::forget(held);
            });
        }
    });
    assert_eq!(granted.into_inner(), 7);
}

#[test]
fn envoys_backoff_doubles_to_ten_times_the_base() {
    check(BackoffSettings::envoy(ms(25)), &[25, 50, 100, 200, 250, 250]);
}

#[test]
fn a_wait_that_was_asked_for_comes_before_the_backoff() {
    let (rng, now) = (Rng::new(9), start());
    let backoff = || Backoff::new(BackoffSettings::envoy(ms(25)));
    for _ in 0..500 {
        let wait = backoff().next_within(now, Some(secs(2)), Deadline::NEVER, &rng);
        let wait = wait.expect("there is no deadline");
        assert!(wait >= secs(2) && wait <= ms(2_025), "{wait:?}");
        let wait = backoff().next_within(now, None, Deadline::NEVER, &rng);
        assert!(wait.expect("there is no deadline") <= ms(25));
    }
    let within = |deadline, retry_after| {
        let deadline = Deadline::after(now, deadline);
        backoff().next_within(now, retry_after, deadline, &rng).is_some()
    };
    assert!(!within(secs(2), Some(secs(2))));
    assert!(within(ms(2_026), Some(secs(2))));
    assert!(!within(ms(0), None));
    let most = Some(Backoff::RETRY_AFTER_MAX);
    assert!(within(secs(1_000), most));
    assert!(!within(secs(1_000), most.map(|most| most + ms(1))));
}
