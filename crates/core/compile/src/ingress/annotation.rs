//! Traefik's annotations of Ingress.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::route::RouterTls;
use weft_resources::{Annotation, Pos, Resource, Spanned};

use crate::context::Output;
use crate::remark::Place;
use crate::traefik::Borrower;

/// What all of them begin with.
pub(super) const PREFIX: &str = "traefik.ingress.kubernetes.io/";

/// Ports of plain HTTP and of TLS where no entry point is named.
const PORTS: (u16, u16) = (80, 443);

/// What the annotations of an Ingress say.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// `router.middlewares`.
    pub(super) middlewares: Vec<ObjectRef>,
    /// `router.priority`; 0 means none.
    pub(super) priority: Option<i64>,
    /// `router.pathmatcher`.
    pub(super) path_matcher: PathMatcher,
    /// `router.tls`.
    pub(super) tls: bool,
    entry_points: Vec<Spanned<Box<str>>>,
    tls_options: Option<ObjectRef>,
    cert_resolver: Option<Spanned<Box<str>>>,
}

/// An address that serves an Ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// The address.
    pub(super) addr: SocketAddr,
    /// For TLS connections.
    pub(super) is_tls: bool,
    /// The port that plain requests are redirected to where there is TLS.
    pub(super) https_port: Option<u16>,
}

/// How paths of type ImplementationSpecific are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PathMatcher {
    /// All of it.
    Path,
    /// Its beginning, character by character.
    #[default]
    PathPrefix,
    /// By pattern.
    PathRegexp,
}

/// The path of an annotation, for messages.
pub(super) fn path(name: &str) -> String {
    format!("metadata.annotations[{PREFIX}{name}]")
}

/// Names in a list with commas.
pub(super) fn references(text: &str, at: Pos) -> Vec<ObjectRef> {
    names(text).map(|name| ObjectRef { name: name.into(), namespace: None, at }).collect()
}

/// `true` and `false` as Go reads them.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

// === impl Annotations ===

impl Annotations {
    /// Reads them and says what has no effect.
    pub(super) fn read(resource: &Resource, out: &mut Output) -> Self {
        let mut read = Self::default();
        for annotation in &resource.annotations {
            if let Some(name) = annotation.name.strip_prefix(PREFIX) {
                read.one(name, annotation, resource, out);
            }
        }
        read
    }

    fn one(&mut self, name: &str, written: &Annotation, resource: &Resource, out: &mut Output) {
        let Annotation { value, at, .. } = written;
        let path = path(name);
        let place = Place::new(resource, *at, &path);
        match name {
            "router.entrypoints" => {
                let named = names(value).map(|name| Spanned::new(name.into(), *at));
                self.entry_points = named.collect();
            }
            "router.middlewares" => self.middlewares = references(value, *at),
            "router.priority" => match value.trim().parse::<i64>() {
                Ok(priority) => self.priority = Some(priority).filter(|priority| *priority != 0),
                Err(_) => place.error_with(
                    out,
                    format!(
                        "`{value}` is not a whole number; the length of the rule is the priority"
                    ),
                    "write a number such as \"10\"",
                ),
            },
            "router.pathmatcher" => match value.trim().to_ascii_lowercase().as_str() {
                "path" => self.path_matcher = PathMatcher::Path,
                "pathprefix" => self.path_matcher = PathMatcher::PathPrefix,
                "pathregexp" => self.path_matcher = PathMatcher::PathRegexp,
                _ => place.error_with(
                    out,
                    format!("`{value}` is not a matcher of paths"),
                    "use Path, PathPrefix or PathRegexp",
                ),
            },
            "router.rulesyntax" => {
                if !matches!(value.trim(), "v3" | "default") {
                    place.warn(out, "it has no effect: an Ingress is read the same in both");
                }
            }
            "router.tls" => match boolean(value) {
                Some(tls) => self.tls = tls,
                None => place.error_with(
                    out,
                    format!("`{value}` is neither true nor false"),
                    "write \"true\" or \"false\"",
                ),
            },
            "router.tls.options" => self.tls_options = references(value, *at).into_iter().next(),
            "router.tls.certresolver" => {
                self.cert_resolver = Some(Spanned::new(value.clone(), *at));
            }
            _ if name.starts_with("router.tls.domains.") => {
                place.warn(out, "it has no effect: certificates are not fetched here");
            }
            _ if name.starts_with("router.observability.") => {
                place.warn(out, "it has no effect: every route is observed the same way");
            }
            _ if name.starts_with("service.") => {
                let fix = "put it on the Service";
                place.warn_with(out, "it has no effect on an Ingress", fix);
            }
            _ => place.warn(out, "it is not known and has no effect"),
        }
    }

    /// TLS as a router would ask for it.
    pub(super) fn router_tls(&self) -> RouterTls {
        let resolver = self.cert_resolver.as_ref().map(|resolver| resolver.at);
        let at = self.tls_options.as_ref().map(|options| options.at).or(resolver);
        RouterTls {
            at: at.unwrap_or(Pos::FIRST),
            secret_name: None,
            options: self.tls_options.clone(),
            store: None,
            cert_resolver: self.cert_resolver.clone(),
            domains: Vec::new(),
            passthrough: false,
        }
    }

    /// Addresses that serve an Ingress. An entry point that is named serves it in one way only.
    pub(super) fn placement(
        &self,
        borrower: Borrower<'_>,
        has_tls: bool,
        out: &mut Output,
    ) -> Vec<Placement> {
        let options = borrower.context.options;
        if self.entry_points.is_empty() {
            let (http, https) = (options.bind(PORTS.0), options.bind(PORTS.1));
            let https_port = has_tls.then_some(https.port());
            let mut all = vec![Placement { addr: http, is_tls: false, https_port }];
            if has_tls {
                all.push(Placement { addr: https, is_tls: true, https_port: None });
            }
            return all;
        }
        let mut all = Vec::new();
        for name in &self.entry_points {
            match options.entry_points.iter().find(|known| known.name == name.value) {
                Some(known) => {
                    let is_tls = known.tls || has_tls;
                    all.push(Placement { addr: known.addr, is_tls, https_port: None });
                }
                None => self.no_entry_point(name, borrower.resource, out),
            }
        }
        all
    }

    fn no_entry_point(&self, name: &Spanned<Box<str>>, resource: &Arc<Resource>, out: &mut Output) {
        let path = path("router.entrypoints");
        let place = Place::new(resource, name.at, &path);
        let fix = format!("start with --entry-point {}=ADDR", name.value);
        place.error_with(out, format!("there is no entry point `{}`", name.value), &fix);
    }
}
