//! What is done to a request on its way.

use std::sync::Arc;

use weft_message::FieldName;
use weft_model::outcome::Reason;
use weft_model::policy::{
    Abort, AnswerDiff, Cors, Fact, Fault, FixedAnswer, HeaderEdits, IpAllowList, IpStrategy,
    LocalRateLimit, MadeHeader, PathRewrite, Redirect, Refusal, RetryPolicy, Rewrite,
    SourceCriterion, Step, StepKind, ValuePart,
};
use weft_model::text::Pattern;
use weft_resilience::settings::{BackoffSettings, RateSettings};

use super::calling::{hedge, statuses};
use super::{nanos, network, optional, refusal, texts};
use crate::resource::step as wire;

/// Why something is not served that has no form on the wire.
pub(super) fn not_carried(what: &str) -> Refusal {
    let detail = format!("proxies of the mesh cannot be told of {what}");
    Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() }
}

pub(super) fn steps(steps: &[Arc<Step>]) -> Vec<wire::Step> {
    let step =
        |step: &Arc<Step>| wire::Step { id: step.id.to_string(), kind: Some(kind(&step.kind)) };
    steps.iter().map(step).collect()
}

/// Steps that only Traefik's documents lead to do not travel. What they do may protect, so requests
/// that should pass them are refused.
fn kind(kind: &StepKind) -> wire::StepKind {
    let refused = |middleware| wire::StepKind::Refuse(refusal(&not_carried(middleware)));
    match kind {
        StepKind::Rewrite(it) => wire::StepKind::Rewrite(rewrite(it)),
        StepKind::Redirect(it) => wire::StepKind::Redirect(redirect(it)),
        StepKind::RequestHeaders(it) => wire::StepKind::RequestHeaders(edits(it)),
        StepKind::ResponseHeaders(it) => wire::StepKind::ResponseHeaders(edits(it)),
        StepKind::Cors(it) => wire::StepKind::Cors(cors(it)),
        StepKind::IpAllowList(it) => wire::StepKind::IpAllowList(allow_list(it)),
        StepKind::RateLimit { settings, source: by } => {
            let (rate, source) = (Some(rate(settings)), Some(source(by)));
            wire::StepKind::RateLimit(wire::RateLimit { rate, source })
        }
        StepKind::InFlight { amount, source: by } => {
            wire::StepKind::InFlight(wire::InFlight { amount: *amount, source: Some(source(by)) })
        }
        StepKind::Retry(policy) => wire::StepKind::Retry(retry(policy)),
        StepKind::Mirror { parts_per_million, backend, compared } => {
            wire::StepKind::Mirror(wire::Mirror {
                parts_per_million: *parts_per_million,
                backend: backend.to_string(),
                compared: compared.as_ref().map(comparison),
            })
        }
        StepKind::Fault(it) => wire::StepKind::Fault(fault(it)),
        StepKind::LocalRateLimit(it) => wire::StepKind::LocalRateLimit(local_limit(it)),
        StepKind::Hedge(settings) => wire::StepKind::Hedge(hedge(settings)),
        StepKind::Respond(it) => wire::StepKind::Respond(answer(it)),
        StepKind::Refuse(why) => wire::StepKind::Refuse(refusal(why)),
        StepKind::AddPrefix(_) => refused("addPrefix"),
        StepKind::StripPrefix(_) => refused("stripPrefix"),
        StepKind::StripPrefixRegex(_) => refused("stripPrefixRegex"),
        StepKind::ReplacePath(_) => refused("replacePath"),
        StepKind::ReplacePathRegex { .. } => refused("replacePathRegex"),
        StepKind::RedirectScheme { .. } => refused("redirectScheme"),
        StepKind::RedirectRegex { .. } => refused("redirectRegex"),
        StepKind::SecureHeaders(_) => refused("headers"),
        StepKind::BasicAuth(_) => refused("basicAuth"),
        StepKind::ForwardAuth(_) => refused("forwardAuth"),
        StepKind::CircuitBreaker(_) => refused("circuitBreaker"),
        StepKind::Buffering(_) => refused("buffering"),
        StepKind::Errors(_) => refused("errors"),
        StepKind::Compress(_) => refused("compress"),
    }
}

