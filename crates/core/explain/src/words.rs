//! Policies in words: what each does, and where it comes from.

#[cfg(test)]
mod tests;

use std::time::Duration;

use weft_message::{FieldName, secret};
use weft_model::calling::{Calling, HashKey, HttpUpgrade, Locality, LocalityOrder, Source};
use weft_model::policy::{
    Abort, AnswerDiff, Fact, Fault, HeaderEdits, LocalRateLimit, MessagePart, PathRewrite,
    Redirect, Refusal, RetryPolicy, Rewrite, Step, StepKind, ValuePart,
};
use weft_model::route::{Affinity, Bound, Choice, Origin, Target, Timeouts};
use weft_resilience::settings::{
    BudgetSettings, HedgeSettings, LimitSettings, OutlierSettings, PickerKind, RateSettings,
};

/// Where a setting comes from that no document has said anything about.
pub const DEFAULT: &str = "default";

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it is: `retry`, `timeout`, `header`.
    pub name: Box<str>,
    /// Its effective value.
    pub value: String,
    /// Where it comes from: a document with its place, or [`DEFAULT`].
    pub source: Box<str>,
}

/// `VirtualService shop/payments (payments.yaml:12)`.
pub fn place(origin: &Origin, line: u32) -> String {
    let Origin { kind, name, file, rule: _ } = origin;
    located(&format!("{kind} {name}"), file, line)
}

/// One step of a route.
pub fn step(step: &Step, place: &str) -> Said {
    let (name, value) = kind(&step.kind);
    said(name, value, place)
}

/// A share of the requests, in percent, that is answered by the proxy itself.
pub fn refused(refusal: &Refusal, percent: Option<f64>, place: &str) -> Said {
    let share = percent.map(|percent| format!("{} of the requests: ", percents(percent)));
    let value = format!("{}{}", share.unwrap_or_default(), self::refusal(refusal));
    said("answer", value, place)
}

/// Where a rule leads to.
pub fn target(target: &Target) -> String {
    let all = |choices: &[Choice]| choices.iter().map(|one| self::target(&one.target)).collect();
    let leads: Vec<String> = match target {
        Target::Backend(id) => vec![id.to_string()],
        Target::Weighted(weighted) => {
            let total: f64 = weighted.choices.iter().map(|one| f64::from(one.weight)).sum();
            let share = |one: &Choice| percents(f64::from(one.weight) * 100.0 / total.max(1.0));
            let lead = |one: &Choice| format!("{} ({})", self::target(&one.target), share(one));
            weighted.choices.iter().map(lead).collect()
        }
        Target::HighestRandomWeight(choices) => all(choices),
        Target::Mirror(mirrors) => vec![self::target(&mirrors.main)],
        Target::Failover(failover) => {
            let (main, fallback) = (&failover.main, &failover.fallback);
            vec![format!("{}, else {}", self::target(main), self::target(fallback))]
        }
        Target::Refuse(refusal) => vec![format!("an answer {}", self::refusal(refusal))],
    };
    leads.join(", ")
}

/// Bounds on time, and retries of the route itself.
pub fn timeouts(timeouts: &Timeouts, place: &str) -> Vec<Said> {
    let Timeouts { request, attempt, response, idle, retry, inherited } = timeouts;
    let bounds = [
        ("request timeout", request, Some(Bound::Request)),
        ("timeout of each try", attempt, None),
        ("response timeout", response, Some(Bound::Response)),
        ("idle timeout", idle, Some(Bound::Idle)),
    ];
    let elsewhere = |wanted: Option<Bound>| {
        let found = inherited.iter().find(|(bound, _)| Some(*bound) == wanted);
        found.map(|(_, source)| self::source(source))
    };
    let bound = |(name, bound, kind): (&'static str, &Option<Duration>, _)| {
        let place = elsewhere(kind).unwrap_or_else(|| place.to_owned());
        match bound {
            Some(bound) => Some(said(name, duration(*bound), &place)),
            None if name == "request timeout" => Some(said(name, "none".into(), DEFAULT)),
            None => None,
        }
    };
    let source = elsewhere(Some(Bound::Retry));
    let retry = match retry {
        Some(policy) => {
            let usual = if policy.by_default { DEFAULT } else { place };
            said("retry", self::retry(policy), source.as_deref().unwrap_or(usual))
        }
        None => {
            let value = "of what reached no application, once".into();
            said("retry", value, source.as_deref().unwrap_or(DEFAULT))
        }
    };
    bounds.into_iter().filter_map(bound).chain([retry]).collect()
}

