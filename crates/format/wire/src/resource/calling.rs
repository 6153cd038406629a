//! How a destination is called. Times are nanoseconds; one that is not there is none, or no bound.

use std::fmt;

/// [`weft_model::calling::Calling`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Calling {
    /// How an endpoint is chosen; round robin when absent.
    #[prost(oneof = "Picker", tags = "1, 2, 3, 4")]
    pub picker: Option<Picker>,
    /// What keeps requests together; the client's address when absent.
    #[prost(oneof = "HashKey", tags = "5, 6, 7")]
    pub key: Option<HashKey>,
    /// Keeps a client on its endpoint.
    #[prost(message, optional, tag = "8")]
    pub sticky: Option<Affinity>,
    /// Which endpoints come first.
    #[prost(message, optional, tag = "9")]
    pub locality: Option<Locality>,
    /// Passive health.
    #[prost(message, optional, tag = "10")]
    pub outlier: Option<Outlier>,
    /// How the share of a new endpoint grows; at once when absent.
    #[prost(message, optional, tag = "11")]
    pub slow_start: Option<SlowStart>,
    /// Bounds retries.
    #[prost(message, optional, tag = "12")]
    pub retry_budget: Option<Budget>,
    /// Bounds of all endpoints together.
    #[prost(message, optional, tag = "13")]
    pub limits: Option<Limits>,
    /// Bounds of each endpoint.
    #[prost(message, optional, tag = "14")]
    pub endpoint_limits: Option<Limits>,
    /// Connections; the usual ones when absent.
    #[prost(message, optional, tag = "15")]
    pub pool: Option<Pool>,
    /// TLS towards it.
    #[prost(message, optional, tag = "16")]
    pub tls: Option<Tls>,
    /// A bound that finds itself.
    #[prost(message, optional, tag = "17")]
    pub adaptive: Option<Adaptive>,
    /// A second request where the first is slow.
    #[prost(message, optional, tag = "18")]
    pub hedge: Option<Hedge>,
    /// What answers cost that ask for less load.
    #[prost(message, optional, tag = "19")]
    pub bias: Option<Bias>,
    /// Asks for a tunnel.
    #[prost(message, optional, tag = "20")]
    pub tunnel: Option<Tunnel>,
    /// PROXY protocol: 0 none, 1 text, 2 binary.
    #[prost(uint32, tag = "21")]
    pub proxy_protocol: u32,
    /// HTTP version: 0 default, 1 HTTP/2, 2 never HTTP/2, 3 as the client.
    #[prost(uint32, tag = "22")]
    pub upgrade: u32,
    /// Goes to the address that was dialled.
    #[prost(bool, tag = "23")]
    pub as_dialled: bool,
    /// Calls go past proxies.
    #[prost(bool, tag = "24")]
    pub without_mesh_tls: bool,
    /// Sends again what another hop has sent again.
    #[prost(bool, tag = "25")]
    pub retries_across_hops: bool,
    /// The caller's deadline bounds nothing, and goes no further.
    #[prost(bool, tag = "26")]
    pub ignores_deadlines: bool,
}

/// How an endpoint is chosen.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Picker {
    /// Without settings: 1 least request, 2 peak EWMA, 3 random, 4 rendezvous.
    #[prost(uint32, tag = "1")]
    Plain(u32),
    /// A hash ring.
    #[prost(message, tag = "2")]
    Ring(Ring),
    /// A Maglev table.
    #[prost(message, tag = "3")]
    Maglev(Maglev),
    /// By what endpoints report.
    #[prost(message, tag = "4")]
    Loads(LoadReport),
}

/// A hash ring.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ring {
    /// Points at least.
    #[prost(uint32, tag = "1")]
    pub size_min: u32,
    /// Points at most.
    #[prost(uint32, tag = "2")]
    pub size_max: u32,
    /// Bound on the load of one endpoint, percent.
    #[prost(uint32, optional, tag = "3")]
    pub load_max_percent: Option<u32>,
}

/// A Maglev table.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Maglev {
    /// Places.
    #[prost(uint32, tag = "1")]
    pub size: u32,
    /// As in [`Ring`].
    #[prost(uint32, optional, tag = "2")]
    pub load_max_percent: Option<u32>,
}

/// How reports of load become weights.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LoadReport {
    /// Reports must have come for so long.
    #[prost(uint64, tag = "1")]
    pub blackout: u64,
    /// A report counts for so long.
    #[prost(uint64, tag = "2")]
    pub expiration: u64,
    /// Between two looks.
    #[prost(uint64, tag = "3")]
    pub update_period: u64,
    /// What errors add, percent.
    #[prost(uint32, tag = "4")]
    pub error_penalty_percent: u32,
}

