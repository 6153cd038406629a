//! `Middleware` and `MiddlewareTCP`.

mod headers;

use std::time::Duration;

use ipnet::IpNet;

use super::ObjectRef;
use super::service::{ServiceRef, unbounded};
use super::transport::ClientTls;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

pub use headers::Headers;

/// One middleware.
#[derive(Debug, Clone, PartialEq)]
pub struct Middleware {
    /// Where its type begins.
    pub at: Pos,
    /// What it does.
    pub kind: MiddlewareKind,
}

/// What a middleware does, by Traefik's name.
#[derive(Debug, Clone, PartialEq)]
pub enum MiddlewareKind {
    /// `addPrefix`
    AddPrefix(Box<str>),
    /// `stripPrefix`
    StripPrefix(Vec<Spanned<Box<str>>>),
    /// `stripPrefixRegex`
    StripPrefixRegex(Vec<Spanned<Box<str>>>),
    /// `replacePath`
    ReplacePath(Box<str>),
    /// `replacePathRegex`
    ReplacePathRegex(Replacement),
    /// `redirectScheme`
    RedirectScheme {
        /// Scheme.
        scheme: Spanned<Box<str>>,
        /// Port.
        port: Box<str>,
        /// 301 and 308.
        permanent: bool,
    },
    /// `redirectRegex`
    RedirectRegex {
        /// What becomes what.
        replacement: Replacement,
        /// 301 and 308.
        permanent: bool,
    },
    /// `chain`
    Chain(Vec<ObjectRef>),
    /// `headers`
    Headers(Box<Headers>),
    /// `retry`
    Retry(Retry),
    /// `circuitBreaker`
    CircuitBreaker(CircuitBreaker),
    /// `rateLimit`
    RateLimit(RateLimit),
    /// `inFlightReq`
    InFlightReq {
        /// Requests at one time.
        amount: u32,
        /// Counted per what; the host by default.
        source: Option<SourceCriterion>,
    },
    /// `ipAllowList` or `ipWhiteList`
    IpAllowList(IpAllowList),
    /// `errors`
    Errors(Box<Errors>),
    /// `compress`
    Compress(Compress),
    /// `buffering`
    Buffering(Buffering),
    /// `basicAuth`
    BasicAuth(BasicAuth),
    /// `forwardAuth`
    ForwardAuth(Box<ForwardAuth>),
    /// A type that is known by name and not enforced.
    Unsupported {
        /// Its name.
        name: Box<str>,
        /// Whether it protects what is behind it, so that nothing may be served without it.
        protects: bool,
    },
}

/// A pattern and what its matches become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Pattern.
    pub regex: Spanned<Box<str>>,
    /// With `$1` and `${name}`.
    pub replacement: Box<str>,
}

/// `retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all.
    pub attempts: u32,
    /// First wait.
    pub initial_interval: Duration,
    /// No new try after this; zero is no bound.
    pub timeout: Duration,
    /// Statuses that count as failed.
    pub statuses: Vec<(u16, u16)>,
    /// Bodies up to this are kept; `None` is no bound.
    pub max_request_body_bytes: Option<u64>,
    /// Do not retry when the connection failed.
    pub disable_on_network_error: bool,
    /// Retry methods that are not idempotent.
    pub non_idempotent: bool,
}

/// `circuitBreaker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// When it opens.
    pub expression: Spanned<Box<str>>,
    /// Between evaluations, 100 ms.
    pub check_period: Duration,
    /// Open for, 10 s.
    pub fallback_duration: Duration,
    /// Recovers for, 10 s.
    pub recovery_duration: Duration,
    /// Status of a refusal, 503.
    pub response_code: u16,
}

/// `rateLimit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per period; 0 is no limit.
    pub average: u64,
    /// Period, 1 s.
    pub period: Duration,
    /// At once, 1.
    pub burst: u64,
    /// Counted per what; the client's address by default.
    pub source: Option<SourceCriterion>,
    /// A shared store was asked for.
    pub redis: Option<Pos>,
}

/// `sourceCriterion`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCriterion {
    /// `ipStrategy`
    Ip(IpStrategy),
    /// `requestHeaderName`
    Header(Spanned<Box<str>>),
    /// `requestHost`
    Host,
}

