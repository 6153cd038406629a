//! Limits on how often calls may be made.
//!
//! A token bucket holds up to `burst` tokens and regains `average` of them per `period`; a call
//! takes one. When there is none but the next one is near (half the time of one call at most), the
//! call waits for it; so a caller who keeps the rate, but not to the microsecond, is not refused.
//! Otherwise it is refused at once, and told when to come back. There is no queue.

use std::future::Future;
use std::sync::Arc;

use tower_layer::Layer;
use weft_resilience::bucket::{Admission, KeyedBuckets, TokenBucket};
use weft_resilience::settings::RateSettings;

use crate::chance::secret;
use crate::clock;
use crate::error::{Error, Refused};
use crate::gate::{self, Admitted, Gate, GateService, Hears};
use crate::observe::{Event, Observed, Observer};

/// Bounds the rate of calls, with [`Refused::RateLimited`].
///
/// A layer for tower, and a handle for plain calls. Clones share one bucket.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{BoxError, RateLimit, settings::RateSettings};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let limit = RateLimit::new(RateSettings { average: 10, period: Duration::from_secs(60), burst: 1 });
/// let service = ServiceBuilder::new()
///     .layer(limit)
///     .service(service_fn(async |name: &'static str| Ok::<_, BoxError>(format!("hello, {name}"))));
///
/// assert!(service.clone().oneshot("you").await.is_ok());
/// let error = service.oneshot("you again").await.expect_err("not six seconds later");
/// assert_eq!(error.to_string(), "rate limit is reached, for 6s more");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit {
    bucket: Arc<TokenBucket>,
    observed: Observed,
}

/// Bounds the rate of calls for each source of them, with [`Refused::RateLimited`].
///
/// What a call's source is, a function says: the address or identity of a client, the tenant in a
/// header. At most 65,536 sources that are not at rest have a bucket of their own, in below 4 MiB;
/// more share one, so that nobody gets more by making up sources.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::{BoxError, RateLimitByKey, settings::RateSettings};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let settings = RateSettings { average: 1, period: Duration::from_secs(60), burst: 1 };
/// let service = ServiceBuilder::new()
///     .layer(RateLimitByKey::new(settings, |tenant: &&'static str| tenant.to_owned()))
///     .service(service_fn(async |tenant| Ok::<_, BoxError>(format!("hello, {tenant}"))));
///
/// assert!(service.clone().oneshot("red").await.is_ok());
/// assert!(service.clone().oneshot("blue").await.is_ok());
/// assert!(service.oneshot("red").await.is_err());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RateLimitByKey<F> {
    buckets: Arc<KeyedBuckets>,
    key: F,
    observed: Observed,
}

// === impl RateLimit ===

impl RateLimit {
    /// A full bucket. An average of 0 is no limit, a period of 0 is a second, a burst of 0 is 1.
    #[must_use]
    pub fn new(settings: RateSettings) -> Self {
        let bucket = TokenBucket::new(settings, clock::now());
        Self { bucket: Arc::new(bucket), observed: Observed::default() }
    }

    /// Tells an observer of refusals and waits.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// Waits for a turn, if it comes soon.
    ///
    /// Dropped while it waits, it gives its turn to nobody: the token is taken already.
    ///
    /// # Errors
    ///
    /// [`Refused::RateLimited`], at once, if it does not come soon.
    ///
    /// # Panics
    ///
    /// When it has to wait outside a tokio runtime with a clock; so do the calls below.
    pub async fn turn(&self) -> Result<(), Refused> {
        let Admitted { wait, .. } = self.admit(&())?;
        if !wait.is_zero() {
            clock::sleep(wait).await;
        }
        Ok(())
    }

    /// Carries out a call when its turn has come.
    ///
    /// Dropped while it waits, it gives its turn to nobody.
    ///
    /// # Errors
    ///
    /// [`Refused::RateLimited`] when it was not begun, else its own as [`Error::Inner`].
    pub async fn call<F, T, E>(&self, call: F) -> Result<T, Error<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        gate::pass(self, &(), call).await
    }
}

impl<Req> Gate<Req> for RateLimit {
    type Ticket = ();

    fn admit(&self, _: &Req) -> Result<Admitted<()>, Refused> {
        settle(self.bucket.take(clock::now()), &self.observed)
    }
}

impl<T> Hears<(), T> for RateLimit {
    fn ended(&self, (): (), _: &T) {}
}

impl<S> Layer<S> for RateLimit {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(self.clone(), inner)
    }
}

// === impl RateLimitByKey ===

impl<F> RateLimitByKey<F> {
    /// A full bucket for each source; `key` names that of a request. See [`RateLimit::new`] for
    /// zeros.
    #[must_use]
    pub fn new(settings: RateSettings, key: F) -> Self {
        let buckets = KeyedBuckets::new(settings, clock::now(), secret());
        Self { buckets: Arc::new(buckets), key, observed: Observed::default() }
    }

    /// Tells an observer of refusals and waits.
    #[must_use]
    pub fn observed_by(self, observer: impl Observer) -> Self {
        Self { observed: Observed::by(observer), ..self }
    }

    /// Carries out a call for a request when its turn has come.
    ///
    /// Dropped while it waits, it gives its turn to nobody.
    ///
    /// # Errors
    ///
    /// [`Refused::RateLimited`] when it was not begun, else its own as [`Error::Inner`].
    pub async fn call<Req, K, Fut, T, E>(&self, req: &Req, call: Fut) -> Result<T, Error<E>>
    where
        F: Fn(&Req) -> K,
        K: AsRef<[u8]>,
        Fut: Future<Output = Result<T, E>>,
    {
        gate::pass(self, req, call).await
    }
}

impl<F, K, Req> Gate<Req> for RateLimitByKey<F>
where
    F: Fn(&Req) -> K,
    K: AsRef<[u8]>,
{
    type Ticket = ();

    fn admit(&self, req: &Req) -> Result<Admitted<()>, Refused> {
        settle(self.buckets.take((self.key)(req).as_ref(), clock::now()), &self.observed)
    }
}

impl<F, T> Hears<(), T> for RateLimitByKey<F> {
    fn ended(&self, (): (), _: &T) {}
}

impl<S, F: Clone> Layer<S> for RateLimitByKey<F> {
    type Service = GateService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(self.clone(), inner)
    }
}

/// What a bucket has said.
fn settle(admission: Admission, observed: &Observed) -> Result<Admitted<()>, Refused> {
    match admission {
        Admission::Pass => Ok(Admitted::at_once(())),
        Admission::Wait(wait) => {
            observed.event(&Event::Waited { wait });
            Ok(Admitted::after(wait, ()))
        }
        Admission::Refuse { retry_after } => {
            Err(observed.refused(Refused::RateLimited { retry_after }))
        }
    }
}

#[cfg(test)]
mod tests;
