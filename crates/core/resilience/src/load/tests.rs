use super::*;
use crate::virtual_clock::{ms, secs, start};

fn close(cost: f64, millis: f64) {
    assert!((cost / 1e6 - millis).abs() < millis * 1e-6 + 1e-9, "{cost} is not {millis} ms");
}

#[test]
fn guards_count_requests() {
    let load = InFlightLoad::new();
    let (one, two) = (load.begin(), load.begin());
    assert_eq!(load.count(), 2);
    drop(one);
    assert_eq!(load.count(), 1);
    drop(load);
    drop(two);
}

#[test]
fn peaks_count_at_once_and_fade() {
    let epoch = start();
    let load = PeakEwma::new(secs(10), epoch);
    load.observe(epoch, ms(10));
    load.observe(epoch, ms(200));
    close(load.cost(epoch), 200.0);
    // Quicker ones at the same moment say nothing new.
    load.observe(epoch, ms(10));
    close(load.cost(epoch), 200.0);
    let later = epoch + secs(10);
    load.observe(later, ms(10));
    let weight = (-1.0f64).exp();
    close(load.cost(later), 200.0 * weight + 10.0 * (1.0 - weight));
    assert!(load.latency() < ms(81));
}

#[test]
fn cost_grows_with_requests_in_flight() {
    let now = start();
    let load = PeakEwma::new(PeakEwma::DECAY, now);
    load.observe(now, ms(10));
    let pending: Vec<Pending> = (0..3).map(|_| load.begin()).collect();
    assert_eq!(load.in_flight(), 3);
    close(load.cost(now), 40.0);
    drop(pending);
    close(load.cost(now), 10.0);
}

#[test]
fn unknown_endpoint_gets_one_request_first() {
    let now = start();
    let (known, unknown) = (PeakEwma::new(secs(10), now), PeakEwma::new(secs(10), now));
    known.observe(now, secs(60));
    assert!(unknown.cost(now) < known.cost(now));
    let _pending = unknown.begin();
    assert!(unknown.cost(now) > known.cost(now));
}

#[test]
fn silence_makes_an_endpoint_attractive_again() {
    let now = start();
    let (quick, slow) = (PeakEwma::new(secs(10), now), PeakEwma::new(secs(10), now));
    slow.observe(now, secs(1));
    let later = now + secs(60);
    quick.observe(later, ms(10));
    assert!(slow.cost(now) > 0.9e9);
    assert!(slow.cost(later) < quick.cost(later));
}

#[test]
fn odd_times_do_not_panic() {
    let now = start();
    let load = PeakEwma::new(Duration::ZERO, now);
    load.observe(now + secs(9), ms(10));
    load.observe(now, ms(5));
    load.observe(now, Duration::MAX);
    assert!(load.cost(now).is_finite());
    assert!(load.cost(now + secs(1_000_000)) >= 0.0);
}
