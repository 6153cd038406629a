//! GRPCRoute.

use super::filter::{self, Filter, FilterKind};
use super::http::{SessionPersistence, ValueMatch, session, value_matches};
use super::reference::{BackendRef, ParentRef, hostnames};
use crate::linkerd::annotations::{self, CallAnnotations};
use crate::metadata::Annotations;
use crate::problem::Pos;
use crate::read::Reader;
use crate::resource::Spanned;

/// A GRPCRoute.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcRoute {
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// Hosts; every host of the listener when empty.
    pub hostnames: Vec<Spanned<Box<str>>>,
    /// Its rules.
    pub rules: Vec<GrpcRule>,
    /// What Linkerd's annotations say of its calls.
    pub calls: CallAnnotations,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcRule {
    /// Name.
    pub name: Option<Box<str>>,
    /// Takes a call when one of them does; every call when empty.
    pub matches: Vec<GrpcMatch>,
    /// What is done, in order.
    pub filters: Vec<Filter>,
    /// Where calls go.
    pub backends: Vec<BackendRef>,
    /// Keeps a client on its backend.
    pub session: Option<SessionPersistence>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on a call: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcMatch {
    /// On service and method; `None` for every one.
    pub method: Option<GrpcMethod>,
    /// On metadata.
    pub headers: Vec<ValueMatch>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on service and method; at least one is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcMethod {
    /// Service with its package, such as `shop.Checkout`.
    pub service: Option<Box<str>>,
    /// Method.
    pub method: Option<Box<str>>,
    /// Whether both are patterns.
    pub is_regex: bool,
}

/// Reads a GRPCRoute.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<GrpcRoute> {
    let calls = annotations::calls(&Annotations::of(reader), "GRPCRoute");
    reader.require("spec")?.nested(|spec| {
        let parents = ParentRef::take_all(spec);
        let hostnames = hostnames(spec);
        let rules = spec.list("rules", |item| item.nested(rule));
        Some(GrpcRoute { parents, hostnames, rules, calls })
    })
}

fn rule(reader: &Reader<'_, '_>) -> Option<GrpcRule> {
    let filters = filter::take_all(reader);
    let backends =
        reader.list("backendRefs", |item| item.nested(|backend| BackendRef::read(backend, true)));
    for filter in filters.iter().chain(backends.iter().flat_map(|backend| &backend.filters)) {
        if matches!(
            filter.kind,
            FilterKind::Redirect(_) | FilterKind::Rewrite(_) | FilterKind::Cors(_)
        ) {
            reader.error("a GRPCRoute has no redirects, rewrites or cross-origin rules", None);
        }
    }
    Some(GrpcRule {
        name: reader.string("name"),
        matches: reader.list("matches", |item| item.nested(one_match)),
        filters,
        backends,
        session: reader.nested("sessionPersistence", session),
        at: reader.at(),
    })
}

fn one_match(reader: &Reader<'_, '_>) -> Option<GrpcMatch> {
    let method = match reader.take("method") {
        Some(field) => Some(field.nested(method)?),
        None => None,
    };
    let headers = value_matches(reader, "headers", true);
    Some(GrpcMatch { method, headers, at: reader.at() })
}

fn method(reader: &Reader<'_, '_>) -> Option<GrpcMethod> {
    let types = [("Exact", false), ("RegularExpression", true)];
    let is_regex = match reader.take("type") {
        Some(field) => field.choice(&types),
        None => Some(false),
    };
    let service = reader.string("service").filter(|text| !text.is_empty());
    let method = reader.string("method").filter(|text| !text.is_empty());
    let is_regex = is_regex?;
    if service.is_none() && method.is_none() {
        reader.error("a method match needs `service` or `method`", None);
        return None;
    }
    for text in [&service, &method].into_iter().flatten() {
        if !is_regex && text.contains('/') {
            reader.error(format!("`{text}` cannot contain a slash"), None);
            return None;
        }
    }
    Some(GrpcMethod { service, method, is_regex })
}
