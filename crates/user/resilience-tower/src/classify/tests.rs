use super::*;
use crate::error::Error;

const SECOND: Duration = Duration::from_secs(1);

fn check(outcome: Result<(), Error<&str>>, class: Class, retryable: bool, signal: Option<Signal>) {
    let verdict = ByError.classify(&outcome);
    let got = (verdict.class, verdict.retryable, verdict.signal());
    assert_eq!(got, (class, retryable, signal), "{outcome:?}");
}

#[test]
fn refusals_say_nothing_about_the_upstream_but_timeouts_do() {
    let refused = |refused: Refused| Err(refused.into());
    let failure = Some(Signal::ConnectionFailure);
    check(Ok(()), Class::Success, false, Some(Signal::Success));
    check(Err(Error::Inner("reset")), Class::Unreachable, true, failure);
    check(refused(Refused::Timeout { limit: SECOND }), Class::Unreachable, true, failure);
    check(refused(Refused::Busy { limit: 1 }), Class::Refused, false, None);
    check(refused(Refused::NoEndpoint { known: 0 }), Class::Refused, false, None);
    let open = Refused::BreakerOpen { retry_after: SECOND };
    check(refused(open), Class::Refused, false, None);
    assert_eq!(Verdict::of_refusal(&open).retry_after, Some(SECOND));
}

#[test]
fn without_knowledge_of_refusals_every_error_is_a_failure() {
    let verdict = ByResult.classify(&Err::<(), _>(Refused::Busy { limit: 1 }));
    assert_eq!((verdict.class, verdict.retryable), (Class::Unreachable, true));
}

#[test]
fn outliers_hear_statuses() {
    let status = |class, status| Verdict { status: Some(status), ..Verdict::failure(class) };
    assert_eq!(status(Class::Failure, 503).signal(), Some(Signal::Status(503)));
    assert_eq!(status(Class::Overload, 429).signal(), Some(Signal::Status(429)));
    assert_eq!(status(Class::Success, 503).signal(), Some(Signal::Success));
    assert_eq!(status(Class::Failure, 404).signal(), Some(Signal::Failure));
    assert_eq!(Verdict::failure(Class::Overload).signal(), Some(Signal::Failure));
}
