//! The life of a workload, as a state machine: who is started, signalled and waited for, and when.
//!
//! The proxy comes first and goes last. The application starts when the proxy is ready; when the
//! application ends, by itself or because it was asked to, the proxy finishes what it still has and
//! ends too. A proxy that dies in between is started again, and until it is back the application's
//! connections are refused: nothing passes by it. A proxy that is to be another program gets a
//! successor, which takes its sockets over, and finishes as its predecessor.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// How often a proxy may end before it was ever ready. More would only hide its reason for longer.
const STARTS_MAX: u32 = 3;

/// The least time that a proxy has to finish once the application is gone: what was written last is
/// still on its way.
const FLUSH: Duration = Duration::from_secs(2);

/// Times of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long the proxy may take to be ready for the first time.
    pub ready: Duration,
    /// How long application and proxy together may take to end. One deadline for both: what the
    /// application does not use is the proxy's, and it has 2 s in any case.
    pub grace: Duration,
    /// The pause before a proxy that has died is started again. It doubles each time ...
    pub backoff_min: Duration,
    /// ... up to this.
    pub backoff_max: Duration,
    /// How long a proxy has to be ready for its deaths to be forgotten.
    pub settled: Duration,
    /// How long an application may take to listen on its ports before that is worth a word.
    pub listens: Duration,
}

/// One of a workload's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The proxy.
    Proxy,
    /// A proxy that is to take the place of the one there is, once it is ready.
    Successor,
    /// The proxy that there was before: it finishes what it still has.
    Predecessor,
    /// The application.
    Application,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What happens to a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A proxy or successor says that it is ready; the application listens on its ports.
    Ready(Process),
    /// A process ended.
    Ended(Process, Exit),
    /// A process could not be started, and why.
    NotStarted(Process, String),
    /// Somebody wants another proxy in the place of the one there is. Only when
    /// [`Life::may_upgrade`].
    Upgrade,
    /// Somebody wants it to end. The second time means at once.
    Stop,
    /// The time of [`Life::wake`] has come.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start it. It is watched until it is ready, which is told by [`Input::Ready`].
    Start(Process),
    /// The successor is the proxy from now on, and the proxy its predecessor.
    Succeed,
    /// Ask it to end (SIGTERM); for the application, everything in its process group.
    Terminate(Process),
    /// End it (SIGKILL), likewise.
    Kill(Process),
    /// Tell whoever is interested.
    Report(Event),
    /// Both are gone.
    Finish(Outcome),
}

/// What those who run a workload may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The proxy is ready, for the first time or again.
    ProxyReady,
    /// The proxy is gone, which nobody has asked for. Connections are refused until it is back.
    ProxyLost {
        /// Why.
        reason: String,
        /// When it is started again, milliseconds from now.
        restart_in_ms: u64,
    },
    /// Another process is the proxy now; the one before finishes what it has.
    ProxyUpgraded,
    /// The proxy stays what it is.
    ProxyNotUpgraded {
        /// Why.
        reason: String,
    },
    /// The application is being started.
    ApplicationStarted,
    /// The application listens on its ports: others may call it.
    ApplicationListens,
    /// The application does not listen yet; nobody is led to it before it does.
    ApplicationSilent {
        /// For how long it has been running, milliseconds.
        after_ms: u64,
    },
    /// The workload was asked to end; nobody should call it any more.
    Stopping,
    /// The application has ended and the proxy finishes.
    ApplicationEnded(Exit),
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The application ran, and ended so.
    Exited(Exit),
    /// It was stopped before the application began.
    Stopped,
    /// The application never ran, and why.
    Failed(String),
}

/// The life of one workload. Feed it [`Input`] and do what it says.
#[derive(Debug)]
pub struct Life {
    times: Times,
    phase: Phase,
    proxy: Proxy,
    upgrade: Upgrade,
    /// Whether the application is to listen on ports.
    has_ports: bool,
    /// When it is told that the application does not listen yet.
    silence: Option<Instant>,
    /// Deaths of the proxy since it was last settled.
    deaths: u32,
}

#[derive(Debug)]
enum Phase {
    /// The proxy is to become ready.
    Starting { until: Instant },
    /// The application runs.
    Running,
    /// The application is asked to end.
    Stopping { until: Instant },
    /// The application is gone or never was; the proxy is asked to end.
    Draining { until: Instant, outcome: Outcome },
    /// Nothing is left.
    Over,
}

