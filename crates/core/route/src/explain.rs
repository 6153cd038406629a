//! Why a request goes where it goes.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use weft_message::FieldName;
use weft_model::route::{HostMatch, Matcher, PathMatch, Route};
use weft_model::text::TextMatch;

use crate::matching::{Ask, holds};

/// Most candidates of one explanation; a reader wants the nearest.
const CANDIDATES_MAX: usize = 10;

/// A route that took a request, or nearly did.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its position among the routes that the table was built from.
    pub index: usize,
    /// The route.
    pub route: Arc<Route>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes the request.
    Taken,
    /// It would take the request, were there not one of greater rank.
    Outranked,
    /// The first condition that failed, in the order of the rule.
    Failed(Failure),
}

/// A condition that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is about.
    pub aspect: Aspect,
    /// The condition in the notation of rules.
    pub wanted: String,
    /// What the request has there; empty when it has nothing.
    pub found: String,
}

/// The part of a request that a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// The host.
    Host,
    /// The path.
    Path,
    /// The method.
    Method,
    /// A header.
    Header,
    /// A query parameter.
    Query,
    /// The peer's address.
    ClientIp,
    /// The scheme.
    Scheme,
    /// A negation, or an empty list of alternatives.
    Compound,
}

/// The route that takes the request, those that it outranks, and those that nearly took it, the
/// nearest first.
pub(crate) fn candidates(routes: &[Arc<Route>], ask: &Ask<'_>) -> Vec<Candidate> {
    let mut taking: Vec<usize> = Vec::new();
    let mut failing: Vec<(u32, usize)> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        match distance(&route.matcher, ask) {
            0 => taking.push(index),
            distance => failing.push((distance, index)),
        }
    }
    taking.sort_by_key(|index| Reverse(routes[*index].rank));
    failing.sort_by_key(|(distance, index)| (*distance, Reverse(routes[*index].rank)));
    // Routes of other hosts are near only when there is nothing for this one.
    let stranger = weight(Aspect::Host);
    if !taking.is_empty() || failing.first().is_some_and(|(nearest, _)| *nearest < stranger) {
        failing.retain(|(distance, _)| *distance < stranger);
    }
    let taking = taking.into_iter().enumerate().map(|(place, index)| {
        (index, if place == 0 { Verdict::Taken } else { Verdict::Outranked })
    });
    let failing = failing.into_iter().filter_map(|(_, index)| {
        Some((index, Verdict::Failed(first_failure(&routes[index].matcher, ask)?)))
    });
    let candidates = taking.chain(failing).take(CANDIDATES_MAX);
    candidates
        .map(|(index, verdict)| Candidate { index, route: routes[index].clone(), verdict })
        .collect()
}

/// How far a request is from satisfying a condition; 0 when it does.
fn distance(matcher: &Matcher, ask: &Ask<'_>) -> u32 {
    match matcher {
        Matcher::All(list) => {
            list.iter().map(|one| distance(one, ask)).fold(0, u32::saturating_add)
        }
        Matcher::Any(list) => {
            list.iter().map(|one| distance(one, ask)).min().unwrap_or(weight(Aspect::Compound))
        }
        _ if holds(matcher, ask) => 0,
        _ => weight(aspect(matcher)),
    }
}

/// How far away a failure puts a route: the host counts more than the path, the path more than all
/// else.
fn weight(aspect: Aspect) -> u32 {
    match aspect {
        Aspect::Host => 1 << 16,
        Aspect::Path => 1 << 8,
        Aspect::Method
        | Aspect::Header
        | Aspect::Query
        | Aspect::ClientIp
        | Aspect::Scheme
        | Aspect::Compound => 1,
    }
}

/// The first condition that fails, of the nearest alternative.
fn first_failure(matcher: &Matcher, ask: &Ask<'_>) -> Option<Failure> {
    match matcher {
        Matcher::All(list) => list.iter().find_map(|one| first_failure(one, ask)),
        Matcher::Any(list) if !list.is_empty() => {
            let nearest = list.iter().min_by_key(|one| distance(one, ask));
            nearest.and_then(|one| first_failure(one, ask))
        }
        _ if holds(matcher, ask) => None,
        _ => Some(Failure {
            aspect: aspect(matcher),
            wanted: Shown(matcher).to_string(),
            found: found(matcher, ask),
        }),
    }
}

fn aspect(matcher: &Matcher) -> Aspect {
    match matcher {
        Matcher::Host(_) | Matcher::Authority(_) => Aspect::Host,
        Matcher::Path(_) => Aspect::Path,
        Matcher::Method(_) => Aspect::Method,
        Matcher::Header(..) => Aspect::Header,
        Matcher::Query(..) => Aspect::Query,
        Matcher::ClientIp(_) => Aspect::ClientIp,
        Matcher::Scheme(_) => Aspect::Scheme,
        Matcher::Not(inner) => aspect(inner),
        Matcher::All(_) | Matcher::Any(_) => Aspect::Compound,
    }
}

