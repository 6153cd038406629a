use std::sync::atomic::AtomicU32;

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::virtual_clock::{ms, secs, start};

fn settings(average: u64, period: Duration, burst: u64) -> RateSettings {
    RateSettings { average, period, burst }
}

/// Takes at each of these milliseconds and compares the admissions.
fn check(settings: RateSettings, expected: &[(u64, Admission)]) {
    let epoch = start();
    let bucket = TokenBucket::new(settings, epoch);
    for &(at, admission) in expected {
        assert_eq!(bucket.take(epoch + ms(at)), admission, "{settings:?} at {at} ms");
    }
}

fn wait(millis: u64) -> Admission {
    Admission::Wait(ms(millis))
}

fn refuse(millis: u64) -> Admission {
    Admission::Refuse { retry_after: ms(millis) }
}

const PASS: Admission = Admission::Pass;

#[test]
fn waits_for_half_a_request_at_most() {
    let ten_per_sec = settings(10, secs(1), 1);
    check(ten_per_sec, &[(0, PASS), (0, refuse(100)), (49, refuse(51)), (100, PASS)]);
    check(ten_per_sec, &[(0, PASS), (50, wait(50)), (50, refuse(150)), (150, wait(50))]);
}

#[test]
fn waits_for_half_a_second_below_one_request_per_second() {
    let one_in_ten_secs = settings(1, secs(10), 1);
    check(one_in_ten_secs, &[(0, PASS), (9_499, refuse(501)), (9_500, wait(500))]);
}

#[test]
fn fractions_of_the_rate_do_not_shorten_the_wait() {
    // 1.5 per second counts as 1: half a second, not a third.
    let three_in_two_secs = settings(3, secs(2), 1);
    let epoch = start();
    let bucket = TokenBucket::new(three_in_two_secs, epoch);
    assert_eq!(bucket.take(epoch), PASS);
    let admission = bucket.take(epoch + ms(200));
    let token = Duration::from_nanos(2_000_000_000 / 3);
    let Admission::Wait(wait) = admission else { unreachable!("{admission:?}") };
    assert!(wait.abs_diff(token - ms(200)) <= Duration::from_nanos(2), "{wait:?}");
}

#[test]
fn burst_comes_at_once_and_regrows() {
    let bursty = settings(10, secs(1), 3);
    check(bursty, &[(0, PASS), (0, PASS), (0, PASS), (0, refuse(100)), (200, PASS), (200, PASS)]);
    check(
        bursty,
        &[(0, PASS), (60_000, PASS), (60_000, PASS), (60_000, PASS), (60_000, refuse(100))],
    );
}

#[test]
fn zeros_have_their_meaning() {
    check(settings(0, secs(1), 1), &[(0, PASS), (0, PASS), (0, PASS)]);
    check(settings(10, secs(0), 1), &[(0, PASS), (0, refuse(100))]);
    check(settings(10, secs(1), 0), &[(0, PASS), (0, refuse(100))]);
}

#[test]
fn refusal_takes_nothing() {
    let epoch = start();
    let bucket = TokenBucket::new(settings(10, secs(1), 1), epoch);
    assert_eq!(bucket.take(epoch), PASS);
    for _ in 0..1_000 {
        assert_eq!(bucket.take(epoch), refuse(100));
    }
    assert!(!bucket.is_full(epoch + ms(99)));
    assert!(bucket.is_full(epoch + ms(100)));
    assert_eq!(bucket.take(epoch + ms(100)), PASS);
}

#[test]
fn impatient_taker_never_takes_in_advance() {
    let epoch = start();
    let bucket = TokenBucket::new(settings(10, secs(1), 1), epoch);
    assert_eq!(bucket.try_take(epoch), Admission::Pass);
    let refused = Admission::Refuse { retry_after: ms(1) };
    assert_eq!(bucket.try_take(epoch + ms(99)), refused);
    assert_eq!(bucket.try_take(epoch + ms(100)), Admission::Pass);
}

