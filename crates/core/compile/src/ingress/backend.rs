//! Backends of Ingress, called as the annotations of their Service say.

use std::sync::Arc;

use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step};
use weft_model::route::Target;
use weft_resources::kubernetes::ingress::IngressBackend;
use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::service::{BackendSettings, Scheme, ServiceKind, ServiceRef, Sticky};
use weft_resources::{Annotation, Pos, Resource, Spanned};

use super::annotation::{PREFIX, boolean, path, references};
use crate::context::Output;
use crate::remark::Place;
use crate::traefik::Borrower;

/// The target of a backend named at `field`, and the steps of its Service.
pub(super) fn target(
    borrower: Borrower<'_>,
    backend: &IngressBackend,
    field: &str,
    id: &str,
    out: &mut Output,
) -> (Target, Vec<Arc<Step>>) {
    let (name, port, at) = match backend {
        IngressBackend::Service { name, port, at } => (name, port, *at),
        IngressBackend::Resource { what, at } => {
            let message = format!("requests cannot be sent to {what}");
            Place::new(borrower.resource, *at, field).error(out, &*message);
            let refusal = Refusal { reason: Reason::InvalidBackend, detail: message.into() };
            return (Target::Refuse(refusal), Vec::new());
        }
    };
    let resource = borrower.context.get("", "Service", borrower.resource.namespace(), name);
    let mut service = ServiceRef {
        kind: ServiceKind::Service,
        target: ObjectRef { name: name.clone(), namespace: None, at },
        port: Some(Spanned::new(port.clone(), at)),
        weight: None,
        middlewares: Vec::new(),
        settings: BackendSettings::default(),
    };
    if let Some(resource) = resource {
        annotate(resource, at, &mut service, out);
    }
    match borrower.service(&service, field, id, out) {
        Ok(found) => found,
        Err(refusal) => (Target::Refuse(refusal), Vec::new()),
    }
}

/// What the annotations of a Service say about calling it.
fn annotate(resource: &Arc<Resource>, at: Pos, service: &mut ServiceRef, out: &mut Output) {
    let mut sticky = Sticky::default();
    let mut is_sticky = false;
    for Annotation { name, value, at: written } in &resource.annotations {
        let Some(name) = name.strip_prefix(PREFIX) else { continue };
        let path = path(name);
        let place = Place::new(resource, *written, &path);
        let flag = |out: &mut Output| {
            let flag = boolean(value);
            if flag.is_none() {
                place.error_with(
                    out,
                    format!("`{value}` is neither true nor false"),
                    "write \"true\" or \"false\"",
                );
            }
            flag
        };
        match name {
            "service.serversscheme" => match scheme(value) {
                Some(scheme) => service.settings.scheme = Some(scheme),
                None => place.error_with(
                    out,
                    format!("`{value}` is not a scheme"),
                    "use http, https or h2c",
                ),
            },
            "service.serverstransport" => {
                service.settings.servers_transport = Some(Spanned::new(value.clone(), at));
            }
            "service.passhostheader" => {
                service.settings.pass_host_header = flag(out).unwrap_or(true);
            }
            "service.middlewares" => service.middlewares = references(value, at),
            "service.nativelb" | "service.nodeportlb" => {
                if flag(out) == Some(true) {
                    place.warn(out, "it has no effect: endpoints are called directly");
                }
            }
            "service.sticky.cookie" => is_sticky = flag(out).unwrap_or(false),
            "service.sticky.cookie.name" => sticky.name = value.clone(),
            "service.sticky.cookie.path" => sticky.path = value.clone(),
            "service.sticky.cookie.domain" => sticky.domain = value.clone(),
            "service.sticky.cookie.samesite" => {
                sticky.same_site = value.to_ascii_lowercase().into();
            }
            "service.sticky.cookie.secure" => sticky.secure = flag(out).unwrap_or(false),
            "service.sticky.cookie.httponly" => sticky.http_only = flag(out).unwrap_or(false),
            "service.sticky.cookie.maxage" => match value.trim().parse() {
                Ok(secs) => sticky.max_age_secs = secs,
                Err(_) => place.error_with(
                    out,
                    format!("`{value}` is not a number of seconds; the cookie has no Max-Age"),
                    "write a number such as \"3600\"",
                ),
            },
            _ if name.starts_with("router.") => {
                place.warn_with(out, "it has no effect on a Service", "put it on the Ingress");
            }
            _ => place.warn(out, "it is not known and has no effect"),
        }
    }
    service.settings.sticky = is_sticky.then(|| Box::new(sticky));
}

fn scheme(text: &str) -> Option<Scheme> {
    match text.trim() {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        "h2c" => Some(Scheme::H2c),
        _ => None,
    }
}
