//! Where rules send requests.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use weft_model::backend::{Backend, Endpoints, HostHeader, UpstreamProtocol, UpstreamTls};
use weft_model::calling::Calling;
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step};
use weft_model::route::Affinity;
use weft_resilience::settings::SlowStartSettings;
use weft_resources::gateway_api::{BackendRef, Gateway, ObjectRef};
use weft_resources::kubernetes::service::PortRef;
use weft_resources::{Pos, Resource, multicluster};

use super::objects::{Object, Objects};
use super::policy::Policies;
use super::referrer::{Referrer, Speaks};
use super::site::certificate;
use crate::calling::From;
use crate::calling::gateway::{self, Ask, Base};
use crate::calling::layers::Part;
use crate::context::Output;
use crate::remark::Place;
use crate::services::Resolved;
use crate::traefik::{self, Borrower};

/// Who refers to a backend, and how it calls it.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) objects: &'a Objects<'a>,
    pub(super) policies: &'a Policies<'a>,
    /// The route.
    pub(super) route: &'a Arc<Resource>,
    /// What the route speaks.
    pub(super) speaks: Speaks,
    /// Middlewares that filters may name.
    pub(super) traefik: &'a traefik::Memo,
    /// The Gateway, if it shows certificates of its own to backends.
    pub(super) gateway: Option<Object<'a, Gateway>>,
}

/// What routes are compiled with.
#[derive(Clone, Copy)]
pub(super) struct Compiler<'a> {
    pub(super) objects: &'a Objects<'a>,
    pub(super) policies: &'a Policies<'a>,
    pub(super) traefik: &'a traefik::Memo,
}

// === impl Compiler ===

impl<'a> Compiler<'a> {
    /// The caller that a route is for a Gateway.
    pub(super) fn caller(
        self,
        route: &'a Arc<Resource>,
        speaks: Speaks,
        gateway: Option<Object<'a, Gateway>>,
    ) -> Caller<'a> {
        let Self { objects, policies, traefik } = self;
        Caller { objects, policies, route, speaks, traefik, gateway }
    }
}

// === impl Caller ===

impl Referrer for Caller<'_> {
    fn route(&self) -> &Resource {
        self.route
    }

    fn speaks(&self) -> Speaks {
        self.speaks
    }

    fn backend(
        &self,
        reference: &BackendRef,
        sticky: Option<Affinity>,
        place: Place<'_>,
        out: &mut Output,
    ) -> Result<BackendId, Refusal> {
        let (namespace, name, resolved) =
            self.resolve(reference).map_err(|message| self.invalid(message))?;
        self.report_empty(reference, &resolved, out, place);
        let (protocol, wants_tls) = protocol(self.speaks, resolved.app_protocol.as_deref());
        let tls = self.tls(namespace, &name, &resolved, wants_tls, out, place)?;
        let mut id = format!("{namespace}/{name}:{}", resolved.port);
        match (protocol, &tls) {
            (UpstreamProtocol::Http2, _) => id.push_str("+h2"),
            (UpstreamProtocol::Http1, _) => id.push_str("+h1"),
            // Traefik would read more into this port, and its routes share the plain name.
            (UpstreamProtocol::Auto, None) if is_telling(&resolved) => id.push_str("+plain"),
            (UpstreamProtocol::Auto | UpstreamProtocol::AsClient, _) => {}
        }
        if tls.is_some() {
            id.push_str("+tls");
        }
        if let Some((gateway, _)) = self.gateway.filter(|_| tls.is_some()) {
            id.push_str(&format!("+from={}/{}", gateway.namespace(), gateway.name()));
        }
        if let Some(sticky) = &sticky {
            id.push_str(&sticky.suffix());
        }
        let ask = Ask {
            caller: self.route.namespace(),
            namespace,
            name: &name,
            port: resolved.port,
            port_name: &resolved.port_name,
            subset: None,
            is_tls_through: self.speaks == Speaks::Passthrough,
        };
        let base = self.base(ask, tls, sticky, resolved.slow_start, place);
        let backend = Backend {
            id: BackendId::new(id),
            endpoints: resolved.endpoints.clone(),
            protocol,
            health_check: None,
            host: HostHeader::Pass,
            termination_delay: None,
            calling: Arc::default(),
        };
        let scope = self.objects.ctx.scope();
        let (backend, said) = gateway::called(&scope, ask, base, backend, out)?;
        Ok(out.called(Arc::new(backend), said))
    }

    /// Those of a Traefik middleware of the route's namespace.
    fn extension(
        &self,
        reference: &ObjectRef,
        path: &str,
        id: &str,
        out: &mut Output,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        if !reference.is(weft_resources::traefik::GROUP, "Middleware") {
            let detail = format!(
                "a filter cannot refer to a {} ({}); a Middleware (traefik.io) it can",
                reference.kind, reference.group
            );
            return Err(Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() });
        }
        let name = weft_resources::traefik::ObjectRef {
            name: reference.name.clone(),
            namespace: None,
            at: reference.at,
        };
        let Self { objects, traefik, route, .. } = *self;
        let borrower = Borrower { context: objects.ctx, memo: traefik, resource: route };
        borrower.middlewares(&[name], path, id, out)
    }
}

