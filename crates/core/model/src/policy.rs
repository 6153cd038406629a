//! What is done to a request on its way, as values.
//!
//! A [`Step`] says *what*; the `policy` crate evaluates the pure ones, the request path carries out
//! those that wait, count or call. Each is named by its [`PolicyId`], under which live state is
//! kept.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use weft_message::FieldName;
use weft_resilience::settings::{BackoffSettings, BreakerSettings, HedgeSettings, RateSettings};

use crate::id::{BackendId, PolicyId};
use crate::outcome::Reason;
use crate::text::Pattern;

/// One step, with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Stable name; live state is kept under it.
    pub id: PolicyId,
    /// What it does.
    pub kind: StepKind,
}

/// The kinds of step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// Puts text in front of the path.
    AddPrefix(Box<str>),
    /// Strips the first prefix that fits and names it in `X-Forwarded-Prefix`; 400 when what is
    /// left is not in canonical form.
    StripPrefix(Vec<Box<str>>),
    /// The same with patterns, anchored at the start.
    StripPrefixRegex(Vec<Pattern>),
    /// Sets the path; the old one goes to `X-Replaced-Path`.
    ReplacePath(Box<str>),
    /// Rewrites the path by pattern; the old one goes to `X-Replaced-Path`.
    ReplacePathRegex {
        /// What to find.
        pattern: Pattern,
        /// With `$1` and `${name}`.
        replacement: Box<str>,
    },
    /// Gateway API `URLRewrite`.
    Rewrite(Rewrite),
    /// Redirects to another scheme or port unless already there.
    RedirectScheme {
        /// `https`.
        scheme: Box<str>,
        /// Left out of the location when empty or the scheme's own.
        port: Box<str>,
        /// 301 and 308 instead of 302 and 307.
        permanent: bool,
    },
    /// Redirects when the whole URL matches and changes.
    RedirectRegex {
        /// What to find in `scheme://host/path?query`.
        pattern: Pattern,
        /// With `$1` and `${name}`.
        replacement: Box<str>,
        /// 301 and 308 instead of 302 and 307.
        permanent: bool,
    },
    /// Gateway API `RequestRedirect`.
    Redirect(Redirect),
    /// Edits headers of the request.
    RequestHeaders(HeaderEdits),
    /// Edits headers of the response.
    ResponseHeaders(HeaderEdits),
    /// Traefik's `headers`: checks of host and scheme before the rest.
    SecureHeaders(SecureHeaders),
    /// Cross-origin rules: answers preflights, adds headers to responses.
    Cors(Cors),
    /// Client addresses allowed.
    IpAllowList(IpAllowList),
    /// User and password.
    BasicAuth(BasicAuth),
    /// Asks another service.
    ForwardAuth(Box<ForwardAuth>),
    /// Requests per time and source.
    RateLimit {
        /// How many.
        settings: RateSettings,
        /// Counted per what.
        source: SourceCriterion,
    },
    /// Requests at one time and source.
    InFlight {
        /// How many.
        amount: u32,
        /// Counted per what.
        source: SourceCriterion,
    },
    /// Refuses while the backend fails.
    CircuitBreaker(Box<BreakerSettings>),
    /// Sends again what failed.
    Retry(RetryPolicy),
    /// Holds whole bodies, within bounds.
    Buffering(Buffering),
    /// Replaces the bodies of error answers.
    Errors(Box<ErrorPages>),
    /// Compresses responses.
    Compress(Compress),
    /// Copies the request elsewhere (Gateway API `RequestMirror`).
    Mirror {
        /// Share of requests copied, in parts per million.
        parts_per_million: u32,
        /// Where the copy goes.
        backend: BackendId,
        /// Compares answers to copies with that of the main target.
        compared: Option<AnswerDiff>,
    },
    /// Delays and aborts a share of the requests, once for each request and not for each try.
    Fault(Fault),
    /// Requests per time in this process, of all and of each client identity.
    LocalRateLimit(Box<LocalRateLimit>),
    /// Sends a second request where the first is slow.
    Hedge(HedgeSettings),
    /// Answers with this.
    Respond(FixedAnswer),
    /// Answers at once.
    Refuse(Refusal),
}

// === impl MessagePart ===

impl MessagePart {
    /// The part of that name; `None` for what is no name.
    pub fn new(name: &str) -> Option<Self> {
        match name {
            ":path" => Some(Self::Path),
            // Where it came as a field, it has become the authority.
            ":authority" | "host" => Some(Self::Authority),
            ":method" => Some(Self::Method),
            ":scheme" => Some(Self::Scheme),
            name => FieldName::new(name).ok().map(Self::Field),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Path => ":path",
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Field(name) => name.as_str(),
        }
    }
}

// === impl StepKind ===

