//! EndpointSlice and the older Endpoints.

use std::net::IpAddr;

use super::service::Transport;
use crate::read::Reader;

/// The label of an EndpointSlice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice (discovery.k8s.io/v1). Its Service is named by [`SERVICE_NAME_LABEL`].
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSlice {
    /// Its endpoints.
    pub endpoints: Vec<SliceEndpoint>,
    /// The ports that every endpoint has.
    pub ports: Vec<EndpointPort>,
}

/// Endpoints (core v1), of the Service of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoints {
    /// Groups of addresses with the same ports.
    pub subsets: Vec<EndpointSlice>,
}

/// One endpoint with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Addresses, all of the same endpoint.
    pub addresses: Vec<IpAddr>,
    /// Takes new connections. Unknown counts as ready.
    pub ready: bool,
    /// Still answers, ready or not.
    pub serving: bool,
    /// Is going away.
    pub terminating: bool,
    /// Zone it runs in.
    pub zone: Option<Box<str>>,
    /// Its own name, such as `db-0` of a StatefulSet.
    pub hostname: Option<Box<str>>,
}

/// A port of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// Name of the Service port it belongs to.
    pub name: Box<str>,
    /// Number; `None` means every port.
    pub port: Option<u16>,
    /// What is spoken.
    pub app_protocol: Option<Box<str>>,
    /// Transport.
    pub transport: Transport,
}

/// Reads an EndpointSlice.
pub(crate) fn read_slice(reader: &Reader<'_, '_>) -> Option<EndpointSlice> {
    let kinds = [("IPv4", true), ("IPv6", true), ("FQDN", false)];
    let is_ip = reader.require("addressType")?.choice(&kinds)?;
    if !is_ip {
        reader.error(
            "endpoints of address type FQDN are not supported",
            Some("use a Service of type ExternalName".into()),
        );
    }
    let endpoints =
        reader.list("endpoints", |item| item.nested(|reader| slice_endpoint(reader, is_ip)));
    let ports = reader.list("ports", |item| item.nested(port));
    Some(EndpointSlice { endpoints, ports })
}

fn slice_endpoint(reader: &Reader<'_, '_>, is_ip: bool) -> Option<SliceEndpoint> {
    // The cluster makes hints of the zones for its own proxies.
    let clusters = ["targetRef", "nodeName", "deprecatedTopology", "hints"];
    clusters.iter().for_each(|name| reader.skip(name));
    let zone = reader.string("zone");
    let hostname = reader.string("hostname");
    let (mut ready, mut serving, mut terminating) = (None, None, false);
    reader.nested("conditions", |conditions| {
        ready = conditions.bool("ready");
        serving = conditions.bool("serving");
        terminating = conditions.bool_or("terminating", false);
        Some(())
    });
    let addresses = reader.require("addresses")?;
    let addresses =
        addresses.list(|item| if is_ip { address(&item.string()?, item) } else { None });
    let ready = ready.unwrap_or(true);
    let serving = serving.unwrap_or(ready);
    Some(SliceEndpoint { addresses, ready, serving, terminating, zone, hostname })
}

fn address(text: &str, item: &crate::read::Field<'_, '_>) -> Option<IpAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        item.error(format!("`{text}` is not an IP address"), None);
    }
    parsed
}

fn port(reader: &Reader<'_, '_>) -> Option<EndpointPort> {
    Some(EndpointPort {
        name: reader.string_or_empty("name"),
        port: reader.take("port").and_then(|field| field.port()),
        app_protocol: reader.string("appProtocol").filter(|text| !text.is_empty()),
        transport: Transport::take(reader),
    })
}

/// Reads Endpoints.
pub(crate) fn read_endpoints(reader: &Reader<'_, '_>) -> Option<Endpoints> {
    let subsets = reader.list("subsets", |item| {
        item.nested(|subset| {
            let mut endpoints = subset.list("addresses", |item| item.nested(|r| single(r, true)));
            endpoints
                .extend(subset.list("notReadyAddresses", |item| item.nested(|r| single(r, false))));
            let ports = subset.list("ports", |item| item.nested(port));
            Some(EndpointSlice { endpoints, ports })
        })
    });
    Some(Endpoints { subsets })
}

fn single(reader: &Reader<'_, '_>, ready: bool) -> Option<SliceEndpoint> {
    ["targetRef", "nodeName"].iter().for_each(|name| reader.skip(name));
    let hostname = reader.string("hostname");
    let field = reader.require("ip")?;
    let addresses = vec![address(&field.string()?, &field)?];
    Some(SliceEndpoint {
        addresses,
        ready,
        serving: ready,
        terminating: false,
        zone: None,
        hostname,
    })
}
