use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::bucket::TokenBucket;
use crate::rng::Rng;
use crate::virtual_clock::{ms, secs, start};

const SECRET: [u64; 2] = [11, 12];

fn settings(average: u64, period: Duration, burst: u64) -> RateSettings {
    RateSettings { average, period, burst }
}

fn passes(admission: Admission) -> bool {
    !matches!(admission, Admission::Refuse { .. })
}

/// The list and the map hold the same buckets, linked in both directions.
fn assert_sound(buckets: &KeyedBuckets) {
    for shard in &buckets.shards {
        let shard = shard.lock().expect("no test panics with a lock");
        let (mut slot, mut newer, mut seen) = (shard.newest, NONE, 0);
        while slot != NONE {
            let bucket = &shard.buckets[slot as usize];
            assert_eq!(bucket.newer, newer);
            assert_eq!(shard.slots.get(&bucket.source), Some(&slot));
            (newer, slot, seen) = (slot, bucket.older, seen + 1);
        }
        assert_eq!(shard.oldest, newer);
        assert_eq!(seen, shard.slots.len());
        assert_eq!(seen + shard.free.len(), shard.buckets.len());
        assert!(shard.buckets.len() <= buckets.sources_per_shard_max);
    }
}

#[test]
fn forgetting_is_not_noticed() {
    let (epoch, rng) = (start(), Rng::new(5));
    let settings = settings(10, secs(1), 3);
    let buckets = KeyedBuckets::new(settings, epoch, SECRET);
    let mut model: BTreeMap<usize, TokenBucket> = BTreeMap::new();
    let mut now = epoch;
    let mut forgot = false;
    for _ in 0..50_000 {
        now += Duration::from_micros(rng.below(3_000) as u64);
        let source = rng.below(500);
        let expected = model.entry(source).or_insert_with(|| TokenBucket::new(settings, epoch));
        assert_eq!(buckets.take(&source.to_le_bytes(), now), expected.take(now));
        forgot |= buckets.sources() < model.len();
    }
    assert!(forgot, "the test did not reach what it is about");
    assert_sound(&buckets);
}

#[test]
fn rotating_through_sources_resets_no_bucket() {
    let (epoch, rng) = (start(), Rng::new(6));
    let buckets = KeyedBuckets::with_sources_max(settings(1, secs(60), 1), epoch, SECRET, 160);
    assert!(passes(buckets.take(b"victim", epoch)));
    let mut passed = 0;
    for step in 0..10_000u64 {
        let now = epoch + ms(step);
        passed += u32::from(passes(buckets.take(&rng.word().to_le_bytes(), now)));
        assert!(buckets.sources() <= 160);
    }
    // Each of 160 places once, and the shared bucket of each of 16 shards once.
    assert!((150..=176).contains(&passed), "{passed}");
    assert!(!passes(buckets.take(b"victim", epoch + secs(11))));
    assert_sound(&buckets);
}

#[test]
fn full_buckets_make_room_for_any_number_of_sources() {
    let epoch = start();
    let buckets = KeyedBuckets::with_sources_max(settings(100, secs(1), 5), epoch, SECRET, 64);
    for step in 0..10_000u64 {
        // One in 10 ms regains its token before the next comes.
        let now = epoch + ms(step * 10);
        assert_eq!(buckets.take(&step.to_le_bytes(), now), Admission::Pass);
    }
    assert_sound(&buckets);
}

#[test]
fn table_shrinks_to_the_sources_in_use() {
    let epoch = start();
    let buckets = KeyedBuckets::new(settings(10, secs(1), 1), epoch, SECRET);
    for source in 0..5_000u64 {
        assert!(passes(buckets.take(&source.to_le_bytes(), epoch)));
    }
    assert_eq!(buckets.sources(), 5_000);
    for source in 10_000..16_000u64 {
        let now = epoch + secs(60) + ms(source);
        assert!(passes(buckets.take(&source.to_le_bytes(), now)));
    }
    assert!(buckets.sources() < 200, "{}", buckets.sources());
    assert_sound(&buckets);
}

#[test]
fn bound_holds_at_full_size() {
    let epoch = start();
    let buckets = KeyedBuckets::new(settings(1, secs(3_600), 1), epoch, SECRET);
    for source in 0..100_000u64 {
        let _ = buckets.take(&source.to_le_bytes(), epoch);
    }
    // Shards are not filled to exactly the same share, so the last places may be empty.
    assert_eq!(buckets.sources(), KeyedBuckets::SOURCES_MAX);
    assert_eq!(size_of::<Bucket>(), 24);
    assert_sound(&buckets);
}

#[test]
fn no_limit_keeps_nothing() {
    let epoch = start();
    let buckets = KeyedBuckets::new(settings(0, secs(1), 1), epoch, SECRET);
    for source in 0..100u64 {
        assert_eq!(buckets.take(&source.to_le_bytes(), epoch), Admission::Pass);
    }
    assert_eq!(buckets.sources(), 0);
}

#[test]
fn no_room_at_all_shares_one_bucket_per_shard() {
    let epoch = start();
    let buckets = KeyedBuckets::with_sources_max(settings(1, secs(60), 1), epoch, SECRET, 0);
    let passed = (0..1_000u64).filter(|source| passes(buckets.take(&source.to_le_bytes(), epoch)));
    assert_eq!(passed.count(), 16);
}

#[test]
fn threads_share_every_token_once() {
    let epoch = start();
    let buckets = KeyedBuckets::new(settings(1, secs(3_600), 10), epoch, SECRET);
    let passed: usize = std::thread::scope(|scope| {
        let count = || (0..5_000u64).filter(|n| passes(buckets.take(&[(n % 50) as u8], epoch)));
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || count().count())).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(passed, 50 * 10);
}

#[test]
fn impatient_taker_of_a_source_never_takes_in_advance() {
    let epoch = start();
    let rate = RateSettings { average: 10, period: secs(1), burst: 1 };
    let buckets = KeyedBuckets::new(rate, epoch, [1, 2]);
    assert_eq!(buckets.try_take(b"one", epoch), Admission::Pass);
    let refused = Admission::Refuse { retry_after: ms(1) };
    assert_eq!(buckets.try_take(b"one", epoch + ms(99)), refused);
    assert_eq!(buckets.try_take(b"two", epoch + ms(99)), Admission::Pass);
    assert_eq!(buckets.try_take(b"one", epoch + ms(100)), Admission::Pass);
}
