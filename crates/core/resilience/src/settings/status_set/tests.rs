use super::*;

#[test]
fn sets_hold_what_was_put_in_and_nothing_else() {
    for (set, expected) in [
        (StatusSet::EMPTY, vec![]),
        (StatusSet::EMPTY.with(429), vec![(429, 429)]),
        (StatusSet::SERVER_ERRORS, vec![(500, 599)]),
        (StatusSet::GATEWAY_ERRORS.with(100), vec![(100, 100), (502, 504)]),
        (StatusSet::EMPTY.with_range(0, u16::MAX), vec![(100, 599)]),
        (StatusSet::EMPTY.with(99).with(600).with_range(9, 2), vec![]),
        (StatusSet::GATEWAY_ERRORS.union(StatusSet::EMPTY.with(505)), vec![(502, 505)]),
    ] {
        assert_eq!(set.ranges().collect::<Vec<_>>(), expected);
        let held = |status: u16| expected.iter().any(|(a, b)| (*a..=*b).contains(&status));
        for status in 0..=1_000 {
            assert_eq!(set.contains(status), held(status), "{status}");
        }
        assert_eq!(set.iter().count(), (0..=1_000).filter(|status| held(*status)).count());
        assert_eq!(expected.into_iter().collect::<StatusSet>(), set);
        assert_eq!(set.iter().collect::<StatusSet>(), set);
        assert_eq!(set.is_empty(), set == StatusSet::EMPTY);
    }
}

#[test]
fn sets_are_shown_as_ranges() {
    assert_eq!(format!("{:?}", StatusSet::GATEWAY_ERRORS.with(500)), "{(500, 500), (502, 504)}");
}
