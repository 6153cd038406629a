//! What documents say of calls to a service.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::backend::{self, Backend, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::{Audience, Calling, CallingFor, Source, Subset};
use weft_model::id::{BackendId, RouteId, ServiceName};
use weft_model::mesh::Traffic;
use weft_model::route::{RouteSet, Routed};

use super::{
    InvalidResource, calling, fitting, ip, labels, optional, peer, port_number, ports, route,
    some_port, texts, time,
};
use crate::resource::calling::Calling as CallingMessage;
use crate::resource::route as wire_route;
use crate::resource::traffic as wire;

pub(super) fn traffic(message: &wire::Traffic) -> Result<Traffic, InvalidResource> {
    let backends = message.backends.iter().map(|message| {
        let id = BackendId::new(message.id.as_str());
        // One that cannot be read has no endpoint.
        let read = backend(&id, message).unwrap_or_else(|_| nowhere(&id));
        (id, Arc::new(read))
    });
    let lines = message.lines.iter().map(|(id, line)| (RouteId::new(id.as_str()), *line));
    Ok(Traffic {
        calling: message.calling.iter().map(calling_for).collect::<Result<_, _>>()?,
        routing: message.routing.iter().map(route_set).collect::<Result<_, _>>()?,
        backends: backends.collect(),
        lines: lines.collect(),
    })
}

/// One of a kind that is not known is no audience at all: it may be meant for fewer than it seems.
fn audience(message: Option<&wire::Audience>) -> Result<Audience, InvalidResource> {
    match message {
        None => Ok(Audience::default()),
        Some(message) if message.kind == wire::BY_NAMESPACE_AND_LABELS => {
            Ok(Audience { namespaces: texts(&message.namespaces), labels: labels(&message.labels) })
        }
        Some(message) => Err(InvalidResource::Unknown { field: "audience", value: message.kind }),
    }
}

fn calling_for(message: &wire::CallingFor) -> Result<CallingFor, InvalidResource> {
    let subset = |message: &wire::Subset| Subset {
        name: message.name.as_str().into(),
        labels: labels(&message.labels),
    };
    Ok(CallingFor {
        audience: audience(message.audience.as_ref())?,
        port: some_port(message.port)?,
        subset: message.subset.as_ref().map(subset),
        calling: settings(message.calling.as_ref())?,
        sources: message.sources.iter().map(source).collect(),
    })
}

pub(super) fn source(message: &wire::Source) -> Source {
    Source {
        setting: message.setting.as_str().into(),
        document: message.document.as_str().into(),
        file: message.file.as_str().into(),
        line: message.line,
    }
}

fn settings(message: Option<&CallingMessage>) -> Result<Arc<Calling>, InvalidResource> {
    Ok(message.map(calling::calling).transpose()?.map(Arc::new).unwrap_or_default())
}

fn route_set(message: &wire::RouteSet) -> Result<RouteSet, InvalidResource> {
    let http = message
        .http
        .as_ref()
        .map(|rules| rules.routes.iter().map(routed_http).collect::<Result<_, _>>());
    let tcp = message
        .tcp
        .as_ref()
        .map(|rules| rules.routes.iter().map(routed_tcp).collect::<Result<_, _>>());
    Ok(RouteSet {
        audience: audience(message.audience.as_ref())?,
        ports: ports(&message.ports)?,
        http: http.transpose()?,
        tcp: tcp.transpose()?,
    })
}

fn routed_http(
    message: &wire_route::RoutedHttp,
) -> Result<Routed<weft_model::route::Route>, InvalidResource> {
    let route = message.route.as_ref().ok_or(InvalidResource::Missing("route"))?;
    Ok(Routed {
        audience: audience(message.audience.as_ref())?,
        ports: ports(&message.ports)?,
        route: Arc::new(route::http(route)),
    })
}

fn routed_tcp(
    message: &wire_route::RoutedTcp,
) -> Result<Routed<weft_model::route::TcpRoute>, InvalidResource> {
    let route = message.route.as_ref().ok_or(InvalidResource::Missing("route"))?;
    Ok(Routed {
        audience: audience(message.audience.as_ref())?,
        ports: ports(&message.ports)?,
        route: Arc::new(route::tcp(route)),
    })
}

fn backend(id: &BackendId, message: &wire::Backend) -> Result<Backend, InvalidResource> {
    let places = message.endpoints.as_ref().ok_or(InvalidResource::Kind("endpoints"))?;
    Ok(Backend {
        endpoints: endpoints(places)?,
        protocol: match message.protocol {
            1 => UpstreamProtocol::Http1,
            2 => UpstreamProtocol::Http2,
            3 => UpstreamProtocol::AsClient,
            _ => UpstreamProtocol::Auto,
        },
        host: match message.host_kind {
            0 => HostHeader::Pass,
            1 => HostHeader::Endpoint,
            2 => HostHeader::Set(message.host.as_str().into()),
            value => return Err(InvalidResource::Unknown { field: "host_kind", value }),
        },
        termination_delay: message.termination_delay.map(time),
        calling: settings(message.calling.as_ref())?,
        ..nowhere(id)
    })
}

fn nowhere(id: &BackendId) -> Backend {
    Backend {
        id: id.clone(),
        endpoints: Endpoints::Static([].into()),
        protocol: UpstreamProtocol::Auto,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::default(),
    }
}

fn endpoints(message: &wire::Endpoints) -> Result<Endpoints, InvalidResource> {
    Ok(match message {
        wire::Endpoints::Known(known) => {
            Endpoints::Static(known.all.iter().map(address).collect::<Result<_, _>>()?)
        }
        wire::Endpoints::Dns(name) => {
            Endpoints::Dns { name: name.host.as_str().into(), port: port_number(name.port)? }
        }
        wire::Endpoints::Dialled(_) => Endpoints::Dialled,
        wire::Endpoints::DialledThrough(to) => Endpoints::DialledThrough(Arc::new(peer(to, None)?)),
        wire::Endpoints::Service(part) => Endpoints::Service {
            name: ServiceName::new(part.name.as_str()),
            port: port_number(part.port)?,
            subset: optional(part.subset.as_ref()),
        },
    })
}

fn address(message: &wire::Address) -> Result<backend::Endpoint, InvalidResource> {
    let ip = ip(&message.ip)?;
    let beside = message.peer.as_ref().map(|to| peer(to, Some(ip))).transpose()?;
    Ok(backend::Endpoint {
        addr: SocketAddr::new(ip, port_number(message.port)?),
        weight: message.weight.max(1),
        locality: optional(message.locality.as_ref()),
        tier: fitting("tier", message.tier)?,
        peer: beside.map(Arc::new),
    })
}
