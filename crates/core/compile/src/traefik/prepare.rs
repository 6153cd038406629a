//! What can be said of a resource by looking at it alone.

use std::sync::Arc;

use weft_model::listener::TlsOptions;
use weft_model::route::{Matcher, TcpMatcher};
use weft_resources::traefik::route::Syntax;
use weft_resources::{Kind, Pos, Problem, Resource, Severity, Spanned};
use weft_route::rule::{self, InvalidRule};

use super::{middleware, tls};

/// A resource, looked at alone.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What it became.
    pub(super) value: Value,
    /// What is wrong with it.
    pub(super) problems: Vec<Problem>,
}

/// What a resource became.
#[derive(Debug)]
pub(super) enum Value {
    /// A middleware.
    Middleware(middleware::Prepared),
    /// TLS options, without the authorities for client certificates.
    TlsOptions(Arc<TlsOptions>),
    /// Nothing that is worth keeping.
    None,
}

// === impl Prepared ===

impl Prepared {
    /// Of a resource that is fine and needs no preparation.
    pub(super) fn nothing() -> Self {
        Self { value: Value::None, problems: Vec::new() }
    }

    /// Whether it says nothing.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.value, Value::None) && self.problems.is_empty()
    }
}

/// Looks at a resource alone.
pub(super) fn prepare(resource: &Resource) -> Prepared {
    let mut problems = Problems { resource, list: Vec::new() };
    let value = match &resource.body {
        Kind::IngressRoute(route) => {
            if route.routes.is_empty() {
                problems.error(Pos::FIRST, "spec.routes", "there is no route").fix =
                    Some("write a route with `match` and `services`".into());
            }
            for (index, rule) in route.routes.iter().enumerate() {
                let path = format!("spec.routes[{index}].match");
                problems.extend(http_matcher(&rule.rule, rule.syntax), &rule.rule, &path);
            }
            Value::None
        }
        Kind::IngressRouteTcp(route) => {
            for (index, rule) in route.routes.iter().enumerate() {
                let path = format!("spec.routes[{index}].match");
                problems.extend(tcp_matcher(&rule.rule, rule.syntax), &rule.rule, &path);
            }
            Value::None
        }
        Kind::Router(router) => {
            let path = format!("http.routers.{}.rule", resource.name());
            problems.extend(http_matcher(&router.rule, router.syntax), &router.rule, &path);
            Value::None
        }
        Kind::RouterTcp(router) => {
            let path = format!("tcp.routers.{}.rule", resource.name());
            problems.extend(tcp_matcher(&router.rule, router.syntax), &router.rule, &path);
            Value::None
        }
        Kind::Middleware(middleware) => {
            Value::Middleware(middleware::prepare(resource, middleware, &mut problems))
        }
        Kind::TlsOption(option) => tls::prepare(option, &mut problems)
            .map_or(Value::None, |options| Value::TlsOptions(Arc::new(options))),
        _ => Value::None,
    };
    Prepared { value, problems: problems.list }
}

/// The condition of an HTTP router.
pub(super) fn http_matcher(rule: &str, syntax: Syntax) -> Result<Matcher, InvalidRule> {
    match syntax {
        Syntax::V3 => rule::parse_http(rule),
        Syntax::V2 => rule::parse_http_v2(rule),
    }
}

/// The condition of a TCP router.
pub(super) fn tcp_matcher(rule: &str, syntax: Syntax) -> Result<TcpMatcher, InvalidRule> {
    match syntax {
        Syntax::V3 => rule::parse_tcp(rule),
        Syntax::V2 => rule::parse_tcp_v2(rule),
    }
}

/// Problems of one resource while it is looked at.
pub(super) struct Problems<'a> {
    resource: &'a Resource,
    /// What was found so far.
    pub(super) list: Vec<Problem>,
}

impl Problems<'_> {
    /// Adds one.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        at: Pos,
        path: impl Into<Box<str>>,
        message: impl Into<Box<str>>,
    ) -> &mut Problem {
        self.list.push(Problem::new(severity, &self.resource.file, at, path, message));
        self.list.last_mut().expect("one was just added")
    }

    /// Adds an error.
    pub(super) fn error(
        &mut self,
        at: Pos,
        path: impl Into<Box<str>>,
        message: impl Into<Box<str>>,
    ) -> &mut Problem {
        self.add(Severity::Error, at, path, message)
    }

    /// Adds a warning.
    pub(super) fn warn(
        &mut self,
        at: Pos,
        path: impl Into<Box<str>>,
        message: impl Into<Box<str>>,
    ) -> &mut Problem {
        self.add(Severity::Warning, at, path, message)
    }

    fn extend<T>(&mut self, parsed: Result<T, InvalidRule>, rule: &Spanned<Box<str>>, path: &str) {
        let Err(error) = parsed else { return };
        let before = rule.value.get(..error.offset()).unwrap_or(&rule.value);
        // Rules are usually one plain line; then the column is exact.
        let column = if before.contains('\n') { 0 } else { before.chars().count() as u32 };
        let at = Pos { line: rule.at.line, column: rule.at.column + column };
        let fix = error.remedy().map(Into::into);
        let message = format!(
            "invalid rule: {}; requests that it was meant for go to other routers that take them, \
             or to none",
            error.problem()
        );
        self.error(at, path, message).fix = fix;
    }
}
