//! Routes that no request can reach, because others at the same address take all of theirs.
//!
//! Two cases are told, each in one pass over the routes: two rules that are the same, and a rule of a
//! dialect that comes first which takes every request, or every request for the hosts that the other
//! one names.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::route::{HostMatch, Matcher, PathMatch, Route};
use weft_resources::traefik::file;
use weft_resources::{Pos, Problem, Resource, Severity};

use crate::context::{Context, Output};
use crate::dialect;
use crate::listeners::Side;

/// Says which routes are never reached, in their resources and in those that are in their way.
pub(crate) fn report(context: &Context<'_>, out: &mut Output) {
    let mut findings = Vec::new();
    for (addr, side) in out.drafts.sides() {
        twins(side, &mut findings);
        covered(addr, side, &mut findings);
    }
    if findings.is_empty() {
        return;
    }
    let owners = owners(context);
    let problems: Vec<_> =
        findings.iter().flat_map(|finding| finding.problems(context, &owners, out)).collect();
    for (resource, problem) in problems {
        let said = out.problems.entry(resource.key.clone()).or_default();
        // What is served at two addresses is said once.
        if !said.contains(&problem) {
            said.push(problem);
        }
    }
}

/// What is in the way of what.
enum Finding {
    /// The same rule twice; the first wins.
    Twins(Arc<Route>, Arc<Route>),
    /// A route of a dialect that comes first takes all requests of these.
    Covered { by: Arc<Route>, addr: SocketAddr, routes: Vec<Arc<Route>> },
}

/// Resources by kind and name, as routes name where they come from.
type Owners<'a> = HashMap<(&'a str, String), &'a Arc<Resource>>;

/// Routes that take every request, and every request for a host.
#[derive(Default)]
struct Covers<'a> {
    all: Option<&'a Arc<Route>>,
    /// By the kind of condition and the name.
    by_host: HashMap<(Kind, &'a str), &'a Arc<Route>>,
}

/// The kinds of condition on a host that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Exact,
    OneLabel,
    AnyLabels,
}

// === impl Finding ===

impl Finding {
    fn problems<'a>(
        &self,
        context: &Context<'a>,
        owners: &Owners<'a>,
        out: &Output,
    ) -> Vec<(&'a Arc<Resource>, Problem)> {
        let place = |route: &Route| {
            let key = (&*route.origin.kind, route.origin.name.to_string());
            let resource = *owners.get(&key)?;
            let line = out.lines.get(&route.id).copied().unwrap_or_default();
            let first = context.index.line(&resource.key).unwrap_or_default();
            Some((resource, Pos::new(line, 1).within(first), line))
        };
        let problem = |route: &Route, severity, message: String| {
            let (resource, at, _) = place(route)?;
            Some((resource, Problem::new(severity, &resource.file, at, "", message)))
        };
        let name = |route: &Route| {
            let (kind, name, file) = (&route.origin.kind, &route.origin.name, &route.origin.file);
            let line = place(route).map_or(0, |(.., line)| line);
            format!("{kind} {name} ({file}:{line})")
        };
        let mut problems = Vec::new();
        match self {
            Self::Twins(first, second) => {
                let message = format!("never reached: {} has the same rule and wins", name(first));
                let found = problem(second, Severity::Warning, message);
                let fix = "remove one of the two, or make one of the rules narrower";
                problems.extend(found.map(|(resource, it)| (resource, it.with_fix(fix))));
            }
            Self::Covered { by, addr, routes } => {
                for route in routes {
                    let message = format!(
                        "never reached: {} takes all of its requests, and {} comes before {} at \
                         one address",
                        name(by),
                        dialect::words(by.rank.dialect),
                        dialect::words(route.rank.dialect)
                    );
                    let fix = "serve the two at different addresses, or move this rule there";
                    let found = problem(route, Severity::Warning, message);
                    problems.extend(found.map(|(resource, it)| (resource, it.with_fix(fix))));
                }
                if let Some(first) = routes.first() {
                    let more = match routes.len() - 1 {
                        0 => String::new(),
                        count => format!(" and {count} more"),
                    };
                    let message = format!(
                        "at {addr} this takes all requests of {}{more}: {} comes first",
                        name(first),
                        dialect::words(by.rank.dialect)
                    );
                    problems.extend(problem(by, Severity::Note, message));
                }
            }
        }
        problems
    }
}

// === impl Covers ===

impl<'a> Covers<'a> {
    fn of(routes: &'a [Arc<Route>]) -> Self {
        let mut covers = Self::default();
        for route in routes {
            if is_always(&route.matcher) {
                keep_first(covers.all.get_or_insert(route), route);
            } else if let Matcher::Host(host) = &route.matcher
                && let Some(key) = comparable(host)
            {
                keep_first(covers.by_host.entry(key).or_insert(route), route);
            }
        }
        covers
    }

