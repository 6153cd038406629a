use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::tests::{Count, Heard, TestError, begin, hanging, ms, secs};

/// A client that takes 1 ms and fails for odd numbers, and the calls that reached it.
fn client(
    breaker: &Breaker,
) -> (impl Service<u32, Response = u32, Error = TestError> + Clone, Count) {
    let calls = Count::default();
    let counted = calls.clone();
    let client = service_fn(move |number: u32| {
        counted.add();
        async move {
            tokio::time::sleep(ms(1)).await;
            match number % 2 {
                0 => Ok(number),
                _ => Err(Error::Inner("reset")),
            }
        }
    });
    (breaker.layer(client), calls)
}

#[tokio::test(start_paused = true)]
async fn it_opens_recovers_and_closes() {
    let heard = Heard::default();
    let breaker = Breaker::new(&on_failure_ratio(0.5, 10)).observed_by(heard.clone());
    let (client, calls) = client(&breaker);
    let call = |number| client.clone().oneshot(number);
    for _ in 0..10 {
        assert_eq!(call(1).await, Err(Error::Inner("reset")));
    }
    assert_eq!(breaker.state(), State::Open);

    tokio::time::advance(secs(4)).await;
    let refused = call(2).await;
    assert_eq!(refused, Err(Refused::BreakerOpen { retry_after: secs(6) }.into()));
    assert_eq!(calls.get(), 10);

    // Half of the recovery is over: about half of the calls pass.
    tokio::time::advance(secs(6)).await;
    let _first = call(2).await;
    tokio::time::advance(secs(5)).await;
    let mut passed = 0;
    for _ in 0..200 {
        passed += u32::from(call(2).await.is_ok());
    }
    assert!((60..=140).contains(&passed), "{passed} of 200");
    assert_eq!(breaker.state(), State::Recovering);

    tokio::time::advance(secs(5)).await;
    assert_eq!(call(2).await, Ok(2));
    let states: Vec<_> =
        heard.events().into_iter().filter(|event| event.starts_with("Breaker")).collect();
    assert_eq!(
        states,
        ["Breaker { state: Open }", "Breaker { state: Recovering }", "Breaker { state: Closed }",]
    );
}

#[tokio::test(start_paused = true)]
async fn failures_while_it_recovers_open_it_again() {
    let breaker = Breaker::new(&on_failure_ratio(0.5, 2));
    let (client, _) = client(&breaker);
    let call = |number| client.clone().oneshot(number);
    let _ = (call(1).await, call(1).await);
    assert_eq!(breaker.state(), State::Open);
    tokio::time::advance(secs(10)).await;
    let _first = call(1).await;
    assert_eq!(breaker.state(), State::Recovering);
    tokio::time::advance(ms(9_900)).await;
    for _ in 0..20 {
        let _ = call(1).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn few_calls_do_not_open_it() {
    let breaker = Breaker::new(&on_failure_ratio(0.5, 10));
    let (client, _) = client(&breaker);
    for _ in 0..9 {
        let _ = client.clone().oneshot(1).await;
        tokio::time::advance(ms(100)).await;
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_does_not_count() {
    let breaker = Breaker::new(&on_failure_ratio(0.5, 1));
    let (client, calls) = hanging();
    let client = breaker.layer(client);
    for number in 0..20 {
        let mut call = Box::pin(client.clone().oneshot(number));
        begin(&mut call).await;
        assert_eq!(calls.get(), 1);
        tokio::time::advance(ms(200)).await;
    }
    assert_eq!((breaker.state(), calls.get()), (State::Closed, 0));
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn server_errors_of_http_open_it_and_client_errors_do_not() {
    let check = async |status: u16, expected: State| {
        let breaker = Breaker::http(&on_failure_ratio(0.5, 10));
        for _ in 0..20 {
            let answer = async {
                tokio::time::sleep(ms(1)).await;
                http::Response::builder().status(status).body(()).map_err(|_| ())
            };
            let _ = breaker.call(answer).await;
        }
        assert_eq!(breaker.state(), expected, "{status}");
    };
    check(503, State::Open).await;
    check(429, State::Closed).await;
    check(404, State::Closed).await;
}
