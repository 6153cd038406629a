//! Rules of VirtualServices as conditions, steps and targets, whoever they are for: sidecars, or a
//! Gateway.
//!
//! A rule that delegates to another document stands for the rules of that document, each for what
//! both take.

mod action;
mod condition;
mod connection;
mod delegate;
mod format;
mod retry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use weft_model::calling::{Audience, Source};
use weft_model::id::BackendId;
use weft_model::policy::{Refusal, Step};
use weft_model::route::{Bound, Matcher, Target, TcpMatcher, Timeouts};
use weft_resources::istio::destination::Destination;
use weft_resources::istio::destination_rule::TrafficPolicy;
use weft_resources::istio::virtual_service::{
    Delegate, GatewayRef, HttpAction, HttpRoute, Retries, VirtualService,
};
use weft_resources::{Pos, Resource, Spanned};

use crate::calling::From;
use crate::calling::own::rules::About;
use crate::context::Output;
use crate::istio::virtual_service::condition::Condition;
use crate::istio::virtual_service::delegate::{Ruled, expand};
use crate::remark::Place;
use crate::rule_name::label;

pub(crate) use connection::connections;
pub(crate) use retry::retry;

/// Who rules are for, and what they refer to.
pub(crate) trait Surroundings {
    /// The backend of a destination that `document` names.
    ///
    /// # Errors
    ///
    /// The answer instead, with the reason.
    fn backend(
        &self,
        document: &Resource,
        destination: &Destination,
        place: Place<'_>,
        out: &mut Output,
    ) -> Result<BackendId, Refusal>;

    /// The document that a rule of `document` delegates to.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    fn delegate(&self, document: &Resource, delegate: &Delegate) -> Result<Document<'_>, String>;

    /// Whether conditions that name these are for whom the rules are made for.
    fn is_meant(&self, document: &Resource, gateways: &[Spanned<GatewayRef>]) -> bool;

    /// The port on which calls arrive, if it is known.
    fn port(&self) -> Option<u16>;

    /// Whether calls arrive by TLS.
    fn is_tls(&self) -> bool;

    /// What holds for a rule of `document` where it does not say it itself.
    fn defaults(&self, document: &Resource, route: &HttpRoute) -> Defaults<'_>;

    /// The line of its file at which a document begins; 0 when unknown.
    fn first_line(&self, document: &Resource) -> u32;
}

/// A VirtualService.
pub(crate) type Document<'a> = (&'a Resource, &'a VirtualService);

/// What holds for rules that do not say it themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Defaults<'a> {
    /// Retries; Istio's own where it is `None`.
    pub(crate) retries: Option<Written<'a, &'a Retries>>,
    /// Bound on a whole request.
    pub(crate) timeout: Option<Written<'a, Duration>>,
}

/// A setting, with where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a, T> {
    /// What is said.
    pub(crate) value: T,
    /// The document.
    pub(crate) document: &'a Resource,
    /// The field as its dialect names it.
    pub(crate) field: &'static str,
    /// Where it stands in the document.
    pub(crate) at: Pos,
}

/// A rule for requests, with one of its conditions.
pub(crate) struct Rule<'a> {
    /// Name among all: `virtualservice/shop/checkout/0`.
    pub(crate) id: String,
    /// What policies may be about, the nearest first: itself, and the rule that delegates to it.
    pub(crate) about: Arc<[About<'a>]>,
    /// The document that it is written in.
    pub(crate) document: &'a Resource,
    /// Where it is written.
    pub(crate) at: Pos,
    /// The callers, of sidecars.
    pub(crate) audience: Audience,
    /// The port of the service or gateway; every one when `None`.
    pub(crate) port: Option<u16>,
    /// What must hold, besides the host.
    pub(crate) matcher: Matcher,
    /// The same in words.
    pub(crate) words: String,
    /// What is done, in order.
    pub(crate) steps: Arc<[Arc<Step>]>,
    /// Where requests go.
    pub(crate) target: Target,
    /// Bounds on time, and retries.
    pub(crate) timeouts: Timeouts,
}

/// A rule for connections, with one of its conditions.
pub(crate) struct TcpRule<'a> {
    /// Name among all: `virtualservice/shop/checkout/tcp-0`.
    pub(crate) id: String,
    /// The document that it is written in.
    pub(crate) document: &'a Resource,
    /// Where it is written.
    pub(crate) at: Pos,
    /// The callers, of sidecars.
    pub(crate) audience: Audience,
    /// The port of the service or gateway; every one when `None`.
    pub(crate) port: Option<u16>,
    /// What must hold.
    pub(crate) matcher: TcpMatcher,
    /// Whether it is for TLS that is not ended here.
    pub(crate) is_tls: bool,
    /// The same in words.
    pub(crate) words: String,
    /// Where connections go.
    pub(crate) target: Target,
}

// === impl Defaults ===

