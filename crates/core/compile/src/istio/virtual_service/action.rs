//! What becomes of requests: steps and targets.

use std::sync::Arc;

use weft_message::FieldName;
use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_model::policy::{
    Abort, Cors, Fault, FixedAnswer, HeaderEdits, MadeHeader, PathRewrite, Redirect, Refusal,
    Rewrite, Step, StepKind, ValuePart,
};
use weft_model::route::{Choice, Target, Weighted};
use weft_model::text::Pattern;
use weft_policy::fields::is_settable;
use weft_resources::Pos;
use weft_resources::istio::header::{HeaderOps, HeaderValue};
use weft_resources::istio::value::Percent;
use weft_resources::istio::virtual_service::{
    self as written, AbortStatus, HttpAction, HttpRoute, RedirectPath, RedirectPort,
    RedirectScheme, RouteDestination, StringMatch, UnmatchedPreflights,
};

use super::Surroundings;
use super::delegate::Ruled;
use super::format::{self, Side};
use super::retry;
use crate::context::Output;
use crate::remark::Place;

/// What a condition names of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prefix {
    /// All of it.
    Whole,
    /// Its beginning.
    Part {
        /// In canonical form.
        text: Box<str>,
        /// Whether upper and lower case are the same.
        ignores_case: bool,
    },
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(super) struct Acts {
    pub(super) steps: Arc<[Arc<Step>]>,
    pub(super) target: Target,
}

/// What steps are made with.
struct Maker<'m> {
    around: &'m dyn Surroundings,
    ruled: &'m Ruled<'m>,
    out: &'m mut Output,
    steps: Vec<Arc<Step>>,
    id: String,
}

/// Whether what is done depends on the part of the path that a condition names.
pub(super) fn replaces_path(route: &HttpRoute) -> bool {
    let rewrites = route.rewrite.as_ref().is_some_and(|rewrite| rewrite.path.is_some());
    rewrites || matches!(route.action, HttpAction::Redirect(_))
}

/// What is done with requests whose path has that part.
pub(super) fn acts(
    around: &dyn Surroundings,
    ruled: &Ruled<'_>,
    prefix: Option<&Prefix>,
    out: &mut Output,
) -> Acts {
    let mut maker = Maker { around, ruled, out, steps: Vec::new(), id: ruled.id.clone() };
    let route = &*ruled.route;
    if let Some(retries) = &route.retries {
        let path = format!("{}.retries", ruled.path);
        retry::remark(retries, Place::new(ruled.document, retries.at, &path), maker.out);
    }
    maker.fault(route);
    maker.cors(route);
    maker.response_headers(&route.headers.response);
    let target = match &route.action {
        HttpAction::Route(destinations) => {
            let is_inner = destinations.iter().any(|one| !one.headers.request.is_empty());
            // What a destination does to requests comes before what the rule does.
            let moved = is_inner.then_some(&route.headers.request);
            if !is_inner {
                maker.request_headers(&route.headers.request);
            }
            maker.rewrite(route, prefix);
            maker.mirrors(route);
            maker.target(destinations, moved)
        }
        HttpAction::Redirect(redirect) => {
            let kind = maker.redirect(redirect, prefix);
            maker.step("redirect", kind);
            answered(&ruled.id)
        }
        HttpAction::Respond(answer) => {
            let body = Arc::from(&*answer.body);
            maker.step("answer", StepKind::Respond(FixedAnswer { status: answer.status, body }));
            answered(&ruled.id)
        }
        HttpAction::Delegate(_) => answered(&ruled.id),
    };
    Acts { steps: maker.steps.into(), target }
}

/// The target of a rule whose steps answer.
fn answered(id: &str) -> Target {
    let detail = format!("{id} answers by itself").into();
    Target::Refuse(Refusal { reason: Reason::NoEndpoint, detail })
}

/// The value, where it is the same for every message.
fn text(parts: &[ValuePart]) -> Option<Box<str>> {
    match parts {
        [] => Some("".into()),
        [ValuePart::Text(text)] => Some(text.clone()),
        _ => None,
    }
}

/// A share in parts per million.
fn parts_per_million(percent: Percent) -> u32 {
    (percent.value() * 10_000.0).round() as u32
}

// === impl Maker ===

