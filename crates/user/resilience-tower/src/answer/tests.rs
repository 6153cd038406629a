use std::time::Duration;

use http::Request;
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// What a server answers whose innermost part ends so.
async fn check(
    outcome: Result<u16, Error<&'static str>>,
    expected: Result<(u16, Option<&str>, &str), &'static str>,
) {
    let served = outcome.clone().map(|status| {
        let mut answer = Response::new("served\n".to_owned());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer
    });
    let server = service_fn(move |_: Request<()>| std::future::ready(served.clone()));
    let answer = AnswerLayer.layer(server).oneshot(Request::default()).await;
    let got = answer.as_ref().map(|answer| {
        let retry_after = answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
        (answer.status().as_u16(), retry_after, answer.body().as_str())
    });
    assert_eq!(got, expected.as_ref().map(|expected| *expected), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn refusals_become_answers_and_errors_stay_errors() {
    let wait = Duration::from_millis(1_001);
    let refused = |refused: Refused| Err(refused.into());
    check(Ok(404), Ok((404, None, "served\n"))).await;
    check(Err(Error::Inner("reset")), Err("reset")).await;
    let limited = refused(Refused::RateLimited { retry_after: wait });
    check(limited, Ok((429, Some("2"), "too many requests\n"))).await;
    let open = refused(Refused::BreakerOpen { retry_after: Duration::from_secs(3) });
    check(open, Ok((503, Some("3"), "circuit breaker is open\n"))).await;
    let busy = refused(Refused::Busy { limit: 7 });
    check(busy, Ok((503, None, "too many requests at one time\n"))).await;
    let late = refused(Refused::Timeout { limit: wait });
    check(late, Ok((504, None, "no answer in time\n"))).await;
    let nowhere = refused(Refused::NoEndpoint { known: 2 });
    check(nowhere, Ok((503, None, "no endpoint is usable\n"))).await;
}
