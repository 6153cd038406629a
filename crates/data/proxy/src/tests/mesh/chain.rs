//! Chains of calls: retries do not multiply from hop to hop, and deadlines go along.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use weft_message::h1::BodyFraming;
use weft_model::mesh::Protocol;
use weft_model::policy::{LocalRateLimit, RetryPolicy, StepKind};
use weft_model::route::Timeouts;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{BudgetSettings, RateSettings, RecentBudget};
use weft_testkit::MeshAuthority;

use super::super::harness::{
    Answer, Begun, Client, Http, Origin, Proxy, endpoint, inbound, reply, reply_with, run_bounded,
    service,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority};

type Fields = &'static [(&'static str, &'static str)];

/// Requests of the client of a chain.
const OFFERED: usize = 300;

/// Three tries, as many in a row as the budget of 20 % has.
fn three_tries() -> Timeouts {
    let retry = RetryPolicy {
        attempts: 3,
        statuses: vec![(500, 599)],
        grpc_statuses: vec![14],
        ..RetryPolicy::NEVER
    };
    Timeouts { retry: Some(retry), ..Timeouts::default() }
}

fn budget() -> BudgetSettings {
    BudgetSettings::Recent(RecentBudget { retries_min: 0, ..RecentBudget::DEFAULT })
}

/// A workload: its application, and the proxy beside it.
struct Workload {
    app: Origin,
    proxy: Rc<Proxy>,
}

/// An application that answers as a call of its own is answered, or fails half of the time by
/// itself.
async fn workload(authority: &MeshAuthority, account: &str, next: Option<&Workload>) -> Workload {
    let outbound = next.map(|next| {
        let endpoint = endpoint(next.app.addr, Some(&next.proxy));
        service(PAYMENTS, PAYMENTS_ADDR, Protocol::Http, &[endpoint])
            .timeouts(three_tries())
            .calling(|calling| calling.retry_budget = Some(budget()))
    });
    let destinations: Vec<_> =
        outbound.into_iter().chain([inbound(None, Protocol::Http)]).collect();
    let proxy = Rc::new(Proxy::start(authority, account, &destinations, &[]).await);
    let app = match next {
        Some(_) => relay(&proxy).await,
        None => leaf().await,
    };
    Workload { app, proxy }
}

async fn leaf() -> Origin {
    let rng = Rc::new(Rng::new(7));
    Origin::start(Http::One, move |begun| {
        let status = if rng.below(2) == 0 { 503 } else { 200 };
        async move { reply(begun.leg, status, b"leaf").await }
    })
    .await
}

/// Passes requests on, and their answers back.
async fn relay(proxy: &Rc<Proxy>) -> Origin {
    let proxy = proxy.clone();
    let kept: Rc<RefCell<Vec<Client>>> = Rc::default();
    Origin::start(Http::One, move |begun| {
        let (proxy, kept) = (proxy.clone(), kept.clone());
        async move {
            let Begun { leg, .. } = begun;
            let known = kept.borrow_mut().pop();
            let mut client = match known {
                Some(client) => client,
                None => Client::over(Http::One, proxy.dial(PAYMENTS_ADDR).await).await,
            };
            let answer = client.get("/").await;
            kept.borrow_mut().push(client);
            // It has no idea of what its proxy knows.
            assert_eq!(answer.fields.get("weftway-retried"), None);
            reply(leg, if answer.status == 200 { 200 } else { 500 }, &answer.body).await
        }
    })
    .await
}

#[test]
fn retries_do_not_multiply_from_hop_to_hop() {
    run_bounded(async {
        let authority = authority();
        let leaf = workload(&authority, "leaf", None).await;
        let third = workload(&authority, "third", Some(&leaf)).await;
        let second = workload(&authority, "second", Some(&third)).await;
        let first = workload(&authority, "first", Some(&second)).await;
        let edge = workload(&authority, "edge", Some(&first)).await;
        let mut client = Client::over(Http::One, edge.proxy.dial(PAYMENTS_ADDR).await).await;
        let mut failed = 0;
        for _ in 0..OFFERED {
            failed += usize::from(client.get("/").await.status != 200);
        }
        let seen = leaf.app.requests().len();
        assert!(seen * 10 <= OFFERED * 12, "{seen} of {OFFERED}");
        // The budget is used where the failures are, and nowhere else.
        assert!(seen * 10 >= OFFERED * 11, "{seen} of {OFFERED}");
        assert!(failed < OFFERED / 2, "{failed} of {OFFERED}");
        for far in [&second, &first, &edge] {
            let retries = "weftway_upstream_retries_total\
                {backend=\"outbound/payments.shop.svc.cluster.local\"}";
            assert_eq!(far.proxy.metric(retries), 0.0);
        }
    });
}

