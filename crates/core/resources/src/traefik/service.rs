//! References to services, and `TraefikService`.

use std::time::Duration;

use super::ObjectRef;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;
use crate::yaml::Core;

pub use crate::kubernetes::service::PortRef;

/// A service as an `IngressRoute` or `TraefikService` refers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRef {
    /// `Service` or `TraefikService`.
    pub kind: ServiceKind,
    /// Which.
    pub target: ObjectRef,
    /// Port; required for a `Service` with more than one.
    pub port: Option<Spanned<PortRef>>,
    /// Share among its siblings; 1 when absent.
    pub weight: Option<u32>,
    /// Middlewares of this service only, after the router's.
    pub middlewares: Vec<ObjectRef>,
    /// How it is called.
    pub settings: BackendSettings,
}

/// What a reference points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceKind {
    /// A Kubernetes `Service`.
    #[default]
    Service,
    /// A `TraefikService`.
    TraefikService,
}

/// How a service is called: what a reference and a load balancer of the file provider share.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendSettings {
    /// What is spoken; by the port when absent.
    pub scheme: Option<Scheme>,
    /// How an endpoint is chosen.
    pub strategy: Strategy,
    /// Whether the upstream sees the client's `Host`.
    pub pass_host_header: bool,
    /// `ServersTransport`.
    pub servers_transport: Option<Spanned<Box<str>>>,
    /// Keeps a client on one endpoint.
    pub sticky: Option<Box<Sticky>>,
    /// Active health checks.
    pub health_check: Option<Box<HealthCheck>>,
    /// Passive health checks.
    pub passive_health_check: Option<PassiveHealthCheck>,
}

/// What is spoken to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP/1.1.
    Http,
    /// HTTP over TLS.
    Https,
    /// Plain HTTP/2.
    H2c,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Weighted round robin.
    #[default]
    Wrr,
    /// The less busy of two.
    P2c,
    /// Highest random weight of the client's address.
    Hrw,
    /// The quicker.
    LeastTime,
}

/// `sticky.cookie`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// Name; made from the service's name when empty.
    pub name: Box<str>,
    /// Path, `/` by default.
    pub path: Box<str>,
    /// Domain.
    pub domain: Box<str>,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `Secure`.
    pub secure: bool,
    /// `SameSite`: empty, `none`, `lax` or `strict`.
    pub same_site: Box<str>,
    /// `Max-Age`; 0 leaves it out.
    pub max_age_secs: i64,
}

/// `healthCheck`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `http` or `grpc`.
    pub grpc: bool,
    /// Scheme.
    pub scheme: Option<Spanned<Scheme>>,
    /// Path; `/` when absent. For gRPC the service that is asked about.
    pub path: Option<Spanned<Box<str>>>,
    /// Method; GET when absent.
    pub method: Option<Spanned<Box<str>>>,
    /// Expected status; 2xx and 3xx when absent.
    pub status: Option<u16>,
    /// Port.
    pub port: Option<u16>,
    /// Between checks, 30 s.
    pub interval: Duration,
    /// Between checks of an unhealthy server; the interval when absent.
    pub unhealthy_interval: Option<Duration>,
    /// Per check, 5 s.
    pub timeout: Duration,
    /// `Host`; the server's address when absent.
    pub hostname: Option<Spanned<Box<str>>>,
    /// Further headers.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Where it is written.
    pub at: Pos,
}

/// `passiveHealthCheck`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassiveHealthCheck {
    /// Failures older than this do not count, 10 s.
    pub failure_window: Duration,
    /// Failures that set a server aside, 1.
    pub max_failed_attempts: u32,
}

/// A service as an `IngressRouteTCP` refers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpServiceRef {
    /// Which.
    pub target: ObjectRef,
    /// Port.
    pub port: Spanned<PortRef>,
    /// Share among its siblings; 1 when absent.
    pub weight: Option<u32>,
    /// TLS towards it.
    pub tls: bool,
    /// PROXY protocol version sent, 1 or 2.
    pub proxy_protocol: Option<u8>,
    /// `ServersTransportTCP`.
    pub servers_transport: Option<Spanned<Box<str>>>,
    /// After one side ended, how long the other may go on; `None` when not set here, negative
    /// values mean for ever.
    pub termination_delay: Option<TerminationDelay>,
}

/// How long a half-closed connection may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationDelay {
    /// This long.
    After(Duration),
    /// For ever.
    Never,
}

