//! Where connections arrive, and what is decided before a request is known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use weft_message::PathRules;

use crate::backend::SubjectAltName;
use crate::id::ListenerId;
use crate::mesh::{AddressRange, Mtls, Protocol};
use crate::policy::Refusal;
use crate::route::{Route, TcpRoute};

/// One bound address with everything that is served on it.
///
/// Several resources may share an address: Traefik entry points mix plain and TLS, TCP and HTTP
/// routers; Gateway listeners of one port differ by host name. The first bytes decide: TLS or
/// plain; then TCP routes are tried before HTTP, as Traefik does.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Stable name.
    pub id: ListenerId,
    /// The address to bind; of one that is not bound, the first that it stands for.
    pub addr: SocketAddr,
    /// How connections come to it.
    pub intake: Intake,
    /// Peers whose PROXY protocol header is believed; nobody by default. A listed peer must send
    /// one, a peer not listed that sends one is closed.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Peers whose forwarding headers (`X-Forwarded-*`, `Forwarded`) are believed; nobody by
    /// default.
    pub forwarded_from: Vec<IpNet>,
    /// Bounds on what a peer may send.
    pub limits: Limits,
    /// What of a path is taken that other readers may take for something else; nothing by default.
    pub path_rules: PathRules,
    /// What is served without TLS; `None` when nothing is.
    pub plain: Option<Served>,
    /// What is served on TLS connections; `None` when nothing is.
    pub tls: Option<TlsServed>,
}

/// How connections come to a listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Intake {
    /// They are made to its address.
    #[default]
    Bound,
    /// The kernel brings them, whatever address they were made to. The [`Destination`] of that
    /// direction which stands for the address serves them.
    Captured(Direction),
    /// Other proxies of the mesh make them to its address, with mutual TLS; what is inside is served
    /// by the inbound [`Destination`] that it names.
    Mesh,
    /// Applications make them to its address as to a forward proxy, where nothing can be captured;
    /// what they ask for is served by the outbound [`Destination`] that it names.
    Explicit,
    /// The other listeners hand over what is meant for this destination; nothing is bound.
    Destination(Destination),
}

/// Which way a captured connection goes, seen from the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From it.
    Outbound,
    /// To it.
    Inbound,
}

/// What connections may be meant for.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// Which way they go.
    pub direction: Direction,
    /// Addresses; empty stands for every one that no other destination has.
    pub addrs: Box<[IpAddr]>,
    /// Without [`Destination::addrs`]: stands for those of the range only. Of several with the same
    /// address the first one has it.
    pub range: Option<AddressRange>,
    /// Port; `None` stands for every one that no other destination has.
    pub port: Option<u16>,
    /// What is spoken.
    pub protocol: Protocol,
    /// The service, for metrics, logs and errors; the workload for inbound ones.
    pub name: Box<str>,
    /// Inbound: whether callers have to prove who they are.
    pub mtls: Mtls,
    /// Why nobody is served.
    pub closed: Option<Refusal>,
}

/// The routes of one side (plain or TLS) of a listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Served {
    /// TCP routes, tried before HTTP, highest rank first.
    pub tcp: Vec<Arc<TcpRoute>>,
    /// HTTP routes, in any order; `route` builds the tables and obeys [`Route::rank`].
    pub http: Arc<HttpRoutes>,
}

/// HTTP routes that compete with each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpRoutes {
    /// The routes.
    pub routes: Vec<Arc<Route>>,
    /// Whether HTTP is spoken at all (a side with TCP routes only refuses HTTP).
    pub enabled: bool,
}

/// What is served on TLS connections.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsServed {
    /// The routes behind the handshake, and TCP routes by server name (passed through or
    /// terminated as each says).
    pub served: Served,
    /// Certificates and options by server name.
    pub terminate: Arc<TlsTable>,
}

/// Certificates and options by server name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TlsTable {
    /// Entries; an exact name wins over a wildcard, a longer wildcard over a shorter.
    pub entries: Vec<TlsEntry>,
    /// Served when no entry fits the name; `None` refuses the handshake (`unrecognized_name`).
    pub default: Option<TlsEntry>,
}

/// One server name (or wildcard) with its certificates and options.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsEntry {
    /// `shop.example`, `*.example` (exactly one label unless `deep`), or empty for the default.
    pub host: Box<str>,
    /// A wildcard covers any number of labels (Gateway API) instead of one (X.509, Traefik).
    pub deep: bool,
    /// Certificates to choose from by key type; none for [`ClientAuth::Mesh`] alone.
    pub certificates: Vec<Arc<Certificate>>,
    /// Protocol versions, client authentication and so on.
    pub options: Arc<TlsOptions>,
    /// Hosts of entries with the same site share connections. When the server name of a connection
    /// leads to an entry of one site, and the host of a request on it to one of another, the
    /// answer is 421 (RFC 9110, section 15.5.20). A Gateway listener is a site; so are Traefik
    /// routers with the same TLS options. A host that leads to no entry is not checked.
    pub site: Box<str>,
}

