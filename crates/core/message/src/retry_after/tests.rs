use super::*;

#[test]
fn answers_say_when_to_come_again() {
    let check = |lines: &[(&str, &str)], expected: RetryAfter| {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(*name, value.as_bytes()).expect("valid");
        }
        assert_eq!(RetryAfter::of(&fields), expected, "{lines:?}");
    };
    let wait = |millis| RetryAfter::Wait(Duration::from_millis(millis));
    check(&[], RetryAfter::Unsaid);
    check(&[("retry-after", "2")], wait(2_000));
    check(&[("retry-after", " 2 ")], wait(2_000));
    // A moment is measured by the clock of who names it.
    let (moment, date) = ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:56 GMT");
    check(&[("retry-after", moment)], RetryAfter::Never);
    check(&[("retry-after", moment), ("date", date)], wait(3_000));
    check(&[("retry-after", date), ("date", moment)], wait(0));
    check(&[("retry-after", "tomorrow"), ("date", date)], RetryAfter::Never);
    check(&[("grpc-retry-pushback-ms", "30")], wait(30));
    check(&[("grpc-retry-pushback-ms", "30"), ("retry-after", "1")], wait(1_000));
    // gRPC servers that want no other try say so.
    check(&[("grpc-retry-pushback-ms", "-1")], RetryAfter::Never);
}