fn rewrite(rewrite: &Rewrite) -> wire::Rewrite {
    let Rewrite { host, path } = rewrite;
    wire::Rewrite { host: optional(host.as_deref()), path: path.as_ref().map(path_rewrite) }
}

fn path_rewrite(path: &PathRewrite) -> wire::PathRewrite {
    let replaced = |found: &str, replacement: &str| wire::Replacement {
        found: found.into(),
        replacement: replacement.into(),
    };
    let kind = match path {
        PathRewrite::Full(path) => wire::PathRewriteKind::Full(path.to_string()),
        PathRewrite::Prefix { matched, replacement } => {
            wire::PathRewriteKind::Prefix(replaced(matched, replacement))
        }
        PathRewrite::Regex { pattern, replacement } => {
            wire::PathRewriteKind::Regex(replaced(pattern.as_str(), replacement))
        }
    };
    wire::PathRewrite { kind: Some(kind) }
}

fn redirect(redirect: &Redirect) -> wire::Redirect {
    let Redirect { scheme, host, port, path, status } = redirect;
    wire::Redirect {
        scheme: optional(scheme.as_deref()),
        host: optional(host.as_deref()),
        port: port.map(u32::from),
        path: path.as_ref().map(path_rewrite),
        status: (*status).into(),
    }
}

fn edits(edits: &HeaderEdits) -> wire::HeaderEdits {
    let HeaderEdits { set, add, made: made_of_facts, remove } = edits;
    let header = |(name, value): &(FieldName, Box<str>)| wire::Header {
        name: name.as_str().into(),
        value: value.to_string(),
    };
    wire::HeaderEdits {
        set: set.iter().map(header).collect(),
        add: add.iter().map(header).collect(),
        remove: remove.iter().map(|name| name.as_str().into()).collect(),
        made: made_of_facts.iter().map(made).collect(),
    }
}

fn made(header: &MadeHeader) -> wire::MadeHeader {
    let MadeHeader { name, adds, parts } = header;
    let name = name.as_str().into();
    wire::MadeHeader { name, adds: *adds, parts: parts.iter().map(value_part).collect() }
}

fn value_part(part: &ValuePart) -> wire::ValuePart {
    let kind = |kind| wire::ValuePart { kind, ..Default::default() };
    match part {
        ValuePart::Text(text) => wire::ValuePart { text: text.to_string(), ..kind(0) },
        ValuePart::Fact(Fact::ClientAddr) => kind(1),
        ValuePart::Fact(Fact::ClientIp) => kind(2),
        ValuePart::Fact(Fact::LocalPort) => kind(3),
        ValuePart::Fact(Fact::Protocol) => kind(4),
        ValuePart::Fact(Fact::Status) => kind(5),
        ValuePart::Fact(Fact::Named { parts, bytes_max }) => wire::ValuePart {
            names: parts.iter().map(|part| part.as_str().into()).collect(),
            bytes_max: *bytes_max,
            ..kind(6)
        },
    }
}

fn cors(cors: &Cors) -> wire::Cors {
    let Cors {
        allow_origins,
        allow_origin_patterns,
        allow_methods,
        allow_headers,
        expose_headers,
        allow_credentials,
        max_age_secs,
        always_vary,
        answer_all_preflights,
    } = cors;
    let pattern = |pattern: &Pattern| pattern.as_str().to_owned();
    wire::Cors {
        allow_origins: texts(allow_origins),
        allow_origin_patterns: allow_origin_patterns.iter().map(pattern).collect(),
        allow_methods: texts(allow_methods),
        allow_headers: texts(allow_headers),
        expose_headers: texts(expose_headers),
        allow_credentials: *allow_credentials,
        max_age_secs: *max_age_secs,
        always_vary: *always_vary,
        answer_all_preflights: *answer_all_preflights,
    }
}