impl StepKind {
    /// Whether it keeps requests from what is behind it: authentication, authorization, limits.
    /// What may be served without it is decided by this.
    pub fn protects(&self) -> bool {
        match self {
            Self::SecureHeaders(headers) => !headers.allowed_hosts.is_empty(),
            Self::IpAllowList(_)
            | Self::BasicAuth(_)
            | Self::ForwardAuth(_)
            | Self::RateLimit { .. }
            | Self::InFlight { .. }
            | Self::LocalRateLimit(_)
            | Self::Refuse(_) => true,
            Self::AddPrefix(_)
            | Self::StripPrefix(_)
            | Self::StripPrefixRegex(_)
            | Self::ReplacePath(_)
            | Self::ReplacePathRegex { .. }
            | Self::Rewrite(_)
            | Self::RedirectScheme { .. }
            | Self::RedirectRegex { .. }
            | Self::Redirect(_)
            | Self::RequestHeaders(_)
            | Self::ResponseHeaders(_)
            | Self::Cors(_)
            | Self::CircuitBreaker(_)
            | Self::Retry(_)
            | Self::Buffering(_)
            | Self::Errors(_)
            | Self::Compress(_)
            | Self::Mirror { .. }
            | Self::Fault(_)
            | Self::Hedge(_)
            | Self::Respond(_) => false,
        }
    }
}

/// An answer of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Sets the status.
    pub reason: Reason,
    /// For the log and trusted callers: what is missing and where. Never sent to clients.
    pub detail: Arc<str>,
}

/// How answers to copies of requests are compared with those that clients were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerDiff {
    /// Share of the copies, in parts per million.
    pub parts_per_million: u32,
    /// By status, that of gRPC as well.
    pub status: bool,
    /// By the fields that say what the body is and where to go: `content-type`,
    /// `content-encoding`, `location`.
    pub headers: bool,
    /// By the bytes of the body.
    pub body: bool,
}

/// Faults that are injected, in the terms of Istio's `fault`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// A wait, and the share of requests that have it, in parts per million.
    pub delay: Option<(Duration, u32)>,
    /// An answer in place of the upstream's, after the wait, and its share.
    pub abort: Option<(Abort, u32)>,
}

/// An answer in place of the upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// With this status.
    Http(u16),
    /// With this gRPC status.
    Grpc(u32),
}

/// Requests per time, in the terms of Linkerd's `HTTPLocalRateLimitPolicy`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalRateLimit {
    /// Of all clients together.
    pub total: Option<RateSettings>,
    /// Of each client identity; those without one count as one.
    pub identity: Option<RateSettings>,
    /// Of these identities together, in place of `identity`.
    pub overrides: Vec<(Vec<Box<str>>, RateSettings)>,
}

/// An answer of fixed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAnswer {
    /// Status.
    pub status: u16,
    /// Body, sent as it is.
    pub body: Arc<[u8]>,
}

/// Gateway API `URLRewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// New host.
    pub host: Option<Box<str>>,
    /// New path.
    pub path: Option<PathRewrite>,
}

/// How a path is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// All of it.
    Full(Box<str>),
    /// The prefix that matched (by whole elements) becomes this.
    Prefix {
        /// What the route matched.
        matched: Box<str>,
        /// What it becomes.
        replacement: Box<str>,
    },
    /// What matches somewhere in it becomes this (Istio `uriRegexRewrite`).
    Regex {
        /// What to find.
        pattern: Pattern,
        /// With `$1` and `${name}`.
        replacement: Box<str>,
    },
}

/// Gateway API `RequestRedirect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// New scheme, or the request's.
    pub scheme: Option<Box<str>>,
    /// New host, or the request's.
    pub host: Option<Box<str>>,
    /// New port; by default the new scheme's own if one is given, else the listener's.
    pub port: Option<u16>,
    /// New path, or the request's.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Edits of headers, applied in the order set, add, remove (Gateway API). Of what is set and of what
/// is added, values that are made come last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Replaces all values. An empty value deletes only where the dialect says so; `compile` turns
    /// that into `remove`.
    pub set: Vec<(FieldName, Box<str>)>,
    /// Adds a value.
    pub add: Vec<(FieldName, Box<str>)>,
    /// Values that are made of facts. One that comes out empty changes nothing.
    pub made: Vec<MadeHeader>,
    /// Removes all values.
    pub remove: Vec<FieldName>,
}

/// A header whose value is another one for each message (Envoy's `%…%`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeHeader {
    /// Its name.
    pub name: FieldName,
    /// Whether it is added to the values that are there, in place of replacing them.
    pub adds: bool,
    /// What the value is put together of.
    pub parts: Vec<ValuePart>,
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValuePart {
    /// This text.
    Text(Box<str>),
    /// A fact.
    Fact(Fact),
}

