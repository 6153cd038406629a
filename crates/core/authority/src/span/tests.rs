use super::*;

#[test]
fn the_two_largest_units_are_written() {
    let cases = [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (3601, "1 h"),
        (90_000, "1 d 1 h"),
        (3650 * 86_400, "10 y"),
        (400 * 86_400, "1 y 35 d"),
    ];
    for (secs, expected) in cases {
        assert_eq!(Span(Duration::from_secs(secs)).to_string(), expected, "{secs}");
    }
}
