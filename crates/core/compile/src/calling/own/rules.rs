//! What TrafficPolicies add to rules: those for calls of a mesh, and those of a gateway.
//!
//! Bounds of all policies hold, as each of them protects. Of hedging, and of comparisons of answers,
//! that of the narrower target holds, and among those for one target that of the oldest policy.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weft_model::id::{BackendId, PolicyId};
use weft_model::identity::TrustDomain;
use weft_model::outcome::Reason;
use weft_model::policy::{AnswerDiff, Refusal, SourceCriterion, Step, StepKind};
use weft_model::route::{Choice, Route, Target, Weighted};
use weft_resources::weftway::TrafficPolicy;
use weft_resources::weftway::traffic_policy::MirrorDiff;
use weft_resources::{Key, Kind, Pos, Resource};

use super::hedge;
use super::rate::rate_limit;
use crate::context::Output;
use crate::remark::Place;

/// What is added to rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Added {
    /// In order.
    extras: Vec<Extra>,
    /// How answers to copies of requests are compared.
    compared: Option<AnswerDiff>,
    /// Why nothing goes where the policies are about.
    refusal: Option<Refusal>,
}

/// A rule that policies may be about.
#[derive(Debug, Clone)]
pub(crate) struct About<'a> {
    /// The route that it is in.
    pub(crate) route: &'a Resource,
    /// Its name there.
    pub(crate) rule: Option<&'a str>,
    /// Its own id, where it is not the rule itself that is served, but those that it leads to: they
    /// share what is added.
    pub(crate) shared: Option<Arc<str>>,
}

/// A step that is added.
#[derive(Debug, Clone, PartialEq)]
struct Extra {
    /// `trafficpolicy/shop/p`.
    policy: String,
    /// What its state is shared by; each rule has its own when `None`.
    shared: Option<Arc<str>>,
    /// What of the policy it is.
    part: &'static str,
    kind: StepKind,
}

/// Kinds of routes whose ids have parts behind that of the rule.
const NAMED: [&str; 3] = ["httproute/", "grpcroute/", "virtualservice/"];

// === impl Added ===

impl Added {
    /// What policies add to a rule, which may be several at once, the nearest first: itself, and the
    /// one that delegates to it. `policies` knows those about a route, oldest first.
    pub(crate) fn of_rule<'p>(
        rules: &[About<'_>],
        policies: impl Fn(&Key) -> &'p [&'p Arc<Resource>],
        trust_domain: &TrustDomain,
        out: &mut Output,
    ) -> Self {
        let mut added = Self::default();
        let (mut hedged, mut compared) = (None, None);
        for about in rules {
            let shared = &about.shared;
            for (resource, policy) in about.meant(policies(&about.route.key)) {
                if policy.is_broken {
                    added.refusal.get_or_insert_with(|| unenforceable(resource));
                    continue;
                }
                if let Some(limit) = &policy.local_rate_limit {
                    let limit = rate_limit(trust_domain, resource, limit, out);
                    let kind = StepKind::LocalRateLimit(Box::new(limit));
                    added.add(resource, shared.clone(), "rate", kind);
                }
                added.add_limit(resource, shared.clone(), policy);
                if let Some(hedging) = &policy.hedging
                    && decides(&mut hedged, resource, "hedging", out)
                {
                    let kind = StepKind::Hedge(hedge(hedging));
                    added.add(resource, shared.clone(), "hedge", kind);
                }
                added.compare(&mut compared, resource, policy, out);
            }
        }
        added
    }

    /// What policies about a Service as a whole, oldest first, add to each rule for it.
    pub(crate) fn of_service<'p>(
        policies: impl IntoIterator<Item = (&'p Resource, &'p TrafficPolicy)>,
        out: &mut Output,
    ) -> Self {
        let mut added = Self::default();
        let mut compared = None;
        for (resource, policy) in policies {
            if !policy.is_broken {
                added.add_limit(resource, None, policy);
                added.compare(&mut compared, resource, policy, out);
            }
        }
        added
    }

    /// Adds the rates of policies about a Service, which are kept where calls arrive: here, where no
    /// other proxy is behind. All rules that lead to the service share them.
    pub(crate) fn add_rates<'p>(
        &mut self,
        policies: impl IntoIterator<Item = (&'p Resource, &'p TrafficPolicy)>,
        trust_domain: &TrustDomain,
        (namespace, name): (&str, &str),
        out: &mut Output,
    ) {
        let service: Arc<str> = format!("service/{namespace}/{name}").into();
        for (resource, policy) in policies {
            let Some(limit) = &policy.local_rate_limit else { continue };
            if policy.is_broken {
                self.refusal.get_or_insert_with(|| unenforceable(resource));
                continue;
            }
            let limit = rate_limit(trust_domain, resource, limit, out);
            let kind = StepKind::LocalRateLimit(Box::new(limit));
            self.add(resource, Some(Arc::clone(&service)), "rate", kind);
        }
    }

    fn add_limit(&mut self, resource: &Resource, shared: Option<Arc<str>>, policy: &TrafficPolicy) {
        if let Some(amount) = policy.limits.per_route.requests {
            let source = SourceCriterion::All;
            self.add(resource, shared, "limit", StepKind::InFlight { amount, source });
        }
    }

    fn add(
        &mut self,
        resource: &Resource,
        shared: Option<Arc<str>>,
        part: &'static str,
        kind: StepKind,
    ) {
        self.extras.push(Extra { policy: policy_name(resource), shared, part, kind });
    }

    fn compare<'p>(
        &mut self,
        decided: &mut Option<&'p Resource>,
        resource: &'p Resource,
        policy: &TrafficPolicy,
        out: &mut Output,
    ) {
        if let Some(diff) = &policy.mirror_diff
            && decides(decided, resource, "mirrorDiff", out)
        {
            self.compared = comparison(diff);
        }
    }

    /// Whether nothing is added.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Puts it into a rule.
    pub(crate) fn apply(&self, route: &mut Route) {
        if let Some(refusal) = &self.refusal {
            // Nor do its steps answer.
            (route.steps, route.target) = (Arc::default(), Target::Refuse(refusal.clone()));
            return;
        }
        if let Some(compared) = self.compared {
            compare(route, compared);
        }
        if self.extras.is_empty() {
            return;
        }
        let rule = rule_of(route.id.as_str());
        // Who calls is known behind the steps that find it out.
        let known = route.steps.iter().rposition(|step| authenticates(&step.kind));
        let (known, rest) = route.steps.split_at(known.map_or(0, |last| last + 1));
        let waits = |extra: &&Extra| !known.is_empty() && asks_who(&extra.kind);
        let first = self.extras.iter().filter(|extra| !waits(extra)).map(|extra| extra.step(rule));
        let late = self.extras.iter().filter(waits).map(|extra| extra.step(rule));
        let rest = rest.iter().map(Arc::clone);
        let steps = first.chain(known.iter().map(Arc::clone)).chain(late).chain(rest);
        route.steps = steps.collect();
    }

    /// The same for one target of a rule.
    fn guard(&self, rule: &str, choice: &mut Choice) {
        if let Some(refusal) = &self.refusal {
            (choice.steps, choice.target) = (Arc::default(), Target::Refuse(refusal.clone()));
            return;
        }
        let extras = self.extras.iter().map(|extra| extra.step(rule));
        choice.steps = extras.chain(choice.steps.iter().map(Arc::clone)).collect();
    }
}