/// `ipStrategy`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpStrategy {
    /// From the right of `X-Forwarded-For`.
    pub depth: u32,
    /// Addresses skipped.
    pub excluded: Vec<IpNet>,
    /// Prefix length of IPv6 networks that count as one.
    pub ipv6_subnet: Option<u8>,
}

/// `ipAllowList`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpAllowList {
    /// Ranges.
    pub ranges: Vec<IpNet>,
    /// Which address counts.
    pub strategy: IpStrategy,
    /// Status of a refusal, 403.
    pub reject_status: u16,
}

/// `errors`.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    /// Statuses replaced.
    pub statuses: Vec<(u16, u16)>,
    /// New statuses.
    pub rewrites: Vec<((u16, u16), u16)>,
    /// Who makes the page.
    pub service: ErrorService,
    /// Path and query.
    pub query: Box<str>,
    /// Headers sent along; `None` is all.
    pub request_headers: Option<Vec<Spanned<Box<str>>>>,
}

/// Who makes error pages.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorService {
    /// A service of the cluster.
    Ref(Box<ServiceRef>),
    /// A service of the file provider.
    Name(ObjectRef),
}

/// `compress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// In order of preference.
    pub encodings: Vec<Coding>,
    /// When the client names none.
    pub default_encoding: Option<Coding>,
    /// Smaller bodies are left alone, 1024.
    pub min_response_body_bytes: u64,
    /// Media types left alone.
    pub excluded_content_types: Vec<Box<str>>,
    /// The only media types compressed.
    pub included_content_types: Vec<Box<str>>,
}

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

/// `buffering`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffering {
    /// 0 is no bound.
    pub max_request_body_bytes: u64,
    /// 1 MiB.
    pub mem_request_body_bytes: u64,
    /// 0 is no bound.
    pub max_response_body_bytes: u64,
    /// 1 MiB.
    pub mem_response_body_bytes: u64,
    /// When to send again.
    pub retry_expression: Option<Spanned<Box<str>>>,
}

/// `basicAuth`.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// Secret with the users (custom resource).
    pub secret: Option<Spanned<Box<str>>>,
    /// `name:hash` lines (file provider).
    pub users: Vec<Spanned<Box<str>>>,
    /// File of such lines (file provider).
    pub users_file: Option<Spanned<Box<str>>>,
    /// Realm, `traefik`.
    pub realm: Box<str>,
    /// Header that names the user to the upstream.
    pub header_field: Option<Spanned<Box<str>>>,
    /// Keeps `Authorization` from the upstream.
    pub remove_header: bool,
}

/// `forwardAuth`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardAuth {
    /// URL.
    pub address: Spanned<Box<str>>,
    /// Keep `X-Forwarded-*`.
    pub trust_forward_header: bool,
    /// Headers copied into the question; empty is all.
    pub auth_request_headers: Vec<Spanned<Box<str>>>,
    /// Headers copied from the answer.
    pub auth_response_headers: Vec<Spanned<Box<str>>>,
    /// The same by pattern.
    pub auth_response_headers_regex: Option<Spanned<Box<str>>>,
    /// Cookies copied from the answer to the response.
    pub add_auth_cookies_to_response: Vec<Box<str>>,
    /// Send the body.
    pub forward_body: bool,
    /// Larger bodies are refused; `None` is no bound.
    pub max_body_size: Option<u64>,
    /// Larger answers are refused; `None` is no bound.
    pub max_response_body_size: Option<u64>,
    /// Header that names the user.
    pub header_field: Option<Spanned<Box<str>>>,
    /// Leave `Location` as the authorizer wrote it.
    pub preserve_location_header: bool,
    /// Ask with the request's method.
    pub preserve_request_method: bool,
    /// TLS towards the authorizer.
    pub tls: Option<ClientTls>,
}

/// One TCP middleware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MiddlewareTcp {
    /// `inFlightConn`
    InFlightConn(u32),
    /// `ipAllowList` or `ipWhiteList`
    IpAllowList(Vec<IpNet>),
}

/// Types that are known and not enforced, and whether they protect.
const UNSUPPORTED: &[(&str, bool)] = &[
    ("digestAuth", true),
    ("jwt", true),
    ("apiKey", true),
    ("oidc", true),
    ("oAuthIntrospection", true),
    ("oAuthClientCredentials", true),
    ("hmac", true),
    ("ldap", true),
    ("opa", true),
    ("waf", true),
    ("coraza", true),
    ("plugin", true),
    ("distributedRateLimit", true),
    ("encodedCharacters", true),
    ("contentType", false),
    ("grpcWeb", false),
    ("passTLSClientCert", false),
    ("httpCache", false),
];

