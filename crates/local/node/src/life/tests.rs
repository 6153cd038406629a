use super::*;
use Process::{Application, Predecessor, Proxy as ProxyProcess, Successor};

/// A life with a clock that the test moves.
struct Test {
    life: Life,
    now: Instant,
}

impl Test {
    fn begin() -> Self {
        let now = weft_runtime::time::now();
        let (life, first) = Life::begin(Times::DEFAULT, true, now);
        assert_eq!(first, [Action::Start(ProxyProcess)]);
        Self { life, now }
    }

    /// A life whose application runs, and listens.
    fn running() -> Self {
        let mut test = Self::begin();
        test.input(Input::Ready(ProxyProcess));
        assert_eq!(
            test.input(Input::Ready(Application)),
            [Action::Report(Event::ApplicationListens)]
        );
        test
    }

    /// One whose proxy is to have a successor.
    fn upgrading() -> Self {
        let mut test = Self::running();
        assert_eq!(test.life.may_upgrade(), Ok(()));
        assert_eq!(test.input(Input::Upgrade), [Action::Start(Successor)]);
        test
    }

    /// One whose proxy has a predecessor.
    fn upgraded() -> Self {
        let mut test = Self::upgrading();
        let upgraded = [Action::Succeed, Action::Report(Event::ProxyUpgraded)];
        assert_eq!(test.input(Input::Ready(Successor)), upgraded);
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
    assert_eq!(test.input(Input::Ready(ProxyProcess)), started);
    assert!(test.life.runs());
}

#[test]
fn an_application_that_does_not_listen_is_worth_a_word_and_no_more() {
    let mut test = Test::begin();
    test.input(Input::Ready(ProxyProcess));
    let silent = Action::Report(Event::ApplicationSilent { after_ms: 5_000 });
    assert_eq!(test.tick(), (5_000, vec![silent]));
    assert_eq!(test.life.wake(), None);
    let listens = [Action::Report(Event::ApplicationListens)];
    assert_eq!(test.input(Input::Ready(Application)), listens);
}

#[test]
fn nobody_is_led_to_an_application_that_is_asked_to_end() {
    let mut test = Test::begin();
    test.input(Input::Ready(ProxyProcess));
    test.input(Input::Stop);
    assert_eq!(test.input(Input::Ready(Application)), []);
}

#[test]
fn the_end_of_a_predecessor_is_no_news() {
    let mut test = Test::upgraded();
    assert_eq!(test.input(Input::Ended(Predecessor, Exit::Code(0))), []);
    assert_eq!(test.life.wake(), None);
    assert_eq!(test.life.may_upgrade(), Ok(()));
    // The successor is the proxy now, with all that follows.
    assert_eq!(test.lose_proxy(), [lost(200)]);
}

#[test]
fn a_predecessor_has_the_time_of_a_drain_and_is_killed_then() {
    let mut test = Test::upgraded();
    assert_eq!(test.tick(), (32_000, vec![Action::Kill(Predecessor)]));
    assert_eq!(test.input(Input::Ended(Predecessor, Exit::Signal(9))), []);
    assert_eq!(test.life.wake(), None);
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let lost = |reason: &str| {
        let reason = format!("the newer proxy does not start: {reason}");
        [Action::Report(Event::ProxyNotUpgraded { reason })]
    };
    let mut test = Test::upgrading();
    let ended = Input::Ended(Successor, Exit::Code(1));
    assert_eq!(test.input(ended), lost("it ended with exit code 1"));
    assert_eq!(test.life.wake(), None);
    test.input(Input::Upgrade);
    let not_started = Input::NotStarted(Successor, "no such program".into());
    assert_eq!(test.input(not_started), lost("no such program"));
    // One that is never ready is killed.
    test.input(Input::Upgrade);
    assert_eq!(test.tick(), (30_000, vec![Action::Kill(Successor)]));
    let ended = Input::Ended(Successor, Exit::Signal(9));
    assert_eq!(test.input(ended), lost("it ended with signal 9"));
    assert_eq!(test.life.may_upgrade(), Ok(()));
}

#[test]
fn a_successor_takes_the_place_of_a_proxy_that_dies() {
    let mut test = Test::upgrading();
    assert_eq!(test.lose_proxy(), [Action::Succeed, lost(0)]);
    assert_eq!(test.life.wake(), None);
    assert_eq!(test.input(Input::Ready(ProxyProcess)), [Action::Report(Event::ProxyReady)]);
}

#[test]
fn one_upgrade_at_a_time_and_none_without_a_proxy() {
    let refused = |test: &mut Test| {
        let reason = test.life.may_upgrade().unwrap_err();
        assert_eq!(test.input(Input::Upgrade), []);
        reason
    };
    assert_eq!(refused(&mut Test::begin()), "its proxy is not ready");
    let mut test = Test::running();
    test.lose_proxy();
    assert_eq!(refused(&mut test), "its proxy is not ready");
    assert_eq!(refused(&mut Test::upgrading()), "it is being upgraded already");
    let finishing = "the proxy of the last upgrade has not finished yet what it had";
    assert_eq!(refused(&mut Test::upgraded()), finishing);
    let mut test = Test::running();
    test.input(Input::Stop);
    assert_eq!(refused(&mut test), "the workload is about to end");
}

#[test]
fn a_life_is_over_when_all_proxies_are_gone() {
    let over = [Action::Finish(Outcome::Exited(Exit::Code(0)))];
    let mut test = Test::upgraded();
    test.input(Input::Ended(Application, Exit::Code(0)));
    assert_eq!(test.lose_proxy(), []);
    assert_eq!(test.tick(), (30_000, vec![Action::Kill(Predecessor), Action::Kill(ProxyProcess)]));
    assert_eq!(test.input(Input::Ended(Predecessor, Exit::Signal(9))), over);

    let mut test = Test::upgrading();
    let ended = test.input(Input::Ended(Application, Exit::Code(0)));
    assert_eq!(ended[2..], [Action::Terminate(ProxyProcess), Action::Kill(Successor)]);
    assert_eq!(test.lose_proxy(), []);
    let last = test.input(Input::Ended(Successor, Exit::Signal(9)));
    assert_eq!(last.last(), over.last());

    // Who asks twice has both killed.
    let mut test = Test::upgraded();
    test.input(Input::Ended(Application, Exit::Code(0)));
    let kill = [Action::Kill(ProxyProcess), Action::Kill(Predecessor)];
    assert_eq!(test.input(Input::Stop), kill);
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
    assert_eq!(test.input(Input::Ready(ProxyProcess)), [Action::Report(Event::ProxyReady)]);
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
    assert_eq!(test.input(Input::Ready(ProxyProcess)), []);
    assert_eq!(test.lose_proxy(), [Action::Finish(Outcome::Stopped)]);
}

#[test]
fn a_lost_proxy_comes_back_more_and_more_slowly() {
    let mut test = Test::running();
    for pause in [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        assert_eq!(test.lose_proxy(), [lost(pause)]);
        assert_eq!(test.tick(), (u128::from(pause), vec![Action::Start(ProxyProcess)]));
        test.input(Input::Ready(ProxyProcess));
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
