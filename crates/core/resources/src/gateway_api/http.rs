//! HTTPRoute.

use std::time::Duration;

use super::filter::{self, Filter};
use super::reference::{BackendRef, ParentRef, hostnames};
use crate::linkerd::annotations::{self, CallAnnotations};
use crate::metadata::Annotations;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// An HTTPRoute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpRoute {
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// Hosts; every host of the listener when empty.
    pub hostnames: Vec<Spanned<Box<str>>>,
    /// Its rules.
    pub rules: Vec<HttpRule>,
    /// What Linkerd's annotations say of its calls.
    pub calls: CallAnnotations,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRule {
    /// Name.
    pub name: Option<Box<str>>,
    /// Takes a request when one of them does; every request when empty.
    pub matches: Vec<HttpMatch>,
    /// What is done, in order.
    pub filters: Vec<Filter>,
    /// Where requests go.
    pub backends: Vec<BackendRef>,
    /// Bounds on time.
    pub timeouts: RouteTimeouts,
    /// Sends again what failed.
    pub retry: Option<RouteRetry>,
    /// Keeps a client on its backend.
    pub session: Option<SessionPersistence>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on a request: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpMatch {
    /// On the path.
    pub path: PathMatch,
    /// On headers.
    pub headers: Vec<ValueMatch>,
    /// On query parameters.
    pub query: Vec<ValueMatch>,
    /// On the method.
    pub method: Option<Box<str>>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// All of it.
    Exact(Box<str>),
    /// Its beginning, by whole elements.
    Prefix(Box<str>),
    /// All of it, by pattern.
    Regex(Box<str>),
}

/// A condition on a named value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueMatch {
    /// Name.
    pub name: Box<str>,
    /// Value or pattern.
    pub value: Box<str>,
    /// Whether it is a pattern.
    pub is_regex: bool,
}

/// Bounds on time; `None` means no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteTimeouts {
    /// From the request to the end of the answer.
    pub request: Option<Duration>,
    /// For one try of a backend.
    pub backend_request: Option<Duration>,
}

/// Sends again what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRetry {
    /// Statuses that count as failed.
    pub codes: Vec<u16>,
    /// Tries after the first.
    pub attempts: Option<u32>,
    /// Shortest wait between tries.
    pub backoff: Option<Duration>,
}

/// Keeps a client on its backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Name of the cookie or header; one is made up when absent.
    pub name: Option<Box<str>>,
    /// By header instead of cookie.
    pub by_header: bool,
    /// The session ends after this.
    pub absolute_timeout: Option<Duration>,
    /// The session ends after this without a request.
    pub idle_timeout: Option<Duration>,
    /// The cookie outlives the browser's session, for `absolute_timeout`.
    pub permanent: bool,
    /// `Path` of the cookie.
    pub path: Option<Box<str>>,
    /// Where it is written.
    pub at: Pos,
}

// === impl HttpRule ===

impl HttpRule {
    /// The rule that the API server adds to a route without rules: it takes everything, and leads
    /// nowhere.
    fn default_at(at: Pos) -> Self {
        Self {
            name: None,
            matches: Vec::new(),
            filters: Vec::new(),
            backends: Vec::new(),
            timeouts: RouteTimeouts::default(),
            retry: None,
            session: None,
            at,
        }
    }
}

// === impl PathMatch ===

impl std::fmt::Display for PathMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "Exact {path}"),
            Self::Prefix(path) => write!(f, "PathPrefix {path}"),
            Self::Regex(pattern) => write!(f, "RegularExpression {pattern}"),
        }
    }
}

/// Reads an HTTPRoute.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<HttpRoute> {
    let calls = annotations::calls(&Annotations::of(reader), "HTTPRoute");
    reader.require("spec")?.nested(|spec| {
        let parents = ParentRef::take_all(spec);
        let hostnames = hostnames(spec);
        let mut rules = spec.list("rules", |item| item.nested(rule));
        if !spec.has("rules") {
            rules.push(HttpRule::default_at(spec.at()));
        }
        Some(HttpRoute { parents, hostnames, rules, calls })
    })
}

fn rule(reader: &Reader<'_, '_>) -> Option<HttpRule> {
    Some(HttpRule {
        name: reader.string("name"),
        matches: reader.list("matches", |item| item.nested(one_match)),
        filters: filter::take_all(reader),
        backends: reader
            .list("backendRefs", |item| item.nested(|backend| BackendRef::read(backend, true))),
        timeouts: reader.nested("timeouts", timeouts).unwrap_or_default(),
        retry: reader.nested("retry", retry),
        session: reader.nested("sessionPersistence", session),
        at: reader.at(),
    })
}

fn one_match(reader: &Reader<'_, '_>) -> Option<HttpMatch> {
    let path = match reader.take("path") {
        Some(field) => field.nested(path_match)?,
        None => PathMatch::Prefix("/".into()),
    };
    let headers = value_matches(reader, "headers", true);
    let query = value_matches(reader, "queryParams", false);
    let method = reader.take("method").map(|field| field.choice(&METHODS.map(|name| (name, name))));
    let method = match method {
        Some(method) => Some(method?.into()),
        None => None,
    };
    Some(HttpMatch { path, headers, query, method, at: reader.at() })
}

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

