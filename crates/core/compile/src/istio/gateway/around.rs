//! What rules of VirtualServices mean at a server.

use std::sync::Arc;

use weft_model::backend::{Backend, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::{Calling, Labels};
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_resilience::settings::{PickerKind, SlowStartSettings};
use weft_resources::istio::NETWORKING;
use weft_resources::istio::destination::Destination;
use weft_resources::istio::virtual_service::{Delegate, GatewayRef, HttpAction, HttpRoute};
use weft_resources::kubernetes::service::PortRef;
use weft_resources::{Key, Kind, Pos, Resource, Spanned};

use super::bind::gateway_key;
use super::site::{Serves, Site};
use crate::calling::gateway::{self, Ask, Base};
use crate::context::{Context, Output, Scope};
use crate::istio::virtual_service::{Defaults, Document, Surroundings};
use crate::remark::Place;
use crate::services::Resolved;

/// A server, with the world around it.
pub(super) struct AtServer<'s, 'a> {
    pub(super) context: &'s Context<'a>,
    pub(super) site: &'s Site<'a>,
}

// === impl AtServer ===

impl Surroundings for AtServer<'_, '_> {
    fn backend(
        &self,
        document: &Resource,
        destination: &Destination,
        place: Place<'_>,
        out: &mut Output,
    ) -> Result<BackendId, Refusal> {
        let scope = self.context.scope();
        let caller = document.namespace();
        let (namespace, name) = self.context.services.of_host(&destination.host, caller);
        let port = self.port_of(destination, &namespace, &name)?;
        let usual = Ask {
            caller,
            namespace: &namespace,
            name: &name,
            port: 0,
            port_name: "",
            subset: destination.subset.as_ref().map(|subset| &*subset.value),
            is_tls_through: matches!(self.site.serves, Serves::Through),
        };
        let labels = labels(&scope, usual)?;
        let resolved = scope
            .resolve_part((&namespace, &name), &port, labels)
            .map_err(|error| no_endpoint(error.to_string()))?;
        self.report_empty(usual, &resolved, place, out);
        let ask = Ask { port: resolved.port, port_name: &resolved.port_name, ..usual };
        let base = self.base(&resolved);
        let backend = backend(ask, &resolved);
        let (backend, said) = gateway::called(&scope, ask, base, backend, out)?;
        Ok(out.called(Arc::new(backend), said))
    }

    fn delegate(&self, document: &Resource, delegate: &Delegate) -> Result<Document<'_>, String> {
        let namespace = delegate.namespace.as_deref().unwrap_or(document.namespace());
        let key = Key::new(NETWORKING, "VirtualService", namespace, &*delegate.name);
        let words = format!("VirtualService {namespace}/{}", delegate.name);
        match self.context.index.get(&key).map(|found| (found, &found.body)) {
            Some((resource, Kind::VirtualService(service))) if service.is_delegate() => {
                Ok((resource, service))
            }
            Some(_) => Err(format!("{words} has hosts of its own, and cannot be delegated to")),
            None => Err(format!("there is no {words}")),
        }
    }

    fn is_meant(&self, document: &Resource, gateways: &[Spanned<GatewayRef>]) -> bool {
        gateways.iter().any(|one| gateway_key(document, &one.value) == self.site.gateway.key)
    }

    fn port(&self) -> Option<u16> {
        Some(self.site.port())
    }

    fn is_tls(&self) -> bool {
        self.site.is_tls()
    }

    fn defaults(&self, document: &Resource, route: &HttpRoute) -> Defaults<'_> {
        let HttpAction::Route(destinations) = &route.action else { return Defaults::default() };
        let scope = self.context.scope();
        let said = destinations.iter().find_map(|one| {
            let caller = document.namespace();
            let (namespace, name) = self.context.services.of_host(&one.destination.host, caller);
            gateway::extension(&scope, caller, (&namespace, &name))
        });
        said.unwrap_or_default().or_retries(self.context.mesh_config.retries())
    }

    fn first_line(&self, document: &Resource) -> u32 {
        self.context.line(document, Pos::FIRST)
    }
}

