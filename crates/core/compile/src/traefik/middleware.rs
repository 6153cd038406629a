//! Middlewares, looked at alone.

use std::sync::Arc;

use weft_message::FieldName;
use weft_model::id::PolicyId;
use weft_model::policy::{
    Buffering, Coding, Compress, IpAllowList, IpStrategy, RetryPolicy, SourceCriterion, Step,
    StepKind,
};
use weft_model::text::Pattern;
use weft_resilience::settings::{BackoffSettings, BreakerSettings, RateSettings};
use weft_resources::traefik::middleware as written;
use weft_resources::traefik::middleware::{Middleware, MiddlewareKind};
use weft_resources::{Pos, Resource, Spanned};

use super::prepare::Problems;
use super::{headers, locate};
use crate::expression;

/// A middleware, looked at alone.
#[derive(Debug)]
pub(super) enum Prepared {
    /// Steps that are the same for every router.
    Shared(Vec<Arc<Step>>),
    /// One step that keeps count of what it sees, router by router.
    Counting(StepKind),
    /// A chain.
    Chain,
    /// Error pages, forward authentication and basic authentication need other resources.
    Linked,
    /// Nothing may be served without it, and it cannot be enforced.
    Unenforceable(String),
}

/// Looks at a middleware alone.
pub(super) fn prepare(
    resource: &Resource,
    middleware: &Middleware,
    problems: &mut Problems<'_>,
) -> Prepared {
    let before = problems.list.len();
    let prepared = convert(resource, middleware, problems);
    let is_broken = problems.list[before..].iter().any(weft_resources::Problem::is_error);
    match prepared {
        Some(prepared) if !is_broken => prepared,
        Some(Prepared::Unenforceable(why)) => Prepared::Unenforceable(why),
        _ => {
            let why = problems.list[before..]
                .iter()
                .find(|problem| problem.is_error())
                .map(|problem| problem.message.to_string());
            Prepared::Unenforceable(why.unwrap_or_else(|| "it is not valid".into()))
        }
    }
}

/// The id of a middleware's steps.
pub(super) fn id(resource: &Resource) -> String {
    format!("middleware/{}", locate::label(resource))
}

/// The path of a middleware's own field, for messages.
pub(super) fn path(resource: &Resource, field: &str) -> String {
    match locate::Home::of(resource) {
        locate::Home::Namespace(_) => format!("spec.{field}"),
        locate::Home::File => format!("http.middlewares.{}.{field}", resource.name()),
    }
}

fn convert(
    resource: &Resource,
    middleware: &Middleware,
    problems: &mut Problems<'_>,
) -> Option<Prepared> {
    let at = middleware.at;
    let field = |field: &str| path(resource, field);
    let kind = match &middleware.kind {
        MiddlewareKind::AddPrefix(prefix) => StepKind::AddPrefix(prefix.clone()),
        MiddlewareKind::StripPrefix(prefixes) => {
            warn_of_relative(prefixes, &field("stripPrefix.prefixes"), problems);
            StepKind::StripPrefix(prefixes.iter().map(|prefix| prefix.value.clone()).collect())
        }
        MiddlewareKind::StripPrefixRegex(patterns) => {
            let path = field("stripPrefixRegex.regex");
            StepKind::StripPrefixRegex(
                patterns.iter().filter_map(|text| anchored_start(text, &path, problems)).collect(),
            )
        }
        MiddlewareKind::ReplacePath(path) => StepKind::ReplacePath(path.clone()),
        MiddlewareKind::ReplacePathRegex(replacement) => StepKind::ReplacePathRegex {
            pattern: pattern(&replacement.regex, &field("replacePathRegex.regex"), problems)?,
            replacement: replacement.replacement.clone(),
        },
        MiddlewareKind::RedirectScheme { scheme, port, permanent } => StepKind::RedirectScheme {
            scheme: scheme.value.clone(),
            port: port.clone(),
            permanent: *permanent,
        },
        MiddlewareKind::RedirectRegex { replacement, permanent } => StepKind::RedirectRegex {
            pattern: pattern(&replacement.regex, &field("redirectRegex.regex"), problems)?,
            replacement: replacement.replacement.clone(),
            permanent: *permanent,
        },
        MiddlewareKind::Chain(_) => return Some(Prepared::Chain),
        MiddlewareKind::Headers(written) => {
            let kinds = headers::steps(written, at, &field("headers"), problems);
            return Some(shared(resource, kinds));
        }
        MiddlewareKind::Retry(retry) => StepKind::Retry(retry_policy(retry)),
        MiddlewareKind::CircuitBreaker(breaker) => {
            return breaker_step(breaker, &field("circuitBreaker.expression"), problems);
        }
        MiddlewareKind::RateLimit(limit) => {
            return rate_limit(resource, limit, &field("rateLimit"), problems);
        }
        MiddlewareKind::InFlightReq { amount, source } => {
            let path = field("inFlightReq.sourceCriterion");
            // Traefik's documented default is the host.
            let source = match source {
                None => SourceCriterion::Host,
                Some(source) => criterion(source, &path, problems)?,
            };
            return Some(Prepared::Counting(StepKind::InFlight { amount: *amount, source }));
        }
        MiddlewareKind::IpAllowList(list) => StepKind::IpAllowList(allow_list(list)),
        MiddlewareKind::Compress(compress) => StepKind::Compress(compress_step(compress)),
        MiddlewareKind::Buffering(buffering) => {
            let path = field("buffering.retryExpression");
            StepKind::Buffering(buffering_step(buffering, &path, problems)?)
        }
        MiddlewareKind::Errors(_)
        | MiddlewareKind::BasicAuth(_)
        | MiddlewareKind::ForwardAuth(_) => return Some(Prepared::Linked),
        MiddlewareKind::Unsupported { name, protects } => {
            return Some(unsupported(resource, name, *protects, at, problems));
        }
    };
    Some(shared(resource, vec![("", kind)]))
}