fn path_match(reader: &Reader<'_, '_>) -> Option<PathMatch> {
    type Make = fn(Box<str>) -> PathMatch;
    let types: [(&str, Make); 3] = [
        ("PathPrefix", PathMatch::Prefix),
        ("Exact", PathMatch::Exact),
        ("RegularExpression", PathMatch::Regex),
    ];
    let make = match reader.take("type") {
        Some(field) => field.choice(&types),
        None => Some(PathMatch::Prefix as Make),
    };
    let field = reader.take("value");
    let value = match &field {
        Some(field) => field.string()?,
        None => "/".into(),
    };
    let found = make?(value);
    match &found {
        PathMatch::Exact(path) | PathMatch::Prefix(path) if !path.starts_with('/') => {
            let fix = Some(format!("write /{path}"));
            reader.error(format!("`{path}` is not an absolute path"), fix);
            None
        }
        PathMatch::Exact(path) | PathMatch::Prefix(path) => {
            let refused = ["//", "/./", "/../", "%2f", "%2F", "#"];
            let ends = ["/..", "/."];
            let bad = refused.iter().find(|part| path.contains(**part));
            let bad = bad.or_else(|| ends.iter().find(|end| path.ends_with(**end)));
            if let Some(bad) = bad {
                reader.error(format!("a path cannot contain `{bad}`"), None);
                return None;
            }
            Some(found)
        }
        PathMatch::Regex(_) => Some(found),
    }
}

/// Conditions on headers (of which names compare without case) or query parameters.
pub(crate) fn value_matches(
    reader: &Reader<'_, '_>,
    name: &'static str,
    fold_case: bool,
) -> Vec<ValueMatch> {
    let mut matches: Vec<ValueMatch> = Vec::new();
    reader.list(name, |item| {
        let found = item.nested(value_match)?;
        let same = |other: &ValueMatch| {
            other.name == found.name || fold_case && other.name.eq_ignore_ascii_case(&found.name)
        };
        if matches.iter().any(same) {
            let message = format!("`{}` is already named above; this one is not used", found.name);
            item.warn(message, None);
            return None;
        }
        matches.push(found);
        Some(())
    });
    matches
}

fn value_match(reader: &Reader<'_, '_>) -> Option<ValueMatch> {
    let types = [("Exact", false), ("RegularExpression", true)];
    let is_regex = match reader.take("type") {
        Some(field) => field.choice(&types),
        None => Some(false),
    };
    let name = reader.require_string("name");
    let value = reader.require_string("value");
    Some(ValueMatch { name: name?, value: value?, is_regex: is_regex? })
}

/// A duration; zero switches the bound off.
fn bound(field: &Field<'_, '_>) -> Option<Duration> {
    field.gateway_duration().filter(|value| !value.is_zero())
}

fn timeouts(reader: &Reader<'_, '_>) -> Option<RouteTimeouts> {
    let request = reader.take("request").and_then(|field| bound(&field));
    let backend_request = reader.take("backendRequest").and_then(|field| bound(&field));
    if let (Some(all), Some(one)) = (request, backend_request)
        && one > all
    {
        reader.error("`backendRequest` cannot be longer than `request`", None);
    }
    Some(RouteTimeouts { request, backend_request })
}

fn retry(reader: &Reader<'_, '_>) -> Option<RouteRetry> {
    Some(RouteRetry {
        codes: reader.list("codes", |item| item.int(400, 599).map(|code| code as u16)),
        attempts: reader.int("attempts", 1, 100).map(|attempts| attempts as u32),
        backoff: reader.take("backoff").and_then(|field| field.gateway_duration()),
    })
}

/// Reads `sessionPersistence`.
pub(crate) fn session(reader: &Reader<'_, '_>) -> Option<SessionPersistence> {
    let by_header = reader
        .take("type")
        .and_then(|field| field.choice(&[("Cookie", false), ("Header", true)]))
        .unwrap_or(false);
    let mut session = SessionPersistence {
        // The name stood here before it moved under `cookie` and `header`.
        name: reader.string("sessionName"),
        by_header,
        absolute_timeout: reader.take("absoluteTimeout").and_then(|field| bound(&field)),
        idle_timeout: reader.take("idleTimeout").and_then(|field| bound(&field)),
        permanent: false,
        path: None,
        at: reader.at(),
    };
    reader.nested("cookieConfig", |cookie| {
        session.permanent = is_permanent(cookie);
        Some(())
    });
    reader.nested("cookie", |cookie| {
        session.name = cookie.string("name").or(session.name.take());
        session.path = cookie.string("path");
        session.permanent |= is_permanent(cookie);
        Some(())
    });
    reader.nested("header", |header| {
        session.name = header.require_string("name").or(session.name.take());
        Some(())
    });
    if session.permanent && session.absolute_timeout.is_none() {
        reader.error("`absoluteTimeout` is required for a permanent cookie", None);
    }
    Some(session)
}

fn is_permanent(cookie: &Reader<'_, '_>) -> bool {
    let lifetimes = [("Session", false), ("Permanent", true)];
    cookie.take("lifetimeType").and_then(|field| field.choice(&lifetimes)).unwrap_or(false)
}