/// A certificate chain and its private key, PEM.
///
/// `compile` checks that the two parse and belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Where it came from, for messages: `Secret shop/tls` or a path.
    pub origin: Box<str>,
    /// The chain, leaf first.
    pub chain_pem: Box<[u8]>,
    /// The key (PKCS#8, PKCS#1 or SEC1). Never logged or dumped.
    pub key_pem: Box<[u8]>,
    /// DNS names the leaf is valid for, lower case.
    pub names: Vec<Box<str>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("origin", &self.origin)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// TLS versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, the lowest we speak.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// How a terminated handshake behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsOptions {
    /// Lowest version.
    pub min_version: TlsVersion,
    /// Highest version.
    pub max_version: TlsVersion,
    /// Cipher suites by their IANA names; empty means the library's own choice. TLS 1.3 suites
    /// are not configurable in Traefik; naming them here restricts TLS 1.3 too.
    pub cipher_suites: Vec<Box<str>>,
    /// Key exchange groups by their IANA names, in order; empty means the library's own choice.
    pub groups: Vec<Box<str>>,
    /// Protocols offered by ALPN, in order.
    pub alpn: Vec<Box<str>>,
    /// Whether session tickets are issued.
    pub session_tickets: bool,
    /// Refuse a handshake whose server name fits no certificate.
    pub sni_strict: bool,
    /// What is asked of the client.
    pub client_auth: ClientAuth,
}

/// Client certificates, in the terms of Traefik's `clientAuthType`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    None,
    /// Asked for, neither required nor verified.
    Request,
    /// Required, not verified.
    RequireAny,
    /// Verified when given.
    VerifyIfGiven(Arc<[u8]>),
    /// Required and verified against these authorities (PEM).
    RequireAndVerify(Arc<[u8]>),
    /// Verified, and one of a few.
    Pinned(Arc<PinnedClients>),
    /// Required, and of the mesh that the process is part of. It shows its own of the mesh in
    /// return, whatever certificates the entry has, and speaks TLS 1.3.
    Mesh,
}

/// Client certificates that are more than valid: those that a server of Istio's names by
/// `subjectAltNames`, `verifyCertificateHash` and `verifyCertificateSpki`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedClients {
    /// The authorities (PEM) that they are verified against.
    pub authorities: Arc<[u8]>,
    /// Whether a client has to give one.
    pub is_required: bool,
    /// One of these must be among the certificate's own; any will do when empty.
    pub names: Vec<SubjectAltName>,
    /// Hashes (SHA-256) of certificates. Where these or those of keys are given, one must fit.
    pub certificate_hashes: Vec<[u8; 32]>,
    /// Hashes (SHA-256) of public keys, as `SubjectPublicKeyInfo`.
    pub key_hashes: Vec<[u8; 32]>,
}

/// Bounds on what a peer may send or hold. Reaching one is counted in
/// `weftway_limit_reached_total`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Request head: request line and header lines together, bytes.
    pub head_bytes_max: u32,
    /// Header lines in one head; HTTP/2 cookie crumbs count one each.
    pub head_fields_max: u16,
    /// Request target, bytes.
    pub target_bytes_max: u32,
    /// From the first byte of a head (or the handshake) to its end.
    pub head_timeout: Duration,
    /// The TLS handshake and the PROXY header.
    pub handshake_timeout: Duration,
    /// Between two requests on one connection.
    pub idle_timeout: Duration,
    /// Between two reads of a body, or two writes that make progress. There is no bound on a
    /// whole body: an upload that moves is never cut.
    pub body_idle_timeout: Duration,
    /// Requests at one time on one HTTP/2 connection.
    pub h2_streams_max: u32,
    /// Streams reset by one peer within ten seconds before the connection is ended.
    pub h2_resets_max: u32,
    /// Control frames and empty frames of one peer within ten seconds before the connection is
    /// ended, besides ten for each request and for each DATA frame that it was sent.
    pub h2_control_frames_max: u32,
    /// Bytes that one HTTP/2 connection may have in flight to us.
    pub h2_connection_window_bytes: u32,
    /// The same for one stream.
    pub h2_stream_window_bytes: u32,
    /// Bytes of buffers and queued data one connection may hold.
    pub connection_memory_bytes_max: u32,
    /// Open connections of one listener.
    pub connections_max: u32,
    /// Requests on one connection before it is closed in order; 0 means no bound.
    pub requests_per_connection_max: u32,
}

impl Listener {
    /// Whether there is a socket at its address.
    pub fn is_bound(&self) -> bool {
        !matches!(self.intake, Intake::Destination(_))
    }
}

impl Limits {
    /// The stated defaults.
    pub const DEFAULT: Self = Self {
        head_bytes_max: 64 << 10,                   // Envoy's 60 KiB, rounded
        head_fields_max: 128,                       // Go and nginx clients stay below 100
        target_bytes_max: 16 << 10,                 // twice what browsers send
        head_timeout: Duration::from_secs(10),      // a slow head is an attack or a dead peer
        handshake_timeout: Duration::from_secs(10), // the same
        idle_timeout: Duration::from_secs(180),     // Traefik's idleTimeout
        body_idle_timeout: Duration::from_secs(60), // Traefik's readTimeout, but per read
        h2_streams_max: 250,                        // Traefik's and Go's
        h2_resets_max: 200,                         // a browser closing a page stays below
        h2_control_frames_max: 1_000,               // clients send some at the start, then few
        h2_connection_window_bytes: 1 << 20,        // 16 streams at full window
        h2_stream_window_bytes: 64 << 10,           // one bulk buffer
        connection_memory_bytes_max: 4 << 20,       // windows plus queued responses
        connections_max: 100_000,                   // half of a usual descriptor limit, twice
        requests_per_connection_max: 0,
    };
}

impl TlsOptions {
    /// TLS 1.2 and 1.3, the library's suites and groups, HTTP/2 and HTTP/1.1, no client
    /// certificate.
    pub fn modern() -> Self {
        Self {
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
            groups: Vec::new(),
            alpn: vec!["h2".into(), "http/1.1".into()],
            session_tickets: true,
            sni_strict: false,
            client_auth: ClientAuth::None,
        }
    }
}