/// How a backend is called. A setting comes from the source that speaks of it.
pub fn calling(calling: &Calling, sources: &[Source]) -> Vec<Said> {
    let mut settings = Settings { sources, all: Vec::new() };
    settings.balancing(calling);
    settings.resilience(calling);
    settings.connections(calling);
    settings.all
}

/// Settings in words, as they are collected.
struct Settings<'s> {
    sources: &'s [Source],
    all: Vec<Said>,
}

// === impl Settings ===

impl Settings<'_> {
    fn balancing(&mut self, calling: &Calling) {
        let Calling { picker, as_dialled, key, sticky, locality, slow_start, bias, .. } = calling;
        let words = ["loadBalancer", "balancer", "sessionAffinity"];
        self.say("load balancing", Some(balance(*picker, *as_dialled, key)), &words);
        let session = sticky.as_ref().map(|affinity| match affinity {
            Affinity::Cookie(cookie) => format!("cookie {}", cookie.name),
            Affinity::Header(header) => format!("header {}", header.name),
        });
        self.say("session persistence", session, &["sessionPersistence", "sticky"]);
        let words = ["locality", "zoneAware", "trafficDistribution", "traffic-distribution"];
        self.say("locality", locality.as_deref().map(order), &words);
        let warm = Some(slow_start.window).filter(|window| !window.is_zero());
        let warm = warm.map(|window| format!("{} to the full share", duration(window)));
        self.say("warm-up", warm, &["warmup", "slow-start"]);
        let bias = bias.map(|one| format!("429 counts as {}", duration(one.penalty)));
        self.say("load bias", bias, &["penalize"]);
    }

    fn resilience(&mut self, calling: &Calling) {
        let Calling { outlier, retry_budget, limits, endpoint_limits, adaptive, hedge, .. } =
            calling;
        let Calling { retries_across_hops, ignores_deadlines, .. } = calling;
        let passive = outlier.as_ref().map(self::outlier);
        self.say("outlier detection", passive, &["outlier", "failure-accrual"]);
        let words = ["budget", "retryConstraint"];
        self.say("retry budget", retry_budget.as_ref().map(budget), &words);
        self.say("limits of the service", bounds(limits), &["connectionPool", "perService"]);
        self.say("limits of each endpoint", bounds(endpoint_limits), &["perEndpoint"]);
        let adaptive =
            adaptive.map(|one| format!("{} to {} requests", one.limit_min, one.limit_max));
        self.say("adaptive concurrency", adaptive, &["adaptive"]);
        self.say("hedging", hedge.as_ref().map(hedging), &["hedging"]);
        let crossing = retries_across_hops.then(|| "what other hops have retried, too".into());
        self.say("retries across hops", crossing, &["crossHop"]);
        let deadline = ignores_deadlines.then(|| "ignored, and not passed on".into());
        self.say("the caller's deadline", deadline, &["deadline"]);
    }

    fn connections(&mut self, calling: &Calling) {
        let Calling { pool, tls, without_mesh_tls, tunnel, proxy_protocol, upgrade, .. } = calling;
        let connect = Some(duration(pool.connect_timeout));
        self.say("connect timeout", connect, &["connectionPool"]);
        let encryption = match (tls, without_mesh_tls) {
            (Some(tls), _) => Some(tls_words(tls)),
            (None, true) => Some("none, not even the mesh's".into()),
            (None, false) => None,
        };
        self.say("TLS", encryption, &["tls"]);
        let tunnel = tunnel.as_ref().map(|one| format!("to {}:{}", one.host, one.port));
        self.say("tunnel", tunnel, &["tunnel"]);
        let version = proxy_protocol.map(|version| format!("{version:?}"));
        self.say("PROXY protocol", version, &["proxyProtocol"]);
        let version = match upgrade {
            HttpUpgrade::Default => None,
            HttpUpgrade::Http2 => Some("HTTP/2".into()),
            HttpUpgrade::Never => Some("HTTP/1.1".into()),
            HttpUpgrade::AsClient => Some("the client's".into()),
        };
        self.say("HTTP version", version, &["connectionPool"]);
    }

    /// Adds a setting, if there is one, with the first source whose field has one of the words in its
    /// name.
    fn say(&mut self, name: &str, value: Option<String>, words: &[&str]) {
        let Some(value) = value else { return };
        let speaks = |source: &&Source| {
            let field = field(&source.setting).to_ascii_lowercase();
            words.iter().any(|word| field.contains(&word.to_ascii_lowercase()))
        };
        let source = match self.sources.iter().find(speaks) {
            Some(found) => source(found).into(),
            None => DEFAULT.into(),
        };
        self.all.push(Said { name: name.into(), value, source });
    }
}

