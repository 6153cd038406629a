//! `ServersTransport` and `ServersTransportTCP`.

use std::time::Duration;

use super::service::{TerminationDelay, delay, proxy_protocol};
use super::tls::{Version, versions};
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// `ServersTransport`: how HTTP servers are called.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersTransport {
    /// TLS towards them.
    pub tls: ClientTls,
    /// Idle connections per server; `None` is the default, 0 no reuse.
    pub max_idle_conns_per_host: Option<u32>,
    /// HTTP/1.1 only.
    pub disable_http2: bool,
    /// Time to connect, 30 s.
    pub dial_timeout: Duration,
    /// Time to the response head; zero is no bound.
    pub response_header_timeout: Duration,
    /// Idle connections are closed after this, 90 s.
    pub idle_conn_timeout: Duration,
}

/// `ServersTransportTCP`: how TCP servers are called.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersTransportTcp {
    /// TLS towards them; `None` is plain.
    pub tls: Option<ClientTls>,
    /// Time to connect, 30 s.
    pub dial_timeout: Duration,
    /// After one side ended, how long the other may go on, 100 ms.
    pub termination_delay: TerminationDelay,
    /// PROXY protocol version sent.
    pub proxy_protocol: Option<u8>,
}

/// TLS towards a server.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientTls {
    /// Where it begins.
    pub at: Pos,
    /// Name verified; the request's host when empty.
    pub server_name: Box<str>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// Authorities.
    pub roots: Vec<RootRef>,
    /// Client certificates.
    pub certificates: Vec<super::tls::CertificateRef>,
    /// Names of which the server's certificate must carry one.
    pub peer_names: Vec<PeerName>,
    /// SPIFFE was asked for.
    pub spiffe: Option<Pos>,
    /// The lowest version.
    pub min_version: Option<Spanned<Version>>,
    /// The highest version.
    pub max_version: Option<Spanned<Version>>,
}

/// Where authorities are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootRef {
    /// A Secret (`ca.crt` or `tls.ca`).
    Secret(Spanned<Box<str>>),
    /// A ConfigMap (`ca.crt`).
    ConfigMap(Spanned<Box<str>>),
    /// A file, or PEM text itself.
    File(Spanned<Box<str>>),
}

/// A name in a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerName {
    /// DNS name.
    Dns(Box<str>),
    /// URI.
    Uri(Box<str>),
}

/// Traefik's `dialTimeout`.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Traefik's `idleConnTimeout`.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Traefik's `terminationDelay`.
pub const TERMINATION_DELAY: Duration = Duration::from_millis(100);

// === impl ServersTransport ===

impl ServersTransport {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let tls = ClientTls::read_fields(r, r.at());
        let idle = r.int("maxIdleConnsPerHost", i64::MIN, u32::MAX.into());
        let mut transport = Self {
            tls,
            max_idle_conns_per_host: match idle {
                None | Some(0) => None,
                Some(count) => Some(u32::try_from(count).unwrap_or(0)),
            },
            disable_http2: r.bool_or("disableHTTP2", false),
            dial_timeout: DIAL_TIMEOUT,
            response_header_timeout: Duration::ZERO,
            idle_conn_timeout: IDLE_TIMEOUT,
        };
        r.nested("forwardingTimeouts", |r| {
            let take =
                |name, default| r.take(name).and_then(|field| field.duration()).unwrap_or(default);
            transport.dial_timeout = take("dialTimeout", DIAL_TIMEOUT);
            transport.response_header_timeout = take("responseHeaderTimeout", Duration::ZERO);
            transport.idle_conn_timeout = take("idleConnTimeout", IDLE_TIMEOUT);
            for name in ["readIdleTimeout", "pingTimeout"] {
                r.ignored(name, "HTTP/2 connections to servers are not pinged");
            }
            Some(())
        });
        Some(transport)
    }
}

// === impl ServersTransportTcp ===

