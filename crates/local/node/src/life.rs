//! The life of a workload, as a state machine: who is started, signalled and waited for, and when.
//!
//! The proxy comes first and goes last. The application starts when the proxy is ready; when the
//! application ends, by itself or because it was asked to, the proxy finishes what it still has and
//! ends too. A proxy that dies in between is started again, and until it is back the application's
//! connections are refused: nothing passes by it.

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
}

/// One of a workload's two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// The proxy.
    Proxy,
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
    /// The proxy says that it is ready.
    ProxyReady,
    /// A process ended.
    Ended(Process, Exit),
    /// A process could not be started, and why.
    NotStarted(Process, String),
    /// Somebody wants it to end. The second time means at once.
    Stop,
    /// The time of [`Life::wake`] has come.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start it. A proxy is watched until it is ready, which is told by [`Input::ProxyReady`].
    Start(Process),
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
    /// The application is being started.
    ApplicationStarted,
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

// === impl Times ===

impl Times {
    /// 30 s to be ready, 30 s to end (the grace of a pod in Kubernetes), restarts after 0.2 s to
    /// 10 s, forgotten after a minute.
    pub const DEFAULT: Self = Self {
        ready: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        backoff_min: Duration::from_millis(200),
        backoff_max: Duration::from_secs(10),
        settled: Duration::from_secs(60),
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
    /// Begins a life, with what is to be done first.
    pub fn begin(times: Times, now: Instant) -> (Self, Vec<Action>) {
        let phase = Phase::Starting { until: now + times.ready };
        let life = Self { times, phase, proxy: Proxy::Up, deaths: 0 };
        (life, vec![Action::Start(Process::Proxy)])
    }

    /// Whether the application runs, or is still asked to end.
    pub fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping { .. })
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
        retry.into_iter().chain(until).min()
    }

    /// What to do about something that happened.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::ProxyReady => self.proxy_ready(now),
            Input::Ended(Process::Proxy, exit) => {
                self.proxy_lost(now, format!("it ended with {exit}"))
            }
            Input::NotStarted(Process::Proxy, reason) => self.proxy_lost(now, reason),
            Input::Ended(Process::Application, exit) => self.application_ended(now, exit),
            Input::NotStarted(Process::Application, reason) => {
                self.finish_proxy(now, now + FLUSH, Outcome::Failed(reason))
            }
            Input::Stop => self.stop(now),
            Input::Tick => self.tick(now),
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

    fn proxy_lost(&mut self, now: Instant, reason: String) -> Vec<Action> {
        if let Proxy::Ready { since } = self.proxy
            && now.saturating_duration_since(since) >= self.times.settled
        {
            self.deaths = 0;
        }
        self.deaths += 1;
        match &self.phase {
            Phase::Draining { outcome, .. } => {
                let outcome = outcome.clone();
                self.over(outcome)
            }
            Phase::Over => Vec::new(),
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
            Phase::Draining { .. } => vec![Action::Kill(Process::Proxy)],
            Phase::Over => Vec::new(),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let is_over = |until: Instant| until <= now;
        match &mut self.phase {
            Phase::Starting { until } if is_over(*until) => {
                let seconds = self.times.ready.as_secs_f64();
                let reason = format!("the proxy was not ready after {seconds} s");
                return self.finish_proxy(now, now + FLUSH, Outcome::Failed(reason));
            }
            Phase::Stopping { until } if is_over(*until) => {
                // Once more after a while, in case the first came between start and exec.
                *until = now + FLUSH;
                actions.push(Action::Kill(Process::Application));
            }
            Phase::Draining { until, .. } if is_over(*until) => {
                *until = now + FLUSH;
                return vec![Action::Kill(Process::Proxy)];
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

    /// Asks the proxy to end, or is over when there is none.
    fn finish_proxy(&mut self, now: Instant, until: Instant, outcome: Outcome) -> Vec<Action> {
        match self.proxy {
            Proxy::Down { .. } | Proxy::Gone => self.over(outcome),
            Proxy::Up | Proxy::Ready { .. } => {
                self.phase = Phase::Draining { until: until.max(now), outcome };
                vec![Action::Terminate(Process::Proxy)]
            }
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
