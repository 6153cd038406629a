//! How a destination is called: balancing, resilience and connections, whatever leads there.
//!
//! It is an aspect of its own. A route of one dialect and a policy of another may speak of one
//! service; who decides which is in force is `compile`.

use std::sync::Arc;
use std::time::Duration;

use weft_message::FieldName;
use weft_resilience::settings::{
    AdaptiveSettings, BiasSettings, BudgetSettings, EjectionSettings, HedgeSettings, LimitSettings,
    OutlierSettings, PickerKind, SlowStartSettings,
};

use crate::backend::UpstreamTls;
use crate::route::{Affinity, Cookie};

/// Endpoints to which five connections in a row failed are set aside for 5 s, longer by as much each
/// time up to a minute, and never more than half of them.
const CONNECTIONS: OutlierSettings = OutlierSettings {
    consecutive_local: Some(5),
    split_local: true,
    ejection: EjectionSettings {
        base: Duration::from_secs(5),
        max: Duration::from_secs(60),
        forgiven_after: Duration::from_secs(5),
        ..EjectionSettings::ENVOY
    },
    ejected_ratio_max: 0.5,
    ..OutlierSettings::NONE
};

/// Labels of workloads: keys and values.
pub type Labels = [(Box<str>, Box<str>)];

/// How a destination is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Calling {
    /// How an endpoint is chosen.
    pub picker: PickerKind,
    /// Goes to the address that was dialled, whatever the service's endpoints (Istio's
    /// `PASSTHROUGH`).
    pub as_dialled: bool,
    /// What keeps requests together, for pickers that hash.
    pub key: HashKey,
    /// Keeps a client on its endpoint.
    pub sticky: Option<Affinity>,
    /// Which endpoints come first, by where they run.
    pub locality: Option<Arc<Locality>>,
    /// Passive health: endpoints that fail are set aside.
    pub outlier: Option<OutlierSettings>,
    /// How the share of a new endpoint grows.
    pub slow_start: SlowStartSettings,
    /// Bounds retries as a share of requests, of all workers together; `None` is no bound.
    pub retry_budget: Option<BudgetSettings>,
    /// Bounds on what is under way to all endpoints together.
    pub limits: LimitSettings,
    /// The same for each endpoint by itself.
    pub endpoint_limits: LimitSettings,
    /// Connections.
    pub pool: PoolSettings,
    /// TLS towards it; `None` is plain.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Calls go past the proxies beside endpoints, without the mesh's mutual TLS (Istio's tls mode
    /// `DISABLE`).
    pub without_mesh_tls: bool,
    /// A bound on requests that finds itself, from latencies.
    pub adaptive: Option<AdaptiveSettings>,
    /// Sends a second request where the first is slow, if the method is idempotent.
    pub hedge: Option<HedgeSettings>,
    /// Sends again what fails although another hop has sent it again, or has done so further down.
    /// Otherwise tries would multiply from hop to hop.
    pub retries_across_hops: bool,
    /// What a caller says of the time that it has bounds nothing, and nothing is said of it to the
    /// next hop.
    pub ignores_deadlines: bool,
    /// What answers cost an endpoint that ask for less load.
    pub bias: Option<BiasSettings>,
    /// What asks for a tunnel to the endpoint, through a proxy that stands there.
    pub tunnel: Option<Tunnel>,
    /// PROXY protocol sent in front of each connection (TCP) or none.
    pub proxy_protocol: Option<ProxyVersion>,
    /// HTTP version, where the caller's own is not to be kept.
    pub upgrade: HttpUpgrade,
}

/// Calling settings with whom and what they are for.
#[derive(Debug, Clone, PartialEq)]
pub struct CallingFor {
    /// The callers.
    pub audience: Audience,
    /// One port of the service, or all that no other entry names.
    pub port: Option<u16>,
    /// A part of the endpoints, or all.
    pub subset: Option<Subset>,
    /// The settings.
    pub calling: Arc<Calling>,
    /// Where they come from, for `explain`. What is not named is the mesh's own.
    pub sources: Arc<[Source]>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The field as its dialect names it: `trafficPolicy.outlierDetection`.
    pub setting: Box<str>,
    /// The document: `DestinationRule shop/payments`.
    pub document: Box<str>,
    /// Its file, as given; empty when not from a file.
    pub file: Box<str>,
    /// The line of its file, from 1; 0 when unknown.
    pub line: u32,
}

/// A named part of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Its name.
    pub name: Box<str>,
    /// The labels that an endpoint has to have.
    pub labels: Box<[(Box<str>, Box<str>)]>,
}

/// The workloads that something is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audience {
    /// Of these namespaces; of all when empty.
    pub namespaces: Box<[Box<str>]>,
    /// With all of these labels.
    pub labels: Box<[(Box<str>, Box<str>)]>,
}

/// What keeps requests together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HashKey {
    /// The address of the client.
    #[default]
    ClientAddr,
    /// The first value of a header.
    Header(FieldName),
    /// The value of a query parameter.
    Query(Box<str>),
    /// The value of a cookie; a client without one is given one.
    Cookie(Cookie),
}

