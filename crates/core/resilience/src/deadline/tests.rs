use super::*;
use crate::virtual_clock::{ms, start};

#[test]
fn earliest_of_several_wins() {
    let now = start();
    let after = |millis| Deadline::after(now, ms(millis));
    let all: Deadline = [after(30), Deadline::NEVER, after(10), after(20)].into_iter().collect();
    assert_eq!(all, after(10));
    assert_eq!(Deadline::NEVER.earliest(after(5)), after(5));
    assert_eq!(after(5).earliest(Deadline::NEVER), after(5));
    assert_eq!([].into_iter().collect::<Deadline>(), Deadline::NEVER);
    assert_eq!(Deadline::after_some(now, None), Deadline::default());
    assert_eq!(Deadline::after_some(now, Some(ms(1))).instant(), Some(now + ms(1)));
}

#[test]
fn remaining_ends_at_zero() {
    let now = start();
    let deadline = Deadline::at(now + ms(10));
    assert_eq!(deadline.remaining(now + ms(4)), Some(ms(6)));
    assert_eq!(deadline.remaining(now + ms(40)), Some(ms(0)));
    assert!(!deadline.expired(now + ms(9)));
    assert!(deadline.expired(now + ms(10)));
    assert!(!Deadline::NEVER.expired(now));
}

#[test]
fn a_wait_must_leave_time_to_try() {
    let now = start();
    let deadline = Deadline::after(now, ms(10));
    assert!(deadline.allows(now, ms(9)));
    assert!(!deadline.allows(now, ms(10)));
    assert!(Deadline::NEVER.allows(now, Duration::MAX));
}

#[test]
fn beyond_the_clock_is_never() {
    assert_eq!(Deadline::after(start(), Duration::MAX), Deadline::NEVER);
}