impl AtServer<'_, '_> {
    /// The port of a destination; one that is not named is the only one that there is.
    fn port_of(
        &self,
        destination: &Destination,
        namespace: &str,
        name: &str,
    ) -> Result<PortRef, Refusal> {
        if let Some(port) = destination.port {
            return Ok(PortRef::Number(port.value));
        }
        let mut ports = self.context.services.ports(namespace, name);
        match (ports.pop(), ports.pop()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(no_endpoint(format!("service `{namespace}/{name}` is not found"))),
            (Some(_), Some(_)) => {
                let message = format!("service `{namespace}/{name}` has several ports; name one");
                Err(no_endpoint(message))
            }
        }
    }

    /// Istio's own: the less busy of two, and a bound on retries as everywhere.
    fn base<'b>(&self, resolved: &Resolved) -> Base<'b> {
        let usual = match resolved.endpoints {
            // The link knows how it is called.
            Endpoints::Service { .. } => Calling::default(),
            _ => Calling { picker: PickerKind::LeastRequest, ..Calling::mesh() },
        };
        let calling = Calling {
            slow_start: SlowStartSettings::linear(resolved.slow_start),
            retry_budget: self.context.options.retry_budget,
            ..usual
        };
        Base { calling, parts: Vec::new(), is_last_word: false }
    }

    fn report_empty(&self, ask: Ask<'_>, resolved: &Resolved, place: Place<'_>, out: &mut Output) {
        let is_empty = matches!(&resolved.endpoints, Endpoints::Static(list) if list.is_empty());
        if !is_empty || self.context.options.allow_empty_services {
            return;
        }
        let (name, port) = (ask.name, resolved.port);
        let Some(subset) = ask.subset else {
            let message =
                format!("{}/{name}:{port} has no endpoint; it is answered 503", ask.namespace);
            let fix = format!("add an EndpointSlice, or start with --backend {name}:{port}=ADDR");
            return place.warn_with(out, message, &fix);
        };
        let why = match resolved.is_unsure {
            true => "the labels of some of its endpoints are not known",
            false => "no endpoint has its labels",
        };
        let message = format!(
            "the subset `{subset}` of {}/{name}:{port} has no endpoint: {why}; it is answered 503",
            ask.namespace
        );
        let fix = "labels are those of Pods at the addresses of EndpointSlices, and of `endpoints` \
                   of a ServiceEntry";
        place.warn_with(out, message, fix);
    }
}

// === functions ===

/// The labels of a subset's endpoints.
fn labels<'a>(scope: &Scope<'a>, ask: Ask<'_>) -> Result<&'a Labels, Refusal> {
    let Some(subset) = ask.subset else { return Ok(&[]) };
    gateway::subset_labels(scope, ask.caller, (ask.namespace, ask.name), subset).ok_or_else(|| {
        no_endpoint(format!(
            "no DestinationRule of `{}/{}` has a subset `{subset}`: it is answered 503",
            ask.namespace, ask.name
        ))
    })
}

/// The backend, but for how it is called.
fn backend(ask: Ask<'_>, resolved: &Resolved) -> Backend {
    let subset = ask.subset.map(|subset| format!("/{subset}")).unwrap_or_default();
    let id = format!("{}/{}:{}{subset}+istio", ask.namespace, ask.name, resolved.port);
    let mut endpoints = resolved.endpoints.clone();
    if let Endpoints::Service { subset, .. } = &mut endpoints {
        *subset = ask.subset.map(Into::into);
    }
    Backend {
        id: BackendId::new(id),
        endpoints,
        protocol: protocol(resolved),
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }
}

/// What is spoken to a port, by its `appProtocol` or the beginning of its name.
fn protocol(resolved: &Resolved) -> UpstreamProtocol {
    let is_http2 = |text: &str| {
        ["grpc", "http2", "h2c", "kubernetes.io/h2c"].iter().any(|word| {
            text.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    let declared = resolved.app_protocol.as_deref().unwrap_or(&resolved.port_name);
    if is_http2(declared) { UpstreamProtocol::Http2 } else { UpstreamProtocol::Auto }
}

/// Where nobody can be asked.
fn no_endpoint(message: String) -> Refusal {
    Refusal { reason: Reason::NoEndpoint, detail: message.into() }
}