// === impl About ===

impl<'a> About<'a> {
    /// A rule of a route, which is the one that is served.
    pub(crate) fn rule(route: &'a Resource, rule: Option<&'a str>) -> Self {
        Self { route, rule, shared: None }
    }

    /// Those of the policies about its route that are about it: first those about it alone.
    fn meant<'p>(
        &self,
        policies: &'p [&'p Arc<Resource>],
    ) -> impl Iterator<Item = (&'p Resource, &'p TrafficPolicy)> {
        let route = &self.route.key;
        let mut meant: Vec<(bool, &Resource, &TrafficPolicy)> = Vec::new();
        for resource in policies {
            let Kind::TrafficPolicy(policy) = &resource.body else { continue };
            let targets = policy.targets.iter().map(|target| &target.target).filter(|target| {
                *target.object.kind == *route.kind && *target.object.name == *route.name
            });
            let sections: Vec<Option<&str>> =
                targets.map(|target| target.section.as_deref()).collect();
            let is_own = |section: &Option<&str>| section.is_some() && *section == self.rule;
            let is_whole = !sections.iter().any(is_own);
            if !is_whole || sections.contains(&None) {
                meant.push((is_whole, resource, policy));
            }
        }
        meant.sort_by_key(|(is_whole, ..)| *is_whole);
        meant.into_iter().map(|(_, resource, policy)| (resource, policy))
    }
}

// === impl Extra ===

impl Extra {
    fn step(&self, rule: &str) -> Arc<Step> {
        let owner = self.shared.as_deref().unwrap_or(rule);
        let id = PolicyId::new(format!("{}@{owner}/{}", self.policy, self.part));
        Arc::new(Step { id, kind: self.kind.clone() })
    }
}

// === functions ===

/// Puts into a rule what policies add to the services that it leads to: into the rule itself where
/// that is the same for all of them, else into the targets that it is for.
pub(crate) fn apply_by_target<'a>(
    route: &mut Arc<Route>,
    added: &dyn Fn(&BackendId) -> Option<&'a Added>,
) {
    let found: Vec<Option<&Added>> = route.target.answering().into_iter().map(added).collect();
    let Some(first) = found.iter().copied().flatten().next() else { return };
    let route = Arc::make_mut(route);
    if found.iter().all(|other| *other == Some(first)) {
        return first.apply(route);
    }
    if let Some(compared) = found.iter().flatten().find_map(|added| added.compared) {
        compare(route, compared);
    }
    let rule = rule_of(route.id.as_str()).to_owned();
    guard(&mut route.target, &rule, added);
}

