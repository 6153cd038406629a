use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_model::backend::Endpoint as Listed;
use weft_model::calling::{Distribute, Locality, LocalityOrder};
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{
    MaglevSettings, OutlierSettings, RingHashSettings, SlowStartSettings,
};
use weft_runtime::time;

use super::*;
use crate::backend::Backend;
use crate::backends::{Backends, PreparedBackend};
use crate::call::Ask;
use crate::shared::Shared;
use crate::testing::{addr, backend, calling, get, prepared, worker};

/// Shares of places follow health after this.
const A_LOOK: Duration = Duration::from_millis(20);

/// By port: weight, locality and tier.
fn placed(all: &[(u16, u32, &str, u8)], change: impl FnOnce(&mut Calling)) -> PreparedBackend {
    let listed = all.iter().map(|(port, weight, locality, tier)| Listed {
        weight: *weight,
        locality: Some((*locality).into()),
        tier: *tier,
        ..Listed::new(addr(*port))
    });
    let addrs: Vec<_> = all.iter().map(|(port, ..)| addr(*port)).collect();
    let made = calling(backend("shop", &addrs), change);
    PreparedBackend { endpoints: listed.collect(), ..made }
}

fn shop(worker: &Backends) -> Rc<Backend> {
    get(worker, "shop")
}

fn one(prepared: PreparedBackend) -> (Backends, Rc<Backend>) {
    let worker = worker(&Shared::new(time::now()), [prepared]);
    let shop = shop(&worker);
    (worker, shop)
}

/// How often each port is picked, by these keys.
fn by_key(
    shop: &Rc<Backend>,
    now: Instant,
    keys: impl Iterator<Item = Option<u64>>,
) -> BTreeMap<u16, usize> {
    let (rng, tried, mut counts) = (Rng::new(7), Tried::default(), BTreeMap::new());
    for key in keys {
        let ask = Ask { key, ..Ask::new(now, &tried) };
        let lease = shop.pick(&ask, &rng).expect("there is one");
        *counts.entry(lease.endpoint().addr().port()).or_default() += 1;
    }
    counts
}

fn shares(shop: &Rc<Backend>, now: Instant, picks: usize) -> BTreeMap<u16, usize> {
    by_key(shop, now, (0..picks).map(|_| None))
}

fn set_healthy(worker: &Backends, port: u16, healthy: bool) {
    let shared = &worker.environment().shared;
    shared.endpoint(&BackendId::new("shop"), addr(port), None).set_healthy(healthy);
}

fn near_first(calling: &mut Calling) {
    let order = LocalityOrder::Place;
    calling.locality = Some(Arc::new(Locality { order, ..Locality::default() }));
}

#[test]
fn the_nearest_take_all_while_they_can_and_no_outlier_detection_is_needed_for_it() {
    let all = [(1, 1, "eu/a", 0), (2, 1, "eu/a", 0), (3, 1, "eu/b", 1), (4, 1, "us/c", 2)];
    let (worker, shop) = one(placed(&all, near_first));
    let mut now = time::now();
    assert_eq!(shares(&shop, now, 100), BTreeMap::from([(1, 50), (2, 50)]));
    now += A_LOOK;
    // Half of them times 140 % carry 70 %; the rest goes to the next.
    set_healthy(&worker, 1, false);
    let counts = shares(&shop, now, 1_000);
    assert!((640..760).contains(&counts[&2]) && counts[&3] == 1_000 - counts[&2], "{counts:?}");
    set_healthy(&worker, 2, false);
    set_healthy(&worker, 3, false);
    now += A_LOOK;
    assert_eq!(shares(&shop, now, 10), BTreeMap::from([(4, 10)]));
    set_healthy(&worker, 1, true);
    set_healthy(&worker, 2, true);
    now += A_LOOK;
    assert_eq!(shares(&shop, now, 10).keys().max(), Some(&2));
}