/// A workload `payments` whose proxy and application are given, called with three tries, across hops
/// or not.
async fn caller(authority: &MeshAuthority, callee: &Workload, across_hops: bool) -> Proxy {
    let endpoint = endpoint(callee.app.addr, Some(&callee.proxy));
    let payments = service(PAYMENTS, PAYMENTS_ADDR, Protocol::Http, &[endpoint])
        .timeouts(three_tries())
        .calling(|calling| calling.retries_across_hops = across_hops);
    Proxy::start(authority, "front", &[payments], &[]).await
}

async fn call(proxy: &Proxy, fields: &[(&str, &str)]) -> Answer {
    let mut client = Client::over(Http::One, proxy.dial(PAYMENTS_ADDR).await).await;
    let call = client.begin("GET", "/", fields, BodyFraming::None).await;
    client.answer(call).await
}

/// What an application says of an answer that fails although it has called others again.
const SPENT: (&str, &str) = ("weftway-retried", "1");

/// An application that fails once with that status, and then says the same of what succeeds.
async fn failing_once(authority: &MeshAuthority, status: u16, fields: Fields) -> Workload {
    let proxy = Proxy::start(authority, "payments", &[inbound(None, Protocol::Http)], &[]).await;
    let is_first = Rc::new(Cell::new(true));
    let app = Origin::start(Http::One, move |begun| {
        let is_first = is_first.replace(false);
        async move {
            match is_first {
                true => reply_with(begun.leg, status, fields, b"").await,
                false => reply_with(begun.leg, 200, &[SPENT], b"").await,
            }
        }
    })
    .await;
    Workload { app, proxy: Rc::new(proxy) }
}

#[test]
fn a_failure_of_the_application_itself_is_tried_again() {
    run_bounded(async {
        let authority = authority();
        let payments = failing_once(&authority, 503, &[]).await;
        let front = caller(&authority, &payments, false).await;
        let answer = call(&front, &[]).await;
        // What succeeds says nothing of retries, whatever the application does.
        assert_eq!((answer.status, answer.fields.get("weftway-retried")), (200, None));
        let told = |index| payments.app.field(index, "x-envoy-attempt-count");
        assert_eq!((told(0).as_deref(), told(1).as_deref()), (Some("1"), Some("2")));
    });
}

#[test]
fn an_application_that_retries_by_itself_says_when_it_has() {
    run_bounded(async {
        let authority = authority();
        for (status, fields, tries) in [
            (503, &[SPENT] as Fields, 1),
            (200, &[SPENT, ("grpc-status", "14")], 1),
            (200, &[("grpc-status", "14")], 2),
        ] {
            let payments = failing_once(&authority, status, fields).await;
            let front = caller(&authority, &payments, false).await;
            let answer = call(&front, &[]).await;
            assert_eq!(answer.fields.get("weftway-retried"), None, "{status} {fields:?}");
            assert_eq!(payments.app.requests().len(), tries, "{status} {fields:?}");
        }
    });
}

#[test]
fn a_retry_that_an_application_passes_on_is_not_multiplied() {
    run_bounded(async {
        let authority = authority();
        let payments = failing_once(&authority, 503, &[]).await;
        let front = caller(&authority, &payments, false).await;
        assert_eq!(call(&front, &[("x-envoy-attempt-count", "2")]).await.status, 503);
        assert_eq!(payments.app.requests().len(), 1);
        assert_eq!(payments.app.field(0, "x-envoy-attempt-count").as_deref(), Some("2"));
    });
}