type Decode = fn(&Field<'_, '_>) -> Option<MiddlewareKind>;

const SUPPORTED: &[(&str, Decode)] = &[
    ("addPrefix", add_prefix),
    ("stripPrefix", strip_prefix),
    ("stripPrefixRegex", strip_prefix_regex),
    ("replacePath", replace_path),
    ("replacePathRegex", replace_path_regex),
    ("redirectScheme", redirect_scheme),
    ("redirectRegex", redirect_regex),
    ("chain", chain),
    ("headers", headers::read),
    ("retry", retry),
    ("circuitBreaker", circuit_breaker),
    ("rateLimit", rate_limit),
    ("inFlightReq", in_flight_req),
    ("ipAllowList", ip_allow_list),
    ("ipWhiteList", ip_allow_list),
    ("errors", errors),
    ("compress", compress),
    ("buffering", buffering),
    ("basicAuth", basic_auth),
    ("forwardAuth", forward_auth),
];

const MEMORY_BODY_BYTES: i64 = 1 << 20; // Traefik's memRequestBodyBytes
const RETRY_BODY_BYTES: u64 = 2 << 20; // Traefik's retry.maxRequestBodyBytes
const COMPRESS_BYTES_MIN: i64 = 1024; // Traefik's minResponseBodyBytes

// === impl Middleware ===

impl Middleware {
    /// Reads `spec`, or a middleware of the file provider.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let names = SUPPORTED.iter().map(|(name, _)| *name);
        let names = names.chain(UNSUPPORTED.iter().map(|(name, _)| *name));
        let found: Vec<_> =
            names.filter_map(|name| Some((name, r.take_even_null(name)?))).collect();
        let (name, field) = match found.as_slice() {
            [one] => one,
            [] => {
                // Any other field is reported as unknown, with a suggestion.
                if r.is_empty() {
                    r.error("the middleware has no type", None);
                }
                return None;
            }
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
                let message = format!("a middleware has one type, found {}", names.join(" and "));
                let fix = "split it into several middlewares, in a chain if need be".into();
                r.error(message, Some(fix));
                return None;
            }
        };
        let decode = SUPPORTED.iter().find(|(supported, _)| supported == name);
        let kind = match decode {
            Some((_, decode)) => decode(field)?,
            None => MiddlewareKind::Unsupported {
                name: (*name).into(),
                protects: UNSUPPORTED.contains(&(*name, true)),
            },
        };
        Some(Self { at: field.key_at(), kind })
    }
}

fn add_prefix(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| Some(MiddlewareKind::AddPrefix(r.require_string("prefix")?)))
}

fn strip_prefix(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        if r.bool("forceSlash") == Some(false) {
            r.warn("`forceSlash: false` has no effect: a path always starts with a slash", None);
        }
        Some(MiddlewareKind::StripPrefix(r.require("prefixes")?.list(|item| item.spanned_string())))
    })
}

fn strip_prefix_regex(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let patterns = r.require("regex")?.list(|item| item.spanned_string());
        Some(MiddlewareKind::StripPrefixRegex(patterns))
    })
}

fn replace_path(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| Some(MiddlewareKind::ReplacePath(r.require_string("path")?)))
}

fn replacement(r: &Reader<'_, '_>) -> Option<Replacement> {
    let regex = r.require("regex").and_then(|field| field.spanned_string());
    let replacement = r.string_or_empty("replacement");
    Some(Replacement { regex: regex?, replacement })
}

fn replace_path_regex(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| Some(MiddlewareKind::ReplacePathRegex(replacement(r)?)))
}

fn redirect_scheme(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let port = r.take("port").and_then(|port| port.text()).unwrap_or_default();
        if !port.is_empty() && port.parse::<u16>().is_err() {
            r.error(format!("`{port}` is not a port"), None);
        }
        let permanent = r.bool_or("permanent", false);
        let scheme = r.require("scheme")?;
        let text = scheme.non_empty_string()?;
        Some(MiddlewareKind::RedirectScheme { scheme: scheme.spanned(text), port, permanent })
    })
}

