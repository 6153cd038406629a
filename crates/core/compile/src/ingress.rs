//! Kubernetes Ingress, with Traefik's annotations.
//!
//! Hosts are compared first, then the longest path wins, an exact one before a prefix of the same
//! length. Prefixes are whole elements (`/a` does not take `/ab`), as Kubernetes defines them;
//! `ImplementationSpecific` is Traefik's `PathPrefix`, character by character.
//!
//! Without entry points of its own an Ingress is served on port 80, and on port 443 if it has
//! `tls`; hosts that `tls` covers are then redirected there from port 80.

mod annotation;
mod backend;
mod class;
mod foreign;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::id::{ListenerId, PolicyId, RouteId};
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step, StepKind};
use weft_model::route::{HostMatch, Matcher, Origin, PathMatch, Rank, Route, Target, Timeouts};
use weft_model::text::Pattern;
use weft_resources::kubernetes::Ingress;
use weft_resources::kubernetes::ingress::{IngressBackend, IngressPath, PathType};
use weft_resources::{Kind, Pos, Resource};

use crate::age::age;
use crate::context::{Context, Output};
use crate::dialect;
use crate::ingress::annotation::{Annotations, PathMatcher, Placement};
use crate::ingress::class::Classes;
use crate::literal;
use crate::remark::Place;
use crate::traefik::{self, Borrower};

/// Adds all that Ingress resources ask for. `traefik` knows the middlewares that annotations name.
pub(crate) fn compile(context: &Context<'_>, traefik: &traefik::Memo, out: &mut Output) {
    let classes = Classes::new(context);
    let mut found: Vec<(&Arc<Resource>, &Ingress)> = Vec::new();
    for resource in context.resources {
        if let Kind::Ingress(ingress) = &resource.body
            && classes.is_ours(resource, ingress, out)
            && !foreign::is_canary(resource, out)
        {
            found.push((resource, ingress));
        }
    }
    // The oldest wins.
    found.sort_by(|(a, _), (b, _)| age(a).cmp(&age(b)));
    let mut table = Table::default();
    for (resource, ingress) in found {
        let annotations = Annotations::read(resource, out);
        let borrower = Borrower { context, memo: traefik, resource };
        Writer { borrower, ingress, annotations }.write(&mut table, out);
    }
    table.finish(out);
}

/// Says what is wrong with an Ingress that is not in force.
pub(crate) fn judge(
    context: &Context<'_>,
    traefik: &traefik::Memo,
    resource: &Arc<Resource>,
    out: &mut Output,
) {
    let Kind::Ingress(ingress) = &resource.body else { return };
    let annotations = Annotations::read(resource, out);
    let borrower = Borrower { context, memo: traefik, resource };
    Writer { borrower, ingress, annotations }.write(&mut Table::default(), out);
}

/// Routes by address and whether on the TLS side, in the order of precedence.
#[derive(Default)]
struct Table {
    routes: BTreeMap<(SocketAddr, bool), Vec<Route>>,
}

/// Host and path of a route, with its place among others.
struct Rule<'a> {
    host: &'a str,
    path: Option<(PathMatch, u64)>,
    backend: Option<&'a IngressBackend>,
    /// `0/1`, or `default`.
    label: String,
    /// Path in the document.
    field: String,
    at: Pos,
}

/// Turns one Ingress into routes.
struct Writer<'a> {
    borrower: Borrower<'a>,
    ingress: &'a Ingress,
    annotations: Annotations,
}

/// What all routes of an Ingress do first.
struct Shared {
    steps: Vec<Arc<Step>>,
    refusal: Option<Refusal>,
}

// === impl Table ===

impl Table {
    fn finish(self, out: &mut Output) {
        for ((addr, is_tls), mut routes) in self.routes {
            break_ties(&mut routes);
            let port = addr.port();
            let draft = out.drafts.at(addr, || ListenerId::new(format!("ingress:{port}")));
            let side = if is_tls { &mut draft.tls } else { &mut draft.plain };
            side.http_enabled = true;
            side.http.extend(routes.into_iter().map(Arc::new));
        }
    }
}

