use super::*;
use Process::{Application, Proxy as ProxyProcess};

/// A life with a clock that the test moves.
struct Test {
    life: Life,
    now: Instant,
}

impl Test {
    fn begin() -> Self {
        let now = weft_runtime::time::now();
        let (life, first) = Life::begin(Times::DEFAULT, now);
        assert_eq!(first, [Action::Start(ProxyProcess)]);
        Self { life, now }
    }

    /// A life whose application runs.
    fn running() -> Self {
        let mut test = Self::begin();
        test.input(Input::ProxyReady);
        test
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.life.handle(self.now, input)
    }

    fn lose_proxy(&mut self) -> Vec<Action> {
        self.input(Input::Ended(ProxyProcess, Exit::Signal(9)))
    }

    /// Sleeps until it is time, and tells how long, in milliseconds.
    fn tick(&mut self) -> (u128, Vec<Action>) {
        let wake = self.life.wake().expect("something is due");
        let slept = wake - self.now;
        self.now = wake;
        (slept.as_millis(), self.input(Input::Tick))
    }
}

fn lost(restart_in_ms: u64) -> Action {
    Action::Report(Event::ProxyLost { reason: "it ended with signal 9".into(), restart_in_ms })
}

#[test]
fn the_application_waits_for_its_proxy() {
    let mut test = Test::begin();
    assert!(!test.life.runs());
    let started = [
        Action::Report(Event::ProxyReady),
        Action::Start(Application),
        Action::Report(Event::ApplicationStarted),
    ];
    assert_eq!(test.input(Input::ProxyReady), started);
    assert!(test.life.runs());
    assert_eq!(test.life.wake(), None);
}

#[test]
fn the_proxy_ends_with_the_application() {
    let mut test = Test::running();
    let ended = [
        Action::Report(Event::ApplicationEnded(Exit::Code(3))),
        Action::Terminate(Application),
        Action::Terminate(ProxyProcess),
    ];
    assert_eq!(test.input(Input::Ended(Application, Exit::Code(3))), ended);
    let over = [Action::Finish(Outcome::Exited(Exit::Code(3)))];
    assert_eq!(test.input(Input::Ended(ProxyProcess, Exit::Code(0))), over);
    assert_eq!(test.life.wake(), None);
}

#[test]
fn a_proxy_that_does_not_end_is_killed_after_the_grace() {
    let mut test = Test::running();
    test.input(Input::Ended(Application, Exit::Code(0)));
    assert_eq!(test.tick(), (30_000, vec![Action::Kill(ProxyProcess)]));
    let over = [Action::Finish(Outcome::Exited(Exit::Code(0)))];
    assert_eq!(test.lose_proxy(), over);
}

#[test]
fn stop_asks_the_application_and_leaves_it_its_proxy() {
    let mut test = Test::running();
    let stop = [Action::Report(Event::Stopping), Action::Terminate(Application)];
    assert_eq!(test.input(Input::Stop), stop);
    // The proxy dies while the application still finishes: it is needed, so it comes back.
    assert_eq!(test.lose_proxy(), [lost(200)]);
    assert_eq!(test.tick(), (200, vec![Action::Start(ProxyProcess)]));
    assert_eq!(test.input(Input::ProxyReady), [Action::Report(Event::ProxyReady)]);
    let ended = test.input(Input::Ended(Application, Exit::Signal(15)));
    assert_eq!(ended.last(), Some(&Action::Terminate(ProxyProcess)));
    // What is left of the one deadline is the proxy's.
    assert_eq!(test.tick(), (29_800, vec![Action::Kill(ProxyProcess)]));
}

#[test]
fn an_application_that_does_not_stop_is_killed() {
    let mut test = Test::running();
    test.input(Input::Stop);
    assert_eq!(test.tick(), (30_000, vec![Action::Kill(Application)]));
    test.input(Input::Ended(Application, Exit::Signal(9)));
    // The proxy still has a moment to pass on what was written last.
    assert_eq!(test.tick(), (2_000, vec![Action::Kill(ProxyProcess)]));
    assert_eq!(test.lose_proxy(), [Action::Finish(Outcome::Exited(Exit::Signal(9)))]);
}

#[test]
fn stopping_twice_kills() {
    let mut test = Test::running();
    test.input(Input::Stop);
    assert_eq!(test.input(Input::Stop), [Action::Kill(Application)]);
    test.input(Input::Ended(Application, Exit::Signal(9)));
    assert_eq!(test.input(Input::Stop), [Action::Kill(ProxyProcess)]);
}

#[test]
fn stopping_before_the_start_starts_nothing() {
    let mut test = Test::begin();
    let stop = [Action::Report(Event::Stopping), Action::Terminate(ProxyProcess)];
    assert_eq!(test.input(Input::Stop), stop);
    assert_eq!(test.input(Input::ProxyReady), []);
    assert_eq!(test.lose_proxy(), [Action::Finish(Outcome::Stopped)]);
}

#[test]
fn a_lost_proxy_comes_back_more_and_more_slowly() {
    let mut test = Test::running();
    for pause in [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        assert_eq!(test.lose_proxy(), [lost(pause)]);
        assert_eq!(test.tick(), (u128::from(pause), vec![Action::Start(ProxyProcess)]));
        test.input(Input::ProxyReady);
    }
    test.now += Times::DEFAULT.settled;
    assert_eq!(test.lose_proxy(), [lost(200)], "a settled proxy begins anew");
}

#[test]
fn a_proxy_that_never_starts_fails_the_life() {
    let mut test = Test::begin();
    for pause in [200, 400] {
        assert_eq!(test.lose_proxy(), [lost(pause)]);
        test.tick();
    }
    let why = "the proxy does not start: no such program".to_owned();
    let found = test.input(Input::NotStarted(ProxyProcess, "no such program".into()));
    assert_eq!(found, [Action::Finish(Outcome::Failed(why))]);
}

#[test]
fn a_proxy_that_is_never_ready_fails_the_life() {
    let mut test = Test::begin();
    assert_eq!(test.tick(), (30_000, vec![Action::Terminate(ProxyProcess)]));
    assert_eq!(test.tick(), (2_000, vec![Action::Kill(ProxyProcess)]));
    let why = "the proxy was not ready after 30 s".to_owned();
    assert_eq!(test.lose_proxy(), [Action::Finish(Outcome::Failed(why))]);
}

#[test]
fn an_application_that_does_not_start_ends_its_proxy() {
    let mut test = Test::running();
    let failed = test.input(Input::NotStarted(Application, "no such folder".into()));
    assert_eq!(failed, [Action::Terminate(ProxyProcess)]);
    let over = [Action::Finish(Outcome::Failed("no such folder".into()))];
    assert_eq!(test.lose_proxy(), over);
}

#[test]
fn an_application_may_end_while_its_proxy_is_down() {
    let mut test = Test::running();
    test.lose_proxy();
    let ended = test.input(Input::Ended(Application, Exit::Code(0)));
    assert_eq!(ended.last(), Some(&Action::Finish(Outcome::Exited(Exit::Code(0)))));
}
