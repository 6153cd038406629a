//! Rules that stand in another document.

use std::borrow::Cow;
use std::sync::Arc;

use weft_resources::istio::virtual_service::{
    Delegate, HttpAction, HttpMatch, HttpRoute, StringMatch,
};
use weft_resources::{Pos, Resource, Spanned};

use super::condition::Condition;
use super::{Defaults, Surroundings, Written, rule_id};
use crate::calling::own::rules::About;
use crate::context::Output;
use crate::remark::Place;

/// A rule, and what the rule that delegates to it asks for besides.
pub(super) struct Ruled<'a> {
    pub(super) id: String,
    /// What policies may be about: itself, and the rule that delegates to it.
    pub(super) about: Arc<[About<'a>]>,
    /// The document that it is written in.
    pub(super) document: &'a Resource,
    /// Its path in the document.
    pub(super) path: String,
    pub(super) at: Pos,
    /// What it does, with what it has from the rule that delegates to it.
    pub(super) route: Cow<'a, HttpRoute>,
    /// What it says itself.
    own: &'a HttpRoute,
    /// Those of the rule that delegates to it, with the document that they stand in.
    outer: Option<(&'a Resource, &'a [HttpMatch])>,
}

/// The rules that one rule of that id stands for: itself, or those of the document that it delegates
/// to.
pub(super) fn expand<'a>(
    around: &'a dyn Surroundings,
    document: &'a Resource,
    route: &'a HttpRoute,
    id: String,
    path: String,
    out: &mut Output,
) -> Vec<Ruled<'a>> {
    let HttpAction::Delegate(delegate) = &route.action else {
        return vec![Ruled {
            id,
            about: [About::rule(document, route.name.as_deref())].into(),
            document,
            path,
            at: route.at,
            route: Cow::Borrowed(route),
            own: route,
            outer: None,
        }];
    };
    let about = About { shared: Some(id.into()), ..About::rule(document, route.name.as_deref()) };
    delegated(around, &about, route, delegate, &path, out)
}

fn delegated<'a>(
    around: &'a dyn Surroundings,
    about: &About<'a>,
    route: &'a HttpRoute,
    delegate: &'a Spanned<Delegate>,
    path: &str,
    out: &mut Output,
) -> Vec<Ruled<'a>> {
    let document = about.route;
    let path = format!("{path}.delegate");
    let place = Place::new(document, delegate.at, &path);
    let (inner, service) = match around.delegate(document, delegate) {
        Ok(found) => found,
        Err(message) => {
            place.error(out, format!("{message}; this rule takes nothing"));
            return Vec::new();
        }
    };
    let scope = format!("{}/{}", document.namespace(), document.name());
    let mut rules = Vec::new();
    for (index, own) in service.http.iter().enumerate() {
        let path = format!("spec.http[{index}]");
        if let HttpAction::Delegate(_) = own.action {
            let message = format!(
                "{} delegates to it, and what is delegated to cannot delegate further: this rule \
                 takes nothing",
                document.key
            );
            Place::new(inner, own.at, &path).error(out, message);
            continue;
        }
        rules.push(Ruled {
            id: format!("{}@{scope}", rule_id(inner, service, index)),
            about: [About::rule(inner, own.name.as_deref()), about.clone()].into(),
            document: inner,
            path,
            at: own.at,
            route: Cow::Owned(merged(route, own)),
            own,
            outer: Some((document, &route.matches)),
        });
    }
    rules
}

/// A rule with what it does not say itself from the one that delegates to it.
fn merged(outer: &HttpRoute, own: &HttpRoute) -> HttpRoute {
    let mut merged = own.clone();
    merged.rewrite = merged.rewrite.or_else(|| outer.rewrite.clone());
    merged.timeout = merged.timeout.or(outer.timeout);
    merged.retries = merged.retries.or_else(|| outer.retries.clone());
    merged.fault = merged.fault.or_else(|| outer.fault.clone());
    merged.cors = merged.cors.or_else(|| outer.cors.clone());
    if merged.mirrors.is_empty() {
        merged.mirrors.clone_from(&outer.mirrors);
    }
    for (own, outer) in [
        (&mut merged.headers.request, &outer.headers.request),
        (&mut merged.headers.response, &outer.headers.response),
    ] {
        // What the rule itself says of a header comes after, and so holds.
        own.set.splice(0..0, outer.set.iter().cloned());
        own.add.splice(0..0, outer.add.iter().cloned());
        own.remove.splice(0..0, outer.remove.iter().cloned());
    }
    merged
}

