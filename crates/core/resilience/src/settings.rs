//! Validated settings of every mechanism, as plain values.

use std::time::Duration;

mod status_set;

pub use status_set::StatusSet;

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
    /// At random, by weight.
    Random,
    /// Rendezvous hash of a key (client address), weighted.
    Rendezvous,
    /// Ring hash of a key, weighted: Envoy's `RING_HASH`, Istio's `consistentHash.ringHash`.
    RingHash(RingHashSettings),
    /// Maglev hash of a key, weighted: Envoy's `MAGLEV`, Istio's `consistentHash.maglev`.
    Maglev(MaglevSettings),
    /// Round robin, weighted by what endpoints report of their load: Envoy's
    /// `client_side_weighted_round_robin` (gRFC A58).
    WeightedByLoad(LoadReportSettings),
}

impl PickerKind {
    /// Whether requests with the same key go to the same endpoint.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::Rendezvous | Self::RingHash(_) | Self::Maglev(_))
    }
}

/// A hash ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingHashSettings {
    /// Points on the ring at least: the more, the more even the shares. At least 1.
    pub size_min: u32,
    /// Points on the ring at most, at least `size_min` and at most
    /// [`SIZE_MAX`](Self::SIZE_MAX).
    pub size_max: u32,
    /// No endpoint gets more than this percentage of its share of the requests in flight; its keys
    /// go on to the next one meanwhile. `None` is no bound, below 100 counts as 100.
    pub load_max_percent: Option<u32>,
}

/// A Maglev table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaglevSettings {
    /// Places in the table, best 100 times the number of endpoints or more. What is not a prime
    /// counts as the next one, above [`SIZE_MAX`](Self::SIZE_MAX) as that.
    pub size: u32,
    /// As in [`RingHashSettings::load_max_percent`].
    pub load_max_percent: Option<u32>,
}

/// How reports of load become weights (gRFC A58).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadReportSettings {
    /// Reports must have come for so long before they count.
    pub blackout: Duration,
    /// A report counts for so long.
    pub expiration: Duration,
    /// Between two looks at the weights, at least 100 ms.
    pub update_period: Duration,
    /// What an endpoint's errors per request add to its utilization, in percent; 0 for nothing.
    pub error_penalty_percent: u32,
}

/// How tiers and localities share the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalitySettings {
    /// A tier or locality carries its full share while its usable endpoints, times this percentage,
    /// are no fewer than all of them. Below 100 counts as 100.
    pub overprovisioning_percent: u32,
    /// Whether localities of a tier share by their weights; if not, endpoints share regardless of
    /// where they are.
    pub weighted: bool,
}

impl RingHashSettings {
    /// The largest ring.
    pub const SIZE_MAX: u32 = 8 << 20;

    /// 1024 points or more, no bound on load: the defaults of Envoy and Istio.
    pub const DEFAULT: Self =
        Self { size_min: 1_024, size_max: Self::SIZE_MAX, load_max_percent: None };
}

impl MaglevSettings {
    /// The largest prime that Envoy and Istio take.
    pub const SIZE_MAX: u32 = 5_000_011;

    /// 65,537 places, no bound on load: the defaults of Envoy and Istio.
    pub const DEFAULT: Self = Self { size: 65_537, load_max_percent: None };
}

impl LoadReportSettings {
    /// 10 s of blackout, 3 min of expiration, a look each second, errors count in full: the
    /// defaults of gRFC A58.
    pub const DEFAULT: Self = Self {
        blackout: Duration::from_secs(10),
        expiration: Duration::from_secs(180),
        update_period: Duration::from_secs(1),
        error_penalty_percent: 100,
    };
}