fn redirect_regex(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let permanent = r.bool_or("permanent", false);
        Some(MiddlewareKind::RedirectRegex { replacement: replacement(r)?, permanent })
    })
}

fn chain(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let members = r.require("middlewares")?.list(|item| {
            // The file provider lists bare names.
            if item.node().as_scalar().is_some() {
                ObjectRef::read_name(item)
            } else {
                ObjectRef::read(item)
            }
        });
        Some(MiddlewareKind::Chain(members))
    })
}

fn retry(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let attempts = r.require("attempts").and_then(|field| field.int(1, u32::MAX.into()));
        let duration =
            |name| r.take(name).and_then(|field| field.duration()).unwrap_or(Duration::ZERO);
        let body = r.int("maxRequestBodyBytes", -1, i64::MAX);
        let retry = Retry {
            attempts: attempts.unwrap_or(1) as u32,
            initial_interval: duration("initialInterval"),
            timeout: duration("timeout"),
            statuses: r.list("status", status_ranges).concat(),
            max_request_body_bytes: body.map_or(Some(RETRY_BODY_BYTES), |n| u64::try_from(n).ok()),
            disable_on_network_error: r.bool_or("disableRetryOnNetworkError", false),
            non_idempotent: r.bool_or("retryNonIdempotentMethod", false),
        };
        attempts.map(|_| MiddlewareKind::Retry(retry))
    })
}

fn circuit_breaker(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let expression = r.require("expression").and_then(|field| field.spanned_string());
        let duration = |name, default| {
            let value = r.take(name).and_then(|field| field.duration());
            value.filter(|value| !value.is_zero()).unwrap_or(default)
        };
        let check_period = duration("checkPeriod", Duration::from_millis(100));
        let fallback_duration = duration("fallbackDuration", Duration::from_secs(10));
        let recovery_duration = duration("recoveryDuration", Duration::from_secs(10));
        let response_code = r.int("responseCode", 100, 599).unwrap_or(503) as u16;
        Some(MiddlewareKind::CircuitBreaker(CircuitBreaker {
            expression: expression?,
            check_period,
            fallback_duration,
            recovery_duration,
            response_code,
        }))
    })
}

fn rate_limit(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let average = r.int("average", 0, i64::MAX).unwrap_or(0) as u64;
        let period = r.take("period").and_then(|field| field.duration());
        let burst = r.int("burst", 1, i64::MAX).unwrap_or(1) as u64;
        let source = r.take("sourceCriterion").and_then(|field| SourceCriterion::read(&field));
        let redis = r.take_even_null("redis").map(|field| field.key_at());
        Some(MiddlewareKind::RateLimit(RateLimit {
            average,
            period: period.filter(|value| !value.is_zero()).unwrap_or(Duration::from_secs(1)),
            burst,
            source: source.flatten(),
            redis,
        }))
    })
}

fn in_flight_req(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let source = r.take("sourceCriterion").and_then(|field| SourceCriterion::read(&field));
        let amount = r.require("amount")?.int(1, u32::MAX.into())? as u32;
        Some(MiddlewareKind::InFlightReq { amount, source: source.flatten() })
    })
}

fn ip_allow_list(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let ranges = source_range(r);
        let strategy = r.take("ipStrategy").and_then(|field| IpStrategy::read(&field));
        let reject_status = r.int("rejectStatusCode", 100, 599).unwrap_or(403) as u16;
        Some(MiddlewareKind::IpAllowList(IpAllowList {
            ranges: ranges?,
            strategy: strategy.unwrap_or_default(),
            reject_status,
        }))
    })
}

fn errors(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let statuses = r.list("status", status_ranges).concat();
        let rewrites = r
            .take("statusRewrites")
            .and_then(|field| {
                field.nested(|r| {
                    Some(r.rest().filter_map(|(range, field)| rewrite(range, &field)).collect())
                })
            })
            .unwrap_or_default();
        let service = r.require("service").and_then(|field| {
            if field.node().as_scalar().is_some() {
                ObjectRef::read_name(&field).map(ErrorService::Name)
            } else {
                ServiceRef::read_alone(&field).map(|service| ErrorService::Ref(Box::new(service)))
            }
        });
        let query = r.string_or_empty("query");
        let request_headers =
            r.take("errorRequestHeaders").map(|field| field.list(|item| item.spanned_string()));
        Some(MiddlewareKind::Errors(Box::new(Errors {
            statuses,
            rewrites,
            service: service?,
            query,
            request_headers,
        })))
    })
}

