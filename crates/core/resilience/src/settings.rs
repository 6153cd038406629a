//! Validated settings of every mechanism, as plain values.

use std::time::Duration;

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PickerKind {
    /// Weighted round robin, smooth: no bursts to one endpoint.
    #[default]
    RoundRobin,
    /// The less busy (requests in flight) of two chosen at random.
    LeastRequest,
    /// The one with the lower peak-EWMA latency times load of two chosen at random.
    PeakEwma,
    /// Rendezvous hash of a key (client address), weighted.
    Rendezvous,
}

/// A token bucket: Traefik's `rateLimit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateSettings {
    /// Requests per `period`; 0 means no limit.
    pub average: u64,
    /// The period of `average`.
    pub period: Duration,
    /// Requests above the average that may come at once, at least 1.
    pub burst: u64,
}

/// A circuit breaker: Traefik's `circuitBreaker`.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSettings {
    /// Opens when true.
    pub expression: BreakerExpression,
    /// Between evaluations of the expression.
    pub check_period: Duration,
    /// Open for this long.
    pub fallback_duration: Duration,
    /// Then lets a growing share through for this long.
    pub recovery_duration: Duration,
    /// Status of a refusal.
    pub response_code: u16,
}

/// When a breaker opens. Comparisons are of numbers; ratios are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub enum BreakerExpression {
    /// Both.
    And(Box<BreakerExpression>, Box<BreakerExpression>),
    /// Either.
    Or(Box<BreakerExpression>, Box<BreakerExpression>),
    /// Not that.
    Not(Box<BreakerExpression>),
    /// A comparison of a measured value with a number.
    Compare(Measure, Operator, f64),
}

/// A measured value, over the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Share of requests that ended in a network error.
    NetworkErrorRatio,
    /// Count of statuses in `[from, to)` over the count in `[div_from, div_to)`, 0 when empty.
    ResponseCodeRatio {
        /// First status of the numerator.
        from: u16,
        /// First status past the numerator.
        to: u16,
        /// First status of the denominator.
        div_from: u16,
        /// First status past the denominator.
        div_to: u16,
    },
    /// Latency in milliseconds at a quantile, 0 to 100.
    LatencyAtQuantileMs(f64),
    /// Number of requests.
    RequestThreshold,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Sets aside endpoints that fail: passive health.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlierSettings {
    /// Failures within `window` that eject; at least 1.
    pub failures: u32,
    /// Failures older than this do not count.
    pub window: Duration,
    /// First ejection lasts this long; each further one longer by the same.
    pub ejection: Duration,
    /// Longest ejection.
    pub ejection_max: Duration,
    /// Share of endpoints that may be set aside at one time, 0 to 1.
    pub ejected_ratio_max: f64,
    /// Whether 5xx answers count as failures (connection failures always do).
    pub on_server_error: bool,
    /// Whether one success forgets all earlier failures: `true` for dialects that count consecutive
    /// failures (Istio, Linkerd), `false` for those that count all within the window (Traefik).
    pub consecutive: bool,
}

/// Waits between the tries of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffSettings {
    /// Bound of the first wait; zero never waits.
    pub initial_interval: Duration,
    /// No wait is shorter, whatever the bounds say; zero leaves all to chance.
    pub interval_min: Duration,
    /// Each further bound is this much larger; 1 or more, a smaller one counts as 1.
    pub factor: f64,
    /// No bound is above this.
    pub interval_max: Duration,
}

impl BackoffSettings {
    /// Traefik's `retry`: grows by 1.5 and never above twice the first interval.
    #[must_use]
    pub const fn traefik(initial_interval: Duration) -> Self {
        Self {
            initial_interval,
            interval_min: Duration::ZERO,
            factor: 1.5,
            interval_max: initial_interval.saturating_mul(2),
        }
    }
}

/// A bound on retries as a share of requests, so that retries cannot multiply an outage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSettings {
    /// Retries per first try that are always allowed, 0 or more; 0.2 is 20 %.
    pub ratio: f64,
    /// Over this time the ratio is measured.
    pub interval: Duration,
    /// Retries allowed per `retries_min_interval` whatever the ratio says.
    pub retries_min: u32,
    /// The period of `retries_min`.
    pub retries_min_interval: Duration,
}

impl BudgetSettings {
    /// 20 % of the requests of 10 s, and 10 retries per second anyway: the defaults of Gateway
    /// API's `retryConstraint`, and of Linkerd's `retryBudget`.
    pub const DEFAULT: Self = Self {
        ratio: 0.2,
        interval: Duration::from_secs(10),
        retries_min: 10,
        retries_min_interval: Duration::from_secs(1),
    };
}

/// Active health checks of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveSettings {
    /// Between probes of a healthy endpoint.
    pub interval: Duration,
    /// Between probes of an unhealthy endpoint.
    pub unhealthy_interval: Duration,
    /// Consecutive failures that make a healthy endpoint unhealthy; 0 counts as 1.
    pub unhealthy_threshold: u32,
    /// Consecutive successes that make an unhealthy endpoint healthy; 0 counts as 1.
    pub healthy_threshold: u32,
}

/// How the share of a new endpoint grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStartSettings {
    /// Time to the full share; zero is at once.
    pub window: Duration,
    /// Share at age zero, 0 to 1.
    pub ratio_min: f64,
    /// Exponent of the growth is `1 / aggression`: 1 is linear, more is faster early on.
    pub aggression: f64,
}

impl SlowStartSettings {
    /// Linear from a tenth, as Envoy and Istio do by default.
    #[must_use]
    pub const fn linear(window: Duration) -> Self {
        Self { window, ratio_min: 0.1, aggression: 1.0 }
    }
}
