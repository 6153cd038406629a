//! `IngressRoute` and `IngressRouteTCP`.

use super::ObjectRef;
use super::service::{ServiceRef, TcpServiceRef};
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// `IngressRoute`: HTTP routers.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressRoute {
    /// Entry points; empty means all.
    pub entry_points: Vec<Spanned<Box<str>>>,
    /// Routers, at least one.
    pub routes: Vec<HttpRule>,
    /// Parents in a multi-layer setup.
    pub parent_refs: Vec<ObjectRef>,
    /// TLS; `None` serves plain connections.
    pub tls: Option<RouterTls>,
}

/// One router of an `IngressRoute`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRule {
    /// Where it begins.
    pub at: Pos,
    /// Rule expression.
    pub rule: Spanned<Box<str>>,
    /// 0 means the length of the rule.
    pub priority: i64,
    /// Rule language.
    pub syntax: Syntax,
    /// Applied in this order.
    pub middlewares: Vec<ObjectRef>,
    /// Weighted among each other.
    pub services: Vec<ServiceRef>,
}

/// Version of the rule language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// One value per matcher call.
    #[default]
    V3,
    /// Lists of values, `{name:regexp}` patterns.
    V2,
}

/// `tls` of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterTls {
    /// Where it begins.
    pub at: Pos,
    /// Secret with the certificate.
    pub secret_name: Option<Spanned<Box<str>>>,
    /// `TLSOption`.
    pub options: Option<ObjectRef>,
    /// `TLSStore`.
    pub store: Option<ObjectRef>,
    /// ACME resolver.
    pub cert_resolver: Option<Spanned<Box<str>>>,
    /// Names to get certificates for.
    pub domains: Vec<Domain>,
    /// TCP only: TLS goes through untouched.
    pub passthrough: bool,
}

/// Names of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Main name.
    pub main: Box<str>,
    /// Further names.
    pub sans: Vec<Box<str>>,
}

/// `IngressRouteTCP`: TCP routers.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressRouteTcp {
    /// Entry points; empty means all.
    pub entry_points: Vec<Spanned<Box<str>>>,
    /// Routers, at least one.
    pub routes: Vec<TcpRule>,
    /// TLS; `None` serves plain connections.
    pub tls: Option<RouterTls>,
}

/// One router of an `IngressRouteTCP`.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpRule {
    /// Where it begins.
    pub at: Pos,
    /// Rule expression.
    pub rule: Spanned<Box<str>>,
    /// 0 means the length of the rule.
    pub priority: i64,
    /// Rule language.
    pub syntax: Syntax,
    /// Applied in this order.
    pub middlewares: Vec<ObjectRef>,
    /// Weighted among each other.
    pub services: Vec<TcpServiceRef>,
}

/// Traefik keeps the thousand greatest priorities for itself.
pub const PRIORITY_MAX: i64 = i64::MAX - 1000;

// === impl IngressRoute ===

impl IngressRoute {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let entry_points = entry_points(r);
        r.skip("ingressClassName");
        let parent_refs = r.list("parentRefs", ObjectRef::read);
        let routes = r.require("routes").map(|routes| routes.list(HttpRule::read));
        let routes = routes.unwrap_or_default();
        let tls = r.take_even_null("tls").and_then(|tls| RouterTls::read(&tls, false));
        Some(Self { entry_points, routes, parent_refs, tls })
    }
}

// === impl HttpRule ===

impl HttpRule {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let at = field.at();
        field.nested(|r| {
            if let Some(kind) = r.take("kind") {
                kind.choice(&[("Rule", ())]);
            }
            let rule = r.require("match").and_then(|rule| rule.spanned_string());
            let priority = r.int("priority", i64::MIN, PRIORITY_MAX).unwrap_or(0);
            let syntax = syntax(r, "syntax");
            let middlewares = r.list("middlewares", ObjectRef::read);
            let services = r.list("services", ServiceRef::read);
            observability(r);
            Some(Self { at, rule: rule?, priority, syntax, middlewares, services })
        })
    }
}