/// `TraefikService`.
#[derive(Debug, Clone, PartialEq)]
pub enum TraefikService {
    /// Shares by weight.
    Weighted {
        /// The services.
        services: Vec<ServiceRef>,
        /// Keeps a client on one.
        sticky: Option<Box<Sticky>>,
    },
    /// By hash of the client's address.
    HighestRandomWeight {
        /// The services.
        services: Vec<ServiceRef>,
    },
    /// Copies of requests.
    Mirroring {
        /// Answers the client.
        main: Box<ServiceRef>,
        /// The copies: service and percentage.
        mirrors: Vec<(ServiceRef, u32)>,
        /// Whether bodies are copied.
        mirror_body: bool,
        /// Larger bodies are not mirrored; `None` is no bound.
        max_body_size: Option<u64>,
    },
    /// A second service.
    Failover {
        /// Used first.
        service: Box<ServiceRef>,
        /// Used when the first is down.
        fallback: Box<ServiceRef>,
        /// Also used when the first answers one of these.
        errors: Option<FailoverErrors>,
    },
}

/// `failover.errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverErrors {
    /// Statuses, inclusive.
    pub statuses: Vec<(u16, u16)>,
    /// Larger bodies are not sent again; `None` is no bound.
    pub max_request_body_bytes: Option<u64>,
}

const INTERVAL: Duration = Duration::from_secs(30); // Traefik's healthCheck.interval
const TIMEOUT: Duration = Duration::from_secs(5); // Traefik's healthCheck.timeout
const FAILURE_WINDOW: Duration = Duration::from_secs(10); // Traefik's failureWindow

// === impl BackendSettings ===

impl Default for BackendSettings {
    fn default() -> Self {
        Self {
            scheme: None,
            strategy: Strategy::Wrr,
            pass_host_header: true,
            servers_transport: None,
            sticky: None,
            health_check: None,
            passive_health_check: None,
        }
    }
}

impl BackendSettings {
    /// Takes the fields from a reference or a load balancer.
    pub fn read(r: &Reader<'_, '_>) -> Self {
        let strategies = [
            ("wrr", Strategy::Wrr),
            ("RoundRobin", Strategy::Wrr),
            ("p2c", Strategy::P2c),
            ("hrw", Strategy::Hrw),
            ("leasttime", Strategy::LeastTime),
        ];
        let settings = Self {
            scheme: None,
            strategy: r.take("strategy").and_then(|f| f.choice(&strategies)).unwrap_or_default(),
            pass_host_header: r.bool_or("passHostHeader", true),
            servers_transport: r.take("serversTransport").and_then(|f| f.spanned_string()),
            sticky: r.take("sticky").and_then(|f| Sticky::read(&f)),
            health_check: r
                .take_even_null("healthCheck")
                .filter(|f| !f.is_null())
                .and_then(|f| HealthCheck::read(&f))
                .map(Box::new),
            passive_health_check: r
                .take("passiveHealthCheck")
                .and_then(|f| PassiveHealthCheck::read(&f)),
        };
        // Answers are written as they arrive, so there is nothing to flush.
        r.skip("responseForwarding");
        settings
    }
}

// === impl ServiceRef ===

impl ServiceRef {
    /// Reads one of a list that share.
    pub fn read(field: &Field<'_, '_>) -> Option<Self> {
        let at = field.at();
        field.nested(|r| {
            let weight = r.int("weight", 0, u32::MAX.into()).map(|weight| weight as u32);
            Some(Self { weight, ..Self::read_fields(r, at)? })
        })
    }

    /// Reads one that stands alone.
    pub fn read_alone(field: &Field<'_, '_>) -> Option<Self> {
        let at = field.at();
        field.nested(|r| Self::read_fields_alone(r, at))
    }

    fn read_fields_alone(r: &Reader<'_, '_>, at: Pos) -> Option<Self> {
        r.ignored("weight", "no other service shares with this one");
        Self::read_fields(r, at)
    }

    fn read_fields(r: &Reader<'_, '_>, at: Pos) -> Option<Self> {
        let kinds =
            [("Service", ServiceKind::Service), ("TraefikService", ServiceKind::TraefikService)];
        let kind = r.take("kind").and_then(|f| f.choice(&kinds)).unwrap_or_default();
        let namespace = r.string("namespace").filter(|text| !text.is_empty());
        let schemes = [
            ("http", Some(Scheme::Http)),
            ("https", Some(Scheme::Https)),
            ("h2c", Some(Scheme::H2c)),
            ("", None),
        ];
        let scheme = r.take("scheme").and_then(|f| f.choice(&schemes)).flatten();
        let port = r.take("port").and_then(|f| read_port(&f));
        let middlewares = r.list("middlewares", ObjectRef::read);
        let settings = BackendSettings { scheme, ..BackendSettings::read(r) };
        native_lb(r);
        let name = r.require_string("name")?;
        let target = ObjectRef { name, namespace, at };
        Some(Self { kind, target, port, weight: None, middlewares, settings })
    }
}

