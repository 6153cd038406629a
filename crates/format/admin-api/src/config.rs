//! What is in force.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Answer of `/config`: the configuration in force, without anything secret.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ConfigDump {
    /// Grows with each change.
    pub generation: u64,
    /// Addresses and what is served on them.
    pub listeners: Vec<ListenerView>,
    /// Destinations, by id.
    pub backends: Vec<BackendView>,
    /// Certificates that may be served, by origin. Names only; keys are never here.
    pub certificates: Vec<CertificateView>,
    /// What became of each document.
    pub resources: Vec<ResourceView>,
    /// Everything to say about the documents, by file and line.
    pub problems: Vec<ProblemView>,
}

/// One bound address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerView {
    /// Stable name.
    pub id: String,
    /// The address asked for.
    pub wanted: SocketAddr,
    /// The address bound; differs for port 0. None when it could not be bound.
    pub bound: Option<SocketAddr>,
    /// Routes served without TLS, the first that matches wins.
    pub plain: Vec<RouteView>,
    /// Routes served on TLS, the first that matches wins.
    pub tls: Vec<RouteView>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    /// Stable name; the `route` label of metrics.
    pub id: String,
    /// `http` or `tcp`. TCP routes are tried first.
    pub protocol: String,
    /// The rule as the user wrote it, or a rendering of it.
    pub rule: String,
    /// The place in the user's documents.
    pub origin: OriginView,
    /// What is done to a request, in order.
    pub steps: Vec<StepView>,
    /// Where it goes.
    pub target: TargetView,
}

/// A place in the user's documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginView {
    /// `IngressRoute`.
    pub kind: String,
    /// `shop/checkout`.
    pub name: String,
    /// `routes.yaml:12`; empty when not from a file.
    pub place: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Stable name, under which live state is kept.
    pub id: String,
    /// What it does: `strip_prefix`.
    pub kind: String,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TargetView {
    /// A backend.
    Backend {
        /// Its id.
        backend: String,
    },
    /// One of several, by weight.
    Weighted {
        /// The choices.
        choices: Vec<ChoiceView>,
        /// Cookie that keeps a client on its choice.
        sticky_cookie: Option<String>,
    },
    /// The one with the highest rendezvous hash of the client's address.
    HighestRandomWeight {
        /// The choices.
        choices: Vec<ChoiceView>,
    },
    /// One, and copies to others.
    Mirror {
        /// Answers the client.
        main: Box<TargetView>,
        /// Get copies.
        mirrors: Vec<MirrorView>,
    },
    /// One, and another for when it fails.
    Failover {
        /// Used first.
        main: Box<TargetView>,
        /// Used then.
        fallback: Box<TargetView>,
    },
    /// An answer of the gateway's own.
    Refuse {
        /// Its status.
        status: u16,
        /// Label of the reason: `policy_unenforceable`.
        reason: String,
        /// What is missing, and where.
        detail: String,
    },
}

/// One of several targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceView {
    /// Name that a sticky cookie refers to.
    pub name: String,
    /// Share among its siblings.
    pub weight: u32,
    /// Steps for this choice only.
    pub steps: Vec<StepView>,
    /// Where it goes.
    pub target: TargetView,
}

/// A target of copies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorView {
    /// Share of requests copied, 0 to 1.
    pub ratio: f64,
    /// Where the copy goes.
    pub target: TargetView,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendView {
    /// Stable name; the `backend` label of metrics.
    pub id: String,
    /// `auto`, `http1`, `http2` or `as_client`.
    pub protocol: String,
    /// Whether TLS is spoken to it.
    pub tls: bool,
    /// `round_robin`, `least_request`, `peak_ewma`, `random`, `rendezvous`, `ring_hash`, `maglev` or
    /// `weighted_by_load`.
    pub picker: String,
    /// Cookie that keeps a client on its endpoint.
    pub sticky_cookie: Option<String>,
    /// Active health checks; none when not configured.
    pub health_check: Option<HealthCheckView>,
    /// Whether endpoints that fail are set aside.
    pub passive_health: bool,
    /// Bounds on what is under way to all endpoints together.
    pub limits: LimitsView,
    /// The same for each endpoint.
    pub endpoint_limits: LimitsView,
    /// Where settings come from, as far as documents say anything of them.
    pub sources: Vec<SourceView>,
    /// Name that endpoints are resolved from; none when they are listed.
    pub dns_name: Option<String>,
    /// Addresses as configured; empty for those resolved by name.
    pub endpoints: Vec<EndpointView>,
}

/// Bounds on what is under way; none is no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitsView {
    /// Connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests.
    pub requests: Option<u32>,
    /// Retries.
    pub retries: Option<u32>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// The field as its dialect names it: `trafficPolicy.outlierDetection`.
    pub setting: String,
    /// `DestinationRule shop/payments`.
    pub document: String,
    /// `rules.yaml:12`; empty when not from a file.
    pub place: String,
}

/// Active health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckView {
    /// `tcp`, `http` or `grpc`.
    pub probe: String,
    /// Path of an HTTP probe, service of a gRPC one; empty otherwise.
    pub what: String,
    /// Between probes of a healthy endpoint, milliseconds.
    pub interval_ms: u64,
    /// Per probe, milliseconds.
    pub timeout_ms: u64,
}

/// One address of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// Its address.
    pub addr: SocketAddr,
    /// Share among its siblings.
    pub weight: u32,
    /// Where it runs: `region/zone/subzone`.
    pub locality: Option<String>,
    /// Those of a greater number are used when those of lesser ones cannot take the load.
    pub tier: u8,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CertificateView {
    /// Where it came from: `Secret shop/tls` or a path.
    pub origin: String,
    /// DNS names it is valid for.
    pub names: Vec<String>,
    /// Server names it is served for; empty text is the default.
    pub served_for: Vec<String>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceView {
    /// `IngressRoute shop/checkout`; empty when it could not be read.
    pub name: String,
    /// `routes.yaml:12`.
    pub place: String,
    /// `accepted`, `degraded`, `rejected`, `last good` or `ignored`.
    pub verdict: String,
}

/// Something to say about one place of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// `routes.yaml:12:9`.
    pub place: String,
    /// Field, such as `spec.routes[0].match`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: Option<String>,
}