/// What keeps requests together.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum HashKey {
    /// A header.
    #[prost(string, tag = "5")]
    Header(String),
    /// A query parameter.
    #[prost(string, tag = "6")]
    Query(String),
    /// A cookie.
    #[prost(message, tag = "7")]
    Cookie(Affinity),
}

/// What a client brings along to be kept on one choice.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Affinity {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `Path`.
    #[prost(string, tag = "2")]
    pub path: String,
    /// `Domain`.
    #[prost(string, tag = "3")]
    pub domain: String,
    /// `HttpOnly`.
    #[prost(bool, tag = "4")]
    pub http_only: bool,
    /// `Secure`.
    #[prost(bool, tag = "5")]
    pub secure: bool,
    /// `SameSite`.
    #[prost(string, tag = "6")]
    pub same_site: String,
    /// `Max-Age`, seconds.
    #[prost(sint64, tag = "7")]
    pub max_age_secs: i64,
    /// A header brings it, with a word for a backend.
    #[prost(bool, tag = "8")]
    pub is_header_of_backend: bool,
    /// A header brings it, with a word for an endpoint.
    #[prost(bool, tag = "9")]
    pub is_header_of_endpoint: bool,
}

/// Which endpoints come first.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Locality {
    /// Where the traffic of a place goes.
    #[prost(message, repeated, tag = "1")]
    pub distribute: Vec<Distribute>,
    /// 0 none, 1 same zone, 2 place, 3 labels.
    #[prost(uint32, tag = "2")]
    pub order: u32,
    /// The labels.
    #[prost(string, repeated, tag = "3")]
    pub labels: Vec<String>,
    /// From region to region.
    #[prost(message, repeated, tag = "4")]
    pub failover: Vec<Failover>,
    /// With fewer endpoints, zones play no role.
    #[prost(uint32, tag = "5")]
    pub zones_from: u32,
}

/// Where the traffic of a place goes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Distribute {
    /// The place.
    #[prost(string, tag = "1")]
    pub from: String,
    /// Its shares.
    #[prost(message, repeated, tag = "2")]
    pub to: Vec<PlaceShare>,
}

/// The share of a place.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlaceShare {
    /// The place.
    #[prost(string, tag = "1")]
    pub place: String,
    /// Percent.
    #[prost(uint32, tag = "2")]
    pub percent: u32,
}

/// From region to region.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failover {
    /// The one that cannot take its traffic.
    #[prost(string, tag = "1")]
    pub from: String,
    /// The one that takes it.
    #[prost(string, tag = "2")]
    pub to: String,
}

/// Statuses, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatusRange {
    /// First.
    #[prost(uint32, tag = "1")]
    pub first: u32,
    /// Last.
    #[prost(uint32, tag = "2")]
    pub last: u32,
}

/// Passive health.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outlier {
    /// Failures in a row.
    #[prost(uint32, optional, tag = "1")]
    pub consecutive: Option<u32>,
    /// Failures of gateways in a row.
    #[prost(uint32, optional, tag = "2")]
    pub consecutive_gateway: Option<u32>,
    /// Connections that failed in a row.
    #[prost(uint32, optional, tag = "3")]
    pub consecutive_local: Option<u32>,
    /// Failures within a window.
    #[prost(message, optional, tag = "4")]
    pub in_window: Option<Window>,
    /// A share of successes.
    #[prost(message, optional, tag = "5")]
    pub success_rate: Option<SuccessRate>,
    /// Statuses that are failures.
    #[prost(message, repeated, tag = "6")]
    pub errors: Vec<StatusRange>,
    /// Whether failures to connect are counted apart.
    #[prost(bool, tag = "7")]
    pub split_local: bool,
    /// Share that may be set aside.
    #[prost(double, tag = "8")]
    pub ejected_ratio_max: f64,
    /// Share that has to be usable.
    #[prost(double, tag = "9")]
    pub usable_ratio_min: f64,
    /// Set aside for so long the first time.
    #[prost(uint64, tag = "10")]
    pub base: u64,
    /// At most for so long.
    #[prost(uint64, tag = "11")]
    pub max: u64,
    /// 0 linear, 1 double.
    #[prost(uint32, tag = "12")]
    pub growth: u32,
    /// Random share by which each is longer.
    #[prost(double, tag = "13")]
    pub jitter_ratio: f64,
    /// A step shorter after so long.
    #[prost(uint64, tag = "14")]
    pub forgiven_after: u64,
    /// Whether one request decides.
    #[prost(bool, tag = "15")]
    pub probation: bool,
}

/// Failures within a window.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Window {
    /// So many.
    #[prost(uint32, tag = "1")]
    pub failures: u32,
    /// So long.
    #[prost(uint64, tag = "2")]
    pub window: u64,
}

