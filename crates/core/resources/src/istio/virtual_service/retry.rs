//! Sending again what failed.

use std::time::Duration;

use crate::istio::value::{count, duration, spanned};
use crate::read::{Field, Reader, nearest};
use crate::resource::Spanned;

/// Sends again what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first; 0 switches it off.
    pub attempts: u32,
    /// A bound on each try; `None` for that of the whole.
    pub per_try_timeout: Option<Spanned<Duration>>,
    /// What has failed; `None` for [`DEFAULT_RETRY_ON`].
    pub retry_on: Option<Spanned<Box<[RetryCondition]>>>,
    /// Whether further tries may leave the caller's locality; not by default.
    pub remote_localities: Option<Spanned<bool>>,
    /// Whether further tries avoid endpoints that failed; they do by default.
    pub ignore_previous_hosts: Option<Spanned<bool>>,
    /// The shortest wait before the next try, which grows; 25 ms by default.
    pub backoff: Option<Spanned<Duration>>,
}

/// What counts as failed, in the words of Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCondition {
    /// `5xx`: an answer of that class, or no answer.
    ServerError,
    /// `gateway-error`: 502, 503 or 504.
    GatewayError,
    /// `reset`: no answer, because of a disconnect, a reset or a timeout.
    Reset,
    /// `reset-before-request`: the same before anything of the request was sent.
    ResetBeforeRequest,
    /// `connect-failure`: no connection.
    ConnectFailure,
    /// `envoy-ratelimited`: an answer with `x-envoy-ratelimited`.
    EnvoyRatelimited,
    /// `retriable-4xx`: 409.
    Retriable4xx,
    /// `refused-stream`: the stream was refused (RFC 9113, 8.7).
    RefusedStream,
    /// `retriable-status-codes`: one of the statuses that are listed beside it.
    RetriableStatusCodes,
    /// `retriable-headers`: an answer with headers that were named; none can be named here.
    RetriableHeaders,
    /// `http3-post-connect-failure`: a request over HTTP/3 that failed after connecting.
    Http3PostConnectFailure,
    /// `cancelled`: gRPC 1.
    Cancelled,
    /// `deadline-exceeded`: gRPC 4.
    DeadlineExceeded,
    /// `internal`: gRPC 13.
    Internal,
    /// `resource-exhausted`: gRPC 8.
    ResourceExhausted,
    /// `unavailable`: gRPC 14.
    Unavailable,
    /// A status of an answer.
    Status(u16),
}

/// What counts as failed where nothing is said of it.
pub const DEFAULT_RETRY_ON: &[RetryCondition] = &[
    RetryCondition::ConnectFailure,
    RetryCondition::RefusedStream,
    RetryCondition::Unavailable,
    RetryCondition::Cancelled,
];

/// The words for conditions.
const CONDITIONS: &[(&str, RetryCondition)] = &[
    ("5xx", RetryCondition::ServerError),
    ("gateway-error", RetryCondition::GatewayError),
    ("reset", RetryCondition::Reset),
    ("reset-before-request", RetryCondition::ResetBeforeRequest),
    ("connect-failure", RetryCondition::ConnectFailure),
    ("envoy-ratelimited", RetryCondition::EnvoyRatelimited),
    ("retriable-4xx", RetryCondition::Retriable4xx),
    ("refused-stream", RetryCondition::RefusedStream),
    ("retriable-status-codes", RetryCondition::RetriableStatusCodes),
    ("retriable-headers", RetryCondition::RetriableHeaders),
    ("http3-post-connect-failure", RetryCondition::Http3PostConnectFailure),
    ("cancelled", RetryCondition::Cancelled),
    ("deadline-exceeded", RetryCondition::DeadlineExceeded),
    ("internal", RetryCondition::Internal),
    ("resource-exhausted", RetryCondition::ResourceExhausted),
    ("unavailable", RetryCondition::Unavailable),
];

// === impl Retries ===

impl Retries {
    /// What counts as failed.
    pub fn conditions(&self) -> &[RetryCondition] {
        self.retry_on.as_ref().map_or(DEFAULT_RETRY_ON, |conditions| &conditions.value)
    }

    /// Reads `retries`.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let retries = Self {
            attempts: count(reader, "attempts").map_or(0, |count| count.value),
            per_try_timeout: spanned(reader, "perTryTimeout", duration),
            retry_on: spanned(reader, "retryOn", conditions).filter(|all| !all.is_empty()),
            remote_localities: spanned(reader, "retryRemoteLocalities", |field| field.bool()),
            ignore_previous_hosts: spanned(reader, "retryIgnorePreviousHosts", |field| {
                field.bool()
            }),
            backoff: spanned(reader, "backoff", duration),
        };
        let says_more = ["perTryTimeout", "retryOn", "retryRemoteLocalities"];
        if retries.attempts == 0 && says_more.into_iter().any(|name| reader.take(name).is_some()) {
            let fix = "write `attempts` with at least 1".into();
            reader.error("without `attempts` nothing is sent again", Some(fix));
        }
        Some(retries)
    }
}

// === impl RetryCondition ===

impl std::fmt::Display for RetryCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Self::Status(status) = self {
            return write!(f, "{status}");
        }
        let word = CONDITIONS.iter().find(|(_, condition)| condition == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// Reads words with commas between them; numbers are statuses.
fn conditions(field: &Field<'_, '_>) -> Option<Box<[RetryCondition]>> {
    // A single status is a number to YAML.
    let text = field.text()?;
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut all = Vec::new();
    for word in words {
        match condition(word) {
            Some(found) if all.contains(&found) => {}
            Some(found) => all.push(found),
            None => {
                let fix = match nearest(word, CONDITIONS.iter().map(|(word, _)| *word)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "write a status such as 503, or words such as connect-failure".into(),
                };
                field.error(format!("`{word}` is not a reason to send again"), Some(fix));
            }
        }
    }
    Some(all.into())
}

fn condition(word: &str) -> Option<RetryCondition> {
    let known = CONDITIONS.iter().find(|(known, _)| *known == word);
    known.map(|(_, condition)| *condition).or_else(|| {
        let status = word.parse().ok().filter(|status| (100..=599).contains(status));
        status.map(RetryCondition::Status)
    })
}
