use super::*;

const OPEN: Refused = Refused::BreakerOpen { retry_after: Duration::from_secs(2) };

#[test]
fn a_refusal_is_found_in_any_error_that_holds_it() {
    let plain: Error<io::Error> = OPEN.into();
    assert_eq!(plain.as_refused(), Some(&OPEN));
    let boxed: BoxError = OPEN.into();
    assert_eq!(boxed.as_refused(), Some(&OPEN));
    let given_up: BoxError = GaveUp { last: OPEN, attempts: 2, stop: Stop::Budget }.into();
    assert_eq!(given_up.as_refused(), Some(&OPEN));
    let other: BoxError = io::Error::other("reset").into();
    assert_eq!(other.as_refused(), None);
    assert_eq!(Error::Inner(io::Error::other("reset")).as_refused(), None);
}

#[test]
fn two_levels_become_one() {
    let outer: Error<Error<&str>> = OPEN.into();
    assert_eq!(outer.flatten(), Error::Refused(OPEN));
    assert_eq!(Error::Inner(Error::Inner("reset")).flatten(), Error::Inner("reset"));
    let inner: Error<Error<&str>> = Error::Inner(OPEN.into());
    assert_eq!(inner.flatten(), Error::Refused(OPEN));
}

#[test]
fn each_error_tells_its_own_level() {
    let given_up = GaveUp { last: OPEN, attempts: 3, stop: Stop::Budget };
    assert_eq!(given_up.to_string(), "gave up after 3 attempts: the retry budget is spent");
    let source = given_up.source().map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("circuit breaker is open, for 2s more"));
    assert_eq!(Error::<io::Error>::from(OPEN).to_string(), OPEN.to_string());
}
