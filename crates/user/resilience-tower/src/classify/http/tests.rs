use std::time::Duration;

use ::http::{HeaderValue, StatusCode};

use super::*;
use crate::error::{Error, Refused};

const SECS: fn(u64) -> Option<Duration> = |secs| Some(Duration::from_secs(secs));

fn judge(classifier: HttpClassifier, status: u16, pairs: &[(&str, &str)]) -> Verdict {
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        answer.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    classifier.classify(&Ok::<_, Error<()>>(answer))
}

fn check(
    status: u16,
    pairs: &[(&str, &str)],
    class: Class,
    retryable: bool,
    after: Option<Duration>,
) {
    let verdict = judge(HttpClassifier::new(), status, pairs);
    let got = (verdict.class, verdict.retryable, verdict.retry_after);
    assert_eq!(got, (class, retryable, after), "{status} {pairs:?}");
}

#[test]
fn statuses_of_http() {
    check(200, &[], Class::Success, false, None);
    check(404, &[], Class::Success, false, None);
    check(500, &[], Class::Failure, false, None);
    check(502, &[], Class::Failure, true, None);
    check(503, &[("retry-after", "3")], Class::Failure, true, SECS(3));
    check(429, &[], Class::Overload, false, None);
    check(429, &[("retry-after", "3")], Class::Overload, true, SECS(3));
    check(503, &[("weftway-retried", "1")], Class::Failure, false, None);
}

#[test]
fn retry_after_may_be_a_date() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let later = ("retry-after", "Sun, 06 Nov 1994 08:49:42 GMT");
    check(503, &[date, later], Class::Failure, true, SECS(5));
    check(503, &[("date", "today"), later], Class::Failure, false, None);
}

#[test]
fn who_asks_for_a_time_that_cannot_be_read_is_left_alone() {
    for unreadable in ["soon", "-5", "3.5", "Sun, 06 Nov 1994 08:49:42 GMT"] {
        for (status, class) in [(503, Class::Failure), (429, Class::Overload)] {
            check(status, &[("retry-after", unreadable)], class, false, None);
        }
        let grpc = [("grpc-status", "14"), ("grpc-retry-pushback-ms", unreadable)];
        check(200, &grpc, Class::Failure, false, None);
    }
    // A long time is no such one.
    check(503, &[("retry-after", "99999999999")], Class::Failure, true, SECS(99_999_999_999));
    let grpc = [("grpc-status", "14"), ("grpc-retry-pushback-ms", "99999999999000")];
    check(200, &grpc, Class::Failure, true, SECS(99_999_999_999));
}

#[test]
fn statuses_of_grpc() {
    let check = |code: u32, more: &[(&str, &str)], class, retryable, after| {
        let code = code.to_string();
        let pairs = [("grpc-status", &*code)].into_iter().chain(more.iter().copied());
        check(200, &pairs.collect::<Vec<_>>(), class, retryable, after);
    };
    for code in [0, 1, 3, 5, 6, 7, 9, 10, 11, 16] {
        check(code, &[], Class::Success, false, None);
    }
    for code in [2, 4, 12, 13, 15, 99] {
        check(code, &[], Class::Failure, false, None);
    }
    let push = |ms| [("grpc-retry-pushback-ms", ms)];
    check(14, &[], Class::Failure, true, None);
    check(14, &push("2000"), Class::Failure, true, SECS(2));
    check(14, &push("-1"), Class::Failure, false, None);
    check(8, &[], Class::Overload, false, None);
    check(8, &push("1000"), Class::Overload, true, SECS(1));
}

#[test]
fn statuses_to_retry_can_be_chosen() {
    let classifier = HttpClassifier::new()
        .retry_on(StatusSet::EMPTY.with(500))
        .retry_on_grpc([13, 10, 400])
        .failures(StatusSet::EMPTY.with(404));
    assert!(judge(classifier, 500, &[]).retryable);
    assert!(!judge(classifier, 503, &[]).retryable);
    assert!(judge(classifier, 200, &[("grpc-status", "10")]).retryable);
    assert!(!judge(classifier, 200, &[("grpc-status", "14")]).retryable);
    assert_eq!(judge(classifier, 404, &[]).class, Class::Failure);
    assert_eq!(judge(classifier, 500, &[]).class, Class::Success);
}

#[test]
fn a_final_answer_is_marked() {
    let classifier = HttpClassifier::new();
    let mut outcome = Ok::<_, Error<()>>(Response::builder().status(503).body(()).unwrap());
    assert!(classifier.classify(&outcome).retryable);
    classifier.mark_final(&mut outcome);
    assert!(!classifier.classify(&outcome).retryable);
}

#[test]
fn errors_are_judged_as_by_error() {
    let classify = |error| HttpClassifier::new().classify(&Err::<Response<()>, _>(error));
    assert_eq!(classify(Error::Inner("reset")).class, Class::Unreachable);
    let refused = classify(Refused::Busy { limit: 1 }.into());
    assert_eq!((refused.class, refused.retryable), (Class::Refused, false));
}
