//! Gateway of networking.istio.io.

use super::server::{PortProtocol, ServerTls};
use super::value::{NamespaceRef, block, foreign, has_items, host_text, is_label, spanned, text};
use crate::kubernetes::Labels;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// An Istio Gateway: the servers of gateways that labels choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Labels of the gateways that it is for, all of which must fit; every gateway when empty.
    pub selector: Labels,
    /// What they listen for.
    pub servers: Vec<Server>,
}

/// What a gateway listens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub port: ServerPort,
    /// The address that it listens on; `None` for all.
    pub bind: Option<Spanned<Box<str>>>,
    /// The hosts that it is for.
    pub hosts: Vec<Spanned<ServerHost>>,
    /// How its TLS is done.
    pub tls: Option<Spanned<ServerTls>>,
    /// Where calls go that no route takes; Istio never used it.
    pub default_endpoint: Option<Spanned<Box<str>>>,
    /// Where it is written.
    pub at: Pos,
}

/// The port of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPort {
    /// Number.
    pub number: Spanned<u16>,
    /// Name, unlike those of all other servers.
    pub name: Box<str>,
    /// What it speaks.
    pub protocol: Spanned<PortProtocol>,
}

/// A host that a server is for, and whose routes may take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHost {
    /// The namespace of the VirtualServices; `None` for any.
    pub namespace: Option<NamespaceRef>,
    /// The host, lower case; a first label `*` stands for any names.
    pub host: Box<str>,
}

// === impl Server ===

impl Server {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let hosts = reader.list("hosts", |item| Some(item.spanned(ServerHost::read(item)?)));
        if !has_items(reader, "hosts") {
            let fix = Some("write hosts: [\"*\"] for any".into());
            reader.error("a server needs at least one host", fix);
        }
        reader.label("name", "servers are told apart by their ports and hosts");
        let bind = spanned(reader, "bind", bind);
        let default_endpoint = text(reader, "defaultEndpoint");
        let has_tls = reader.take("tls").is_some();
        let tls = block(reader, "tls", ServerTls::read_gateway);
        let port = reader.require("port")?.nested(ServerPort::read)?;
        check_tls(reader, *port.protocol, tls.as_deref(), has_tls);
        Some(Self { port, bind, hosts, tls, default_endpoint, at: reader.at() })
    }
}

/// TLS stands where the protocol has it.
fn check_tls(
    reader: &Reader<'_, '_>,
    protocol: PortProtocol,
    tls: Option<&ServerTls>,
    is_written: bool,
) {
    let redirects =
        tls.and_then(|tls| tls.https_redirect.as_ref()).is_some_and(|redirects| **redirects);
    if protocol.is_tls() {
        if !is_written {
            let fix = "write tls: {mode: SIMPLE, credentialName: NAME}".into();
            reader.error(format!("the protocol {protocol} needs `tls`"), Some(fix));
        }
        if redirects {
            let fix = "write it for the server of port 80".into();
            reader.warn("`httpsRedirect` has no effect where TLS is spoken", Some(fix));
        }
    } else if let Some(tls) = tls {
        let only_redirects = protocol.is_http() && tls.is_redirect_only();
        if !only_redirects {
            let fix = Some("write protocol: HTTPS or TLS".into());
            reader.error(format!("the protocol {protocol} has no TLS"), fix);
        }
    }
}

fn bind(field: &Field<'_, '_>) -> Option<Box<str>> {
    let text = field.non_empty_string()?;
    if text.parse::<std::net::IpAddr>().is_err() {
        let message = match text.starts_with("unix://") {
            true => "Unix sockets are not supported".into(),
            false => format!("`{text}` is not an address"),
        };
        field.error(message, None);
        return None;
    }
    Some(text)
}

// === impl ServerPort ===

impl ServerPort {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let fix = "remove it: the routes name the port of the service";
        foreign(reader, "targetPort", "`targetPort` has no meaning at a gateway", fix);
        let number = reader.require("number").and_then(|field| Some(field.spanned(field.port()?)));
        let name = reader.require_label("name");
        let protocol = reader
            .require("protocol")
            .and_then(|field| Some(field.spanned(PortProtocol::read(&field)?)));
        Some(Self { number: number?, name: name?, protocol: protocol? })
    }
}

// === impl ServerHost ===

impl ServerHost {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let text = field.non_empty_string()?;
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (namespace, name),
            None => ("*", &*text),
        };
        if !matches!(namespace, "*" | ".") && !is_label(namespace) {
            let fix = Some("write NAMESPACE/HOST, ./HOST or */HOST".into());
            field.error(format!("`{namespace}` is not the name of a namespace"), fix);
            return None;
        }
        let name = host_part(field, name)?;
        let namespace = (namespace != "*").then(|| NamespaceRef::new(namespace.into()));
        Some(Self { namespace, host: name })
    }
}

/// A host that stands alone or behind a namespace: `*`, a whole name, or `*` and the rest of one.
pub(super) fn host_part(field: &Field<'_, '_>, text: &str) -> Option<Box<str>> {
    let name = host_text(field, text)?;
    let is_partial = name.starts_with("*-");
    let is_short = &*name != "*" && !name.contains(['.', ':']);
    if is_partial || is_short {
        let fix = Some("write the whole name, or `*.` and the rest of it".into());
        field.error(format!("`{text}` is not the whole name of a host"), fix);
        return None;
    }
    Some(name)
}

/// Reads an Istio Gateway.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Gateway> {
    reader.require("spec")?.nested(|spec| {
        let selector = spec.take("selector").map(|field| field.text_map()).unwrap_or_default();
        let servers = spec.list("servers", |item| item.nested(Server::read));
        if !has_items(spec, "servers") {
            spec.error("a Gateway needs at least one server", None);
        }
        for (index, server) in servers.iter().enumerate() {
            let name = &server.port.name;
            if servers[..index].iter().any(|other| other.port.name == *name) {
                let fix = Some("give each port its own name".into());
                spec.error(format!("the port `{name}` is there already"), fix);
            }
        }
        Some(Gateway { selector: selector.into(), servers })
    })
}
