//! Endpoints that die, flap, hang and refuse, as the requests of several workers meet them, on a
//! clock of its own. What the mesh promises then is a bound, not luck.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use weft_model::calling::Calling;
use weft_model::outcome::Reason;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{OutlierSettings, PickerKind};
use weft_runtime::time;

use crate::backend::Backend;
use crate::backends::{Backends, PreparedBackend};
use crate::call::Ask;
use crate::lease::{Lease, Tried};
use crate::shared::Shared;
use crate::testing::{addr, answer, backend, calling, get, worker};

const WORKERS: usize = 4;

/// Requests come so often.
const EVERY: Duration = Duration::from_millis(1);

/// What an endpoint does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    /// It refuses connections.
    Dead,
    /// It answers so.
    Says(u16),
    /// It takes this long.
    Slow(Duration),
}

/// The workers of a process, and how their requests went.
struct Scene {
    workers: Vec<Backends>,
    start: Instant,
    now: Instant,
    rng: Rng,
    served: usize,
    failed: usize,
    by_port: HashMap<u16, usize>,
    under_way: Vec<(Instant, Lease)>,
}

impl Scene {
    fn new(endpoints: u16, change: impl FnOnce(&mut Calling)) -> Self {
        let addrs: Vec<_> = (1..=endpoints).map(addr).collect();
        let prepared = calling(backend("shop", &addrs), change);
        let start = time::now();
        let shared = Shared::new(start);
        // The gate of passive health is one for all workers, as a plan makes it.
        let workers = (0..WORKERS).map(|_| worker(&shared, [PreparedBackend::clone(&prepared)]));
        Self {
            workers: workers.collect(),
            start,
            now: start,
            rng: Rng::new(7),
            served: 0,
            failed: 0,
            by_port: HashMap::new(),
            under_way: Vec::new(),
        }
    }

    /// Requests for so long, while endpoints have these moods at each moment since the start.
    fn run(&mut self, time: Duration, mood: impl Fn(u16, Duration) -> Mood) {
        let end = self.now + time;
        let mut turn = 0;
        while self.now < end {
            self.request(turn, &mood);
            turn += 1;
            self.now += EVERY;
            let now = self.now;
            self.under_way.retain(|(until, lease)| {
                let is_over = *until <= now;
                if is_over {
                    answer(lease, now, 200);
                }
                !is_over
            });
        }
    }

    fn request(&mut self, turn: usize, mood: &impl Fn(u16, Duration) -> Mood) {
        let shop = self.shop(turn % WORKERS);
        let now = self.now;
        let usable: Vec<_> = (shop.endpoints().iter())
            .filter(|endpoint| endpoint.shared.passive.is_usable(now))
            .map(|endpoint| endpoint.addr())
            .collect();
        let tried = Tried::default();
        let Ok(lease) = shop.pick(&Ask::new(now, &tried), &self.rng) else {
            assert!(usable.is_empty(), "none is picked, of {usable:?}");
            self.failed += 1;
            return;
        };
        let found = lease.endpoint().addr();
        assert!(usable.contains(&found), "{found} is set aside, and {usable:?} are not");
        *self.by_port.entry(found.port()).or_default() += 1;
        match mood(found.port(), now - self.start) {
            Mood::Fine => answer(&lease, now, 200),
            Mood::Slow(time) => {
                self.under_way.push((now + time, lease));
            }
            Mood::Dead => {
                lease.failed(now, Reason::ConnectFailed);
                self.failed += 1;
                return;
            }
            Mood::Says(status) => {
                answer(&lease, now, status);
                if status >= 500 {
                    self.failed += 1;
                    return;
                }
            }
        }
        self.served += 1;
    }

    fn shop(&self, worker: usize) -> Rc<Backend> {
        get(&self.workers[worker], "shop")
    }

