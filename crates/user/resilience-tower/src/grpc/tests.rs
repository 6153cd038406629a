use std::time::Duration;

use super::*;
use crate::classify::Class;

const WAIT: Duration = Duration::from_micros(1_500);

#[test]
fn refusals_are_statuses_that_still_know_what_they_were() {
    let check = |refused: Refused, code: Code, pushback: Option<&str>| {
        let status = status(Error::<std::io::Error>::from(refused));
        let got = status.metadata().get(PUSHBACK_KEY).map(|value| value.to_str().unwrap());
        assert_eq!((status.code(), got), (code, pushback), "{refused:?}");
        assert_eq!(status.as_refused(), Some(&refused));
    };
    check(Refused::Timeout { limit: WAIT }, Code::DeadlineExceeded, None);
    check(Refused::RateLimited { retry_after: WAIT }, Code::ResourceExhausted, Some("2"));
    check(Refused::Busy { limit: 1 }, Code::ResourceExhausted, None);
    check(Refused::BreakerOpen { retry_after: WAIT }, Code::Unavailable, Some("2"));
    check(Refused::NoEndpoint { known: 0 }, Code::Unavailable, None);
    assert_eq!(crate::hop::PUSHBACK, PUSHBACK_KEY);
}

#[test]
fn other_errors_keep_their_status() {
    let kept = status(Error::Inner(Status::not_found("no such thing")));
    assert_eq!((kept.code(), kept.message()), (Code::NotFound, "no such thing"));
    let unknown = status(Error::Inner(std::io::Error::other("odd")));
    assert_eq!(unknown.code(), Code::Unknown);
}

#[test]
fn statuses_are_judged_like_those_in_heads() {
    let check = |status: Status, class: Class, retryable: bool| {
        let outcome = Err::<(), _>(status);
        let verdict = StatusClassifier::default().classify(&outcome);
        assert_eq!((verdict.class, verdict.retryable), (class, retryable), "{outcome:?}");
    };
    check(Status::unavailable(""), Class::Failure, true);
    check(Status::internal(""), Class::Failure, false);
    check(Status::not_found(""), Class::Success, false);
    check(Status::resource_exhausted(""), Class::Overload, false);
    check(Refused::Busy { limit: 1 }.into(), Class::Refused, false);
    check(Refused::Timeout { limit: WAIT }.into(), Class::Unreachable, true);
    let mut never = Status::unavailable("");
    never.metadata_mut().insert(PUSHBACK_KEY, MetadataValue::from_static("-1"));
    check(never, Class::Failure, false);
}
