//! Servers: which are served, where, and how.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_resources::istio::gateway::{Gateway, Server};
use weft_resources::istio::server::{PortProtocol, ServerTlsMode};
use weft_resources::istio::value::NamespaceRef;
use weft_resources::{Kind, Pos, Resource};

use super::tls::{self, Terminate};
use crate::age::age;
use crate::context::{Context, Output};
use crate::gateway_api::host::Host;
use crate::remark::Place;

/// A server of a Gateway.
pub(super) struct Site<'a> {
    /// The Gateway.
    pub(super) gateway: &'a Arc<Resource>,
    /// The server.
    pub(super) server: &'a Server,
    /// Its position among the Gateway's.
    pub(super) position: usize,
    /// Where it is bound.
    pub(super) addr: SocketAddr,
    /// Its hosts, each with the namespace whose VirtualServices may take it; `None` for any.
    pub(super) hosts: Vec<(Option<Box<str>>, Host)>,
    /// What is served there.
    pub(super) serves: Serves,
}

/// What a server serves.
#[derive(Debug, Clone)]
pub(super) enum Serves {
    /// Plain HTTP, or nothing but the way to HTTPS.
    Http {
        /// Every request is sent to the same place under `https`.
        redirects: bool,
    },
    /// HTTP in TLS that ends here.
    Https(Terminate),
    /// Bytes, plain or not.
    Bytes,
    /// Bytes in TLS that ends here.
    TlsBytes(Terminate),
    /// TLS that goes on to where the server name leads.
    Through,
    /// Nothing, but its hosts are served by no other server either: the reason.
    Broken(String),
    /// Nothing.
    Nothing,
}

// === impl Site ===

impl Site<'_> {
    /// Whether its connections begin with TLS.
    pub(super) fn is_tls(&self) -> bool {
        match &self.serves {
            Serves::Https(_) | Serves::TlsBytes(_) | Serves::Through => true,
            Serves::Http { .. } | Serves::Bytes | Serves::Nothing => false,
            Serves::Broken(_) => self.server.port.protocol.is_tls(),
        }
    }

    /// Whether requests are seen.
    pub(super) fn is_http(&self) -> bool {
        match &self.serves {
            Serves::Http { .. } | Serves::Https(_) => true,
            Serves::Broken(_) => *self.server.port.protocol == PortProtocol::Https,
            Serves::Bytes | Serves::TlsBytes(_) | Serves::Through | Serves::Nothing => false,
        }
    }

    /// How its TLS ends, if it does.
    pub(super) fn terminate(&self) -> Option<&Terminate> {
        match &self.serves {
            Serves::Https(terminate) | Serves::TlsBytes(terminate) => Some(terminate),
            _ => None,
        }
    }

    /// The number of its port, as it is written.
    pub(super) fn port(&self) -> u16 {
        *self.server.port.number
    }

    /// A place in it.
    pub(super) fn say(&self, field: &str, at: Pos, say: impl FnOnce(Place<'_>)) {
        let dot = if field.is_empty() { "" } else { "." };
        let path = format!("spec.servers[{}]{dot}{field}", self.position);
        say(Place::new(self.gateway, at, &path));
    }

    /// The server in words.
    pub(super) fn words(&self) -> String {
        format!("port {} of {}", self.port(), self.gateway.key)
    }
}

/// All servers, those of the oldest Gateway first.
pub(super) fn collect<'a>(context: &Context<'a>, out: &mut Output) -> Vec<Site<'a>> {
    let mut gateways: Vec<(&'a Arc<Resource>, &'a Gateway)> = Vec::new();
    for resource in context.resources {
        if let Kind::IstioGateway(gateway) = &resource.body {
            gateways.push((resource, gateway));
        }
    }
    gateways.sort_by(|(a, _), (b, _)| age(a).cmp(&age(b)));
    let mut sites: Vec<Site<'a>> = Vec::new();
    for (resource, gateway) in gateways {
        if !gateway.selector.is_empty() {
            let message = "it chooses nothing: every Gateway is for the gateway that reads it";
            Place::new(resource, Pos::default(), "spec.selector").note(out, message);
        }
        for (position, server) in gateway.servers.iter().enumerate() {
            let addr = addr(context, resource, server);
            let hosts = server.hosts.iter().map(|host| {
                let namespace = host.namespace.as_ref().map(|namespace| match namespace {
                    NamespaceRef::Own => resource.namespace().into(),
                    NamespaceRef::Named(name) => name.clone(),
                });
                (namespace, self::host(&host.host))
            });
            let mut site = Site {
                gateway: resource,
                server,
                position,
                addr,
                hosts: hosts.collect(),
                serves: Serves::Nothing,
            };
            site.serves = serves(context, &site, out);
            settle(&mut site, &sites, out);
            sites.push(site);
        }
    }
    tell_of_shared_certificates(&sites, out);
    sites
}

/// A host as Istio writes them.
pub(super) fn host(text: &str) -> Host {
    if text == "*" { Host::Any } else { Host::new(Some(text)) }
}

fn addr(context: &Context<'_>, resource: &Resource, server: &Server) -> SocketAddr {
    let (namespace, name) = (resource.namespace(), resource.name());
    let mut addr = context.options.bind_gateway(namespace, name, *server.port.number);
    let bind = server.bind.as_ref().and_then(|bind| bind.parse::<IpAddr>().ok());
    // `0.0.0.0` is what holds where nothing is said, and the command line may say more.
    if let Some(ip) = bind.filter(|ip| !ip.is_unspecified()) {
        addr.set_ip(ip);
    }
    addr
}

