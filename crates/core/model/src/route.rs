//! Which request goes where.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use weft_message::{FieldName, Method, Scheme};

use crate::calling::{Audience, Source};
use crate::id::{BackendId, RouteId};
use crate::listener::TlsOptions;
use crate::policy::{AnswerDiff, Refusal, RetryPolicy, Step, StepKind};
use crate::text::{Pattern, TextMatch};

/// One rule: the requests it takes, what happens to them, and where they go.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Stable name; label of metrics.
    pub id: RouteId,
    /// The place in the user's documents, for `explain` and logs.
    pub origin: Origin,
    /// Position among all routes; the greatest that matches wins.
    pub rank: Rank,
    /// The requests it takes.
    pub matcher: Matcher,
    /// What is done, in order; the response passes them in reverse.
    pub steps: Arc<[Arc<Step>]>,
    /// Where the request goes in the end.
    pub target: Target,
    /// Bounds on time.
    pub timeouts: Timeouts,
}

/// The rule in the user's documents. Its line is in [`crate::Snapshot::lines`]: a route that only
/// moved in its file is the same route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// `IngressRoute`.
    pub kind: Box<str>,
    /// `shop/checkout`.
    pub name: Box<str>,
    /// File path as given, empty when not from a file.
    pub file: Box<str>,
    /// The rule as the user wrote it, or a rendering of it.
    pub rule: Box<str>,
}

/// Total order of routes. Compared field by field: dialect first, then the dialect's own rules
/// put into `major`, `minor`, `detail`, and what makes ranks differ put into `tie`. A rank follows
/// from its route alone where that can be, so that adding a route changes no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rank {
    /// Gateway API above Istio above Linkerd above SMI above Traefik above Ingress.
    pub dialect: u8,
    /// Traefik: priority. Gateway API: specificity of the host. Ingress: the same.
    pub major: i64,
    /// Gateway API and Ingress: kind and length of the path match. Traefik: the name.
    pub minor: u64,
    /// Gateway API: method, number of headers, number of query parameters. Traefik: the name, and
    /// the position of the rule.
    pub detail: u64,
    /// Makes the ranks of one table differ.
    pub tie: u32,
}

/// A condition on a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Matcher {
    /// Every one; all requests when empty.
    All(Vec<Matcher>),
    /// At least one; no request when empty.
    Any(Vec<Matcher>),
    /// Not that.
    Not(Box<Matcher>),
    /// The canonical host.
    Host(HostMatch),
    /// The canonical path.
    Path(PathMatch),
    /// The method.
    Method(Method),
    /// Some value of that header.
    Header(FieldName, TextMatch),
    /// Some value of that query parameter, percent-decoded.
    Query(Box<str>, TextMatch),
    /// The peer's address (after a trusted PROXY header, never from `X-Forwarded-For`).
    ClientIp(IpNet),
    /// The authority: the host in lower case, and the port where the client has named one.
    Authority(TextMatch),
    /// The scheme.
    Scheme(Scheme),
}

/// A condition on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum HostMatch {
    /// Lower case, no port, no trailing dot.
    Exact(Box<str>),
    /// `*.suffix`: `suffix` without the star and dot; exactly one label in front of it.
    OneLabel(Box<str>),
    /// The same with one or more labels in front (Gateway API).
    AnyLabels(Box<str>),
    /// Somewhere in the host.
    Regex(Pattern),
    /// Any host, or none.
    Any,
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// All of it.
    Exact(Box<str>),
    /// Its beginning, character by character (Traefik).
    Prefix(Box<str>),
    /// Its beginning, by whole elements between slashes (Gateway API, Ingress); without a trailing
    /// slash, `/` itself excepted.
    Segments(Box<str>),
    /// Somewhere in it, or all of it if anchored.
    Regex(Pattern),
}

/// Where a request goes. Nested as users nest them.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A backend.
    Backend(BackendId),
    /// One of several, by weight.
    Weighted(Arc<Weighted>),
    /// The one with the highest rendezvous hash of the client's address.
    HighestRandomWeight(Arc<[Choice]>),
    /// The first, and copies to the others.
    Mirror(Arc<Mirrors>),
    /// The first, unless it is down or answers one of the statuses; then the second.
    Failover(Arc<Failover>),
    /// An answer of our own: the target does not exist, or may not be used.
    Refuse(Refusal),
}

