use proptest::prelude::*;

use super::*;

fn of(fields: &[(&str, &str)]) -> Pushback {
    Pushback::of(|name| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_bytes()))
}

#[test]
fn answers_say_when_to_come_again() {
    let check = |fields: &[(&str, &str)], expected| assert_eq!(of(fields), expected, "{fields:?}");
    let wait = |millis| Pushback::Wait(Duration::from_millis(millis));
    check(&[], Pushback::Unsaid);
    check(&[("retry-after", "2")], wait(2_000));
    check(&[("retry-after", " 2 ")], wait(2_000));
    check(&[("retry-after", "99999999999")], wait(99_999_999_999_000));
    for unreadable in ["", "soon", "3.5", "-5", "+5", "99999999999999999999", "\u{e9}"] {
        check(&[("retry-after", unreadable)], Pushback::Never);
        check(&[("grpc-retry-pushback-ms", unreadable)], Pushback::Never);
    }
    // A moment is measured by the clock of who names it.
    let (moment, date) = ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:56 GMT");
    check(&[("retry-after", moment)], Pushback::Never);
    check(&[("retry-after", moment), ("date", "today")], Pushback::Never);
    check(&[("retry-after", moment), ("date", date)], wait(3_000));
    check(&[("retry-after", date), ("date", moment)], wait(0));
    check(&[("retry-after", "tomorrow"), ("date", date)], Pushback::Never);
    check(&[("grpc-retry-pushback-ms", "30")], wait(30));
    // The greater patience of two.
    check(&[("grpc-retry-pushback-ms", "30"), ("retry-after", "1")], wait(1_000));
    check(&[("grpc-retry-pushback-ms", "3000"), ("retry-after", "1")], wait(3_000));
    // gRPC servers that want no other try say so.
    check(&[("grpc-retry-pushback-ms", "-1")], Pushback::Never);
    check(&[("grpc-retry-pushback-ms", "-1"), ("retry-after", "1")], Pushback::Never);
}

proptest! {
    #[test]
    fn whatever_is_said_is_not_taken_for_silence(value: Vec<u8>) {
        for spoken in ["retry-after", "grpc-retry-pushback-ms"] {
            let said = Pushback::of(|name| (name == spoken).then_some(&value[..]));
            prop_assert!(said > Pushback::Unsaid);
        }
    }
}