/// Makes ranks differ: among equals the earlier wins. Counted downwards, so that a route that comes
/// last changes no other.
fn break_ties(routes: &mut [Route]) {
    let mut seen: HashMap<(i64, u64), u32> = HashMap::new();
    for route in routes {
        let count = seen.entry((route.rank.major, route.rank.minor)).or_insert(0);
        route.rank.tie = u32::MAX - *count;
        *count += 1;
    }
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn write(&self, table: &mut Table, out: &mut Output) {
        let shared = self.shared(out);
        let placement = self.annotations.placement(self.borrower, self.has_tls(), out);
        let path = annotation::path("router.tls.options");
        let options = self.borrower.tls_options(&self.annotations.router_tls(), &path, out);
        let refusal = shared.refusal.clone().or_else(|| options.as_ref().err().cloned());
        let rules = self.rules(out);
        let hosts: Vec<&str> = rules.iter().map(|rule| rule.host).collect();
        let shown = options
            .ok()
            .filter(|_| placement.iter().any(|place| place.is_tls))
            .map(|options| tls::Shown::new(self.borrower, self.ingress, &options, &hosts, out));
        for rule in &rules {
            let Some(route) = self.route(rule, &shared, refusal.as_ref(), out) else { continue };
            for place in &placement {
                if let Some(route) = self.placed(&route, rule, place, shown.as_ref(), out) {
                    table.routes.entry((place.addr, place.is_tls)).or_default().push(route);
                }
            }
        }
        if let Some(shown) = shown {
            let places = placement.iter().filter(|place| place.is_tls);
            shown.serve(places.map(|place| place.addr), out);
        }
    }

    /// A route as it is served at one place.
    fn placed(
        &self,
        route: &Route,
        rule: &Rule<'_>,
        place: &Placement,
        shown: Option<&tls::Shown>,
        out: &mut Output,
    ) -> Option<Route> {
        let is_on_tls = self.has_tls() && self.is_on_tls(rule.host);
        if place.is_tls && self.has_tls() && !is_on_tls {
            return None;
        }
        let mut route = route.clone();
        let is_enforced = shown.is_none_or(|shown| shown.is_enforced(rule.host));
        if place.is_tls && !is_enforced {
            let message = "not served (503): the TLS options ask for client certificates, and \
                           there is no certificate for this host to ask them with";
            let field = annotation::path("router.tls.options");
            let at = self.annotations.router_tls().at;
            Place::new(self.borrower.resource, at, &field).error(out, message);
            route.target = Target::Refuse(Refusal {
                reason: Reason::PolicyUnenforceable,
                detail: message.into(),
            });
            route.steps = Arc::default();
        }
        if let Some(port) = place.https_port.filter(|_| is_on_tls) {
            let id = PolicyId::new(format!("{}/https", route.id));
            let port = if port == 443 { "".into() } else { port.to_string().into() };
            let kind = StepKind::RedirectScheme { scheme: "https".into(), port, permanent: true };
            let redirect = Arc::new(Step { id, kind });
            route.steps = std::iter::once(redirect).chain(route.steps.iter().cloned()).collect();
        }
        Some(route)
    }

    /// Middlewares of the Ingress, and what keeps all of it from being served.
    fn shared(&self, out: &mut Output) -> Shared {
        let mut refusal = foreign::report(self.borrower.resource, out);
        let resource = self.borrower.resource;
        let place = format!("ingress/{}/{}", resource.namespace(), resource.name());
        let path = annotation::path("router.middlewares");
        let found = self.borrower.middlewares(&self.annotations.middlewares, &path, &place, out);
        let steps = match found {
            Ok(steps) => steps,
            Err(why) => {
                refusal.get_or_insert(why);
                Vec::new()
            }
        };
        Shared { steps, refusal }
    }

    fn has_tls(&self) -> bool {
        self.annotations.tls || !self.ingress.tls.is_empty()
    }

    /// Whether a host is served with TLS: `tls` may name hosts of its own.
    fn is_on_tls(&self, host: &str) -> bool {
        let tls = &self.ingress.tls;
        self.annotations.tls
            || tls.is_empty()
            || tls.iter().any(|tls| {
                tls.hosts.is_empty() || tls.hosts.iter().any(|own| covers(&own.value, host))
            })
    }

    fn rules(&self, out: &mut Output) -> Vec<Rule<'a>> {
        let mut rules = Vec::new();
        for (index, rule) in self.ingress.rules.iter().enumerate() {
            let host = &*rule.host.value;
            if !is_host(host) {
                let field = format!("spec.rules[{index}].host");
                let message = format!("`{host}` is not a host name; the rule is not served");
                Place::new(self.borrower.resource, rule.host.at, &field).error(out, message);
                continue;
            }
            if rule.paths.is_empty() {
                rules.push(Rule {
                    host,
                    path: None,
                    backend: self.ingress.default_backend.as_ref(),
                    label: index.to_string(),
                    field: "spec.defaultBackend".into(),
                    at: rule.host.at,
                });
            }
            for (position, path) in rule.paths.iter().enumerate() {
                let field = format!("spec.rules[{index}].http.paths[{position}]");
                match self.path(path) {
                    Ok(condition) => rules.push(Rule {
                        host,
                        path: Some(condition),
                        backend: Some(&path.backend),
                        label: format!("{index}/{position}"),
                        field: format!("{field}.backend"),
                        at: path.at,
                    }),
                    Err(message) => {
                        Place::new(self.borrower.resource, path.at, &field).error(out, message);
                    }
                }
            }
        }
        if let Some(backend) = &self.ingress.default_backend {
            rules.push(Rule {
                host: "",
                path: None,
                backend: Some(backend),
                label: "default".into(),
                field: "spec.defaultBackend".into(),
                at: backend.at(),
            });
        }
        rules
    }

    /// The condition on the path and its rank: length first, exact before prefix.
    fn path(&self, path: &IngressPath) -> Result<(PathMatch, u64), String> {
        let canonical = |text: &str| {
            literal::path(text)
                .map_err(|error| format!("no request has the path `{text}`: {error}"))
        };
        let rank = |text: &str, is_exact: bool| (text.len() as u64) << 1 | u64::from(is_exact);
        Ok(match (path.path_type, self.annotations.path_matcher) {
            (PathType::Exact, _) | (PathType::ImplementationSpecific, PathMatcher::Path) => {
                let text = canonical(&path.path)?;
                let rank = rank(&text, true);
                (PathMatch::Exact(text), rank)
            }
            (PathType::Prefix, _) => {
                let text = canonical(&path.path)?;
                // A trailing slash says nothing.
                let text: Box<str> = match text.trim_end_matches('/') {
                    "" => "/".into(),
                    text => text.into(),
                };
                let rank = rank(&text, false);
                (PathMatch::Segments(text), rank)
            }
            (PathType::ImplementationSpecific, PathMatcher::PathPrefix) => {
                let text = canonical(&path.path)?;
                let rank = rank(&text, false);
                (PathMatch::Prefix(text), rank)
            }
            (PathType::ImplementationSpecific, PathMatcher::PathRegexp) => {
                let pattern = Pattern::new(&path.path).map_err(|error| error.to_string())?;
                (PathMatch::Regex(pattern), rank(&path.path, false))
            }
        })
    }

    fn route(
        &self,
        rule: &Rule<'_>,
        shared: &Shared,
        refusal: Option<&Refusal>,
        out: &mut Output,
    ) -> Option<Route> {
        let resource = self.borrower.resource;
        let (namespace, name) = (resource.namespace(), resource.name());
        let id = format!("ingress/{namespace}/{name}/{}", rule.label);
        let backend = rule.backend?;
        let line = self.borrower.context.line(resource, rule.at);
        out.lines.insert(RouteId::new(&*id), line);
        let (mut target, own) = backend::target(self.borrower, backend, &rule.field, &id, out);
        let mut steps = shared.steps.clone();
        steps.extend(own);
        if let Some(refusal) = refusal {
            target = Target::Refuse(refusal.clone());
            steps.clear();
        }
        Some(Route {
            origin: Origin {
                kind: "Ingress".into(),
                name: format!("{namespace}/{name}").into(),
                file: (&*resource.file).into(),
                rule: words(rule).into(),
            },
            rank: self.rank(rule),
            matcher: matcher(rule),
            id: RouteId::new(id),
            steps: steps.into(),
            target,
            timeouts: Timeouts::default(),
        })
    }

    fn rank(&self, rule: &Rule<'_>) -> Rank {
        let is_default = rule.host.is_empty() && rule.path.is_none();
        let path = rule.path.as_ref().map_or(0, |(_, rank)| *rank);
        let major = match self.annotations.priority {
            _ if is_default => i64::MIN,
            None => 0,
            // In Traefik a rule has the priority of its length, and users write numbers above and
            // below it. Hosts come first here, so a number says: before all, or after all.
            Some(priority) if priority >= traefik_length(rule) => priority,
            Some(priority) => priority.saturating_sub(AFTER_ALL),
        };
        Rank {
            dialect: dialect::INGRESS,
            major,
            minor: host_rank(rule.host) << 32 | path,
            ..Rank::default()
        }
    }
}

