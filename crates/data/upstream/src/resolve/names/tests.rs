use super::*;
use crate::testing::{backend, named, prepared};

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    now: Instant,
    names: Names,
    resolved: Resolved,
}

impl Bench {
    fn new(names: &[&str]) -> Self {
        let mut bench = Self {
            now: weft_runtime::time::now(),
            names: Names::new(Rng::new(1)),
            resolved: Resolved::new(),
        };
        bench.follow(names);
        bench
    }

    /// Each name is the id of its backend too; the port is 80.
    fn follow(&mut self, names: &[&str]) {
        let backends = names.iter().map(|name| named(name, name, 80));
        self.names.follow(&prepared(backends), self.now);
    }

    /// Goes to the next look-up and answers it; gives how long it was waited for.
    fn answer(&mut self, answer: Option<(&[&str], Duration)>) -> Duration {
        let before = self.now;
        self.now = self.names.next_due().expect("a look-up is planned").max(self.now);
        let name = self.names.take_due(self.now).expect("its time has come");
        let answer = answer.map(|(addrs, ttl)| Answer {
            addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
            ttl,
        });
        self.names.record(&name, self.now, answer);
        self.now - before
    }

    fn addrs(&mut self, id: &str) -> Option<String> {
        self.resolved = self.names.resolved(self.now, &self.resolved);
        let endpoints = self.resolved.get(&BackendId::new(id))?;
        Some(endpoints.iter().map(|one| one.addr.to_string()).collect::<Vec<_>>().join(" "))
    }
}

#[test]
fn literals_need_no_look_up() {
    let names = ["127.0.0.1", "[::1]", "::1", "localhost", "LOCALHOST."];
    let mut bench = Bench::new(&names);
    assert_eq!(bench.names.next_due(), None);
    let all = names.map(|name| bench.addrs(name).unwrap());
    assert_eq!(all, ["127.0.0.1:80", "[::1]:80", "[::1]:80", "127.0.0.1:80", "127.0.0.1:80"]);
}

#[test]
fn answers_are_sorted_and_hold_for_their_ttl_within_bounds() {
    let mut bench = Bench::new(&["shop"]);
    assert_eq!(bench.addrs("shop"), None);
    let addrs = &["10.0.0.2", "2001:db8::1", "10.0.0.1", "10.0.0.2"][..];
    assert_eq!(bench.answer(Some((addrs, 30 * SECOND))), Duration::ZERO);
    assert_eq!(bench.addrs("shop").unwrap(), "10.0.0.1:80 10.0.0.2:80 [2001:db8::1]:80");
    assert_eq!(bench.answer(Some((addrs, Duration::ZERO))), 30 * SECOND);
    assert_eq!(bench.answer(Some((addrs, 86_400 * SECOND))), SECOND);
    assert_eq!(bench.answer(Some((addrs, SECOND))), 300 * SECOND);
}

#[test]
fn equal_answers_keep_their_place_in_memory() {
    let mut bench = Bench::new(&["shop"]);
    bench.answer(Some((&["10.0.0.1", "10.0.0.2"], SECOND)));
    bench.addrs("shop");
    let before = bench.resolved[&BackendId::new("shop")].clone();
    bench.answer(Some((&["10.0.0.2", "10.0.0.1"], SECOND)));
    bench.addrs("shop");
    assert!(Arc::ptr_eq(&before, &bench.resolved[&BackendId::new("shop")]));
}

#[test]
fn failures_back_off_and_keep_the_last_answer_for_an_hour() {
    let mut bench = Bench::new(&["shop"]);
    bench.answer(Some((&["10.0.0.1"], SECOND)));
    let ended = bench.now + SECOND;
    let mut waits = Vec::new();
    while bench.now < ended + STALE_MAX - 70 * SECOND {
        waits.push(bench.answer(if waits.len() % 2 == 0 { None } else { Some((&[], SECOND)) }));
        assert_eq!(bench.addrs("shop").unwrap(), "10.0.0.1:80", "after {waits:?}");
    }
    let near = |wait: Duration, wanted: Duration| wait.abs_diff(wanted) <= wanted / 8;
    for (wait, secs) in waits.iter().zip([1, 1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        assert!(near(*wait, secs * SECOND), "{wait:?} is not about {secs} s in {waits:?}");
    }
    assert_eq!(bench.names.next_end(bench.now), Some(ended + STALE_MAX));
    bench.now = ended + STALE_MAX;
    assert_eq!(bench.addrs("shop").unwrap(), "");
    // And it recovers.
    bench.answer(Some((&["10.0.0.9"], SECOND)));
    assert_eq!(bench.addrs("shop").unwrap(), "10.0.0.9:80");
}

#[test]
fn a_name_is_asked_for_once_for_all_its_backends() {
    let mut bench = Bench::new(&[]);
    let backends = [named("a", "shop", 80), named("b", "shop", 8080)];
    bench.names.follow(&prepared(backends), bench.now);
    bench.answer(Some((&["10.0.0.1"], 30 * SECOND)));
    assert_eq!(bench.names.take_due(bench.now), None);
    assert_eq!(bench.addrs("a").unwrap(), "10.0.0.1:80");
    assert_eq!(bench.addrs("b").unwrap(), "10.0.0.1:8080");
}

#[test]
fn what_is_gone_is_forgotten_and_what_stays_keeps_its_turn() {
    let mut bench = Bench::new(&["shop", "cart"]);
    bench.answer(Some((&["10.0.0.1"], 30 * SECOND)));
    bench.answer(Some((&["10.0.0.1"], 30 * SECOND)));
    let planned = bench.names.next_due();
    bench.follow(&["shop"]);
    assert_eq!(bench.addrs("cart"), None);
    assert_eq!(bench.addrs("shop").unwrap(), "10.0.0.1:80");
    assert_eq!(bench.names.next_due(), planned);
    bench.now = planned.unwrap();
    let name = bench.names.take_due(bench.now).unwrap();
    assert_eq!(&*name, "shop");
    bench.names.follow(&prepared([backend("shop", &[])]), bench.now);
    bench.names.record(&name, bench.now, None);
    assert_eq!(bench.names.next_due(), None);
}
