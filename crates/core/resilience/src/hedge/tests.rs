use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::rng::Rng;
use crate::virtual_clock::{ms, secs, start};

const SETTINGS: HedgeSettings = HedgeSettings::DEFAULT;

/// One that has seen latencies of 1 to 1,000 ms.
fn warm(settings: HedgeSettings, epoch: Instant) -> Hedge {
    let hedge = Hedge::new(settings, epoch);
    (1..=1_000).for_each(|millis| hedge.observe(epoch, ms(millis)));
    hedge
}

#[test]
fn the_delay_is_the_quantile_of_late() {
    let epoch = start();
    for (quantile, expected) in [(0.95, 950), (0.5, 500), (0.99, 990)] {
        let hedge = warm(HedgeSettings { quantile, ..SETTINGS }, epoch);
        let delay = hedge.request(epoch).expect("enough is known");
        assert!(delay.abs_diff(ms(expected)) < ms(expected) / 25, "{delay:?}");
    }
    let hedge = warm(SETTINGS, epoch);
    assert!(hedge.request(epoch + secs(20)).is_some());
    assert_eq!(hedge.request(epoch + secs(31)), None, "all has left the window");
}

#[test]
fn too_few_latencies_are_none() {
    let epoch = start();
    let hedge = Hedge::new(HedgeSettings { samples_min: 3, ..SETTINGS }, epoch);
    hedge.observe(epoch, ms(5));
    hedge.observe(epoch, ms(5));
    assert_eq!(hedge.request(epoch), None);
    hedge.observe(epoch, ms(5));
    assert_eq!(hedge.request(epoch + ms(599)), None, "it looks at times only");
    assert!(hedge.request(epoch + ms(600)).is_some());
}

#[test]
fn the_delay_has_bounds() {
    let epoch = start();
    let delay = |delay_min, delay_max| {
        warm(HedgeSettings { delay_min, delay_max, ..SETTINGS }, epoch).request(epoch)
    };
    assert_eq!(delay(secs(2), secs(9)), Some(secs(2)));
    assert_eq!(delay(ms(0), ms(30)), Some(ms(30)));
}

#[test]
fn second_tries_are_a_share_of_requests() {
    let epoch = start();
    let settings = HedgeSettings { budget_ratio: 0.05, burst: 10, ..SETTINGS };
    let hedge = Hedge::new(settings, epoch);
    let hedges = |requests: u32| {
        (0..requests).for_each(|_| assert_eq!(hedge.request(epoch), None));
        (0..1_000).filter(|_| hedge.try_hedge()).count()
    };
    assert_eq!(hedges(0), 10, "one burst");
    assert_eq!(hedges(19), 0);
    assert_eq!(hedges(1), 1, "one of twenty");
    assert_eq!(hedges(100), 5);
    assert_eq!(hedges(100_000), 10, "no more than a burst is saved up");
}

#[test]
fn a_budget_of_nothing_is_no_second_try() {
    let epoch = start();
    for budget_ratio in [0.0, -1.0, f64::NAN] {
        let hedge = warm(HedgeSettings { budget_ratio, ..SETTINGS }, epoch);
        assert!((0..1_000).all(|_| hedge.request(epoch).is_some()));
        assert!(!hedge.try_hedge(), "{budget_ratio}");
    }
}

#[test]
fn nothing_is_saved_up_beyond_the_burst() {
    let epoch = start();
    let settings = HedgeSettings { budget_ratio: 0.3, burst: 1, ..SETTINGS };
    let hedge = Hedge::new(settings, epoch);
    let after = |requests: u32| {
        (0..requests).for_each(|_| assert_eq!(hedge.request(epoch), None));
        hedge.try_hedge()
    };
    assert!(after(0) && after(4), "four earn one and a fifth, of which one is kept");
    assert!(!after(3) && after(1));
}

/// A service of which one answer in fifty hangs: with a second try for one request in twenty nearly
/// all of the tail is gone.
#[test]
fn the_tail_is_cut_within_the_budget() {
    let (epoch, rng) = (start(), Rng::new(5));
    let hedge = Hedge::new(SETTINGS, epoch);
    let latency = || match rng.ratio() < 0.02 {
        true => secs(1),
        false => ms(10) + Duration::from_micros(rng.below(10_000) as u64),
    };
    let (mut slow, mut hedged) = (0, 0);
    for step in 0..50_000u64 {
        let now = epoch + ms(step);
        let delay = hedge.request(now);
        let first = latency();
        let took = match delay.filter(|delay| first > *delay && hedge.try_hedge()) {
            Some(delay) => {
                hedged += 1;
                let second = latency();
                hedge.observe(now, second);
                first.min(delay + second)
            }
            None => first,
        };
        hedge.observe(now, first.min(took));
        slow += usize::from(took > ms(50));
    }
    assert!((1_000..3_000).contains(&hedged), "{hedged}");
    // A thousand without.
    assert!(slow < 60, "{slow}");
}

proptest! {
    /// In any order of events: never more than a burst and the share of all requests so far.
    #[test]
    fn second_tries_never_exceed_the_budget(
        percent in 0u32..=100,
        burst in 0u32..20,
        events in proptest::collection::vec(proptest::bool::ANY, 0..400),
    ) {
        let epoch = start();
        let budget_ratio = f64::from(percent) / 100.0;
        let hedge = Hedge::new(HedgeSettings { budget_ratio, burst, ..SETTINGS }, epoch);
        let (mut requests, mut hedges) = (0.0, 0.0);
        for request in events {
            if request {
                prop_assert_eq!(hedge.request(epoch), None);
                requests += 1.0;
            } else if hedge.try_hedge() {
                hedges += 1.0;
            }
            prop_assert!(hedges <= f64::from(burst.max(1)) + requests * budget_ratio + 1e-9);
        }
    }
}

#[test]
fn threads_share_one_budget() {
    let epoch = start();
    let hedge = Hedge::new(SETTINGS, epoch);
    let sent = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let count = (0..1_000).filter(|_| hedge.try_hedge()).count();
                sent.fetch_add(count as u64, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(sent.into_inner(), 10);
}