/// Further below zero than any priority is above.
const AFTER_ALL: i64 = 1 << 62;

/// The length of the rule that Traefik would write.
fn traefik_length(rule: &Rule<'_>) -> i64 {
    let host = if rule.host.is_empty() { 0 } else { "Host(``)".len() + rule.host.len() };
    let path = match &rule.path {
        Some((PathMatch::Exact(text), _)) => "Path(``)".len() + text.len(),
        Some((PathMatch::Prefix(text) | PathMatch::Segments(text), _)) => {
            "PathPrefix(``)".len() + text.len()
        }
        Some((PathMatch::Regex(pattern), _)) => "PathRegexp(``)".len() + pattern.as_str().len(),
        None => 0,
    };
    let and = if host > 0 && path > 0 { " && ".len() } else { 0 };
    (host + and + path) as i64
}

/// A full name before a wildcard, a longer one before a shorter, and every host last.
fn host_rank(host: &str) -> u64 {
    match host.strip_prefix("*.") {
        _ if host.is_empty() => 0,
        Some(suffix) => suffix.len() as u64 + 1,
        None => 0x200 | host.len() as u64,
    }
}

fn matcher(rule: &Rule<'_>) -> Matcher {
    let host = match rule.host.strip_prefix("*.") {
        _ if rule.host.is_empty() => None,
        Some(suffix) => Some(HostMatch::OneLabel(suffix.into())),
        None => Some(HostMatch::Exact(rule.host.into())),
    };
    let path = rule.path.as_ref().map(|(path, _)| path.clone());
    // `/` holds for every path.
    let path = path.filter(|path| !matches!(path, PathMatch::Segments(text) if **text == *"/"));
    match (host.map(Matcher::Host), path.map(Matcher::Path)) {
        (Some(host), Some(path)) => Matcher::All(vec![host, path]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Matcher::All(Vec::new()),
    }
}

fn words(rule: &Rule<'_>) -> String {
    let host = if rule.host.is_empty() { "every host" } else { rule.host };
    match &rule.path {
        Some((PathMatch::Exact(path), _)) => format!("{host}, Exact {path}"),
        Some((PathMatch::Segments(path), _)) => format!("{host}, Prefix {path}"),
        Some((PathMatch::Prefix(path), _)) => format!("{host}, PathPrefix {path}"),
        Some((PathMatch::Regex(pattern), _)) => format!("{host}, PathRegexp {}", pattern.as_str()),
        None => format!("{host}, default backend"),
    }
}

/// Whether `own`, perhaps a wildcard for one label, is or covers `host`.
fn covers(own: &str, host: &str) -> bool {
    own.eq_ignore_ascii_case(host)
        || own.strip_prefix("*.").is_some_and(|suffix| {
            host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(suffix)
            })
        })
}

/// A name in lower case, `*.` in front of it at most; or nothing.
fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    host.is_empty() || name.parse::<std::net::IpAddr>().is_err() && name.split('.').all(is_label)
}