#[test]
fn without_a_word_about_places_all_endpoints_are_alike() {
    let (_worker, shop) = one(placed(&[(1, 1, "eu/a", 0), (2, 1, "us/c", 2)], |_| {}));
    assert_eq!(shares(&shop, time::now(), 10), BTreeMap::from([(1, 5), (2, 5)]));
}

#[test]
fn a_distribution_holds_by_place_whatever_the_endpoints_there() {
    let to = vec![("eu/a".into(), 80), ("eu/b".into(), 20)];
    let distributed = |calling: &mut Calling| {
        let distribute = vec![Distribute { from: "eu/a".into(), to }];
        calling.locality = Some(Arc::new(Locality { distribute, ..Locality::default() }));
    };
    // Two of one place share its 80, one of the other has its 20.
    let all = [(1, 40, "eu/a", 0), (2, 40, "eu/a", 0), (3, 20, "eu/b", 0)];
    let (worker, shop) = one(placed(&all, distributed));
    let now = time::now();
    let counts = shares(&shop, now, 2_000);
    assert!((340..460).contains(&counts[&3]), "{counts:?}");
    // Half of a place carries 70 % of its load by itself: not in proportion to what is left.
    set_healthy(&worker, 1, false);
    let counts = shares(&shop, now + A_LOOK, 2_000);
    let expected = 2_000.0 * 80.0 * 0.7 / (80.0 * 0.7 + 20.0);
    assert!((counts[&2] as f64 - expected).abs() < 100.0, "{counts:?}, not {expected}");
}

#[test]
fn a_retry_goes_to_another_place_where_that_is_wanted() {
    let (_worker, shop) =
        one(placed(&[(1, 1, "eu/a", 0), (2, 1, "eu/a", 0), (3, 1, "us/c", 1)], near_first));
    let (now, rng, mut tried) = (time::now(), Rng::new(7), Tried::default());
    let first = shop.pick(&Ask::new(now, &tried), &rng).expect("there is one");
    tried.note(&first);
    let near = shop.pick(&Ask::new(now, &tried), &rng).expect("there is another");
    assert!(near.endpoint().addr().port() <= 2);
    let ask = Ask { elsewhere: true, ..Ask::new(now, &tried) };
    assert_eq!(shop.pick(&ask, &rng).expect("there is another").endpoint().addr(), addr(3));
}

#[test]
fn with_too_few_usable_all_are_used() {
    let settings =
        OutlierSettings { usable_ratio_min: 0.5, ejected_ratio_max: 1.0, ..OutlierSettings::ISTIO };
    let all: Vec<_> = (1..=4).map(|port| (port, 1, "eu/a", 0)).collect();
    let (_worker, shop) = one(placed(&all, |calling| calling.outlier = Some(settings)));
    let now = time::now();
    let fail = |port: u16| {
        for _ in 0..5 {
            let tried = Tried::default();
            let found = shop.pick_where(&Ask::new(now, &tried), |one| one.addr() == addr(port));
            let lease = found.expect("there is no bound").expect("it is usable");
            lease.failed(now, Reason::ConnectFailed);
        }
    };
    fail(1);
    fail(2);
    assert_eq!(shares(&shop, now, 10), BTreeMap::from([(3, 5), (4, 5)]), "half are enough");
    fail(3);
    assert_eq!(shares(&shop, now, 40).len(), 4, "a quarter are not");
}

