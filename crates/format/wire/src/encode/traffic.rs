//! What documents say of calls to a service.

use weft_model::backend::{self, Backend, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::{Audience, Calling, CallingFor, Source, Subset};
use weft_model::mesh::Traffic;
use weft_model::route::{RouteSet, Routed};

use super::{calling, ip, labels, nanos, optional, peer, ports, route, texts};
use crate::resource::{route as wire_route, traffic as wire};

pub(super) fn traffic(traffic: &Traffic) -> wire::Traffic {
    let Traffic { calling, routing, backends, lines } = traffic;
    wire::Traffic {
        calling: calling.iter().map(calling_for).collect(),
        routing: routing.iter().map(route_set).collect(),
        backends: backends.values().map(|one| backend(one)).collect(),
        lines: lines.iter().map(|(id, line)| (id.to_string(), *line)).collect(),
    }
}

fn audience(audience: &Audience) -> Option<wire::Audience> {
    let Audience { namespaces, labels: wanted } = audience;
    (*audience != Audience::default()).then(|| wire::Audience {
        namespaces: texts(namespaces),
        labels: labels(wanted),
        kind: wire::BY_NAMESPACE_AND_LABELS,
    })
}

fn calling_for(entry: &CallingFor) -> wire::CallingFor {
    let CallingFor { audience: callers, port, subset: part, calling, sources } = entry;
    let subset = |Subset { name, labels: wanted }: &Subset| wire::Subset {
        name: name.to_string(),
        labels: labels(wanted),
    };
    wire::CallingFor {
        audience: audience(callers),
        port: port.map_or(0, u32::from),
        subset: part.as_ref().map(subset),
        calling: settings(calling),
        sources: sources.iter().map(source).collect(),
    }
}

pub(super) fn source(source: &Source) -> wire::Source {
    let Source { setting, document, file, line } = source;
    wire::Source {
        setting: setting.to_string(),
        document: document.to_string(),
        file: file.to_string(),
        line: *line,
    }
}

/// Nothing for what is called without any settings.
fn settings(settings: &Calling) -> Option<crate::resource::calling::Calling> {
    (*settings != Calling::default()).then(|| calling::calling(settings))
}

fn route_set(set: &RouteSet) -> wire::RouteSet {
    let RouteSet { audience: callers, ports: on, http, tcp } = set;
    wire::RouteSet {
        audience: audience(callers),
        ports: ports(on),
        http: http
            .as_deref()
            .map(|routes| wire::HttpRules { routes: routes.iter().map(routed_http).collect() }),
        tcp: tcp
            .as_deref()
            .map(|routes| wire::TcpRules { routes: routes.iter().map(routed_tcp).collect() }),
    }
}

fn routed_http(
    Routed { audience: callers, ports: on, route }: &Routed<weft_model::route::Route>,
) -> wire_route::RoutedHttp {
    wire_route::RoutedHttp {
        audience: audience(callers),
        ports: ports(on),
        route: Some(route::http(route)),
    }
}

fn routed_tcp(
    Routed { audience: callers, ports: on, route }: &Routed<weft_model::route::TcpRoute>,
) -> wire_route::RoutedTcp {
    wire_route::RoutedTcp {
        audience: audience(callers),
        ports: ports(on),
        route: Some(route::tcp(route)),
    }
}

/// Active health checks do not travel: no document of the mesh asks for them.
fn backend(backend: &Backend) -> wire::Backend {
    let Backend {
        id,
        endpoints: places,
        protocol,
        health_check: _,
        host,
        termination_delay,
        calling,
    } = backend;
    let (host_kind, host) = match host {
        HostHeader::Pass => (0, String::new()),
        HostHeader::Endpoint => (1, String::new()),
        HostHeader::Set(host) => (2, host.to_string()),
    };
    wire::Backend {
        id: id.to_string(),
        endpoints: Some(endpoints(places)),
        protocol: match protocol {
            UpstreamProtocol::Auto => 0,
            UpstreamProtocol::Http1 => 1,
            UpstreamProtocol::Http2 => 2,
            UpstreamProtocol::AsClient => 3,
        },
        host_kind,
        host,
        termination_delay: termination_delay.map(nanos),
        calling: settings(calling),
    }
}

fn endpoints(endpoints: &Endpoints) -> wire::Endpoints {
    match endpoints {
        Endpoints::Static(known) => {
            wire::Endpoints::Known(wire::Addresses { all: known.iter().map(address).collect() })
        }
        Endpoints::Dns { name, port } => {
            wire::Endpoints::Dns(wire::HostPort { host: name.to_string(), port: (*port).into() })
        }
        Endpoints::Dialled => wire::Endpoints::Dialled(1),
        Endpoints::DialledThrough(to) => wire::Endpoints::DialledThrough(peer(to, None)),
        Endpoints::Service { name, port, subset } => wire::Endpoints::Service(wire::ServicePart {
            name: name.to_string(),
            port: (*port).into(),
            subset: optional(subset.as_deref()),
        }),
    }
}

fn address(endpoint: &backend::Endpoint) -> wire::Address {
    let backend::Endpoint { addr, weight, locality, tier, peer: beside } = endpoint;
    wire::Address {
        ip: ip(addr.ip()),
        port: addr.port().into(),
        weight: if *weight == 1 { 0 } else { *weight },
        locality: optional(locality.as_deref()),
        tier: (*tier).into(),
        peer: beside.as_deref().map(|to| peer(to, Some(addr.ip()))),
    }
}
