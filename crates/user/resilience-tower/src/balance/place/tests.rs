use std::collections::BTreeMap;

use super::*;
use crate::balance::{BalanceSettings, Endpoints, Tried, Wanted};
use crate::settings::{LocalitySettings, OutlierSettings};
use crate::tests::{ms, secs};

/// Sets aside whatever fails once, and as many as do.
const STRICT: OutlierSettings =
    OutlierSettings { consecutive: Some(1), ejected_ratio_max: 1.0, ..OutlierSettings::ISTIO };

type Named = Endpoints<&'static str, &'static str>;

/// Endpoints whose service is their own name, each with its tier and locality.
fn placed(
    settings: BalanceSettings,
    all: impl IntoIterator<Item = (&'static str, u32, &'static str)>,
) -> Named {
    let endpoints = Endpoints::new(settings);
    endpoints.replace_at(
        all.into_iter().map(|(name, tier, locality)| {
            (name, name, Place::DEFAULT.tier(tier).locality(locality))
        }),
    );
    endpoints
}

/// How often each of a thousand calls goes where, of which those to `bad` fail. Time goes on.
async fn shares(endpoints: &Named, bad: &[&str]) -> BTreeMap<&'static str, u32> {
    let mut asked = BTreeMap::new();
    for _ in 0..1_000 {
        tokio::time::advance(ms(1)).await;
        let call = endpoints.call(async |name| {
            *asked.entry(name).or_default() += 1;
            if bad.contains(&name) { Err("reset") } else { Ok(()) }
        });
        let _ = call.await;
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn the_near_ones_take_all_until_they_fail_and_again_when_they_are_back() {
    let settings = BalanceSettings::DEFAULT.outlier(STRICT);
    let endpoints = placed(settings, [("a", 0, ""), ("b", 0, ""), ("far", 1, "")]);
    let asked = shares(&endpoints, &[]).await;
    assert_eq!(asked.get("far"), None);

    // One of two carries 70 %, by the usual overprovisioning of 140 %.
    shares(&endpoints, &["a"]).await;
    let far = shares(&endpoints, &[]).await["far"];
    assert!((250..=350).contains(&far), "{far} of 1000");

    shares(&endpoints, &["a", "b"]).await;
    assert_eq!(endpoints.ejected(), 2);
    assert_eq!(shares(&endpoints, &[]).await, BTreeMap::from([("far", 1_000)]));

    tokio::time::advance(secs(60)).await;
    assert_eq!(shares(&endpoints, &[]).await.get("far"), None);
}

#[tokio::test(start_paused = true)]
async fn localities_share_by_their_weights_and_not_by_their_endpoints_that_are_left() {
    let weighted = LocalitySettings { weighted: true, ..LocalitySettings::DEFAULT };
    let check = async |locality, expected: std::ops::RangeInclusive<u32>| {
        let settings = BalanceSettings::DEFAULT.outlier(STRICT).locality(locality);
        let all = ["a1", "a2", "a3", "a4"].map(|name| (name, 0, "a"));
        let endpoints = placed(settings, all);
        endpoints.insert_at("b", "b", Place::DEFAULT.locality("b").weight(4.0));
        let even = shares(&endpoints, &[]).await["b"];
        assert!((450..=550).contains(&even), "{even} of 1000");
        // Three of four are enough to carry the locality's share.
        shares(&endpoints, &["a1"]).await;
        let b = shares(&endpoints, &[]).await["b"];
        assert!(expected.contains(&b), "{b} of 1000, {locality:?}");
    };
    check(weighted, 450..=550).await;
    // Without regard to localities the others share alike: four of seven.
    check(LocalitySettings::DEFAULT, 521..=621).await;
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_leaves_the_place_of_the_first_if_it_is_to() {
    for (elsewhere, expected) in [(true, "far"), (false, "near")] {
        let settings = BalanceSettings::DEFAULT.elsewhere(elsewhere);
        let all = [("a", 0, ""), ("b", 0, ""), ("far", 1, "")];
        let endpoints = placed(settings, all);
        for _ in 0..20 {
            let tried = Tried::default();
            let wanted = Wanted::new().tried(&tried);
            let ask = async || endpoints.call_for(wanted, async |name| Ok::<_, &str>(name)).await;
            let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
            let second_is = if second == "far" { "far" } else { "near" };
            assert_eq!((first == second, second_is), (false, expected), "{first} {second}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn places_may_change() {
    let endpoints = placed(BalanceSettings::DEFAULT, [("a", 0, ""), ("b", 1, "")]);
    assert_eq!(shares(&endpoints, &[]).await, BTreeMap::from([("a", 1_000)]));
    endpoints.replace_at([("a", "a", Place::DEFAULT.tier(2)), ("b", "b", Place::DEFAULT.tier(1))]);
    assert_eq!(shares(&endpoints, &[]).await, BTreeMap::from([("b", 1_000)]));
    endpoints.replace([("a", "a"), ("b", "b")]);
    let a = shares(&endpoints, &[]).await["a"];
    assert!((400..=600).contains(&a), "{a} of 1000");
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn a_hedge_goes_elsewhere() {
    use tower::{Layer, ServiceExt, service_fn};

    use crate::balance::{Balance, HttpHints};
    use crate::settings::HedgeSettings;
    use crate::tests::TestError;
    use crate::{Hedge, clock};

    let endpoints = Endpoints::http(BalanceSettings::DEFAULT.elsewhere(true));
    for (name, tier, stuck) in [("a", 0, true), ("b", 0, true), ("far", 1, false)] {
        let client = service_fn(move |req: http::Request<()>| async move {
            if stuck && req.uri() == "/stuck" {
                tokio::time::sleep(secs(60)).await;
            }
            tokio::time::sleep(ms(10)).await;
            Ok::<_, TestError>(http::Response::new(name))
        });
        endpoints.insert_at(name, client, Place::DEFAULT.tier(tier));
    }
    let hedge = Hedge::http(HedgeSettings { samples_min: 10, ..HedgeSettings::DEFAULT });
    let client = hedge.layer(Balance::new(endpoints).hinted_by(HttpHints));
    let get = |path| client.clone().oneshot(http::Request::get(path).body(()).unwrap());
    for _ in 0..100 {
        assert_ne!(get("/").await.unwrap().into_body(), "far");
    }
    let begun = clock::now();
    assert_eq!(get("/stuck").await.unwrap().into_body(), "far");
    assert!(clock::now() - begun < secs(1));
}
