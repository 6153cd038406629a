//! What Sidecars say of calls that arrive.

use std::sync::Arc;

use weft_model::calling::Calling;
use weft_model::mesh::Protocol;
use weft_resources::istio::destination_rule::ConnectionPool;
use weft_resources::istio::server::PortProtocol;
use weft_resources::istio::sidecar::{CaptureMode, DefaultEndpoint, Ingress};
use weft_resources::{Pos, Resource};

use super::outbound::Document;
use crate::calling;
use crate::context::Output;
use crate::remark::Place;

/// What is said of one port, or of all others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Arriving {
    /// What is spoken on it.
    pub(super) protocol: Option<Protocol>,
    /// The port of the application.
    pub(super) forward: Option<u16>,
    /// How the application is called.
    pub(super) calling: Option<Arc<Calling>>,
}

/// The ports that a Sidecar speaks of.
pub(super) fn ports<'a>(document: Option<Document<'a>>) -> impl Iterator<Item = u16> + 'a {
    let ingress = document.map(|(_, sidecar)| &*sidecar.ingress).unwrap_or_default();
    ingress.iter().map(|listener| listener.port.number.value)
}

/// What a Sidecar says of a port, or of those that it does not name.
pub(super) fn of(document: Option<Document<'_>>, port: Option<u16>) -> Arriving {
    let Some((_, sidecar)) = document else { return Arriving::default() };
    let shared = sidecar.inbound_pool.as_ref().map(|pool| &pool.value);
    let listener = sidecar.ingress.iter().find(|one| Some(one.port.number.value) == port);
    let Some(listener) = listener else {
        return Arriving { calling: shared.map(called), ..Arriving::default() };
    };
    let pool = listener.pool.as_ref().map(|pool| &pool.value).or(shared);
    let forward = listener.default_endpoint.as_ref().and_then(|end| match end.value {
        DefaultEndpoint::Loopback(port) | DefaultEndpoint::Instance(port) => Some(port),
        DefaultEndpoint::Unix(_) => None,
    });
    let own = listener.port.number.value;
    Arriving {
        protocol: listener.port.protocol.map(|protocol| spoken(protocol.value)),
        forward: forward.filter(|port| *port != own),
        calling: pool.map(called),
    }
}

/// How the application is called.
fn called(pool: &ConnectionPool) -> Arc<Calling> {
    let mut called = Calling::default();
    calling::istio::pool(Some(pool), &mut called);
    Arc::new(called)
}

fn spoken(protocol: PortProtocol) -> Protocol {
    match protocol {
        PortProtocol::Http | PortProtocol::GrpcWeb | PortProtocol::HttpProxy => Protocol::Http,
        PortProtocol::Http2 | PortProtocol::Grpc => Protocol::Http2,
        PortProtocol::Https | PortProtocol::Tls => Protocol::Tls,
        PortProtocol::Tcp | PortProtocol::Mongo | PortProtocol::MySql | PortProtocol::Redis => {
            Protocol::Tcp
        }
    }
}

/// Says what of `ingress` has no effect, or another one.
pub(super) fn remark(resource: &Resource, ingress: &[Ingress], out: &mut Output) {
    for (index, listener) in ingress.iter().enumerate() {
        let Ingress { port: _, bind, capture, default_endpoint, tls, pool: _, at: _ } = listener;
        let mut warn = |at: Pos, field: &str, message: &str| {
            let path = format!("spec.ingress[{index}].{field}");
            Place::new(resource, at, &path).warn(out, message);
        };
        if let Some(bind) = bind {
            warn(bind.at, "bind", "it has no effect: calls are taken at all addresses");
        }
        if let Some(capture) = capture.filter(|mode| mode.value == CaptureMode::Dialled) {
            warn(capture.at, "captureMode", "it has no effect: calls are captured as always");
        }
        match default_endpoint.as_ref().map(|end| (end.at, &end.value)) {
            Some((at, DefaultEndpoint::Unix(_))) => {
                let message = "a Unix socket is not called: calls go to the port itself";
                warn(at, "defaultEndpoint", message);
            }
            Some((at, DefaultEndpoint::Loopback(_))) => {
                let message = "calls go to this port at the address that was dialled, which is not \
                               the loopback address";
                warn(at, "defaultEndpoint", message);
            }
            Some((_, DefaultEndpoint::Instance(_))) | None => {}
        }
        if let Some(tls) = tls {
            let message = "TLS is not ended here: it passes to the application as it is";
            warn(tls.at, "tls", message);
        }
    }
}
