//! ServiceEntry.

use std::net::IpAddr;

use super::workload::{self, WorkloadEntry};
use crate::kubernetes::Labels;
use crate::metadata::{SLOW_START, annotation};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

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
    pub endpoints: Vec<WorkloadEntry>,
    /// Labels of the workloads that it runs on, all of which must fit; empty when it has its own
    /// endpoints.
    pub selector: Labels,
    /// Whether it is part of the mesh.
    pub location: Location,
    /// The annotation `weftway.io/slow-start`, as written.
    pub slow_start: Option<Spanned<Box<str>>>,
}

/// Whether a ServiceEntry is part of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// Its workloads may have proxies (`MESH_INTERNAL`).
    Internal,
    /// It is never spoken to with the mesh's identity (`MESH_EXTERNAL`, the default).
    External,
}

/// A port of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPort {
    /// Number.
    pub number: u16,
    /// Name.
    pub name: Box<str>,
    /// `HTTP`, `HTTPS`, `GRPC`, `HTTP2`, `TCP`, `TLS` or another, upper case; empty when absent.
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

// === impl ServiceEntry ===

impl ServiceEntry {
    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&EntryPort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

/// Reads a ServiceEntry.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<ServiceEntry> {
    let slow_start = annotation(reader, SLOW_START);
    reader.require("spec")?.nested(|spec| {
        spec.ignored("exportTo", "every namespace sees it");
        spec.ignored("subjectAltNames", "TLS towards this host is set up by the route's dialect");
        let location = location(spec);
        let selector = spec.nested("workloadSelector", workload::labels).unwrap_or_default();
        let hosts = spec.require("hosts").map(|field| field.list(host)).unwrap_or_default();
        let addresses = spec.list("addresses", address);
        let ports = spec.list("ports", |item| item.nested(port));
        let endpoints = spec.list("endpoints", |item| item.nested(workload::read));
        let resolution = resolution(spec)?;
        if hosts.is_empty() {
            spec.error("a ServiceEntry needs at least one host", None);
        }
        check_static(spec, resolution, &endpoints);
        check_selector(spec, resolution, &selector, &endpoints);
        Some(ServiceEntry {
            hosts,
            addresses,
            ports,
            resolution,
            endpoints,
            selector,
            location,
            slow_start,
        })
    })
}

fn location(spec: &Reader<'_, '_>) -> Location {
    let choices = [("MESH_EXTERNAL", Location::External), ("MESH_INTERNAL", Location::Internal)];
    let location = spec.take("location").and_then(|field| field.choice(&choices));
    location.unwrap_or(Location::External)
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

fn check_static(spec: &Reader<'_, '_>, resolution: Resolution, endpoints: &[WorkloadEntry]) {
    let named = endpoints.iter().find(|endpoint| endpoint.address.parse::<IpAddr>().is_err());
    if let (Resolution::Static, Some(endpoint)) = (resolution, named) {
        let message = format!("`{}` is a name, but the resolution is STATIC", endpoint.address);
        spec.error(message, Some("write an IP address, or resolution: DNS".into()));
    }
}

fn check_selector(
    spec: &Reader<'_, '_>,
    resolution: Resolution,
    selector: &[(Box<str>, Box<str>)],
    endpoints: &[WorkloadEntry],
) {
    if selector.is_empty() {
        return;
    }
    if resolution != Resolution::Static {
        let fix = Some("write resolution: STATIC".into());
        spec.error("`workloadSelector` needs the resolution STATIC", fix);
    }
    if !endpoints.is_empty() {
        spec.error("`workloadSelector` and `endpoints` exclude each other", None);
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
    let protocol = reader.string_or_empty("protocol");
    let target = reader.take("targetPort").map(|field| field.port());
    let number = number?;
    let target = target.unwrap_or(Some(number))?;
    Some(EntryPort { number, name, protocol: protocol.to_ascii_uppercase().into(), target })
}
