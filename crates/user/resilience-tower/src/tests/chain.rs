//! Four hops, each with three attempts, and a leaf that fails.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

use super::{Count, TestError, ms};
use crate::Retry;
use crate::hop::{self, Hop};
use crate::retry::RetrySettings;
use crate::settings::{BudgetSettings, RecentBudget};

type Body = Full<Bytes>;
type Client = BoxCloneService<Request<Body>, Response<()>, TestError>;

const HOPS: usize = 4;
const PER_SECOND: u32 = 500;
const SECONDS: u32 = 20;

/// A server that calls the next one with retries for each of its requests, and answers 500 with
/// what it got when that fails. `hands_on` is whether it hands on what the hops say.
fn server(next: Client, budget: RecentBudget, hands_on: bool) -> Client {
    let budget = BudgetSettings::Recent(budget);
    let settings = RetrySettings { attempts: 3, budget, ..RetrySettings::DEFAULT };
    let next = Retry::http(settings).layer(next);
    BoxCloneService::new(service_fn(move |inbound: Request<Body>| {
        let next = next.clone();
        async move {
            let mut outbound = Request::new(Body::default());
            if hands_on {
                Hop::of(inbound.headers()).carry(outbound.headers_mut());
            }
            let got = next.oneshot(outbound).await?;
            let mut answer = Response::builder().status(got.status()).body(()).unwrap();
            if hands_on {
                hop::pass_back(got.headers(), answer.headers_mut());
            }
            Ok(answer)
        }
    }))
}

/// What is offered, in calls.
const OFFERED: u32 = PER_SECOND * SECONDS;

/// Calls that the leaf gets for what is offered, when it fails every `nth`.
async fn load(nth: u32, budget: RecentBudget, hands_on: bool) -> u32 {
    let calls = Count::default();
    let counted = calls.clone();
    let leaf = service_fn(move |_: Request<Body>| {
        let fails = counted.add().is_multiple_of(nth);
        async move {
            tokio::time::sleep(ms(1)).await;
            let status = if fails { 503 } else { 200 };
            Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
        }
    });
    let leaf = leaf.map_err(|never: Infallible| match never {});
    let mut chain: Client = BoxCloneService::new(leaf);
    for _ in 0..HOPS {
        chain = server(chain, budget, hands_on);
    }
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..OFFERED {
        running.spawn(chain.clone().oneshot(Request::new(Body::default())));
        tokio::time::sleep(ms(1000 / u64::from(PER_SECOND))).await;
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
    calls.get()
}

#[tokio::test(start_paused = true)]
async fn four_hops_with_three_attempts_each_stay_within_their_budget() {
    // Half of the calls fail, and all of them.
    for nth in [2, 1] {
        let budget = RecentBudget { retries_min: 0, ..RecentBudget::DEFAULT };
        let calls = load(nth, budget, true).await;
        assert!(calls <= OFFERED * 12 / 10, "{calls} for {OFFERED}, every {nth}th fails");
        assert!(calls > OFFERED * 11 / 10, "{calls}: the budget is there to be used");
        // The ten a second that are allowed by default are a part of it.
        let calls = load(nth, RecentBudget::DEFAULT, true).await;
        assert!(calls <= OFFERED * 12 / 10, "{calls} for {OFFERED}, every {nth}th fails");
    }
}

#[tokio::test(start_paused = true)]
async fn without_handing_on_the_budgets_multiply() {
    // What the guard across hops is for: 1.2 at each of four hops is 2.07.
    let calls = load(1, RecentBudget::DEFAULT, false).await;
    assert!(calls > OFFERED * 19 / 10, "{calls} for {OFFERED}");
}
