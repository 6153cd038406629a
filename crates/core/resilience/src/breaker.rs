//! A circuit breaker: stops calling what fails, and comes back gently.
//!
//! The rules are those of Traefik's `circuitBreaker`. *Closed*, all may pass, and each outcome is
//! counted over a window of ten seconds; an expression of those counts is evaluated after an
//! outcome, at most once per check period. When it is true the breaker is *open*: it refuses all,
//! for the fallback duration. The next request after that makes it *recovering*: the share that may
//! pass grows evenly from none to all over the recovery duration, and the breaker is closed again
//! at its end, or open again as soon as the expression is true.
//!
//! Counts are forgotten when the breaker opens, and outcomes that arrive while it is open (of
//! requests begun before) are not counted: they say nothing about the recovery.
//!
//! **Memory** is fixed by the expression: ten slots of two counters and of two more for each ratio
//! of statuses in it, and 19 KB for latencies if it asks for them.
//!
//! **Threads.** State and deadline are one atomic word, so a closed breaker costs a request one
//! relaxed load to admit and a few relaxed additions to record. One thread per check period
//! evaluates, chosen by an exchange; a mutex is taken as [`window`](crate::window) says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{Epoch, nanos};
use crate::rng::Rng;
use crate::settings::{BreakerExpression, BreakerSettings, Measure, Operator};
use crate::window::{RollingCounters, RollingHistogram};

const SLOTS: usize = 10;
const SLOT_WIDTH: Duration = Duration::from_secs(1);

/// Counters that every breaker has; those of its ratios follow.
const REQUESTS: usize = 0;
const NETWORK_ERRORS: usize = 1;
const RANGES: usize = 2;

/// A circuit breaker, shared by threads.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::breaker::{Breaker, Outcome};
/// use weft_resilience::rng::Rng;
/// use weft_resilience::settings::{BreakerExpression, BreakerSettings, Measure, Operator};
///
/// let settings = BreakerSettings {
///     expression: BreakerExpression::Compare(Measure::NetworkErrorRatio, Operator::Greater, 0.5),
///     check_period: Duration::from_millis(100),
///     fallback_duration: Duration::from_secs(10),
///     recovery_duration: Duration::from_secs(10),
///     response_code: 503,
/// };
/// let (now, rng) = (Instant::now(), Rng::new(1));
/// let breaker = Breaker::new(&settings, now);
/// breaker.admit(now, &rng).expect("closed at first");
/// let latency = Duration::from_millis(3);
/// breaker.record(now, Outcome { status: None, network_error: true, latency });
/// let refused = breaker.admit(now, &rng).expect_err("open after an error");
/// assert_eq!(refused.0, Duration::from_secs(10));
/// ```
#[derive(Debug)]
pub struct Breaker {
    epoch: Epoch,
    check_nanos: u64,
    fallback_nanos: u64,
    recovery_nanos: u64,
    condition: Condition,
    /// Statuses counted, `[from, to)`, in the order of their counters.
    ranges: Box<[(u16, u16)]>,
    counters: RollingCounters,
    latencies: Option<RollingHistogram>,
    /// A [`Phase`], encoded.
    phase: AtomicU64,
    check_at: AtomicU64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Status that the client got, if it got one.
    pub status: Option<u16>,
    /// Whether the upstream could not be reached, broke off or did not answer in time.
    pub network_error: bool,
    /// From admission to the end.
    pub latency: Duration,
}

/// What a breaker does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Lets all pass.
    Closed,
    /// Refuses all.
    Open,
    /// Lets a growing share pass.
    Recovering,
}

/// Refused by a breaker, for so long. While it recovers, the time to full recovery: an earlier
/// attempt may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker is open, for {0:?} more")]
pub struct RetryAfter(pub Duration);

/// A state with its end, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open(u64),
    Recovering(u64),
}

/// The expression, with each ratio of statuses replaced by its counters.
#[derive(Debug)]
enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Meter, Operator, f64),
}

