//! Where rules send requests.

use std::sync::Arc;

use weft_model::backend::{
    Backend, Endpoints, HostHeader, PoolSettings, UpstreamProtocol, UpstreamTls,
};
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{StickyCookie, Target};
use weft_resilience::settings::PickerKind;
use weft_resources::Resource;
use weft_resources::gateway_api::{BackendRef, Gateway};
use weft_resources::kubernetes::service::PortRef;

use super::objects::{Object, Objects};
use super::policy::Policies;
use super::site::certificate;
use crate::context::Output;
use crate::remark::Place;
use crate::services::Resolved;

/// Who refers to a backend, and how it calls it.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) objects: &'a Objects<'a>,
    pub(super) policies: &'a Policies<'a>,
    /// The route.
    pub(super) route: &'a Arc<Resource>,
    /// What the route speaks.
    pub(super) speaks: Speaks,
    /// The Gateway, if it shows certificates of its own to backends.
    pub(super) gateway: Option<Object<'a, Gateway>>,
}

/// What a route speaks to its backends unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP.
    Http,
    /// gRPC.
    Grpc,
    /// Bytes, of which TLS has been ended here.
    Bytes,
    /// TLS that goes through untouched.
    Passthrough,
}

// === impl Caller ===

impl Caller<'_> {
    /// The backend of a reference.
    ///
    /// # Errors
    ///
    /// The answer instead, with the reason.
    pub(super) fn backend(
        self,
        reference: &BackendRef,
        sticky: Option<StickyCookie>,
        out: &mut Output,
        place: Place<'_>,
    ) -> Result<BackendId, Refusal> {
        let (namespace, name, resolved) =
            self.resolve(reference).map_err(|message| self.invalid(message))?;
        self.report_empty(reference, &resolved, out, place);
        let (protocol, wants_tls) = protocol(self.speaks, resolved.app_protocol.as_deref());
        let tls = self.tls(namespace, name, &resolved, wants_tls, out, place)?;
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
            id.push_str(&format!("+sticky={}", sticky.name));
        }
        Ok(out.backend(Arc::new(Backend {
            id: BackendId::new(id),
            endpoints: resolved.endpoints,
            protocol,
            tls,
            picker: PickerKind::RoundRobin,
            sticky,
            health_check: None,
            outlier: None,
            slow_start: resolved.slow_start,
            retry_budget: self.objects.ctx.options.retry_budget,
            pool: PoolSettings::DEFAULT,
            host: HostHeader::Pass,
            proxy_protocol: None,
            termination_delay: None,
        })))
    }

    /// The answer where a backend cannot be used. gRPC clients take 503 for `UNAVAILABLE`, which
    /// is what they are to see; 500 would be `UNKNOWN` to them.
    pub(super) fn invalid(self, message: String) -> Refusal {
        let reason = match self.speaks {
            Speaks::Grpc => Reason::NoEndpoint,
            Speaks::Http | Speaks::Bytes | Speaks::Passthrough => Reason::InvalidBackend,
        };
        Refusal { reason, detail: message.into() }
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

    fn resolve<'r>(self, reference: &'r BackendRef) -> Result<(&'r str, &'r str, Resolved), String>
    where
        Self: 'r,
    {
        let object = &reference.object;
        if !object.is("", "Service") {
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
        let port = reference.port.ok_or("`port` is required for a Service")?;
        let resolved = self
            .objects
            .ctx
            .resolve(namespace, &object.name, &PortRef::Number(port))
            .map_err(|error| error.to_string())?;
        Ok((namespace, &object.name, resolved))
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
            Some(Ok(tls)) => UpstreamTls::clone(tls),
            Some(Err(message)) => {
                let detail = message.as_str().into();
                return Err(Refusal { reason: Reason::PolicyUnenforceable, detail });
            }
            None if wants_tls => {
                place.note(
                    out,
                    "the service asks for TLS: its certificate must be valid for the request's \
                     host and come from a public authority; a BackendTLSPolicy can name another",
                );
                UpstreamTls {
                    server_name: None,
                    roots_pem: None,
                    client: None,
                    insecure_skip_verify: false,
                    subject_alt_names: Vec::new(),
                }
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

/// A target that answers instead.
pub(super) fn refuse(refusal: Refusal) -> Target {
    Target::Refuse(refusal)
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
