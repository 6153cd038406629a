//! Rules of HTTPRoute and GRPCRoute as conditions, steps and targets.

use std::sync::Arc;
use std::time::Duration;

use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, RetryPolicy, Step, StepKind};
use weft_model::route::{
    Affinity, Choice, Cookie, SessionHeader, Target, Timeouts, Weighted, Word,
};
use weft_resilience::settings::BackoffSettings;
use weft_resources::Pos;
use weft_resources::gateway_api::BackendRef;
use weft_resources::gateway_api::filter::{Filter, FilterKind, PathModifier};
use weft_resources::gateway_api::grpc::GrpcRule;
use weft_resources::gateway_api::http::{HttpRule, RouteRetry, SessionPersistence};
use weft_resources::gateway_api::l4::L4Rule;

use super::condition::Condition;
use super::filter;
use super::referrer::{Referrer, refuse};
use super::session;
use crate::context::Output;
use crate::remark::Place;
use crate::rule_name::label;

/// The rules of a route.
#[derive(Clone, Copy)]
pub(crate) enum Rules<'a> {
    /// Of an HTTPRoute.
    Http(&'a [HttpRule]),
    /// Of a GRPCRoute.
    Grpc(&'a [GrpcRule]),
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// What the document calls it.
    pub(crate) name: Option<Box<str>>,
    /// Name among all: `httproute/shop/checkout/0`.
    pub(crate) id: String,
    /// Where it is written.
    pub(crate) at: Pos,
    /// Its matches, never empty unless all of them are invalid.
    pub(crate) matches: Vec<Match>,
    /// Bounds on time.
    pub(crate) timeouts: Timeouts,
}

/// A compiled match with what is done for it.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    /// The condition, besides the host.
    pub(crate) condition: Condition,
    /// What is done, in order.
    pub(crate) steps: Arc<[Arc<Step>]>,
    /// Where requests go.
    pub(crate) target: Target,
}

/// Tries after the first when a retry does not say how many.
const RETRIES: u32 = 1;

/// Shortest wait between tries when a retry does not say: long enough to hit another moment, too
/// short to be felt.
const BACKOFF: Duration = Duration::from_millis(25);

/// Bodies up to this are kept to be sent again: Traefik's default for its retries.
const RETRY_BODY_BYTES_MAX: u64 = 2 << 20;

/// One rule, of whatever kind of route.
struct Written<'a> {
    name: Option<&'a str>,
    conditions: Vec<(Pos, Result<Condition, String>)>,
    filters: &'a [Filter],
    backends: &'a [BackendRef],
    timeouts: Timeouts,
    session: Option<&'a SessionPersistence>,
    at: Pos,
}

/// The rules of a route.
pub(crate) fn compile(referrer: &dyn Referrer, rules: Rules<'_>, out: &mut Output) -> Vec<Rule> {
    let written: Vec<Written<'_>> = match rules {
        Rules::Http(rules) => rules.iter().map(Written::http).collect(),
        Rules::Grpc(rules) => rules.iter().map(Written::grpc).collect(),
    };
    let route = referrer.route();
    let kind = route.key.kind.to_ascii_lowercase();
    let names: Vec<Option<&str>> = written.iter().map(|rule| rule.name).collect();
    written
        .into_iter()
        .enumerate()
        .map(|(index, rule)| {
            let label = label(&names, index);
            let id = format!("{kind}/{}/{}/{label}", route.namespace(), route.name());
            Linker { referrer, id, path: format!("spec.rules[{index}]") }.rule(rule, out)
        })
        .collect()
}

