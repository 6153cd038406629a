use std::time::Duration;

use weft_message::ResponseHead;
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BudgetSettings, HedgeSettings, LimitSettings,
};
use weft_runtime::time;

use super::*;
use crate::backends::{Backends, PreparedBackend};
use crate::error::PickError;
use crate::lease::Lease;
use crate::shared::Shared;
use crate::testing::{addr, backend, calling, get, metrics, prepared, worker};

/// A backend with so many endpoints and these bounds, on the whole and on each of them.
fn bounded(endpoints: u16, limits: LimitSettings, each: LimitSettings) -> PreparedBackend {
    let addrs: Vec<_> = (1..=endpoints).map(addr).collect();
    calling(backend("shop", &addrs), |calling| {
        calling.limits = limits;
        calling.endpoint_limits = each;
    })
}

fn requests(max: u32) -> LimitSettings {
    LimitSettings { requests: Some(max), ..LimitSettings::default() }
}

fn retries(max: u32) -> LimitSettings {
    LimitSettings { retries: Some(max), ..LimitSettings::default() }
}

const NONE: LimitSettings =
    LimitSettings { connections: None, pending: None, requests: None, retries: None };

fn shop(worker: &Backends) -> Rc<Backend> {
    get(worker, "shop")
}

fn pick(backend: &Rc<Backend>) -> Result<Lease, PickError> {
    backend.pick(&Ask::new(time::now(), &Tried::default()), &Rng::new(7))
}

