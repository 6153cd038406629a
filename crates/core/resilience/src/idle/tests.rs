use super::*;
use crate::rng::Rng;
use crate::virtual_clock::{ms, secs};

const POOL: Duration = Duration::from_secs(60);

#[test]
fn nothing_known_is_careful_where_it_matters() {
    let idle = LearnedIdle::new();
    assert_eq!(idle.estimate(), None);
    assert_eq!(idle.safe_age(true, POOL), POOL);
    assert_eq!(idle.safe_age(false, POOL), ms(400));
    assert_eq!(idle.safe_age(false, ms(100)), ms(100));
}

#[test]
fn smallest_of_closes_and_hint_counts() {
    let idle = LearnedIdle::new();
    idle.observe_hint(secs(5));
    assert_eq!(idle.safe_age(false, POOL), ms(2_500));
    idle.observe_close(secs(8));
    assert_eq!(idle.estimate(), Some(secs(5)));
    idle.observe_close(secs(2));
    assert_eq!(idle.estimate(), Some(secs(2)));
    assert_eq!(idle.safe_age(true, POOL), ms(1_500));
    assert_eq!(idle.safe_age(false, POOL), secs(1));
    idle.observe_hint(secs(1));
    assert_eq!(idle.estimate(), Some(secs(1)));
}

#[test]
fn pool_bounds_the_age() {
    let idle = LearnedIdle::new();
    idle.observe_close(secs(600));
    assert_eq!(idle.safe_age(true, POOL), POOL);
    assert_eq!(idle.safe_age(false, POOL), POOL);
}

#[test]
fn a_restart_is_forgotten() {
    // By later closes.
    let idle = LearnedIdle::new();
    idle.observe_close(ms(5));
    for _ in 0..8 {
        idle.observe_close(secs(75));
    }
    assert_eq!(idle.estimate(), Some(secs(75)));
    // By connections that live on.
    let idle = LearnedIdle::new();
    for _ in 0..20 {
        idle.observe_close(ms(5));
    }
    for _ in 0..8 {
        assert_eq!(idle.estimate(), Some(ms(5)));
        idle.observe_alive(secs(60));
    }
    assert_eq!(idle.estimate(), Some(secs(60)));
    idle.observe_alive(ms(1));
    assert_eq!(idle.estimate(), Some(secs(60)));
}

#[test]
fn a_peer_that_does_both_stays_at_the_shorter_time() {
    let idle = LearnedIdle::new();
    for _ in 0..50 {
        idle.observe_close(secs(1));
        idle.observe_alive(secs(30));
        idle.observe_close(secs(1));
        assert_eq!(idle.estimate(), Some(secs(1)));
    }
}

#[test]
fn extremes_hold() {
    let idle = LearnedIdle::new();
    idle.observe_close(Duration::ZERO);
    assert_eq!(idle.estimate(), Some(Duration::from_micros(1)));
    idle.observe_alive(Duration::MAX);
    idle.observe_close(Duration::MAX);
    assert!(idle.estimate() > Some(secs(4_000)));
}

/// What a client of the next test meets in 200 requests, and 50 of them in all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Met {
    /// Requests on a connection that the upstream closes just then.
    resets: u32,
    reused: u32,
}

/// An upstream closes after a second; fifty clients, each with an upstream connection that no other
/// uses meanwhile, ask every 0.9 to 1.1 s. The close takes 30 ms to be seen.
fn play(safe_age: impl Fn(&LearnedIdle) -> Duration) -> Met {
    let (rng, idle) = (Rng::new(9), LearnedIdle::new());
    let (timeout, unseen) = (secs(1), ms(30));
    let mut met = Met::default();
    for _ in 0..200 * 50 {
        let age = ms(900 + rng.below(201) as u64);
        if age >= timeout + unseen {
            idle.observe_close(timeout + unseen);
        } else if age <= safe_age(&idle) {
            met.reused += 1;
            if age >= timeout {
                met.resets += 1;
                idle.observe_close(age);
            } else {
                idle.observe_alive(age);
            }
        }
    }
    met
}

#[test]
fn gaps_around_the_timeout_cost_no_request() {
    // Without the estimate some requests in seven are reset.
    assert!(play(|_| POOL).resets > 1_000);
    assert_eq!(play(|idle| idle.safe_age(false, POOL)), Met::default());
    // What can be sent again pays for the lesson, once.
    let met = play(|idle| idle.safe_age(true, POOL));
    assert!(met.resets <= 1 && met.reused < 10, "{met:?}");
}

#[test]
fn young_connections_are_reused_all_the_same() {
    let idle = LearnedIdle::new();
    idle.observe_close(secs(1));
    assert!(ms(20) <= idle.safe_age(false, POOL));
}