/// Where the connections of a rule go.
pub(crate) fn connections(referrer: &dyn Referrer, rule: &L4Rule, out: &mut Output) -> Target {
    let route = referrer.route();
    if rule.backends.is_empty()
        && let Some(backend) = referrer.otherwise(out)
    {
        return Target::Backend(backend);
    }
    if rule.backends.iter().all(|backend| backend.weight == 0) {
        let message = "no backend has a weight: connections are closed";
        Place::new(route, rule.at, "spec.rules[0].backendRefs").warn(out, message);
        return refuse(referrer.invalid(message.into()));
    }
    let mut choices: Vec<Choice> = rule
        .backends
        .iter()
        .enumerate()
        .map(|(index, backend)| {
            let path = format!("spec.rules[0].backendRefs[{index}]");
            let place = Place::new(route, backend.object.at, &path);
            let target = match referrer.backend(backend, None, place, out) {
                Ok(id) => Target::Backend(id),
                Err(refusal) => {
                    place.error(out, &*refusal.detail);
                    refuse(refusal)
                }
            };
            let name = backend.object.name.clone();
            Choice { name, weight: backend.weight, steps: Arc::default(), target }
        })
        .collect();
    match (choices.pop(), choices.is_empty()) {
        (Some(single), true) => single.target,
        (last, _) => {
            choices.extend(last);
            Target::Weighted(Arc::new(Weighted { choices, sticky: None }))
        }
    }
}

// === impl Written ===

impl<'a> Written<'a> {
    fn http(rule: &'a HttpRule) -> Self {
        let conditions = rule.matches.iter().map(|found| (found.at, Condition::http(found)));
        Self {
            name: rule.name.as_deref(),
            conditions: or_all(conditions.collect(), rule.at),
            filters: &rule.filters,
            backends: &rule.backends,
            timeouts: Timeouts {
                request: rule.timeouts.request,
                attempt: rule.timeouts.backend_request,
                retry: rule.retry.as_ref().map(retry),
                ..Timeouts::default()
            },
            session: rule.session.as_ref(),
            at: rule.at,
        }
    }

    fn grpc(rule: &'a GrpcRule) -> Self {
        let conditions = rule.matches.iter().map(|found| (found.at, Condition::grpc(found)));
        Self {
            name: rule.name.as_deref(),
            conditions: or_all(conditions.collect(), rule.at),
            filters: &rule.filters,
            backends: &rule.backends,
            timeouts: Timeouts::default(),
            session: rule.session.as_ref(),
            at: rule.at,
        }
    }

    /// Whether a filter replaces the prefix that a match names.
    fn replaces_prefix(&self) -> bool {
        let own = self.filters.iter();
        let of_backends = self.backends.iter().flat_map(|backend| &backend.filters);
        own.chain(of_backends).any(|filter| {
            let path = match &filter.kind {
                FilterKind::Redirect(redirect) => &redirect.path,
                FilterKind::Rewrite(rewrite) => &rewrite.path,
                _ => return false,
            };
            matches!(path, Some(PathModifier::Prefix(_)))
        })
    }
}

type Conditions = Vec<(Pos, Result<Condition, String>)>;

/// A rule without matches takes everything.
fn or_all(conditions: Conditions, at: Pos) -> Conditions {
    if conditions.is_empty() { vec![(at, Ok(Condition::all()))] } else { conditions }
}

fn retry(retry: &RouteRetry) -> RetryPolicy {
    let backoff = retry.backoff.unwrap_or(BACKOFF);
    RetryPolicy {
        attempts: retry.attempts.unwrap_or(RETRIES).saturating_add(1),
        // `backoff` is the least that is waited; half as much again is for chance to spread.
        backoff: BackoffSettings {
            interval_min: backoff,
            ..BackoffSettings::traefik(backoff + backoff / 2)
        },
        statuses: retry.codes.iter().map(|code| (*code, *code)).collect(),
        body_bytes_max: RETRY_BODY_BYTES_MAX,
        on_network_error: true,
        ..RetryPolicy::NEVER
    }
}

/// Links one rule to what it refers to.
struct Linker<'a> {
    referrer: &'a dyn Referrer,
    id: String,
    path: String,
}

// === impl Linker ===

