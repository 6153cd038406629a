//! Annotations about calls: retries and timeouts of Services, EgressNetworks and routes, and how a
//! Service's endpoints are chosen.
//!
//! A value that cannot be read has no effect, and that is said as a warning: what an annotation
//! asks for in addition is no reason to lose the object.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::duration::InvalidDuration;
use crate::metadata::Annotations;
use crate::problem::Pos;
use crate::read::nearest;
use crate::resource::Spanned;

/// What is said of calls. What a route says replaces all that its Service says, for retries and for
/// timeouts each by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallAnnotations {
    /// Retries; `None` when nothing is said of them, which means none.
    pub retry: Option<CallRetry>,
    /// Bounds on time.
    pub timeouts: CallTimeouts,
}

/// Sends again what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRetry {
    /// Statuses of HTTP that are failures, as ranges with both ends included. With none, nothing is
    /// sent again for its status.
    pub http: Vec<(u16, u16)>,
    /// The same for codes of gRPC.
    pub grpc: Vec<u16>,
    /// Tries after the first, 1 when absent.
    pub limit: u32,
    /// For one try; `None` is no bound.
    pub timeout: Option<Duration>,
    /// Where one of the annotations is written.
    pub at: Pos,
}

/// Bounds on time; `None` means no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTimeouts {
    /// From the request to the end of the answer, retries included. Beats `timeouts.request` of the
    /// route.
    pub request: Option<Duration>,
    /// From the end of the request to the end of the answer.
    pub response: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
}

/// How the endpoints of a Service are chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BalancerAnnotations {
    /// Sets aside endpoints that fail; `None` when it is off.
    pub failure_accrual: Option<FailureAccrual>,
    /// Counts limited answers as slow; `None` when it is off.
    pub load_biaser: Option<LoadBiaser>,
}

/// Sets aside endpoints that fail, until a probe of one request succeeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureAccrual {
    /// Failures in a row after which an endpoint is set aside, 7 when absent; 0 for no bound.
    pub failures_max: u32,
    /// The time to the first probe, 1 s when absent.
    pub penalty_min: Duration,
    /// The longest time between probes, between which it doubles; 1 min when absent.
    pub penalty_max: Duration,
    /// Chance added to these times as a share of them, 0 to 100; 0.5 when absent.
    pub jitter_ratio: f64,
    /// Sets aside by the share of successes as well (mode `unified`).
    pub success_rate: Option<SuccessRate>,
    /// Waits at least as long as `retry-after` of a failure says.
    pub honors_retry_after: bool,
    /// Where the mode is written.
    pub at: Pos,
}

/// The share of successes under which an endpoint is set aside. Limited answers (429 and
/// RESOURCE_EXHAUSTED) are failures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate {
    /// The share, 0 to 1, 0.8 when absent; 0 for no bound.
    pub threshold_ratio: f64,
    /// Over this time, 10 s when absent.
    pub window: Duration,
    /// Only with this many requests in it, 5 when absent.
    pub requests_min: u32,
}

/// Counts limited answers (429 and RESOURCE_EXHAUSTED) as slow, so that an endpoint that refuses
/// fast is not taken for a fast one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadBiaser {
    /// The least latency that is put down for such an answer, 5 s when absent. `retry-after` of the
    /// answer makes it longer.
    pub penalty: Duration,
    /// The longest `retry-after` that is believed, 300 s when absent.
    pub retry_after_max: Duration,
    /// Where it is switched on.
    pub at: Pos,
}