#[derive(Debug, Clone, Copy)]
enum Meter {
    Ratio {
        counter: usize,
        divisor: usize,
    },
    /// Share, 0 to 1.
    LatencyMs(f64),
    Requests,
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: &BreakerSettings, epoch: Instant) -> Self {
        let mut ranges = Vec::new();
        let condition = Condition::new(&settings.expression, &mut ranges);
        let latencies = condition.needs_latencies();
        Self {
            epoch: Epoch::new(epoch),
            check_nanos: nanos(settings.check_period),
            fallback_nanos: nanos(settings.fallback_duration),
            recovery_nanos: nanos(settings.recovery_duration),
            condition,
            counters: RollingCounters::new(RANGES + ranges.len(), SLOTS, SLOT_WIDTH, epoch),
            latencies: latencies.then(|| RollingHistogram::new(SLOTS, SLOT_WIDTH, epoch)),
            ranges: ranges.into(),
            phase: AtomicU64::new(Phase::Closed.encode()),
            check_at: AtomicU64::new(0),
        }
    }

    /// Whether a request may pass. One that may is owed a [`record`](Self::record).
    ///
    /// # Errors
    ///
    /// [`RetryAfter`] while open, and for some requests while recovering.
    pub fn admit(&self, now: Instant, rng: &Rng) -> Result<(), RetryAfter> {
        let mut seen = self.phase.load(Ordering::Relaxed);
        if Phase::decode(seen) == Phase::Closed {
            return Ok(());
        }
        let now = self.epoch.nanos(now);
        loop {
            let next = match Phase::decode(seen) {
                Phase::Closed => return Ok(()),
                Phase::Open(until) if now < until => return Err(retry_after(until - now)),
                Phase::Open(_) => Phase::Recovering(now.saturating_add(self.recovery_nanos)),
                Phase::Recovering(until) if now < until => {
                    return self.admit_share(until - now, rng);
                }
                Phase::Recovering(_) => Phase::Closed,
            };
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            seen = match self.phase.compare_exchange(seen, next.encode(), success, failure) {
                Ok(_) => next.encode(),
                Err(other) => other,
            };
        }
    }

    /// Counts the outcome of a request that was admitted, and opens the breaker if it is time to
    /// check and the expression is true. Returns whether this call opened it.
    pub fn record(&self, now: Instant, outcome: Outcome) -> bool {
        if matches!(self.phase(), Phase::Open(_)) {
            return false;
        }
        let Outcome { status, network_error, latency } = outcome;
        self.counters.add_where(now, 1, |counter| match counter {
            REQUESTS => true,
            NETWORK_ERRORS => network_error,
            range => {
                let (from, to) = self.ranges[range - RANGES];
                status.is_some_and(|status| (from..to).contains(&status))
            }
        });
        if let Some(latencies) = &self.latencies {
            latencies.record(now, latency);
        }
        self.check(now)
    }

    /// What the breaker does at present. An open breaker whose time is up stays open until a
    /// request asks.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase() {
            Phase::Closed => State::Closed,
            Phase::Open(_) => State::Open,
            Phase::Recovering(_) => State::Recovering,
        }
    }

    /// Evaluates the expression if it is time to and no other thread does.
    fn check(&self, now: Instant) -> bool {
        let (check_at, present) = (self.check_at.load(Ordering::Relaxed), self.epoch.nanos(now));
        if present < check_at {
            return false;
        }
        let next = present.saturating_add(self.check_nanos.max(1));
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.check_at.compare_exchange(check_at, next, success, failure).is_err() {
            return false;
        }
        if !self.holds(&self.condition, now) {
            return false;
        }
        let until = present.saturating_add(self.fallback_nanos);
        self.phase.store(Phase::Open(until).encode(), Ordering::Relaxed);
        self.counters.clear();
        if let Some(latencies) = &self.latencies {
            latencies.clear();
        }
        true
    }

    fn holds(&self, condition: &Condition, now: Instant) -> bool {
        match condition {
            Condition::And(one, two) => self.holds(one, now) && self.holds(two, now),
            Condition::Or(one, two) => self.holds(one, now) || self.holds(two, now),
            Condition::Not(one) => !self.holds(one, now),
            Condition::Compare(meter, operator, value) => {
                compare(self.measure(*meter, now), *operator, *value)
            }
        }
    }

    fn measure(&self, meter: Meter, now: Instant) -> f64 {
        match meter {
            Meter::Requests => self.counters.sum(now, REQUESTS) as f64,
            Meter::Ratio { counter, divisor } => match self.counters.sum(now, divisor) {
                0 => 0.0,
                divisor => self.counters.sum(now, counter) as f64 / divisor as f64,
            },
            Meter::LatencyMs(ratio) => self
                .latencies
                .as_ref()
                .and_then(|latencies| latencies.quantile(now, ratio))
                .map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0),
        }
    }

    /// Admits with a chance that grows with the part of the recovery that is over.
    fn admit_share(&self, left_nanos: u64, rng: &Rng) -> Result<(), RetryAfter> {
        let over = 1.0 - left_nanos as f64 / self.recovery_nanos.max(1) as f64;
        if rng.ratio() < over { Ok(()) } else { Err(retry_after(left_nanos)) }
    }

    fn phase(&self) -> Phase {
        Phase::decode(self.phase.load(Ordering::Relaxed))
    }
}