fn guard<'a>(target: &mut Target, rule: &str, added: &dyn Fn(&BackendId) -> Option<&'a Added>) {
    match target {
        Target::Backend(id) => {
            let Some(added) = added(id) else { return };
            let (name, steps, inner) = (Box::default(), Arc::default(), target.clone());
            let mut choice = Choice { name, weight: 1, steps, target: inner };
            added.guard(rule, &mut choice);
            let choices = vec![choice];
            *target = Target::Weighted(Arc::new(Weighted { choices, sticky: None }));
        }
        Target::Weighted(weighted) => {
            for choice in &mut Arc::make_mut(weighted).choices {
                guard_choice(choice, rule, added);
            }
        }
        Target::HighestRandomWeight(choices) => {
            for choice in Arc::make_mut(choices) {
                guard_choice(choice, rule, added);
            }
        }
        Target::Mirror(mirrors) => guard(&mut Arc::make_mut(mirrors).main, rule, added),
        Target::Failover(failover) => {
            let failover = Arc::make_mut(failover);
            guard(&mut failover.main, rule, added);
            guard(&mut failover.fallback, rule, added);
        }
        Target::Refuse(_) => {}
    }
}

fn guard_choice<'a>(
    choice: &mut Choice,
    rule: &str,
    added: &dyn Fn(&BackendId) -> Option<&'a Added>,
) {
    match &choice.target {
        Target::Backend(id) => {
            if let Some(added) = added(id) {
                added.guard(rule, choice);
            }
        }
        _ => guard(&mut choice.target, rule, added),
    }
}

/// Compares the answers to copies of requests of a rule, where nothing nearer says how.
fn compare(route: &mut Route, compared: AnswerDiff) {
    let is_open = |step: &Arc<Step>| matches!(step.kind, StepKind::Mirror { compared: None, .. });
    if route.steps.iter().any(is_open) {
        let mut steps: Vec<Arc<Step>> = route.steps.to_vec();
        for step in steps.iter_mut().filter(|step| is_open(step)) {
            if let StepKind::Mirror { compared: how, .. } = &mut Arc::make_mut(step).kind {
                *how = Some(compared);
            }
        }
        route.steps = steps.into();
    }
    compare_target(&mut route.target, compared);
}

/// The same for copies that the target itself makes.
fn compare_target(target: &mut Target, how: AnswerDiff) {
    if let Target::Mirror(mirrors) = target {
        let mirrors = Arc::make_mut(mirrors);
        mirrors.compared.get_or_insert(how);
        compare_target(&mut mirrors.main, how);
    }
}

/// The rule that a route is part of: routes for single hosts, matches and ports of a rule have the
/// same.
fn rule_of(id: &str) -> &str {
    if !NAMED.iter().any(|kind| id.starts_with(kind)) {
        return id;
    }
    let id = id.split('@').next().unwrap_or(id);
    let end = id.match_indices('/').nth(3).map_or(id.len(), |(end, _)| end);
    let rule = &id[..end];
    rule.split(':').next().unwrap_or(rule)
}

/// Whether a policy is the first to decide a field. If it is not, both are told.
fn decides<'p>(
    decided: &mut Option<&'p Resource>,
    resource: &'p Resource,
    field: &str,
    out: &mut Output,
) -> bool {
    let Some(winner) = *decided else {
        *decided = Some(resource);
        return true;
    };
    if winner.key == resource.key {
        // It is about several that are one here.
        return false;
    }
    let path = format!("spec.{field}");
    let message = format!("`{field}` of {} holds instead", winner.key);
    Place::new(resource, Pos::default(), &path).warn(out, message);
    let message = format!("it holds instead of `{field}` of {}", resource.key);
    Place::new(winner, Pos::default(), &path).note(out, message);
    false
}

/// `None` where nothing is compared.
fn comparison(diff: &MirrorDiff) -> Option<AnswerDiff> {
    let MirrorDiff { sample_percent, status, headers, body } = *diff;
    let parts_per_million = (sample_percent * 10_000.0).round() as u32;
    (parts_per_million > 0).then_some(AnswerDiff { parts_per_million, status, headers, body })
}

fn authenticates(kind: &StepKind) -> bool {
    matches!(kind, StepKind::BasicAuth(_) | StepKind::ForwardAuth(_))
}

/// Whether it matters to a step who calls.
fn asks_who(kind: &StepKind) -> bool {
    matches!(kind, StepKind::LocalRateLimit(limit) if limit.identity.is_some())
}

fn policy_name(resource: &Resource) -> String {
    format!("trafficpolicy/{}/{}", resource.namespace(), resource.name())
}

fn unenforceable(resource: &Resource) -> Refusal {
    let detail = format!("{} cannot be obeyed: it has errors", resource.key).into();
    Refusal { reason: Reason::PolicyUnenforceable, detail }
}
