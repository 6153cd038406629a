//! What is done to a request on its way.

use super::calling::{Hedge, StatusRange};
use super::{Network, Refusal};

/// One step; one without a kind is of a kind that the reader does not know.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Step {
    /// Name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What it does.
    #[prost(oneof = "StepKind", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
    pub kind: Option<StepKind>,
}

/// The kinds of steps.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum StepKind {
    /// Rewrites host and path.
    #[prost(message, tag = "2")]
    Rewrite(Rewrite),
    /// Redirects.
    #[prost(message, tag = "3")]
    Redirect(Redirect),
    /// Edits headers of the request.
    #[prost(message, tag = "4")]
    RequestHeaders(HeaderEdits),
    /// Edits headers of the response.
    #[prost(message, tag = "5")]
    ResponseHeaders(HeaderEdits),
    /// Cross-origin rules.
    #[prost(message, tag = "6")]
    Cors(Cors),
    /// Clients allowed.
    #[prost(message, tag = "7")]
    IpAllowList(IpAllowList),
    /// Requests per time.
    #[prost(message, tag = "8")]
    RateLimit(RateLimit),
    /// Requests at one time.
    #[prost(message, tag = "9")]
    InFlight(InFlight),
    /// Sends again.
    #[prost(message, tag = "10")]
    Retry(RetryPolicy),
    /// Copies.
    #[prost(message, tag = "11")]
    Mirror(Mirror),
    /// Delays and aborts.
    #[prost(message, tag = "12")]
    Fault(Fault),
    /// Requests per time, by identity.
    #[prost(message, tag = "13")]
    LocalRateLimit(LocalRateLimit),
    /// A second request.
    #[prost(message, tag = "14")]
    Hedge(Hedge),
    /// A fixed answer.
    #[prost(message, tag = "15")]
    Respond(FixedAnswer),
    /// Refuses.
    #[prost(message, tag = "16")]
    Refuse(Refusal),
}

/// Rewrites host and path.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rewrite {
    /// New host.
    #[prost(string, optional, tag = "1")]
    pub host: Option<String>,
    /// New path.
    #[prost(message, optional, tag = "2")]
    pub path: Option<PathRewrite>,
}

/// How a path is replaced.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PathRewrite {
    /// Which.
    #[prost(oneof = "PathRewriteKind", tags = "1, 2, 3")]
    pub kind: Option<PathRewriteKind>,
}

/// The ways to replace a path.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum PathRewriteKind {
    /// All of it.
    #[prost(string, tag = "1")]
    Full(String),
    /// The prefix in `found`.
    #[prost(message, tag = "2")]
    Prefix(Replacement),
    /// The pattern in `found`.
    #[prost(message, tag = "3")]
    Regex(Replacement),
}

/// One text in place of another.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Replacement {
    /// What is there.
    #[prost(string, tag = "1")]
    pub found: String,
    /// What it becomes.
    #[prost(string, tag = "2")]
    pub replacement: String,
}

/// Redirects.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Redirect {
    /// New scheme.
    #[prost(string, optional, tag = "1")]
    pub scheme: Option<String>,
    /// New host.
    #[prost(string, optional, tag = "2")]
    pub host: Option<String>,
    /// New port.
    #[prost(uint32, optional, tag = "3")]
    pub port: Option<u32>,
    /// New path.
    #[prost(message, optional, tag = "4")]
    pub path: Option<PathRewrite>,
    /// Status.
    #[prost(uint32, tag = "5")]
    pub status: u32,
}

/// Edits of headers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HeaderEdits {
    /// Replaces all values.
    #[prost(message, repeated, tag = "1")]
    pub set: Vec<Header>,
    /// Adds a value.
    #[prost(message, repeated, tag = "2")]
    pub add: Vec<Header>,
    /// Removes all values.
    #[prost(string, repeated, tag = "3")]
    pub remove: Vec<String>,
    /// Values that are made of facts.
    #[prost(message, repeated, tag = "4")]
    pub made: Vec<MadeHeader>,
}

/// A header whose value is another one for each message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MadeHeader {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Whether it is added.
    #[prost(bool, tag = "2")]
    pub adds: bool,
    /// What its value is put together of.
    #[prost(message, repeated, tag = "3")]
    pub parts: Vec<ValuePart>,
}

