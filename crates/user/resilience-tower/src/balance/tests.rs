use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use tower::{Layer, ServiceExt};

use super::*;
use crate::error::Error;
use crate::retry::{Retry, RetrySettings};
use crate::settings::{
    BudgetSettings, OutlierSettings, PickerKind, RecentBudget, SlowStartSettings,
};
use crate::tests::{Heard, TestError, begin, hanging, ms, secs};

const ROUND_ROBIN: BalanceSettings =
    BalanceSettings { picker: PickerKind::RoundRobin, ..BalanceSettings::DEFAULT };

/// Endpoints whose service is their own name.
fn named(
    settings: BalanceSettings,
    names: &[&'static str],
) -> Endpoints<&'static str, &'static str> {
    let endpoints = Endpoints::new(settings);
    names.iter().for_each(|name| endpoints.insert(*name, *name));
    endpoints
}

/// Who answers.
async fn ask(endpoints: &Endpoints<&'static str, &'static str>) -> Result<&'static str, TestError> {
    endpoints.call(async |name| Ok(name)).await
}

/// Asks so often; how often each answered, where `bad` only fails.
async fn ask_often(
    endpoints: &Endpoints<&'static str, &'static str>,
    times: u32,
    bad: &str,
) -> BTreeMap<&'static str, u32> {
    let mut asked = BTreeMap::new();
    for _ in 0..times {
        let call = endpoints.call(async |name| {
            *asked.entry(name).or_default() += 1;
            if name == bad { Err("reset") } else { Ok(name) }
        });
        let _ = call.await;
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_over_all_endpoints() {
    let endpoints = named(ROUND_ROBIN, &["a", "b", "c"]);
    let asked = ask_often(&endpoints, 300, "").await;
    assert_eq!(asked, BTreeMap::from([("a", 100), ("b", 100), ("c", 100)]));
    endpoints.insert_at("a", "a", Place::DEFAULT.weight(3.0));
    endpoints.insert_at("c", "c", Place::DEFAULT.weight(0.0));
    let asked = ask_often(&endpoints, 400, "").await;
    assert_eq!(asked, BTreeMap::from([("a", 300), ("b", 100)]));
}

#[tokio::test(start_paused = true)]
async fn without_an_endpoint_calls_are_refused() {
    let heard = Heard::default();
    let endpoints = named(ROUND_ROBIN, &[]).observed_by(heard.clone());
    assert_eq!(ask(&endpoints).await, Err(Refused::NoEndpoint { known: 0 }.into()));
    endpoints.insert_at("a", "a", Place::DEFAULT.weight(0.0));
    assert_eq!(ask(&endpoints).await, Err(Refused::NoEndpoint { known: 1 }.into()));
    assert_eq!(heard.events().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_ejected_and_comes_back() {
    let heard = Heard::default();
    let endpoints = named(ROUND_ROBIN, &["a", "b", "c"]).observed_by(heard.clone());
    let asked = ask_often(&endpoints, 300, "b").await;
    assert_eq!(asked["b"], 5);
    assert_eq!((endpoints.ejected(), endpoints.len()), (1, 3));
    assert_eq!(heard.events(), [r#"Ejected { endpoint: "b", duration: 30s, count: 1 }"#]);

    tokio::time::advance(secs(31)).await;
    assert_eq!(endpoints.ejected(), 0);
    let asked = ask_often(&endpoints, 300, "").await;
    assert_eq!(asked, BTreeMap::from([("a", 100), ("b", 100), ("c", 100)]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_on_probation_gets_one_call_until_that_has_ended() {
    let outlier = OutlierSettings { consecutive: Some(1), ..OutlierSettings::LINKERD_CONSECUTIVE };
    let endpoints = named(BalanceSettings { outlier, ..ROUND_ROBIN }, &["a", "b"]);
    ask_often(&endpoints, 10, "b").await;
    assert_eq!(endpoints.ejected(), 1);
    tokio::time::advance(secs(2)).await;
    // Calls that do not end: one of them goes to b, all others to a.
    let asked = RefCell::new(BTreeMap::new());
    let hang = async |name: &'static str| {
        *asked.borrow_mut().entry(name).or_insert(0) += 1;
        std::future::pending::<Result<(), TestError>>().await
    };
    let mut running: Vec<_> = (0..20).map(|_| Box::pin(endpoints.call(hang))).collect();
    for call in &mut running {
        begin(call).await;
    }
    assert_eq!(*asked.borrow(), BTreeMap::from([("a", 19), ("b", 1)]));
}

#[tokio::test(start_paused = true)]
async fn refusals_further_in_eject_nobody() {
    let endpoints = named(ROUND_ROBIN, &["a", "b"]);
    for _ in 0..100 {
        let refused = async |_| Err::<(), TestError>(Refused::Busy { limit: 1 }.into());
        let _ = endpoints.call(refused).await;
    }
    assert_eq!(endpoints.ejected(), 0);
}

#[tokio::test(start_paused = true)]
async fn replacing_keeps_what_is_known_of_those_that_stay() {
    let endpoints = named(ROUND_ROBIN, &["a", "b", "c"]);
    ask_often(&endpoints, 100, "b").await;
    assert_eq!(endpoints.ejected(), 1);
    endpoints.replace([("b", "b"), ("d", "d")]);
    assert_eq!(endpoints.keys(), ["b", "d"]);
    let asked = ask_often(&endpoints, 100, "").await;
    assert_eq!(asked, BTreeMap::from([("d", 100)]));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_no_longer_counts_as_load() {
    let (client, calls) = hanging();
    let endpoints = Endpoints::new(BalanceSettings::DEFAULT); // the less busy
    endpoints.insert("a", client.clone());
    let balance = Balance::new(endpoints.clone());
    let mut running: Vec<_> = (0..10).map(|n| Box::pin(balance.clone().oneshot(n))).collect();
    for call in &mut running {
        begin(call).await;
    }
    assert_eq!((calls.get(), endpoints.calls(&"a")), (10, Some(10)));
    drop(running);
    assert_eq!((calls.get(), endpoints.calls(&"a")), (0, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn the_quicker_endpoint_gets_more_by_peak_ewma() {
    let settings = BalanceSettings { picker: PickerKind::PeakEwma, ..BalanceSettings::DEFAULT };
    let endpoints = named(settings, &["slow", "quick"]);
    let mut asked = BTreeMap::new();
    for _ in 0..200 {
        let call = endpoints.call(async |name| {
            *asked.entry(name).or_insert(0) += 1;
            tokio::time::sleep(ms(if name == "slow" { 100 } else { 5 })).await;
            Ok::<_, TestError>(name)
        });
        call.await.unwrap();
    }
    assert!(asked["quick"] > 150, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn who_fails_quickly_is_not_taken_for_quick() {
    let picker = PickerKind::PeakEwma;
    let outlier = OutlierSettings::NONE;
    let endpoints = named(BalanceSettings { picker, outlier, ..ROUND_ROBIN }, &["good", "bad"]);
    let mut asked = BTreeMap::new();
    for _ in 0..200 {
        let call = endpoints.call(async |name| {
            *asked.entry(name).or_insert(0) += 1;
            if name == "bad" {
                return Err(Error::Inner("reset"));
            }
            tokio::time::sleep(ms(20)).await;
            Ok::<_, TestError>(name)
        });
        let _ = call.await;
    }
    assert!(asked["good"] > 190, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_warms_up() {
    let slow_start = Some(SlowStartSettings::linear(secs(100)));
    let endpoints = named(BalanceSettings { slow_start, ..ROUND_ROBIN }, &["old"]);
    tokio::time::advance(secs(100)).await;
    endpoints.insert("new", "new");
    tokio::time::advance(secs(25)).await;
    let asked = ask_often(&endpoints, 500, "").await;
    assert!((98..=102).contains(&asked["new"]), "a quarter of the other's share: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn equal_keys_go_to_the_same_endpoint() {
    let picker = PickerKind::Rendezvous;
    let endpoints = Endpoints::new(BalanceSettings { picker, ..BalanceSettings::DEFAULT });
    for name in ["a", "b", "c", "d"] {
        let client = tower::service_fn(move |_: String| async move { Ok::<_, TestError>(name) });
        endpoints.insert(name, client);
    }
    let balance = Balance::new(endpoints).hinted_by(KeyHints(|user: &String| Some(user.clone())));
    let mut seen = BTreeSet::new();
    for user in 0..50 {
        let ask = async || balance.clone().oneshot(user.to_string()).await.unwrap();
        let first = ask().await;
        assert_eq!((ask().await, ask().await), (first, first), "user {user}");
        seen.insert(first);
    }
    assert_eq!(seen.len(), 4);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_another_endpoint() {
    let client = |status: u16| {
        tower::service_fn(move |_: http::Request<()>| async move {
            Ok::<_, TestError>(http::Response::builder().status(status).body(()).unwrap())
        })
    };
    let outlier = OutlierSettings::NONE;
    let endpoints = Endpoints::http(BalanceSettings { outlier, ..BalanceSettings::DEFAULT });
    for bad in 0..8 {
        endpoints.insert(bad, client(503));
    }
    endpoints.insert(8, client(200));
    let budget = BudgetSettings::Recent(RecentBudget { ratio: 9.0, ..RecentBudget::DEFAULT });
    let settings = RetrySettings { attempts: 9, budget, ..RetrySettings::DEFAULT };
    let balance = Balance::new(endpoints).hinted_by(HttpHints);
    let client = Retry::http(settings).layer(balance);
    // Nine attempts at nine endpoints find the one that works, each time.
    for _ in 0..30 {
        let answer = client.clone().oneshot(http::Request::new(())).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_is_followed() {
    let endpoints = named(ROUND_ROBIN, &[]);
    let changes = tokio_stream::iter([
        Ok(Change::Insert("a", "a")),
        Ok(Change::Insert("b", "b")),
        Ok(Change::Remove("a")),
        Err("the registry is down"),
        Ok(Change::Remove("b")),
    ]);
    assert_eq!(endpoints.follow(changes).await, Err("the registry is down"));
    // What was known last still holds.
    assert_eq!(ask(&endpoints).await, Ok("b"));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Remove(u8),
    Fail(u8),
    Pass(u64),
    Ask,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0u8..6).prop_map(Step::Insert),
        2 => (0u8..6).prop_map(Step::Remove),
        1 => (0u8..6).prop_map(Step::Fail),
        1 => (0u64..40).prop_map(Step::Pass),
        4 => Just(Step::Ask),
    ];
    prop::collection::vec(step, 0..120)
}

fn pickers() -> impl Strategy<Value = PickerKind> {
    use crate::settings::{MaglevSettings, RingHashSettings};
    prop_oneof![
        Just(PickerKind::RoundRobin),
        Just(PickerKind::LeastRequest),
        Just(PickerKind::PeakEwma),
        Just(PickerKind::Random),
        Just(PickerKind::Rendezvous),
        Just(PickerKind::RingHash(RingHashSettings { size_min: 64, ..RingHashSettings::DEFAULT })),
        Just(PickerKind::Maglev(MaglevSettings { size: 67, ..MaglevSettings::DEFAULT })),
    ]
}

proptest! {
    /// Whatever happens to the set, a call goes to an endpoint that is in it, and there is one as
    /// long as one is usable.
    #[test]
    fn a_removed_endpoint_is_never_picked(picker in pickers(), steps in steps()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let endpoints = Endpoints::new(BalanceSettings { picker, ..BalanceSettings::DEFAULT });
            let mut model = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Insert(key) => {
                        endpoints.insert(key, key);
                        model.insert(key);
                    }
                    Step::Remove(key) => assert_eq!(endpoints.remove(&key), model.remove(&key)),
                    Step::Fail(bad) => {
                        for _ in 0..12 {
                            let _ = endpoints
                                .call(async |key| if key == bad { Err("reset") } else { Ok(()) })
                                .await;
                        }
                    }
                    Step::Pass(secs) => tokio::time::advance(Duration::from_secs(secs)).await,
                    Step::Ask => match endpoints.call(async |key| Ok::<u8, &str>(key)).await {
                        Ok(key) => assert!(model.contains(&key), "{key} not in {model:?}"),
                        Err(_) => assert!(endpoints.ejected() >= model.len(), "{model:?}"),
                    },
                }
            }
        });
    }
}