#[test]
fn requests_of_all_workers_are_bounded_together() {
    let shared = Shared::new(time::now());
    let workers = [(); 2].map(|()| worker(&shared, [bounded(2, requests(3), NONE)]));
    let [one, other] = workers.each_ref().map(shop);
    let mut leases = vec![pick(&one).unwrap(), pick(&other).unwrap(), pick(&one).unwrap()];
    let refused = pick(&other).expect_err("three are under way");
    assert_eq!(refused.reason(), Reason::RequestsOverflow);
    assert_eq!(refused.to_string(), "the bound of 3 requests is reached");
    leases.pop();
    leases.push(pick(&other).expect("one has ended"));
    assert_eq!(
        metrics(&workers[1], "weftway_upstream_refused"),
        [r#"weftway_upstream_refused_total{backend="shop",bound="requests",scope="backend"} 1"#]
    );
    assert_eq!(metrics(&workers[0], "weftway_upstream_refused"), [""; 0]);
}

#[test]
fn a_change_of_the_configuration_keeps_what_is_counted() {
    let worker = worker(&Shared::new(time::now()), [bounded(1, requests(2), NONE)]);
    let leases = [pick(&shop(&worker)).unwrap(), pick(&shop(&worker)).unwrap()];
    worker.reconcile(prepared([bounded(1, requests(3), NONE)]), time::now());
    let third = pick(&shop(&worker)).expect("three may be under way now");
    assert!(pick(&shop(&worker)).is_err());
    worker.reconcile(prepared([bounded(1, requests(1), NONE)]), time::now());
    drop(leases);
    assert!(pick(&shop(&worker)).is_err(), "one is under way");
    drop(third);
    assert!(pick(&shop(&worker)).is_ok());
}

#[test]
fn a_full_endpoint_leaves_requests_to_others() {
    let worker = worker(&Shared::new(time::now()), [bounded(2, NONE, requests(2))]);
    let shop = shop(&worker);
    let leases: Vec<_> = (0..4).map(|_| pick(&shop).expect("there is room")).collect();
    for port in [1, 2] {
        let there = leases.iter().filter(|lease| lease.endpoint().addr() == addr(port));
        assert_eq!(there.count(), 2);
    }
    let refused = pick(&shop).expect_err("both are full");
    assert_eq!(refused.to_string(), "the bound of 2 requests is reached at the endpoint");
    assert_eq!(refused.reason(), Reason::RequestsOverflow);
    let tried = Tried::default();
    let by_cookie = shop.pick_where(&Ask::new(time::now(), &tried), |one| one.addr() == addr(1));
    assert!(by_cookie.unwrap().is_none(), "a cookie does not make room");
    drop(leases);
    assert!(pick(&shop).is_ok());
}

#[test]
fn a_connection_of_bytes_is_no_request() {
    let worker = worker(&Shared::new(time::now()), [bounded(1, requests(1), requests(1))]);
    let shop = shop(&worker);
    let (tried, rng) = (Tried::default(), Rng::new(7));
    let ask = Ask::new(time::now(), &tried);
    let streams: Vec<_> = (0..3).map(|_| shop.pick_stream(&ask, &rng).unwrap()).collect();
    let request = pick(&shop).expect("there is none yet");
    drop(streams);
    assert!(pick(&shop).is_err());
    drop(request);
}

#[test]
fn retries_are_bounded_and_each_takes_the_place_of_the_one_before() {
    let shared = Shared::new(time::now());
    let workers = [(); 2].map(|()| worker(&shared, [bounded(2, retries(1), NONE)]));
    let [one, other] = workers.each_ref().map(shop);
    let (now, mut first, mut second) =
        (time::now(), one.call(time::now()), other.call(time::now()));
    assert_eq!(first.try_retry(now), Ok(()));
    assert_eq!(first.try_retry(now), Ok(()), "its first retry is over");
    let refused = second.try_retry(now).expect_err("one is under way");
    assert_eq!(refused.to_string(), "the bound of 1 retries is reached");
    drop(first);
    assert_eq!(second.try_retry(now), Ok(()));
}

#[test]
fn an_endpoint_takes_so_many_retries_and_more_first_tries() {
    let worker = worker(&Shared::new(time::now()), [bounded(1, NONE, retries(1))]);
    let (shop, tried, rng) = (shop(&worker), Tried::default(), Rng::new(7));
    let retry = || Ask { is_retry: true, ..Ask::new(time::now(), &tried) };
    let first = shop.pick(&retry(), &rng).expect("it is the first");
    assert!(shop.pick(&retry(), &rng).is_err());
    assert!(pick(&shop).is_ok());
    let by_cookie = |ask: &Ask<'_>| shop.pick_where(ask, |_| true).expect("no bound on the whole");
    assert!(by_cookie(&retry()).is_none(), "one that a cookie leads there is a retry as well");
    assert!(by_cookie(&Ask::new(time::now(), &tried)).is_some());
    drop(first);
    let by_cookie = by_cookie(&retry()).expect("it is the only one");
    assert!(shop.pick(&retry(), &rng).is_err(), "it counts");
    drop(by_cookie);
    assert!(shop.pick(&retry(), &rng).is_ok());
}

#[test]
fn a_budget_of_what_is_under_way_is_that_of_all_workers() {
    let budget = ActiveBudget { ratio: 0.5, retries_min: 1, ..ActiveBudget::DEFAULT };
    let budgeted = || {
        calling(backend("shop", &[addr(1)]), |calling| {
            calling.retry_budget = Some(BudgetSettings::Active(budget));
        })
    };
    let shared = Shared::new(time::now());
    let workers = [(); 2].map(|()| worker(&shared, [budgeted()]));
    let [one, other] = workers.each_ref().map(shop);
    let now = time::now();
    let mut calls: Vec<_> = (0..2).flat_map(|_| [one.call(now), other.call(now)]).collect();
    let granted = calls.iter_mut().filter_map(|call| call.try_retry(now).ok()).count();
    assert_eq!(granted, 2, "half of four");
    drop(calls);
    assert_eq!(one.call(now).try_retry(now), Ok(()), "none is under way any more");
}

#[test]
fn a_bound_that_follows_from_latencies_refuses_with_its_reason() {
    let settings = AdaptiveSettings { limit_min: 2, limit_initial: 2, ..AdaptiveSettings::DEFAULT };
    let adaptive =
        calling(backend("shop", &[addr(1)]), |calling| calling.adaptive = Some(settings));
    let worker = worker(&Shared::new(time::now()), [adaptive]);
    let shop = shop(&worker);
    let leases = [pick(&shop).unwrap(), pick(&shop).unwrap()];
    let refused = pick(&shop).expect_err("two are under way");
    assert_eq!(refused.reason(), Reason::ConcurrencyLimited);
    // The head of an answer is what it waits for.
    leases[0].answered(time::now(), &ResponseHead::default());
    assert!(pick(&shop).is_ok());
    assert_eq!(
        metrics(&worker, "weftway_upstream_refused"),
        [r#"weftway_upstream_refused_total{backend="shop",bound="adaptive",scope="backend"} 1"#]
    );
}

#[test]
fn the_adaptive_bound_grows_where_latency_stays_and_falls_where_it_rises() {
    let settings = AdaptiveSettings { smoothing: 1.0, ..AdaptiveSettings::DEFAULT };
    let adaptive =
        calling(backend("shop", &[addr(1)]), |calling| calling.adaptive = Some(settings));
    let worker = worker(&Shared::new(time::now()), [adaptive]);
    let (shop, rng, tried) = (shop(&worker), Rng::new(7), Tried::default());
    let mut now = time::now();
    // As many as are let in, all of them answered after `latency`.
    let mut round = |latency: Duration| {
        let ask = Ask::new(now, &tried);
        let leases: Vec<_> =
            std::iter::from_fn(|| shop.pick(&ask, &rng).ok()).take(5_000).collect();
        now += latency;
        leases.iter().for_each(|lease| lease.answered(now, &ResponseHead::default()));
        leases.len()
    };
    let quick = (0..400).map(|_| round(Duration::from_millis(20))).max().unwrap();
    assert!(quick > 100, "it has grown to {quick}");
    let slow = (0..100).map(|_| round(Duration::from_millis(200))).last().unwrap();
    assert!(slow < quick / 4, "{slow} of {quick} are let in when all takes ten times as long");
}

#[test]
fn second_tries_follow_the_latencies_of_all_workers() {
    let hedged = || {
        calling(backend("shop", &[addr(1)]), |calling| {
            calling.hedge = Some(HedgeSettings { samples_min: 10, ..HedgeSettings::DEFAULT });
        })
    };
    let shared = Shared::new(time::now());
    let workers = [(); 2].map(|()| worker(&shared, [hedged()]));
    let [one, other] = workers.each_ref().map(shop);
    let now = time::now();
    (0..20).for_each(|_| one.hedge().unwrap().observe(now, Duration::from_millis(30)));
    let delay = other.hedge().unwrap().request(now + Duration::from_secs(1));
    assert!(delay.is_some_and(|delay| delay >= Duration::from_millis(30)), "{delay:?}");
    let plain = crate::testing::worker(&shared, [backend("cart", &[addr(1)])]);
    assert!(plain.backend(&BackendId::new("cart"), now).unwrap().hedge().is_none());
}
