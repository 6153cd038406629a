use std::time::Duration;

use super::*;
use crate::testing::{ask_health, backend, check, prepared, with};

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    now: Instant,
    shared: Shared,
    watched: Watched,
    addr: SocketAddr,
}

impl Bench {
    fn new() -> Self {
        let now = weft_runtime::time::now();
        let shared = Shared::new(now);
        let watched = Watched::new(shared.clone(), Rng::new(1));
        Self { now, shared, watched, addr: ([127, 0, 0, 1], 80).into() }
    }

    fn checked(&self, change: impl FnOnce(&mut HealthCheck)) -> Arc<Prepared> {
        let mut check = check(ask_health());
        (check.interval, check.unhealthy_interval) = (30 * SECOND, 5 * SECOND);
        change(&mut check);
        let backend = with(backend("shop", &[self.addr]), |settings| {
            settings.health_check = Some(Arc::new(check));
        });
        prepared([backend])
    }

    fn entry(&self) -> Arc<SharedEndpoint> {
        self.shared.endpoint(&BackendId::new("shop"), self.addr, None)
    }

    fn due(&mut self) -> Due {
        self.now = self.watched.next_due().expect("a probe is planned");
        self.watched.take_due(self.now).expect("its time has come")
    }

    fn answer(&mut self, passed: bool) -> Option<Verdict> {
        let due = self.due();
        self.watched.record(&due.key, due.serial, self.now, passed)
    }
}

#[test]
fn thresholds_decide_after_the_first_answer() {
    let mut bench = Bench::new();
    let backends =
        bench.checked(|check| (check.unhealthy_threshold, check.healthy_threshold) = (2, 2));
    bench.watched.follow(&backends, bench.now);
    let entry = bench.entry();
    let mut seen = Vec::new();
    for passed in [true, false, false, true, true] {
        bench.answer(passed);
        seen.push(entry.is_healthy());
    }
    assert_eq!(seen, [true, true, false, false, true]);
}

#[test]
fn a_probe_is_due_once_and_again_after_its_answer() {
    let mut bench = Bench::new();
    let backends = bench.checked(|_| {});
    bench.watched.follow(&backends, bench.now);
    assert!(bench.watched.next_due().unwrap() <= bench.now + SECOND);
    let due = bench.due();
    assert_eq!(bench.watched.next_due(), None);
    bench.watched.record(&due.key, due.serial, bench.now, false);
    let wait = bench.watched.next_due().unwrap() - bench.now;
    assert!(wait > 4 * SECOND && wait < 6 * SECOND, "{wait:?} is not the unhealthy interval");
}

#[test]
fn the_same_question_keeps_its_turn_and_health() {
    let mut bench = Bench::new();
    let backends = bench.checked(|_| {});
    bench.watched.follow(&backends, bench.now);
    bench.answer(false);
    let planned = bench.watched.next_due();
    let again = bench.checked(|_| {});
    bench.watched.follow(&again, bench.now);
    assert_eq!(bench.watched.next_due(), planned);
    assert!(!bench.entry().is_healthy());
}

#[test]
fn the_answer_to_an_old_question_does_not_count() {
    let mut bench = Bench::new();
    let backends = bench.checked(|_| {});
    bench.watched.follow(&backends, bench.now);
    let entry = bench.entry();
    let old = bench.due();
    let changed = bench.checked(|check| check.port = Some(8081));
    bench.watched.follow(&changed, bench.now);
    assert_eq!(bench.watched.record(&old.key, old.serial, bench.now, false), None);
    assert!(entry.is_healthy());
    assert_eq!(bench.due().check.port, Some(8081));
}

#[test]
fn without_a_check_an_endpoint_is_healthy_and_forgotten() {
    let mut bench = Bench::new();
    let backends = bench.checked(|_| {});
    bench.watched.follow(&backends, bench.now);
    let entry = bench.entry();
    let key = bench.due().key;
    bench.watched.follow(&backends, bench.now);
    bench.watched.record(&key, 1, bench.now, false);
    assert!(!entry.is_healthy());
    let unchecked = prepared([backend("shop", &[bench.addr])]);
    bench.watched.follow(&unchecked, bench.now);
    assert!(entry.is_healthy());
    assert!(!bench.watched.contains(&key));
    assert_eq!(bench.watched.next_due(), None);
}
