use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::{prop_assert_eq, proptest};

use super::*;

#[test]
fn each_bound_stands_for_itself_and_is_named() {
    let settings =
        LimitSettings { connections: Some(1), pending: Some(0), requests: Some(2), retries: None };
    let limits = Limits::new(settings);
    let _held = [Bound::Connections, Bound::Requests, Bound::Requests]
        .map(|bound| limits.acquire(bound).expect("there is room"));
    for (bound, limit) in [(Bound::Connections, 1), (Bound::Pending, 0), (Bound::Requests, 2)] {
        assert_eq!(limits.acquire(bound).unwrap_err(), BoundReached { bound, limit });
    }
    let retries: Vec<_> = (0..1_000).map(|_| limits.acquire(Bound::Retries)).collect();
    assert!(retries.iter().all(Result::is_ok));
    assert_eq!(Bound::ALL.map(|bound| limits.count(bound)), [1, 0, 2, 1_000]);
    drop(retries);
    assert_eq!(limits.count(Bound::Retries), 0);
}

#[test]
fn bounds_can_change_while_there_is_something_under_way() {
    let limits = Limits::new(LimitSettings::default());
    let mut held: Vec<_> = (0..5).map(|_| limits.acquire(Bound::Requests)).collect();
    limits.set(LimitSettings { requests: Some(3), ..LimitSettings::default() });
    held.truncate(3);
    assert!(limits.acquire(Bound::Requests).is_err());
    held.truncate(2);
    assert!(limits.clone().acquire(Bound::Requests).is_ok(), "clones share the counts");
}

#[test]
fn threads_together_stay_within_a_bound() {
    let limits = Limits::new(LimitSettings { pending: Some(3), ..LimitSettings::default() });
    let (under_way, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let Ok(_permit) = limits.acquire(Bound::Pending) else { continue };
                    let count = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(count, Ordering::SeqCst);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(limits.count(Bound::Pending), 0);
}

proptest! {
    #[test]
    fn counts_agree_with_the_permits(
        limits in proptest::array::uniform4(proptest::option::of(0u32..4)),
        events in proptest::collection::vec((0usize..4, proptest::bool::ANY), 0..200),
    ) {
        let [connections, pending, requests, retries] = limits;
        let machine = Limits::new(LimitSettings { connections, pending, requests, retries });
        let mut held: [Vec<Permit>; 4] = Default::default();
        for (bound, acquires) in events {
            if !acquires {
                held[bound].pop();
            } else if let Ok(permit) = machine.acquire(Bound::ALL[bound]) {
                held[bound].push(permit);
            } else {
                prop_assert_eq!(Some(held[bound].len() as u32), limits[bound]);
            }
            prop_assert_eq!(machine.count(Bound::ALL[bound]), held[bound].len() as u32);
        }
    }
}