/// A share of successes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SuccessRate {
    /// A lower one ejects.
    #[prost(double, tag = "1")]
    pub ratio_min: f64,
    /// Over so long.
    #[prost(uint64, tag = "2")]
    pub window: u64,
    /// Of so many requests at least.
    #[prost(uint32, tag = "3")]
    pub requests_min: u32,
    /// Statuses that are no success.
    #[prost(message, repeated, tag = "4")]
    pub errors: Vec<StatusRange>,
}

/// How the share of a new endpoint grows.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SlowStart {
    /// Time to the full share.
    #[prost(uint64, tag = "1")]
    pub window: u64,
    /// Share at first.
    #[prost(double, tag = "2")]
    pub ratio_min: f64,
    /// Exponent.
    #[prost(double, tag = "3")]
    pub aggression: f64,
}

/// Bounds retries. One of a kind that is not known here stands for the usual bound.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Budget {
    /// Which.
    #[prost(oneof = "BudgetKind", tags = "1, 2")]
    pub kind: Option<BudgetKind>,
}

/// How retries are bounded.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum BudgetKind {
    /// By the requests of some time.
    #[prost(message, tag = "1")]
    Recent(RecentBudget),
    /// By those under way.
    #[prost(message, tag = "2")]
    Active(ActiveBudget),
}

/// By the requests of some time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RecentBudget {
    /// Share.
    #[prost(double, tag = "1")]
    pub ratio: f64,
    /// Over so long.
    #[prost(uint64, tag = "2")]
    pub interval: u64,
    /// Allowed anyway.
    #[prost(uint32, tag = "3")]
    pub retries_min: u32,
    /// In so long.
    #[prost(uint64, tag = "4")]
    pub retries_min_interval: u64,
}

/// By the requests under way.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ActiveBudget {
    /// Share.
    #[prost(double, tag = "1")]
    pub ratio: f64,
    /// Allowed anyway.
    #[prost(uint32, tag = "2")]
    pub retries_min: u32,
    /// What has ended counts for so long.
    #[prost(uint64, tag = "3")]
    pub interval: u64,
}

/// Bounds on what is under way.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Limits {
    /// Connections.
    #[prost(uint32, optional, tag = "1")]
    pub connections: Option<u32>,
    /// Requests that wait.
    #[prost(uint32, optional, tag = "2")]
    pub pending: Option<u32>,
    /// Requests.
    #[prost(uint32, optional, tag = "3")]
    pub requests: Option<u32>,
    /// Retries.
    #[prost(uint32, optional, tag = "4")]
    pub retries: Option<u32>,
}

/// Connections.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Pool {
    /// Time to establish one.
    #[prost(uint64, tag = "1")]
    pub connect_timeout: u64,
    /// Idle ones kept.
    #[prost(uint32, tag = "2")]
    pub idle_per_endpoint_max: u32,
    /// For so long.
    #[prost(uint64, tag = "3")]
    pub idle_timeout: u64,
    /// The same for connections of bytes.
    #[prost(uint64, optional, tag = "4")]
    pub tcp_idle_timeout: Option<u64>,
    /// Time to the response head.
    #[prost(uint64, optional, tag = "5")]
    pub response_head_timeout: Option<u64>,
    /// Requests on one.
    #[prost(uint32, tag = "6")]
    pub requests_per_connection_max: u32,
    /// Age of one.
    #[prost(uint64, optional, tag = "7")]
    pub connection_age_max: Option<u64>,
    /// Requests at one time on one of HTTP/2.
    #[prost(uint32, tag = "8")]
    pub h2_streams_max: u32,
    /// Probes of silent ones.
    #[prost(message, optional, tag = "9")]
    pub keep_alive: Option<KeepAlive>,
    /// Pings on those of HTTP/2.
    #[prost(message, optional, tag = "10")]
    pub h2_keep_alive: Option<Ping>,
}

/// Probes of silent connections.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct KeepAlive {
    /// Silence before the first.
    #[prost(uint64, tag = "1")]
    pub idle: u64,
    /// Between two.
    #[prost(uint64, tag = "2")]
    pub interval: u64,
    /// So many.
    #[prost(uint32, tag = "3")]
    pub probes: u32,
}

/// Pings.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ping {
    /// Between two.
    #[prost(uint64, tag = "1")]
    pub interval: u64,
    /// Time for an answer.
    #[prost(uint64, tag = "2")]
    pub timeout: u64,
}

