//! TrafficPolicy: hedging, adaptive limits, bounded-load hashing and what else no dialect has words
//! for.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::gateway_api::ObjectRef;
use crate::gateway_api::policy::PolicyTarget;
use crate::problem::Pos;
use crate::read::{Field, Reader};

/// How what it names is called. What it says comes before what other dialects say of the same.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficPolicy {
    /// `targetRefs`: Services (a port of one by `sectionName`, its name, or by `port`), and
    /// HTTPRoutes, GRPCRoutes and VirtualServices (a rule of one by `sectionName`, its name), in
    /// the namespace of the policy.
    pub targets: Vec<TrafficTarget>,
    /// `hedging`: asks another endpoint when the first is slow. Only what may be repeated is.
    pub hedging: Option<Hedging>,
    /// `loadBalancer`: how an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// `limits`: bounds on what is under way.
    pub limits: Limits,
    /// `adaptiveConcurrency`: a bound on requests under way to each endpoint that is found out by
    /// itself.
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// `retry`: bounds on retries, whoever asks for them. Of Services.
    pub retry: Option<RetryBounds>,
    /// `mirrorDiff`: compares answers to mirrored requests with the ones that were given, for the
    /// mirrors of a rule, or of all rules of a Service.
    pub mirror_diff: Option<MirrorDiff>,
    /// `localRateLimit`: bounds on requests per second, in each proxy by itself.
    pub local_rate_limit: Option<LocalRateLimit>,
    /// `deadline`: what becomes of the caller's deadline. Of Services.
    pub deadline: Option<Deadline>,
    /// It has errors, and was kept because of its `localRateLimit`, which protects.
    pub is_broken: bool,
}

/// What a [`TrafficPolicy`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficTarget {
    /// The object and, by name, a part of it.
    pub target: PolicyTarget,
    /// A port of a Service, by number.
    pub port: Option<u16>,
}

/// Asks one more endpoint when the first is slow, and takes the answer that comes first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedging {
    /// `percentile`: of the latency so far, after which the next endpoint is asked; 0 to 100, 95
    /// when absent.
    pub percentile: f64,
    /// `delayMin`: no earlier than this, 10 ms when absent.
    pub delay_min: Duration,
    /// `delayMax`: no later than this, 1 s when absent. Nothing is asked twice before a hundred
    /// answers of the last 30 s are known.
    pub delay_max: Duration,
    /// `budgetPercent`: at most this many hedges per hundred requests; 5 when absent.
    pub budget_percent: f64,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// `type`.
    pub algorithm: Algorithm,
    /// `key`: what keeps requests together, for those that hash; the client's address when absent.
    pub key: HashKey,
    /// `balancePercent`: no endpoint has more under way than this share of the average, for those
    /// that hash; 101 or more, no bound when absent.
    pub balance_percent: Option<u32>,
    /// Where it is written.
    pub at: Pos,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `RoundRobin`: one after the other.
    RoundRobin,
    /// `LeastRequest`: the less busy of two.
    LeastRequest,
    /// `Random`: any.
    Random,
    /// `PeakEWMA`: the one with the lower latency times load of two.
    PeakEwma,
    /// `WeightedByLoad`: by the load that endpoints report (ORCA, `endpoint-load-metrics`).
    WeightedByLoad,
    /// `Rendezvous`: by the highest of a hash for each endpoint.
    Rendezvous,
    /// `Maglev`: by a table of hashes that is shared out evenly.
    Maglev,
    /// `RingHash`: by the next of a ring of hashes.
    RingHash,
}

/// What keeps requests together; one of its fields is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HashKey {
    /// `sourceAddress: true`: the client's address.
    #[default]
    SourceAddress,
    /// `header`: the value of this header.
    Header(Box<str>),
    /// `query`: the value of this parameter.
    Query(Box<str>),
    /// `cookie`: the value of this cookie, which is given to clients that have none.
    Cookie(Box<str>),
}

/// Bounds on what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// `perEndpoint`: to each endpoint by itself.
    pub per_endpoint: Limit,
    /// `perService`: to all endpoints of a service together.
    pub per_service: Limit,
    /// `perRoute`: by each rule by itself.
    pub per_route: Limit,
}

/// Bounds on what is under way in one proxy; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// `requests`: requests that were sent and not yet answered.
    pub requests: Option<u32>,
    /// `connections`: connections. Routes have none.
    pub connections: Option<u32>,
    /// `pending`: requests that wait for a connection. Routes have none.
    pub pending: Option<u32>,
}