fn shared(resource: &Resource, kinds: Vec<(&'static str, StepKind)>) -> Prepared {
    let id = id(resource);
    let step = |(part, kind): (&str, StepKind)| {
        let id = if part.is_empty() { id.clone() } else { format!("{id}:{part}") };
        Arc::new(Step { id: PolicyId::new(id), kind })
    };
    Prepared::Shared(kinds.into_iter().map(step).collect())
}

fn unsupported(
    resource: &Resource,
    name: &str,
    protects: bool,
    at: Pos,
    problems: &mut Problems<'_>,
) -> Prepared {
    let path = path(resource, name);
    if protects {
        let message = format!(
            "`{name}` is not supported; routers that use this middleware are not served (503)"
        );
        problems.error(at, path, message);
        return Prepared::Unenforceable(format!("`{name}` is not supported"));
    }
    problems.warn(at, path, format!("`{name}` is not supported; this middleware does nothing"));
    Prepared::Shared(Vec::new())
}

fn breaker_step(
    breaker: &written::CircuitBreaker,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Prepared> {
    let expression = match expression::breaker_expression(&breaker.expression) {
        Ok(expression) => expression,
        Err(error) => {
            problems.error(breaker.expression.at, path, error.to_string());
            return None;
        }
    };
    Some(Prepared::Counting(StepKind::CircuitBreaker(Box::new(BreakerSettings {
        expression,
        check_period: breaker.check_period,
        fallback_duration: breaker.fallback_duration,
        recovery_duration: breaker.recovery_duration,
        response_code: breaker.response_code,
    }))))
}

fn rate_limit(
    resource: &Resource,
    limit: &written::RateLimit,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Prepared> {
    if let Some(at) = limit.redis {
        let message = "a shared limit in Redis is not supported; routers that use this middleware \
                       are not served (503)";
        problems.error(at, format!("{path}.redis"), message).fix =
            Some("remove `redis` to limit each gateway by itself".into());
        return Some(Prepared::Unenforceable("`rateLimit.redis` is not supported".into()));
    }
    if limit.average == 0 {
        return Some(shared(resource, Vec::new()));
    }
    let source = match &limit.source {
        None => SourceCriterion::Ip(IpStrategy::default()),
        Some(source) => criterion(source, &format!("{path}.sourceCriterion"), problems)?,
    };
    let settings =
        RateSettings { average: limit.average, period: limit.period, burst: limit.burst };
    Some(Prepared::Counting(StepKind::RateLimit { settings, source }))
}

fn retry_policy(retry: &written::Retry) -> RetryPolicy {
    RetryPolicy {
        attempts: retry.attempts,
        backoff: BackoffSettings::traefik(retry.initial_interval),
        timeout: Some(retry.timeout).filter(|timeout| !timeout.is_zero()),
        statuses: retry.statuses.clone(),
        body_bytes_max: retry.max_request_body_bytes.unwrap_or(u64::MAX),
        on_network_error: !retry.disable_on_network_error,
        non_idempotent: retry.non_idempotent,
        ..RetryPolicy::NEVER
    }
}

fn allow_list(list: &written::IpAllowList) -> IpAllowList {
    IpAllowList {
        ranges: list.ranges.clone(),
        strategy: strategy(&list.strategy),
        reject_status: list.reject_status,
    }
}

fn compress_step(compress: &written::Compress) -> Compress {
    let coding = |coding: &written::Coding| match coding {
        written::Coding::Gzip => Coding::Gzip,
        written::Coding::Brotli => Coding::Brotli,
        written::Coding::Zstd => Coding::Zstd,
    };
    Compress {
        codings: compress.encodings.iter().map(coding).collect(),
        default: compress.default_encoding.as_ref().map(coding),
        body_bytes_min: compress.min_response_body_bytes,
        excluded_types: compress.excluded_content_types.clone(),
        included_types: compress.included_content_types.clone(),
    }
}

fn buffering_step(
    buffering: &written::Buffering,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Buffering> {
    let retry = match &buffering.retry_expression {
        Some(text) if !text.is_empty() => match expression::retry_expression(text) {
            Ok(expression) => Some(expression),
            Err(error) => {
                problems.error(text.at, path, error.to_string());
                return None;
            }
        },
        _ => None,
    };
    let bound = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
    Some(Buffering {
        request_bytes_max: bound(buffering.max_request_body_bytes),
        response_bytes_max: bound(buffering.max_response_body_bytes),
        request_memory_bytes: buffering.mem_request_body_bytes,
        response_memory_bytes: buffering.mem_response_body_bytes,
        retry,
    })
}

fn criterion(
    source: &written::SourceCriterion,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<SourceCriterion> {
    Some(match source {
        written::SourceCriterion::Ip(ip) => SourceCriterion::Ip(strategy(ip)),
        written::SourceCriterion::Host => SourceCriterion::Host,
        written::SourceCriterion::Header(name) => SourceCriterion::Header(field_name(
            &name.value,
            name.at,
            &format!("{path}.requestHeaderName"),
            problems,
        )?),
    })
}

fn strategy(strategy: &written::IpStrategy) -> IpStrategy {
    IpStrategy {
        depth: strategy.depth,
        excluded: strategy.excluded.clone(),
        ipv6_subnet: strategy.ipv6_subnet,
    }
}

/// Checks the name of a header.
pub(super) fn field_name(
    name: &str,
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<FieldName> {
    let parsed = FieldName::new(name).ok();
    if parsed.is_none() {
        let message = format!("`{name}` is not the name of a header");
        problems.error(at, path, message).fix = Some(header_name_fix(name).into());
    }
    parsed
}

/// What to write instead of a text that is no name of a header (RFC 9110 section 5.6.2).
pub(super) fn header_name_fix(name: &str) -> String {
    let usual: String =
        name.trim().trim_end_matches(':').split_whitespace().collect::<Vec<_>>().join("-");
    match FieldName::new(&usual) {
        Ok(_) => format!("write `{usual}`"),
        Err(_) => "use letters, digits and `-`".into(),
    }
}

/// Says which prefixes no path has.
fn warn_of_relative(prefixes: &[Spanned<Box<str>>], path: &str, problems: &mut Problems<'_>) {
    for (index, prefix) in prefixes.iter().enumerate() {
        if !prefix.starts_with('/') {
            let message = format!("no path begins with `{}`: it has no slash", prefix.value);
            let problem = problems.warn(prefix.at, format!("{path}[{index}]"), message);
            problem.fix = Some(format!("write `/{}`", prefix.value).into());
        }
    }
}

/// Compiles a pattern.
pub(super) fn pattern(
    text: &Spanned<Box<str>>,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Pattern> {
    compiled(Pattern::new(text), text.at, path, problems)
}

fn anchored_start(
    text: &Spanned<Box<str>>,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Pattern> {
    // Checked alone first, so that a message shows the user's own text.
    compiled(Pattern::new(text), text.at, path, problems)?;
    compiled(Pattern::new(&format!("^(?:{})", text.value)), text.at, path, problems)
}

fn compiled(
    pattern: Result<Pattern, weft_model::text::InvalidPattern>,
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Pattern> {
    match pattern {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let reason = error.reason();
            let fix = reason.contains("look-around").then(|| {
                "look-around is not available, as in Traefik; write the rule without it".into()
            });
            problems.error(at, path, format!("invalid regular expression: {reason}")).fix = fix;
            None
        }
    }
}