#[derive(Debug, Clone, Copy)]
enum Proxy {
    /// It runs and is not ready.
    Up,
    /// It has been ready since.
    Ready { since: Instant },
    /// It is to be started then.
    Down { retry: Instant },
    /// It has been ended for good.
    Gone,
}

/// What there is besides the proxy.
#[derive(Debug, Clone, Copy)]
enum Upgrade {
    /// Nothing.
    None,
    /// A successor, which is to become ready.
    Starting { until: Instant },
    /// A predecessor, which finishes.
    Finishing { until: Instant },
}

// === impl Times ===

impl Times {
    /// 30 s to be ready, 30 s to end (the grace of a pod in Kubernetes), restarts after 0.2 s to
    /// 10 s, forgotten after a minute; a word after 5 s without listening.
    pub const DEFAULT: Self = Self {
        ready: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        backoff_min: Duration::from_millis(200),
        backoff_max: Duration::from_secs(10),
        settled: Duration::from_secs(60),
        listens: Duration::from_secs(5),
    };
}

impl Default for Times {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl Exit ===

impl Exit {
    /// The code that a shell gives for it: 128 and the signal's number for a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

// === impl Life ===

impl Life {
    /// Begins a life, with what is to be done first. With `has_ports` it is waited for that the
    /// application listens.
    pub fn begin(times: Times, has_ports: bool, now: Instant) -> (Self, Vec<Action>) {
        let phase = Phase::Starting { until: now + times.ready };
        let life = Self {
            times,
            phase,
            proxy: Proxy::Up,
            upgrade: Upgrade::None,
            has_ports,
            silence: None,
            deaths: 0,
        };
        (life, vec![Action::Start(Process::Proxy)])
    }

    /// Whether the application runs, or is still asked to end.
    pub fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping { .. })
    }

