//! ExternalWorkload.

use std::net::IpAddr;

use crate::kubernetes::service::Transport;
use crate::problem::Pos;
use crate::read::{Field, Reader};

/// A workload that is no Pod. Services select it by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalWorkload {
    /// The identity in its certificate, such as a SPIFFE id.
    pub identity: Box<str>,
    /// The server name that is sent to it.
    pub server_name: Box<str>,
    /// Its ports.
    pub ports: Vec<WorkloadPort>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it takes calls: its condition `Ready`. Without a status it does not.
    pub is_ready: bool,
}

/// A port of an ExternalWorkload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadPort {
    /// Name; empty when it has none.
    pub name: Box<str>,
    /// Number.
    pub port: u16,
    /// Transport.
    pub transport: Transport,
    /// Where it is written.
    pub at: Pos,
}

/// Reads an ExternalWorkload.
pub(super) fn read(reader: &Reader<'_, '_>) -> Option<ExternalWorkload> {
    let is_ready = is_ready(reader);
    reader.require("spec")?.nested(|spec| {
        let mesh_tls = spec.require("meshTLS").and_then(|field| {
            field.nested(|tls| {
                let identity = tls.require_string("identity");
                let server_name = tls.require_string("serverName");
                Some((identity?, server_name?))
            })
        });
        let ports = spec.list("ports", |item| item.nested(port));
        let addresses = spec.list("workloadIPs", |item| {
            item.nested(|ip| ip.require("ip").and_then(|field| address(&field)))
        });
        let (identity, server_name) = mesh_tls?;
        Some(ExternalWorkload { identity, server_name, ports, addresses, is_ready })
    })
}

/// Whether the status says that it is ready. Whoever runs the workload writes it, so unlike other
/// statuses it says what is wanted.
fn is_ready(reader: &Reader<'_, '_>) -> bool {
    let conditions = reader.nested("status", |status| {
        let conditions = status.list("conditions", |item| {
            item.nested(|condition| {
                let is = |name, wanted: &str| {
                    let text = condition.take(name).and_then(|field| field.text());
                    text.is_some_and(|text| *text == *wanted)
                };
                let (is_ready, is_true) = (is("type", "Ready"), is("status", "True"));
                condition.skip_rest();
                Some(is_ready && is_true)
            })
        });
        status.skip_rest();
        Some(conditions)
    });
    conditions.unwrap_or_default().contains(&true)
}

fn port(reader: &Reader<'_, '_>) -> Option<WorkloadPort> {
    let name = reader.string_or_empty("name");
    let transport = Transport::take(reader);
    let port = reader.require("port")?.port()?;
    Some(WorkloadPort { name, port, transport, at: reader.at() })
}

fn address(field: &Field<'_, '_>) -> Option<IpAddr> {
    let text = field.string()?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        field.error(format!("`{text}` is not an IP address"), None);
    }
    parsed
}
