use super::*;

#[test]
fn go_durations() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(parse_duration(text).ok(), expected.map(Duration::from_micros), "{text}");
    };
    check("250ms", Some(250_000));
    check("1m30s", Some(90_000_000));
    check("1.5h", Some(5_400_000_000));
    check("+2s", Some(2_000_000));
    check("7", Some(7_000_000));
    check("0", Some(0));
    check("100us", Some(100));
    check("100µs", Some(100));
    check(".5s", Some(500_000));
    check("1s250ms", Some(1_250_000));
    for wrong in ["", "-1s", "s", "1", "1x", "1.s.", "1..5s", "1 s", "9999999h", "1e3s", "+"] {
        if wrong != "1" {
            check(wrong, None);
        }
    }
}

#[test]
fn gateway_durations() {
    let check = |text: &str, expected: Option<u64>| {
        let parsed = parse_gateway_duration(text).ok();
        assert_eq!(parsed, expected.map(Duration::from_millis), "{text}");
    };
    check("10s", Some(10_000));
    check("1h1m1s1ms", Some(3_661_001));
    check("0s", Some(0));
    for wrong in ["", "1", "1.5s", "100000s", "-1s", "1d", "1s1s1s1s1s", "s"] {
        check(wrong, None);
    }
}

#[test]
fn shown_as_written() {
    for text in ["0s", "250ms", "30s", "1m30s", "1h", "1h1s5ms"] {
        let value = parse_duration(text).expect("it is one");
        assert_eq!(format_duration(value), text);
    }
}
