//! Outcomes of HTTP and of gRPC over it.

use std::time::{Duration, SystemTime};

use ::http::header::{DATE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderName, Response};
use weft_resilience::outlier::Signal;
use weft_resilience::settings::StatusSet;

use super::{Class, Classify, Verdict};
use crate::error::AsRefused;
use crate::{clock, hop};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The status of gRPC for a server that cannot take the call.
const UNAVAILABLE: u32 = 14;

/// The highest status that gRPC defines.
const GRPC_MAX: u32 = 16;

/// Judges answers of HTTP by their status, and those of gRPC by theirs.
///
/// - Statuses of 5xx are failures, 429 is an overload; 502, 503 and 504 are worth a retry, 429 is
///   when it says `retry-after`.
/// - A gRPC status counts where it comes with the head of the answer, as it does when a call fails
///   before its first message (in gRPC's words: trailers only). UNKNOWN, DEADLINE_EXCEEDED,
///   UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS are failures, RESOURCE_EXHAUSTED is an
///   overload; UNAVAILABLE is worth a retry, RESOURCE_EXHAUSTED is when it says
///   `grpc-retry-pushback-ms`.
/// - An answer that [forbids retries](crate::hop::forbids_retry) is not worth one.
/// - Errors are judged as [`ByError`](super::ByError) does.
///
/// `retry-after` may be seconds or a date (RFC 9110 section 10.2.3). A date is taken relative to
/// the answer's own, so that clocks need not agree.
///
/// ```
/// use std::time::Duration;
/// use http::Response;
/// use resilience_tower::Error;
/// use resilience_tower::classify::{Class, Classify, HttpClassifier};
///
/// let classifier = HttpClassifier::new();
/// let busy = Response::builder().status(503).header("retry-after", "2").body(())?;
/// let verdict = classifier.classify(&Ok::<_, Error<()>>(busy));
/// assert_eq!((verdict.class, verdict.retryable), (Class::Failure, true));
/// assert_eq!(verdict.retry_after, Some(Duration::from_secs(2)));
///
/// let failed = Response::builder().header("grpc-status", "13").body(())?; // INTERNAL
/// assert_eq!(classifier.classify(&Ok::<_, Error<()>>(failed)).class, Class::Failure);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct HttpClassifier {
    failures: StatusSet,
    retries: StatusSet,
    /// A bit for each gRPC status.
    grpc_retries: u32,
}

// === impl HttpClassifier ===

impl HttpClassifier {
    /// As the page of this type says.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            failures: StatusSet::SERVER_ERRORS,
            retries: StatusSet::GATEWAY_ERRORS,
            grpc_retries: 1 << UNAVAILABLE,
        }
    }

    /// Statuses that are failures of the upstream, instead of 5xx.
    #[must_use]
    pub const fn failures(self, statuses: StatusSet) -> Self {
        Self { failures: statuses, ..self }
    }

    /// Statuses that are worth a retry, instead of 502, 503 and 504.
    #[must_use]
    pub const fn retry_on(self, statuses: StatusSet) -> Self {
        Self { retries: statuses, ..self }
    }

    /// gRPC statuses by number (0 to 16) that are worth a retry, instead of UNAVAILABLE. Others are
    /// ignored.
    #[must_use]
    pub fn retry_on_grpc(self, codes: impl IntoIterator<Item = u32>) -> Self {
        let bits = codes.into_iter().filter(|code| *code <= GRPC_MAX);
        let bits = bits.fold(0, |bits, code| bits | 1 << code);
        Self { grpc_retries: bits, ..self }
    }

    /// The verdict on a status of gRPC, with the fields that came with it.
    pub(crate) fn judge_grpc(&self, code: u32, fields: &HeaderMap) -> Verdict {
        let pushback = hop::number(fields, &hop::PUSHBACK);
        let retry_after = pushback.map(|millis| Duration::from_millis(millis.into()));
        let listed = code <= GRPC_MAX && self.grpc_retries & (1 << code) != 0;
        self.judge(http_status(code), listed, retry_after, fields)
    }

    fn judge_http(&self, status: u16, fields: &HeaderMap) -> Verdict {
        self.judge(status, self.retries.contains(status), retry_after(fields), fields)
    }

    fn judge(
        &self,
        status: u16,
        listed: bool,
        retry_after: Option<Duration>,
        fields: &HeaderMap,
    ) -> Verdict {
        let class = match status {
            429 => Class::Overload,
            status if self.failures.contains(status) => Class::Failure,
            _ => Class::Success,
        };
        let asked_back = class == Class::Overload && retry_after.is_some();
        let retryable = (listed || asked_back) && !hop::forbids_retry(fields);
        Verdict { class, status: Some(status), retryable, retry_after }
    }
}

impl Default for HttpClassifier {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, E: AsRefused> Classify<Result<Response<B>, E>> for HttpClassifier {
    fn classify(&self, outcome: &Result<Response<B>, E>) -> Verdict {
        match outcome {
            Ok(answer) => match hop::number(answer.headers(), &GRPC_STATUS) {
                Some(code) => self.judge_grpc(code, answer.headers()),
                None => self.judge_http(answer.status().as_u16(), answer.headers()),
            },
            Err(error) => Verdict::of_error(error),
        }
    }

    /// With [`hop::RETRIED`].
    fn mark_final(&self, outcome: &mut Result<Response<B>, E>) {
        if let Ok(answer) = outcome {
            hop::forbid_retry(answer.headers_mut());
        }
    }
}

/// The status of HTTP that a status of gRPC counts as.
fn http_status(code: u32) -> u16 {
    match Signal::grpc(code) {
        Signal::Status(status) => status,
        _ => 500,
    }
}

/// The wait that `retry-after` asks for.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    if let Some(seconds) = hop::number(fields, &RETRY_AFTER) {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = |name| -> Option<SystemTime> {
        let value: &::http::HeaderValue = fields.get(name)?;
        httpdate::parse_http_date(value.to_str().ok()?).ok()
    };
    let until = date(RETRY_AFTER)?;
    let now = date(DATE).unwrap_or_else(clock::wall);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