#[test]
fn extremes_neither_panic_nor_overflow() {
    let epoch = start();
    for average in [1, 999_999_999_999, u64::MAX] {
        for period in [Duration::from_nanos(1), secs(1), Duration::MAX] {
            for burst in [1, u64::MAX] {
                let bucket = TokenBucket::new(settings(average, period, burst), epoch);
                assert_eq!(bucket.take(epoch), PASS);
                let _ = bucket.take(epoch + secs(100_000_000));
                let _ = bucket.take(epoch);
            }
        }
    }
}

#[test]
fn long_run_rate_is_exact() {
    let epoch = start();
    let bucket = TokenBucket::new(settings(3_000_000, secs(1), 100), epoch);
    let passed = (0..1_000_000u64)
        .filter(|step| {
            let now = epoch + Duration::from_nanos(step * 200);
            !matches!(bucket.take(now), Admission::Refuse { .. })
        })
        .count() as f64;
    let expected = 3_000_000.0 * 0.2 + 100.0;
    assert!((passed - expected).abs() < expected * 2e-4, "{passed}");
}

#[test]
fn threads_share_every_token_once() {
    let epoch = start();
    let bucket = TokenBucket::new(settings(1, secs(3_600), 1_000), epoch);
    let passed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    if bucket.take(epoch) == PASS {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 1_000);
}

/// A bucket that is filled step by step, as a textbook has it, in nanoseconds of credit.
struct Textbook {
    token: i128,
    most: i128,
    wait_max: i128,
    credit: i128,
    at: u64,
}

impl Textbook {
    fn take(&mut self, now: u64) -> Admission {
        self.credit = (self.credit + i128::from(now - self.at)).min(self.most);
        self.at = now;
        let left = self.credit - self.token;
        let wait = Duration::from_nanos(u64::try_from(-left).unwrap_or(0));
        if -left > self.wait_max {
            return Admission::Refuse { retry_after: wait };
        }
        self.credit = left;
        if left >= 0 { Admission::Pass } else { Admission::Wait(wait) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Decides as a bucket that is refilled step by step.
    #[test]
    fn agrees_with_the_textbook(
        average in 1u64..1_000,
        burst in 1u64..20,
        gaps in proptest::collection::vec(0u64..3_000, 1..200),
    ) {
        // A period that divides evenly, so that both count exactly.
        let token = 1_000_000u64;
        let settings = settings(average, Duration::from_nanos(average * token), burst);
        let (epoch, mut now) = (start(), 0);
        let bucket = TokenBucket::new(settings, epoch);
        let most = i128::from(burst * token);
        let mut textbook =
            Textbook { token: i128::from(token), most, wait_max: 500_000, credit: most, at: 0 };
        for gap in gaps {
            now += gap * 1_000;
            let admission = bucket.take(epoch + Duration::from_nanos(now));
            prop_assert_eq!(admission, textbook.take(now));
        }
    }

    /// No more than burst and rate allow passes in any stretch from the start.
    #[test]
    fn never_exceeds_rate_and_burst(
        average in 1u64..2_000,
        period in 1u64..5_000,
        burst in 1u64..50,
        gaps in proptest::collection::vec(0u64..200, 1..300),
    ) {
        let epoch = start();
        let bucket = TokenBucket::new(settings(average, ms(period), burst), epoch);
        let (mut now, mut last_use, mut used) = (epoch, epoch, 0u32);
        for gap in gaps {
            now += ms(gap);
            match bucket.take(now) {
                Admission::Pass => (used, last_use) = (used + 1, last_use.max(now)),
                Admission::Wait(wait) => (used, last_use) = (used + 1, last_use.max(now + wait)),
                Admission::Refuse { retry_after } => prop_assert!(retry_after > Duration::ZERO),
            }
        }
        let secs = (last_use - epoch).as_secs_f64();
        let allowed = burst as f64 + secs * average as f64 / ms(period).as_secs_f64();
        prop_assert!(f64::from(used) <= allowed * (1.0 + 1e-6) + 1e-6, "{} > {}", used, allowed);
    }
}
