use std::collections::VecDeque;

use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::rng::Rng;
use crate::virtual_clock::{ms, secs, start};

#[test]
fn histogram_stays_within_two_kilobytes() {
    assert!(size_of::<[AtomicU32; BUCKETS]>() <= 2_048);
    assert_eq!(bucket_of(u32::MAX), BUCKETS - 1);
}

#[test]
fn buckets_follow_each_other_without_gaps() {
    let mut last = bucket_of(0);
    assert_eq!(last, 0);
    for value in (1..200_000).chain((200_000..u32::MAX - 9_000).step_by(9_001)) {
        let bucket = bucket_of(value);
        assert!(bucket >= last && (value > 200_000 || bucket <= last + 1), "{value}");
        last = bucket;
    }
}

/// The exact value at a share of sorted values.
fn exact(sorted: &[u32], ratio: f64) -> u32 {
    let rank = (sorted.len() as f64 * ratio).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn close(estimate: Duration, exact: u32) -> bool {
    let (estimate, exact) = (estimate.as_nanos() as f64 / 1_000.0, f64::from(exact));
    (estimate - exact).abs() <= exact / 31.0
}

proptest! {
    #[test]
    fn any_value_is_kept_within_its_precision(value: u32) {
        prop_assert!(close(value_of(bucket_of(value)), value));
    }

    #[test]
    fn quantiles_are_close_to_the_exact_ones(
        mut values in proptest::collection::vec(0u32..1 << 24, 1..300),
        ratio in 0.0..=1.0f64,
    ) {
        let histogram = Histogram::new();
        for &value in &values {
            histogram.record(Duration::from_micros(u64::from(value)));
        }
        values.sort_unstable();
        let estimate = histogram.quantile(ratio).unwrap_or_default();
        prop_assert!(close(estimate, exact(&values, ratio)), "{:?}", estimate);
    }
}

#[test]
fn histogram_edges() {
    let histogram = Histogram::default();
    assert!(histogram.is_empty());
    assert_eq!(histogram.quantile(0.5), None);
    histogram.record(Duration::from_micros(7));
    histogram.record(Duration::MAX);
    assert_eq!(histogram.len(), 2);
    for low in [f64::NAN, -1.0, 0.0, 0.5] {
        assert_eq!(histogram.quantile(low), Some(Duration::from_micros(7)), "{low}");
    }
    assert!(histogram.quantile(2.0) > Some(secs(60 * 60)));
    histogram.clear();
    assert!(histogram.is_empty());
}

/// What a window of ten slots of a second should count.
#[derive(Default)]
struct Naive(VecDeque<(u64, u32)>);

impl Naive {
    fn sum(&mut self, turn: u64) -> u64 {
        self.0.retain(|(at, _)| at + 10 > turn);
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }
}

#[test]
fn counters_forget_what_left_the_window() {
    let (epoch, rng) = (start(), Rng::new(2));
    let counters = RollingCounters::new(2, 10, secs(1), epoch);
    let mut naive = [Naive::default(), Naive::default()];
    let mut at = ms(0);
    for _ in 0..20_000 {
        // Mostly close together, sometimes beyond the whole window.
        at += ms(if rng.below(200) == 0 { rng.below(25_000) } else { rng.below(300) } as u64);
        let (counter, count) = (rng.below(2), rng.below(5) as u32);
        counters.add(epoch + at, counter, count);
        naive[counter].0.push_back((at.as_secs(), count));
        for (counter, naive) in naive.iter_mut().enumerate() {
            assert_eq!(counters.sum(epoch + at, counter), naive.sum(at.as_secs()));
        }
    }
}

#[test]
fn counters_are_separate_and_bounded() {
    let now = start();
    let counters = RollingCounters::new(3, 10, secs(1), now);
    counters.add(now, 0, 1);
    counters.add(now, 2, 5);
    counters.add(now, 3, 7);
    counters.add_where(now, 1, |counter| counter != 1);
    let sums: Vec<u64> = (0..4).map(|counter| counters.sum(now, counter)).collect();
    assert_eq!(sums, [2, 0, 6, 0]);
    counters.clear();
    assert_eq!(counters.sum(now, 0), 0);
    counters.add(now, 0, 1);
    assert_eq!(counters.sum(now, 0), 1);
}

#[test]
fn time_that_goes_backwards_is_harmless() {
    let epoch = start();
    let counters = RollingCounters::new(1, 2, secs(1), epoch);
    counters.add(epoch + secs(5), 0, 1);
    counters.add(epoch + secs(4), 0, 1);
    assert_eq!(counters.sum(epoch + secs(5), 0), 2);
    // Its slot belongs to second 5 by now.
    counters.add(epoch + secs(3), 0, 1);
    counters.add(epoch - secs(3), 0, 1);
    assert_eq!(counters.sum(epoch + secs(5), 0), 2);
}

#[test]
fn least_sizes_hold() {
    let epoch = start();
    let counters = RollingCounters::new(1, 0, secs(0), epoch);
    counters.add(epoch, 0, 1);
    assert_eq!(counters.sum(epoch, 0), 1);
    assert_eq!(counters.sum(epoch + Duration::from_nanos(1), 0), 0);
}

#[test]
fn rolling_histogram_forgets() {
    let epoch = start();
    let histogram = RollingHistogram::new(10, secs(1), epoch);
    for second in 0..10 {
        histogram.record(epoch + secs(second), ms(if second == 0 { 900 } else { 10 }));
    }
    let at = |second, ratio| {
        let quantile = histogram.quantile(epoch + secs(second), ratio);
        quantile.map(|latency| (latency.as_secs_f64() * 100.0).round() as u32)
    };
    assert_eq!(at(9, 1.0), Some(90));
    assert_eq!(at(9, 0.5), Some(1));
    assert_eq!(at(10, 1.0), Some(1));
    assert_eq!(at(30, 1.0), None);
    histogram.clear();
    assert_eq!(at(9, 0.5), None);
}

#[test]
fn threads_lose_no_count() {
    let epoch = start();
    let counters = RollingCounters::new(1, 10, ms(1), epoch);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for step in 0..10_000u64 {
                    counters.add(epoch + ms(step / 1_000), 0, 1);
                }
            });
        }
    });
    assert_eq!(counters.sum(epoch + ms(9), 0), 40_000);
}

#[test]
fn length_is_that_of_the_window() {
    let epoch = start();
    let histogram = RollingHistogram::new(10, secs(1), epoch);
    assert!(histogram.is_empty(epoch));
    (0..20).for_each(|at| histogram.record(epoch + secs(at), ms(1)));
    assert_eq!(histogram.len(epoch + secs(19)), 10);
    assert_eq!(histogram.len(epoch + secs(24)), 5);
    histogram.clear();
    assert!(histogram.is_empty(epoch + secs(19)));
}
