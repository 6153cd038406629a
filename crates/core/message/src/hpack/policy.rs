//! Which fields an encoder keeps in its table.
//!
//! What an entry is worth is how often it comes again. A value that is new in each message would
//! only push out what is not, and a secret must not be found by watching sizes (RFC 7541
//! section 7.1).

use crate::known::Known;

use super::{Kind, Name, Pseudo};

/// Shorter cookies are not kept: there are few enough to guess them one by one (RFC 7541
/// section 7.1.3).
const COOKIE_BYTES_MIN: usize = 20;

/// How many values of one name the table may hold. A name of which it holds as many has values
/// that differ with the client or the message, and they do not crowd out all the rest.
const VALUES_MAX: u8 = 8;

/// The same for `:path`: a client of gRPC calls some tens of methods.
const PATHS_MAX: u8 = 32;

/// What is done with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// It is kept, beside fewer than this number of other values of its name.
    Keep(u8),
    /// It is sent as it is, and not kept but for its name.
    Pass,
    /// It is sent as it is, and nobody on the way may keep it.
    Never,
}

/// By [`Kind::code`].
static POLICIES: [Policy; 256] = policies();

/// Credentials.
const SECRETS: &[Known] =
    &[Known::Authorization, Known::ProxyAuthorization, Known::SetCookie, Known::XApiKey];

/// Names whose values are of one message: lengths, validators, times, places and the ids of
/// requests and spans.
const PASSING: &[Known] = &[
    Known::Age,
    Known::B3,
    Known::Baggage,
    Known::CacheStatus,
    Known::ContentLength,
    Known::ContentLocation,
    Known::ContentRange,
    Known::Digest,
    Known::Etag,
    Known::Expires,
    Known::GrpcMessage,
    Known::GrpcTimeout,
    Known::IdempotencyKey,
    Known::IfMatch,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::IfUnmodifiedSince,
    Known::LastModified,
    Known::Location,
    Known::Range,
    Known::RateLimit,
    Known::RetryAfter,
    Known::SecWebsocketAccept,
    Known::SecWebsocketKey,
    Known::ServerTiming,
    Known::Traceparent,
    Known::Tracestate,
    Known::XB3ParentSpanId,
    Known::XB3SpanId,
    Known::XB3TraceId,
    Known::XCorrelationId,
    Known::XForwardedUri,
    Known::XOriginalUrl,
    Known::XReplacedPath,
    Known::XRequestId,
    Known::XRetryIn,
    Known::XRewriteUrl,
];

// === functions ===

/// What is done with a field.
#[inline]
pub(super) fn of(name: Name<'_>, value: &[u8]) -> Policy {
    match name {
        // The path of a request with a query is mostly its own.
        Name::Pseudo(Pseudo::Path) if crate::bytes::find(b'?', value).is_some() => Policy::Pass,
        Name::Known(Known::Cookie) if value.len() < COOKIE_BYTES_MIN => Policy::Never,
        _ => POLICIES[usize::from(name.kind().code())],
    }
}

const fn policies() -> [Policy; 256] {
    let mut table = [Policy::Keep(VALUES_MAX); 256];
    let mut at = 0;
    while at < SECRETS.len() {
        table[SECRETS[at] as usize] = Policy::Never;
        at += 1;
    }
    at = 0;
    while at < PASSING.len() {
        table[PASSING[at] as usize] = Policy::Pass;
        at += 1;
    }
    table[Kind::Pseudo(Pseudo::Path).code() as usize] = Policy::Keep(PATHS_MAX);
    // It changes once a second, for every message of that second: the newest is the one.
    table[Known::Date as usize] = Policy::Keep(u8::MAX);
    table
}