impl LocalitySettings {
    /// Envoy's 140 %, without weights of localities.
    pub const DEFAULT: Self = Self { overprovisioning_percent: 140, weighted: false };
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
///
/// Whichever of the triggers is there and fires first ejects. A *failure* is an answer with one of
/// the [`errors`](Self::errors), and, unless [`split_local`](Self::split_local), a connection that
/// failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlierSettings {
    /// Failures in a row; 0 counts as 1.
    pub consecutive: Option<u32>,
    /// Failures in a row with a status of 502, 503 or 504, or by connection; 0 counts as 1.
    pub consecutive_gateway: Option<u32>,
    /// Connections that failed in a row, where they are counted apart; 0 counts as 1.
    pub consecutive_local: Option<u32>,
    /// Failures within a window, whatever succeeds between them.
    pub in_window: Option<WindowTrigger>,
    /// Too low a share of successes.
    pub success_rate: Option<SuccessRateTrigger>,
    /// Statuses of answers that count as failures.
    pub errors: StatusSet,
    /// Whether failures to connect are counted apart from answers, by
    /// [`consecutive_local`](Self::consecutive_local) only.
    pub split_local: bool,
    /// For how long.
    pub ejection: EjectionSettings,
    /// Share of endpoints that may be set aside at one time, 0 to 1. One at least, where others
    /// remain.
    pub ejected_ratio_max: f64,
    /// With less than this share of endpoints usable, 0 to 1, all of them are used whatever is
    /// known of them: for [`Picker::with_panic_ratio`](crate::pick::Picker::with_panic_ratio).
    pub usable_ratio_min: f64,
}

/// So many failures within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowTrigger {
    /// Failures that eject; 0 counts as 1.
    pub failures: u32,
    /// Older ones do not count.
    pub window: Duration,
}

/// A share of successes below a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRateTrigger {
    /// A lower share of successes ejects, 0 to 1.
    pub ratio_min: f64,
    /// Over which it is measured.
    pub window: Duration,
    /// With fewer requests in the window nothing follows.
    pub requests_min: u32,
    /// Statuses that are no success for this trigger, and fail a probe, beside
    /// [`OutlierSettings::errors`].
    pub errors: StatusSet,
}

/// How long an endpoint is set aside, and how it comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EjectionSettings {
    /// The first time.
    pub base: Duration,
    /// At most, jitter included.
    pub max: Duration,
    /// How further ejections grow.
    pub growth: Growth,
    /// Each is longer by a random share of itself, up to this; 0 is no jitter.
    pub jitter_ratio: f64,
    /// After each such time without an ejection, the next one is a step shorter; zero is never.
    pub forgiven_after: Duration,
    /// Whether it comes back with one request, whose outcome decides, instead of its full share.
    pub probation: bool,
}

/// How the ejections of one endpoint grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Growth {
    /// Each is longer than the one before by the first one.
    Linear,
    /// Each is twice the one before.
    Double,
}

impl OutlierSettings {
    /// No trigger: nothing is set aside. 5xx are errors, and an ejection would be as Envoy's: of a
    /// tenth of the endpoints at one time, for [`EjectionSettings::ENVOY`].
    pub const NONE: Self = Self {
        consecutive: None,
        consecutive_gateway: None,
        consecutive_local: None,
        in_window: None,
        success_rate: None,
        errors: StatusSet::SERVER_ERRORS,
        split_local: false,
        ejection: EjectionSettings::ENVOY,
        ejected_ratio_max: 0.1,
        usable_ratio_min: 0.0,
    };

    /// Istio's `outlierDetection` with all fields at their defaults: five 5xx in a row.
    pub const ISTIO: Self = Self { consecutive: Some(5), ..Self::NONE };

    /// Linkerd's `failure-accrual: consecutive` with all annotations at their defaults: seven
    /// failures in a row, and a probe after 1 s, then 2 s and so on to 1 min, each longer by up to
    /// half.
    pub const LINKERD_CONSECUTIVE: Self = Self {
        consecutive: Some(7),
        ejection: EjectionSettings::LINKERD,
        ejected_ratio_max: 1.0,
        ..Self::NONE
    };

