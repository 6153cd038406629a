//! Retries in the words of each dialect.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use weft_http::Leg;
use weft_message::h1::BodyFraming;
use weft_model::policy::{RetryPolicy, StepKind};
use weft_resilience::settings::PickerKind;

use super::harness::{
    Answer, Begun, Client, Http, Origin, Setup, matrix, reply, reply_with, run, until,
};

type Fields = &'static [(&'static str, &'static str)];

fn on_503() -> RetryPolicy {
    RetryPolicy { attempts: 3, statuses: vec![(503, 503)], ..RetryPolicy::NEVER }
}

/// Answers the first request like that, and the others with 200.
async fn once(http: Http, status: u16, fields: Fields) -> Origin {
    let is_first = Rc::new(Cell::new(true));
    Origin::start(http, move |begun| {
        let is_first = is_first.replace(false);
        async move {
            let Begun { leg, .. } = begun;
            match is_first {
                true => reply_with(leg, status, fields, b"").await,
                false => reply(leg, 200, b"").await,
            }
        }
    })
    .await
}

async fn call(client: &mut Client, method: &str, fields: &[(&str, &str)]) -> Answer {
    let mut call = client.begin(method, "/", fields, BodyFraming::None).await;
    call.finish(None).await;
    client.answer(call).await
}

#[test]
fn grpc_statuses_that_are_listed_are_retried() {
    matrix(|down, up| async move {
        for (code, sent) in [("14", 2), ("13", 1)] {
            let fields: Fields = match code {
                "14" => &[("grpc-status", "14")],
                _ => &[("grpc-status", "13")],
            };
            let origin = once(up, 200, fields).await;
            let policy = RetryPolicy { attempts: 2, grpc_statuses: vec![14], ..RetryPolicy::NEVER };
            let setup = Setup::new(up, &[origin.addr]).change_route(|route| {
                route.timeouts.retry = Some(policy);
            });
            let gateway = setup.start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
            let answer = call(&mut client, "POST", &grpc).await;
            let status = answer.fields.get_str("grpc-status").map(str::to_owned);
            let expected = (sent == 1).then(|| code.to_owned());
            assert_eq!((answer.status, status), (200, expected), "{down:?} to {up:?}");
            assert_eq!(origin.requests().len(), sent);
        }
    });
}

#[test]
fn a_try_that_takes_too_long_is_given_up_for_another() {
    matrix(|down, up| async move {
        let is_first = Rc::new(Cell::new(true));
        let origin = Origin::start(up, move |begun| {
            let is_first = is_first.replace(false);
            async move {
                let Begun { mut leg, .. } = begun;
                if is_first {
                    std::future::poll_fn(|cx| leg.poll_gone(cx)).await;
                    return None;
                }
                reply(leg, 200, b"").await
            }
        })
        .await;
        let policy = RetryPolicy {
            attempts: 2,
            on_timeout: true,
            attempt_timeout: Some(Duration::from_millis(50)),
            ..RetryPolicy::NEVER
        };
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Retry(policy)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        assert_eq!(client.get("/").await.status, 200, "{down:?} to {up:?}");
        assert_eq!(origin.requests().len(), 2);
        gateway.until_idle().await;
    });
}

#[test]
fn an_upstream_says_when_it_wants_to_be_tried_again() {
    // The answer, and how often the request is sent.
    let cases: [(Fields, usize); 7] = [
        (&[], 2),
        (&[("retry-after", "0")], 2),
        (&[("grpc-retry-pushback-ms", "5")], 2),
        (&[("grpc-retry-pushback-ms", "-1")], 1),
        (&[("retry-after", "60")], 1),
        // It has too much to do already, as Envoy and we say it.
        (&[("x-envoy-overloaded", "true")], 1),
        // There is no time for that.
        (&[("retry-after", "4")], 1),
    ];
    for (fields, sent) in cases {
        run(async {
            let origin = once(Http::One, 503, fields).await;
            let setup = Setup::new(Http::One, &[origin.addr]).step(StepKind::Retry(on_503()));
            let setup =
                setup.change_route(|route| route.timeouts.request = Some(Duration::from_secs(3)));
            let gateway = setup.start().await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            let status = if sent == 2 { 200 } else { 503 };
            assert_eq!(client.get("/").await.status, status, "{fields:?}");
            assert_eq!(origin.requests().len(), sent, "{fields:?}");
        });
    }
}