/// A weighted choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    /// The choices; a weight of 0 is never chosen. All 0 is answered 500 (Gateway API).
    pub choices: Vec<Choice>,
    /// Keeps a client on its choice.
    pub sticky: Option<Affinity>,
}

/// One of several targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Name that a sticky cookie refers to.
    pub name: Box<str>,
    /// Share among its siblings.
    pub weight: u32,
    /// Steps for this choice only, after the route's.
    pub steps: Arc<[Arc<Step>]>,
    /// Where it goes.
    pub target: Target,
}

/// Copies of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirrors {
    /// Answers the client.
    pub main: Target,
    /// Get copies; their answers are discarded, at most compared.
    pub mirrors: Vec<Mirror>,
    /// Whether bodies are copied.
    pub body: bool,
    /// Larger bodies are not mirrored; `None` means no bound but the connection's memory.
    pub body_bytes_max: Option<u64>,
    /// Compares answers to copies with that of the main target.
    pub compared: Option<AnswerDiff>,
}

/// One mirror.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Share of requests copied, in parts per million.
    pub parts_per_million: u32,
    /// Where the copy goes.
    pub target: Target,
}

/// A second target for when the first fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// Used first.
    pub main: Target,
    /// Used when the first has no healthy endpoint, or answered one of `statuses`.
    pub fallback: Target,
    /// Inclusive ranges.
    pub statuses: Vec<(u16, u16)>,
    /// Request bodies up to this are kept to be sent again; larger ones are not failed over.
    pub body_bytes_max: u64,
}

/// What a client brings along to be kept on one choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// A cookie of its own.
    Cookie(Cookie),
    /// A word of a header.
    Header(SessionHeader),
}

/// A cookie that clients are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: Box<str>,
    /// `Path` attribute.
    pub path: Box<str>,
    /// `Domain` attribute, left out when empty.
    pub domain: Box<str>,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `Secure`.
    pub secure: bool,
    /// `SameSite`, left out when empty.
    pub same_site: Box<str>,
    /// `Max-Age` in seconds; 0 leaves it out, negative deletes.
    pub max_age_secs: i64,
}

/// A header that clients are given, with `.` between its words: one for a choice among backends, if
/// there is any, and one for the endpoint of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHeader {
    /// Its name, in lower case.
    pub name: Box<str>,
    /// Which of the words is meant.
    pub word: Word,
}

/// A word of a header that keeps a client on its choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// The first one, for the backend.
    Backend,
    /// The last one, for its endpoint.
    Endpoint,
}

/// Bounds on time for one request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeouts {
    /// From the request's head to the last byte of the answer; none by default.
    pub request: Option<Duration>,
    /// From sending one attempt to its response head; none by default.
    pub attempt: Option<Duration>,
    /// From the request's last byte to the answer's last byte (Linkerd's `response`); none by
    /// default.
    pub response: Option<Duration>,
    /// Neither side may be silent for longer (Linkerd's `idle`); the listener's bound by default.
    pub idle: Option<Duration>,
    /// Retries that the route itself asks for (Gateway API); Traefik's are a step.
    pub retry: Option<RetryPolicy>,
    /// Where those come from that are written elsewhere than the rule, for `explain`.
    pub inherited: Box<[(Bound, Source)]>,
}

/// One of the [`Timeouts`] that a rule may have from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Timeouts::request`].
    Request,
    /// [`Timeouts::response`].
    Response,
    /// [`Timeouts::idle`].
    Idle,
    /// [`Timeouts::retry`].
    Retry,
}

/// The rules that one source has for calls to a service of the mesh, in place of those of sources
/// with less to say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteSet {
    /// The callers.
    pub audience: Audience,
    /// The ports of the service; empty stands for all.
    pub ports: Box<[u16]>,
    /// Rules of HTTP: a request that none of them takes is answered 404. `None` leaves HTTP to the
    /// next set.
    pub http: Option<Box<[Routed<Route>]>>,
    /// The same for connections of bytes, which are closed when no rule takes them.
    pub tcp: Option<Box<[Routed<TcpRoute>]>>,
}

/// A rule for some of the callers and ports of its [`RouteSet`].
#[derive(Debug, Clone, PartialEq)]
pub struct Routed<T> {
    /// The callers.
    pub audience: Audience,
    /// The ports; empty stands for all.
    pub ports: Box<[u16]>,
    /// The rule.
    pub route: Arc<T>,
}