// === impl IngressRouteTcp ===

impl IngressRouteTcp {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let entry_points = entry_points(r);
        r.skip("ingressClassName");
        let routes = r.require("routes").map(|routes| routes.list(TcpRule::read));
        let tls = r.take_even_null("tls").and_then(|tls| RouterTls::read(&tls, true));
        Some(Self { entry_points, routes: routes.unwrap_or_default(), tls })
    }
}

// === impl TcpRule ===

impl TcpRule {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let at = field.at();
        field.nested(|r| {
            let rule = r.require("match").and_then(|rule| rule.spanned_string());
            let priority = r.int("priority", i64::MIN, PRIORITY_MAX).unwrap_or(0);
            let syntax = syntax(r, "syntax");
            let middlewares = r.list("middlewares", ObjectRef::read);
            let services = r.list("services", TcpServiceRef::read);
            Some(Self { at, rule: rule?, priority, syntax, middlewares, services })
        })
    }
}

// === impl RouterTls ===

impl RouterTls {
    /// Reads `tls` of a custom resource; `tls:` and `tls: {}` turn TLS on too.
    pub fn read(field: &Field<'_, '_>, tcp: bool) -> Option<Self> {
        Self::read_with(field, tcp, true)
    }

    /// Reads `tls` of a router of the file provider, where options are a bare name.
    pub fn read_file(field: &Field<'_, '_>, tcp: bool) -> Option<Self> {
        Self::read_with(field, tcp, false)
    }

    fn read_with(field: &Field<'_, '_>, tcp: bool, custom: bool) -> Option<Self> {
        let mut tls = Self {
            at: field.key_at(),
            secret_name: None,
            options: None,
            store: None,
            cert_resolver: None,
            domains: Vec::new(),
            passthrough: false,
        };
        if field.is_null() {
            return Some(tls);
        }
        field.nested(|r| {
            if custom {
                tls.secret_name = r
                    .take("secretName")
                    .and_then(|name| name.spanned_string())
                    .filter(|name| !name.is_empty());
                tls.options = r.take("options").and_then(|options| ObjectRef::read(&options));
                tls.store = r.take("store").and_then(|store| ObjectRef::read(&store));
            } else {
                tls.options = r.take("options").and_then(|name| ObjectRef::read_name(&name));
            }
            tls.cert_resolver = r.take("certResolver").and_then(|name| name.spanned_string());
            tls.domains = r.list("domains", |domain| {
                domain.nested(|r| {
                    let sans = r.strings("sans");
                    Some(Domain { main: r.string_or_empty("main"), sans })
                })
            });
            if tcp {
                tls.passthrough = r.bool_or("passthrough", false);
            }
            Some(tls)
        })
    }
}

/// Takes `entryPoints`.
pub(super) fn entry_points(r: &Reader<'_, '_>) -> Vec<Spanned<Box<str>>> {
    r.list("entryPoints", |item| item.spanned_string())
}

/// Takes `syntax` or `ruleSyntax`.
pub(super) fn syntax(r: &Reader<'_, '_>, name: &'static str) -> Syntax {
    let choices = [("v3", Syntax::V3), ("v2", Syntax::V2), ("", Syntax::V3)];
    r.take(name).and_then(|field| field.choice(&choices)).unwrap_or_default()
}

/// Takes `observability`, which switches per router what we always have.
pub(super) fn observability(r: &Reader<'_, '_>) {
    r.nested("observability", |r| {
        for name in ["accessLogs", "metrics", "tracing"] {
            if r.bool(name) == Some(false) {
                r.warn(
                    format!("`{name}: false` has no effect: it is not switched per router"),
                    None,
                );
            }
        }
        let verbosities = [("minimal", false), ("detailed", true)];
        if let Some(field) = r.take("traceVerbosity")
            && field.choice(&verbosities) == Some(true)
        {
            field.warn("`traceVerbosity: detailed` has no effect: all spans are the same", None);
        }
        Some(())
    });
}