    /// Requests to that endpoint since this was last asked.
    fn take(&mut self, port: u16) -> usize {
        self.by_port.remove(&port).unwrap_or_default()
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_dead_endpoint_costs_as_many_requests_as_its_dialect_says_and_no_more() {
    for (settings, per_ejection) in [
        (OutlierSettings::ISTIO, 5),
        (OutlierSettings::LINKERD_CONSECUTIVE, 7),
        (OutlierSettings::traefik(3, seconds(10)), 3),
        (Calling::mesh().outlier.expect("it has one"), 5),
    ] {
        for picker in [PickerKind::RoundRobin, PickerKind::LeastRequest, PickerKind::Random] {
            let mut scene = Scene::new(10, |calling| {
                calling.outlier = Some(settings);
                calling.picker = picker;
            });
            scene.run(settings.ejection.base.min(seconds(5)), |port, _| match port {
                1 => Mood::Dead,
                _ => Mood::Fine,
            });
            // Workers that have a request under way at one moment would add one each.
            let what = format!("{settings:?} {picker:?}");
            assert_eq!(scene.failed, per_ejection, "{what}");
            assert!(scene.served > 900, "{what}");
        }
    }
}

#[test]
fn it_comes_back_after_its_ejection_and_stays_when_it_is_well() {
    for settings in [OutlierSettings::ISTIO, OutlierSettings::LINKERD_CONSECUTIVE] {
        let mut scene = Scene::new(10, |calling| calling.outlier = Some(settings));
        let (base, recovers) = (settings.ejection.base, Duration::from_millis(500));
        let mood = |port, at: Duration| match port {
            1 if at < recovers => Mood::Dead,
            _ => Mood::Fine,
        };
        scene.run(base - Duration::from_millis(1), mood);
        let before = scene.take(1);
        assert!(before <= 7, "{before} went there");
        // With jitter it may take half as long again.
        scene.run(base, mood);
        let failed = scene.failed;
        scene.take(1);
        scene.run(seconds(1), mood);
        assert_eq!(scene.failed, failed);
        assert_eq!(scene.take(1), 100, "its full share");
    }
}

#[test]
fn no_more_are_set_aside_than_the_dialect_allows() {
    // Half of the endpoints fail; Istio's 10 % of ten are one.
    for (settings, out) in [
        (OutlierSettings::ISTIO, 1),
        (OutlierSettings { ejected_ratio_max: 0.3, ..OutlierSettings::ISTIO }, 3),
        (OutlierSettings { ejected_ratio_max: 1.0, ..OutlierSettings::ISTIO }, 5),
        (OutlierSettings::LINKERD_CONSECUTIVE, 5),
    ] {
        let mut scene = Scene::new(10, |calling| calling.outlier = Some(settings));
        scene.run(Duration::from_millis(900), |port, _| match port {
            1..=5 => Mood::Says(503),
            _ => Mood::Fine,
        });
        let now = scene.now;
        let endpoints = scene.shop(0).endpoints();
        let is_out = |one: &&Rc<crate::Endpoint>| !one.shared.passive.is_usable(now);
        assert_eq!(endpoints.iter().filter(is_out).count(), out, "{settings:?}");
    }
}

#[test]
fn when_all_fail_all_are_asked_unless_the_dialect_says_otherwise() {
    let mut scene = Scene::new(4, |calling| calling.outlier = Some(OutlierSettings::ISTIO));
    scene.run(seconds(1), |_, _| Mood::Dead);
    let now = scene.now;
    assert!(scene.shop(0).is_available(now), "three of four are never set aside");
    // Linkerd sets all of them aside, and fails fast between the probes.
    let linkerd = OutlierSettings::LINKERD_CONSECUTIVE;
    let mut scene = Scene::new(4, |calling| calling.outlier = Some(linkerd));
    scene.run(seconds(20), |_, _| Mood::Dead);
    let asked: usize = scene.by_port.values().sum();
    assert!(asked <= 4 * (7 + 5), "{asked} requests went to the dead in 20 s");
    scene.run(seconds(60), |_, _| Mood::Fine);
    scene.failed = 0;
    scene.run(seconds(5), |_, _| Mood::Fine);
    assert_eq!(scene.failed, 0);
}

#[test]
fn a_flapping_endpoint_is_away_ever_longer() {
    let settings =
        OutlierSettings { ejected_ratio_max: 0.5, ..OutlierSettings::LINKERD_CONSECUTIVE };
    let mut scene = Scene::new(5, |calling| calling.outlier = Some(settings));
    // Well for a second, ill for a second.
    let mood = |port, at: Duration| match (port, at.as_secs() % 2) {
        (1, 0) => Mood::Says(500),
        _ => Mood::Fine,
    };
    scene.run(seconds(60), mood);
    // Seven each time it was ill with its full share, one for each probe that found it ill.
    assert!(scene.failed <= 30 * 7, "{} of 60,000 failed", scene.failed);
    // One that is never well is asked ever less often.
    let mut scene = Scene::new(5, |calling| calling.outlier = Some(settings));
    scene.run(seconds(120), |port, _| if port == 1 { Mood::Says(500) } else { Mood::Fine });
    assert!(scene.failed <= 7 + 8, "{} of 120,000 failed", scene.failed);
}

#[test]
fn a_slow_endpoint_gets_less_where_that_is_what_the_picker_looks_at() {
    let slow = Duration::from_millis(500);
    let share = |picker| {
        let mut scene = Scene::new(5, |calling| calling.picker = picker);
        let mood = |port, _| if port == 1 { Mood::Slow(slow) } else { Mood::Slow(EVERY * 5) };
        scene.run(seconds(10), mood);
        scene.take(1);
        scene.run(seconds(10), mood);
        scene.take(1) as f64 / 10_000.0
    };
    assert!((share(PickerKind::RoundRobin) - 0.2).abs() < 0.01);
    assert!(share(PickerKind::LeastRequest) < 0.05, "{}", share(PickerKind::LeastRequest));
    assert!(share(PickerKind::PeakEwma) < 0.05, "{}", share(PickerKind::PeakEwma));
}

#[test]
fn an_endpoint_that_refuses_load_keeps_serving_what_it_can() {
    // 429 is no failure for Istio: nothing is set aside.
    let mut scene = Scene::new(3, |calling| calling.outlier = Some(OutlierSettings::ISTIO));
    scene.run(seconds(1), |port, _| if port == 1 { Mood::Says(429) } else { Mood::Fine });
    assert!(scene.take(1) > 300);
    // For Linkerd's unified accrual it is.
    let unified = OutlierSettings { ejected_ratio_max: 0.5, ..OutlierSettings::LINKERD_UNIFIED };
    let mut scene = Scene::new(3, |calling| calling.outlier = Some(unified));
    scene.run(seconds(1), |port, _| if port == 1 { Mood::Says(429) } else { Mood::Fine });
    assert!(scene.take(1) <= 5, "at least five requests say something");
}