/// Statuses of HTTP: `xxx`, `xxx-yyy`, `5xx` or `gateway-error`, with commas between them.
pub const RETRY_HTTP: &str = "retry.linkerd.io/http";
/// Codes of gRPC by name, with commas between them.
pub const RETRY_GRPC: &str = "retry.linkerd.io/grpc";
/// Tries after the first.
pub const RETRY_LIMIT: &str = "retry.linkerd.io/limit";
/// For one try.
pub const RETRY_TIMEOUT: &str = "retry.linkerd.io/timeout";
/// From the request to the end of the answer.
pub const TIMEOUT_REQUEST: &str = "timeout.linkerd.io/request";
/// From the end of the request to the end of the answer.
pub const TIMEOUT_RESPONSE: &str = "timeout.linkerd.io/response";
/// Without a byte.
pub const TIMEOUT_IDLE: &str = "timeout.linkerd.io/idle";
/// `consecutive` or `unified`.
pub const FAILURE_ACCRUAL: &str = "balancer.linkerd.io/failure-accrual";
const FAILURES_MAX: &str = "balancer.linkerd.io/failure-accrual-consecutive-max-failures";
const PENALTY_MIN: &str = "balancer.linkerd.io/failure-accrual-consecutive-min-penalty";
const PENALTY_MAX: &str = "balancer.linkerd.io/failure-accrual-consecutive-max-penalty";
const JITTER_RATIO: &str = "balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio";
const SUCCESS_THRESHOLD: &str = "balancer.alpha.linkerd.io/failure-accrual-success-rate-threshold";
const SUCCESS_WINDOW: &str = "balancer.alpha.linkerd.io/failure-accrual-success-rate-window";
const SUCCESS_REQUESTS: &str =
    "balancer.alpha.linkerd.io/failure-accrual-success-rate-min-requests";
const HONOR_RETRY_AFTER: &str = "balancer.alpha.linkerd.io/failure-accrual-honor-retry-after";
/// Whether limited answers are counted as slow.
pub const PENALIZE_FAILURES: &str = "balancer.alpha.linkerd.io/penalize-failures";
const BIASER_PENALTY: &str = "balancer.alpha.linkerd.io/load-biaser-penalty";
const BIASER_RETRY_AFTER: &str = "balancer.alpha.linkerd.io/load-biaser-max-retry-after";

/// The Service of this cluster that is a part of a federated one.
pub const LOCAL_DISCOVERY: &str = "multicluster.linkerd.io/local-discovery";
/// Those of other clusters that are, as `NAME@CLUSTER`.
pub const REMOTE_DISCOVERY: &str = "multicluster.linkerd.io/remote-discovery";

/// All of them, and the kinds that have them.
pub(crate) const ALL: &[(&str, &[&str])] = &[
    (LOCAL_DISCOVERY, BALANCER),
    (REMOTE_DISCOVERY, BALANCER),
    (RETRY_HTTP, &["Service", "HTTPRoute", "EgressNetwork"]),
    (RETRY_GRPC, &["Service", "GRPCRoute", "EgressNetwork"]),
    (RETRY_LIMIT, CALLS),
    (RETRY_TIMEOUT, CALLS),
    (TIMEOUT_REQUEST, CALLS),
    (TIMEOUT_RESPONSE, CALLS),
    (TIMEOUT_IDLE, CALLS),
    (FAILURE_ACCRUAL, BALANCER),
    (FAILURES_MAX, BALANCER),
    (PENALTY_MIN, BALANCER),
    (PENALTY_MAX, BALANCER),
    (JITTER_RATIO, BALANCER),
    (SUCCESS_THRESHOLD, BALANCER),
    (SUCCESS_WINDOW, BALANCER),
    (SUCCESS_REQUESTS, BALANCER),
    (HONOR_RETRY_AFTER, BALANCER),
    (PENALIZE_FAILURES, BALANCER),
    (BIASER_PENALTY, BALANCER),
    (BIASER_RETRY_AFTER, BALANCER),
];

/// The kinds that speak of calls.
const CALLS: &[&str] = &["Service", "HTTPRoute", "GRPCRoute", "EgressNetwork"];

/// The kinds that have endpoints to choose from.
const BALANCER: &[&str] = &["Service"];

/// What all names begin with.
pub(crate) const PREFIXES: &[&str] = &[
    "retry.linkerd.io/",
    "timeout.linkerd.io/",
    "balancer.linkerd.io/",
    "balancer.alpha.linkerd.io/",
];

