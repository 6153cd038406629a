use std::time::Duration;

use super::super::testing::{Set, ask};
use super::super::{Ask, Picker};
use crate::rng::Rng;
use crate::settings::{LoadReportSettings, PickerKind};

fn picker() -> Picker {
    Picker::new(PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT))
}

/// Counts of so many picks at one moment.
fn counts(picker: &Picker, set: &Set, ask: &Ask<'_>, picks: usize) -> Vec<u32> {
    let (rng, mut counts) = (Rng::new(1), vec![0; set.0.len()]);
    for _ in 0..picks {
        counts[picker.pick(set, ask, &rng).expect("all are usable")] += 1;
    }
    counts
}

#[test]
fn shares_follow_reports() {
    for len in [3, 30] {
        let set = Set::equal(len);
        for (index, member) in set.0.iter().enumerate() {
            member.reported.set(Some(if index == 0 { 400.0 } else { 100.0 }));
        }
        let counts = counts(&picker(), &set, &ask(), (len + 3) * 100);
        assert!(counts[0].abs_diff(400) <= 4, "{counts:?}");
        assert!(counts[1..].iter().all(|count| count.abs_diff(100) <= 2), "{counts:?}");
    }
}

#[test]
fn one_without_a_report_gets_the_mean() {
    let set = Set::equal(3);
    set.0[0].reported.set(Some(50.0));
    set.0[1].reported.set(Some(150.0));
    let counts = counts(&picker(), &set, &ask(), 3_000);
    assert!(counts.iter().zip([500, 1_500, 1_000]).all(|(count, fair)| count.abs_diff(fair) <= 2));
}

#[test]
fn fewer_than_two_reports_are_none() {
    let set = Set::new([1.0, 1.0, 2.0]);
    set.0[0].reported.set(Some(5_000.0));
    let counts = counts(&picker(), &set, &ask(), 4_000);
    assert!(
        counts.iter().zip([1_000, 1_000, 2_000]).all(|(count, fair)| count.abs_diff(fair) <= 2)
    );
}

#[test]
fn odd_reports_are_bounded() {
    let set = Set::equal(40);
    set.0.iter().for_each(|member| member.reported.set(Some(100.0)));
    set.0[0].reported.set(Some(1e9));
    set.0[1].reported.set(Some(f64::NAN));
    let counts = counts(&picker(), &set, &ask(), 10_000);
    // The mean is a 39th of the odd one: it gets ten times the mean, the others a tenth.
    assert!(counts[0] < 7_500, "{counts:?}");
    assert!(counts[2..].iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn weights_are_looked_at_once_per_period() {
    let (set, picker, now) = (Set::equal(2), picker(), ask().now);
    set.0.iter().for_each(|member| member.reported.set(Some(100.0)));
    assert_eq!(counts(&picker, &set, &ask(), 400), [200, 200]);
    set.0[0].reported.set(Some(300.0));
    let at = |millis| Ask::new(now + Duration::from_millis(millis));
    assert_eq!(counts(&picker, &set, &at(999), 400), [200, 200]);
    let after = counts(&picker, &set, &at(1_000), 400);
    assert!(after[0].abs_diff(300) <= 2, "{after:?}");
}