/// TLS towards an upstream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Tls {
    /// Name sent and verified; the request's host when absent.
    #[prost(string, optional, tag = "1")]
    pub server_name: Option<String>,
    /// Authorities, PEM; the system's when absent.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub roots_pem: Option<Vec<u8>>,
    /// Certificate of the client.
    #[prost(message, optional, tag = "3")]
    pub client: Option<Certificate>,
    /// Any certificate is accepted.
    #[prost(bool, tag = "4")]
    pub insecure_skip_verify: bool,
    /// Names of which the certificate has to have one.
    #[prost(message, repeated, tag = "5")]
    pub subject_alt_names: Vec<SubjectAltName>,
    /// TLS 1.2 is not spoken.
    #[prost(bool, tag = "6")]
    pub without_tls12: bool,
    /// TLS 1.3 is not spoken.
    #[prost(bool, tag = "7")]
    pub without_tls13: bool,
    /// Files that the rest is taken from. Who does not know of them trusts no authority: the list of
    /// those is there, and empty.
    #[prost(message, optional, tag = "8")]
    pub files: Option<TlsFiles>,
}

/// Files of the machine of whoever calls.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TlsFiles {
    /// Authorities; the system's when absent.
    #[prost(string, optional, tag = "1")]
    pub roots: Option<String>,
    /// Certificate of the client with its chain.
    #[prost(string, optional, tag = "2")]
    pub chain: Option<String>,
    /// Its key.
    #[prost(string, optional, tag = "3")]
    pub key: Option<String>,
}

/// A certificate with its key, which is not shown.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Certificate {
    /// Where it came from.
    #[prost(string, tag = "1")]
    pub origin: String,
    /// Chain, PEM.
    #[prost(bytes = "vec", tag = "2")]
    pub chain_pem: Vec<u8>,
    /// Key, PEM.
    #[prost(bytes = "vec", tag = "3")]
    pub key_pem: Vec<u8>,
    /// Names of the leaf.
    #[prost(string, repeated, tag = "4")]
    pub names: Vec<String>,
}

/// A name in a certificate.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubjectAltName {
    /// Which.
    #[prost(oneof = "SubjectAltNameKind", tags = "1, 2")]
    pub kind: Option<SubjectAltNameKind>,
}

/// The kinds of names.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum SubjectAltNameKind {
    /// Of DNS.
    #[prost(string, tag = "1")]
    Dns(String),
    /// A URI.
    #[prost(string, tag = "2")]
    Uri(String),
}

/// A bound that finds itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Adaptive {
    /// At first.
    #[prost(uint32, tag = "1")]
    pub limit_initial: u32,
    /// Never below.
    #[prost(uint32, tag = "2")]
    pub limit_min: u32,
    /// Never above.
    #[prost(uint32, tag = "3")]
    pub limit_max: u32,
    /// Quantile that counts.
    #[prost(double, tag = "4")]
    pub quantile: f64,
    /// Between two changes.
    #[prost(uint64, tag = "5")]
    pub update_period: u64,
    /// Latencies for a change.
    #[prost(uint32, tag = "6")]
    pub samples_min: u32,
    /// Between two measurements of the ideal.
    #[prost(uint64, tag = "7")]
    pub ideal_period: u64,
    /// Random share by which that is longer.
    #[prost(double, tag = "8")]
    pub ideal_jitter_ratio: f64,
    /// Latencies for the ideal.
    #[prost(uint32, tag = "9")]
    pub ideal_samples: u32,
    /// Rise that is borne.
    #[prost(double, tag = "10")]
    pub tolerance_ratio: f64,
    /// Share of the way that is gone at once.
    #[prost(double, tag = "11")]
    pub smoothing: f64,
}

/// A second request where the first is slow.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hedge {
    /// Quantile after which it is sent.
    #[prost(double, tag = "1")]
    pub quantile: f64,
    /// Over so long.
    #[prost(uint64, tag = "2")]
    pub window: u64,
    /// Latencies that have to be known.
    #[prost(uint32, tag = "3")]
    pub samples_min: u32,
    /// Never earlier.
    #[prost(uint64, tag = "4")]
    pub delay_min: u64,
    /// Never later.
    #[prost(uint64, tag = "5")]
    pub delay_max: u64,
    /// Share of requests.
    #[prost(double, tag = "6")]
    pub budget_ratio: f64,
    /// So many at once.
    #[prost(uint32, tag = "7")]
    pub burst: u32,
}

/// What answers cost that ask for less load.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Bias {
    /// Latency that they count as.
    #[prost(uint64, tag = "1")]
    pub penalty: u64,
    /// `retry-after` counts up to this.
    #[prost(uint64, tag = "2")]
    pub retry_after_max: u64,
}

/// A tunnel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Tunnel {
    /// POST instead of CONNECT.
    #[prost(bool, tag = "1")]
    pub post: bool,
    /// Host it leads to.
    #[prost(string, tag = "2")]
    pub host: String,
    /// Port.
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

// === impl Certificate ===

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("origin", &self.origin)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
