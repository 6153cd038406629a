//! Refusals as statuses of gRPC, for clients and servers made with tonic.
//!
//! tonic's clients take any service of HTTP, so the layers of this crate go between one and its
//! channel; then the last step makes their errors statuses, by tower's `map_err`:
//!
//! ```
//! use resilience_tower::retry::RetrySettings;
//! use resilience_tower::{ErrorLayer, Retry, grpc};
//! use tonic::transport::{Channel, Endpoint};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let channel: Channel = Endpoint::from_static("http://greeter:50051").connect_lazy();
//! let channel = ServiceBuilder::new()
//!     .map_err(grpc::status::<tonic::transport::Error>)
//!     .layer(Retry::grpc(RetrySettings::DEFAULT))
//!     .layer(ErrorLayer)
//!     .service(channel);
//! // GreeterClient::new(channel)
//! # drop(channel);
//! # }
//! ```

use std::error::Error as StdError;
use std::sync::Arc;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::classify::{Classify, HttpClassifier, Verdict};
use crate::error::{AsRefused, Error, Refused, find};

/// [`hop::PUSHBACK`](crate::hop::PUSHBACK), as tonic takes it.
const PUSHBACK_KEY: &str = "grpc-retry-pushback-ms";

/// Judges the results of clients that tonic has generated, for the plain functions of this crate.
///
/// As its [`HttpClassifier`] does, also for statuses that came after messages.
///
/// ```
/// use resilience_tower::{Retry, grpc::StatusClassifier, retry, retry::RetrySettings};
/// use tonic::{Response, Status};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let policy = Retry::new(RetrySettings::DEFAULT).classified_by(StatusClassifier::default());
/// // || client.clone().say_hello(request.clone())
/// let call = || async { Err::<Response<()>, _>(Status::unavailable("restarting")) };
/// assert_eq!(retry(&policy, call).await.expect_err("it stays so").attempts, 3);
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct StatusClassifier(pub HttpClassifier);

/// The status for an error of a stack around a channel: a [refusal's](From), or the one that the
/// error itself holds.
#[must_use]
pub fn status<E>(error: Error<E>) -> Status
where
    E: StdError + Send + Sync + 'static,
{
    match error {
        Error::Inner(error) => Status::from_error(Box::new(error)),
        Error::Refused(refused) => refused.into(),
    }
}

// === impl Status ===

impl From<Refused> for Status {
    /// DEADLINE_EXCEEDED for a timeout, RESOURCE_EXHAUSTED for limits, UNAVAILABLE for the rest;
    /// with `grpc-retry-pushback-ms` where the time is known.
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Timeout { .. } => Code::DeadlineExceeded,
            Refused::RateLimited { .. } | Refused::Busy { .. } => Code::ResourceExhausted,
            Refused::BreakerOpen { .. } | Refused::NoEndpoint { .. } | Refused::Policy { .. } => {
                Code::Unavailable
            }
        };
        let mut status = Self::new(code, refused.to_string());
        if let Some(wait) = refused.retry_after() {
            let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            status.metadata_mut().insert(PUSHBACK_KEY, MetadataValue::from(millis));
        }
        status.set_source(Arc::new(refused));
        status
    }
}

impl AsRefused for Status {
    /// The refusal that it was made of in this process.
    fn as_refused(&self) -> Option<&Refused> {
        find(self)
    }
}

// === impl StatusClassifier ===

impl<T> Classify<Result<T, Status>> for StatusClassifier {
    fn classify(&self, outcome: &Result<T, Status>) -> Verdict {
        let Err(status) = outcome else { return Verdict::SUCCESS };
        match status.as_refused() {
            Some(refused) => Verdict::of_refusal(refused),
            None => self.0.judge_grpc(status.code() as u32, status.metadata().as_ref()),
        }
    }
}

#[cfg(test)]
mod tests;
