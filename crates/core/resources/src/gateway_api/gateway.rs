//! GatewayClass, Gateway and ListenerSet.

use std::net::IpAddr;

use super::GROUP;
use super::reference::{ObjectRef, hostname, ignore_options};
use crate::kubernetes::LabelSelector;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A GatewayClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayClass {
    /// Who serves it, such as `weftway.io/gateway-controller`.
    pub controller: Box<str>,
}

/// A Gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// `gatewayClassName`.
    pub class: Spanned<Box<str>>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Addresses asked for.
    pub addresses: Vec<Spanned<IpAddr>>,
    /// Which ListenerSets may add listeners.
    pub allowed_listeners: FromNamespaces,
    /// Client certificates, on every port without its own entry in `frontend_ports`.
    pub frontend: Option<FrontendValidation>,
    /// Client certificates by port; `None` asks for none.
    pub frontend_ports: Vec<(u16, Option<FrontendValidation>)>,
    /// Shown to backends that are reached by TLS.
    pub client_certificate: Option<ObjectRef>,
}

/// A ListenerSet: more listeners for a Gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerSet {
    /// The Gateway.
    pub parent: ObjectRef,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Name, unique in its object.
    pub name: Box<str>,
    /// Host, `*.` in front for one or more labels; `None` for every host.
    pub hostname: Option<Box<str>>,
    /// Port.
    pub port: u16,
    /// What is spoken.
    pub protocol: Spanned<Protocol>,
    /// TLS.
    pub tls: Option<ListenerTls>,
    /// Routes that may attach.
    pub allowed: AllowedRoutes,
    /// Where it is written.
    pub at: Pos,
}

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// TLS over TCP.
    Tls,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Of some implementation.
    Other(Box<str>),
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Passed through instead of ended here.
    pub passthrough: bool,
    /// Secrets with certificates.
    pub certificates: Vec<ObjectRef>,
}

/// Routes that may attach to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedRoutes {
    /// From where.
    pub namespaces: FromNamespaces,
    /// Group and kind; empty allows every kind that fits the protocol.
    pub kinds: Vec<Spanned<(Box<str>, Box<str>)>>,
}

/// A set of namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromNamespaces {
    /// That of the Gateway.
    Same,
    /// Every one.
    All,
    /// Those with fitting labels.
    Selector(LabelSelector),
    /// None.
    None,
}

/// How client certificates are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontendValidation {
    /// ConfigMaps (or Secrets) with authorities.
    pub authorities: Vec<ObjectRef>,
    /// Connections without a valid certificate are served all the same.
    pub insecure_fallback: bool,
}

// === impl Protocol ===

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Other(name) => name,
        })
    }
}

/// Reads a GatewayClass.
pub(crate) fn read_class(reader: &Reader<'_, '_>) -> Option<GatewayClass> {
    reader.require("spec")?.nested(|spec| {
        spec.skip("description");
        spec.ignored("parametersRef", "no parameters of a GatewayClass are known");
        Some(GatewayClass { controller: spec.require_string("controllerName")? })
    })
}

/// Reads a Gateway.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Gateway> {
    reader.require("spec")?.nested(|spec| {
        spec.nested("infrastructure", infrastructure);
        if let Some(field) = spec.take("defaultScope")
            && field.choice(&[("None", false), ("All", true)]) == Some(true)
        {
            field.warn("`defaultScope` has no effect: default Gateways are not supported", None);
        }
        let class = spec.require("gatewayClassName").and_then(|field| field.spanned_string());
        let listeners = listeners(spec);
        let addresses = spec.list("addresses", |item| address(item));
        let allowed = spec.nested("allowedListeners", |allowed| {
            allowed.nested("namespaces", |reader| namespaces(reader, FromNamespaces::None))
        });
        let mut gateway = Gateway {
            class: class?,
            listeners,
            addresses,
            allowed_listeners: allowed.unwrap_or(FromNamespaces::None),
            frontend: None,
            frontend_ports: Vec::new(),
            client_certificate: None,
        };
        spec.nested("tls", |tls| {
            tls.nested("frontend", |frontend| {
                gateway.frontend = frontend.nested("default", validation);
                gateway.frontend_ports = frontend.list("perPort", |item| item.nested(per_port));
                Some(())
            });
            tls.nested("backend", |backend| {
                let field = backend.take("clientCertificateRef")?;
                gateway.client_certificate = ObjectRef::secret(&field);
                Some(())
            })
        });
        Some(gateway)
    })
}