/// The name of a field, without those that it stands in. Names of annotations have dots.
fn field(path: &str) -> &str {
    let annotation = path.strip_prefix("metadata.annotations.");
    annotation.unwrap_or_else(|| path.rsplit('.').next().unwrap_or_default())
}

fn order(locality: &Locality) -> String {
    if !locality.distribute.is_empty() {
        return "distributed by percentages".into();
    }
    match &locality.order {
        LocalityOrder::None => "all places alike".into(),
        LocalityOrder::SameZone => "the caller's zone while it has endpoints".into(),
        LocalityOrder::Place => "the caller's subzone, zone, region, then others".into(),
        LocalityOrder::Labels(labels) => format!("by shared labels: {}", labels.join(", ")),
    }
}

fn said(name: &str, value: String, source: &str) -> Said {
    Said { name: name.into(), value, source: source.into() }
}

/// Where a setting comes from, and the field there.
fn source(source: &Source) -> String {
    let Source { setting, document, file, line } = source;
    format!("{}: {setting}", located(document, file, *line))
}

fn located(document: &str, file: &str, line: u32) -> String {
    match (file, line) {
        ("", _) => document.into(),
        (file, 0) => format!("{document} ({file})"),
        (file, line) => format!("{document} ({file}:{line})"),
    }
}