    /// Whether the proxy may be upgraded now.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    pub fn may_upgrade(&self) -> Result<(), &'static str> {
        match (&self.phase, self.proxy, self.upgrade) {
            (Phase::Stopping { .. } | Phase::Draining { .. } | Phase::Over, ..) => {
                Err("the workload is about to end")
            }
            (_, _, Upgrade::Starting { .. }) => Err("it is being upgraded already"),
            (_, _, Upgrade::Finishing { .. }) => {
                Err("the proxy of the last upgrade has not finished yet what it had")
            }
            (Phase::Running, Proxy::Ready { .. }, Upgrade::None) => Ok(()),
            (Phase::Starting { .. } | Phase::Running, ..) => Err("its proxy is not ready"),
        }
    }

    /// When to come back with [`Input::Tick`].
    pub fn wake(&self) -> Option<Instant> {
        let retry = match self.proxy {
            Proxy::Down { retry } => Some(retry),
            Proxy::Up | Proxy::Ready { .. } | Proxy::Gone => None,
        };
        let until = match self.phase {
            Phase::Starting { until }
            | Phase::Stopping { until }
            | Phase::Draining { until, .. } => Some(until),
            Phase::Running | Phase::Over => None,
        };
        let upgrade = match self.upgrade {
            Upgrade::Starting { until } | Upgrade::Finishing { until } => Some(until),
            Upgrade::None => None,
        };
        [retry, until, upgrade, self.silence].into_iter().flatten().min()
    }

    /// What to do about something that happened.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::Ready(Process::Proxy) => self.proxy_ready(now),
            Input::Ready(Process::Successor) => self.succeed(now, true),
            Input::Ready(Process::Application) => self.application_ready(),
            Input::Ended(Process::Proxy, exit) => self.proxy_lost(now, ended(exit)),
            Input::Ended(Process::Successor, exit) => self.successor_lost(ended(exit)),
            Input::Ended(Process::Predecessor, _) => self.predecessor_gone(),
            Input::Ended(Process::Application, exit) => self.application_ended(now, exit),
            Input::NotStarted(Process::Proxy, reason) => self.proxy_lost(now, reason),
            Input::NotStarted(Process::Successor, reason) => self.successor_lost(reason),
            Input::NotStarted(Process::Application, reason) => {
                self.finish_proxy(now, now + FLUSH, Outcome::Failed(reason))
            }
            Input::Upgrade => self.upgrade(now),
            Input::Stop => self.stop(now),
            Input::Tick => self.tick(now),
            // Nobody starts or awaits a predecessor.
            Input::Ready(Process::Predecessor) | Input::NotStarted(Process::Predecessor, _) => {
                Vec::new()
            }
        }
    }

    fn proxy_ready(&mut self, now: Instant) -> Vec<Action> {
        if !matches!(self.proxy, Proxy::Up) {
            return Vec::new();
        }
        self.proxy = Proxy::Ready { since: now };
        match self.phase {
            Phase::Starting { .. } => {
                self.phase = Phase::Running;
                self.silence = self.has_ports.then_some(now + self.times.listens);
                vec![
                    Action::Report(Event::ProxyReady),
                    Action::Start(Process::Application),
                    Action::Report(Event::ApplicationStarted),
                ]
            }
            Phase::Running | Phase::Stopping { .. } => vec![Action::Report(Event::ProxyReady)],
            Phase::Draining { .. } | Phase::Over => Vec::new(),
        }
    }

    fn application_ready(&mut self) -> Vec<Action> {
        self.silence = None;
        match self.phase {
            Phase::Running => vec![Action::Report(Event::ApplicationListens)],
            Phase::Starting { .. }
            | Phase::Stopping { .. }
            | Phase::Draining { .. }
            | Phase::Over => Vec::new(),
        }
    }

    fn upgrade(&mut self, now: Instant) -> Vec<Action> {
        match self.may_upgrade() {
            Ok(()) => {
                self.upgrade = Upgrade::Starting { until: now + self.times.ready };
                vec![Action::Start(Process::Successor)]
            }
            Err(_) => Vec::new(),
        }
    }

    /// The successor takes the place of the proxy.
    fn succeed(&mut self, now: Instant, is_ready: bool) -> Vec<Action> {
        if !matches!(self.upgrade, Upgrade::Starting { .. }) {
            return Vec::new();
        }
        if is_ready {
            self.proxy = Proxy::Ready { since: now };
            self.upgrade = Upgrade::Finishing { until: now + self.times.grace + FLUSH };
            return vec![Action::Succeed, Action::Report(Event::ProxyUpgraded)];
        }
        self.proxy = Proxy::Up;
        self.upgrade = Upgrade::None;
        vec![Action::Succeed]
    }

    /// The proxy there is goes on, as if nothing had been tried.
    fn successor_lost(&mut self, reason: String) -> Vec<Action> {
        if !matches!(self.upgrade, Upgrade::Starting { .. }) {
            return Vec::new();
        }
        self.upgrade = Upgrade::None;
        let reason = format!("the newer proxy does not start: {reason}");
        let mut actions = vec![Action::Report(Event::ProxyNotUpgraded { reason })];
        actions.extend(self.over_if_alone());
        actions
    }

    fn predecessor_gone(&mut self) -> Vec<Action> {
        self.upgrade = Upgrade::None;
        self.over_if_alone()
    }

    fn proxy_lost(&mut self, now: Instant, reason: String) -> Vec<Action> {
        if let Proxy::Ready { since } = self.proxy
            && now.saturating_duration_since(since) >= self.times.settled
        {
            self.deaths = 0;
        }
        self.deaths += 1;
        match &self.phase {
            Phase::Draining { .. } => {
                self.proxy = Proxy::Gone;
                self.over_if_alone()
            }
            Phase::Over => Vec::new(),
            Phase::Running | Phase::Stopping { .. }
                if matches!(self.upgrade, Upgrade::Starting { .. }) =>
            {
                // The successor has the sockets, and comes sooner than anybody else.
                let mut actions = self.succeed(now, false);
                actions.push(Action::Report(Event::ProxyLost { reason, restart_in_ms: 0 }));
                actions
            }
            Phase::Starting { .. } if self.deaths >= STARTS_MAX => {
                let reason = format!("the proxy does not start: {reason}");
                self.over(Outcome::Failed(reason))
            }
            Phase::Starting { .. } | Phase::Running | Phase::Stopping { .. } => {
                let pause = self.backoff();
                self.proxy = Proxy::Down { retry: now + pause };
                let restart_in_ms = pause.as_millis() as u64;
                vec![Action::Report(Event::ProxyLost { reason, restart_in_ms })]
            }
        }
    }

    fn application_ended(&mut self, now: Instant, exit: Exit) -> Vec<Action> {
        let until = match self.phase {
            Phase::Running => now + self.times.grace,
            Phase::Stopping { until } => until.max(now + FLUSH),
            Phase::Starting { .. } | Phase::Draining { .. } | Phase::Over => return Vec::new(),
        };
        let mut actions = vec![Action::Report(Event::ApplicationEnded(exit))];
        // What it has left behind in its process group ends with it.
        actions.push(Action::Terminate(Process::Application));
        actions.extend(self.finish_proxy(now, until, Outcome::Exited(exit)));
        actions
    }

    fn stop(&mut self, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Starting { .. } => {
                let mut actions = vec![Action::Report(Event::Stopping)];
                actions.extend(self.finish_proxy(now, now + FLUSH, Outcome::Stopped));
                actions
            }
            Phase::Running => {
                self.phase = Phase::Stopping { until: now + self.times.grace };
                vec![Action::Report(Event::Stopping), Action::Terminate(Process::Application)]
            }
            Phase::Stopping { .. } => {
                self.phase = Phase::Stopping { until: now + FLUSH };
                vec![Action::Kill(Process::Application)]
            }
            Phase::Draining { .. } => {
                let older = matches!(self.upgrade, Upgrade::Finishing { .. });
                let older = older.then_some(Action::Kill(Process::Predecessor));
                [Action::Kill(Process::Proxy)].into_iter().chain(older).collect()
            }
            Phase::Over => Vec::new(),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let is_over = |until: Instant| until <= now;
        match &mut self.upgrade {
            Upgrade::Starting { until } if is_over(*until) => {
                *until = now + FLUSH;
                actions.push(Action::Kill(Process::Successor));
            }
            Upgrade::Finishing { until } if is_over(*until) => {
                *until = now + FLUSH;
                actions.push(Action::Kill(Process::Predecessor));
            }
            Upgrade::None | Upgrade::Starting { .. } | Upgrade::Finishing { .. } => {}
        }
        if self.silence.is_some_and(is_over) {
            self.silence = None;
            let after_ms = self.times.listens.as_millis() as u64;
            actions.push(Action::Report(Event::ApplicationSilent { after_ms }));
        }
        match &mut self.phase {
            Phase::Starting { until } if is_over(*until) => {
                let seconds = self.times.ready.as_secs_f64();
                let reason = format!("the proxy was not ready after {seconds} s");
                actions.extend(self.finish_proxy(now, now + FLUSH, Outcome::Failed(reason)));
                return actions;
            }
            Phase::Stopping { until } if is_over(*until) => {
                // Once more after a while, in case the first came between start and exec.
                *until = now + FLUSH;
                actions.push(Action::Kill(Process::Application));
            }
            Phase::Draining { until, .. } if is_over(*until) => {
                *until = now + FLUSH;
                actions.push(Action::Kill(Process::Proxy));
                return actions;
            }
            _ => {}
        }
        if let Proxy::Down { retry } = self.proxy
            && is_over(retry)
        {
            self.proxy = Proxy::Up;
            actions.push(Action::Start(Process::Proxy));
        }
        actions
    }

    /// Asks the proxies to end, or is over when there is none.
    fn finish_proxy(&mut self, now: Instant, until: Instant, outcome: Outcome) -> Vec<Action> {
        let until = until.max(now);
        self.phase = Phase::Draining { until, outcome };
        self.silence = None;
        let mut actions = Vec::new();
        match self.proxy {
            Proxy::Down { .. } | Proxy::Gone => self.proxy = Proxy::Gone,
            Proxy::Up | Proxy::Ready { .. } => actions.push(Action::Terminate(Process::Proxy)),
        }
        match &mut self.upgrade {
            Upgrade::Starting { .. } => actions.push(Action::Kill(Process::Successor)),
            // It is finishing already; the deadline is one for all.
            Upgrade::Finishing { until: end } => *end = (*end).min(until),
            Upgrade::None => {}
        }
        actions.extend(self.over_if_alone());
        actions
    }

    /// It is over when it ends and no process is left.
    fn over_if_alone(&mut self) -> Vec<Action> {
        match (&self.phase, self.proxy, self.upgrade) {
            (Phase::Draining { outcome, .. }, Proxy::Gone, Upgrade::None) => {
                let outcome = outcome.clone();
                self.over(outcome)
            }
            _ => Vec::new(),
        }
    }

    fn over(&mut self, outcome: Outcome) -> Vec<Action> {
        self.phase = Phase::Over;
        self.proxy = Proxy::Gone;
        vec![Action::Finish(outcome)]
    }

    fn backoff(&self) -> Duration {
        let doublings = self.deaths.saturating_sub(1).min(16);
        (self.times.backoff_min * (1 << doublings)).min(self.times.backoff_max)
    }
}

fn ended(exit: Exit) -> String {
    format!("it ended with {exit}")
}
