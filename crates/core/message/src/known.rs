//! Well-known field names as small ids.

use crate::bytes::eq_lower_case;

/// The id of every name that is not well known.
pub(crate) const UNKNOWN: u8 = u8::MAX;

macro_rules! known {
    ($($name:ident = $text:literal,)*) => {
        /// A well-known field name as a one-byte id, so that looking it up compares bytes, not
        /// text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Known {
            /// Every well-known name, in the order of the ids.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The lower-case names, in the order of the ids.
            const TEXTS: &'static [&'static str] = &[$($text,)*];
        }
    };
}

// The order of the first eleven matters: the parser notes fields up to `Expect`, and those up to
// `Http2Settings` mean one hop only.
known! {
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Http2Settings = "http2-settings",
    Expect = "expect",
    Accept = "accept",
    AcceptCharset = "accept-charset",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AcceptRanges = "accept-ranges",
    AccessControlAllowCredentials = "access-control-allow-credentials",
    AccessControlAllowHeaders = "access-control-allow-headers",
    AccessControlAllowMethods = "access-control-allow-methods",
    AccessControlAllowOrigin = "access-control-allow-origin",
    AccessControlExposeHeaders = "access-control-expose-headers",
    AccessControlMaxAge = "access-control-max-age",
    AccessControlRequestHeaders = "access-control-request-headers",
    AccessControlRequestMethod = "access-control-request-method",
    Age = "age",
    Allow = "allow",
    AltSvc = "alt-svc",
    Authorization = "authorization",
    B3 = "b3",
    Baggage = "baggage",
    CacheControl = "cache-control",
    CacheStatus = "cache-status",
    ContentDisposition = "content-disposition",
    ContentEncoding = "content-encoding",
    ContentLanguage = "content-language",
    ContentLocation = "content-location",
    ContentRange = "content-range",
    ContentSecurityPolicy = "content-security-policy",
    ContentSecurityPolicyReportOnly = "content-security-policy-report-only",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Deprecation = "deprecation",
    Digest = "digest",
    Dnt = "dnt",
    EarlyData = "early-data",
    Etag = "etag",
    Expires = "expires",
    Forwarded = "forwarded",
    From = "from",
    GrpcAcceptEncoding = "grpc-accept-encoding",
    GrpcEncoding = "grpc-encoding",
    GrpcMessage = "grpc-message",
    GrpcStatus = "grpc-status",
    GrpcTimeout = "grpc-timeout",
    IdempotencyKey = "idempotency-key",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    L5dClientId = "l5d-client-id",
    LastModified = "last-modified",
    Link = "link",
    Location = "location",
    MaxForwards = "max-forwards",
    Origin = "origin",
    PermissionsPolicy = "permissions-policy",
    Pragma = "pragma",
    Priority = "priority",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    Range = "range",
    RateLimit = "ratelimit",
    RateLimitPolicy = "ratelimit-policy",
    Referer = "referer",
    ReferrerPolicy = "referrer-policy",
    Refresh = "refresh",
    RetryAfter = "retry-after",
    SecChUa = "sec-ch-ua",
    SecChUaMobile = "sec-ch-ua-mobile",
    SecChUaPlatform = "sec-ch-ua-platform",
    SecFetchDest = "sec-fetch-dest",
    SecFetchMode = "sec-fetch-mode",
    SecFetchSite = "sec-fetch-site",
    SecFetchUser = "sec-fetch-user",
    SecWebsocketAccept = "sec-websocket-accept",
    SecWebsocketExtensions = "sec-websocket-extensions",
    SecWebsocketKey = "sec-websocket-key",
    SecWebsocketProtocol = "sec-websocket-protocol",
    SecWebsocketVersion = "sec-websocket-version",
    Server = "server",
    ServerTiming = "server-timing",
    SetCookie = "set-cookie",
    StrictTransportSecurity = "strict-transport-security",
    Sunset = "sunset",
    TimingAllowOrigin = "timing-allow-origin",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    UpgradeInsecureRequests = "upgrade-insecure-requests",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    Warning = "warning",
    WeftwayDestination = "weftway-destination",
    WeftwayRetried = "weftway-retried",
    WwwAuthenticate = "www-authenticate",
    XApiKey = "x-api-key",
    XB3Flags = "x-b3-flags",
    XB3ParentSpanId = "x-b3-parentspanid",
    XB3Sampled = "x-b3-sampled",
    XB3SpanId = "x-b3-spanid",
    XB3TraceId = "x-b3-traceid",
    XContentTypeOptions = "x-content-type-options",
    XCorrelationId = "x-correlation-id",
    XEnvoyAttemptCount = "x-envoy-attempt-count",
    XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms",
    XEnvoyOverloaded = "x-envoy-overloaded",
    XForwardedClientCert = "x-forwarded-client-cert",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedMethod = "x-forwarded-method",
    XForwardedPort = "x-forwarded-port",
    XForwardedPrefix = "x-forwarded-prefix",
    XForwardedProto = "x-forwarded-proto",
    XForwardedServer = "x-forwarded-server",
    XForwardedTlsClientCert = "x-forwarded-tls-client-cert",
    XForwardedTlsClientCertInfo = "x-forwarded-tls-client-cert-info",
    XForwardedUri = "x-forwarded-uri",
    XFrameOptions = "x-frame-options",
    XHttpMethodOverride = "x-http-method-override",
    XOriginalUrl = "x-original-url",
    XPoweredBy = "x-powered-by",
    XRealIp = "x-real-ip",
    XReplacedPath = "x-replaced-path",
    XRequestId = "x-request-id",
    XRequestedWith = "x-requested-with",
    XRetryIn = "x-retry-in",
    XRewriteUrl = "x-rewrite-url",
    XXssProtection = "x-xss-protection",
}

