use super::*;

const SECRET: [u64; 2] = [3, 4];

#[test]
fn permits_are_counted_until_dropped() {
    let limit = InFlight::new(2);
    let first = limit.acquire().expect("first of two");
    let second = limit.clone().acquire().expect("second of two");
    assert_eq!(limit.acquire().expect_err("third of two"), LimitReached { limit: 2 });
    assert_eq!(limit.count(), 2);
    drop(first);
    let third = limit.acquire().expect("one was dropped");
    drop((second, third));
    assert_eq!(limit.count(), 0);
}

#[test]
fn zero_refuses_all() {
    assert!(InFlight::new(0).acquire().is_err());
    assert!(KeyedInFlight::new(0, SECRET).acquire(b"a").is_err());
}

#[test]
fn limit_may_change_under_way() {
    let limit = InFlight::new(3);
    let mut permits: Vec<Permit> = (0..3).filter_map(|_| limit.acquire().ok()).collect();
    limit.set_limit(1);
    assert_eq!(limit.limit(), 1);
    permits.pop();
    permits.pop();
    assert!(limit.acquire().is_err());
    permits.pop();
    assert!(limit.acquire().is_ok());
}

#[test]
fn threads_never_exceed_the_limit() {
    let limit = InFlight::new(3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let permit = limit.acquire();
                    assert!(limit.count() <= 3);
                    drop(permit);
                }
            });
        }
    });
    assert_eq!(limit.count(), 0);
}

#[test]
fn sources_have_counts_of_their_own() {
    let limit = KeyedInFlight::new(1, SECRET);
    let first = limit.acquire(b"a").expect("first of a");
    let other = limit.acquire(b"b").expect("first of b");
    assert!(limit.acquire(b"a").is_err());
    drop(first);
    let again = limit.acquire(b"a").expect("a has none");
    assert_eq!(limit.sources(), 2);
    drop((again, other));
    assert_eq!(limit.sources(), 0);
}

#[test]
fn a_source_is_known_until_its_last_permit() {
    let limit = KeyedInFlight::new(2, SECRET);
    let (first, second) = (limit.acquire(b"a"), limit.acquire(b"a"));
    drop(first);
    assert_eq!(limit.sources(), 1);
    let third = limit.acquire(b"a").expect("one of two is left");
    assert!(limit.acquire(b"a").is_err());
    drop((second, third));
    assert_eq!(limit.sources(), 0);
}

#[test]
fn sources_beyond_the_bound_share_a_count() {
    let limit = KeyedInFlight::with_sources_max(1, SECRET, 16);
    let permits: Vec<KeyedPermit> =
        (0..1_000u32).filter_map(|source| limit.acquire(&source.to_le_bytes()).ok()).collect();
    // One of its own and one shared, in each of 16 shards.
    assert_eq!(permits.len(), 32);
    assert_eq!(limit.sources(), 16);
    drop(permits);
    assert_eq!(limit.sources(), 0);
    let again = (0..1_000u32).filter_map(|source| limit.acquire(&source.to_le_bytes()).ok());
    assert_eq!(again.collect::<Vec<_>>().len(), 32);
}

#[test]
fn keyed_limit_may_change_under_way() {
    let limit = KeyedInFlight::new(1, SECRET);
    let _first = limit.acquire(b"a").expect("first");
    limit.set_limit(2);
    let _second = limit.acquire(b"a").expect("second");
    assert_eq!(limit.acquire(b"a").expect_err("third").limit, 2);
}