fn rewrite(range: &str, field: &Field<'_, '_>) -> Option<((u16, u16), u16)> {
    let Some(range) = status_range(range) else {
        field.error(format!("`{range}` is not a status or range of statuses"), None);
        return None;
    };
    Some((range, field.int(100, 599)? as u16))
}

fn compress(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    let codings = [("gzip", Coding::Gzip), ("br", Coding::Brotli), ("zstd", Coding::Zstd)];
    let mut compress = Compress {
        encodings: vec![Coding::Gzip, Coding::Brotli, Coding::Zstd],
        default_encoding: None,
        min_response_body_bytes: COMPRESS_BYTES_MIN as u64,
        excluded_content_types: Vec::new(),
        included_content_types: Vec::new(),
    };
    if is_empty_or_true(field) {
        return Some(MiddlewareKind::Compress(compress));
    }
    field.nested(|r| {
        if let Some(encodings) = r.take("encodings") {
            compress.encodings = encodings.list(|item| item.choice(&codings));
        }
        compress.default_encoding = r
            .take("defaultEncoding")
            .filter(|field| field.node().as_scalar().is_none_or(|text| !text.text.is_empty()))
            .and_then(|field| field.choice(&codings));
        let bytes = r.int("minResponseBodyBytes", 0, i64::MAX).unwrap_or(COMPRESS_BYTES_MIN);
        compress.min_response_body_bytes = bytes as u64;
        compress.excluded_content_types = r.strings("excludedContentTypes");
        compress.included_content_types = r.strings("includedContentTypes");
        if !compress.excluded_content_types.is_empty()
            && !compress.included_content_types.is_empty()
        {
            r.error("`excludedContentTypes` and `includedContentTypes` exclude each other", None);
        }
        Some(MiddlewareKind::Compress(compress))
    })
}

fn buffering(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let bytes = |name, default| r.int(name, 0, i64::MAX).unwrap_or(default) as u64;
        Some(MiddlewareKind::Buffering(Buffering {
            max_request_body_bytes: bytes("maxRequestBodyBytes", 0),
            mem_request_body_bytes: bytes("memRequestBodyBytes", MEMORY_BODY_BYTES),
            max_response_body_bytes: bytes("maxResponseBodyBytes", 0),
            mem_response_body_bytes: bytes("memResponseBodyBytes", MEMORY_BODY_BYTES),
            retry_expression: r.take("retryExpression").and_then(|field| field.spanned_string()),
        }))
    })
}

fn basic_auth(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let spanned = |name| r.take(name).and_then(|field| field.spanned_string());
        let secret = spanned("secret");
        let users_file = spanned("usersFile");
        let users = r.list("users", |item| item.spanned_string());
        if secret.is_none() && users_file.is_none() && users.is_empty() {
            r.error("no users: `secret`, `users` or `usersFile` is needed", None);
        }
        let realm = r.string("realm").filter(|realm| !realm.is_empty());
        Some(MiddlewareKind::BasicAuth(BasicAuth {
            secret,
            users,
            users_file,
            realm: realm.unwrap_or_else(|| "traefik".into()),
            header_field: spanned("headerField").filter(|name| !name.is_empty()),
            remove_header: r.bool_or("removeHeader", false),
        }))
    })
}

fn forward_auth(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    field.nested(|r| {
        let spanned = |name| r.take(name).and_then(|field| field.spanned_string());
        let headers = |name| r.list(name, |item| item.spanned_string());
        let address = r.require("address").and_then(|field| field.spanned_string());
        let tls = r.take("tls").and_then(|field| ClientTls::read_forward_auth(&field));
        r.ignored("authSigninURL", "the authorizer's own answer is sent to the client");
        let auth = ForwardAuth {
            address: address.clone().unwrap_or(Spanned::new("".into(), r.at())),
            trust_forward_header: r.bool_or("trustForwardHeader", false),
            auth_request_headers: headers("authRequestHeaders"),
            auth_response_headers: headers("authResponseHeaders"),
            auth_response_headers_regex: spanned("authResponseHeadersRegex")
                .filter(|pattern| !pattern.is_empty()),
            add_auth_cookies_to_response: r.strings("addAuthCookiesToResponse"),
            forward_body: r.bool_or("forwardBody", false),
            max_body_size: unbounded(r, "maxBodySize"),
            max_response_body_size: unbounded(r, "maxResponseBodySize"),
            header_field: spanned("headerField").filter(|name| !name.is_empty()),
            preserve_location_header: r.bool_or("preserveLocationHeader", false),
            preserve_request_method: r.bool_or("preserveRequestMethod", false),
            tls,
        };
        address.map(|_| MiddlewareKind::ForwardAuth(Box::new(auth)))
    })
}

