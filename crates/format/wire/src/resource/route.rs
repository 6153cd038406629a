//! Rules: the requests and connections they take, and where these go.
//!
//! Patterns travel as text. A matcher, target or step of a kind that a reader does not know is one
//! without a kind to it.

use super::calling::Affinity;
use super::step::{RetryPolicy, Step};
use super::traffic::{Audience, Source};
use super::{Network, Refusal};

/// A rule of HTTP for some of the callers and ports.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RoutedHttp {
    /// The callers; all when absent.
    #[prost(message, optional, tag = "1")]
    pub audience: Option<Audience>,
    /// The ports; none stands for all.
    #[prost(uint32, repeated, tag = "2")]
    pub ports: Vec<u32>,
    /// The rule.
    #[prost(message, optional, tag = "3")]
    pub route: Option<Route>,
}

/// The same for connections of bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RoutedTcp {
    /// The callers; all when absent.
    #[prost(message, optional, tag = "1")]
    pub audience: Option<Audience>,
    /// The ports; none stands for all.
    #[prost(uint32, repeated, tag = "2")]
    pub ports: Vec<u32>,
    /// The rule.
    #[prost(message, optional, tag = "3")]
    pub route: Option<TcpRoute>,
}

/// A rule of HTTP.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Route {
    /// Name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its place in the documents.
    #[prost(message, optional, tag = "2")]
    pub origin: Option<Origin>,
    /// Position.
    #[prost(message, optional, tag = "3")]
    pub rank: Option<Rank>,
    /// The requests it takes; all when absent.
    #[prost(message, optional, tag = "4")]
    pub matcher: Option<Matcher>,
    /// What is done.
    #[prost(message, repeated, tag = "5")]
    pub steps: Vec<Step>,
    /// Where they go.
    #[prost(message, optional, tag = "6")]
    pub target: Option<Target>,
    /// Bounds on time.
    #[prost(message, optional, tag = "7")]
    pub timeouts: Option<Timeouts>,
}

/// A rule for connections of bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TcpRoute {
    /// Name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its place in the documents.
    #[prost(message, optional, tag = "2")]
    pub origin: Option<Origin>,
    /// Position.
    #[prost(message, optional, tag = "3")]
    pub rank: Option<Rank>,
    /// The connections it takes; all when absent.
    #[prost(message, optional, tag = "4")]
    pub matcher: Option<TcpMatcher>,
    /// TLS: 0 there is none, 1 it passes.
    #[prost(uint32, tag = "5")]
    pub tls: u32,
    /// Connections of one client.
    #[prost(uint32, optional, tag = "6")]
    pub in_flight_max: Option<u32>,
    /// Clients allowed.
    #[prost(message, repeated, tag = "7")]
    pub allow: Vec<Network>,
    /// Where they go.
    #[prost(message, optional, tag = "8")]
    pub target: Option<Target>,
}

/// The place of a rule in the documents.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Origin {
    /// Kind of the document.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its file.
    #[prost(string, tag = "3")]
    pub file: String,
    /// The rule as it is written.
    #[prost(string, tag = "4")]
    pub rule: String,
}

/// The position of a rule.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Rank {
    /// Dialect.
    #[prost(uint32, tag = "1")]
    pub dialect: u32,
    /// First.
    #[prost(sint64, tag = "2")]
    pub major: i64,
    /// Second.
    #[prost(uint64, tag = "3")]
    pub minor: u64,
    /// Third.
    #[prost(uint64, tag = "4")]
    pub detail: u64,
    /// Last.
    #[prost(uint32, tag = "5")]
    pub tie: u32,
}

/// A condition on a request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Matcher {
    /// Which.
    #[prost(oneof = "MatcherKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub kind: Option<MatcherKind>,
}

/// The kinds of conditions on a request.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum MatcherKind {
    /// Every one.
    #[prost(message, tag = "1")]
    All(Matchers),
    /// At least one.
    #[prost(message, tag = "2")]
    Any(Matchers),
    /// Not that.
    #[prost(message, boxed, tag = "3")]
    Not(Box<Matcher>),
    /// The host.
    #[prost(message, tag = "4")]
    Host(HostMatch),
    /// The path.
    #[prost(message, tag = "5")]
    Path(PathMatch),
    /// The method.
    #[prost(string, tag = "6")]
    Method(String),
    /// A header.
    #[prost(message, tag = "7")]
    Header(NamedMatch),
    /// A query parameter.
    #[prost(message, tag = "8")]
    Query(NamedMatch),
    /// The peer's address.
    #[prost(message, tag = "9")]
    ClientIp(Network),
    /// The authority.
    #[prost(message, tag = "10")]
    Authority(TextMatch),
    /// The scheme: 0 http, 1 https.
    #[prost(uint32, tag = "11")]
    Scheme(u32),
}

/// Conditions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Matchers {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub all: Vec<Matcher>,
}

/// A condition on the host; any when it has no kind and says so.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HostMatch {
    /// Which.
    #[prost(oneof = "HostMatchKind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<HostMatchKind>,
}