/// Reads a ListenerSet.
pub(crate) fn read_set(reader: &Reader<'_, '_>) -> Option<ListenerSet> {
    reader.require("spec")?.nested(|spec| {
        let parent = spec
            .require("parentRef")
            .and_then(|field| field.nested(|reader| ObjectRef::take(reader, GROUP, "Gateway")));
        let listeners = listeners(spec);
        Some(ListenerSet { parent: parent?, listeners })
    })
}

fn infrastructure(reader: &Reader<'_, '_>) -> Option<()> {
    let why = "no infrastructure is created for a Gateway";
    ["labels", "annotations", "parametersRef"].iter().for_each(|name| reader.ignored(name, why));
    Some(())
}

fn address(field: &Field<'_, '_>) -> Option<Spanned<IpAddr>> {
    field.nested(|reader| {
        let kind = reader.string("type").unwrap_or_else(|| "IPAddress".into());
        let value = reader.take("value")?;
        let text = value.string()?;
        if text.is_empty() {
            return None;
        }
        match text.parse() {
            Ok(addr) if *kind == *"IPAddress" => Some(value.spanned(addr)),
            Err(_) if *kind == *"IPAddress" => {
                value.error(format!("`{text}` is not an IP address"), None);
                None
            }
            Ok(_) | Err(_) => {
                field.warn(format!("an address of type {kind} has no effect"), None);
                None
            }
        }
    })
}

fn listeners(spec: &Reader<'_, '_>) -> Vec<Listener> {
    let mut names: Vec<Box<str>> = Vec::new();
    let Some(field) = spec.require("listeners") else { return Vec::new() };
    let listeners = field.list(|item| {
        let listener = item.nested(listener)?;
        if names.contains(&listener.name) {
            item.error(format!("the listener name `{}` is used twice", listener.name), None);
        }
        names.push(listener.name.clone());
        Some(listener)
    });
    if listeners.is_empty() && field.node().as_seq().is_some_and(<[_]>::is_empty) {
        field.error("at least one listener is needed", None);
    }
    listeners
}

fn listener(reader: &Reader<'_, '_>) -> Option<Listener> {
    let name = reader.require_string("name");
    let host_field = reader
        .take("hostname")
        .filter(|field| field.node().as_scalar().is_none_or(|scalar| !scalar.text.is_empty()));
    let hostname = match &host_field {
        Some(field) => Some(hostname(field, true)?.value),
        None => None,
    };
    let port = reader.require("port").and_then(|field| field.port());
    let protocol = reader
        .require("protocol")
        .and_then(|field| field.non_empty_string().map(|name| field.spanned(protocol(&name))));
    let tls = reader.nested("tls", |tls| listener_tls(tls));
    let allowed = allowed_routes(reader)?;
    let protocol = protocol?;
    let takes_tls = matches!(protocol.value, Protocol::Https | Protocol::Tls);
    if reader.has("tls") && matches!(protocol.value, Protocol::Http | Protocol::Tcp | Protocol::Udp)
    {
        let message = format!("`tls` is not possible with the protocol {}", protocol.value);
        reader.error(message, Some("write protocol: HTTPS, or remove `tls`".into()));
    } else if takes_tls && tls.is_none() && !reader.has("tls") {
        let message = format!("`tls` is required for the protocol {}", protocol.value);
        reader.error(message, None);
    }
    if matches!(protocol.value, Protocol::Tcp | Protocol::Udp) && hostname.is_some() {
        let message = format!("`hostname` is not possible with the protocol {}", protocol.value);
        reader.error(message, Some("remove `hostname`".into()));
    }
    if protocol.value == Protocol::Https && tls.as_ref().is_some_and(|tls| tls.passthrough) {
        let fix = Some("write protocol: TLS".into());
        reader.error("the TLS mode Passthrough is not possible with the protocol HTTPS", fix);
    }
    let (name, port, at) = (name?, port?, reader.at());
    Some(Listener { name, hostname, port, protocol, tls, allowed, at })
}