impl<'a> Caller<'a> {
    /// What the route and policies of Gateway API say of calls, which holds whatever others say.
    fn base(
        self,
        ask: Ask<'_>,
        tls: Option<Arc<UpstreamTls>>,
        sticky: Option<Affinity>,
        slow_start: Duration,
        place: Place<'_>,
    ) -> Base<'a> {
        let ctx = self.objects.ctx;
        let from = |resource: &'a Resource, field, at| From {
            resource,
            field,
            at,
            first_line: ctx.index.line(&resource.key).unwrap_or(0),
        };
        let mut parts = Vec::new();
        if tls.is_some()
            && let Some((policy, _)) = self.policies.find(ask.namespace, ask.name, ask.port_name)
        {
            parts.push((Part::Tls, from(policy, "spec.validation", Pos::default())));
        }
        if sticky.is_some() {
            parts.push((Part::Session, from(self.route, "sessionPersistence", place.at)));
        }
        let calling = Calling {
            tls,
            sticky,
            slow_start: SlowStartSettings::linear(slow_start),
            retry_budget: ctx.options.retry_budget,
            ..Calling::default()
        };
        Base { calling, parts, is_last_word: true }
    }

    /// A service without endpoints is no fault of the route; users ask why all the same.
    fn report_empty(
        self,
        reference: &BackendRef,
        resolved: &Resolved,
        out: &mut Output,
        place: Place<'_>,
    ) {
        let is_empty = matches!(&resolved.endpoints, Endpoints::Static(list) if list.is_empty());
        if !is_empty || self.objects.ctx.options.allow_empty_services {
            return;
        }
        let (name, port) = (&reference.object.name, resolved.port);
        let message = format!("{}:{port} has no endpoint; it is answered 503", reference.object);
        let fix = format!("add an EndpointSlice, or start with --backend {name}:{port}=ADDR");
        place.warn_with(out, message, &fix);
    }

    fn resolve<'r>(
        self,
        reference: &'r BackendRef,
    ) -> Result<(&'r str, Cow<'r, str>, Resolved), String>
    where
        Self: 'r,
    {
        let object = &reference.object;
        let is_import = object.is(multicluster::GROUP, "ServiceImport");
        if !is_import && !object.is("", "Service") {
            return Err(format!(
                "requests cannot be sent to a {} ({})",
                object.kind,
                if object.group.is_empty() { "core" } else { &*object.group }
            ));
        }
        let namespace = match &object.namespace {
            Some(namespace) => &**namespace,
            None => self.route.namespace(),
        };
        if !self.objects.permits(self.route, object) {
            return Err(format!(
                "no ReferenceGrant in the namespace `{namespace}` allows {} to refer to {object}",
                self.route.key
            ));
        }
        let port = reference.port;
        let port = port.ok_or_else(|| format!("`port` is required for a {}", object.kind))?;
        let name = match is_import {
            true => multicluster::host(namespace, &object.name).into(),
            false => Cow::Borrowed(&*object.name),
        };
        let resolved = self
            .objects
            .ctx
            .resolve(namespace, &name, &PortRef::Number(port))
            .map_err(|error| error.to_string())?;
        Ok((namespace, name, resolved))
    }

    /// TLS towards the service.
    fn tls(
        self,
        namespace: &str,
        name: &str,
        resolved: &Resolved,
        wants_tls: bool,
        out: &mut Output,
        place: Place<'_>,
    ) -> Result<Option<Arc<UpstreamTls>>, Refusal> {
        if self.speaks == Speaks::Passthrough {
            return Ok(None);
        }
        let mut tls = match self.policies.find(namespace, name, &resolved.port_name) {
            Some((_, Ok(tls))) => UpstreamTls::clone(tls),
            Some((_, Err(message))) => {
                let detail = message.as_str().into();
                return Err(Refusal { reason: Reason::PolicyUnenforceable, detail });
            }
            None if wants_tls => {
                place.note(
                    out,
                    "the service asks for TLS: its certificate must be valid for the request's \
                     host and come from a public authority; a BackendTLSPolicy can name another",
                );
                UpstreamTls::default()
            }
            None => return Ok(None),
        };
        tls.client = self.client_certificate()?;
        Ok(Some(Arc::new(tls)))
    }

    fn client_certificate(self) -> Result<Option<Arc<weft_model::listener::Certificate>>, Refusal> {
        let Some((gateway, body)) = self.gateway else { return Ok(None) };
        let Some(reference) = &body.client_certificate else { return Ok(None) };
        certificate::certificate(self.objects, gateway, reference).map(Some).map_err(
            |(message, _)| {
                let detail =
                    format!("the client certificate of {} cannot be used: {message}", gateway.key);
                Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() }
            },
        )
    }
}

/// Whether number, name or protocol of a port say more than that HTTP is spoken.
fn is_telling(resolved: &Resolved) -> bool {
    let prefixes = ["https", "grpc", "h2c", "http2"];
    resolved.port == 443
        || prefixes.iter().any(|prefix| resolved.port_name.starts_with(prefix))
        || resolved.app_protocol.as_deref().is_some_and(|protocol| protocol != "http")
}

/// What is spoken to a port, and whether over TLS even without a policy (KEP-3726).
fn protocol(speaks: Speaks, app_protocol: Option<&str>) -> (UpstreamProtocol, bool) {
    let default = match speaks {
        Speaks::Grpc => UpstreamProtocol::Http2,
        Speaks::Http | Speaks::Bytes | Speaks::Passthrough => UpstreamProtocol::Auto,
    };
    if matches!(speaks, Speaks::Bytes | Speaks::Passthrough) {
        return (default, false);
    }
    match app_protocol {
        Some("kubernetes.io/h2c" | "h2c" | "http2" | "grpc") => (UpstreamProtocol::Http2, false),
        Some("kubernetes.io/ws" | "ws") => (UpstreamProtocol::Http1, false),
        Some("kubernetes.io/wss" | "wss") => (UpstreamProtocol::Http1, true),
        Some("https") => (default, true),
        Some("grpcs") => (UpstreamProtocol::Http2, true),
        _ => (default, false),
    }
}
