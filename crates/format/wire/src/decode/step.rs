//! What is done to a request on its way. A step that cannot be read refuses: it may protect.

use std::error::Error;
use std::sync::Arc;

use weft_message::FieldName;
use weft_model::id::{BackendId, PolicyId};
use weft_model::outcome::Reason;
use weft_model::policy::{
    Abort, AnswerDiff, Cors, Fact, Fault, FixedAnswer, HeaderEdits, IpAllowList, IpStrategy,
    LocalRateLimit, MadeHeader, MessagePart, PathRewrite, Redirect, Refusal, RetryPolicy, Rewrite,
    SourceCriterion, Step, StepKind, ValuePart,
};
use weft_resilience::settings::{BackoffSettings, RateSettings};

use super::calling::{hedge, statuses};
use super::{
    InvalidResource, fitting, network, optional, pattern, port_number, quantity, refusal, texts,
    time,
};
use crate::resource::step as wire;

/// What is answered in place of something that cannot be read.
pub(super) fn unreadable(error: &InvalidResource) -> Refusal {
    let detail = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() }
}

pub(super) fn steps(messages: &[wire::Step]) -> Arc<[Arc<Step>]> {
    let step = |message: &wire::Step| {
        let id = PolicyId::new(message.id.as_str());
        let kind = kind(message).unwrap_or_else(|error| StepKind::Refuse(unreadable(&error)));
        Arc::new(Step { id, kind })
    };
    messages.iter().map(step).collect()
}

fn kind(message: &wire::Step) -> Result<StepKind, InvalidResource> {
    let kind = message.kind.as_ref().ok_or(InvalidResource::Kind("step"))?;
    Ok(match kind {
        wire::StepKind::Rewrite(it) => StepKind::Rewrite(rewrite(it)?),
        wire::StepKind::Redirect(it) => StepKind::Redirect(redirect(it)?),
        wire::StepKind::RequestHeaders(it) => StepKind::RequestHeaders(edits(it)?),
        wire::StepKind::ResponseHeaders(it) => StepKind::ResponseHeaders(edits(it)?),
        wire::StepKind::Cors(it) => StepKind::Cors(cors(it)?),
        wire::StepKind::IpAllowList(it) => StepKind::IpAllowList(allow_list(it)?),
        wire::StepKind::RateLimit(it) => StepKind::RateLimit {
            settings: rate(it.rate.as_ref())?,
            source: source(it.source.as_ref())?,
        },
        wire::StepKind::InFlight(it) => {
            StepKind::InFlight { amount: it.amount, source: source(it.source.as_ref())? }
        }
        wire::StepKind::Retry(policy) => StepKind::Retry(retry(policy)?),
        wire::StepKind::Mirror(it) => StepKind::Mirror {
            parts_per_million: it.parts_per_million,
            backend: BackendId::new(it.backend.as_str()),
            compared: it.compared.as_ref().map(comparison),
        },
        wire::StepKind::Fault(it) => StepKind::Fault(fault(it)?),
        wire::StepKind::LocalRateLimit(it) => StepKind::LocalRateLimit(Box::new(local_limit(it)?)),
        wire::StepKind::Hedge(settings) => StepKind::Hedge(hedge(settings)?),
        wire::StepKind::Respond(it) => StepKind::Respond(FixedAnswer {
            status: fitting("status", it.status)?,
            body: it.body.as_slice().into(),
        }),
        wire::StepKind::Refuse(why) => StepKind::Refuse(refusal(why)),
    })
}

fn rewrite(message: &wire::Rewrite) -> Result<Rewrite, InvalidResource> {
    Ok(Rewrite {
        host: optional(message.host.as_ref()),
        path: message.path.as_ref().map(path_rewrite).transpose()?,
    })
}

fn path_rewrite(message: &wire::PathRewrite) -> Result<PathRewrite, InvalidResource> {
    let kind = message.kind.as_ref().ok_or(InvalidResource::Kind("path"))?;
    Ok(match kind {
        wire::PathRewriteKind::Full(path) => PathRewrite::Full(path.as_str().into()),
        wire::PathRewriteKind::Prefix(it) => PathRewrite::Prefix {
            matched: it.found.as_str().into(),
            replacement: it.replacement.as_str().into(),
        },
        wire::PathRewriteKind::Regex(it) => PathRewrite::Regex {
            pattern: pattern(&it.found)?,
            replacement: it.replacement.as_str().into(),
        },
    })
}

fn redirect(message: &wire::Redirect) -> Result<Redirect, InvalidResource> {
    Ok(Redirect {
        scheme: optional(message.scheme.as_ref()),
        host: optional(message.host.as_ref()),
        port: message.port.map(port_number).transpose()?,
        path: message.path.as_ref().map(path_rewrite).transpose()?,
        status: fitting("status", message.status)?,
    })
}

fn field_name(name: &str) -> Result<FieldName, InvalidResource> {
    FieldName::new(name).map_err(|_| InvalidResource::Name("header"))
}

fn edits(message: &wire::HeaderEdits) -> Result<HeaderEdits, InvalidResource> {
    let header =
        |header: &wire::Header| Ok((field_name(&header.name)?, header.value.as_str().into()));
    let headers =
        |all: &[wire::Header]| all.iter().map(header).collect::<Result<Vec<_>, InvalidResource>>();
    let remove = message.remove.iter().map(|name| field_name(name));
    Ok(HeaderEdits {
        set: headers(&message.set)?,
        add: headers(&message.add)?,
        remove: remove.collect::<Result<_, _>>()?,
        made: message.made.iter().map(made).collect::<Result<_, _>>()?,
    })
}