/// A TCP rule.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpRoute {
    /// Stable name.
    pub id: RouteId,
    /// The place in the user's documents.
    pub origin: Origin,
    /// Position; the greatest that matches wins.
    pub rank: Rank,
    /// The connections it takes.
    pub matcher: TcpMatcher,
    /// What happens to TLS.
    pub tls: TcpTls,
    /// Connections it may have open at a time per client address; `None` means no bound.
    pub in_flight_max: Option<u32>,
    /// Client addresses allowed; empty means all.
    pub allow: Vec<IpNet>,
    /// Where it goes: backends, weighted, or refused. Other kinds do not occur.
    pub target: Target,
}

/// A condition on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum TcpMatcher {
    /// Every one.
    All(Vec<TcpMatcher>),
    /// At least one.
    Any(Vec<TcpMatcher>),
    /// Not that.
    Not(Box<TcpMatcher>),
    /// The server name of the TLS hello; [`HostMatch::Any`] also matches plain TCP.
    Sni(HostMatch),
    /// The peer's address.
    ClientIp(IpNet),
    /// An offered application protocol.
    Alpn(Box<str>),
    /// The address that the connection was made to.
    Destination(IpNet),
}

/// What a TCP route does with TLS.
#[derive(Debug, Clone, PartialEq)]
pub enum TcpTls {
    /// The connection is plain.
    Plain,
    /// TLS bytes go through untouched.
    Passthrough,
    /// TLS ends here, with these options.
    Terminate(Arc<TlsOptions>),
}

// === impl Affinity ===

impl Affinity {
    /// The cookie; `None` for a header.
    pub fn cookie(&self) -> Option<&Cookie> {
        match self {
            Self::Cookie(cookie) => Some(cookie),
            Self::Header(_) => None,
        }
    }

    /// Whether a client that is given this does not need the other any more.
    pub fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cookie(one), Self::Cookie(other)) => one.name == other.name,
            (Self::Header(one), Self::Header(other)) => one == other,
            (Self::Cookie(_), Self::Header(_)) | (Self::Header(_), Self::Cookie(_)) => false,
        }
    }

    /// What the ids of backends end in that are called with it.
    pub fn suffix(&self) -> String {
        match self {
            Self::Cookie(cookie) => format!("+sticky={}", cookie.name),
            Self::Header(header) => format!("+session={}", header.name),
        }
    }
}

// === impl Route ===

impl Route {
    /// The backends that requests of this route may lead to, those of its steps among them.
    pub fn backends(&self) -> Vec<&BackendId> {
        let mut found = Vec::new();
        of_steps(&self.steps, &mut found);
        self.target.collect(true, &mut found);
        found
    }
}

// === impl Target ===

impl Target {
    /// The backends that it may lead to, those of steps of choices among them.
    pub fn backends(&self) -> Vec<&BackendId> {
        let mut found = Vec::new();
        self.collect(true, &mut found);
        found
    }

    /// Those that may answer a request: none that gets a copy of it, or is asked on the way.
    pub fn answering(&self) -> Vec<&BackendId> {
        let mut found = Vec::new();
        self.collect(false, &mut found);
        found
    }

    fn collect<'a>(&'a self, aside: bool, found: &mut Vec<&'a BackendId>) {
        let choices: &[Choice] = match self {
            Self::Backend(id) => return found.push(id),
            Self::Refuse(_) => return,
            Self::Mirror(mirrors) => {
                mirrors.main.collect(aside, found);
                let copies = mirrors.mirrors.iter().filter(|_| aside);
                return copies.for_each(|mirror| mirror.target.collect(aside, found));
            }
            Self::Failover(failover) => {
                failover.main.collect(aside, found);
                return failover.fallback.collect(aside, found);
            }
            Self::Weighted(weighted) => &weighted.choices,
            Self::HighestRandomWeight(choices) => choices,
        };
        for choice in choices {
            if aside {
                of_steps(&choice.steps, found);
            }
            choice.target.collect(aside, found);
        }
    }
}

fn of_steps<'a>(steps: &'a [Arc<Step>], found: &mut Vec<&'a BackendId>) {
    for step in steps {
        match &step.kind {
            StepKind::Mirror { backend, .. } => found.push(backend),
            StepKind::ForwardAuth(auth) => found.push(&auth.backend),
            StepKind::Errors(pages) => pages.target.collect(true, found),
            _ => {}
        }
    }
}
