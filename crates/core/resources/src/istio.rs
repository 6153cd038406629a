//! Istio kinds, as far as they say where a service is.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::kind::{Kind, KindInfo};
use crate::metadata::{SLOW_START, annotation};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// The group of Istio's traffic kinds.
pub const NETWORKING: &str = "networking.istio.io";

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[KindInfo {
    group: NETWORKING,
    api_versions: &[
        "networking.istio.io/v1",
        "networking.istio.io/v1beta1",
        "networking.istio.io/v1alpha3",
    ],
    kind: "ServiceEntry",
    namespaced: true,
    decode: |reader| Some(Kind::ServiceEntry(Box::new(read(reader)?))),
}];

/// A ServiceEntry: hosts that are not Services, and where they are.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceEntry {
    /// Host names, lower case.
    pub hosts: Vec<Box<str>>,
    /// Virtual addresses.
    pub addresses: Vec<IpAddr>,
    /// Ports that callers name.
    pub ports: Vec<EntryPort>,
    /// Where the addresses come from.
    pub resolution: Resolution,
    /// Addresses, or names to resolve.
    pub endpoints: Vec<EntryEndpoint>,
    /// The annotation `weftway.io/slow-start`, as written.
    pub slow_start: Option<Spanned<Box<str>>>,
}

/// A port of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPort {
    /// Number.
    pub number: u16,
    /// Name.
    pub name: Box<str>,
    /// `HTTP`, `HTTPS`, `GRPC`, `HTTP2`, `TCP`, `TLS` or another, upper case.
    pub protocol: Box<str>,
    /// Port of the endpoints; `number` by default.
    pub target: u16,
}

/// Where the addresses of a ServiceEntry come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Its own `endpoints`.
    Static,
    /// DNS: names among `endpoints`, or the hosts themselves.
    Dns,
    /// The address the caller dialled.
    None,
}

/// An endpoint of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryEndpoint {
    /// An IP address, or a name to resolve.
    pub address: Box<str>,
    /// Ports by the name of the entry's port, where they differ from its target.
    pub ports: Vec<(Box<str>, u16)>,
    /// Share among its siblings, at least 1.
    pub weight: u32,
    /// Zone, the second part of `locality`.
    pub zone: Option<Box<str>>,
}

// === impl ServiceEntry ===

impl ServiceEntry {
    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&EntryPort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

// === impl EntryEndpoint ===

impl EntryEndpoint {
    /// Its own port for one of the entry's.
    pub fn port(&self, port: &EntryPort) -> u16 {
        let own = self.ports.iter().find(|(name, _)| *name == port.name);
        own.map_or(port.target, |(_, number)| *number)
    }
}

fn read(reader: &Reader<'_, '_>) -> Option<ServiceEntry> {
    let slow_start = annotation(reader, SLOW_START);
    reader.require("spec")?.nested(|spec| {
        spec.ignored("exportTo", "every namespace sees it");
        spec.ignored("subjectAltNames", "TLS towards this host is set up by the route's dialect");
        spec.ignored("workloadSelector", "workloads are not selected from files");
        location(spec);
        let hosts = spec.require("hosts").map(|field| field.list(host)).unwrap_or_default();
        let addresses = spec.list("addresses", address);
        let ports = spec.list("ports", |item| item.nested(port));
        let endpoints = spec.list("endpoints", |item| item.nested(endpoint));
        let resolution = resolution(spec)?;
        if hosts.is_empty() {
            spec.error("a ServiceEntry needs at least one host", None);
        }
        check_static(spec, resolution, &endpoints);
        Some(ServiceEntry { hosts, addresses, ports, resolution, endpoints, slow_start })
    })
}

fn location(spec: &Reader<'_, '_>) {
    if let Some(field) = spec.take("location") {
        // Both are reached the same way from a gateway that is not part of the mesh.
        field.choice(&[("MESH_EXTERNAL", ()), ("MESH_INTERNAL", ())]);
    }
}

fn resolution(spec: &Reader<'_, '_>) -> Option<Resolution> {
    let choices = [
        ("STATIC", Some(Resolution::Static)),
        ("DNS", Some(Resolution::Dns)),
        ("DNS_ROUND_ROBIN", Some(Resolution::Dns)),
        ("NONE", Some(Resolution::None)),
        ("DYNAMIC_DNS", None),
    ];
    let Some(field) = spec.take("resolution") else { return Some(Resolution::None) };
    let resolution = field.choice(&choices)?;
    if resolution.is_none() {
        field.error("the resolution DYNAMIC_DNS is not supported", Some("use DNS".into()));
    }
    resolution
}

fn check_static(spec: &Reader<'_, '_>, resolution: Resolution, endpoints: &[EntryEndpoint]) {
    let named = endpoints.iter().find(|endpoint| endpoint.address.parse::<IpAddr>().is_err());
    if let (Resolution::Static, Some(endpoint)) = (resolution, named) {
        let message = format!("`{}` is a name, but the resolution is STATIC", endpoint.address);
        spec.error(message, Some("write an IP address, or resolution: DNS".into()));
    }
}

fn host(field: &Field<'_, '_>) -> Option<Box<str>> {
    let text = field.non_empty_string()?;
    if text.contains('*') {
        field.warn("a wildcard host gives no backend an address", None);
    }
    Some(text.trim_end_matches('.').to_ascii_lowercase().into())
}

fn address(field: &Field<'_, '_>) -> Option<IpAddr> {
    let range = field.ip_net()?;
    if range.prefix_len() != range.max_prefix_len() {
        field.warn("a range of virtual addresses has no effect", None);
        return None;
    }
    Some(range.addr())
}

fn port(reader: &Reader<'_, '_>) -> Option<EntryPort> {
    let number = reader.require("number").and_then(|field| field.port());
    let name = reader.string_or_empty("name");
    let protocol = reader.string("protocol").unwrap_or_else(|| "TCP".into());
    let target = reader.take("targetPort").map(|field| field.port());
    let number = number?;
    let target = target.unwrap_or(Some(number))?;
    Some(EntryPort { number, name, protocol: protocol.to_ascii_uppercase().into(), target })
}

fn endpoint(reader: &Reader<'_, '_>) -> Option<EntryEndpoint> {
    ["labels", "serviceAccount"].iter().for_each(|name| reader.skip(name));
    reader.ignored("network", "all networks are reached directly");
    let weight = reader.int("weight", 1, u32::MAX.into()).unwrap_or(1) as u32;
    let locality = reader.string_or_empty("locality");
    let zone = locality.split('/').nth(1).filter(|zone| !zone.is_empty()).map(Into::into);
    let mut ports = Vec::new();
    reader.nested("ports", |map| {
        ports.extend(map.rest().filter_map(|(name, field)| Some((name.into(), field.port()?))));
        Some(())
    });
    let field = reader.require("address")?;
    let address = field.non_empty_string()?;
    if address.contains('/') {
        field.error("Unix sockets are not supported", None);
        return None;
    }
    Some(EntryEndpoint { address, ports, weight, zone })
}
