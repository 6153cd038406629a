//! A second try beside a slow one.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use weft_model::policy::StepKind;
use weft_resilience::settings::{HedgeSettings, OutlierSettings};
use weft_runtime::time;

use super::harness::{Client, Http, Origin, Setup, matrix, reply, run};

/// When second tries are sent.
const DELAY: Duration = Duration::from_millis(100);

/// As soon as anything is known, and no more than two at once.
fn settings() -> HedgeSettings {
    HedgeSettings {
        samples_min: 1,
        delay_min: DELAY,
        delay_max: DELAY,
        budget_ratio: 0.01,
        burst: 2,
        window: Duration::from_secs(1),
        ..HedgeSettings::DEFAULT
    }
}

/// Answers until `is_stuck`, then never.
async fn origin(http: Http, is_stuck: &Rc<Cell<bool>>) -> Origin {
    let is_stuck = is_stuck.clone();
    Origin::start(http, move |begun| {
        let is_stuck = is_stuck.get();
        async move {
            let mut leg = begun.leg;
            if is_stuck {
                poll_fn(|cx| leg.poll_gone(cx)).await;
                return None;
            }
            reply(leg, 200, b"ok").await
        }
    })
    .await
}

/// Requests until it is known how long they take.
async fn warm_up(client: &mut Client) {
    let start = time::now();
    while time::now() - start < Duration::from_millis(100) {
        assert_eq!(client.get("/").await.status, 200);
    }
}

/// Whether two requests, of which one goes to an endpoint that is stuck, are both answered within
/// three times the delay.
async fn are_answered(client: &mut Client, method: &str) -> bool {
    let body: &[u8] = if method == "POST" { b"x" } else { b"" };
    let both = async {
        client.send(method, "/", body).await;
        client.send(method, "/", body).await;
    };
    time::timeout(3 * DELAY, both).await.is_ok()
}

async fn check(down: Http, up: Http, change: impl FnOnce(Setup) -> Setup) {
    let (stuck, fine) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (one, two) = (origin(up, &stuck).await, origin(up, &fine).await);
    let gateway = change(Setup::new(up, &[one.addr, two.addr])).start().await;
    let mut client = Client::connect(down, gateway.addr).await;
    warm_up(&mut client).await;
    let hedges = || gateway.metric("weftway_upstream_hedges_total{backend=\"one\"}");
    assert_eq!(hedges(), 0.0, "{down:?} to {up:?}");
    stuck.set(true);
    let before = two.requests().len();
    for _ in 0..4 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]), "{down:?} to {up:?}");
    }
    assert_eq!((two.requests().len() - before, hedges()), (4, 2.0), "{down:?} to {up:?}");
    // Two at once is what the budget has; the next one waits for whom it was sent to.
    assert!(!are_answered(&mut client, "GET").await, "{down:?} to {up:?}");
    assert_eq!(hedges(), 2.0);
    drop(client);
    gateway.until_idle().await;
}

#[test]
fn a_slow_request_is_asked_of_another_endpoint_within_the_budget() {
    matrix(|down, up| {
        check(down, up, |setup| setup.calling(|calling| calling.hedge = Some(settings())))
    });
}

#[test]
fn a_route_may_ask_for_second_tries() {
    run(check(Http::One, Http::One, |setup| setup.step(StepKind::Hedge(settings()))));
}

/// Answers until `is_ill`. Then, of two that share `others`, the one that is asked first breaks off as
/// soon as the other one is asked, which answers late.
async fn breaking(
    is_ill: &Rc<Cell<bool>>,
    others: &Rc<Cell<u32>>,
    is_asked: &Rc<Notify>,
) -> Origin {
    let (is_ill, others, is_asked) = (is_ill.clone(), others.clone(), is_asked.clone());
    Origin::start(Http::One, move |begun| {
        let before = if is_ill.get() { others.replace(others.get() + 1) } else { 9 };
        let is_asked = is_asked.clone();
        async move {
            match before {
                0 => {
                    is_asked.notified().await;
                    return None;
                }
                1 => {
                    is_asked.notify_one();
                    time::sleep(DELAY).await;
                }
                _ => {}
            }
            reply(begun.leg, 200, b"ok").await
        }
    })
    .await
}

#[test]
fn a_first_try_that_breaks_counts_though_the_second_answers() {
    run(async {
        let (is_ill, others) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let is_asked = Rc::new(Notify::new());
        let one = breaking(&is_ill, &others, &is_asked).await;
        let two = breaking(&is_ill, &others, &is_asked).await;
        let outlier = OutlierSettings {
            consecutive: Some(1),
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        let gateway = Setup::new(Http::One, &[one.addr, two.addr])
            .calling(|calling| {
                calling.hedge = Some(settings());
                calling.outlier = Some(outlier);
                // One that was used before may have been closed while it was idle.
                calling.pool.requests_per_connection_max = 1;
            })
            .start()
            .await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        warm_up(&mut client).await;
        let set_aside = || {
            gateway
                .metric("weftway_upstream_ejections_total{backend=\"one\",trigger=\"consecutive\"}")
        };
        assert_eq!(set_aside(), 0.0);
        is_ill.set(true);
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!((others.get(), set_aside()), (2, 1.0));
    });
}

#[test]
fn what_may_not_be_sent_twice_is_not() {
    run(async {
        let (stuck, fine) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (one, two) = (origin(Http::One, &stuck).await, origin(Http::One, &fine).await);
        let gateway = Setup::new(Http::One, &[one.addr, two.addr])
            .calling(|calling| calling.hedge = Some(settings()))
            .start()
            .await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        warm_up(&mut client).await;
        stuck.set(true);
        assert!(!are_answered(&mut client, "POST").await);
        assert_eq!(gateway.metric("weftway_upstream_hedges_total{backend=\"one\"}"), 0.0);
    });
}