fn allow_list(list: &IpAllowList) -> wire::IpAllowList {
    let IpAllowList { ranges, strategy: by, reject_status } = list;
    wire::IpAllowList {
        ranges: ranges.iter().map(network).collect(),
        strategy: Some(strategy(by)),
        reject_status: (*reject_status).into(),
    }
}

fn strategy(strategy: &IpStrategy) -> wire::IpStrategy {
    let IpStrategy { depth, excluded, ipv6_subnet } = strategy;
    wire::IpStrategy {
        depth: *depth,
        excluded: excluded.iter().map(network).collect(),
        ipv6_subnet: ipv6_subnet.map(u32::from),
    }
}

fn source(source: &SourceCriterion) -> wire::Source {
    let kind = match source {
        SourceCriterion::Ip(by) => wire::SourceKind::Ip(strategy(by)),
        SourceCriterion::Header(name) => wire::SourceKind::Header(name.as_str().into()),
        SourceCriterion::Host => wire::SourceKind::Host(true),
        SourceCriterion::All => wire::SourceKind::All(true),
    };
    wire::Source { kind: Some(kind) }
}

fn rate(settings: &RateSettings) -> wire::Rate {
    let RateSettings { average, period, burst } = *settings;
    wire::Rate { average, period: nanos(period), burst }
}

pub(super) fn retry(policy: &RetryPolicy) -> wire::RetryPolicy {
    let RetryPolicy {
        attempts,
        backoff,
        timeout,
        attempt_timeout,
        statuses: failed,
        grpc_statuses,
        body_bytes_max,
        on_unreached,
        on_network_error,
        on_timeout,
        non_idempotent,
        same_endpoint,
        elsewhere,
        by_default,
    } = policy;
    let BackoffSettings { initial_interval, interval_min, factor, interval_max } = *backoff;
    wire::RetryPolicy {
        attempts: *attempts,
        initial_interval: nanos(initial_interval),
        interval_min: nanos(interval_min),
        factor,
        interval_max: nanos(interval_max),
        timeout: timeout.map(nanos),
        attempt_timeout: attempt_timeout.map(nanos),
        statuses: statuses(failed.iter().copied()),
        grpc_statuses: grpc_statuses.clone(),
        body_bytes_max: *body_bytes_max,
        on_unreached: *on_unreached,
        on_network_error: *on_network_error,
        on_timeout: *on_timeout,
        non_idempotent: *non_idempotent,
        same_endpoint: *same_endpoint,
        elsewhere: *elsewhere,
        by_default: *by_default,
    }
}

fn comparison(comparison: &AnswerDiff) -> wire::AnswerDiff {
    let AnswerDiff { parts_per_million, status, headers, body } = *comparison;
    wire::AnswerDiff { parts_per_million, status, headers, body }
}

fn fault(fault: &Fault) -> wire::Fault {
    let Fault { delay, abort } = *fault;
    let delay =
        delay.map(|(wait, parts_per_million)| wire::Delay { wait: nanos(wait), parts_per_million });
    let abort = abort.map(|(abort, parts_per_million)| {
        let kind = match abort {
            Abort::Http(status) => wire::AbortKind::Http(status.into()),
            Abort::Grpc(status) => wire::AbortKind::Grpc(status),
        };
        wire::Abort { parts_per_million, kind: Some(kind) }
    });
    wire::Fault { delay, abort }
}

fn local_limit(limit: &LocalRateLimit) -> wire::LocalRateLimit {
    let LocalRateLimit { total, identity, overrides } = limit;
    let one = |(identities, settings): &(Vec<Box<str>>, RateSettings)| wire::RateOverride {
        identities: texts(identities),
        rate: Some(rate(settings)),
    };
    wire::LocalRateLimit {
        total: total.as_ref().map(rate),
        identity: identity.as_ref().map(rate),
        overrides: overrides.iter().map(one).collect(),
    }
}

fn answer(answer: &FixedAnswer) -> wire::FixedAnswer {
    let FixedAnswer { status, body } = answer;
    wire::FixedAnswer { status: (*status).into(), body: body.to_vec() }
}