/// The name of a step and what it does.
fn kind(kind: &StepKind) -> (&'static str, String) {
    match kind {
        StepKind::AddPrefix(prefix) => ("path", format!("`{prefix}` is put in front")),
        StepKind::StripPrefix(prefixes) => ("path", format!("without {}", prefixes.join(", "))),
        StepKind::StripPrefixRegex(_) => ("path", "a prefix by pattern is taken off".into()),
        StepKind::ReplacePath(path) => ("path", format!("becomes `{path}`")),
        StepKind::ReplacePathRegex { pattern, replacement } => {
            ("path", format!("`{}` becomes `{replacement}`", pattern.as_str()))
        }
        StepKind::Rewrite(rewrite) => ("rewrite", self::rewrite(rewrite)),
        StepKind::RedirectScheme { scheme, .. } => ("redirect", format!("to {scheme}")),
        StepKind::RedirectRegex { replacement, .. } => ("redirect", format!("to `{replacement}`")),
        StepKind::Redirect(redirect) => ("redirect", self::redirect(redirect)),
        StepKind::RequestHeaders(edits) => ("request headers", self::edits(edits)),
        StepKind::ResponseHeaders(edits) => ("response headers", self::edits(edits)),
        StepKind::SecureHeaders(_) => ("headers", "checks of host and scheme".into()),
        StepKind::Cors(cors) => ("CORS", format!("origins {}", cors.allow_origins.join(", "))),
        StepKind::IpAllowList(list) => {
            ("allow list", format!("{} ranges of addresses", list.ranges.len()))
        }
        StepKind::BasicAuth(auth) => ("authentication", format!("basic, realm {}", auth.realm)),
        StepKind::ForwardAuth(auth) => ("authentication", format!("asks {}", auth.host)),
        StepKind::RateLimit { settings, .. } => ("rate limit", rate(settings)),
        StepKind::LocalRateLimit(limit) => ("rate limit", local_rate(limit)),
        StepKind::InFlight { amount, .. } => ("limit", format!("{amount} requests at one time")),
        StepKind::CircuitBreaker(_) => ("circuit breaker", "by expression".into()),
        StepKind::Retry(policy) => ("retry", retry(policy)),
        StepKind::Hedge(settings) => ("hedging", hedging(settings)),
        StepKind::Buffering(_) => ("buffering", "whole bodies are held".into()),
        StepKind::Errors(_) => ("error pages", "answers of some statuses are replaced".into()),
        StepKind::Compress(_) => ("compression", "of responses".into()),
        StepKind::Mirror { parts_per_million, backend, compared } => {
            let share = percents(f64::from(*parts_per_million) / 1e4);
            let compared = compared.as_ref().map(comparison).unwrap_or_default();
            ("mirror", format!("{share} of the requests to {backend}{compared}"))
        }
        StepKind::Fault(fault) => ("fault", self::fault(fault)),
        StepKind::Respond(answer) => ("answer", format!("{} of fixed content", answer.status)),
        StepKind::Refuse(refusal) => ("answer", self::refusal(refusal)),
    }
}