/// The kinds of conditions on the host.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum HostMatchKind {
    /// This one.
    #[prost(string, tag = "1")]
    Exact(String),
    /// One label in front of this.
    #[prost(string, tag = "2")]
    OneLabel(String),
    /// One or more.
    #[prost(string, tag = "3")]
    AnyLabels(String),
    /// A pattern.
    #[prost(string, tag = "4")]
    Regex(String),
    /// Any; always true.
    #[prost(bool, tag = "5")]
    Any(bool),
}

/// A condition on the path.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PathMatch {
    /// Which.
    #[prost(oneof = "PathMatchKind", tags = "1, 2, 3, 4")]
    pub kind: Option<PathMatchKind>,
}

/// The kinds of conditions on the path.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum PathMatchKind {
    /// All of it.
    #[prost(string, tag = "1")]
    Exact(String),
    /// Its beginning.
    #[prost(string, tag = "2")]
    Prefix(String),
    /// Its beginning, by elements.
    #[prost(string, tag = "3")]
    Segments(String),
    /// A pattern.
    #[prost(string, tag = "4")]
    Regex(String),
}

/// A condition on a value that has a name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NamedMatch {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The condition.
    #[prost(message, optional, tag = "2")]
    pub text: Option<TextMatch>,
}

/// A condition on a value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TextMatch {
    /// Which.
    #[prost(oneof = "TextMatchKind", tags = "1, 2, 3")]
    pub kind: Option<TextMatchKind>,
}

/// The kinds of conditions on a value.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum TextMatchKind {
    /// Byte for byte.
    #[prost(string, tag = "1")]
    Exact(String),
    /// A pattern.
    #[prost(string, tag = "2")]
    Regex(String),
    /// It is there; always true.
    #[prost(bool, tag = "3")]
    Present(bool),
}

/// A condition on a connection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TcpMatcher {
    /// Which.
    #[prost(oneof = "TcpMatcherKind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub kind: Option<TcpMatcherKind>,
}

/// The kinds of conditions on a connection.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TcpMatcherKind {
    /// Every one.
    #[prost(message, tag = "1")]
    All(TcpMatchers),
    /// At least one.
    #[prost(message, tag = "2")]
    Any(TcpMatchers),
    /// Not that.
    #[prost(message, boxed, tag = "3")]
    Not(Box<TcpMatcher>),
    /// The server name.
    #[prost(message, tag = "4")]
    Sni(HostMatch),
    /// The peer's address.
    #[prost(message, tag = "5")]
    ClientIp(Network),
    /// An application protocol.
    #[prost(string, tag = "6")]
    Alpn(String),
    /// The address that was dialled.
    #[prost(message, tag = "7")]
    Destination(Network),
}

/// Conditions on a connection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TcpMatchers {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub all: Vec<TcpMatcher>,
}

/// Where requests go.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Target {
    /// Which.
    #[prost(oneof = "TargetKind", tags = "1, 2, 3")]
    pub kind: Option<TargetKind>,
}

/// The kinds of targets.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TargetKind {
    /// A backend.
    #[prost(string, tag = "1")]
    Backend(String),
    /// One of several.
    #[prost(message, tag = "2")]
    Weighted(Weighted),
    /// An answer of our own.
    #[prost(message, tag = "3")]
    Refuse(Refusal),
}

/// One of several targets, by weight.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Weighted {
    /// The choices.
    #[prost(message, repeated, tag = "1")]
    pub choices: Vec<Choice>,
    /// Keeps a client on its choice.
    #[prost(message, optional, tag = "2")]
    pub sticky: Option<Affinity>,
}

/// One of several targets.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Choice {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Share.
    #[prost(uint32, tag = "2")]
    pub weight: u32,
    /// What is done.
    #[prost(message, repeated, tag = "3")]
    pub steps: Vec<Step>,
    /// Where it goes.
    #[prost(message, optional, tag = "4")]
    pub target: Option<Target>,
}

/// Bounds on time, nanoseconds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Timeouts {
    /// For the whole.
    #[prost(uint64, optional, tag = "1")]
    pub request: Option<u64>,
    /// For one try.
    #[prost(uint64, optional, tag = "2")]
    pub attempt: Option<u64>,
    /// For the answer.
    #[prost(uint64, optional, tag = "3")]
    pub response: Option<u64>,
    /// Silence.
    #[prost(uint64, optional, tag = "4")]
    pub idle: Option<u64>,
    /// Retries of the route.
    #[prost(message, optional, tag = "5")]
    pub retry: Option<RetryPolicy>,
    /// Where those come from that are written elsewhere.
    #[prost(message, repeated, tag = "6")]
    pub inherited: Vec<Inherited>,
}

/// Where a bound comes from.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Inherited {
    /// 1 of the whole, 2 of the answer, 3 of silence, 4 retries.
    #[prost(uint32, tag = "1")]
    pub bound: u32,
    /// The document.
    #[prost(message, optional, tag = "2")]
    pub source: Option<Source>,
}
