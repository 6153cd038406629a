//! Ingress and IngressClass.

use super::service::PortRef;
use crate::problem::Pos;
use crate::read::Reader;
use crate::resource::Spanned;

/// An Ingress (networking.k8s.io/v1).
#[derive(Debug, Clone, PartialEq)]
pub struct Ingress {
    /// `spec.ingressClassName`.
    pub class: Option<Box<str>>,
    /// Takes what no rule of any Ingress takes.
    pub default_backend: Option<IngressBackend>,
    /// Rules by host.
    pub rules: Vec<IngressRule>,
    /// Certificates.
    pub tls: Vec<IngressTls>,
}

/// Rules of one host.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressRule {
    /// Exact, or `*.` for one label; empty for every host.
    pub host: Spanned<Box<str>>,
    /// Paths. None at all sends the whole host to the default backend.
    pub paths: Vec<IngressPath>,
}

/// One path.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressPath {
    /// Path; `/` when absent.
    pub path: Box<str>,
    /// How it is compared.
    pub path_type: PathType,
    /// Where it leads.
    pub backend: IngressBackend,
    /// Where it is written.
    pub at: Pos,
}

/// How a path of an Ingress is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathType {
    /// All of it.
    Exact,
    /// By whole elements.
    Prefix,
    /// As the implementation likes.
    ImplementationSpecific,
}

/// Where an Ingress leads.
#[derive(Debug, Clone, PartialEq)]
pub enum IngressBackend {
    /// A Service of the same namespace.
    Service {
        /// Its name.
        name: Box<str>,
        /// Its port.
        port: PortRef,
        /// Where it is written.
        at: Pos,
    },
    /// Another object of the same namespace.
    Resource {
        /// `Kind name`, for messages.
        what: Box<str>,
        /// Where it is written.
        at: Pos,
    },
}

/// A certificate and the hosts it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressTls {
    /// Hosts; those of the certificate when empty.
    pub hosts: Vec<Spanned<Box<str>>>,
    /// Secret of the same namespace; the default certificate when absent.
    pub secret: Option<Spanned<Box<str>>>,
}

/// An IngressClass (networking.k8s.io/v1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressClass {
    /// Who serves it, such as `traefik.io/ingress-controller`.
    pub controller: Box<str>,
}

// === impl IngressBackend ===

impl IngressBackend {
    /// Where it is written.
    pub fn at(&self) -> Pos {
        match self {
            Self::Service { at, .. } | Self::Resource { at, .. } => *at,
        }
    }
}

/// Reads an Ingress.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Ingress> {
    reader.require("spec")?.nested(|spec| {
        let class = spec.string("ingressClassName").filter(|name| !name.is_empty());
        let default_backend = spec.nested("defaultBackend", backend);
        let rules = spec.list("rules", |item| item.nested(rule));
        let tls = spec.list("tls", |item| item.nested(tls));
        Some(Ingress { class, default_backend, rules, tls })
    })
}

/// Reads an IngressClass.
pub(crate) fn read_class(reader: &Reader<'_, '_>) -> Option<IngressClass> {
    reader.require("spec")?.nested(|spec| {
        spec.ignored("parameters", "no parameters of an IngressClass are known");
        Some(IngressClass { controller: spec.require_string("controller")? })
    })
}

fn rule(reader: &Reader<'_, '_>) -> Option<IngressRule> {
    let at = reader.at();
    let host = reader.take("host").and_then(|field| field.spanned_string());
    let host = host.unwrap_or_else(|| Spanned::new("".into(), at));
    let paths = reader.nested("http", |http| {
        http.require("paths").map(|paths| paths.list(|item| item.nested(path)))
    });
    Some(IngressRule { host, paths: paths.unwrap_or_default() })
}

fn path(reader: &Reader<'_, '_>) -> Option<IngressPath> {
    let choices = [
        ("Exact", PathType::Exact),
        ("Prefix", PathType::Prefix),
        ("ImplementationSpecific", PathType::ImplementationSpecific),
    ];
    let path_type = reader.require("pathType").and_then(|field| field.choice(&choices));
    let field = reader.take("path");
    let path = match &field {
        Some(field) => field.string()?,
        None => "".into(),
    };
    let backend = reader.require("backend").and_then(|field| field.nested(backend));
    let (path_type, backend) = (path_type?, backend?);
    let may_be_empty = path_type != PathType::Exact;
    let is_fine = path.starts_with('/') || path.is_empty() && may_be_empty;
    if !is_fine {
        let fix = Some("write a path that begins with `/`".into());
        reader.error(format!("`{path}` is not an absolute path"), fix);
        return None;
    }
    let path = if path.is_empty() { "/".into() } else { path };
    Some(IngressPath { path, path_type, backend, at: reader.at() })
}

fn backend(reader: &Reader<'_, '_>) -> Option<IngressBackend> {
    let at = reader.at();
    let service = reader.nested("service", |service| {
        let port = service.require("port").and_then(|field| field.nested(service_port));
        Some(IngressBackend::Service { name: service.require_string("name")?, port: port?, at })
    });
    let resource = reader.nested("resource", |resource| {
        resource.skip("apiGroup");
        let kind = resource.require_string("kind");
        let name = resource.require_string("name");
        Some(IngressBackend::Resource { what: format!("{} {}", kind?, name?).into(), at })
    });
    if !reader.has("service") && !reader.has("resource") {
        reader.error("a backend needs `service` or `resource`", None);
    } else if service.is_some() && resource.is_some() {
        reader.error("a backend has either `service` or `resource`, not both", None);
        return None;
    }
    service.or(resource)
}

fn service_port(reader: &Reader<'_, '_>) -> Option<PortRef> {
    let number = reader.take("number").and_then(|field| field.port()).map(PortRef::Number);
    let name = reader.string("name").filter(|name| !name.is_empty()).map(PortRef::Name);
    match (number, name) {
        (Some(_), Some(_)) => {
            reader.error("a port has either `number` or `name`, not both", None);
            None
        }
        (None, None) => {
            reader.error("a port needs `number` or `name`", None);
            None
        }
        (number, name) => number.or(name),
    }
}

fn tls(reader: &Reader<'_, '_>) -> Option<IngressTls> {
    let hosts = reader.list("hosts", |item| item.spanned_string());
    let secret = reader.take("secretName").and_then(|field| field.spanned_string());
    Some(IngressTls { hosts, secret: secret.filter(|name| !name.value.is_empty()) })
}