// === impl Sticky ===

impl Sticky {
    /// Reads `sticky`.
    pub fn read(field: &Field<'_, '_>) -> Option<Box<Self>> {
        field.nested(|r| {
            let cookie = r.take_even_null("cookie")?;
            if cookie.is_null() {
                return Some(Box::new(Self::default()));
            }
            cookie.nested(|r| {
                let same_site = [("none", "none"), ("lax", "lax"), ("strict", "strict"), ("", "")];
                let path = r.string("path").filter(|path| !path.is_empty());
                Some(Box::new(Self {
                    name: r.string_or_empty("name"),
                    path: path.unwrap_or_else(|| "/".into()),
                    domain: r.string_or_empty("domain"),
                    http_only: r.bool_or("httpOnly", false),
                    secure: r.bool_or("secure", false),
                    same_site: r
                        .take("sameSite")
                        .and_then(|f| f.choice(&same_site))
                        .unwrap_or_default()
                        .into(),
                    max_age_secs: r.int("maxAge", i32::MIN.into(), i32::MAX.into()).unwrap_or(0),
                }))
            })
        })
    }
}

impl Default for Sticky {
    fn default() -> Self {
        Self {
            name: "".into(),
            path: "/".into(),
            domain: "".into(),
            http_only: false,
            secure: false,
            same_site: "".into(),
            max_age_secs: 0,
        }
    }
}

// === impl HealthCheck ===

impl HealthCheck {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            let modes = [("http", false), ("", false), ("grpc", true)];
            let schemes = [("http", Scheme::Http), ("https", Scheme::Https), ("h2c", Scheme::H2c)];
            let positive = |name| r.take(name).and_then(|f| f.duration()).filter(|d| !d.is_zero());
            let text = |name| {
                let text = r.take(name).and_then(|f| f.spanned_string());
                text.filter(|text| !text.value.is_empty())
            };
            if r.bool("followRedirects") == Some(false) {
                r.warn(
                    "`followRedirects: false`: redirects count as healthy and are not followed",
                    None,
                );
            }
            Some(Self {
                grpc: r.take("mode").and_then(|f| f.choice(&modes)).unwrap_or(false),
                scheme: r
                    .take("scheme")
                    .and_then(|f| f.choice(&schemes).map(|scheme| f.spanned(scheme))),
                path: text("path"),
                method: text("method"),
                status: r.int("status", 100, 599).map(|status| status as u16),
                port: r.take("port").and_then(|f| f.port()),
                interval: positive("interval").unwrap_or(INTERVAL),
                unhealthy_interval: positive("unhealthyInterval"),
                timeout: positive("timeout").unwrap_or(TIMEOUT),
                hostname: text("hostname"),
                headers: r.take("headers").map(|f| f.text_map()).unwrap_or_default(),
                at: r.at(),
            })
        })
    }
}

// === impl PassiveHealthCheck ===

impl PassiveHealthCheck {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            let window = r.take("failureWindow").and_then(|f| f.duration());
            let attempts = r.int("maxFailedAttempts", 1, u32::MAX.into()).unwrap_or(1);
            Some(Self {
                failure_window: window.unwrap_or(FAILURE_WINDOW),
                max_failed_attempts: attempts as u32,
            })
        })
    }
}

// === impl TcpServiceRef ===

impl TcpServiceRef {
    /// Reads one reference.
    pub fn read(field: &Field<'_, '_>) -> Option<Self> {
        let at = field.at();
        field.nested(|r| {
            let namespace = r.string("namespace").filter(|text| !text.is_empty());
            let port = r.require("port").and_then(|f| read_port(&f));
            let weight = r.int("weight", 0, u32::MAX.into()).map(|weight| weight as u32);
            let tls = r.bool_or("tls", false);
            let proxy_protocol = proxy_protocol(r);
            let servers_transport = r.take("serversTransport").and_then(|f| f.spanned_string());
            let termination_delay = r.take("terminationDelay").and_then(|f| delay(&f));
            native_lb(r);
            let name = r.require_string("name")?;
            Some(Self {
                target: ObjectRef { name, namespace, at },
                port: port?,
                weight,
                tls,
                proxy_protocol,
                servers_transport,
                termination_delay,
            })
        })
    }
}

