//! Sidecar.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::destination::Destination;
use super::destination_rule::ConnectionPool;
use super::gateway::host_part;
use super::server::{PortProtocol, ServerTls, ServerTlsMode};
use super::value::{NamespaceRef, block, foreign, has_items, is_label, spanned};
use super::workload;
use crate::kubernetes::Labels;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A Sidecar: what the proxies of workloads take and see.
#[derive(Debug, Clone, PartialEq)]
pub struct Sidecar {
    /// Labels of the workloads that it is about, all of which must fit; empty for its whole
    /// namespace.
    pub selector: Labels,
    /// What is taken at single ports; all that the workload listens on when empty.
    pub ingress: Vec<Ingress>,
    /// What workloads may see; everything that is shown to them when empty.
    pub egress: Vec<Egress>,
    /// How many connections and requests there may be to the workload, where its `ingress` does not
    /// say. `None` for what a DestinationRule says of its service.
    pub inbound_pool: Option<Spanned<ConnectionPool>>,
    /// What becomes of calls to what the mesh does not know; `None` leaves it to others.
    pub outbound: Option<OutboundMode>,
    /// Who gets these calls; `None` for whom they are for.
    pub egress_proxy: Option<Spanned<Destination>>,
    /// Where `outboundTrafficPolicy` is written.
    pub at: Pos,
}

/// What becomes of calls to what the mesh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundMode {
    /// They pass (`ALLOW_ANY`).
    AllowAny,
    /// They are refused (`REGISTRY_ONLY`).
    RegistryOnly,
}

/// What is taken at a port.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingress {
    /// The port.
    pub port: SidecarPort,
    /// The address; `None` for those of the workload.
    pub bind: Option<Spanned<IpAddr>>,
    /// How calls get there.
    pub capture: Option<Spanned<CaptureMode>>,
    /// Where they go; `None` for the port itself.
    pub default_endpoint: Option<Spanned<DefaultEndpoint>>,
    /// How TLS that callers speak is done.
    pub tls: Option<Spanned<ServerTls>>,
    /// How many connections and requests there may be.
    pub pool: Option<Spanned<ConnectionPool>>,
    /// Where it is written.
    pub at: Pos,
}

/// What is seen, at a port or everywhere else.
#[derive(Debug, Clone, PartialEq)]
pub struct Egress {
    /// The port; `None` for all that no other names.
    pub port: Option<Spanned<SidecarPort>>,
    /// The address; `None` for all.
    pub bind: Option<Spanned<IpAddr>>,
    /// How calls get there.
    pub capture: Option<Spanned<CaptureMode>>,
    /// What is seen.
    pub hosts: Vec<Spanned<EgressHost>>,
    /// Where it is written.
    pub at: Pos,
}

/// A port of a Sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarPort {
    /// Number.
    pub number: Spanned<u16>,
    /// What it speaks; `None` to find out.
    pub protocol: Option<Spanned<PortProtocol>>,
}

/// How calls get to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMode {
    /// The kernel hands them over (`IPTABLES`).
    Captured,
    /// The caller dials it (`NONE`).
    Dialled,
}

/// Where calls go that were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultEndpoint {
    /// The loopback address of the workload, and this port.
    Loopback(u16),
    /// The address that was called, and this port.
    Instance(u16),
    /// A Unix socket.
    Unix(Box<str>),
}

/// A host that is seen or hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressHost {
    /// Whether it is hidden, whatever else is seen.
    pub is_excluded: bool,
    /// The namespace that it is shown by.
    pub namespace: EgressNamespace,
    /// The host, lower case; `*` for all, a first label `*` for any names.
    pub host: Box<str>,
}

/// The namespaces of hosts that are seen or hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressNamespace {
    /// Any (`*`).
    Any,
    /// One.
    One(NamespaceRef),
    /// None: nothing is seen (`~`).
    None,
}

// === impl Ingress ===