    /// The route of a dialect that comes before this route's and takes all of its requests.
    fn over(&self, route: &Route) -> Option<&'a Arc<Route>> {
        let dialect = route.rank.dialect;
        if let Some(all) = self.all.filter(|all| all.rank.dialect > dialect) {
            return Some(all);
        }
        let mut hosts = hosts(&route.matcher)?.into_iter();
        let first = self.over_host(hosts.next()?, dialect)?;
        hosts.all(|host| self.over_host(host, dialect).is_some()).then_some(first)
    }

    /// The same for the requests for a host.
    fn over_host(&self, host: &HostMatch, dialect: u8) -> Option<&'a Arc<Route>> {
        let (kind, name) = comparable(host)?;
        let before = |kind, name| {
            self.by_host.get(&(kind, name)).copied().filter(|route| route.rank.dialect > dialect)
        };
        let mut parents = std::iter::successors(parent(name), |name| parent(name));
        let own = before(kind, name).or_else(|| match kind {
            Kind::Exact => before(Kind::OneLabel, parent(name)?),
            Kind::OneLabel => before(Kind::AnyLabels, name),
            Kind::AnyLabels => None,
        });
        own.or_else(|| parents.find_map(|name| before(Kind::AnyLabels, name)))
    }
}

/// Rules that stand there twice.
fn twins(side: &Side, findings: &mut Vec<Finding>) {
    let mut by_rule: HashMap<(&str, &str), &Arc<Route>> = HashMap::with_capacity(side.http.len());
    for route in &side.http {
        let key = (&*route.origin.kind, &*route.origin.rule);
        let first = by_rule.entry(key).or_insert(route);
        if Arc::ptr_eq(first, route) || first.matcher != route.matcher {
            continue;
        }
        let (winner, loser) =
            if comes_before(first, route) { (*first, route) } else { (route, *first) };
        findings.push(Finding::Twins(Arc::clone(winner), Arc::clone(loser)));
        *first = winner;
    }
}

/// Routes of one dialect that others of a dialect before it leave nothing to.
fn covered(addr: SocketAddr, side: &Side, findings: &mut Vec<Finding>) {
    let dialects = || side.http.iter().map(|route| route.rank.dialect);
    if dialects().min() == dialects().max() {
        return;
    }
    let covers = Covers::of(&side.http);
    let mut by_cover: Vec<(&Arc<Route>, Vec<Arc<Route>>)> = Vec::new();
    let mut positions: HashMap<*const Route, usize> = HashMap::new();
    for route in &side.http {
        let Some(cover) = covers.over(route) else { continue };
        let position = *positions.entry(Arc::as_ptr(cover)).or_insert_with(|| {
            by_cover.push((cover, Vec::new()));
            by_cover.len() - 1
        });
        by_cover[position].1.push(Arc::clone(route));
    }
    findings.extend(by_cover.into_iter().map(|(by, routes)| Finding::Covered {
        by: Arc::clone(by),
        addr,
        routes,
    }));
}

/// Whether the first of two routes wins where both match, as listeners sort them.
fn comes_before(first: &Route, second: &Route) -> bool {
    (second.rank, &first.id) < (first.rank, &second.id)
}

fn keep_first<'a>(known: &mut &'a Arc<Route>, route: &'a Arc<Route>) {
    if comes_before(route, known) {
        *known = route;
    }
}

/// Whether a condition holds for every request.
pub(crate) fn is_always(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::All(all) => all.iter().all(is_always),
        Matcher::Any(any) => any.iter().any(is_always),
        Matcher::Host(host) => *host == HostMatch::Any,
        Matcher::Path(PathMatch::Prefix(path) | PathMatch::Segments(path)) => **path == *"/",
        _ => false,
    }
}

/// The hosts that every request of a rule has one of.
fn hosts(matcher: &Matcher) -> Option<Vec<&HostMatch>> {
    match matcher {
        Matcher::Host(host) => Some(vec![host]),
        Matcher::All(all) => all.iter().find_map(hosts),
        Matcher::Any(any) => {
            let all: Option<Vec<_>> = any.iter().map(hosts).collect();
            Some(all?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

fn comparable(host: &HostMatch) -> Option<(Kind, &str)> {
    match host {
        HostMatch::Exact(name) => Some((Kind::Exact, name)),
        HostMatch::OneLabel(suffix) => Some((Kind::OneLabel, suffix)),
        HostMatch::AnyLabels(suffix) => Some((Kind::AnyLabels, suffix)),
        HostMatch::Regex(_) | HostMatch::Any => None,
    }
}

/// A name without its first label.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

fn owners<'a>(context: &Context<'a>) -> Owners<'a> {
    let entry = |resource: &'a Arc<Resource>| {
        let key = &resource.key;
        let name = match key.group == file::GROUP {
            true => format!("{}@file", key.name),
            false => format!("{}/{}", key.namespace, key.name),
        };
        ((&*key.kind, name), resource)
    };
    context.resources.iter().map(entry).collect()
}