// === impl BasicAuth ===

impl std::fmt::Debug for BasicAuth {
    /// Leaves the users out: their lines hold hashes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasicAuth")
            .field("secret", &self.secret)
            .field("users_file", &self.users_file)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

// === impl SourceCriterion ===

impl SourceCriterion {
    /// Reads `sourceCriterion`; the inner `None` is an empty one, which means the default.
    fn read(field: &Field<'_, '_>) -> Option<Option<Self>> {
        field.nested(|r| {
            let mut found = Vec::new();
            found.extend(
                r.take("ipStrategy").and_then(|field| IpStrategy::read(&field)).map(Self::Ip),
            );
            let header = r.take("requestHeaderName").and_then(|field| field.spanned_string());
            found.extend(header.filter(|name| !name.is_empty()).map(Self::Header));
            found.extend(r.bool("requestHost").filter(|host| *host).map(|_| Self::Host));
            if found.len() > 1 {
                let fix = "keep one of `ipStrategy`, `requestHeaderName` and `requestHost`".into();
                r.error("more than one criterion", Some(fix));
            }
            Some(found.pop())
        })
    }
}

// === impl IpStrategy ===

impl IpStrategy {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            Some(Self {
                depth: r.int("depth", 0, u32::MAX.into()).unwrap_or(0) as u32,
                excluded: r.list("excludedIPs", |item| item.ip_net()),
                ipv6_subnet: r.int("ipv6Subnet", 0, 128).map(|bits| bits as u8),
            })
        })
    }
}

// === impl MiddlewareTcp ===

impl MiddlewareTcp {
    /// Reads `spec`, or a TCP middleware of the file provider.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let conn = r.nested("inFlightConn", |r| {
            r.require("amount")?.int(1, u32::MAX.into()).map(|amount| amount as u32)
        });
        let list =
            r.nested("ipAllowList", source_range).or_else(|| r.nested("ipWhiteList", source_range));
        match (conn, list) {
            (Some(amount), None) => Some(Self::InFlightConn(amount)),
            (None, Some(ranges)) => Some(Self::IpAllowList(ranges)),
            (None, None) => {
                r.error("one of `inFlightConn` and `ipAllowList` is needed", None);
                None
            }
            (Some(_), Some(_)) => {
                r.error("a middleware has one type", None);
                None
            }
        }
    }
}

/// Takes `sourceRange`. An empty one would allow nobody, which nobody writes on purpose.
fn source_range(r: &Reader<'_, '_>) -> Option<Vec<IpNet>> {
    let field = r.require("sourceRange")?;
    if field.node().as_seq().is_some_and(<[_]>::is_empty) {
        field.error("the list is empty, so nobody would be allowed", None);
    }
    Some(field.list(|item| item.ip_net()))
}

/// Reads one item of a status list: a number, a range `500-599`, or several of both with commas.
pub(super) fn status_ranges(field: &Field<'_, '_>) -> Option<Vec<(u16, u16)>> {
    let text = field.text()?;
    let ranges: Option<Vec<_>> = text.split(',').map(|part| status_range(part.trim())).collect();
    if ranges.is_none() {
        let fix = "write a status such as 502 or a range such as 500-599".into();
        field.error(format!("`{text}` is not a status or range of statuses"), Some(fix));
    }
    ranges
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse().ok().filter(|n| (100..=599).contains(n));
    let range = (status(from)?, status(to)?);
    (range.0 <= range.1).then_some(range)
}

fn is_empty_or_true(field: &Field<'_, '_>) -> bool {
    field.is_null()
        || field
            .node()
            .as_scalar()
            .is_some_and(|scalar| scalar.core() == crate::yaml::Core::Bool(true))
}