impl Maker<'_> {
    fn step(&mut self, name: &str, kind: StepKind) {
        let id = PolicyId::new(format!("{}/{name}", self.id));
        self.steps.push(Arc::new(Step { id, kind }));
    }

    /// Reports something at a field of the rule.
    fn error(&mut self, at: Pos, field: &str, message: impl Into<Box<str>>) {
        let path = format!("{}.{field}", self.ruled.path);
        Place::new(self.ruled.document, at, &path).error(self.out, message);
    }

    fn warn(&mut self, at: Pos, field: &str, message: impl Into<Box<str>>) {
        let path = format!("{}.{field}", self.ruled.path);
        Place::new(self.ruled.document, at, &path).warn(self.out, message);
    }

    fn fault(&mut self, route: &HttpRoute) {
        let Some(fault) = &route.fault else { return };
        let delay = fault.delay.map(|delay| (delay.duration, parts_per_million(delay.percent)));
        let abort = fault.abort.map(|abort| {
            let status = match abort.status {
                AbortStatus::Http(status) => Abort::Http(status),
                AbortStatus::Grpc(code) => Abort::Grpc(code.into()),
            };
            (status, parts_per_million(abort.percent))
        });
        let is_never = |share: Option<u32>| share == Some(0);
        if is_never(delay.map(|(_, share)| share)) || is_never(abort.map(|(_, share)| share)) {
            let message = "without a `percentage` above 0 a fault is never made";
            self.warn(fault.at, "fault", message);
        }
        let (delay, abort) =
            (delay.filter(|(_, share)| *share > 0), abort.filter(|(_, share)| *share > 0));
        if delay.is_some() || abort.is_some() {
            self.step("fault", StepKind::Fault(Fault { delay, abort }));
        }
    }

    fn cors(&mut self, route: &HttpRoute) {
        let Some(policy) = &route.cors else { return };
        let mut cors = Cors {
            allow_methods: policy.allow_methods.clone(),
            allow_headers: policy.allow_headers.clone(),
            expose_headers: policy.expose_headers.clone(),
            allow_credentials: policy.allow_credentials.unwrap_or(false),
            max_age_secs: policy
                .max_age
                .map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
            answer_all_preflights: policy.unmatched_preflights == UnmatchedPreflights::Answer,
            ..Cors::default()
        };
        for origin in &policy.allow_origins {
            let pattern = match &origin.value {
                StringMatch::Exact(text) => {
                    cors.allow_origins.push(text.clone());
                    continue;
                }
                StringMatch::Prefix(text) => Pattern::new(&format!("^{}", regex::escape(text))),
                StringMatch::Regex(text) => Pattern::anchored(text),
            };
            match pattern {
                Ok(pattern) => cors.allow_origin_patterns.push(pattern),
                Err(error) => {
                    self.error(origin.at, "corsPolicy.allowOrigins", error.to_string());
                }
            }
        }
        self.step("cors", StepKind::Cors(cors));
    }

    /// Edits of requests; the authority is a rewrite.
    fn request_headers(&mut self, ops: &HeaderOps) {
        let edits = self.edits(ops, Side::Request);
        for (index, edits) in edits.into_iter().enumerate() {
            self.step(&format!("request-headers-{index}"), StepKind::RequestHeaders(edits));
        }
        if let Some(authority) = ops.authority()
            && let Some(parts) = self.value(authority, Side::Request)
        {
            let Some(host) = text(&parts) else {
                let message = "the authority stays as it is: nothing is filled in here";
                return self.error(authority.name.at, "headers", message);
            };
            let rewrite = Rewrite { host: Some(host), path: None };
            self.step("host", StepKind::Rewrite(rewrite));
        }
    }

    fn response_headers(&mut self, ops: &HeaderOps) {
        // Answers pass the steps backwards.
        let edits = self.edits(ops, Side::Response);
        for (index, edits) in edits.into_iter().enumerate().rev() {
            self.step(&format!("response-headers-{index}"), StepKind::ResponseHeaders(edits));
        }
    }

    /// Edits in the order of Envoy: what is removed first may be set after that.
    fn edits(&mut self, ops: &HeaderOps, side: Side) -> Vec<HeaderEdits> {
        let mut removed = HeaderEdits::default();
        let mut edits = HeaderEdits::default();
        for name in &ops.remove {
            removed.remove.extend(self.field(&name.value, name.at));
        }
        for (values, adds) in [(&ops.set, false), (&ops.add, true)] {
            for header in values.iter().filter(|header| **header.name != *"host") {
                let field = self.field(&header.name.value, header.name.at);
                let (Some(name), Some(parts)) = (field, self.value(header, side)) else { continue };
                match text(&parts) {
                    Some(value) if adds => edits.add.push((name, value)),
                    Some(value) => edits.set.push((name, value)),
                    None => edits.made.push(MadeHeader { name, adds, parts }),
                }
            }
        }
        let is_again = |name: &FieldName| {
            let mut names = edits.set.iter().chain(&edits.add).map(|(other, _)| other);
            names.any(|other| other == name) || edits.made.iter().any(|made| made.name == *name)
        };
        if !removed.remove.iter().any(is_again) {
            edits.remove = std::mem::take(&mut removed.remove);
        }
        let is_something = |edits: &HeaderEdits| *edits != HeaderEdits::default();
        [removed, edits].into_iter().filter(is_something).collect()
    }

    fn field(&mut self, name: &str, at: Pos) -> Option<FieldName> {
        match FieldName::new(name) {
            Ok(field) if is_settable(&field) => Some(field),
            Ok(_) => {
                let message = format!(
                    "the header `{name}` stays as it is: it frames the message or belongs to the \
                     connection"
                );
                self.error(at, "headers", message);
                None
            }
            Err(error) => {
                self.error(at, "headers", format!("`{name}` is not a header name: {error}"));
                None
            }
        }
    }

    /// The value of a header, unless there is something to fill in that is not known.
    fn value(&mut self, header: &HeaderValue, side: Side) -> Option<Vec<ValuePart>> {
        let unknown = match format::parts(&header.value, side) {
            Ok(parts) => return Some(parts),
            Err(unknown) => unknown,
        };
        let message = format!(
            "the header `{}` is left alone: `{unknown}` is not filled in here",
            *header.name
        );
        self.error(header.name.at, "headers", message);
        None
    }

    fn rewrite(&mut self, route: &HttpRoute, prefix: Option<&Prefix>) {
        let Some(rewrite) = &route.rewrite else { return };
        let host = rewrite.authority.as_ref().map(|authority| authority.value.clone());
        let path = rewrite.path.as_ref().and_then(|path| match &path.value {
            written::PathRewrite::Replace(text) => self.replaced(text, path.at, prefix),
            written::PathRewrite::Regex { pattern, substitution } => match Pattern::new(pattern) {
                Ok(pattern) => {
                    let replacement = template(substitution);
                    Some(PathRewrite::Regex { pattern, replacement })
                }
                Err(error) => {
                    self.error(pattern.at, "rewrite.uriRegexRewrite", error.to_string());
                    None
                }
            },
        });
        if host.is_some() || path.is_some() {
            self.step("rewrite", StepKind::Rewrite(Rewrite { host, path }));
        }
    }

    /// A path in place of the part that a condition names.
    fn replaced(&mut self, text: &str, at: Pos, prefix: Option<&Prefix>) -> Option<PathRewrite> {
        let root = Prefix::Part { text: "/".into(), ignores_case: false };
        match prefix.unwrap_or(&root) {
            Prefix::Whole => Some(PathRewrite::Full(text.into())),
            Prefix::Part { text: matched, ignores_case } => {
                if **matched == *"/" && !text.ends_with('/') {
                    let message = format!(
                        "without a prefix in `match.uri`, `{text}` takes the place of the first slash: \
                         /a becomes {text}a"
                    );
                    self.warn(at, "rewrite.uri", message);
                }
                // Where the prefix ends within an element and its replacement does not, the slash
                // between them is not doubled.
                let slash = if text.ends_with('/') && !matched.ends_with('/') { "/?" } else { "" };
                let fold = if *ignores_case { "(?i)" } else { "" };
                let pattern = Pattern::new(&format!("{fold}^{}{slash}", regex::escape(matched)));
                let replacement = text.replace('$', "$$").into();
                pattern.ok().map(|pattern| PathRewrite::Regex { pattern, replacement })
            }
        }
    }

    fn mirrors(&mut self, route: &HttpRoute) {
        let document = self.ruled.document;
        for (index, mirror) in route.mirrors.iter().enumerate() {
            let path = format!("{}.mirrors[{index}]", self.ruled.path);
            let place = Place::new(document, mirror.at, &path);
            match self.around.backend(document, &mirror.destination, place, self.out) {
                Ok(backend) => {
                    let parts_per_million = parts_per_million(mirror.percent);
                    let kind = StepKind::Mirror { parts_per_million, backend, compared: None };
                    self.step(&format!("mirror-{index}"), kind);
                }
                // A copy that nobody can get is no reason to refuse the original.
                Err(refusal) => {
                    let message = format!("nothing is mirrored: {}", refusal.detail);
                    place.error(self.out, message);
                }
            }
        }
    }

    /// Where requests go; `moved` is what the rule does to requests after each destination has.
    fn target(&mut self, destinations: &[RouteDestination], moved: Option<&HeaderOps>) -> Target {
        let mut choices: Vec<Choice> = Vec::new();
        let (outer, id) = (std::mem::take(&mut self.steps), self.id.clone());
        for (index, destination) in destinations.iter().enumerate() {
            self.id = format!("{id}/route-{index}");
            self.response_headers(&destination.headers.response);
            self.request_headers(&destination.headers.request);
            self.id = format!("{id}/route-{index}/rule");
            if let Some(ops) = moved {
                self.request_headers(ops);
            }
            let steps = std::mem::take(&mut self.steps);
            let (name, target) = self.destination(index, destination);
            choices.push(Choice { name, weight: destination.weight, steps: steps.into(), target });
        }
        (self.steps, self.id) = (outer, id);
        if let [single] = choices.as_slice()
            && single.steps.is_empty()
        {
            return single.target.clone();
        }
        Target::Weighted(Arc::new(Weighted { choices, sticky: None }))
    }

    fn destination(&mut self, index: usize, found: &RouteDestination) -> (Box<str>, Target) {
        let path = format!("{}.route[{index}].destination", self.ruled.path);
        let place = Place::new(self.ruled.document, found.destination.host.at, &path);
        target(self.around, self.ruled.document, found, place, self.out)
    }

    fn redirect(&mut self, redirect: &written::Redirect, prefix: Option<&Prefix>) -> StepKind {
        let path = redirect.path.as_ref().and_then(|path| match &path.value {
            RedirectPath::Full(text) => Some(PathRewrite::Full(text.clone())),
            RedirectPath::Prefix(text) => self.replaced(text, path.at, prefix),
        });
        let scheme = redirect.scheme.map(|scheme| match scheme.value {
            RedirectScheme::Http => "http",
            RedirectScheme::Https => "https",
        });
        let is_tls = scheme.map_or(self.around.is_tls(), |scheme| scheme == "https");
        let port = redirect.port.and_then(|port| match port.value {
            RedirectPort::Number(number) => Some(number),
            RedirectPort::OfScheme => Some(if is_tls { 443 } else { 80 }),
            RedirectPort::OfRequest => self.around.port(),
        });
        let (host, own_port) = match redirect.authority.as_ref().map(|host| &*host.value) {
            Some(authority) => match authority.rsplit_once(':') {
                Some((host, port)) if !host.ends_with(':') => (Some(host), port.parse().ok()),
                _ => (Some(authority), None),
            },
            None => (None, None),
        };
        // Who is sent to another host is sent to the usual port there, others stay at theirs.
        let usual = match (host, scheme) {
            (Some(_), _) => Some(if is_tls { 443 } else { 80 }),
            (None, None) => self.around.port(),
            (None, Some(_)) => None,
        };
        StepKind::Redirect(Redirect {
            scheme: scheme.map(Into::into),
            host: host.map(Into::into),
            port: port.or(own_port).or(usual),
            path,
            status: redirect.status,
        })
    }
}

/// A destination, and what it is called among its siblings.
pub(super) fn target(
    around: &dyn Surroundings,
    document: &weft_resources::Resource,
    found: &RouteDestination,
    place: Place<'_>,
    out: &mut Output,
) -> (Box<str>, Target) {
    let destination = &found.destination;
    let subset = destination.subset.as_ref().map(|subset| format!("/{}", **subset));
    let port = destination.port.map(|port| format!(":{}", port.value));
    let name =
        format!("{}{}{}", *destination.host, port.unwrap_or_default(), subset.unwrap_or_default());
    let target = match around.backend(document, destination, place, out) {
        Ok(backend) => Target::Backend(backend),
        Err(refusal) => {
            place.error(out, &*refusal.detail);
            Target::Refuse(refusal)
        }
    };
    (name.into(), target)
}

/// `\1` as `$1`.
fn template(substitution: &str) -> Box<str> {
    let mut text = String::with_capacity(substitution.len());
    let mut chars = substitution.chars();
    while let Some(next) = chars.next() {
        match next {
            '$' => text.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => text.push_str(&format!("${{{digit}}}")),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text.into()
}