#[test]
fn the_upstream_is_told_which_attempt_it_is() {
    matrix(|down, up| async move {
        let origin = once(up, 503, &[]).await;
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Retry(on_503())).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        // Nobody outside has a say in it.
        let forged = [("x-envoy-attempt-count", "7"), ("X_Envoy-Attempt.Count", "7")];
        assert_eq!(call(&mut client, "GET", &forged).await.status, 200, "{down:?} to {up:?}");
        let told = |index| origin.field(index, "x-envoy-attempt-count");
        assert_eq!((told(0).as_deref(), told(1).as_deref()), (Some("1"), Some("2")));
        assert_eq!(origin.field(0, "x_envoy-attempt.count"), None);
        let count = |what| gateway.metric(&format!("weftway_upstream_{what}{{backend=\"one\"}}"));
        assert_eq!((count("requests_total"), count("attempts_total")), (1.0, 2.0));
        // Where nothing is sent twice, there is nothing to tell.
        let plain = Setup::new(up, &[origin.addr]).start().await;
        Client::connect(down, plain.addr).await.get("/").await;
        assert_eq!(told(2), None);
    });
}

#[test]
fn what_a_client_says_of_its_tries_has_no_end() {
    matrix(|down, up| async move {
        let origin = once(up, 503, &[]).await;
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Retry(on_503())).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let tries = [("grpc-previous-rpc-attempts", "4294967295")];
        assert_eq!(call(&mut client, "GET", &tries).await.status, 503, "{down:?} to {up:?}");
        assert_eq!(origin.field(0, "x-envoy-attempt-count").as_deref(), Some("4294967295"));
    });
}

/// Two endpoints, of which whichever is asked first fails. Says whether the second try went there,
/// too.
async fn goes_to_the_same(same_endpoint: bool) -> bool {
    let is_first = Rc::new(Cell::new(true));
    let answer = move |begun: Begun| {
        let is_first = is_first.replace(false);
        async move { reply(begun.leg, if is_first { 503 } else { 200 }, b"").await }
    };
    let one = Origin::start(Http::One, answer.clone()).await;
    let two = Origin::start(Http::One, answer).await;
    let policy = RetryPolicy { same_endpoint, ..on_503() };
    let gateway = Setup::new(Http::One, &[one.addr, two.addr])
        .calling(|calling| calling.picker = PickerKind::Rendezvous)
        .step(StepKind::Retry(policy))
        .start()
        .await;
    let mut client = Client::connect(Http::One, gateway.addr).await;
    assert_eq!(client.get("/").await.status, 200);
    let sent = [one.requests().len(), two.requests().len()];
    assert_eq!(sent.iter().sum::<usize>(), 2);
    sent.contains(&2)
}

#[test]
fn another_endpoint_is_tried_unless_the_policy_says_otherwise() {
    run(async {
        assert!(!goes_to_the_same(false).await);
        assert!(goes_to_the_same(true).await);
    });
}

#[test]
fn an_answer_stands_when_there_is_no_time_for_another_try() {
    run(async {
        let origin = Origin::start(Http::One, |begun| async move {
            let leg: Leg = begun.leg;
            reply(leg, 503, b"busy").await
        })
        .await;
        let mut policy = on_503();
        policy.backoff.initial_interval = Duration::from_secs(60);
        policy.backoff.interval_min = Duration::from_secs(60);
        policy.backoff.interval_max = Duration::from_secs(60);
        let gateway = Setup::new(Http::One, &[origin.addr])
            .step(StepKind::Retry(policy))
            .change_route(|route| route.timeouts.request = Some(Duration::from_secs(30)))
            .start()
            .await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let answer = client.get("/").await;
        assert_eq!((answer.status, &*answer.body), (503, &b"busy"[..]));
        until("the end", || gateway.metric("weftway_request_failures_total") == 0.0).await;
    });
}
