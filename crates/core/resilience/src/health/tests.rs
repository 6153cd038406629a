use super::*;
use crate::virtual_clock::{ms, secs, start};

const SETTINGS: ActiveSettings = ActiveSettings {
    interval: Duration::from_secs(30),
    unhealthy_interval: Duration::from_secs(5),
    unhealthy_threshold: 3,
    healthy_threshold: 2,
};

/// Plays answers (`+` passed, `-` failed) and compares the health after each.
fn check(settings: &ActiveSettings, initially: bool, answers: &str, expected: &str) {
    let (now, rng) = (start(), Rng::new(1));
    let mut health = Active::new(settings, initially, now, &rng);
    let mut before = initially;
    let mut step = |answer| {
        let change = health.record(settings, now, answer == '+', &rng);
        let after = health.is_healthy();
        let expected = match (before, after) {
            (false, true) => Some(Change::Healthy),
            (true, false) => Some(Change::Unhealthy),
            _ => None,
        };
        assert_eq!(change, expected);
        before = after;
        if after { '+' } else { '-' }
    };
    let shown: String = answers.chars().map(&mut step).collect();
    assert_eq!(shown, expected, "after {answers}");
}

#[test]
fn thresholds_count_answers_in_a_row() {
    check(&SETTINGS, true, "+--+---", "++++++-");
    check(&SETTINGS, true, "----", "----");
    check(&SETTINGS, false, "-+-++", "----+");
    check(&SETTINGS, false, "+---++", "+++--+");
    let zero = ActiveSettings { unhealthy_threshold: 0, healthy_threshold: 0, ..SETTINGS };
    check(&zero, true, "+-+-", "+-+-");
}

#[test]
fn first_answer_decides_alone() {
    check(&SETTINGS, true, "-", "-");
    check(&SETTINGS, false, "+", "+");
    let (now, rng) = (start(), Rng::new(1));
    let mut health = Active::new(&SETTINGS, true, now, &rng);
    assert!(health.is_healthy() && !health.is_probed());
    health.record(&SETTINGS, now, true, &rng);
    assert!(health.is_probed());
}

#[test]
fn first_probes_are_spread_over_a_second() {
    let (now, rng) = (start(), Rng::new(2));
    let first = |settings: &ActiveSettings| Active::new(settings, true, now, &rng).due() - now;
    let due: Vec<Duration> = (0..200).map(|_| first(&SETTINGS)).collect();
    assert!(due.iter().all(|due| *due <= secs(1)));
    assert!(due.iter().any(|due| *due < ms(100)) && due.iter().any(|due| *due > ms(900)));
    assert!(first(&ActiveSettings { interval: ms(10), ..SETTINGS }) <= ms(10));
}

#[test]
fn next_probe_follows_the_health() {
    let (now, rng) = (start(), Rng::new(3));
    let mut health = Active::new(&SETTINGS, true, now, &rng);
    for (passed, period) in
        [(true, secs(30)), (false, secs(30)), (false, secs(30)), (false, secs(5))]
    {
        health.record(&SETTINGS, now, passed, &rng);
        let wait = health.due() - now;
        assert!(wait >= period.mul_f64(0.9) && wait <= period.mul_f64(1.1), "{wait:?}");
    }
}

#[test]
fn endless_intervals_do_not_panic() {
    let (now, rng) = (start(), Rng::new(4));
    let settings = ActiveSettings { interval: Duration::MAX, ..SETTINGS };
    let mut health = Active::new(&settings, true, now, &rng);
    health.record(&settings, now, true, &rng);
    assert!(health.due() > now);
}
