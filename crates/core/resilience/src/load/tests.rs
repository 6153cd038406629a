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

#[test]
fn refusals_cost_an_endpoint_more_than_slow_answers() {
    let now = start();
    let settings = BiasSettings::DEFAULT;
    let cost = |latency, retry_after| {
        let load = PeakEwma::new(secs(10), now);
        load.penalize(now, latency, retry_after, &settings);
        load.cost(now) / 1e9
    };
    assert_eq!(cost(ms(10), None), 5.0);
    assert_eq!(cost(secs(8), None), 8.0);
    assert_eq!(cost(ms(10), Some(secs(2))), 5.0);
    assert_eq!(cost(ms(10), Some(secs(60))), 60.0);
    assert_eq!(cost(ms(10), Some(Duration::MAX)), 300.0);
}

#[test]
fn penalties_fade() {
    let now = start();
    let (busy, usual) = (PeakEwma::new(secs(10), now), PeakEwma::new(secs(10), now));
    busy.penalize(now, ms(1), None, &BiasSettings::DEFAULT);
    let later = now + secs(80);
    usual.observe(later, ms(10));
    assert!(busy.cost(now + secs(30)) > 10e6 && busy.cost(later) < 10e6);
}

#[test]
fn the_average_alone_costs_the_same_and_may_move_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let now = start();
    let (load, average) = (PeakEwma::new(secs(10), now), LatencyEwma::new(secs(10), now));
    is_send(&average);
    assert_eq!(average.cost(now, 0), 0.0);
    for (step, latency) in [(0, 20), (1, 5), (2, 80)] {
        load.observe(now + secs(step), ms(latency));
        average.observe(now + secs(step), ms(latency));
    }
    load.penalize(now + secs(3), ms(1), None, &BiasSettings::DEFAULT);
    average.penalize(now + secs(3), ms(1), None, &BiasSettings::DEFAULT);
    let _pending = (load.begin(), load.begin());
    assert_eq!(average.cost(now + secs(7), 2), load.cost(now + secs(7)));
    assert_eq!(average.average(), load.latency());
}
