use std::time::Duration;

use proptest::prelude::{any, proptest};

use super::*;
use crate::validity::at_secs;

#[test]
fn a_day_is_renewed_between_12_h_and_16_h_48_min() {
    let (start, end) = (at_secs(0), at_secs(86_400));
    let cases = [
        (0.0, 43_200),
        (0.5, 51_840),
        (1.0, 60_480),
        (-3.0, 43_200),
        (7.0, 60_480),
        (f64::NAN, 43_200),
    ];
    for (jitter, expected) in cases {
        let found = since(start, renew_at(start, end, jitter));
        assert_eq!(found.as_secs_f64().round(), f64::from(expected), "{jitter}");
    }
}

#[test]
fn an_end_before_the_beginning_is_due_at_once() {
    assert_eq!(renew_at(at_secs(9), at_secs(5), 0.5), at_secs(9));
}

proptest! {
    #[test]
    fn it_is_within_the_life(
        start in 0..4_000_000_000_u64,
        life in 1..400_000_000_u64,
        jitter in any::<f64>(),
    ) {
        let at = renew_at(at_secs(start), at_secs(start + life), jitter);
        let life = Duration::from_secs(life);
        let (earliest, latest) = (life.mul_f64(0.4999), life.mul_f64(0.7001));
        let found = since(at_secs(start), at);
        assert!(earliest <= found && found <= latest, "{found:?} of {life:?}");
    }
}