/// What a server serves by itself.
fn serves(context: &Context<'_>, site: &Site<'_>, out: &mut Output) -> Serves {
    use PortProtocol::{
        Grpc, GrpcWeb, Http, Http2, HttpProxy, Https, Mongo, MySql, Redis, Tcp, Tls,
    };
    let server = site.server;
    if let Some(endpoint) = &server.default_endpoint {
        let message = "`defaultEndpoint` has no effect, here as in Istio: requests that no rule \
                       takes are answered 404";
        site.say("defaultEndpoint", endpoint.at, |place| place.warn(out, message));
    }
    let protocol = &server.port.protocol;
    let note = |message: &str, out: &mut Output| {
        site.say("port.protocol", protocol.at, |place| place.note(out, message));
    };
    match protocol.value {
        GrpcWeb => {
            let message = "gRPC-Web is passed on as it is: the service has to speak it";
            site.say("port.protocol", protocol.at, |place| place.warn(out, message));
        }
        HttpProxy => {
            let message = "requests are routed by their hosts: nothing is fetched for clients";
            site.say("port.protocol", protocol.at, |place| place.warn(out, message));
        }
        Mongo | MySql | Redis => note("it is served as TCP", out),
        Http | Http2 | Grpc | Https | Tls | Tcp => {}
    }
    match protocol.value {
        Http | Http2 | Grpc | GrpcWeb | HttpProxy => {
            let tls = server.tls.as_ref();
            let redirects = tls.and_then(|tls| tls.https_redirect.as_ref());
            Serves::Http { redirects: redirects.is_some_and(|redirects| redirects.value) }
        }
        Tcp | Mongo | MySql | Redis => Serves::Bytes,
        Https | Tls => of_tls(context, site, out),
    }
}

fn of_tls(context: &Context<'_>, site: &Site<'_>, out: &mut Output) -> Serves {
    let Some(written) = &site.server.tls else { return Serves::Nothing };
    let not_served = |message: &str, out: &mut Output| {
        let message = format!("the server is not served: {message}");
        site.say("tls.mode", written.mode.at, |place| place.error(out, message));
        Serves::Broken("its mode of TLS is not possible here".into())
    };
    match *written.mode {
        ServerTlsMode::Passthrough => Serves::Through,
        ServerTlsMode::AutoPassthrough => not_served(
            "AUTO_PASSTHROUGH needs the names that Istio's sidecars make of services, and Weftway's \
             proxies meet at port 15008",
            out,
        ),
        ServerTlsMode::IstioMutual if !context.services.has_mesh() => not_served(
            "ISTIO_MUTUAL needs the certificates of the mesh, which a gateway by itself lacks",
            out,
        ),
        ServerTlsMode::Simple
        | ServerTlsMode::Mutual
        | ServerTlsMode::OptionalMutual
        | ServerTlsMode::IstioMutual => {
            let is_http = *site.server.port.protocol == PortProtocol::Https;
            match tls::terminate(context, site, written, is_http, out) {
                Ok(terminate) if is_http => Serves::Https(terminate),
                Ok(terminate) => Serves::TlsBytes(terminate),
                Err(reason) => Serves::Broken(reason),
            }
        }
    }
}

/// Leaves out what cannot be served beside the servers before it.
fn settle(site: &mut Site<'_>, before: &[Site<'_>], out: &mut Output) {
    if matches!(site.serves, Serves::Nothing) {
        return;
    }
    let at_once =
        |other: &&Site<'_>| other.addr == site.addr && !matches!(other.serves, Serves::Nothing);
    let is_raw = |serves: &Serves| matches!(serves, Serves::Bytes);
    let clash = before.iter().filter(at_once).find(|other| {
        let is_twin = is_raw(&other.serves) && is_raw(&site.serves);
        !is_twin && (is_raw(&other.serves) || is_raw(&site.serves))
    });
    if let Some(other) = clash {
        let message = format!(
            "the server is not served: {} is at the same address, where bytes cannot be told from \
             other connections",
            other.words()
        );
        site.say("port", site.server.at, |place| place.error(out, message));
        site.serves = Serves::Nothing;
        return;
    }
    if site.terminate().is_none() {
        return;
    }
    let mut lost = Vec::new();
    for (_, host) in &site.hosts {
        let owner = before.iter().filter(at_once).find(|other| {
            let is_same = other.hosts.iter().any(|(_, known)| known == host);
            is_same && other.is_tls() && !is_alike(other, site)
        });
        if let Some(owner) = owner {
            let message = format!(
                "the host {host} is served by {} with other TLS settings, not here",
                owner.words()
            );
            site.say("hosts", site.server.at, |place| place.error(out, message));
            lost.push(host.clone());
        }
    }
    site.hosts.retain(|(_, host)| !lost.contains(host));
}

/// Whether two servers end TLS in the same way.
fn is_alike(one: &Site<'_>, other: &Site<'_>) -> bool {
    match (&one.serves, &other.serves) {
        (Serves::Https(one), Serves::Https(other))
        | (Serves::TlsBytes(one), Serves::TlsBytes(other)) => one == other,
        _ => false,
    }
}

/// A client that finds a certificate good for two hosts may use one connection for both.
fn tell_of_shared_certificates(sites: &[Site<'_>], out: &mut Output) {
    for (index, site) in sites.iter().enumerate() {
        let Some(own) = site.terminate() else { continue };
        let other = sites[..index].iter().find(|other| {
            let is_shared = |other: &Terminate| {
                own.certificates.iter().any(|certificate| other.certificates.contains(certificate))
            };
            other.gateway.key != site.gateway.key
                && other.addr == site.addr
                && other.terminate().is_some_and(is_shared)
        });
        if let Some(other) = other {
            let message = format!(
                "{} has the same certificate: a client may send requests for both on one \
                 connection, and is answered 421 so that it opens another (IST0138)",
                other.words()
            );
            site.say("tls", site.server.at, |place| place.note(out, message));
        }
    }
}