/// A bound on requests under way that follows the latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveConcurrency {
    /// `min`: never lower, 3 when absent.
    pub min: u32,
    /// `max`: never higher, 1000 when absent.
    pub max: u32,
}

/// Bounds on retries, whoever asks for them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBounds {
    /// `budget`: retries as a share of requests.
    pub budget: Option<RetryBudget>,
    /// `crossHop`: whether a request is retried that is itself a retry of another hop, or that
    /// fails further down where its retries were spent already; false when absent.
    pub cross_hop: bool,
}

/// Retries as a share of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// `percent`: retries per hundred requests, 0 to 100; 20 when absent.
    pub percent: f64,
    /// `interval`: over this time, 1 s to 1 h; 10 s when absent.
    pub interval: Duration,
    /// `minPerSecond`: retries that are always allowed; 10 when absent.
    pub min_per_second: u32,
}

/// Compares answers to mirrored requests with the ones that were given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MirrorDiff {
    /// `samplePercent`: of the mirrored requests, 0 to 100; 100 when absent.
    pub sample_percent: f64,
    /// `compare` has `Status`, as it has when absent: the status, that of gRPC as well where it
    /// stands in the head.
    pub status: bool,
    /// `compare` has `Headers`: `content-type`, `content-encoding` and `location`.
    pub headers: bool,
    /// `compare` has `Body`: its bytes, up to 1 MiB.
    pub body: bool,
}

/// Bounds on requests per second, in each proxy by itself. For a Service it is kept where calls
/// arrive, for a route where they are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalRateLimit {
    /// `total`: of all callers together.
    pub total: Option<Rate>,
    /// `perIdentity`: of each caller without an override. All callers without an identity count as
    /// one.
    pub per_identity: Option<Rate>,
    /// `overrides`: of some callers.
    pub overrides: Vec<RateOverride>,
}

/// Requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `requestsPerSecond`: over time.
    pub per_second: u32,
    /// `burst`: at once; as many as per second when absent.
    pub burst: u32,
}

/// Requests per second of some callers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateOverride {
    /// `requestsPerSecond` and `burst`.
    pub rate: Rate,
    /// `clientRefs`: the callers, ServiceAccounts by `name` and `namespace`, that of the policy when
    /// absent.
    pub clients: Vec<ObjectRef>,
    /// Where it is written.
    pub at: Pos,
}

/// What becomes of the caller's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// `propagate`: callers may shorten the time of a request, and what is left of it is told to
    /// the next hop; true when absent. Otherwise what they say (`grpc-timeout`,
    /// `x-envoy-expected-rq-timeout-ms`) is ignored and goes no further.
    pub propagate: bool,
}

// === impl TrafficTarget ===

