//! Steps that answer by themselves: faults, fixed answers, rates of clients.

use std::time::Duration;

use weft_message::h1::BodyFraming;
use weft_model::policy::{
    Abort, Fault, FixedAnswer, LocalRateLimit, RetryPolicy, SourceCriterion, StepKind,
};
use weft_resilience::settings::RateSettings;

use super::harness::{
    Client, Http, Origin, Setup, make_time_fly, make_time_walk, matrix, run, until,
};

const ALWAYS: u32 = 1_000_000;

fn abort(abort: Abort, share: u32) -> StepKind {
    StepKind::Fault(Fault { delay: None, abort: Some((abort, share)) })
}

#[test]
fn an_abort_answers_in_place_of_the_upstream() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway =
            Setup::new(up, &[origin.addr]).step(abort(Abort::Http(418), ALWAYS)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        assert_eq!(client.get("/").await.status, 418, "{down:?} to {up:?}");
        assert_eq!(gateway.failures("fault_injected"), 1.0);
        let gateway =
            Setup::new(up, &[origin.addr]).step(abort(Abort::Grpc(7), ALWAYS)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let grpc = [("content-type", "application/grpc")];
        let call = client.begin("POST", "/a.B/C", &grpc, BodyFraming::None).await;
        let answer = client.answer(call).await;
        assert_eq!((answer.status, answer.fields.get_str("grpc-status")), (200, Some("7")));
        assert!(origin.requests().is_empty());
    });
}

#[test]
fn shares_of_faults_are_right_in_spite_of_retries() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let policy = RetryPolicy { attempts: 5, statuses: vec![(503, 503)], ..RetryPolicy::NEVER };
        let gateway = Setup::new(Http::One, &[origin.addr])
            .step(StepKind::Retry(policy))
            .step(abort(Abort::Http(503), ALWAYS / 4))
            .start()
            .await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let mut failed = 0;
        for _ in 0..1_000 {
            failed += usize::from(client.get("/").await.status == 503);
        }
        // Four standard deviations of 1,000 draws of a quarter.
        assert!((195..=305).contains(&failed), "{failed}");
        assert_eq!(origin.requests().len(), 1_000 - failed);
    });
}

#[test]
fn a_delay_holds_a_request_up_and_costs_it_none_of_its_time() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let fault = Fault { delay: Some((Duration::from_secs(60), ALWAYS)), abort: None };
        let gateway = Setup::new(up, &[origin.addr])
            .step(StepKind::Fault(fault))
            .change_route(|route| route.timeouts.request = Some(Duration::from_secs(30)))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let call = client.begin("GET", "/", &[], BodyFraming::None).await;
        until("the connection", || gateway.metric("weftway_connections_open") == 1.0).await;
        make_time_fly();
        until("the request", || {
            let begun = !origin.requests().is_empty();
            if begun {
                make_time_walk();
            }
            begun
        })
        .await;
        assert_eq!(client.answer(call).await.status, 200, "{down:?} to {up:?}");
    });
}

#[test]
fn a_client_that_waits_no_longer_ends_a_delay() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let fault = Fault { delay: Some((Duration::from_secs(3_600), ALWAYS)), abort: None };
        let gateway =
            Setup::new(Http::One, &[origin.addr]).step(StepKind::Fault(fault)).start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let fields = [("x-envoy-expected-rq-timeout-ms", "50")];
        let call = client.begin("GET", "/", &fields, BodyFraming::None).await;
        assert_eq!(client.answer(call).await.status, 504);
        assert!(origin.requests().is_empty());
    });
}

#[test]
fn a_fixed_answer_is_sent_as_it_is() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let fixed = FixedAnswer { status: 203, body: b"closed for repairs"[..].into() };
        let gateway = Setup::new(up, &[origin.addr]).step(StepKind::Respond(fixed)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let answer = client.get("/").await;
        assert_eq!((answer.status, &*answer.body), (203, &b"closed for repairs"[..]));
        let call = client.begin("HEAD", "/", &[], BodyFraming::None).await;
        let answer = client.answer(call).await;
        assert_eq!((answer.status, answer.body.len()), (203, 0), "{down:?} to {up:?}");
        assert!(origin.requests().is_empty());
    });
}

#[test]
fn a_rate_of_all_clients_survives_a_change_of_configuration() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let hour = Duration::from_secs(3_600);
        let rate = RateSettings { average: 1, period: hour, burst: 3 };
        let limit = LocalRateLimit { total: Some(rate), ..LocalRateLimit::default() };
        let setup = Setup::new(Http::One, &[origin.addr])
            .step(StepKind::LocalRateLimit(Box::new(limit.clone())));
        let mut gateway = setup.clone().start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        for _ in 0..2 {
            assert_eq!(client.get("/").await.status, 200);
        }
        let longer = setup.change_route(|route| route.timeouts.request = Some(hour));
        gateway.apply(2, &longer).await;
        assert_eq!(client.get("/").await.status, 200);
        let answer = client.get("/").await;
        let retry_after = answer.fields.get_str("retry-after").and_then(|secs| secs.parse().ok());
        assert_eq!(answer.status, 429);
        assert!(retry_after.is_some_and(|secs: u64| (1..=3_600).contains(&secs)));
        assert_eq!(gateway.failures("rate_limited"), 1.0);
    });
}

#[test]
fn a_route_bounds_what_is_under_way_on_it() {
    run(async {
        let origin = Origin::start(Http::One, |begun| async move {
            let mut leg = begun.leg;
            std::future::poll_fn(|cx| leg.poll_gone(cx)).await;
            None
        })
        .await;
        let limit = StepKind::InFlight { amount: 1, source: SourceCriterion::All };
        let gateway = Setup::new(Http::One, &[origin.addr]).step(limit).start().await;
        let mut first = Client::connect(Http::One, gateway.addr).await;
        let call = first.begin("GET", "/", &[], BodyFraming::None).await;
        until("the request", || origin.requests().len() == 1).await;
        let mut second = Client::connect(Http::One, gateway.addr).await;
        assert_eq!(second.get("/").await.status, 429);
        drop(call);
    });
}