/// What a value may tell of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Of a request: the peer's address and port.
    ClientAddr,
    /// Of a request: the peer's address.
    ClientIp,
    /// Of a request: the port to which its connection was made.
    LocalPort,
    /// Of a request: `HTTP/1.1`, `HTTP/2` and so on.
    Protocol,
    /// Of an answer: its status.
    Status,
    /// The first of these parts of the message that is there, of it so many bytes at most.
    Named {
        /// The parts.
        parts: Vec<MessagePart>,
        /// The bound; none when `None`.
        bytes_max: Option<u32>,
    },
}

/// A part of a message that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessagePart {
    /// A header.
    Field(FieldName),
    /// Of a request: path and query (`:path`).
    Path,
    /// Of a request: `:authority`.
    Authority,
    /// Of a request: `:method`.
    Method,
    /// Of a request: `:scheme`.
    Scheme,
}

/// Traefik's host and scheme checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecureHeaders {
    /// Hosts served; empty means all. Others get 500 as in Traefik's secure middleware.
    pub allowed_hosts: Vec<Box<str>>,
    /// Headers looked at for the host, besides `Host`.
    pub hosts_proxy_headers: Vec<FieldName>,
    /// `Strict-Transport-Security`, when the request is TLS or `force_sts`.
    pub sts: Option<Box<str>>,
    /// Send it on plain requests too.
    pub force_sts: bool,
    /// Headers that say a plain request was TLS, with the value that says so.
    pub ssl_proxy_headers: Vec<(FieldName, Box<str>)>,
    /// Fixed response headers (frame options, CSP and so on), set when absent from the upstream's
    /// answer or not, as Traefik does: always set.
    pub response: Vec<(FieldName, Box<str>)>,
}

/// Cross-origin rules.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cors {
    /// `*` or exact origins; Gateway API allows `https://*.example.com`.
    pub allow_origins: Vec<Box<str>>,
    /// Origins by pattern.
    pub allow_origin_patterns: Vec<Pattern>,
    /// Methods; `*` for all.
    pub allow_methods: Vec<Box<str>>,
    /// Headers; `*` for all.
    pub allow_headers: Vec<Box<str>>,
    /// Headers scripts may read.
    pub expose_headers: Vec<Box<str>>,
    /// Credentials allowed; never together with a literal `*` in the answer.
    pub allow_credentials: bool,
    /// Seconds a preflight may be kept; `None` leaves the header out.
    pub max_age_secs: Option<i64>,
    /// Adds `Vary: Origin` even when the answer does not depend on it.
    pub always_vary: bool,
    /// Answers a preflight even when its origin does not fit (Traefik answers 200 without the
    /// headers); false passes it on.
    pub answer_all_preflights: bool,
}

/// Client addresses allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpAllowList {
    /// Ranges.
    pub ranges: Vec<IpNet>,
    /// Which address of the request counts.
    pub strategy: IpStrategy,
    /// Status of a refusal.
    pub reject_status: u16,
}

/// Which address of a request counts as the client's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpStrategy {
    /// Position from the right of `X-Forwarded-For`; 0 is the peer itself. Deeper than the list
    /// means no address, which is never allowed.
    pub depth: u32,
    /// With depth 0: the first from the right that is not in here.
    pub excluded: Vec<IpNet>,
    /// Addresses of one IPv6 network of this length count as one.
    pub ipv6_subnet: Option<u8>,
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCriterion {
    /// The client's address.
    Ip(IpStrategy),
    /// A header's value.
    Header(FieldName),
    /// The host.
    Host,
    /// Nothing: all requests count together.
    All,
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// `htpasswd` lines: user and hash (bcrypt, `$apr1$`, `{SHA}`). Never empty.
    pub users: Vec<(Box<str>, Box<str>)>,
    /// Realm.
    pub realm: Box<str>,
    /// Names the user to the upstream.
    pub header: Option<FieldName>,
    /// Keeps `Authorization` from the upstream.
    pub remove_header: bool,
}

impl std::fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<_> = self.users.iter().map(|(user, _)| user).collect();
        f.debug_struct("BasicAuth").field("users", &users).field("realm", &self.realm).finish()
    }
}

/// Asks another service whether a request may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardAuth {
    /// The backend made for its address.
    pub backend: BackendId,
    /// `Host` of the question.
    pub host: Box<str>,
    /// Path and query of the question.
    pub path: Box<str>,
    /// Keep `X-Forwarded-*` as received instead of rebuilding them.
    pub trust_forward_header: bool,
    /// Headers copied into the question; empty means all.
    pub request_headers: Vec<FieldName>,
    /// Headers copied from a positive answer to the request.
    pub response_headers: Vec<FieldName>,
    /// The same by pattern; what the client sent under such names is removed first.
    pub response_headers_pattern: Option<Pattern>,
    /// Cookies copied from a positive answer to the response.
    pub add_cookies: Vec<Box<str>>,
    /// Sends the body along.
    pub forward_body: bool,
    /// Larger bodies are refused with 401; `None` means no bound but the connection's memory.
    pub body_bytes_max: Option<u64>,
    /// Larger answers are refused with 401.
    pub answer_bytes_max: Option<u64>,
    /// Names the user to logs.
    pub header: Option<FieldName>,
    /// Passes a redirect of the authorizer on as it is.
    pub preserve_location: bool,
    /// Asks with the request's method instead of GET.
    pub preserve_method: bool,
}