impl TrafficTarget {
    /// Whether no part of the object is named.
    pub fn is_whole(&self) -> bool {
        self.port.is_none() && self.target.section.is_none()
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// The words.
    const CHOICES: [(&'static str, Self); 8] = [
        ("RoundRobin", Self::RoundRobin),
        ("LeastRequest", Self::LeastRequest),
        ("Random", Self::Random),
        ("PeakEWMA", Self::PeakEwma),
        ("WeightedByLoad", Self::WeightedByLoad),
        ("Rendezvous", Self::Rendezvous),
        ("Maglev", Self::Maglev),
        ("RingHash", Self::RingHash),
    ];

    /// Whether it chooses by a key.
    pub fn hashes(self) -> bool {
        matches!(self, Self::Rendezvous | Self::Maglev | Self::RingHash)
    }
}

/// Reads a TrafficPolicy.
pub(super) fn read(reader: &Reader<'_, '_>) -> TrafficPolicy {
    let mut policy = TrafficPolicy {
        targets: Vec::new(),
        hedging: None,
        load_balancer: None,
        limits: Limits::default(),
        adaptive_concurrency: None,
        retry: None,
        mirror_diff: None,
        local_rate_limit: None,
        deadline: None,
        is_broken: false,
    };
    let Some(field) = reader.require("spec") else { return policy };
    field.nested(|spec| {
        let targets = spec.require("targetRefs");
        policy.targets =
            targets.map(|field| field.list(|item| item.nested(target))).unwrap_or_default();
        policy.hedging = spec.nested("hedging", hedging);
        policy.load_balancer = spec.nested("loadBalancer", load_balancer);
        policy.limits = spec.nested("limits", limits).unwrap_or_default();
        policy.adaptive_concurrency = spec.nested("adaptiveConcurrency", adaptive_concurrency);
        policy.retry = spec.nested("retry", retry);
        policy.mirror_diff = spec.nested("mirrorDiff", mirror_diff);
        // It is there however little of it can be read, so that nobody takes it for absent.
        policy.local_rate_limit = spec
            .take("localRateLimit")
            .map(|field| field.nested(local_rate_limit).unwrap_or_default());
        policy.deadline = spec.nested("deadline", |deadline| {
            Some(Deadline { propagate: deadline.bool_or("propagate", true) })
        });
        Some(())
    });
    policy
}

fn target(reader: &Reader<'_, '_>) -> Option<TrafficTarget> {
    const KINDS: [(&str, &str); 4] = [
        ("", "Service"),
        (crate::gateway_api::GROUP, "HTTPRoute"),
        (crate::gateway_api::GROUP, "GRPCRoute"),
        (crate::istio::NETWORKING, "VirtualService"),
    ];
    let port = reader.take("port");
    let target = PolicyTarget::read(reader)?;
    let known = KINDS.iter().find(|(group, kind)| target.object.is(group, kind));
    if known.is_none() {
        let object = &target.object;
        let message = format!("a {} of the group `{}` cannot be meant", object.kind, object.group);
        let fix = "name a Service, HTTPRoute, GRPCRoute or VirtualService".into();
        reader.error(message, Some(fix));
        return None;
    }
    let number = match &port {
        Some(field) if !target.object.is("", "Service") => {
            field.error("only a Service has ports", Some("remove it".into()));
            return None;
        }
        Some(field) => Some(field.port()?),
        None => None,
    };
    if number.is_some() && target.section.is_some() {
        reader.error("`port` and `sectionName` exclude each other", None);
    }
    Some(TrafficTarget { target, port: number })
}

fn hedging(reader: &Reader<'_, '_>) -> Option<Hedging> {
    let duration = |name, millis| {
        let field = reader.take(name);
        let value = field.and_then(|field| field.gateway_duration());
        value.unwrap_or(Duration::from_millis(millis))
    };
    let hedging = Hedging {
        percentile: percent(reader, "percentile").unwrap_or(95.0),
        delay_min: duration("delayMin", 10),
        delay_max: duration("delayMax", 1000),
        budget_percent: percent(reader, "budgetPercent").unwrap_or(5.0),
    };
    if hedging.delay_min > hedging.delay_max {
        reader.error("`delayMin` is greater than `delayMax`", None);
    }
    Some(hedging)
}

fn load_balancer(reader: &Reader<'_, '_>) -> Option<LoadBalancer> {
    let algorithm = reader.require("type").and_then(|field| field.choice(&Algorithm::CHOICES));
    let key = reader.take("key");
    let balance = reader.take("balancePercent");
    let read_key = key.as_ref().map(|field| field.nested(hash_key));
    let percent = balance.as_ref().map(|field| field.int(101, 100_000));
    let algorithm = algorithm?;
    if !algorithm.hashes() {
        for field in key.iter().chain(&balance) {
            let fix = "use Rendezvous, Maglev or RingHash".into();
            field.error("the type does not choose by a key", Some(fix));
        }
    }
    Some(LoadBalancer {
        algorithm,
        key: read_key.unwrap_or(Some(HashKey::SourceAddress))?,
        balance_percent: percent.flatten().map(|percent| percent as u32),
        at: reader.at(),
    })
}

fn hash_key(reader: &Reader<'_, '_>) -> Option<HashKey> {
    let text = |name| reader.take(name).map(|field| field.non_empty_string());
    let header = text("header").map(|text| text.map(HashKey::Header));
    let query = text("query").map(|text| text.map(HashKey::Query));
    let cookie = text("cookie").map(|text| text.map(HashKey::Cookie));
    let address = reader.bool("sourceAddress").filter(|is_asked| *is_asked);
    let address = address.map(|_| Some(HashKey::SourceAddress));
    let mut keys = [header, query, cookie, address].into_iter().flatten();
    let (first, second) = (keys.next(), keys.next());
    if first.is_none() || second.is_some() {
        reader.error("a key is one of `header`, `query`, `cookie` and `sourceAddress`", None);
        return None;
    }
    first?
}

fn limits(reader: &Reader<'_, '_>) -> Option<Limits> {
    let count = |limit: &Reader<'_, '_>, name| {
        limit.int(name, 1, u32::MAX.into()).map(|count| count as u32)
    };
    let of_calls = |limit: &Reader<'_, '_>| {
        Some(Limit {
            requests: count(limit, "requests"),
            connections: count(limit, "connections"),
            pending: count(limit, "pending"),
        })
    };
    let of_route = |limit: &Reader<'_, '_>| {
        Some(Limit { requests: count(limit, "requests"), ..Limit::default() })
    };
    Some(Limits {
        per_endpoint: reader.nested("perEndpoint", of_calls).unwrap_or_default(),
        per_service: reader.nested("perService", of_calls).unwrap_or_default(),
        per_route: reader.nested("perRoute", of_route).unwrap_or_default(),
    })
}

fn adaptive_concurrency(reader: &Reader<'_, '_>) -> Option<AdaptiveConcurrency> {
    let bound =
        |name, default| reader.int(name, 1, 1_000_000).map_or(default, |count| count as u32);
    let bounds = AdaptiveConcurrency { min: bound("min", 3), max: bound("max", 1000) };
    if bounds.min > bounds.max {
        reader.error("`min` is greater than `max`", None);
    }
    Some(bounds)
}

fn retry(reader: &Reader<'_, '_>) -> Option<RetryBounds> {
    let budget = reader.nested("budget", |budget| {
        let interval = budget.take("interval").and_then(|field| interval(&field));
        let least = budget.int("minPerSecond", 0, u32::MAX.into());
        Some(RetryBudget {
            percent: percent(budget, "percent").unwrap_or(20.0),
            interval: interval.unwrap_or(Duration::from_secs(10)),
            min_per_second: least.map_or(10, |count| count as u32),
        })
    });
    Some(RetryBounds { budget, cross_hop: reader.bool_or("crossHop", false) })
}

/// A duration between a second and an hour.
fn interval(field: &Field<'_, '_>) -> Option<Duration> {
    let interval = field.gateway_duration()?;
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&interval) {
        field.error("must be between 1s and 1h", None);
        return None;
    }
    Some(interval)
}

fn mirror_diff(reader: &Reader<'_, '_>) -> Option<MirrorDiff> {
    #[derive(Clone, Copy, PartialEq)]
    enum Part {
        Status,
        Headers,
        Body,
    }
    let parts = [("Status", Part::Status), ("Headers", Part::Headers), ("Body", Part::Body)];
    let sample_percent = percent(reader, "samplePercent").unwrap_or(100.0);
    let compared = match reader.take("compare") {
        Some(field) => field.list(|item| item.choice(&parts)),
        None => vec![Part::Status],
    };
    let has = |part| compared.contains(&part);
    Some(MirrorDiff {
        sample_percent,
        status: has(Part::Status),
        headers: has(Part::Headers),
        body: has(Part::Body),
    })
}

fn local_rate_limit(reader: &Reader<'_, '_>) -> Option<LocalRateLimit> {
    let limit = LocalRateLimit {
        total: reader.nested("total", rate),
        per_identity: reader.nested("perIdentity", rate),
        overrides: reader.list("overrides", |item| item.nested(rate_override)),
    };
    if reader.is_empty() {
        reader.error("one of `total`, `perIdentity` and `overrides` is needed", None);
    }
    Some(limit)
}

fn rate(reader: &Reader<'_, '_>) -> Option<Rate> {
    let count = |field: Field<'_, '_>| field.int(1, u32::MAX.into()).map(|count| count as u32);
    let burst = reader.take("burst").map(count);
    let per_second = reader.require("requestsPerSecond").and_then(count)?;
    Some(Rate { per_second, burst: burst.unwrap_or(Some(per_second))? })
}

fn rate_override(reader: &Reader<'_, '_>) -> Option<RateOverride> {
    let rate = rate(reader);
    let clients = reader.require("clientRefs").map(|field| field.list(|item| item.nested(client)));
    Some(RateOverride { rate: rate?, clients: clients?, at: reader.at() })
}

/// A ServiceAccount by name and namespace, that of the policy when absent.
fn client(reader: &Reader<'_, '_>) -> Option<ObjectRef> {
    let namespace = reader.string("namespace").filter(|name| !name.is_empty());
    let name = reader.require_string("name")?;
    let (group, kind) = ("".into(), "ServiceAccount".into());
    Some(ObjectRef { group, kind, namespace, name, at: reader.at() })
}

/// A share in percent.
fn percent(reader: &Reader<'_, '_>, name: &'static str) -> Option<f64> {
    let field = reader.take(name)?;
    let value = field.number()?;
    if !(0.0..=100.0).contains(&value) {
        field.error(format!("{value} is out of range: must be between 0 and 100"), None);
        return None;
    }
    Some(value)
}