// === impl Phase ===

impl Phase {
    /// The kind in the two lowest bits, the end above them: enough for 146 years.
    fn encode(self) -> u64 {
        let end = |until: u64| until.min(u64::MAX >> 2) << 2;
        match self {
            Self::Closed => 0,
            Self::Open(until) => end(until) | 1,
            Self::Recovering(until) => end(until) | 2,
        }
    }

    fn decode(word: u64) -> Self {
        match word & 3 {
            0 => Self::Closed,
            1 => Self::Open(word >> 2),
            _ => Self::Recovering(word >> 2),
        }
    }
}

// === impl Condition ===

impl Condition {
    fn new(expression: &BreakerExpression, ranges: &mut Vec<(u16, u16)>) -> Self {
        match expression {
            BreakerExpression::And(one, two) => {
                Self::And(Self::boxed(one, ranges), Self::boxed(two, ranges))
            }
            BreakerExpression::Or(one, two) => {
                Self::Or(Self::boxed(one, ranges), Self::boxed(two, ranges))
            }
            BreakerExpression::Not(one) => Self::Not(Self::boxed(one, ranges)),
            BreakerExpression::Compare(measure, operator, value) => {
                Self::Compare(Meter::new(*measure, ranges), *operator, *value)
            }
        }
    }

    fn boxed(expression: &BreakerExpression, ranges: &mut Vec<(u16, u16)>) -> Box<Self> {
        Box::new(Self::new(expression, ranges))
    }

    fn needs_latencies(&self) -> bool {
        match self {
            Self::And(one, two) | Self::Or(one, two) => {
                one.needs_latencies() || two.needs_latencies()
            }
            Self::Not(one) => one.needs_latencies(),
            Self::Compare(meter, ..) => matches!(meter, Meter::LatencyMs(_)),
        }
    }
}

// === impl Meter ===

impl Meter {
    fn new(measure: Measure, ranges: &mut Vec<(u16, u16)>) -> Self {
        match measure {
            Measure::NetworkErrorRatio => {
                Self::Ratio { counter: NETWORK_ERRORS, divisor: REQUESTS }
            }
            Measure::ResponseCodeRatio { from, to, div_from, div_to } => Self::Ratio {
                counter: counter_of((from, to), ranges),
                divisor: counter_of((div_from, div_to), ranges),
            },
            Measure::LatencyAtQuantileMs(percent) => Self::LatencyMs(percent / 100.0),
            Measure::RequestThreshold => Self::Requests,
        }
    }
}

/// The counter of a range of statuses; equal ranges share one.
fn counter_of(range: (u16, u16), ranges: &mut Vec<(u16, u16)>) -> usize {
    let known = ranges.iter().position(|one| *one == range);
    RANGES
        + known.unwrap_or_else(|| {
            ranges.push(range);
            ranges.len() - 1
        })
}

fn compare(measured: f64, operator: Operator, value: f64) -> bool {
    match operator {
        Operator::Less => measured < value,
        Operator::LessOrEqual => measured <= value,
        Operator::Greater => measured > value,
        Operator::GreaterOrEqual => measured >= value,
        Operator::Equal => measured == value,
        Operator::NotEqual => measured != value,
    }
}

fn retry_after(nanos: u64) -> RetryAfter {
    RetryAfter(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests;
