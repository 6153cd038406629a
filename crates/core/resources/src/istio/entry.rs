//! ServiceEntry.

use std::net::IpAddr;

use ipnet::IpNet;

use super::value::{ExportTo, has_items, host_text};
use super::workload::{self, WorkloadEntry};
use crate::kubernetes::Labels;
use crate::kubernetes::service::{Distribution, distribution};
use crate::metadata::{Annotations, SLOW_START, annotation};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A ServiceEntry: hosts that are not Services, and where they are.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceEntry {
    /// Host names, lower case.
    pub hosts: Vec<Box<str>>,
    /// Virtual addresses.
    pub addresses: Vec<IpAddr>,
    /// Ranges of virtual addresses.
    pub ranges: Vec<Spanned<IpNet>>,
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
    /// Who sees it; `None` leaves it to MeshConfig.
    pub export_to: Option<Spanned<ExportTo>>,
    /// Names, one of which its endpoints have to show to whoever verifies certificates; those that
    /// were called when empty.
    pub subject_alt_names: Vec<Spanned<Box<str>>>,
    /// The annotation `weftway.io/slow-start`, as written.
    pub slow_start: Option<Spanned<Box<str>>>,
    /// Which endpoints come first, by Istio's annotation; `None` when nothing is said.
    pub distribution: Option<Spanned<Distribution>>,
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
    /// DNS: names among `endpoints`, or the hosts themselves. All addresses that are found.
    Dns,
    /// The same (`DNS_ROUND_ROBIN`), with the address that stands first when it is needed.
    DnsRoundRobin,
    /// DNS: the name that a caller asks for, of those that a wildcard stands for (`DYNAMIC_DNS`).
    DynamicDns,
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
    let distribution = distribution(&Annotations::of(reader));
    reader.require("spec")?.nested(|spec| {
        let (addresses, ranges) = addresses(spec);
        let names = |item: &Field<'_, '_>| Some(item.spanned(item.non_empty_string()?));
        let resolution = resolution(spec);
        let entry = ServiceEntry {
            hosts: hosts(spec, resolution),
            addresses,
            ranges,
            ports: spec.list("ports", |item| item.nested(port)),
            resolution: resolution?,
            endpoints: spec.list("endpoints", |item| item.nested(workload::read)),
            selector: spec.nested("workloadSelector", workload::labels).unwrap_or_default(),
            location: location(spec),
            export_to: ExportTo::take(spec, "exportTo"),
            subject_alt_names: spec.list("subjectAltNames", names),
            slow_start,
            distribution,
        };
        spec.ignored("subjectAltNames", "TLS towards this host is set up by the route's dialect");
        if entry.hosts.is_empty() {
            spec.error("a ServiceEntry needs at least one host", None);
        }
        check_static(spec, &entry);
        check_selector(spec, &entry);
        check_dynamic(spec, &entry);
        check_ranges(spec, &entry);
        Some(entry)
    })
}

fn location(spec: &Reader<'_, '_>) -> Location {
    let choices = [("MESH_EXTERNAL", Location::External), ("MESH_INTERNAL", Location::Internal)];
    let location = spec.take("location").and_then(|field| field.choice(&choices));
    location.unwrap_or(Location::External)
}

fn resolution(spec: &Reader<'_, '_>) -> Option<Resolution> {
    let choices = [
        ("STATIC", Resolution::Static),
        ("DNS", Resolution::Dns),
        ("DNS_ROUND_ROBIN", Resolution::DnsRoundRobin),
        ("NONE", Resolution::None),
        ("DYNAMIC_DNS", Resolution::DynamicDns),
    ];
    spec.take("resolution").map_or(Some(Resolution::None), |field| field.choice(&choices))
}

fn check_static(spec: &Reader<'_, '_>, entry: &ServiceEntry) {
    let is_name = |endpoint: &&WorkloadEntry| endpoint.address.parse::<IpAddr>().is_err();
    let named = entry.endpoints.iter().find(is_name);
    if let (Resolution::Static, Some(endpoint)) = (entry.resolution, named) {
        let message = format!("`{}` is a name, but the resolution is STATIC", endpoint.address);
        spec.error(message, Some("write an IP address, or resolution: DNS".into()));
    }
    if entry.resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
        let fix = Some("keep one of them, or write resolution: DNS".into());
        spec.error("the resolution DNS_ROUND_ROBIN has one endpoint at most", fix);
    }
}

fn check_selector(spec: &Reader<'_, '_>, entry: &ServiceEntry) {
    if entry.selector.is_empty() {
        return;
    }
    if entry.resolution != Resolution::Static {
        let fix = Some("write resolution: STATIC".into());
        spec.error("`workloadSelector` needs the resolution STATIC", fix);
    }
    if !entry.endpoints.is_empty() {
        spec.error("`workloadSelector` and `endpoints` exclude each other", None);
    }
}

/// What stands for any name has only what such names have in common.
fn check_dynamic(spec: &Reader<'_, '_>, entry: &ServiceEntry) {
    if entry.resolution != Resolution::DynamicDns {
        return;
    }
    for host in entry.hosts.iter().filter(|host| !host.starts_with('*')) {
        let fix = Some("write resolution: DNS".into());
        spec.error(format!("DYNAMIC_DNS is for wildcards, and `{host}` is none"), fix);
    }
    for name in ["addresses", "endpoints"] {
        if has_items(spec, name) {
            spec.error(format!("`{name}` and the resolution DYNAMIC_DNS exclude each other"), None);
        }
    }
    for port in &entry.ports {
        if !matches!(&*port.protocol, "HTTP" | "HTTP2" | "GRPC" | "TLS") {
            let fix = Some("write protocol: HTTP, HTTP2, GRPC or TLS".into());
            let message = format!("calls to port {} do not say which name they want", port.number);
            spec.error(message, fix);
        }
    }
}

fn check_ranges(spec: &Reader<'_, '_>, entry: &ServiceEntry) {
    let has_ranges = !entry.ranges.is_empty();
    if has_ranges && !matches!(entry.resolution, Resolution::None | Resolution::Static) {
        let fix = Some("write single addresses".into());
        spec.error("ranges of addresses need the resolution NONE or STATIC", fix);
    }
}

fn hosts(spec: &Reader<'_, '_>, resolution: Option<Resolution>) -> Vec<Box<str>> {
    let host = |field: &Field<'_, '_>| {
        let name = host_text(field, &field.non_empty_string()?)?;
        if &*name == "*" {
            field.error("the host `*` is everything and nothing", Some("name a domain".into()));
            return None;
        }
        if name.contains('*') && resolution != Some(Resolution::DynamicDns) {
            field.warn("a wildcard host gives no backend an address", None);
        }
        Some(name)
    };
    spec.require("hosts").map(|field| field.list(host)).unwrap_or_default()
}

/// The virtual addresses, single ones and ranges.
fn addresses(spec: &Reader<'_, '_>) -> (Vec<IpAddr>, Vec<Spanned<IpNet>>) {
    let (mut addrs, mut ranges) = (Vec::new(), Vec::new());
    spec.list("addresses", |field| {
        let range = field.ip_net()?;
        if range.prefix_len() == range.max_prefix_len() {
            addrs.push(range.addr());
        } else {
            field.warn("a range of virtual addresses has no effect", None);
            ranges.push(field.spanned(range));
        }
        Some(())
    });
    (addrs, ranges)
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