impl Ingress {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let bind = bind(reader);
        let capture = CaptureMode::take(reader);
        let default_endpoint = spanned(reader, "defaultEndpoint", DefaultEndpoint::read);
        let tls = block(reader, "tls", ServerTls::read_sidecar);
        let pool = block(reader, "connectionPool", ConnectionPool::read);
        let port = reader.require("port")?.nested(SidecarPort::read)?;
        let protocol = port.protocol.as_deref().copied();
        if let Some(tls) = &tls {
            check_tls(reader, tls, protocol);
        }
        let is_http = protocol.is_none_or(PortProtocol::is_http);
        if !is_http && pool.as_ref().is_some_and(|pool| pool.http.is_some()) {
            reader.warn("`connectionPool.http` has no effect on a port that is not HTTP", None);
        }
        Some(Self { port, bind, capture, default_endpoint, tls, pool, at: reader.at() })
    }
}

/// Of TLS, a sidecar does less than a gateway.
fn check_tls(reader: &Reader<'_, '_>, tls: &ServerTls, protocol: Option<PortProtocol>) {
    if !protocol.is_some_and(PortProtocol::is_tls) {
        let fix = Some("write protocol: HTTPS or TLS".into());
        reader.error("`tls` is for a port that speaks TLS", fix);
    }
    let is_meshed =
        matches!(*tls.mode, ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough);
    if is_meshed {
        reader.error("`tls` of a Sidecar is SIMPLE, MUTUAL or OPTIONAL_MUTUAL", None);
    }
}

// === impl Egress ===

impl Egress {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let hosts = reader.list("hosts", |item| Some(item.spanned(EgressHost::read(item)?)));
        if !has_items(reader, "hosts") {
            let fix = Some("write \"*/*\" for all, \"~/*\" for none".into());
            reader.error("at least one host is required", fix);
        }
        let bind = bind(reader);
        let capture = CaptureMode::take(reader);
        let port = block(reader, "port", SidecarPort::read);
        Some(Self { port, bind, capture, hosts, at: reader.at() })
    }
}

fn bind(reader: &Reader<'_, '_>) -> Option<Spanned<IpAddr>> {
    spanned(reader, "bind", |field| {
        let text = field.string()?;
        if text.is_empty() {
            return None;
        }
        let addr = text.parse().ok();
        if addr.is_none() {
            let message = match text.starts_with("unix://") {
                true => "Unix sockets are not supported".into(),
                false => format!("`{text}` is not an address"),
            };
            field.error(message, None);
        }
        addr
    })
}

// === impl SidecarPort ===

impl SidecarPort {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let fix = "write `defaultEndpoint` for the port of the workload";
        foreign(reader, "targetPort", "`targetPort` has no meaning in a Sidecar", fix);
        reader.label("name", "ports are known by their numbers");
        let protocol = spanned(reader, "protocol", |field| {
            if field.string().is_some_and(|text| text.is_empty()) {
                return None;
            }
            PortProtocol::read(field)
        });
        let number = reader.require("number")?;
        Some(Self { number: number.spanned(number.port()?), protocol })
    }
}

// === impl CaptureMode ===

impl CaptureMode {
    fn take(reader: &Reader<'_, '_>) -> Option<Spanned<Self>> {
        let modes =
            [("DEFAULT", None), ("IPTABLES", Some(Self::Captured)), ("NONE", Some(Self::Dialled))];
        spanned(reader, "captureMode", |field| field.choice(&modes)?)
    }
}

// === impl DefaultEndpoint ===

impl DefaultEndpoint {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let text = field.non_empty_string()?;
        if let Some(path) = text.strip_prefix("unix://") {
            return Some(Self::Unix(path.into()));
        }
        let found = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port| *port > 0)?;
            match host {
                "" | "127.0.0.1" | "[::1]" => Some(Self::Loopback(port)),
                "0.0.0.0" | "[::]" => Some(Self::Instance(port)),
                _ => None,
            }
        });
        if found.is_none() {
            let fix = "write 127.0.0.1:PORT, or 0.0.0.0:PORT for the workload's own address".into();
            field.error(format!("`{text}` is not a place of the workload"), Some(fix));
        }
        found
    }
}

// === impl EgressHost ===

impl EgressHost {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let text = field.non_empty_string()?;
        let Some((namespace, host)) = text.split_once('/') else {
            let fix = Some(format!("write */{text}, or ./{text} for this namespace"));
            field.error(format!("`{text}` names no namespace"), fix);
            return None;
        };
        let (is_excluded, namespace) = match namespace.strip_prefix('~') {
            Some("") => (false, EgressNamespace::None),
            Some(hidden) => (true, EgressNamespace::read(field, hidden)?),
            None => (false, EgressNamespace::read(field, namespace)?),
        };
        Some(Self { is_excluded, namespace, host: host_part(field, host)? })
    }
}

