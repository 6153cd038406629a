//! Once warm, no decision on the path of a request allocates.

#![allow(clippy::disallowed_methods, reason = "std has no other way to make an instant")]

use std::time::{Duration, Instant};

use weft_resilience::adaptive::AdaptiveLimit;
use weft_resilience::bucket::{ClientBuckets, TokenBucket};
use weft_resilience::hedge::Hedge;
use weft_resilience::limits::{Bound, Limits};
use weft_resilience::load::{InFlightLoad, PeakEwma};
use weft_resilience::outlier::{EndpointHealth, Outlier, Signal};
use weft_resilience::pick::{Ask, Candidates, Picker};
use weft_resilience::retry::RetryBudget;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BudgetSettings, HedgeSettings, LimitSettings,
    LoadReportSettings, LocalitySettings, MaglevSettings, OutlierSettings, PickerKind,
    RateSettings, RingHashSettings,
};

/// Rounds before anything is counted, and those that are.
const ROUNDS: u64 = 2_000;

/// Fails if a round of `decide` allocates. Each has its own number and a moment of its own.
#[track_caller]
fn check(what: &str, decide: impl Fn(u64, Instant)) {
    let start = Instant::now();
    let play = |rounds: std::ops::Range<u64>| {
        rounds.for_each(|round| decide(round, start + Duration::from_millis(round)));
    };
    play(0..ROUNDS);
    let counted = allocation_counter::measure(|| play(ROUNDS..2 * ROUNDS));
    assert_eq!(counted.count_total, 0, "{what}");
}

/// Endpoints in two tiers of two localities, of which each is unusable at times.
struct Endpoints {
    len: usize,
    round: std::cell::Cell<u64>,
    versioned: bool,
}

impl Candidates for Endpoints {
    fn len(&self) -> usize {
        self.len
    }

    fn weight(&self, index: usize) -> f64 {
        1.0 + (index % 3) as f64
    }

    fn usable(&self, index: usize) -> bool {
        !(index as u64 + self.round.get() / 16).is_multiple_of(5)
    }

    fn load(&self, index: usize) -> f64 {
        (index as u64 + self.round.get()) as f64 % 7.0
    }

    fn hash(&self, index: usize) -> u64 {
        weft_resilience::hash::stable(&index.to_le_bytes())
    }

    fn reported_weight(&self, index: usize) -> Option<f64> {
        Some(100.0 + (index as u64 * 31 + self.round.get()) as f64 % 50.0)
    }

    fn tier(&self, index: usize) -> u32 {
        (index % 4 / 2) as u32
    }

    fn locality(&self, index: usize) -> u32 {
        (index % 2) as u32
    }

    fn version(&self) -> Option<u64> {
        self.versioned.then_some(1)
    }
}

#[test]
fn pickers_do_not_allocate() {
    let ring = RingHashSettings { load_max_percent: Some(125), ..RingHashSettings::DEFAULT };
    for kind in [
        PickerKind::RoundRobin,
        PickerKind::LeastRequest,
        PickerKind::PeakEwma,
        PickerKind::Random,
        PickerKind::Rendezvous,
        PickerKind::RingHash(ring),
        PickerKind::Maglev(MaglevSettings::DEFAULT),
        PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT),
    ] {
        let weighted = LocalitySettings { weighted: true, ..LocalitySettings::DEFAULT };
        let panicking = Picker::new(kind).with_panic_ratio(0.5);
        for picker in [Picker::new(kind), panicking, Picker::new(kind).with_locality(weighted)] {
            for (len, versioned) in [(5, false), (60, true)] {
                let endpoints = Endpoints { len, round: 0.into(), versioned };
                let rng = Rng::new(1);
                check(&format!("{picker:?} of {len}"), |round, now| {
                    endpoints.round.set(round);
                    let ask = Ask { key: Some(round % 90), ..Ask::new(now) };
                    let first = picker.pick(&endpoints, &ask, &rng).expect("most are usable");
                    let elsewhere = round % 2 == 0;
                    let again = Ask { tried: &[first], elsewhere, ..ask };
                    let second = picker.pick(&endpoints, &again, &rng);
                    assert!(second.is_some_and(|second| second != first));
                });
            }
        }
    }
}

#[test]
fn limits_and_budgets_do_not_allocate() {
    let epoch = Instant::now();
    let limits = Limits::new(LimitSettings { requests: Some(1), ..LimitSettings::default() });
    check("limits", |_, _| {
        let _permit = limits.acquire(Bound::Requests).expect("one is free");
        assert!(limits.acquire(Bound::Requests).is_err());
    });
    let adaptive = AdaptiveLimit::new(AdaptiveSettings::DEFAULT, epoch);
    check("an adaptive limit", |_, now| {
        adaptive.acquire(now).expect("one is free").complete(now + Duration::from_millis(3));
    });
    for settings in [BudgetSettings::DEFAULT, BudgetSettings::Active(ActiveBudget::DEFAULT)] {
        let budget = RetryBudget::new(settings, epoch);
        check("a budget", |_, now| drop((budget.request(now), budget.try_retry(now))));
    }
    let hedge = Hedge::new(HedgeSettings::DEFAULT, epoch);
    check("hedging", |round, now| {
        hedge.observe(now, Duration::from_millis(round % 100));
        let _ = (hedge.request(now), hedge.try_hedge());
    });
    let rate = RateSettings { average: 100, period: Duration::from_secs(1), burst: 10 };
    let (bucket, overrides) = (TokenBucket::new(rate, epoch), [(["jobs"], rate)]);
    let clients = ClientBuckets::new(Some(rate), Some(rate), overrides, epoch, [1, 2]);
    check("buckets", |_, now| {
        let _ = (bucket.take(now), clients.take(Some("jobs"), now), clients.take(None, now));
    });
}

#[test]
fn health_and_load_do_not_allocate() {
    let epoch = Instant::now();
    for settings in [OutlierSettings::ISTIO, OutlierSettings::LINKERD_UNIFIED] {
        let (outlier, endpoint) = (Outlier::new(settings, 3), EndpointHealth::new(epoch));
        check("outliers", |round, now| {
            let status = if round % 9 < 7 { 503 } else { 200 };
            if endpoint.is_usable(now) && endpoint.begin(now) {
                outlier.record(&endpoint, now, Signal::Status(status));
            }
        });
    }
    let (latency, in_flight) = (PeakEwma::new(PeakEwma::DECAY, epoch), InFlightLoad::new());
    check("load", |round, now| {
        let _pending = (latency.begin(), in_flight.begin());
        latency.observe(now, Duration::from_millis(round % 10));
        assert!(latency.cost(now) > 0.0 || round == 0);
    });
}
