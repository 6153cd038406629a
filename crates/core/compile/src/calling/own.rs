//! Our own TrafficPolicy: how what it is about is called, and ([`rules`]) what it adds to rules.

pub(crate) mod policies;
pub(crate) mod rate;
pub(crate) mod report;
pub(crate) mod rules;

use weft_message::FieldName;
use weft_model::calling::HashKey;
use weft_model::route::Cookie;
use weft_resilience::settings::{
    AdaptiveSettings, BudgetSettings, HedgeSettings, LimitSettings, LoadReportSettings,
    MaglevSettings, PickerKind, RecentBudget, RingHashSettings,
};
use weft_resources::Pos;
use weft_resources::weftway::traffic_policy::{
    Algorithm, HashKey as WrittenKey, Hedging, Limit, LoadBalancer, RetryBudget, TrafficPolicy,
};

use super::layers::{From, Layers, Part};
use crate::context::Output;

/// Puts the policy on top.
pub(crate) fn apply<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    policy: &TrafficPolicy,
    out: &mut Output,
) {
    // Where its fields stand is not known, but all of them are written.
    let from = From { at: Pos::FIRST, ..from };
    if let Some(hedging) = &policy.hedging {
        let from = from.field("spec.hedging", from.at);
        layers.decide(Part::Hedge, from, out).hedge = Some(hedge(hedging));
    }
    if let Some(balancer) = &policy.load_balancer {
        let from = from.field("spec.loadBalancer", balancer.at);
        let calling = layers.decide(Part::Balancing, from, out);
        calling.as_dialled = false;
        (calling.picker, calling.key) = (picker(balancer), key(&balancer.key));
    }
    let service = &policy.limits.per_service;
    if *service != Limit::default() {
        let from = from.field("spec.limits.perService", from.at);
        let calling = layers.decide(Part::Pool, from, out);
        calling.limits = limits(service, calling.limits);
    }
    let endpoint = &policy.limits.per_endpoint;
    if *endpoint != Limit::default() {
        let from = from.field("spec.limits.perEndpoint", from.at);
        let calling = layers.decide(Part::EndpointLimits, from, out);
        calling.endpoint_limits = limits(endpoint, calling.endpoint_limits);
    }
    if let Some(adaptive) = &policy.adaptive_concurrency {
        let from = from.field("spec.adaptiveConcurrency", from.at);
        let settings = AdaptiveSettings {
            limit_initial: AdaptiveSettings::DEFAULT
                .limit_initial
                .clamp(adaptive.min, adaptive.max),
            limit_min: adaptive.min,
            limit_max: adaptive.max,
            ..AdaptiveSettings::DEFAULT
        };
        layers.decide(Part::Adaptive, from, out).adaptive = Some(settings);
    }
    if let Some(budget) = policy.retry.and_then(|retry| retry.budget) {
        let from = from.field("spec.retry.budget", from.at);
        layers.decide(Part::Budget, from, out).retry_budget = Some(self::budget(&budget));
    }
    if policy.retry.is_some_and(|retry| retry.cross_hop) {
        let from = from.field("spec.retry.crossHop", from.at);
        layers.decide(Part::Hops, from, out).retries_across_hops = true;
    }
    if let Some(deadline) = &policy.deadline {
        let from = from.field("spec.deadline", from.at);
        layers.decide(Part::Deadline, from, out).ignores_deadlines = !deadline.propagate;
    }
}

/// The same for a route.
pub(crate) fn hedge(hedging: &Hedging) -> HedgeSettings {
    HedgeSettings {
        quantile: hedging.percentile / 100.0,
        delay_min: hedging.delay_min,
        delay_max: hedging.delay_max,
        budget_ratio: hedging.budget_percent / 100.0,
        ..HedgeSettings::DEFAULT
    }
}

fn picker(balancer: &LoadBalancer) -> PickerKind {
    let load_max_percent = balancer.balance_percent;
    match balancer.algorithm {
        Algorithm::RoundRobin => PickerKind::RoundRobin,
        Algorithm::LeastRequest => PickerKind::LeastRequest,
        Algorithm::Random => PickerKind::Random,
        Algorithm::PeakEwma => PickerKind::PeakEwma,
        Algorithm::WeightedByLoad => PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT),
        Algorithm::Rendezvous => PickerKind::Rendezvous,
        Algorithm::Maglev => {
            PickerKind::Maglev(MaglevSettings { load_max_percent, ..MaglevSettings::DEFAULT })
        }
        Algorithm::RingHash => {
            PickerKind::RingHash(RingHashSettings { load_max_percent, ..RingHashSettings::DEFAULT })
        }
    }
}

fn key(key: &WrittenKey) -> HashKey {
    match key {
        WrittenKey::SourceAddress => HashKey::ClientAddr,
        WrittenKey::Query(name) => HashKey::Query(name.clone()),
        WrittenKey::Cookie(name) => HashKey::Cookie(Cookie {
            name: name.clone(),
            path: "/".into(),
            domain: Box::default(),
            http_only: true,
            secure: false,
            same_site: Box::default(),
            max_age_secs: 0,
        }),
        // The reader takes names of headers alone.
        WrittenKey::Header(name) => match FieldName::new(name) {
            Ok(name) => HashKey::Header(name),
            Err(_) => HashKey::ClientAddr,
        },
    }
}

fn limits(limit: &Limit, before: LimitSettings) -> LimitSettings {
    let Limit { requests, connections, pending } = *limit;
    LimitSettings {
        connections: connections.or(before.connections),
        pending: pending.or(before.pending),
        requests: requests.or(before.requests),
        retries: before.retries,
    }
}

fn budget(budget: &RetryBudget) -> BudgetSettings {
    BudgetSettings::Recent(RecentBudget {
        ratio: budget.percent / 100.0,
        interval: budget.interval,
        retries_min: budget.min_per_second,
        retries_min_interval: RecentBudget::DEFAULT.retries_min_interval,
    })
}
