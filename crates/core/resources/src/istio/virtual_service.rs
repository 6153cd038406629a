//! VirtualService.

mod action;
mod condition;
mod cors;
mod fault;
mod http;
mod l4;
mod mirror;
mod retry;
#[cfg(test)]
mod tests;

use super::value::{ExportTo, has_items, host, is_label};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

pub use action::{
    Delegate, DirectResponse, HttpAction, PathRewrite, Redirect, RedirectPath, RedirectPort,
    RedirectScheme, Rewrite,
};
pub use condition::{CallMatch, HttpMatch, NamedMatch, StringMatch, ValueMatch};
pub use cors::{Cors, UnmatchedPreflights};
pub use fault::{Abort, AbortStatus, Delay, Fault};
pub use http::{HttpRoute, RouteDestination};
pub use l4::{L4Match, TcpRoute, TlsMatch, TlsRoute};
pub use mirror::Mirror;
pub use retry::{DEFAULT_RETRY_ON, Retries, RetryCondition};

/// A VirtualService: where calls of hosts go.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualService {
    /// Hosts, lower case; none in a table that others delegate to.
    pub hosts: Vec<Spanned<Box<str>>>,
    /// What it is for: the sidecars alone where it says nothing.
    pub gateways: Vec<Spanned<GatewayRef>>,
    /// Who sees it; `None` leaves it to MeshConfig.
    pub export_to: Option<Spanned<ExportTo>>,
    /// Rules for HTTP, of which the first that fits holds.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS that is not terminated, likewise.
    pub tls: Vec<TlsRoute>,
    /// Rules for all else, likewise.
    pub tcp: Vec<TcpRoute>,
}

/// What a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayRef {
    /// The sidecars (`mesh`).
    Mesh,
    /// An Istio Gateway.
    Named {
        /// Its namespace; `None` for that of the document.
        namespace: Option<Box<str>>,
        /// Its name.
        name: Box<str>,
    },
}

// === impl VirtualService ===

impl VirtualService {
    /// Whether it is a table that others delegate to.
    pub fn is_delegate(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether it is for sidecars, unless it is a table that others delegate to.
    pub fn is_for_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|one| one.value == GatewayRef::Mesh)
    }
}

// === impl GatewayRef ===

impl GatewayRef {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let text = field.non_empty_string()?;
        if &*text == "mesh" {
            return Some(Self::Mesh);
        }
        let named = |namespace: Option<&str>, name: &str| {
            Some(Self::Named { namespace: namespace.map(Into::into), name: name.into() })
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace) && is_label(name) => {
                return named(Some(namespace), name);
            }
            None if is_label(&text) => return named(None, &text),
            Some(_) => {}
            // As they were written before there were namespaces in them.
            None => {
                let mut parts = text.split('.');
                if let (Some(name), Some(namespace)) = (parts.next(), parts.next())
                    && is_label(name)
                    && is_label(namespace)
                {
                    let fix = Some(format!("write {namespace}/{name}"));
                    field.warn(format!("`{text}` is the old way to name a gateway"), fix);
                    return named(Some(namespace), name);
                }
            }
        }
        let fix = Some("write NAME, NAMESPACE/NAME or mesh".into());
        field.error(format!("`{text}` does not name a gateway"), fix);
        None
    }

    /// Takes `gateways`.
    fn take_all(reader: &Reader<'_, '_>) -> Vec<Spanned<Self>> {
        reader.list("gateways", |item| Some(item.spanned(Self::read(item)?)))
    }
}

/// Reads a VirtualService.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<VirtualService> {
    reader.require("spec")?.nested(|spec| {
        let hosts = spec.list("hosts", |item| Some(item.spanned(host(item)?)));
        let gateways = GatewayRef::take_all(spec);
        let export_to = ExportTo::take_some(spec);
        let service = VirtualService {
            export_to,
            http: spec.list("http", |item| item.nested(HttpRoute::read)),
            tls: spec.list("tls", |item| item.nested(TlsRoute::read)),
            tcp: spec.list("tcp", |item| item.nested(TcpRoute::read)),
            hosts,
            gateways,
        };
        check(spec, &service);
        Some(service)
    })
}

/// What has to hold of a VirtualService as a whole.
fn check(spec: &Reader<'_, '_>, service: &VirtualService) {
    if !["http", "tls", "tcp"].into_iter().any(|name| has_items(spec, name)) {
        spec.error("a VirtualService needs `http`, `tls` or `tcp`", None);
    }
    if !has_items(spec, "hosts") {
        check_delegate(spec, service);
    }
    for (index, host) in service.hosts.iter().enumerate() {
        let overlaps = |other: &&Spanned<Box<str>>| covers(other, host) || covers(host, other);
        if let Some(other) = service.hosts[..index].iter().find(overlaps) {
            spec.error(format!("`{}` is there already as `{}`", host.value, other.value), None);
        }
        if *host.value == *"*" && service.is_for_mesh() {
            let fix = "name the hosts, or the gateways that it is for".into();
            spec.error("the host `*` is for gateways alone", Some(fix));
        }
    }
    let matches = service.http.iter().flat_map(|route| &route.matches);
    let names = matches.flat_map(|one| one.headers.iter().chain(&one.without_headers));
    if let Some(claim) = names.map(|one| &one.name).find(|name| name.starts_with('@'))
        && !service.is_delegate()
        && service.is_for_mesh()
    {
        let fix = Some("name the gateways that it is for, and not `mesh`".into());
        spec.error(format!("`{}` is for gateways alone", claim.value), fix);
    }
    for matching in service.tls.iter().flat_map(|route| &route.matches) {
        for sni in &matching.sni_hosts {
            if !service.hosts.iter().any(|host| covers(host, sni)) {
                let fix = "write it under `hosts` as well".into();
                spec.error(format!("`{}` is none of the `hosts`", sni.value), Some(fix));
            }
        }
    }
}

/// What has to hold of a table that others delegate to.
fn check_delegate(spec: &Reader<'_, '_>, service: &VirtualService) {
    for name in ["gateways", "tls", "tcp"] {
        if has_items(spec, name) {
            let message = format!("without `hosts`, `{name}` has no meaning");
            spec.error(message, Some("add `hosts`, or remove it".into()));
        }
    }
    if service.http.iter().any(|route| matches!(route.action, HttpAction::Delegate(_))) {
        spec.error("a table that others delegate to cannot delegate", Some("add `hosts`".into()));
    }
}

/// Whether all of `inner` is part of `outer`, either of which may begin with an asterisk.
fn covers(outer: &str, inner: &str) -> bool {
    match outer.strip_prefix('*') {
        Some(rest) => inner.strip_prefix('*').unwrap_or(inner).ends_with(rest),
        None => outer == inner,
    }
}