impl Linker<'_> {
    fn rule(self, rule: Written<'_>, out: &mut Output) -> Rule {
        let mut matches: Vec<Match> = Vec::new();
        for (index, (at, condition)) in rule.conditions.iter().enumerate() {
            match condition {
                Ok(condition) => {
                    let found = self.one_match(condition, &rule, &matches, out);
                    matches.push(found);
                }
                Err(message) => {
                    let path = format!("{}.matches[{index}]", self.path);
                    let message = format!(
                        "{message}; this match takes nothing: what it was meant for goes to other \
                         rules that take it, or is answered 404"
                    );
                    self.error(*at, &path, &message, out);
                }
            }
        }
        let name = rule.name.map(Into::into);
        Rule { name, id: self.id, at: rule.at, matches, timeouts: rule.timeouts }
    }

    /// Only a prefix that is replaced makes a difference between matches; without one, what an
    /// earlier match has is shared.
    fn one_match(
        &self,
        condition: &Condition,
        rule: &Written<'_>,
        before: &[Match],
        out: &mut Output,
    ) -> Match {
        let condition = condition.clone();
        if let Some(same) = before
            .iter()
            .find(|other| other.condition.prefix == condition.prefix || !rule.replaces_prefix())
        {
            return Match { condition, ..same.clone() };
        }
        let path = format!("{}.filters", self.path);
        let prefix = condition.prefix.as_deref();
        let steps = self.steps(rule.filters, prefix, &path, &self.id, out);
        let target = self.target(rule, prefix, out);
        match steps {
            Ok(steps) => Match { condition, steps: steps.into(), target },
            Err(refusal) => Match { condition, steps: Arc::default(), target: refuse(refusal) },
        }
    }

    /// The steps of filters; one that cannot be enforced refuses everything.
    fn steps(
        &self,
        filters: &[Filter],
        prefix: Option<&str>,
        path: &str,
        id: &str,
        out: &mut Output,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        let mut steps = Vec::new();
        let mut refusal = None;
        for (index, filter) in filters.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = Place::new(self.referrer.route(), filter.at, &path);
            match self.one_filter(filter, prefix, place, &format!("{id}/filter-{index}"), out) {
                Ok(found) => steps.extend(found),
                Err(failure) => {
                    place.error(out, &*failure.detail);
                    refusal.get_or_insert(failure);
                }
            }
        }
        refusal.map_or(Ok(steps), Err)
    }

    fn one_filter(
        &self,
        filter: &Filter,
        prefix: Option<&str>,
        place: Place<'_>,
        id: &str,
        out: &mut Output,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        let invalid = |message: String| Refusal {
            reason: Reason::PolicyUnenforceable,
            detail: message.into(),
        };
        let kind = match &filter.kind {
            FilterKind::RequestHeaders(found) => {
                StepKind::RequestHeaders(filter::headers(found).map_err(invalid)?)
            }
            FilterKind::ResponseHeaders(found) => {
                StepKind::ResponseHeaders(filter::headers(found).map_err(invalid)?)
            }
            FilterKind::Redirect(found) => filter::redirect(found, prefix).map_err(invalid)?,
            FilterKind::Rewrite(found) => filter::rewrite(found, prefix).map_err(invalid)?,
            FilterKind::Cors(found) => filter::cors(found).map_err(invalid)?,
            FilterKind::Mirror { backend, parts_per_million } => {
                // A copy that nobody can get is no reason to refuse the original.
                match self.referrer.backend(backend, None, place, out) {
                    Ok(backend) => StepKind::Mirror {
                        parts_per_million: *parts_per_million,
                        backend,
                        compared: None,
                    },
                    Err(refusal) => {
                        place.error(out, format!("nothing is mirrored: {}", refusal.detail));
                        return Ok(Vec::new());
                    }
                }
            }
            FilterKind::ExternalAuth => {
                return Err(invalid("the filter ExternalAuth is not supported".into()));
            }
            FilterKind::Extension(reference) => {
                let path = format!("{}.extensionRef", place.path);
                return self.referrer.extension(reference, &path, id, out);
            }
        };
        Ok(vec![Arc::new(Step { id: PolicyId::new(id), kind })])
    }

    fn target(&self, rule: &Written<'_>, prefix: Option<&str>, out: &mut Output) -> Target {
        let path = format!("{}.backendRefs", self.path);
        if rule.backends.is_empty() {
            let answers =
                rule.filters.iter().any(|filter| matches!(filter.kind, FilterKind::Redirect(_)));
            if !answers {
                if let Some(backend) = self.referrer.otherwise(out) {
                    return Target::Backend(backend);
                }
                let place = Place::new(self.referrer.route(), rule.at, &path);
                place.warn(out, "the rule has no backends: requests are answered with an error");
            }
            return refuse(self.referrer.invalid(format!("{} has no backends", self.id)));
        }
        let sticky = rule.session.and_then(|session| {
            let path = format!("{}.sessionPersistence", self.path);
            let place = Place::new(self.referrer.route(), session.at, &path);
            session::affinity(session, &self.id, place, out)
        });
        if rule.backends.iter().all(|backend| backend.weight == 0) {
            let place = Place::new(self.referrer.route(), rule.at, &path);
            place.warn(out, "every weight is 0: requests are answered with an error");
            return refuse(self.referrer.invalid(format!("every weight of {} is 0", self.id)));
        }
        let [single] = rule.backends else {
            return self.weighted(rule, prefix, sticky, &path, out);
        };
        let choice = self.choice((0, single), prefix, sticky, &path, out);
        if choice.steps.is_empty() {
            return choice.target;
        }
        Target::Weighted(Arc::new(Weighted { choices: vec![choice], sticky: None }))
    }

    fn weighted(
        &self,
        rule: &Written<'_>,
        prefix: Option<&str>,
        sticky: Option<Affinity>,
        path: &str,
        out: &mut Output,
    ) -> Target {
        let choices = rule
            .backends
            .iter()
            .enumerate()
            .map(|(index, backend)| {
                let own = sticky.clone().map(|affinity| match affinity {
                    // One cookie remembers the backend, another its endpoint.
                    Affinity::Cookie(cookie) => {
                        let name = format!("{}-{index}", cookie.name).into();
                        Affinity::Cookie(Cookie { name, ..cookie })
                    }
                    Affinity::Header(_) => affinity,
                });
                self.choice((index, backend), prefix, own, path, out)
            })
            .collect();
        let sticky = sticky.map(|affinity| match affinity {
            Affinity::Cookie(_) => affinity,
            Affinity::Header(header) => {
                Affinity::Header(SessionHeader { word: Word::Backend, ..header })
            }
        });
        Target::Weighted(Arc::new(Weighted { choices, sticky }))
    }

    fn choice(
        &self,
        (index, backend): (usize, &BackendRef),
        prefix: Option<&str>,
        sticky: Option<Affinity>,
        path: &str,
        out: &mut Output,
    ) -> Choice {
        let path = format!("{path}[{index}]");
        let place = Place::new(self.referrer.route(), backend.object.at, &path);
        let id = format!("{}/backend-{index}", self.id);
        let filters_path = format!("{path}.filters");
        let mut target = match self.referrer.backend(backend, sticky, place, out) {
            Ok(id) => Target::Backend(id),
            Err(refusal) => {
                place.error(out, &*refusal.detail);
                refuse(refusal)
            }
        };
        let steps = match self.steps(&backend.filters, prefix, &filters_path, &id, out) {
            Ok(steps) => steps,
            Err(refusal) => {
                target = refuse(refusal);
                Vec::new()
            }
        };
        let port = backend.port.map_or_else(String::new, |port| format!(":{port}"));
        Choice {
            name: format!("{}{port}", backend.object.name).into(),
            weight: backend.weight,
            steps: steps.into(),
            target,
        }
    }

    fn error(&self, at: Pos, path: &str, message: &str, out: &mut Output) {
        Place::new(self.referrer.route(), at, path).error(out, message);
    }
}
