//! What a call through the layers costs: memory that it takes, and room that its future needs.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use resilience_tower::balance::{BalanceSettings, Hints, Place, Tried};
use resilience_tower::retry::RetrySettings;
use resilience_tower::settings::{
    AdaptiveSettings, HedgeSettings, LoadReportSettings, MaglevSettings, PickerKind, RateSettings,
    RingHashSettings,
};
use resilience_tower::{
    Balance, BoxError, Breaker, ConcurrencyLimit, Endpoints, ErrorLayer, Hedge, RateLimit,
    RateLimitByKey, Retry, Timeout, breaker,
};
use tower::{Layer, Service, ServiceBuilder, service_fn};

const SECOND: Duration = Duration::from_secs(1);
const NO_LIMIT: RateSettings = RateSettings { average: 0, period: SECOND, burst: 1 };

/// Carries out a call that does not have to wait.
fn run<S, Req>(service: &mut S, req: Req) -> S::Response
where
    S: Service<Req, Error: std::fmt::Debug>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let Poll::Ready(answer) = pin!(service.call(req)).poll(&mut cx) else {
        unreachable!("nothing here has to wait")
    };
    answer.unwrap()
}

/// Allocations of a hundred calls, once a thousand were made.
fn allocations<S, Req>(mut service: S, req: impl Fn() -> Req) -> u64
where
    S: Service<Req, Error: std::fmt::Debug>,
{
    for _ in 0..1_000 {
        run(&mut service, req());
    }
    let requests: Vec<Req> = (0..100).map(|_| req()).collect();
    allocation_counter::measure(|| {
        for req in requests {
            run(&mut service, req);
        }
    })
    .count_total
}

fn in_runtime(test: impl FnOnce()) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    test();
}

/// A service that answers at once.
fn echo() -> impl Service<u32, Response = u32, Error = BoxError, Future: Send> + Clone {
    service_fn(async |number: u32| Ok(number))
}

#[test]
fn no_layer_allocates_once_it_is_warm() {
    #[track_caller]
    fn check(what: &str, service: impl Service<u32, Response = u32, Error: std::fmt::Debug>) {
        assert_eq!(allocations(service, || 7), 0, "{what}");
    }
    in_runtime(|| {
        check("timeout", Timeout::new(SECOND).layer(echo()));
        check("retry", Retry::new(RetrySettings::DEFAULT).layer(echo()));
        check("hedge", Hedge::new(HedgeSettings::DEFAULT).layer(echo()));
        check("breaker", Breaker::new(&breaker::on_failure_ratio(0.5, 20)).layer(echo()));
        check("rate limit", RateLimit::new(NO_LIMIT).layer(echo()));
        let limit = RateSettings { average: 1 << 20, burst: 1 << 20, ..NO_LIMIT };
        check("rate limit by key", RateLimitByKey::new(limit, |_: &u32| "key").layer(echo()));
        check("bound", ConcurrencyLimit::fixed(7).layer(echo()));
        let adaptive = ConcurrencyLimit::adaptive(AdaptiveSettings::DEFAULT);
        check("adaptive bound", adaptive.layer(echo()));
        check("one error type", ErrorLayer.layer(echo()));
    });
}

#[test]
fn no_pick_allocates_once_the_picker_is_warm() {
    in_runtime(|| {
        for picker in [
            PickerKind::RoundRobin,
            PickerKind::LeastRequest,
            PickerKind::PeakEwma,
            PickerKind::Random,
            PickerKind::Rendezvous,
            PickerKind::RingHash(RingHashSettings::DEFAULT),
            PickerKind::Maglev(MaglevSettings { size: 1_009, ..MaglevSettings::DEFAULT }),
            PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT),
        ] {
            for tiers in [1, 3] {
                let endpoints = Endpoints::new(BalanceSettings::DEFAULT.picker(picker));
                for key in 0..9 {
                    endpoints.insert_at(key, echo(), Place::DEFAULT.tier(key % tiers));
                }
                let count = allocations(Balance::new(endpoints), || 7);
                assert_eq!(count, 0, "{picker:?} over {tiers} tiers");
            }
        }
    });
}

/// Where the attempts of a request went is in the request.
#[derive(Debug, Clone, Copy)]
struct Listed;

