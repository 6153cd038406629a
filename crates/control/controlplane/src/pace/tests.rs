use super::*;

const SETTINGS: RateSettings =
    RateSettings { average: 1, period: Duration::from_secs(10), burst: 3 };

#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn a_burst_passes_and_then_one_at_a_time_for_each_by_itself() {
    let pace = Pace::new(SETTINGS);
    let now = start();
    let passed = (0..100).filter(|_| pace.take(&"one", now).is_ok()).count();
    assert!((3..=4).contains(&passed), "{passed}");
    let left = pace.take(&"one", now).unwrap_err();
    assert_eq!(pace.take(&"two", now), Ok(()));
    assert_eq!(pace.take(&"one", now + left), Ok(()));
}

#[test]
fn who_has_not_asked_for_long_costs_nothing() {
    let pace = Pace::new(SETTINGS);
    let now = start();
    for number in 0..1000 {
        let minute = Duration::from_secs(60 * number);
        pace.take(&number, now + minute).unwrap();
    }
    let count = pace.buckets.borrow().by_holder.len();
    assert!(count <= 2 * SWEEP_MIN, "{count}");
}