impl ServersTransportTcp {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let dial = r.take("dialTimeout").and_then(|field| field.duration());
        r.ignored("dialKeepAlive", "connections to servers always use keep-alive probes");
        let termination = r.take("terminationDelay").and_then(|field| delay(&field));
        let proxy_protocol = proxy_protocol(r);
        let tls = r.take_even_null("tls").and_then(|field| {
            if field.is_null() {
                return Some(ClientTls { at: field.at(), ..ClientTls::default() });
            }
            field.nested(|r| Some(ClientTls::read_fields(r, field.at())))
        });
        Some(Self {
            tls,
            dial_timeout: dial.unwrap_or(DIAL_TIMEOUT),
            termination_delay: termination.unwrap_or(TerminationDelay::After(TERMINATION_DELAY)),
            proxy_protocol,
        })
    }
}

// === impl ClientTls ===

impl ClientTls {
    fn read_fields(r: &Reader<'_, '_>, at: Pos) -> Self {
        let mut roots = r.list("rootCAs", RootRef::read);
        roots.extend(
            r.list("rootCAsSecrets", |item| item.spanned_string()).into_iter().map(RootRef::Secret),
        );
        let mut certificates = r.list("certificates", super::tls::CertificateRef::read);
        let secrets = r.list("certificatesSecrets", |item| item.spanned_string());
        certificates.extend(secrets.into_iter().map(super::tls::CertificateRef::Secret));
        let mut peer_names = r.list("peerCertSANs", PeerName::read);
        peer_names.extend(r.string("peerCertURI").filter(|uri| !uri.is_empty()).map(PeerName::Uri));
        r.ignored("cipherSuites", "the suites towards servers are the library's own choice");
        let (min_version, max_version) = versions(r);
        let spiffe = r.take("spiffe").map(|field| {
            field.nested(|r| {
                r.skip("ids");
                r.skip("trustDomain");
                Some(())
            });
            field.at()
        });
        Self {
            at,
            server_name: r.string_or_empty("serverName"),
            insecure_skip_verify: r.bool_or("insecureSkipVerify", false),
            roots,
            certificates,
            peer_names,
            spiffe,
            min_version,
            max_version,
        }
    }

    /// Reads `tls` of `forwardAuth`: `{caSecret, certSecret}` or `{ca, cert, key}`.
    pub fn read_forward_auth(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            let mut roots = Vec::new();
            let spanned = |name| r.take(name).and_then(|field| field.spanned_string());
            roots.extend(spanned("caSecret").map(RootRef::Secret));
            roots.extend(spanned("ca").map(RootRef::File));
            let mut certificates = Vec::new();
            certificates.extend(spanned("certSecret").map(super::tls::CertificateRef::Secret));
            if r.has("cert") || r.has("key") {
                let (cert, key) = (r.require("cert"), r.require("key"));
                let cert = cert.and_then(|field| field.spanned_string());
                let key = key.and_then(|field| field.spanned_string());
                if let (Some(cert), Some(key)) = (cert, key) {
                    certificates.push(super::tls::CertificateRef::Files { cert, key });
                }
            }
            r.ignored("caOptional", "it was removed from Traefik as well");
            Some(Self {
                at: field.at(),
                insecure_skip_verify: r.bool_or("insecureSkipVerify", false),
                roots,
                certificates,
                ..Self::default()
            })
        })
    }
}

// === impl RootRef ===

impl RootRef {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        if field.node().as_scalar().is_some() {
            return field.spanned_string().map(Self::File);
        }
        field.nested(|r| {
            let secret = r.take("secret").and_then(|field| field.spanned_string());
            let map = r.take("configMap").and_then(|field| field.spanned_string());
            match (secret, map) {
                (Some(secret), None) => Some(Self::Secret(secret)),
                (None, Some(map)) => Some(Self::ConfigMap(map)),
                _ => {
                    r.error("exactly one of `secret` and `configMap` is needed", None);
                    None
                }
            }
        })
    }
}

// === impl PeerName ===

impl PeerName {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            let uri = r.require("type")?.choice(&[("URI", true), ("DNSName", false)])?;
            let value = r.require_string("value")?;
            Some(if uri { Self::Uri(value) } else { Self::Dns(value) })
        })
    }
}