fn protocol(name: &str) -> Protocol {
    match name {
        "HTTP" => Protocol::Http,
        "HTTPS" => Protocol::Https,
        "TLS" => Protocol::Tls,
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        other => Protocol::Other(other.into()),
    }
}

fn listener_tls(reader: &Reader<'_, '_>) -> Option<ListenerTls> {
    let modes = [("Terminate", false), ("Passthrough", true)];
    let passthrough = match reader.take("mode") {
        Some(field) => field.choice(&modes)?,
        None => false,
    };
    let certificates = reader.list("certificateRefs", ObjectRef::secret);
    ignore_options(reader);
    if !passthrough && certificates.is_empty() && !reader.has("certificateRefs") {
        let fix = "name a Secret of type kubernetes.io/tls".into();
        reader.error("`certificateRefs` is required for the mode Terminate", Some(fix));
    }
    Some(ListenerTls { passthrough, certificates })
}

fn allowed_routes(reader: &Reader<'_, '_>) -> Option<AllowedRoutes> {
    let mut allowed = AllowedRoutes { namespaces: FromNamespaces::Same, kinds: Vec::new() };
    let Some(field) = reader.take("allowedRoutes") else { return Some(allowed) };
    field.nested(|reader| {
        if let Some(field) = reader.take("namespaces") {
            allowed.namespaces = field.nested(|reader| namespaces(reader, FromNamespaces::Same))?;
        }
        allowed.kinds = reader.list("kinds", |item| {
            item.nested(|reader| {
                let group = reader.string("group").unwrap_or_else(|| GROUP.into());
                let kind = reader.require_string("kind")?;
                Some(Spanned::new((group, kind), reader.at()))
            })
        });
        Some(allowed)
    })
}

fn namespaces(reader: &Reader<'_, '_>, default: FromNamespaces) -> Option<FromNamespaces> {
    let selector = reader.take("selector");
    let choices = [
        ("Same", FromNamespaces::Same),
        ("All", FromNamespaces::All),
        ("Selector", FromNamespaces::Selector(LabelSelector::default())),
        ("None", FromNamespaces::None),
    ];
    let from = match reader.take("from") {
        Some(field) => field.choice(&choices)?,
        None => default,
    };
    match (from, selector) {
        (FromNamespaces::Selector(_), Some(field)) => {
            field.nested(LabelSelector::read).map(FromNamespaces::Selector)
        }
        (FromNamespaces::Selector(_), None) => {
            reader.error("`selector` is required with from: Selector", None);
            None
        }
        (from, Some(field)) => {
            let fix = Some("write from: Selector".into());
            field.warn("`selector` has no effect without from: Selector", fix);
            Some(from)
        }
        (from, None) => Some(from),
    }
}

fn validation(reader: &Reader<'_, '_>) -> Option<FrontendValidation> {
    reader.nested("validation", |validation| {
        let modes = [("AllowValidOnly", false), ("AllowInsecureFallback", true)];
        let insecure_fallback = match validation.take("mode") {
            Some(field) => field.choice(&modes)?,
            None => false,
        };
        let authorities = validation
            .require("caCertificateRefs")?
            .list(|item| item.nested(|reader| ObjectRef::take(reader, "", "ConfigMap")));
        Some(FrontendValidation { authorities, insecure_fallback })
    })
}

fn per_port(reader: &Reader<'_, '_>) -> Option<(u16, Option<FrontendValidation>)> {
    let port = reader.require("port").and_then(|field| field.port());
    let validation = reader.nested("tls", |tls| Some(validation(tls))).flatten();
    Some((port?, validation))
}
