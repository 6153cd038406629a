use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::rng::Rng;
use crate::virtual_clock::{ms, secs, start};

const SETTINGS: AdaptiveSettings = AdaptiveSettings::DEFAULT;

/// A server with so many workers and a queue before them, and clients that come at random.
struct Server {
    limit: AdaptiveLimit,
    rng: Rng,
    epoch: Instant,
    /// In microseconds, as all times here.
    now: u64,
    /// When each worker is free.
    workers: BinaryHeap<Reverse<u64>>,
    /// What is under way, by its end.
    flying: BinaryHeap<Reverse<(u64, u64)>>,
    permits: std::collections::HashMap<u64, AdaptivePermit>,
    next_id: u64,
}

/// What a stretch of time has shown.
#[derive(Debug, Default)]
struct Stretch {
    served: u64,
    latency_micros: u64,
    limit_sum: f64,
    asked: u64,
}

impl Server {
    fn new(settings: AdaptiveSettings, workers: usize) -> Self {
        let epoch = start();
        Self {
            limit: AdaptiveLimit::new(settings, epoch),
            rng: Rng::new(3),
            epoch,
            now: 0,
            workers: (0..workers).map(|_| Reverse(0)).collect(),
            flying: BinaryHeap::new(),
            permits: std::collections::HashMap::new(),
            next_id: 0,
        }
    }

    /// Runs for a while with so many arrivals per second, each served in about `service`.
    fn run(&mut self, duration: Duration, per_sec: f64, service: Duration) -> Stretch {
        let end = self.now + duration.as_micros() as u64;
        let mut stretch = Stretch::default();
        while self.now < end {
            let gap = -(1.0 - self.rng.ratio()).ln() / per_sec * 1e6;
            self.now += gap as u64;
            self.finish(&mut stretch);
            let now = self.epoch + Duration::from_micros(self.now);
            stretch.asked += 1;
            stretch.limit_sum += f64::from(self.limit.limit());
            let Ok(permit) = self.limit.acquire(now) else { continue };
            let Reverse(free) = self.workers.pop().expect("there is a worker");
            // Half to one and a half times the usual.
            let takes = service.as_micros() as f64 * (0.5 + self.rng.ratio());
            let ends = free.max(self.now) + takes as u64;
            self.workers.push(Reverse(ends));
            self.flying.push(Reverse((ends, self.next_id)));
            self.permits.insert(self.next_id, permit);
            self.next_id += 1;
        }
        stretch
    }

    fn finish(&mut self, stretch: &mut Stretch) {
        while let Some(Reverse((ends, id))) = self.flying.peek().copied() {
            if ends > self.now {
                return;
            }
            self.flying.pop();
            let permit = self.permits.remove(&id).expect("it is under way");
            let at = self.epoch + Duration::from_micros(ends);
            stretch.served += 1;
            stretch.latency_micros += at.duration_since(permit.started).as_micros() as u64;
            permit.complete(at);
        }
    }
}

impl Stretch {
    fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_micros / self.served.max(1))
    }

    fn limit(&self) -> f64 {
        self.limit_sum / self.asked as f64
    }
}

#[test]
fn converges_near_the_knee_under_overload() {
    for (workers, service) in [(10, ms(20)), (40, ms(5)), (100, ms(50))] {
        let mut server = Server::new(SETTINGS, workers);
        let capacity = workers as f64 / service.as_secs_f64();
        server.run(secs(20), capacity * 2.0, service);
        let stretch = server.run(secs(20), capacity * 2.0, service);
        // The workers are busy, and no more wait than the tolerance and the headroom let.
        let ratio = stretch.limit() / workers as f64;
        assert!((1.0..1.9).contains(&ratio), "{workers}: {ratio}");
        let served = stretch.served as f64 / (capacity * 20.0);
        assert!(served > 0.95, "{workers}: {served} of what it can");
        assert!(stretch.latency() < service * 2, "{workers}: {:?}", stretch.latency());
    }
}

#[test]
fn finds_the_new_knee_when_the_server_slows_down_and_recovers() {
    let mut server = Server::new(SETTINGS, 20);
    let (quick, slow) = (ms(10), ms(40));
    server.run(secs(20), 4_000.0, quick);
    let before = server.run(secs(5), 4_000.0, quick).limit();
    // Four times slower, without more workers: at first that looks like waiting.
    server.run(secs(2), 4_000.0, slow);
    let during = server.run(secs(3), 4_000.0, slow).limit();
    assert!(during < before * 0.6, "{before} {during}");
    // With the next measurement that is known as its way.
    server.run(secs(90), 4_000.0, slow);
    let known = server.run(secs(5), 4_000.0, slow);
    assert!(known.limit() > 18.0 && known.limit() < 40.0, "{known:?}");
    server.run(secs(100), 4_000.0, quick);
    let after = server.run(secs(5), 4_000.0, quick);
    assert!((after.limit() / before - 1.0).abs() < 0.25, "{before} {after:?}");
    assert!(after.latency() < quick * 2);
}

#[test]
fn light_load_is_not_limited_and_raises_the_limit_no_further_than_it_needs() {
    let mut server = Server::new(SETTINGS, 50);
    let warm_up = server.run(secs(2), 200.0, ms(20));
    assert!(warm_up.served > 300);
    let stretch = server.run(secs(50), 200.0, ms(20));
    // Four are under way on average, and by chance some more.
    let limit = server.limit.limit();
    assert!((20..=40).contains(&limit), "{limit}");
    assert!(stretch.served as f64 > stretch.asked as f64 * 0.99, "{stretch:?}");
}