/// Sends again what failed.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; at least 1.
    pub attempts: u32,
    /// Waits between tries.
    pub backoff: BackoffSettings,
    /// No new try after this.
    pub timeout: Option<Duration>,
    /// Of each try, to its response head; in place of the route's.
    pub attempt_timeout: Option<Duration>,
    /// Statuses that count as failed, inclusive ranges.
    pub statuses: Vec<(u16, u16)>,
    /// gRPC statuses that count as failed, where they come without a body.
    pub grpc_statuses: Vec<u32>,
    /// Bodies up to this, and to what the gateway itself allows, are kept to be sent again; larger
    /// ones are sent once.
    pub body_bytes_max: u64,
    /// Retry when no connection was made, or the request was refused before it was looked at.
    pub on_unreached: bool,
    /// Retry when the connection failed in any way.
    pub on_network_error: bool,
    /// Retry when a try took longer than its timeout.
    pub on_timeout: bool,
    /// Retry methods that are not idempotent, too, though they may have been acted upon.
    pub non_idempotent: bool,
    /// Retry on an endpoint that was tried already, when it is picked.
    pub same_endpoint: bool,
    /// Retry where others run: in another tier or locality than before, if there is one.
    pub elsewhere: bool,
    /// Whether the rule says nothing of it, and this is what its dialect has then.
    pub by_default: bool,
}

impl RetryPolicy {
    /// One try and no other, for the rest to be said.
    pub const NEVER: Self = Self {
        attempts: 1,
        backoff: BackoffSettings::traefik(Duration::ZERO),
        timeout: None,
        attempt_timeout: None,
        statuses: Vec::new(),
        grpc_statuses: Vec::new(),
        body_bytes_max: 0,
        on_unreached: false,
        on_network_error: false,
        on_timeout: false,
        non_idempotent: false,
        same_endpoint: false,
        elsewhere: false,
        by_default: false,
    };
}

/// Holds whole bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffering {
    /// Larger requests get 413; `None` means no bound but the gateway's.
    pub request_bytes_max: Option<u64>,
    /// Larger responses become 500; `None` means no bound but the gateway's.
    pub response_bytes_max: Option<u64>,
    /// Above this a request body goes to a file.
    pub request_memory_bytes: u64,
    /// Above this a response body goes to a file.
    pub response_memory_bytes: u64,
    /// When to send again.
    pub retry: Option<RetryExpression>,
}

/// Traefik's `retryExpression`.
#[derive(Debug, Clone, PartialEq)]
pub enum RetryExpression {
    /// Both.
    And(Box<RetryExpression>, Box<RetryExpression>),
    /// Either.
    Or(Box<RetryExpression>, Box<RetryExpression>),
    /// Not that.
    Not(Box<RetryExpression>),
    /// `Attempts() <op> n`.
    Attempts(Comparison, u32),
    /// `ResponseCode() <op> n`.
    ResponseCode(Comparison, u16),
    /// `IsNetworkError()`.
    IsNetworkError,
}

impl Eq for RetryExpression {}

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// Whether `left <op> right`.
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

/// Replaces the bodies of error answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorPages {
    /// Statuses replaced, inclusive ranges.
    pub statuses: Vec<(u16, u16)>,
    /// New status for a range of old ones.
    pub rewrites: Vec<((u16, u16), u16)>,
    /// Who makes the pages.
    pub target: crate::route::Target,
    /// Path and query, with `{status}`, `{originalStatus}` and `{url}`.
    pub query: Box<str>,
    /// Request headers sent along; `None` is all.
    pub request_headers: Option<Vec<FieldName>>,
}

/// Content codings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// gzip
    Gzip,
    /// Brotli
    Brotli,
    /// Zstandard
    Zstd,
}

/// Compresses responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// In order of preference.
    pub codings: Vec<Coding>,
    /// Used when the client names none; `None` then leaves the response as it is.
    pub default: Option<Coding>,
    /// Smaller bodies are left as they are.
    pub body_bytes_min: u64,
    /// Media types left as they are.
    pub excluded_types: Vec<Box<str>>,
    /// If not empty, the only media types compressed.
    pub included_types: Vec<Box<str>>,
}