    /// Linkerd's `failure-accrual: unified`: as well when less than 0.8 of at least five requests
    /// of 10 s succeed, for which 429 is a failure.
    pub const LINKERD_UNIFIED: Self = Self {
        success_rate: Some(SuccessRateTrigger {
            ratio_min: 0.8,
            window: Duration::from_secs(10),
            requests_min: 5,
            errors: StatusSet::EMPTY.with(429),
        }),
        ..Self::LINKERD_CONSECUTIVE
    };

    /// Traefik's `passiveHealthCheck`: so many failures within a window set a server aside for as
    /// long as the window, all of them if need be.
    #[must_use]
    pub const fn traefik(failures: u32, window: Duration) -> Self {
        Self {
            in_window: Some(WindowTrigger { failures, window }),
            ejection: EjectionSettings::fixed(window),
            ejected_ratio_max: 1.0,
            ..Self::NONE
        }
    }
}

impl EjectionSettings {
    /// Envoy's defaults: 30 s more each time, at most 300 s; a step less for each interval (10 s)
    /// without an ejection.
    pub const ENVOY: Self = Self {
        base: Duration::from_secs(30),
        max: Duration::from_secs(300),
        growth: Growth::Linear,
        jitter_ratio: 0.0,
        forgiven_after: Duration::from_secs(10),
        probation: false,
    };

    /// Linkerd's defaults: from 1 s doubling to 1 min, each longer by up to half, then one request
    /// on probation. Its success forgets everything.
    pub const LINKERD: Self = Self {
        base: Duration::from_secs(1),
        max: Duration::from_secs(60),
        growth: Growth::Double,
        jitter_ratio: 0.5,
        forgiven_after: Duration::ZERO,
        probation: true,
    };

    /// Always the same.
    #[must_use]
    pub const fn fixed(duration: Duration) -> Self {
        Self { base: duration, max: duration, jitter_ratio: 0.0, ..Self::ENVOY }
    }
}

/// What a refusal to serve more (429, RESOURCE_EXHAUSTED) and other failures cost an endpoint in
/// [`PickerKind::PeakEwma`]: Linkerd's `penalize-failures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BiasSettings {
    /// The latency that such an answer counts as, unless it took longer.
    pub penalty: Duration,
    /// A longer `retry-after` counts instead, up to this.
    pub retry_after_max: Duration,
}

impl BiasSettings {
    /// Linkerd's defaults: 5 s and 300 s.
    pub const DEFAULT: Self =
        Self { penalty: Duration::from_secs(5), retry_after_max: Duration::from_secs(300) };
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

    /// Envoy's and Istio's `backoff`: doubles up to ten times the first interval.
    #[must_use]
    pub const fn envoy(base_interval: Duration) -> Self {
        Self {
            initial_interval: base_interval,
            interval_min: Duration::ZERO,
            factor: 2.0,
            interval_max: base_interval.saturating_mul(10),
        }
    }
}

/// A bound on retries, so that they cannot multiply an outage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BudgetSettings {
    /// A share of the requests of some time (Gateway API, Linkerd).
    Recent(RecentBudget),
    /// A share of the requests under way (Envoy, Istio).
    Active(ActiveBudget),
}

/// Retries as a share of the requests of some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecentBudget {
    /// Retries per first try that are always allowed, 0 or more; 0.2 is 20 %.
    pub ratio: f64,
    /// Over this time the ratio is measured.
    pub interval: Duration,
    /// Retries allowed per `retries_min_interval` whatever the ratio says. The greater of the two
    /// bounds counts, not their sum.
    pub retries_min: u32,
    /// The period of `retries_min`.
    pub retries_min_interval: Duration,
}

/// Retries under way as a share of the requests under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActiveBudget {
    /// Retries per request, 0 or more; 0.2 is 20 %.
    pub ratio: f64,
    /// Retries that may be under way whatever the ratio says.
    pub retries_min: u32,
    /// Requests begun within this time count as under way although they have ended; zero counts
    /// only those that have not.
    pub interval: Duration,
}