#[test]
fn the_ideal_latency_is_measured_with_few_at_one_time() {
    let epoch = start();
    let limit = AdaptiveLimit::new(SETTINGS, epoch);
    assert_eq!((limit.limit(), limit.ideal()), (3, None));
    let complete = |at: Duration, count: u32| {
        (0..count).for_each(|_| {
            let permit = limit.acquire(epoch + at).expect("nothing else is under way");
            permit.complete(epoch + at + ms(10));
        });
    };
    complete(ms(0), 49);
    assert_eq!(limit.limit(), 3);
    complete(ms(0), 1);
    assert_eq!(limit.limit(), 20);
    let ideal = limit.ideal().expect("it was measured");
    assert!(ideal.abs_diff(ms(10)) < ms(1));
    // The next one comes after a minute and up to 15 % more.
    complete(secs(59), 1);
    assert_eq!(limit.limit(), 20);
    let held: Vec<_> = (0..20).map(|_| limit.acquire(epoch + secs(59)).expect("room")).collect();
    assert!(limit.acquire(epoch + secs(70)).is_err());
    assert_eq!(limit.limit(), 3);
    // Those begun before do not count, however long they took.
    held.into_iter().for_each(|permit| permit.complete(epoch + secs(71)));
    complete(secs(71), 50);
    assert_eq!(limit.ideal(), Some(ideal));
    assert_eq!(limit.limit(), 20);
}

#[test]
fn one_step_goes_a_part_of_the_way_that_the_gradient_shows() {
    for (tolerance_ratio, smoothing, latency, expected) in [
        // 1.25 times the limit of 20, and its root: 29.5.
        (0.25, 1.0, 10, 29),
        (0.25, 0.5, 10, 24),
        // What is not tolerated at all leaves the root to grow by.
        (0.0, 1.0, 10, 24),
        // 12.5 of some 20 ms: 0.61 times the limit, and its root.
        (0.25, 1.0, 20, 16),
        // It halves at most.
        (0.25, 1.0, 500, 14),
        (0.25, f64::NAN, 500, 14),
    ] {
        let epoch = start();
        let settings = AdaptiveSettings { tolerance_ratio, smoothing, quantile: 1.0, ..SETTINGS };
        let limit = AdaptiveLimit::new(settings, epoch);
        for _ in 0..50 {
            limit.acquire(epoch).expect("nobody else is there").complete(epoch + ms(10));
        }
        let begun = epoch + ms(50);
        let held: Vec<_> = (0..20).map(|_| limit.acquire(begun).expect("there is room")).collect();
        held.into_iter().for_each(|permit| permit.complete(begun + ms(latency)));
        let looked_at = limit.acquire(epoch + secs(1));
        assert_eq!(limit.limit(), expected, "{tolerance_ratio} {smoothing} {latency}");
        drop(looked_at);
    }
}

#[test]
fn a_measurement_ends_though_nobody_comes() {
    let epoch = start();
    let limit = AdaptiveLimit::new(SETTINGS, epoch);
    let permit = limit.acquire(epoch).expect("it is the first");
    permit.complete(epoch + secs(4));
    assert_eq!(limit.limit(), 3);
    drop(limit.acquire(epoch + secs(10)));
    assert_eq!(limit.limit(), 20);
    assert!(limit.ideal().is_some_and(|ideal| ideal.abs_diff(secs(4)) < ms(200)));
}

#[test]
fn what_was_called_off_is_no_latency() {
    let epoch = start();
    let limit = AdaptiveLimit::new(AdaptiveSettings { ideal_samples: 1, ..SETTINGS }, epoch);
    (0..100).for_each(|_| drop(limit.acquire(epoch)));
    assert_eq!((limit.ideal(), limit.count()), (None, 0));
}

proptest! {
    /// Whatever happens: the count is that of the permits, and the limit within its bounds.
    #[test]
    fn counts_and_bounds_hold(
        (limit_min, limit_initial, limit_max) in (0u32..8, 0u32..50, 0u32..40),
        events in proptest::collection::vec((0u64..400, 0u8..4), 0..400),
    ) {
        let epoch = start();
        let settings = AdaptiveSettings {
            limit_min,
            limit_initial,
            limit_max,
            ideal_samples: 3,
            samples_min: 2,
            ..SETTINGS
        };
        let limit = AdaptiveLimit::new(settings, epoch);
        let (mut held, mut now) = (Vec::new(), epoch);
        for (wait, event) in events {
            now += ms(wait);
            match event {
                0 => drop(held.pop()),
                1 => held.pop().into_iter().for_each(|permit: AdaptivePermit| permit.complete(now)),
                _ => match limit.acquire(now) {
                    Ok(permit) => held.push(permit),
                    Err(LimitReached { limit }) => prop_assert!(held.len() as u32 >= limit),
                },
            }
            prop_assert_eq!(limit.count(), held.len() as u32);
            let least = limit_min.max(1);
            prop_assert!((least..=limit_max.max(least)).contains(&limit.limit()));
        }
    }
}

#[test]
fn threads_stay_within_the_limit() {
    let epoch = start();
    let settings = AdaptiveSettings { limit_min: 2, limit_max: 2, ..SETTINGS };
    let limit = AdaptiveLimit::new(settings, epoch);
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for step in 0..2_000 {
                    let now = epoch + ms(step);
                    let Ok(permit) = limit.acquire(now) else { continue };
                    most.fetch_max(limit.count(), Ordering::Relaxed);
                    permit.complete(now + ms(1));
                }
            });
        }
    });
    assert!(most.into_inner() <= 2);
    assert_eq!(limit.count(), 0);
}