#[test]
fn keys_stay_with_their_endpoint_when_others_come_and_go() {
    for kind in [
        PickerKind::RingHash(RingHashSettings::DEFAULT),
        PickerKind::Maglev(MaglevSettings { size: 5_003, ..MaglevSettings::DEFAULT }),
        PickerKind::Rendezvous,
    ] {
        let with = |ports: std::ops::RangeInclusive<u16>| {
            let all: Vec<_> = ports.map(|port| (port, 1, "eu/a", 0)).collect();
            placed(&all, |calling| calling.picker = kind)
        };
        let (worker, shop) = one(with(1..=10));
        let (now, rng, tried) = (time::now(), Rng::new(7), Tried::default());
        let place = |key| {
            let ask = Ask { key: Some(key), ..Ask::new(now, &tried) };
            shop.pick(&ask, &rng).expect("there is one").endpoint().addr().port()
        };
        let keys: Vec<u64> = (0..2_000).map(|_| rng.word()).collect();
        let places = || -> Vec<u16> { keys.iter().map(|key| place(*key)).collect() };
        let before = places();
        assert_eq!(before, places(), "{kind:?}: the same key goes to the same endpoint");
        let moved = |after: &[u16]| before.iter().zip(after).filter(|(a, b)| a != b).count();
        // One of them is unhealthy: its keys move, few others do.
        let its = before.iter().filter(|port| **port == 4).count();
        set_healthy(&worker, 4, false);
        assert!(moved(&places()) <= its + 40, "{kind:?}: {} of {its}", moved(&places()));
        set_healthy(&worker, 4, true);
        assert_eq!(before, places(), "{kind:?}: they come back");
        // One more takes about an eleventh of all.
        worker.reconcile(prepared([with(1..=11)]), now);
        let after = places();
        assert!((80..400).contains(&moved(&after)), "{kind:?}: {}", moved(&after));
        assert!(after.contains(&11), "{kind:?}: the table is that of the new list");
    }
}

#[test]
fn a_bound_on_load_spreads_a_hot_key() {
    let bounded = RingHashSettings { load_max_percent: Some(150), ..RingHashSettings::DEFAULT };
    let all: Vec<_> = (1..=4).map(|port| (port, 1, "eu/a", 0)).collect();
    let kind = PickerKind::RingHash(bounded);
    let (_worker, shop) = one(placed(&all, |calling| calling.picker = kind));
    let (now, rng, tried) = (time::now(), Rng::new(7), Tried::default());
    let ask = Ask { key: Some(7), ..Ask::new(now, &tried) };
    let leases: Vec<_> = (0..40).map(|_| shop.pick(&ask, &rng).expect("there is one")).collect();
    let busiest = shop.endpoints().iter().map(|endpoint| endpoint.in_flight()).max();
    assert!(busiest <= Some(16), "one has {busiest:?} of 40, more than 1.5 times its share");
    drop(leases);
}

#[test]
fn a_share_grows_as_fast_as_is_wanted() {
    let slow = |aggression: f64, ports: std::ops::RangeInclusive<u16>| {
        let all: Vec<_> = ports.map(|port| (port, 1, "eu/a", 0)).collect();
        placed(&all, |calling| {
            calling.slow_start = SlowStartSettings {
                aggression,
                ..SlowStartSettings::linear(Duration::from_secs(100))
            };
        })
    };
    let share_at_quarter = |aggression: f64| {
        let (worker, shop) = one(slow(aggression, 1..=1));
        let now = time::now() + Duration::from_secs(1_000);
        worker.reconcile(prepared([slow(aggression, 1..=2)]), now);
        shares(&shop, now + Duration::from_secs(25), 300)[&2]
    };
    assert_eq!(share_at_quarter(1.0), 60, "0.25 of 1.25");
    assert_eq!(share_at_quarter(2.0), 100, "the root of it, 0.5 of 1.5");
}

#[test]
fn who_recovers_begins_with_a_small_share() {
    let all = [(1, 1, "eu/a", 0), (2, 1, "eu/a", 0)];
    let (worker, shop) = one(placed(&all, |calling| {
        calling.slow_start = SlowStartSettings::linear(Duration::from_secs(1_000));
    }));
    assert_eq!(shares(&shop, time::now(), 110), BTreeMap::from([(1, 55), (2, 55)]));
    set_healthy(&worker, 2, true);
    assert_eq!(shares(&shop, time::now(), 110)[&2], 55, "it was well");
    set_healthy(&worker, 2, false);
    set_healthy(&worker, 2, true);
    assert_eq!(shares(&shop, time::now(), 110)[&2], 10);
    let later = time::now() + Duration::from_secs(1_000);
    assert_eq!(shares(&shop, later, 110)[&2], 55);
}
