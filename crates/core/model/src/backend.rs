//! Destinations: a service and port, its endpoints, and how they are called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::calling::Calling;
use crate::id::{BackendId, ServiceName};
use crate::listener::TlsVersion;
use crate::mesh::Peer;

/// A destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Stable name; two uses of one service with different settings have different ids.
    pub id: BackendId,
    /// Where the addresses come from.
    pub endpoints: Endpoints,
    /// What is spoken to it.
    pub protocol: UpstreamProtocol,
    /// Active health checks.
    pub health_check: Option<Arc<HealthCheck>>,
    /// The `Host` sent.
    pub host: HostHeader,
    /// After one side of a TCP connection ended, how long the other may go on; `None` is for ever.
    pub termination_delay: Option<Duration>,
    /// How it is called.
    pub calling: Arc<Calling>,
}

/// Where addresses come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoints {
    /// Known addresses.
    Static(Arc<[Endpoint]>),
    /// A name to resolve; the answers' TTL holds, between 1 s and 5 min.
    Dns {
        /// Host name.
        name: Box<str>,
        /// Port of every address.
        port: u16,
    },
    /// The address that the captured connection was made to.
    Dialled,
    /// The same, through the proxy beside the workload at that address.
    DialledThrough(Arc<Peer>),
    /// Wherever this service of the mesh runs. A proxy's link to the control plane knows, and puts
    /// addresses in its place.
    Service {
        /// The service.
        name: ServiceName,
        /// The port of the service.
        port: u16,
        /// A part of its endpoints, or all.
        subset: Option<Box<str>>,
    },
}

/// One address of a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Address.
    pub addr: SocketAddr,
    /// Share among its siblings, at least 1.
    pub weight: u32,
    /// Where it runs, if that is known: `region/zone/subzone`.
    pub locality: Option<Box<str>>,
    /// Endpoints of a greater number are used when those of lesser ones cannot take the load.
    pub tier: u8,
    /// The proxy beside it, through which it is reached with mutual TLS; `None` reaches it as it is.
    pub peer: Option<Arc<Peer>>,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/1.1; over TLS, whatever ALPN agrees on.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, with prior knowledge when plain.
    Http2,
    /// What the client speaks on a plain connection: HTTP/2 with prior knowledge, or HTTP/1.1.
    AsClient,
}

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTls {
    /// Name sent as SNI and verified; `None` uses the request's host.
    pub server_name: Option<Box<str>>,
    /// Authorities (PEM); `None` uses the system's.
    pub roots_pem: Option<Arc<[u8]>>,
    /// Client certificate and key, PEM.
    pub client: Option<Arc<crate::listener::Certificate>>,
    /// Accept any certificate. Dangerous; named so in reports.
    pub insecure_skip_verify: bool,
    /// If not empty, one of these must be among the certificate's names (`URI` or `DNS`), instead
    /// of the server name.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// Lowest version.
    pub min_version: TlsVersion,
    /// Highest version.
    pub max_version: TlsVersion,
    /// Files that it takes the rest from; `None` when it is whole. Until they are read nothing is
    /// called by it.
    pub files: Option<Arc<TlsFiles>>,
}

/// Files (PEM) of the machine of whoever calls, by their whole paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities; `None` leaves those that there are.
    pub roots: Option<Box<str>>,
    /// A client certificate with its chain, and its key.
    pub client: Option<(Box<str>, Box<str>)>,
}

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectAltName {
    /// A DNS name.
    Dns(Box<str>),
    /// A URI, such as a SPIFFE id.
    Uri(Box<str>),
}

/// Active health checks, with Traefik's defaults in `compile`.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Plain HTTP or gRPC health protocol, or just connecting.
    pub probe: Probe,
    /// Between probes of a healthy endpoint.
    pub interval: Duration,
    /// Between probes of an unhealthy endpoint.
    pub unhealthy_interval: Duration,
    /// Per probe.
    pub timeout: Duration,
    /// Consecutive failures to become unhealthy.
    pub unhealthy_threshold: u32,
    /// Consecutive successes to become healthy.
    pub healthy_threshold: u32,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
}

/// How health is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// A TCP connection is enough.
    Tcp,
    /// An HTTP request.
    Http {
        /// Path and query.
        path: Box<str>,
        /// Method.
        method: Box<str>,
        /// `Host`, or the endpoint's address.
        host: Option<Box<str>>,
        /// Further headers.
        headers: Vec<(Box<str>, Box<str>)>,
        /// Accepted statuses, inclusive; 2xx and 3xx when empty.
        statuses: Vec<(u16, u16)>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Service asked about; empty for the server as a whole.
        service: Box<str>,
    },
}

impl TlsFiles {
    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let client = self.client.iter().flat_map(|(chain, key)| [chain, key]);
        self.roots.iter().chain(client).map(|path| &**path)
    }
}

impl Default for UpstreamTls {
    /// The request's host in a certificate of an authority that the system trusts; TLS 1.2 or 1.3;
    /// no certificate of our own.
    fn default() -> Self {
        Self {
            server_name: None,
            roots_pem: None,
            client: None,
            insecure_skip_verify: false,
            subject_alt_names: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            files: None,
        }
    }
}

impl Endpoint {
    /// One that is reached as it is, with the share 1.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, weight: 1, locality: None, tier: 0, peer: None }
    }
}

impl Endpoints {
    /// Whether it is the address that a connection was made to.
    pub fn is_dialled(&self) -> bool {
        matches!(self, Self::Dialled | Self::DialledThrough(_))
    }
}

/// The `Host` that an upstream sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// As the client sent it (the default of every dialect).
    Pass,
    /// The endpoint's address and port (Traefik's `passHostHeader: false`).
    Endpoint,
    /// This one.
    Set(Box<str>),
}