// === impl EgressNamespace ===

impl EgressNamespace {
    fn read(field: &Field<'_, '_>, text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if text != "." && !is_label(text) {
            field.error(format!("`{text}` is not the name of a namespace"), None);
            return None;
        }
        Some(Self::One(NamespaceRef::new(text.into())))
    }
}

/// Reads a Sidecar.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Sidecar> {
    let mut sidecar = Sidecar {
        selector: Box::default(),
        ingress: Vec::new(),
        egress: Vec::new(),
        inbound_pool: None,
        outbound: None,
        egress_proxy: None,
        at: reader.at(),
    };
    reader.nested("spec", |spec| {
        sidecar.selector = spec.nested("workloadSelector", workload::labels).unwrap_or_default();
        sidecar.ingress = spec.list("ingress", |item| item.nested(Ingress::read));
        sidecar.egress = spec.list("egress", |item| item.nested(Egress::read));
        sidecar.inbound_pool = block(spec, "inboundConnectionPool", ConnectionPool::read);
        if let Some(field) = spec.take("outboundTrafficPolicy") {
            sidecar.at = field.key_at();
            read_outbound(&field, &mut sidecar);
        }
        check_ports(spec, &sidecar);
        Some(())
    });
    Some(sidecar)
}

fn read_outbound(field: &Field<'_, '_>, sidecar: &mut Sidecar) {
    field.nested(|policy| {
        let mode = policy.take("mode").map(|field| field.choice(&MODES));
        if mode.is_none() {
            let fix = Some("write mode: REGISTRY_ONLY or ALLOW_ANY".into());
            policy.warn("without `mode` this is REGISTRY_ONLY", fix);
        }
        sidecar.outbound = mode.unwrap_or(Some(OutboundMode::RegistryOnly));
        sidecar.egress_proxy = block(policy, "egressProxy", Destination::read);
        if let Some(proxy) = &sidecar.egress_proxy {
            if sidecar.outbound != Some(OutboundMode::AllowAny) {
                policy.error("`egressProxy` needs the mode ALLOW_ANY", None);
            }
            if proxy.port.is_none() {
                policy.error("`egressProxy` needs a port", None);
            }
        }
        Some(())
    });
}

const MODES: [(&str, OutboundMode); 2] =
    [("ALLOW_ANY", OutboundMode::AllowAny), ("REGISTRY_ONLY", OutboundMode::RegistryOnly)];

/// Ports are there once, and what holds for all others stands last.
fn check_ports(spec: &Reader<'_, '_>, sidecar: &Sidecar) {
    let ingress: Vec<u16> = sidecar.ingress.iter().map(|one| *one.port.number).collect();
    let egress = sidecar.egress.iter().filter_map(|one| one.port.as_ref());
    let egress: Vec<u16> = egress.map(|port| *port.number).collect();
    for (name, ports) in [("ingress", ingress), ("egress", egress)] {
        let again = ports.iter().enumerate().filter(|(index, port)| ports[..*index].contains(port));
        for (_, port) in again {
            spec.error(format!("port {port} is in `{name}` already"), None);
        }
    }
    let last = sidecar.egress.len().saturating_sub(1);
    if sidecar.egress.iter().take(last).any(|egress| egress.port.is_none()) {
        let fix = Some("move it to the end, and keep one of them".into());
        spec.error("what is seen at all other ports has to stand last", fix);
    }
}

/// Reads `outboundTrafficPolicy` of MeshConfig.
pub(crate) fn outbound(field: &Field<'_, '_>) -> Option<OutboundMode> {
    field.nested(|policy| {
        policy.ignored("egressProxy", "it is for a Sidecar alone");
        let field = policy.take("mode")?;
        if field.string().as_deref() == Some("ALLOW_ANY_DYNAMIC_DNS") {
            let message = "calls go to the address that was dialled; the host is not resolved \
                           again";
            field.warn(message, Some("write ALLOW_ANY".into()));
            return Some(OutboundMode::AllowAny);
        }
        field.choice(&MODES)
    })
}