/// Names of the codes of gRPC that may be retried.
const GRPC_CODES: [(&str, u16); 5] = [
    ("cancelled", 1),
    ("deadline-exceeded", 4),
    ("resource-exhausted", 8),
    ("internal", 13),
    ("unavailable", 14),
];

/// Tries after the first when nothing is said.
const LIMIT: u32 = 1;

/// A window shorter than this has no room for requests.
const WINDOW_MIN: Duration = Duration::from_millis(10);

// === impl CallTimeouts ===

impl CallTimeouts {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Takes what is said of calls, of an object of this kind.
pub(crate) fn calls(annotations: &Annotations<'_, '_>, kind: &str) -> CallAnnotations {
    let timeout = |name| annotations.parse(name, bound).flatten();
    CallAnnotations {
        retry: retry(annotations, kind),
        timeouts: CallTimeouts {
            request: timeout(TIMEOUT_REQUEST),
            response: timeout(TIMEOUT_RESPONSE),
            idle: timeout(TIMEOUT_IDLE),
        },
    }
}

/// Takes what is said of a Service's endpoints.
pub(crate) fn balancer(annotations: &Annotations<'_, '_>) -> BalancerAnnotations {
    let failure_accrual = failure_accrual(annotations);
    let load_biaser = load_biaser(annotations);
    BalancerAnnotations { failure_accrual, load_biaser }
}

/// Takes which Service of its namespace is a part of a federated one.
pub(crate) fn local_part(annotations: &Annotations<'_, '_>) -> Option<Spanned<Box<str>>> {
    annotations.warn(
        REMOTE_DISCOVERY,
        "the control planes of other clusters are not asked: add EndpointSlices of this Service for \
         what runs there",
    );
    let field = annotations.take(LOCAL_DISCOVERY)?;
    let name = field.non_empty_string()?;
    Some(field.spanned(name))
}

fn retry(annotations: &Annotations<'_, '_>, kind: &str) -> Option<CallRetry> {
    let has = |name| ALL.iter().any(|(known, kinds)| *known == name && kinds.contains(&kind));
    let mut names = vec![RETRY_LIMIT, RETRY_TIMEOUT];
    let (mut http, mut grpc) = (Vec::new(), Vec::new());
    if has(RETRY_HTTP) {
        http = annotations.parse_list(RETRY_HTTP, statuses);
        names.push(RETRY_HTTP);
    }
    if has(RETRY_GRPC) {
        grpc = annotations.parse_list(RETRY_GRPC, grpc_code);
        names.push(RETRY_GRPC);
    }
    let limit = annotations.parse(RETRY_LIMIT, number::<u16>).filter(|limit| *limit > 0);
    let timeout = annotations.parse(RETRY_TIMEOUT, bound).flatten();
    let at = names.into_iter().find_map(|name| annotations.take(name)).map(|field| field.at())?;
    Some(CallRetry { http, grpc, limit: limit.map_or(LIMIT, u32::from), timeout, at })
}

fn failure_accrual(annotations: &Annotations<'_, '_>) -> Option<FailureAccrual> {
    let parameters = [
        FAILURES_MAX,
        PENALTY_MIN,
        PENALTY_MAX,
        JITTER_RATIO,
        SUCCESS_THRESHOLD,
        SUCCESS_WINDOW,
        SUCCESS_REQUESTS,
        HONOR_RETRY_AFTER,
    ];
    let mode = annotations.take(FAILURE_ACCRUAL);
    let is_unified = annotations.parse(FAILURE_ACCRUAL, |text| match text {
        "consecutive" => Ok(false),
        "unified" => Ok(true),
        _ => Err(format!("`{text}` is neither `consecutive` nor `unified`")),
    });
    let (Some(mode), Some(is_unified)) = (mode, is_unified) else {
        annotations.without(&parameters, FAILURE_ACCRUAL);
        return None;
    };
    let duration = |name, default| annotations.parse(name, duration).unwrap_or(default);
    let penalty_min = duration(PENALTY_MIN, Duration::from_secs(1));
    let mut penalty_max = duration(PENALTY_MAX, Duration::from_secs(60));
    if penalty_max.is_zero() || penalty_max < penalty_min {
        annotations.warn(PENALTY_MAX, "it is not above the shortest, which holds instead");
        penalty_max = penalty_min.max(Duration::from_millis(1));
    }
    let jitter = annotations.parse(JITTER_RATIO, |text| ratio(text, 100.0)).unwrap_or(0.5);
    Some(FailureAccrual {
        failures_max: annotations.parse(FAILURES_MAX, number).unwrap_or(7),
        penalty_min,
        penalty_max,
        jitter_ratio: jitter,
        success_rate: success_rate(annotations, is_unified),
        honors_retry_after: annotations.parse(HONOR_RETRY_AFTER, boolean).unwrap_or(false),
        at: mode.at(),
    })
}

fn success_rate(annotations: &Annotations<'_, '_>, is_unified: bool) -> Option<SuccessRate> {
    if !is_unified {
        let names = [SUCCESS_THRESHOLD, SUCCESS_WINDOW, SUCCESS_REQUESTS];
        annotations.without(&names, "failure-accrual: unified");
        return None;
    }
    let window = |text: &str| match duration(text)? {
        window if window < WINDOW_MIN => Err(format!("`{text}` is shorter than 10ms")),
        window => Ok(window),
    };
    Some(SuccessRate {
        threshold_ratio: annotations
            .parse(SUCCESS_THRESHOLD, |text| ratio(text, 1.0))
            .unwrap_or(0.8),
        window: annotations.parse(SUCCESS_WINDOW, window).unwrap_or(Duration::from_secs(10)),
        requests_min: annotations.parse(SUCCESS_REQUESTS, number).unwrap_or(5),
    })
}

fn load_biaser(annotations: &Annotations<'_, '_>) -> Option<LoadBiaser> {
    let switch = annotations.take(PENALIZE_FAILURES);
    let (Some(switch), Some(true)) = (switch, annotations.parse(PENALIZE_FAILURES, boolean)) else {
        annotations.without(&[BIASER_PENALTY, BIASER_RETRY_AFTER], PENALIZE_FAILURES);
        return None;
    };
    let duration =
        |name, secs| annotations.parse(name, duration).unwrap_or(Duration::from_secs(secs));
    Some(LoadBiaser {
        penalty: duration(BIASER_PENALTY, 5),
        retry_after_max: duration(BIASER_RETRY_AFTER, 300),
        at: switch.at(),
    })
}

/// One item of [`RETRY_HTTP`].
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let status = |text: &str| text.parse().ok().filter(|status| (100..600).contains(status));
    if text.eq_ignore_ascii_case("5xx") {
        return Ok((500, 599));
    }
    if text.eq_ignore_ascii_case("gateway-error") {
        return Ok((502, 504));
    }
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    match (status(min), status(max)) {
        (Some(min), Some(max)) if min <= max => Ok((min, max)),
        _ => Err(format!("`{text}` is neither a status nor `5xx` or `gateway-error`")),
    }
}

/// One item of [`RETRY_GRPC`].
fn grpc_code(text: &str) -> Result<u16, String> {
    let known = GRPC_CODES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, code)| *code).ok_or_else(|| {
        let names = GRPC_CODES.map(|(name, _)| name);
        match nearest(text, names) {
            Some(name) => format!("`{text}` cannot be retried; did you mean `{name}`?"),
            None => format!("`{text}` is none of {}", names.join(", ")),
        }
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number of this size"))
}

fn ratio(text: &str, max: f64) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=max).contains(value));
    value.ok_or_else(|| format!("`{text}` is not a number between 0 and {max}"))
}

/// As Go's `strconv.ParseBool` reads it.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

/// A duration; zero is no bound.
fn bound(text: &str) -> Result<Option<Duration>, String> {
    duration(text).map(|value| Some(value).filter(|value| !value.is_zero()))
}

/// A whole number and one unit: `ms`, `s`, `m`, `h` or `d`; zero needs none.
fn duration(text: &str) -> Result<Duration, String> {
    crate::duration::parse_linkerd_duration(text)
        .map_err(|error: InvalidDuration| error.to_string())
}