fn made(message: &wire::MadeHeader) -> Result<MadeHeader, InvalidResource> {
    let name = field_name(&message.name)?;
    let parts = message.parts.iter().map(value_part).collect::<Result<_, _>>()?;
    Ok(MadeHeader { name, adds: message.adds, parts })
}

fn value_part(message: &wire::ValuePart) -> Result<ValuePart, InvalidResource> {
    let named = |name: &String| MessagePart::new(name).ok_or(InvalidResource::Name("header"));
    Ok(ValuePart::Fact(match message.kind {
        0 => return Ok(ValuePart::Text(message.text.as_str().into())),
        1 => Fact::ClientAddr,
        2 => Fact::ClientIp,
        3 => Fact::LocalPort,
        4 => Fact::Protocol,
        5 => Fact::Status,
        6 => Fact::Named {
            parts: message.names.iter().map(named).collect::<Result<_, _>>()?,
            bytes_max: message.bytes_max,
        },
        value => return Err(InvalidResource::Unknown { field: "part of a value", value }),
    }))
}

fn cors(message: &wire::Cors) -> Result<Cors, InvalidResource> {
    let patterns = message.allow_origin_patterns.iter().map(|text| pattern(text));
    Ok(Cors {
        allow_origins: texts(&message.allow_origins),
        allow_origin_patterns: patterns.collect::<Result<_, _>>()?,
        allow_methods: texts(&message.allow_methods),
        allow_headers: texts(&message.allow_headers),
        expose_headers: texts(&message.expose_headers),
        allow_credentials: message.allow_credentials,
        max_age_secs: message.max_age_secs,
        always_vary: message.always_vary,
        answer_all_preflights: message.answer_all_preflights,
    })
}

fn allow_list(message: &wire::IpAllowList) -> Result<IpAllowList, InvalidResource> {
    Ok(IpAllowList {
        ranges: message.ranges.iter().map(network).collect::<Result<_, _>>()?,
        strategy: message.strategy.as_ref().map(strategy).transpose()?.unwrap_or_default(),
        reject_status: fitting("status", message.reject_status)?,
    })
}

fn strategy(message: &wire::IpStrategy) -> Result<IpStrategy, InvalidResource> {
    let bits = message.ipv6_subnet.map(|bits| fitting("ipv6_subnet", bits));
    Ok(IpStrategy {
        depth: message.depth,
        excluded: message.excluded.iter().map(network).collect::<Result<_, _>>()?,
        ipv6_subnet: bits.transpose()?,
    })
}

fn source(message: Option<&wire::Source>) -> Result<SourceCriterion, InvalidResource> {
    let kind = message.and_then(|message| message.kind.as_ref());
    Ok(match kind.ok_or(InvalidResource::Kind("source"))? {
        wire::SourceKind::Ip(by) => SourceCriterion::Ip(strategy(by)?),
        wire::SourceKind::Header(name) => SourceCriterion::Header(field_name(name)?),
        wire::SourceKind::Host(_) => SourceCriterion::Host,
        wire::SourceKind::All(_) => SourceCriterion::All,
    })
}

fn rate(message: Option<&wire::Rate>) -> Result<RateSettings, InvalidResource> {
    let message = message.ok_or(InvalidResource::Missing("rate"))?;
    Ok(settings(message))
}

fn settings(message: &wire::Rate) -> RateSettings {
    let wire::Rate { average, period, burst } = *message;
    RateSettings { average, period: time(period), burst }
}

pub(super) fn retry(message: &wire::RetryPolicy) -> Result<RetryPolicy, InvalidResource> {
    Ok(RetryPolicy {
        attempts: message.attempts,
        backoff: BackoffSettings {
            initial_interval: time(message.initial_interval),
            interval_min: time(message.interval_min),
            factor: quantity("factor", message.factor)?,
            interval_max: time(message.interval_max),
        },
        timeout: message.timeout.map(time),
        attempt_timeout: message.attempt_timeout.map(time),
        statuses: statuses(&message.statuses)?,
        grpc_statuses: message.grpc_statuses.clone(),
        body_bytes_max: message.body_bytes_max,
        on_unreached: message.on_unreached,
        on_network_error: message.on_network_error,
        on_timeout: message.on_timeout,
        non_idempotent: message.non_idempotent,
        same_endpoint: message.same_endpoint,
        elsewhere: message.elsewhere,
        by_default: message.by_default,
    })
}

fn comparison(message: &wire::AnswerDiff) -> AnswerDiff {
    let wire::AnswerDiff { parts_per_million, status, headers, body } = *message;
    AnswerDiff { parts_per_million, status, headers, body }
}

fn fault(message: &wire::Fault) -> Result<Fault, InvalidResource> {
    let abort = |message: wire::Abort| {
        let abort = match message.kind {
            Some(wire::AbortKind::Http(status)) => Abort::Http(fitting("status", status)?),
            Some(wire::AbortKind::Grpc(status)) => Abort::Grpc(status),
            None => return Err(InvalidResource::Kind("abort")),
        };
        Ok((abort, message.parts_per_million))
    };
    Ok(Fault {
        delay: message.delay.map(|delay| (time(delay.wait), delay.parts_per_million)),
        abort: message.abort.map(abort).transpose()?,
    })
}

fn local_limit(message: &wire::LocalRateLimit) -> Result<LocalRateLimit, InvalidResource> {
    let one = |message: &wire::RateOverride| {
        Ok((texts(&message.identities), rate(message.rate.as_ref())?))
    };
    Ok(LocalRateLimit {
        total: message.total.as_ref().map(settings),
        identity: message.identity.as_ref().map(settings),
        overrides: message.overrides.iter().map(one).collect::<Result<_, InvalidResource>>()?,
    })
}
