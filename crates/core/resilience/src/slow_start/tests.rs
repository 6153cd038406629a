use super::*;
use crate::virtual_clock::{ms, secs};

fn check(settings: SlowStartSettings, expected: &[(u64, f64)]) {
    for &(age, share) in expected {
        let factor = factor(&settings, ms(age));
        assert!((factor - share).abs() < 1e-9, "{settings:?} at {age} ms: {factor}");
    }
}

#[test]
fn share_grows_with_age() {
    let linear = SlowStartSettings::linear(secs(10));
    check(linear, &[(0, 0.1), (500, 0.1), (1_000, 0.1), (5_000, 0.5), (9_000, 0.9), (10_000, 1.0)]);
    check(SlowStartSettings { ratio_min: 0.0, ..linear }, &[(0, 0.0), (1, 0.0001)]);
    check(SlowStartSettings { aggression: 2.0, ..linear }, &[(2_500, 0.5), (10_000, 1.0)]);
}

#[test]
fn odd_settings_stay_in_range() {
    let linear = SlowStartSettings::linear(secs(10));
    check(SlowStartSettings::linear(secs(0)), &[(0, 1.0)]);
    check(SlowStartSettings { aggression: 0.0, ..linear }, &[(5_000, 0.5)]);
    check(SlowStartSettings { aggression: f64::NAN, ..linear }, &[(5_000, 0.5)]);
    check(SlowStartSettings { ratio_min: f64::NAN, ..linear }, &[(5_000, 0.5)]);
    check(SlowStartSettings { ratio_min: 9.0, ..linear }, &[(5_000, 1.0)]);
}