/// Which endpoints come first, by where they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locality {
    /// Where the traffic of a place goes (Istio's `distribute`): the first entry whose `from` fits
    /// holds. With one in force, nothing below counts.
    pub distribute: Vec<Distribute>,
    /// The order in which endpoints are used.
    pub order: LocalityOrder,
    /// Where a region's traffic goes that the region itself cannot take: from, to.
    pub failover: Vec<(Box<str>, Box<str>)>,
    /// With fewer endpoints than this, zones and what is below them play no role in the order.
    pub zones_from: u32,
}

/// Where the traffic of a place goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribute {
    /// `region/zone/subzone`, with `*` for all below.
    pub from: Box<str>,
    /// The same with percentages.
    pub to: Vec<(Box<str>, u32)>,
}

/// The order in which endpoints are used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LocalityOrder {
    /// All alike.
    #[default]
    None,
    /// Those of the caller's zone and no others, as long as there are any (Kubernetes'
    /// `PreferSameZone`).
    SameZone,
    /// Those of the caller's subzone, zone, region, then others.
    Place,
    /// Those that share the most of these labels with the caller, in this order (Istio's
    /// `failoverPriority`). `key=value` fits the endpoint alone.
    Labels(Vec<Box<str>>),
}

/// Connections of one backend in one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Time to establish one, TLS included; and before that, as much to wait where no more may be
    /// made.
    pub connect_timeout: Duration,
    /// Idle connections kept per endpoint and worker; 0 never reuses.
    pub idle_per_endpoint_max: u32,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// A connection of bytes is closed after this without any; `None` is never.
    pub tcp_idle_timeout: Option<Duration>,
    /// Time to the response head; `None` is no bound.
    pub response_head_timeout: Option<Duration>,
    /// Requests on one connection before it is closed; 0 is no bound.
    pub requests_per_connection_max: u32,
    /// A connection takes no new request after this age; one of bytes is closed. `None` is no
    /// bound.
    pub connection_age_max: Option<Duration>,
    /// Requests at one time on one HTTP/2 connection; 0 leaves it to the other side.
    pub h2_streams_max: u32,
    /// Probes of silent connections; `None` leaves the usual ones.
    pub keep_alive: Option<KeepAlive>,
    /// Pings on HTTP/2 connections: how often, and how long an answer may take. `None` sends none.
    pub h2_keep_alive: Option<(Duration, Duration)>,
}

/// Probes of silent TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Probes without an answer after which the connection is given up.
    pub probes: u32,
}

/// What asks a proxy for a tunnel of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// POST instead of CONNECT.
    pub post: bool,
    /// The host that the tunnel leads to.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
}

/// The HTTP version towards an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HttpUpgrade {
    /// As the port and the backend's settings say.
    #[default]
    Default,
    /// HTTP/2, whatever the client speaks.
    Http2,
    /// HTTP/1.1 unless the port says HTTP/2.
    Never,
    /// What the client speaks.
    AsClient,
}

/// PROXY protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

// === impl Calling ===

impl Calling {
    /// The mesh's own: least request of two; endpoints to which five connections in a row failed are
    /// set aside for 5 s and more, but never more than half of them; 5 s to connect; the usual
    /// budget of retries.
    pub fn mesh() -> Self {
        Self {
            picker: PickerKind::LeastRequest,
            outlier: Some(CONNECTIONS),
            retry_budget: Some(BudgetSettings::DEFAULT),
            ..Self::default()
        }
    }
}

impl Default for Calling {
    /// Round robin over all endpoints, without bounds, passive health or TLS.
    fn default() -> Self {
        Self {
            picker: PickerKind::RoundRobin,
            as_dialled: false,
            key: HashKey::ClientAddr,
            sticky: None,
            locality: None,
            outlier: None,
            slow_start: SlowStartSettings::linear(Duration::ZERO),
            retry_budget: None,
            limits: LimitSettings::default(),
            endpoint_limits: LimitSettings::default(),
            pool: PoolSettings::DEFAULT,
            tls: None,
            without_mesh_tls: false,
            adaptive: None,
            hedge: None,
            retries_across_hops: false,
            ignores_deadlines: false,
            bias: None,
            tunnel: None,
            proxy_protocol: None,
            upgrade: HttpUpgrade::Default,
        }
    }
}

// === impl Audience ===

impl Audience {
    /// Whether a workload of `namespace` with those labels is meant.
    pub fn fits(&self, namespace: &str, labels: &[(Box<str>, Box<str>)]) -> bool {
        let is_there = self.namespaces.is_empty();
        (is_there || self.namespaces.iter().any(|one| **one == *namespace))
            && self.labels.iter().all(|wanted| labels.contains(wanted))
    }
}

// === impl Subset ===

impl Subset {
    /// Whether an endpoint with those labels belongs to it.
    pub fn fits(&self, labels: &[(Box<str>, Box<str>)]) -> bool {
        self.labels.iter().all(|wanted| labels.contains(wanted))
    }
}

// === impl PoolSettings ===

impl PoolSettings {
    /// Connect 5 s, 512 idle, 60 s: below the 75 s and 120 s that usual servers keep.
    pub const DEFAULT: Self = Self {
        connect_timeout: Duration::from_secs(5),
        idle_per_endpoint_max: 512,
        idle_timeout: Duration::from_secs(60),
        tcp_idle_timeout: None,
        response_head_timeout: None,
        requests_per_connection_max: 0,
        connection_age_max: None,
        h2_streams_max: 0,
        keep_alive: None,
        h2_keep_alive: None,
    };
}