#[test]
fn a_service_may_be_tried_again_whatever_other_hops_have_done() {
    run_bounded(async {
        let authority = authority();
        for (fields, last) in [(&[("x-envoy-attempt-count", "2")] as Fields, "3"), (&[], "2")] {
            let payments = failing_once(&authority, 503, &[SPENT]).await;
            let front = caller(&authority, &payments, true).await;
            assert_eq!(call(&front, fields).await.status, 200, "{fields:?}");
            let told = payments.app.field(1, "x-envoy-attempt-count");
            assert_eq!(told.as_deref(), Some(last));
        }
    });
}

#[test]
fn a_stranger_has_no_say_in_attempts() {
    run_bounded(async {
        let authority = authority();
        let payments = failing_once(&authority, 503, &[SPENT]).await;
        let stream = payments.proxy.dial_inbound(payments.app.addr).await;
        let mut client = Client::over(Http::One, stream).await;
        let fields = [("x-envoy-attempt-count", "2")];
        let call = client.begin("GET", "/", &fields, BodyFraming::None).await;
        let answer = client.answer(call).await;
        assert_eq!(payments.app.field(0, "x-envoy-attempt-count"), None);
        assert_eq!((answer.status, answer.fields.get("weftway-retried")), (503, None));
    });
}

#[test]
fn the_bound_of_a_route_goes_along() {
    for http in [Http::One, Http::Two] {
        run_bounded(async {
            let authority = authority();
            let app = Origin::echo(http).await;
            let theirs =
                Proxy::start(&authority, "payments", &[inbound(None, Protocol::Http)], &[]).await;
            let request = Some(Duration::from_secs(20));
            let payments = service(
                PAYMENTS,
                PAYMENTS_ADDR,
                Protocol::Http,
                &[endpoint(app.addr, Some(&theirs))],
            )
            .timeouts(Timeouts { request, ..Timeouts::default() });
            let ours = Proxy::start(&authority, "front", &[payments], &[]).await;
            let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
            let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
            let fields: &[(&str, &str)] = if http == Http::Two { &grpc } else { &[] };
            let mut call = client.begin("POST", "/", fields, BodyFraming::Length(1)).await;
            call.send(b"x").await;
            call.finish(None).await;
            assert_eq!(client.answer(call).await.status, 200, "{http:?}");
            let millis = app.field(0, "x-envoy-expected-rq-timeout-ms").expect("it is told");
            let millis: u64 = millis.parse().expect("a number");
            assert!((1..20_000).contains(&millis), "{millis}");
            assert_eq!(app.field(0, "grpc-timeout").is_some(), http == Http::Two);
            let line = ours.logged("deadline_us=20000000").await;
            assert!(line.contains(" deadline_left_us=1"), "{line}");
        });
    }
}

#[test]
fn a_rate_of_each_client_holds_for_its_identity() {
    run_bounded(async {
        let authority = authority();
        let hour = Duration::from_secs(3_600);
        let rate = |burst| RateSettings { average: 1, period: hour, burst };
        let batch = "spiffe://cluster.local/ns/shop/sa/batch";
        let limit = LocalRateLimit {
            total: None,
            identity: Some(rate(2)),
            overrides: vec![(vec![batch.into()], rate(1))],
        };
        let port = inbound(None, Protocol::Http).step(StepKind::LocalRateLimit(Box::new(limit)));
        let theirs = Proxy::start(&authority, "payments", &[port], &[]).await;
        let app = Origin::echo(Http::One).await;
        for (account, allowed) in [("front", 2), ("batch", 1), ("cart", 2)] {
            let endpoint = endpoint(app.addr, Some(&theirs));
            let payments = service(PAYMENTS, PAYMENTS_ADDR, Protocol::Http, &[endpoint]);
            let ours = Proxy::start(&authority, account, &[payments], &[]).await;
            for index in 0..3 {
                let expected = if index < allowed { 200 } else { 429 };
                assert_eq!(call(&ours, &[]).await.status, expected, "{account} {index}");
            }
        }
        // Those that prove nothing are one client.
        for expected in [200, 200, 429] {
            let mut client = Client::over(Http::One, theirs.dial_inbound(app.addr).await).await;
            assert_eq!(client.get("/").await.status, expected);
        }
        theirs.logged("the rate of this group of clients was exceeded").await;
    });
}