// === impl TraefikService ===

impl TraefikService {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let kinds = ["weighted", "mirroring", "failover", "highestRandomWeight"];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| r.has(kind)).collect();
        if given.len() != 1 {
            kinds.into_iter().for_each(|kind| r.skip(kind));
            let found = if given.is_empty() { "none".into() } else { given.join(" and ") };
            r.error(format!("exactly one of {} is needed, found {found}", kinds.join(", ")), None);
            return None;
        }
        r.nested("weighted", |r| {
            let services = r.list("services", ServiceRef::read);
            let sticky = r.take("sticky").and_then(|f| Sticky::read(&f));
            Some(Self::Weighted { services, sticky })
        })
        .or_else(|| {
            r.nested("highestRandomWeight", |r| {
                Some(Self::HighestRandomWeight { services: r.list("services", ServiceRef::read) })
            })
        })
        .or_else(|| r.nested("mirroring", Self::read_mirroring))
        .or_else(|| r.nested("failover", Self::read_failover))
    }

    fn read_mirroring(r: &Reader<'_, '_>) -> Option<Self> {
        let mirrors = r.list("mirrors", |field| {
            let at = field.at();
            field.nested(|r| {
                let percent = r.int("percent", 0, 100).unwrap_or(0) as u32;
                Some((ServiceRef::read_fields_alone(r, at)?, percent))
            })
        });
        let mirror_body = r.bool_or("mirrorBody", true);
        let max_body_size = unbounded(r, "maxBodySize");
        let main = Box::new(ServiceRef::read_fields_alone(r, r.at())?);
        Some(Self::Mirroring { main, mirrors, mirror_body, max_body_size })
    }

    fn read_failover(r: &Reader<'_, '_>) -> Option<Self> {
        let service = r.require("service").and_then(|f| ServiceRef::read_alone(&f));
        let fallback = r.require("fallback").and_then(|f| ServiceRef::read_alone(&f));
        let errors = r.take("errors").and_then(|f| FailoverErrors::read(&f));
        Some(Self::Failover { service: Box::new(service?), fallback: Box::new(fallback?), errors })
    }
}

// === impl FailoverErrors ===

impl FailoverErrors {
    /// Reads `errors`.
    pub fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            Some(Self {
                statuses: r.list("status", super::middleware::status_ranges).concat(),
                max_request_body_bytes: unbounded(r, "maxRequestBodyBytes"),
            })
        })
    }
}

/// Takes a number of bytes of which -1, the default, means no bound.
pub(super) fn unbounded(r: &Reader<'_, '_>, name: &'static str) -> Option<u64> {
    r.int(name, -1, i64::MAX).and_then(|bytes| u64::try_from(bytes).ok())
}

/// Reads a number or a name. A number between quotes is a number too: Traefik writes both.
fn read_port(field: &Field<'_, '_>) -> Option<Spanned<PortRef>> {
    let scalar = field.node().as_scalar();
    let port = match scalar.map(|scalar| (scalar.core(), &*scalar.text)) {
        Some((Core::Str, text)) => match text.parse().ok().filter(|port| *port != 0) {
            Some(number) => PortRef::Number(number),
            None => PortRef::Name(field.non_empty_string()?),
        },
        _ => PortRef::Number(field.port()?),
    };
    Some(field.spanned(port))
}

/// Takes `proxyProtocol`.
pub(super) fn proxy_protocol(r: &Reader<'_, '_>) -> Option<u8> {
    r.take("proxyProtocol")?.nested(|r| Some(r.int("version", 1, 2).unwrap_or(2) as u8))
}

/// Reads a `terminationDelay` in milliseconds, or as a duration.
pub(super) fn delay(field: &Field<'_, '_>) -> Option<TerminationDelay> {
    let bare = field.node().as_scalar().and_then(|scalar| scalar.text.parse::<i64>().ok());
    match bare {
        Some(millis) => Some(u64::try_from(millis).map_or(TerminationDelay::Never, |millis| {
            TerminationDelay::After(Duration::from_millis(millis))
        })),
        None => match field.signed_duration()? {
            (true, _) => Some(TerminationDelay::Never),
            (false, delay) => Some(TerminationDelay::After(delay)),
        },
    }
}

/// Takes the switches for the cluster's own balancing, which we do ourselves.
fn native_lb(r: &Reader<'_, '_>) {
    for name in ["nativeLB", "nodePortLB"] {
        if r.bool(name) == Some(true) {
            let why = "endpoints are always balanced here";
            r.warn(format!("`{name}: true` has no effect: {why}"), None);
        }
    }
}