// === impl Ruled ===

impl Ruled<'_> {
    /// Its conditions, one of which has to hold. What is wrong with one is reported, and it takes
    /// nothing.
    pub(super) fn conditions(&self, around: &dyn Surroundings, out: &mut Output) -> Vec<Condition> {
        let own = conditions(around, self.document, &self.own.matches, &self.path, out);
        let Some((document, outer)) = self.outer else {
            return own.into_iter().map(|(_, condition)| condition).collect();
        };
        // Faults of the rule that delegates are found once for each rule that it delegates to, and
        // said once.
        let outer = conditions(around, document, outer, "spec.http", out);
        let mut both = Vec::new();
        for (outer_match, outer) in &outer {
            for (own_match, own) in &own {
                if let (Some(outer), Some(own)) = (outer_match, own_match) {
                    self.check_within(outer, own, document, out);
                }
                both.extend(outer.clone().and(own.clone()));
            }
        }
        both
    }

    /// The bounds that it has, of itself or from the rule that delegates to it.
    pub(super) fn says(&self) -> Defaults<'_> {
        let document = |is_own: bool| match self.outer {
            Some((outer, _)) if !is_own => outer,
            _ => self.document,
        };
        let whose = document(self.own.retries.is_some());
        let retries = self.route.retries.as_ref();
        let retries = retries.map(|it| Written::new(&it.value, it.at, whose, "spec.http.retries"));
        let whose = document(self.own.timeout.is_some());
        let timeout = self.route.timeout;
        let timeout = timeout.map(|it| Written::new(it.value, it.at, whose, "spec.http.timeout"));
        Defaults { retries, timeout }
    }

    /// What is delegated to should ask for a part of what the other rule takes.
    fn check_within(
        &self,
        outer: &HttpMatch,
        own: &HttpMatch,
        document: &Resource,
        out: &mut Output,
    ) {
        let (Some(outer), Some(uri)) = (&outer.uri, &own.uri) else { return };
        let is_within = match (&outer.value, &uri.value) {
            (StringMatch::Prefix(outer), StringMatch::Prefix(own) | StringMatch::Exact(own)) => {
                own.starts_with(&**outer)
            }
            (outer, own) => outer == own,
        };
        if !is_within {
            let path = format!("{}.match", self.path);
            let message = format!(
                "`uri` {} is no part of {}, which is what {} delegates: only what both take goes \
                 this way",
                uri.value, outer.value, document.key
            );
            Place::new(self.document, uri.at, &path).warn(out, message);
        }
    }
}

type Found<'a> = (Option<&'a HttpMatch>, Condition);

/// The conditions that are for whom rules are made for; none at all stands for every request.
fn conditions<'a>(
    around: &dyn Surroundings,
    document: &Resource,
    matches: &'a [HttpMatch],
    path: &str,
    out: &mut Output,
) -> Vec<Found<'a>> {
    if matches.is_empty() {
        return vec![(None, Condition::any())];
    }
    let mut found = Vec::new();
    for (index, one) in matches.iter().enumerate() {
        let path = format!("{path}.match[{index}]");
        let place = Place::new(document, one.at, &path);
        if !one.call.gateways.is_empty() && !around.is_meant(document, &one.call.gateways) {
            continue;
        }
        if one.stat_prefix.is_some() {
            place.note(out, "`statPrefix` has no effect: rules are counted by their ids");
        }
        match Condition::new(one) {
            Ok(condition) => found.push((Some(one), condition)),
            Err(message) => {
                let message = format!(
                    "{message}; this match takes nothing: what it was meant for goes to other rules \
                     that take it, or is answered 404"
                );
                place.error(out, message);
                found.push((Some(one), Condition::never(&one.call)));
            }
        }
    }
    found
}