impl Hints<(u32, Tried)> for Listed {
    fn tried<'a>(&self, req: &'a (u32, Tried)) -> Option<&'a Tried> {
        Some(&req.1)
    }
}

#[test]
fn no_pick_of_a_further_attempt_does_either() {
    in_runtime(|| {
        for attempt in 1..=4 {
            let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
            for key in 0..9 {
                let client =
                    service_fn(async |(number, _): (u32, Tried)| Ok::<_, BoxError>(number));
                endpoints.insert(key, client);
            }
            let balance = Balance::new(endpoints).hinted_by(Listed);
            let before = balance.clone();
            let count = allocations(balance, || {
                let tried = Tried::default();
                for number in 1..attempt {
                    run(&mut before.clone(), (number, tried.clone()));
                }
                (attempt, tried)
            });
            assert_eq!(count, 0, "attempt {attempt}");
        }
    });
}

#[test]
fn a_whole_stack_does_not_either() {
    in_runtime(|| {
        let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
        (0..9).for_each(|key| endpoints.insert(key, echo()));
        let stack = ServiceBuilder::new()
            .layer(Timeout::new(SECOND))
            .layer(Retry::new(RetrySettings::DEFAULT))
            .layer(Hedge::new(HedgeSettings::DEFAULT))
            .layer(Timeout::new(SECOND))
            .layer(Breaker::new(&breaker::on_failure_ratio(0.5, 20)))
            .layer(RateLimit::new(NO_LIMIT))
            .layer(ConcurrencyLimit::fixed(7))
            .service(Balance::new(endpoints));
        assert_eq!(allocations(stack, || 7), 0);
    });
}

#[test]
fn a_repeatable_request_of_http_costs_a_copy_of_its_head() {
    in_runtime(|| {
        let client = service_fn(async |_: http::Request<Full<Bytes>>| {
            Ok::<_, BoxError>(http::Response::new(()))
        });
        let req = || {
            let req = http::Request::get("/").header("user-agent", "test");
            req.body(Full::from("charge")).unwrap()
        };
        let plain = allocations(client, req);
        let retried = allocations(Retry::http(RetrySettings::DEFAULT).layer(client), req);
        // The fields with room for one more, the extensions, the list of endpoints that were tried.
        assert!(retried <= plain + 1_200, "{retried} for 100 calls, without retries {plain}");
    });
}

#[test]
fn the_future_of_a_layer_is_little_larger_than_what_it_holds() {
    /// Bytes of the innermost future.
    const HELD: usize = 4_096;
    let client = service_fn(|_: u32| async {
        let held = [0_u8; HELD - 8];
        std::future::pending::<()>().await;
        Ok::<_, BoxError>(u32::from(held[0]))
    });
    fn size(mut service: impl Service<u32>) -> usize {
        size_of_val(&service.call(7))
    }
    in_runtime(|| {
        let bare = size(client);
        let check = |what: &str, found: usize, times: usize, more: usize| {
            assert!(found <= times * bare + more, "{what}: {found} around {bare}");
        };
        check("timeout", size(Timeout::new(SECOND).layer(client)), 1, 192);
        check("retry", size(Retry::new(RetrySettings::DEFAULT).layer(client)), 1, 320);
        // Two tries at one time are two futures.
        check("hedge", size(Hedge::new(HedgeSettings::DEFAULT).layer(client)), 2, 320);
        let breaker = Breaker::new(&breaker::on_failure_ratio(0.5, 20));
        check("breaker", size(breaker.layer(client)), 1, 192);
        check("rate limit", size(RateLimit::new(NO_LIMIT).layer(client)), 1, 192);
        check("bound", size(ConcurrencyLimit::fixed(7).layer(client)), 1, 192);
        let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
        endpoints.insert("first", client);
        check("balance", size(Balance::new(endpoints.clone())), 1, 192);
        let stack = ServiceBuilder::new()
            .layer(Timeout::new(SECOND))
            .layer(Retry::new(RetrySettings::DEFAULT))
            .layer(Timeout::new(SECOND))
            .layer(breaker)
            .layer(ConcurrencyLimit::fixed(7))
            .service(Balance::new(endpoints));
        check("a stack", size(stack), 1, 4 * 192 + 320 + 192);
    });
}