/// A part of a value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ValuePart {
    /// 0 text, 1 the client's address and port, 2 its address, 3 the port here, 4 the protocol, 5 the
    /// status, 6 what has a name.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Text.
    #[prost(string, tag = "2")]
    pub text: String,
    /// Names, of which the first that is there counts.
    #[prost(string, repeated, tag = "3")]
    pub names: Vec<String>,
    /// How many bytes at most.
    #[prost(uint32, optional, tag = "4")]
    pub bytes_max: Option<u32>,
}

/// A header.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Header {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Cross-origin rules.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cors {
    /// Origins.
    #[prost(string, repeated, tag = "1")]
    pub allow_origins: Vec<String>,
    /// Origins by pattern.
    #[prost(string, repeated, tag = "2")]
    pub allow_origin_patterns: Vec<String>,
    /// Methods.
    #[prost(string, repeated, tag = "3")]
    pub allow_methods: Vec<String>,
    /// Headers.
    #[prost(string, repeated, tag = "4")]
    pub allow_headers: Vec<String>,
    /// Headers scripts may read.
    #[prost(string, repeated, tag = "5")]
    pub expose_headers: Vec<String>,
    /// Credentials allowed.
    #[prost(bool, tag = "6")]
    pub allow_credentials: bool,
    /// Seconds a preflight may be kept.
    #[prost(sint64, optional, tag = "7")]
    pub max_age_secs: Option<i64>,
    /// Always adds `Vary: Origin`.
    #[prost(bool, tag = "8")]
    pub always_vary: bool,
    /// Answers every preflight.
    #[prost(bool, tag = "9")]
    pub answer_all_preflights: bool,
}

/// Clients allowed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IpAllowList {
    /// Ranges.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<Network>,
    /// Which address counts.
    #[prost(message, optional, tag = "2")]
    pub strategy: Option<IpStrategy>,
    /// Status of a refusal.
    #[prost(uint32, tag = "3")]
    pub reject_status: u32,
}

/// Which address of a request counts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IpStrategy {
    /// Position from the right.
    #[prost(uint32, tag = "1")]
    pub depth: u32,
    /// Passed over.
    #[prost(message, repeated, tag = "2")]
    pub excluded: Vec<Network>,
    /// Bits of IPv6 addresses that count.
    #[prost(uint32, optional, tag = "3")]
    pub ipv6_subnet: Option<u32>,
}

/// What requests are counted by.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Source {
    /// Which.
    #[prost(oneof = "SourceKind", tags = "1, 2, 3, 4")]
    pub kind: Option<SourceKind>,
}

/// The kinds of sources.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum SourceKind {
    /// The client's address.
    #[prost(message, tag = "1")]
    Ip(IpStrategy),
    /// A header.
    #[prost(string, tag = "2")]
    Header(String),
    /// The host; always true.
    #[prost(bool, tag = "3")]
    Host(bool),
    /// Nothing; always true.
    #[prost(bool, tag = "4")]
    All(bool),
}

/// Requests per time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Rate {
    /// So many.
    #[prost(uint64, tag = "1")]
    pub average: u64,
    /// In so long, nanoseconds.
    #[prost(uint64, tag = "2")]
    pub period: u64,
    /// So many at once.
    #[prost(uint64, tag = "3")]
    pub burst: u64,
}

/// Requests per time and source.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RateLimit {
    /// How many.
    #[prost(message, optional, tag = "1")]
    pub rate: Option<Rate>,
    /// Counted per what.
    #[prost(message, optional, tag = "2")]
    pub source: Option<Source>,
}

/// Requests at one time and source.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InFlight {
    /// How many.
    #[prost(uint32, tag = "1")]
    pub amount: u32,
    /// Counted per what.
    #[prost(message, optional, tag = "2")]
    pub source: Option<Source>,
}