impl<'a> Defaults<'a> {
    /// What a DestinationRule says of routes.
    pub(crate) fn of_rule(document: &'a Resource, policy: &'a TrafficPolicy) -> Self {
        let field = "trafficPolicy.retries";
        let retries =
            policy.retries.as_ref().map(|it| Written::new(&it.value, it.at, document, field));
        let field = "trafficPolicy.timeout";
        let timeout = policy.timeout.map(|it| Written::new(it.value, it.at, document, field));
        Self { retries, timeout }
    }

    /// The same, with the retries of MeshConfig where there are no others.
    pub(crate) fn or_retries(self, of_mesh: Option<Written<'a, &'a Retries>>) -> Self {
        Self { retries: self.retries.or(of_mesh), ..self }
    }

    /// Where all of it comes from.
    pub(crate) fn sources(&self, first_line: &dyn Fn(&Resource) -> u32) -> Box<[(Bound, Source)]> {
        let timeout = self.timeout.map(|it| (Bound::Request, it.source(first_line)));
        let retries = self.retries.map(|it| (Bound::Retry, it.source(first_line)));
        timeout.into_iter().chain(retries).collect()
    }
}

// === impl Written ===

impl<'a, T> Written<'a, T> {
    /// What a document says there.
    pub(crate) fn new(value: T, at: Pos, document: &'a Resource, field: &'static str) -> Self {
        Self { value, document, field, at }
    }

    fn source(&self, first_line: &dyn Fn(&Resource) -> u32) -> Source {
        let Self { document: resource, field, at, .. } = *self;
        From { resource, field, at, first_line: first_line(resource) }.source()
    }
}

// === functions ===

/// The rules for requests, in order: the first that takes a request holds.
pub(crate) fn requests<'a>(
    around: &'a dyn Surroundings,
    (document, service): Document<'a>,
    out: &mut Output,
) -> Vec<Rule<'a>> {
    let mut rules = Vec::new();
    for (index, route) in service.http.iter().enumerate() {
        let path = format!("spec.http[{index}]");
        let id = rule_id(document, service, index);
        for ruled in expand(around, document, route, id, path, out) {
            one_rule(around, &ruled, &mut rules, out);
        }
    }
    rules
}

fn rule_id(document: &Resource, service: &VirtualService, index: usize) -> String {
    let names: Vec<Option<&str>> = service.http.iter().map(|rule| rule.name.as_deref()).collect();
    let label = label(&names, index);
    format!("virtualservice/{}/{}/{label}", document.namespace(), document.name())
}

/// Adds a rule once for each of its conditions.
fn one_rule<'a>(
    around: &'a dyn Surroundings,
    ruled: &Ruled<'a>,
    rules: &mut Vec<Rule<'a>>,
    out: &mut Output,
) {
    let conditions = ruled.conditions(around, out);
    let is_single = conditions.len() == 1;
    let mut made: Vec<(Option<action::Prefix>, action::Acts)> = Vec::new();
    for (index, condition) in conditions.into_iter().enumerate() {
        // Only a prefix that is replaced makes a difference between conditions.
        let prefix = condition.path.clone().filter(|_| action::replaces_path(&ruled.route));
        let known = made.iter().position(|(known, _)| *known == prefix);
        let position = known.unwrap_or_else(|| {
            made.push((prefix.clone(), action::acts(around, ruled, prefix.as_ref(), out)));
            made.len() - 1
        });
        let (_, acts) = &made[position];
        let id = if is_single { ruled.id.clone() } else { format!("{}/{index}", ruled.id) };
        let Condition { matchers, words, audience, port, path: _ } = condition;
        rules.push(Rule {
            id,
            about: Arc::clone(&ruled.about),
            document: ruled.document,
            at: ruled.at,
            audience,
            port,
            matcher: all(matchers),
            words,
            steps: Arc::clone(&acts.steps),
            target: acts.target.clone(),
            timeouts: timeouts(around, ruled),
        });
    }
}

/// Bounds on time of a rule; retries only where there is somebody to send to.
fn timeouts(around: &dyn Surroundings, ruled: &Ruled<'_>) -> Timeouts {
    if !matches!(ruled.route.action, HttpAction::Route(_)) {
        return Timeouts::default();
    }
    let (own, defaults) = (ruled.says(), around.defaults(ruled.document, &ruled.route));
    let (timeout, retries) = (own.timeout.or(defaults.timeout), own.retries.or(defaults.retries));
    let elsewhere = Defaults {
        retries: retries.filter(|retries| retries.document.key != ruled.document.key),
        timeout: timeout.filter(|timeout| timeout.document.key != ruled.document.key),
    };
    Timeouts {
        request: timeout.map(|timeout| timeout.value),
        retry: retry(retries.map(|retries| retries.value)),
        inherited: elsewhere.sources(&|document| around.first_line(document)),
        ..Timeouts::default()
    }
}

/// All of these, without a pair of parentheses too many.
fn all(matchers: Vec<Matcher>) -> Matcher {
    match <[Matcher; 1]>::try_from(matchers) {
        Ok([single]) => single,
        Err(matchers) => Matcher::All(matchers),
    }
}
