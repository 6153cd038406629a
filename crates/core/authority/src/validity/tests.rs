use super::*;

#[test]
fn ends_are_whole_seconds_within_what_certificates_can_name() {
    let validity = Validity::new(
        at_secs(10) + Duration::from_millis(999),
        at_secs(LAST_SECS) + Duration::from_secs(1),
    );
    assert_eq!(validity, Validity { not_before: at_secs(10), not_after: at_secs(LAST_SECS) });
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Validity::new(before_1970, before_1970).not_before, UNIX_EPOCH);
}

#[test]
fn both_ends_are_within() {
    let validity = Validity::new(at_secs(10), at_secs(20));
    let within: Vec<u64> = (0..30).filter(|secs| validity.contains(at_secs(*secs))).collect();
    assert_eq!(within, (10..=20).collect::<Vec<_>>());
    // All of the last second is.
    assert!(validity.contains(at_secs(20) + Duration::from_millis(999)));
    assert!(!validity.has_ended(at_secs(20) + Duration::from_millis(999)));
}

#[test]
fn age_and_rest_are_never_negative() {
    let validity = Validity::new(at_secs(10), at_secs(20));
    for (now, age, left) in [(5, 0, 15), (10, 0, 10), (14, 4, 6), (20, 10, 0), (25, 15, 0)] {
        let found = (validity.age(at_secs(now)), validity.left(at_secs(now)));
        assert_eq!(found, (Duration::from_secs(age), Duration::from_secs(left)), "{now}");
    }
}