fn rewrite(rewrite: &Rewrite) -> String {
    let Rewrite { host, path } = rewrite;
    let host = host.as_ref().map(|host| format!("host {host}"));
    let parts = [host, path.as_ref().map(path_rewrite)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn path_rewrite(path: &PathRewrite) -> String {
    match path {
        PathRewrite::Full(path) => format!("path {path}"),
        PathRewrite::Prefix { matched, replacement } => {
            format!("prefix {matched} becomes {replacement}")
        }
        PathRewrite::Regex { pattern, replacement } => {
            format!("path `{}` becomes `{replacement}`", pattern.as_str())
        }
    }
}

fn redirect(redirect: &Redirect) -> String {
    let Redirect { scheme, host, port, path, status } = redirect;
    let mut words = vec![status.to_string()];
    words.extend(scheme.as_ref().map(|scheme| format!("scheme {scheme}")));
    words.extend(host.as_ref().map(|host| format!("host {host}")));
    words.extend(port.map(|port| format!("port {port}")));
    words.extend(path.as_ref().map(path_rewrite));
    words.join(", ")
}

fn edits(edits: &HeaderEdits) -> String {
    let HeaderEdits { set, add, made, remove } = edits;
    let shown = |(name, value): (&FieldName, &str), sign| {
        let value = secret::shown(name.as_str(), value.as_bytes());
        format!("{} {sign} {}", name.as_str(), String::from_utf8_lossy(value))
    };
    let set = set.iter().map(|(name, value)| shown((name, value), '='));
    let add = add.iter().map(|(name, value)| shown((name, value), '+'));
    let made = made.iter().map(|header| {
        let value: String = header.parts.iter().map(part).collect();
        shown((&header.name, &value), if header.adds { '+' } else { '=' })
    });
    let remove = remove.iter().map(|name| format!("without {}", name.as_str()));
    set.chain(add).chain(made).chain(remove).collect::<Vec<_>>().join(", ")
}

/// A part of a value that is made for each message.
fn part(part: &ValuePart) -> String {
    let fact = match part {
        ValuePart::Text(text) => return text.to_string(),
        ValuePart::Fact(fact) => fact,
    };
    match fact {
        Fact::ClientAddr => "<address and port of the client>".into(),
        Fact::ClientIp => "<address of the client>".into(),
        Fact::LocalPort => "<port>".into(),
        Fact::Protocol => "<protocol>".into(),
        Fact::Status => "<status>".into(),
        Fact::Named { parts, bytes_max: _ } => {
            let names: Vec<&str> = parts.iter().map(MessagePart::as_str).collect();
            format!("<{}>", names.join(" or "))
        }
    }
}

fn fault(fault: &Fault) -> String {
    let share = |parts: u32| percents(f64::from(parts) / 1e4);
    let delay = fault
        .delay
        .map(|(wait, parts)| format!("{} of the requests wait {}", share(parts), duration(wait)));
    let abort = fault.abort.map(|(abort, parts)| match abort {
        Abort::Http(status) => format!("{} are answered {status}", share(parts)),
        Abort::Grpc(status) => format!("{} are answered gRPC {status}", share(parts)),
    });
    [delay, abort].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn comparison(how: &AnswerDiff) -> String {
    let AnswerDiff { parts_per_million, status, headers, body } = *how;
    let parts = [(status, "status"), (headers, "headers"), (body, "body")];
    let parts: Vec<&str> =
        parts.into_iter().filter_map(|(is_asked, part)| is_asked.then_some(part)).collect();
    let share = percents(f64::from(parts_per_million) / 1e4);
    format!(", {share} of them compared by {}", parts.join(", "))
}

fn refusal(refusal: &Refusal) -> String {
    format!("{} ({}): {}", refusal.reason.status(), refusal.reason.label(), refusal.detail)
}

fn retry(policy: &RetryPolicy) -> String {
    let mut on: Vec<String> = Vec::new();
    on.extend(policy.on_network_error.then(|| "failed connections".into()));
    let unreached = policy.on_unreached && !policy.on_network_error;
    on.extend(unreached.then(|| "connections that were not made or refused streams".into()));
    on.extend(policy.on_timeout.then(|| "tries that took too long".into()));
    on.extend(policy.statuses.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    }));
    on.extend(policy.grpc_statuses.iter().map(|code| format!("gRPC {code}")));
    let on = if on.is_empty() { "nothing".into() } else { on.join(", ") };
    let each = policy.attempt_timeout.map(|bound| format!(", {} each", duration(bound)));
    let methods = if policy.non_idempotent { ", any method" } else { "" };
    format!("up to {} tries on {on}{}{methods}", policy.attempts, each.unwrap_or_default())
}

fn balance(picker: PickerKind, as_dialled: bool, key: &HashKey) -> String {
    if as_dialled {
        return "the address that was dialled".into();
    }
    let by = match key {
        HashKey::ClientAddr => "client address".into(),
        HashKey::Header(name) => format!("header {}", name.as_str()),
        HashKey::Query(name) => format!("query parameter {name}"),
        HashKey::Cookie(cookie) => format!("cookie {}", cookie.name),
    };
    match picker {
        PickerKind::RoundRobin => "round robin".into(),
        PickerKind::LeastRequest => "least request of two".into(),
        PickerKind::PeakEwma => "peak EWMA of two".into(),
        PickerKind::Random => "random".into(),
        PickerKind::Rendezvous => format!("rendezvous hash of the {by}"),
        PickerKind::RingHash(_) => format!("ring hash of the {by}"),
        PickerKind::Maglev(_) => format!("Maglev hash of the {by}"),
        PickerKind::WeightedByLoad(_) => "round robin, weighted by reported load".into(),
    }
}

fn outlier(outlier: &OutlierSettings) -> String {
    let OutlierSettings { consecutive, consecutive_gateway, consecutive_local, .. } = outlier;
    let counted = |count: &Option<u32>, what: &str| {
        count.map(|count| format!("{} in a row", numbered(count, what)))
    };
    let mut words: Vec<String> = Vec::new();
    words.extend(counted(consecutive, "failure"));
    words.extend(counted(consecutive_gateway, "gateway error"));
    words.extend(counted(consecutive_local, "failed connection"));
    words.extend(outlier.in_window.map(|trigger| {
        format!("{} in {}", numbered(trigger.failures, "failure"), duration(trigger.window))
    }));
    words.extend(
        outlier
            .success_rate
            .map(|trigger| format!("success rate below {}", percents(trigger.ratio_min * 100.0))),
    );
    let (base, most) = (outlier.ejection.base, outlier.ejected_ratio_max * 100.0);
    let after = if words.is_empty() { "nothing".into() } else { words.join(" or ") };
    format!("after {after} for {}, at most {} of the endpoints", duration(base), percents(most))
}

/// `1 failure`, `3 failures`; none count as one.
fn numbered(count: u32, what: &str) -> String {
    let plural = if count > 1 { "s" } else { "" };
    format!("{} {what}{plural}", count.max(1))
}

fn budget(budget: &BudgetSettings) -> String {
    match budget {
        BudgetSettings::Recent(recent) => format!(
            "{} of the requests of {}, or {} each {}",
            percents(recent.ratio * 100.0),
            duration(recent.interval),
            recent.retries_min,
            duration(recent.retries_min_interval)
        ),
        BudgetSettings::Active(active) => format!(
            "{} of the requests under way, or {}",
            percents(active.ratio * 100.0),
            active.retries_min
        ),
    }
}

fn bounds(limits: &LimitSettings) -> Option<String> {
    let LimitSettings { connections, pending, requests, retries } = limits;
    let all = [
        (connections, "connections"),
        (pending, "waiting requests"),
        (requests, "requests"),
        (retries, "retries"),
    ];
    let said: Vec<String> = all
        .iter()
        .filter_map(|(bound, what)| bound.map(|bound| format!("{bound} {what}")))
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn hedging(hedge: &HedgeSettings) -> String {
    format!(
        "a second try after the {} of latencies, for {} of the requests",
        percents(hedge.quantile * 100.0),
        percents(hedge.budget_ratio * 100.0)
    )
}

fn tls_words(tls: &weft_model::backend::UpstreamTls) -> String {
    let name = tls.server_name.as_deref().unwrap_or("the request's host");
    let checked = if tls.insecure_skip_verify { ", not verified" } else { "" };
    let client = tls.files.as_ref().and_then(|files| files.client.as_ref());
    let shown = match (client, &tls.client) {
        (Some((chain, _)), _) => format!(", showing {chain}"),
        (None, Some(client)) => format!(", showing {}", client.origin),
        (None, None) => String::new(),
    };
    format!("as {name}{checked}{shown}")
}

fn rate(settings: &RateSettings) -> String {
    let RateSettings { average, period, burst } = settings;
    format!("{average} each {}, {burst} at once", duration(*period))
}

fn local_rate(limit: &LocalRateLimit) -> String {
    let LocalRateLimit { total, identity, overrides } = limit;
    let mut words: Vec<String> = Vec::new();
    words.extend(total.as_ref().map(|one| format!("in all {}", rate(one))));
    words.extend(identity.as_ref().map(|one| format!("of each client {}", rate(one))));
    let some = overrides.iter();
    words.extend(some.map(|(who, one)| format!("of {}: {}", who.join(", "), rate(one))));
    words.join("; ")
}

fn duration(duration: Duration) -> String {
    format!("{duration:?}")
}

/// A share in percent, without needless digits.
fn percents(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{rounded} %")
}