/// Every name has two bytes or more; shorter names are not hashed.
const _: () = {
    let mut id = 0;
    while id < Known::TEXTS.len() {
        assert!(Known::TEXTS[id].len() >= 2);
        id += 1;
    }
};

/// Bits of the index into [`TABLE`].
const TABLE_BITS: u32 = 11;

/// Chosen when this crate is compiled, so that no two well-known names share a slot.
const MULTIPLIER: u64 = find_multiplier();

/// Id by hash; [`UNKNOWN`] where no well-known name falls.
static TABLE: [u8; 1 << TABLE_BITS] = build_table();

// === impl Known ===

impl Known {
    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        Self::TEXTS[self as usize]
    }

    /// The id of a name in any case; `None` when it is not well known.
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        Self::from_id(id_of(name))
    }

    /// The name with this id.
    #[inline]
    pub(crate) fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }
}

// === functions ===

/// The id of a name in any case, or [`UNKNOWN`].
#[inline]
pub(crate) fn id_of(name: &[u8]) -> u8 {
    if name.len() < 2 {
        return UNKNOWN;
    }
    let id = TABLE[slot(name, MULTIPLIER)];
    match Known::TEXTS.get(usize::from(id)) {
        Some(text) if eq_lower_case(name, text.as_bytes()) => id,
        _ => UNKNOWN,
    }
}

/// Hashes the length, the first and the last bytes, case-folded by their bit 5.
#[inline]
const fn slot(name: &[u8], multiplier: u64) -> usize {
    let (first, last) = match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(first), Some(last)) => (u32::from_le_bytes(*first), u32::from_le_bytes(*last)),
        _ => (name[0] as u32 | (name[1] as u32) << 8, name[name.len() - 1] as u32),
    };
    let key = ((first as u64) << 32 | last as u64) | 0x2020_2020_2020_2020;
    let key = key.wrapping_add((name.len() as u64) << 8);
    (key.wrapping_mul(multiplier) >> (64 - TABLE_BITS)) as usize
}

/// Which ids are those of `names`.
pub(crate) const fn ids_of(names: &[Known]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < names.len() {
        table[names[at] as usize] = true;
        at += 1;
    }
    table
}

const fn find_multiplier() -> u64 {
    let mut multiplier = 0x9e37_79b9_7f4a_7c15u64;
    let mut tries = 0;
    while !fits(multiplier) {
        assert!(tries < 2_000, "add a byte to the key or a bit to the table");
        multiplier =
            multiplier.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f) | 1;
        tries += 1;
    }
    multiplier
}

const fn fits(multiplier: u64) -> bool {
    let mut taken = [0u64; (1 << TABLE_BITS) / 64];
    let mut id = 0;
    while id < Known::TEXTS.len() {
        let slot = slot(Known::TEXTS[id].as_bytes(), multiplier);
        let bit = 1u64 << (slot % 64);
        if taken[slot / 64] & bit != 0 {
            return false;
        }
        taken[slot / 64] |= bit;
        id += 1;
    }
    true
}

const fn build_table() -> [u8; 1 << TABLE_BITS] {
    assert!(Known::TEXTS.len() < UNKNOWN as usize, "ids fit one byte");
    let mut table = [UNKNOWN; 1 << TABLE_BITS];
    let mut id = 0;
    while id < Known::TEXTS.len() {
        table[slot(Known::TEXTS[id].as_bytes(), MULTIPLIER)] = id as u8;
        id += 1;
    }
    table
}
