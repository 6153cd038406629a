//! Outcomes of HTTP and of gRPC over it.

use ::http::{HeaderMap, HeaderName, Response, StatusCode};
use weft_resilience::grpc;
use weft_resilience::load::LoadReport;
use weft_resilience::orca;
use weft_resilience::settings::StatusSet;

use super::{Class, Classify, Verdict};
use crate::error::AsRefused;
use crate::hop;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A gRPC answer without a status counts as this one (gRPC, "Status Codes": UNKNOWN).
const UNKNOWN: u32 = 2;

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
/// - An answer that [forbids retries](crate::hop::forbids_retry) is not worth one, whatever its
///   status.
/// - Errors are judged as [`ByError`](super::ByError) does.
///
/// `retry-after` may be seconds or a date (RFC 9110 section 10.2.3). A date is taken relative to
/// the answer's own, so that clocks need not agree; without that one, and where it cannot be read in
/// another way, there is no time at which to come again, so it forbids retries.
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

    /// The verdict on the head of an answer, for clients whose answers are not `http::Response`.
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use resilience_tower::classify::{Classify, HttpClassifier, Verdict, Class};
    ///
    /// // In place of another client's.
    /// struct Answer { status: StatusCode, fields: HeaderMap }
    ///
    /// let judge = |outcome: &Result<Answer, std::io::Error>| match outcome {
    ///     Ok(answer) => HttpClassifier::new().judge(answer.status, &answer.fields),
    ///     Err(_) => Verdict::failure(Class::Unreachable),
    /// };
    /// let answer = Answer { status: StatusCode::BAD_GATEWAY, fields: HeaderMap::new() };
    /// assert!(judge.classify(&Ok(answer)).retryable);
    /// ```
    #[must_use]
    pub fn judge(&self, status: StatusCode, fields: &HeaderMap) -> Verdict {
        match hop::number(fields, &GRPC_STATUS) {
            Some(code) => self.judge_grpc(code, fields),
            None => self.judge_http(status.as_u16(), fields),
        }
    }

    /// What an answer reports of its endpoint's load, in its head or its trailers
    /// (`endpoint-load-metrics` and `endpoint-load-metrics-bin`, gRFC A51); `None` for what cannot
    /// be read.
    #[must_use]
    pub fn load(fields: &HeaderMap) -> Option<LoadReport> {
        match fields.get(orca::METRICS_BIN) {
            Some(value) => orca::read_binary(value.as_bytes()),
            None => orca::read(fields.get(orca::METRICS)?.to_str().ok()?),
        }
    }

    /// The verdict on the end of an answer of gRPC.
    pub(crate) fn judge_trailers(&self, trailers: &HeaderMap) -> Verdict {
        let code = hop::number(trailers, &GRPC_STATUS).unwrap_or(UNKNOWN);
        self.judge_grpc(code, trailers)
    }

    /// The verdict on a status of gRPC, with the fields that came with it.
    pub(crate) fn judge_grpc(&self, code: u32, fields: &HeaderMap) -> Verdict {
        let listed = code <= GRPC_MAX && self.grpc_retries & (1 << code) != 0;
        self.verdict(grpc::http_status(code), listed, fields)
    }

    fn judge_http(&self, status: u16, fields: &HeaderMap) -> Verdict {
        self.verdict(status, self.retries.contains(status), fields)
    }

    fn verdict(&self, status: u16, listed: bool, fields: &HeaderMap) -> Verdict {
        let class = match status {
            429 => Class::Overload,
            status if self.failures.contains(status) => Class::Failure,
            _ => Class::Success,
        };
        let retry_after = hop::pushback(fields).wait();
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
            Ok(answer) => self.judge(answer.status(), answer.headers()),
            Err(error) => Verdict::of_error(error),
        }
    }

    /// In the head; for trailers see [`StreamBalance`](crate::balance::StreamBalance).
    fn load_report(&self, outcome: &Result<Response<B>, E>) -> Option<LoadReport> {
        Self::load(outcome.as_ref().ok()?.headers())
    }

    /// With [`hop::RETRIED`].
    fn mark_final(&self, outcome: &mut Result<Response<B>, E>) {
        if let Ok(answer) = outcome {
            hop::forbid_retry(answer.headers_mut());
        }
    }
}

#[cfg(test)]
mod tests;