impl BudgetSettings {
    /// [`RecentBudget::DEFAULT`].
    pub const DEFAULT: Self = Self::Recent(RecentBudget::DEFAULT);
}

impl RecentBudget {
    /// 20 % of the requests of 10 s, or 10 retries per second, whichever is more: the defaults of
    /// Gateway API's `retryConstraint`, and of Linkerd's `retryBudget`.
    pub const DEFAULT: Self = Self {
        ratio: 0.2,
        interval: Duration::from_secs(10),
        retries_min: 10,
        retries_min_interval: Duration::from_secs(1),
    };
}

impl ActiveBudget {
    /// 20 % of the requests under way, and 3 anyway: the defaults of Istio's `retryBudget` and of
    /// Envoy's.
    pub const DEFAULT: Self = Self { ratio: 0.2, retries_min: 3, interval: Duration::ZERO };
}

/// A second try while the first one runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HedgeSettings {
    /// It is sent when the first has taken longer than this share of others did, 0 to 1.
    pub quantile: f64,
    /// Over which latencies are looked at.
    pub window: Duration,
    /// With fewer latencies in the window there is no second try.
    pub samples_min: u32,
    /// It is never sent earlier.
    pub delay_min: Duration,
    /// It is never sent later.
    pub delay_max: Duration,
    /// Share of requests that may have a second try, 0 to 1.
    pub budget_ratio: f64,
    /// Second tries that may come at once, though no more than the share in the long run; at
    /// least 1.
    pub burst: u32,
}

impl HedgeSettings {
    /// After the 95th percentile of the last 30 s, within 1 ms and 10 s, when at least 100
    /// latencies are known; for at most a tenth of the requests, ten of them at once: about half of
    /// that is used, while no more take long than did of late.
    pub const DEFAULT: Self = Self {
        quantile: 0.95,
        window: Duration::from_secs(30),
        samples_min: 100,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_secs(10),
        budget_ratio: 0.1,
        burst: 10,
    };
}

/// A bound on concurrency that finds itself, from latencies: Envoy's adaptive concurrency
/// (gradient controller).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveSettings {
    /// The bound when the ideal latency has been measured for the first time.
    pub limit_initial: u32,
    /// It never goes below, and is set to this while the ideal latency is measured; at least 1.
    pub limit_min: u32,
    /// It never goes above.
    pub limit_max: u32,
    /// The quantile of latencies that counts, 0 to 1.
    pub quantile: f64,
    /// Between two changes of the bound.
    pub update_period: Duration,
    /// With fewer latencies since the last change, the bound stays.
    pub samples_min: u32,
    /// Between two measurements of the ideal latency.
    pub ideal_period: Duration,
    /// Random share by which `ideal_period` is longer, so that not all measure at one moment.
    pub ideal_jitter_ratio: f64,
    /// Latencies that make a measurement of the ideal one; at least 1.
    pub ideal_samples: u32,
    /// Latency may rise above the ideal by this share before the bound falls, 0 or more.
    pub tolerance_ratio: f64,
    /// How much of the way to a new bound is gone at once, above 0 up to 1.
    pub smoothing: f64,
}

impl AdaptiveSettings {
    /// Envoy's defaults, with smoothing.
    pub const DEFAULT: Self = Self {
        limit_initial: 20,
        limit_min: 3,
        limit_max: 1_000,
        quantile: 0.5,
        update_period: Duration::from_millis(100),
        samples_min: 10,
        ideal_period: Duration::from_secs(60),
        ideal_jitter_ratio: 0.15,
        ideal_samples: 50,
        tolerance_ratio: 0.25,
        smoothing: 0.5,
    };
}

/// Bounds on what is under way to one destination, or to one endpoint: Istio's `connectionPool`,
/// Envoy's circuit breakers. `None`, the default, is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitSettings {
    /// Connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests.
    pub requests: Option<u32>,
    /// Retries.
    pub retries: Option<u32>,
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
