use super::*;
use crate::validity::at_secs;

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn check(lifetimes: Lifetimes, expected: Result<(), InvalidLifetimes>) {
    assert_eq!(lifetimes.check(), expected, "{lifetimes:?}");
}

#[test]
fn each_lives_at_least_as_long_as_what_is_under_it() {
    let default = Lifetimes::default();
    check(default, Ok(()));
    check(Lifetimes { leaf: LEAF_MAX, ..default }, Ok(()));
    check(Lifetimes { root: LEAF_MIN, intermediate: LEAF_MIN, leaf: LEAF_MIN }, Ok(()));
    let short = LEAF_MIN - SECOND;
    check(Lifetimes { leaf: short, ..default }, Err(InvalidLifetimes::Leaf(short)));
    let long = LEAF_MAX + SECOND;
    check(Lifetimes { leaf: long, ..default }, Err(InvalidLifetimes::Leaf(long)));
    let intermediate = default.leaf - SECOND;
    check(Lifetimes { intermediate, ..default }, Err(InvalidLifetimes::Intermediate));
    let root = default.intermediate - SECOND;
    check(Lifetimes { root, ..default }, Err(InvalidLifetimes::Root));
}

#[test]
fn a_leaf_begins_a_minute_ago_and_ends_with_its_authorities() {
    let lifetimes = Lifetimes::default();
    let now = at_secs(1_000_000);
    let day = lifetimes.of_leaf(now, at_secs(2_000_000));
    assert_eq!(day, Validity::new(at_secs(1_000_000 - 60), at_secs(1_000_000 + 86_400)));
    let cut = lifetimes.of_leaf(now, at_secs(1_000_100));
    assert_eq!(cut.not_after, at_secs(1_000_100));
}

#[test]
fn most_of_a_short_life_lies_ahead() {
    let lifetimes = Lifetimes { leaf: Duration::from_secs(20), ..Lifetimes::default() };
    let leaf = lifetimes.of_leaf(at_secs(1000), at_secs(5000));
    assert_eq!(leaf, Validity::new(at_secs(995), at_secs(1020)));
}

#[test]
fn lives_beyond_the_calendar_are_cut() {
    let lifetimes = Lifetimes { root: Duration::MAX, ..Lifetimes::default() };
    assert_eq!(lifetimes.of_root(at_secs(u64::MAX)).not_after, at_secs(u64::MAX));
    assert_eq!(lifetimes.of_root(at_secs(0)).not_before, at_secs(0));
}