/// Sends again what failed. Times are nanoseconds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RetryPolicy {
    /// Tries in all.
    #[prost(uint32, tag = "1")]
    pub attempts: u32,
    /// Bound of the first wait.
    #[prost(uint64, tag = "2")]
    pub initial_interval: u64,
    /// No wait is shorter.
    #[prost(uint64, tag = "3")]
    pub interval_min: u64,
    /// Growth of the bounds.
    #[prost(double, tag = "4")]
    pub factor: f64,
    /// No bound is above.
    #[prost(uint64, tag = "5")]
    pub interval_max: u64,
    /// No new try after this.
    #[prost(uint64, optional, tag = "6")]
    pub timeout: Option<u64>,
    /// Of each try.
    #[prost(uint64, optional, tag = "7")]
    pub attempt_timeout: Option<u64>,
    /// Statuses that count as failed.
    #[prost(message, repeated, tag = "8")]
    pub statuses: Vec<StatusRange>,
    /// gRPC statuses that do.
    #[prost(uint32, repeated, tag = "9")]
    pub grpc_statuses: Vec<u32>,
    /// Bodies that are kept.
    #[prost(uint64, tag = "10")]
    pub body_bytes_max: u64,
    /// When it was not looked at.
    #[prost(bool, tag = "11")]
    pub on_unreached: bool,
    /// When the connection failed.
    #[prost(bool, tag = "12")]
    pub on_network_error: bool,
    /// When a try took too long.
    #[prost(bool, tag = "13")]
    pub on_timeout: bool,
    /// Also what may not be repeated.
    #[prost(bool, tag = "14")]
    pub non_idempotent: bool,
    /// Also where it was tried.
    #[prost(bool, tag = "15")]
    pub same_endpoint: bool,
    /// Where others run.
    #[prost(bool, tag = "16")]
    pub elsewhere: bool,
    /// The rule says nothing of it.
    #[prost(bool, tag = "17")]
    pub by_default: bool,
}

/// Copies.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Mirror {
    /// Share of requests.
    #[prost(uint32, tag = "1")]
    pub parts_per_million: u32,
    /// Where they go.
    #[prost(string, tag = "2")]
    pub backend: String,
    /// Compares answers to copies.
    #[prost(message, optional, tag = "3")]
    pub compared: Option<AnswerDiff>,
}

/// What answers to copies are compared by.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AnswerDiff {
    /// Share of the copies.
    #[prost(uint32, tag = "1")]
    pub parts_per_million: u32,
    /// Statuses.
    #[prost(bool, tag = "2")]
    pub status: bool,
    /// Header fields.
    #[prost(bool, tag = "3")]
    pub headers: bool,
    /// Bodies.
    #[prost(bool, tag = "4")]
    pub body: bool,
}

/// Delays and aborts.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Fault {
    /// A wait.
    #[prost(message, optional, tag = "1")]
    pub delay: Option<Delay>,
    /// An answer.
    #[prost(message, optional, tag = "2")]
    pub abort: Option<Abort>,
}

/// A wait.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Delay {
    /// How long, nanoseconds.
    #[prost(uint64, tag = "1")]
    pub wait: u64,
    /// Share of the requests.
    #[prost(uint32, tag = "2")]
    pub parts_per_million: u32,
}

/// An answer in place of the upstream's.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Abort {
    /// Share of the requests.
    #[prost(uint32, tag = "1")]
    pub parts_per_million: u32,
    /// With what.
    #[prost(oneof = "AbortKind", tags = "2, 3")]
    pub kind: Option<AbortKind>,
}

/// The kinds of answers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum AbortKind {
    /// A status of HTTP.
    #[prost(uint32, tag = "2")]
    Http(u32),
    /// A status of gRPC.
    #[prost(uint32, tag = "3")]
    Grpc(u32),
}

/// Requests per time, by identity.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LocalRateLimit {
    /// Of all together.
    #[prost(message, optional, tag = "1")]
    pub total: Option<Rate>,
    /// Of each identity.
    #[prost(message, optional, tag = "2")]
    pub identity: Option<Rate>,
    /// Of some.
    #[prost(message, repeated, tag = "3")]
    pub overrides: Vec<RateOverride>,
}

/// Requests per time of some identities.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RateOverride {
    /// Whose.
    #[prost(string, repeated, tag = "1")]
    pub identities: Vec<String>,
    /// How many.
    #[prost(message, optional, tag = "2")]
    pub rate: Option<Rate>,
}

/// A fixed answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FixedAnswer {
    /// Status.
    #[prost(uint32, tag = "1")]
    pub status: u32,
    /// Body.
    #[prost(bytes = "vec", tag = "2")]
    pub body: Vec<u8>,
}