/// What the request has where the condition looks.
fn found(matcher: &Matcher, ask: &Ask<'_>) -> String {
    let joined = |values: Vec<String>| values.join(", ");
    match matcher {
        Matcher::Host(_) => ask.host.to_owned(),
        Matcher::Path(_) => ask.path.to_owned(),
        Matcher::Method(_) => ask.head.method().as_str().to_owned(),
        Matcher::Header(name, _) => joined(header_values(name, ask)),
        Matcher::Query(name, _) => {
            joined(ask.head.query_values(name).map(|value| value.into_owned()).collect())
        }
        Matcher::ClientIp(_) => ask.client_ip.to_canonical().to_string(),
        Matcher::Authority(_) => ask.head.authority().to_owned(),
        Matcher::Scheme(_) => ask.head.scheme().as_str().to_owned(),
        Matcher::Not(inner) => found(inner, ask),
        Matcher::All(_) | Matcher::Any(_) => String::new(),
    }
}

fn header_values(name: &FieldName, ask: &Ask<'_>) -> Vec<String> {
    let values = ask.head.fields.get_all(name);
    values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// A condition in the notation of rules. What only other dialects have is shown as `Hostname` (a
/// wildcard for any number of labels), `PathElements` (a prefix by whole elements), `Authority` and
/// `Scheme`.
struct Shown<'a>(&'a Matcher);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Matcher::All(list) => list_shown(f, list, " && "),
            Matcher::Any(list) => list_shown(f, list, " || "),
            Matcher::Not(inner) => write!(f, "!{}", Shown(inner)),
            Matcher::Host(host) => host_shown(f, host),
            Matcher::Path(path) => path_shown(f, path),
            Matcher::Method(method) => write!(f, "Method(`{}`)", method.as_str()),
            Matcher::Header(name, text) => text_shown(f, "Header", name.as_str(), text),
            Matcher::Query(name, text) => text_shown(f, "Query", name, text),
            Matcher::ClientIp(net) => write!(f, "ClientIP(`{net}`)"),
            Matcher::Authority(text) => value_shown(f, "Authority", text),
            Matcher::Scheme(scheme) => write!(f, "Scheme(`{}`)", scheme.as_str()),
        }
    }
}

fn list_shown(f: &mut fmt::Formatter<'_>, list: &[Matcher], between: &str) -> fmt::Result {
    f.write_str("(")?;
    for (place, one) in list.iter().enumerate() {
        write!(f, "{}{}", if place == 0 { "" } else { between }, Shown(one))?;
    }
    f.write_str(")")
}

fn host_shown(f: &mut fmt::Formatter<'_>, host: &HostMatch) -> fmt::Result {
    match host {
        HostMatch::Exact(name) => write!(f, "Host(`{name}`)"),
        HostMatch::OneLabel(suffix) => write!(f, "Host(`*.{suffix}`)"),
        HostMatch::AnyLabels(suffix) => write!(f, "Hostname(`*.{suffix}`)"),
        HostMatch::Regex(pattern) => write!(f, "HostRegexp(`{}`)", pattern.as_str()),
        HostMatch::Any => f.write_str("Host(`*`)"),
    }
}

fn path_shown(f: &mut fmt::Formatter<'_>, path: &PathMatch) -> fmt::Result {
    match path {
        PathMatch::Exact(path) => write!(f, "Path(`{path}`)"),
        PathMatch::Prefix(prefix) => write!(f, "PathPrefix(`{prefix}`)"),
        PathMatch::Segments(prefix) => write!(f, "PathElements(`{prefix}`)"),
        PathMatch::Regex(pattern) => write!(f, "PathRegexp(`{}`)", pattern.as_str()),
    }
}

fn text_shown(
    f: &mut fmt::Formatter<'_>,
    matcher: &str,
    name: &str,
    text: &TextMatch,
) -> fmt::Result {
    match text {
        TextMatch::Exact(value) => write!(f, "{matcher}(`{name}`, `{value}`)"),
        TextMatch::Regex(pattern) => write!(f, "{matcher}Regexp(`{name}`, `{}`)", pattern.as_str()),
        TextMatch::Present => write!(f, "{matcher}(`{name}`)"),
    }
}

fn value_shown(f: &mut fmt::Formatter<'_>, matcher: &str, text: &TextMatch) -> fmt::Result {
    match text {
        TextMatch::Exact(value) => write!(f, "{matcher}(`{value}`)"),
        TextMatch::Regex(pattern) => write!(f, "{matcher}Regexp(`{}`)", pattern.as_str()),
        TextMatch::Present => write!(f, "{matcher}(`*`)"),
    }
}

#[cfg(test)]
mod tests;
