//! Rates by who the client is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Admission, KeyedBuckets, TokenBucket};
use crate::settings::RateSettings;

/// A rate for all clients together, one for each client, and others for clients that are named:
/// Linkerd's `HTTPLocalRateLimitPolicy`.
///
/// A client is known by any name, such as the identity in its certificate; all without a name are
/// one. Clients that are named in one group share a bucket, in place of one each.
///
/// The rate for all is looked at first, as Linkerd does it: what one client has too much counts
/// there too.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::bucket::{ClientBuckets, Exceeded};
/// use weft_resilience::settings::RateSettings;
///
/// let period = Duration::from_secs(1);
/// let per_sec = |rate| RateSettings { average: rate, period, burst: rate };
/// let now = Instant::now();
/// let overrides = [(["batch.jobs"].as_slice(), per_sec(1))];
/// let buckets = ClientBuckets::new(Some(per_sec(100)), Some(per_sec(2)), overrides, now, [1, 2]);
///
/// assert_eq!(buckets.take(Some("web.shop"), now), Ok(()));
/// assert_eq!(buckets.take(Some("batch.jobs"), now), Ok(()));
/// assert!(matches!(buckets.take(Some("batch.jobs"), now), Err(Exceeded::Override { .. })));
/// assert_eq!(buckets.take(Some("web.shop"), now), Ok(()));
/// assert!(matches!(buckets.take(Some("web.shop"), now), Err(Exceeded::Client { .. })));
/// ```
#[derive(Debug)]
pub struct ClientBuckets {
    all: Option<TokenBucket>,
    each: Option<KeyedBuckets>,
    named: HashMap<Box<str>, Arc<TokenBucket>>,
}

/// Which rate was exceeded. Each says for how long the client had better wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// That of all clients together.
    Total {
        /// Until the next token.
        retry_after: Duration,
    },
    /// That of each client.
    Client {
        /// Until the next token.
        retry_after: Duration,
    },
    /// That of the group to which this client belongs.
    Override {
        /// Until the next token.
        retry_after: Duration,
    },
}

// === impl ClientBuckets ===

impl ClientBuckets {
    /// Full buckets. `overrides` are groups of clients, each with the rate of all of them together;
    /// of two for one client the first holds. `secret` keeps strangers from choosing names that
    /// collide.
    pub fn new<N: AsRef<str>>(
        all: Option<RateSettings>,
        each: Option<RateSettings>,
        overrides: impl IntoIterator<Item = (impl AsRef<[N]>, RateSettings)>,
        epoch: Instant,
        secret: [u64; 2],
    ) -> Self {
        let mut named = HashMap::new();
        for (clients, rate) in overrides {
            let shared = Arc::new(TokenBucket::new(rate, epoch));
            for client in clients.as_ref() {
                named.entry(client.as_ref().into()).or_insert_with(|| Arc::clone(&shared));
            }
        }
        Self {
            all: all.map(|rate| TokenBucket::new(rate, epoch)),
            each: each.map(|rate| KeyedBuckets::new(rate, epoch, secret)),
            named,
        }
    }

    /// Takes a token of all and one of the client. Nobody waits: what is not there at once is
    /// refused.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] when one is lacking.
    pub fn take(&self, client: Option<&str>, now: Instant) -> Result<(), Exceeded> {
        if let Some(retry_after) = self.all.as_ref().and_then(|all| lacking(all.try_take(now))) {
            return Err(Exceeded::Total { retry_after });
        }
        if let Some(bucket) = client.and_then(|client| self.named.get(client)) {
            let lacking = lacking(bucket.try_take(now));
            return lacking.map_or(Ok(()), |retry_after| Err(Exceeded::Override { retry_after }));
        }
        let Some(each) = &self.each else { return Ok(()) };
        let lacking = lacking(each.try_take(client.unwrap_or_default().as_bytes(), now));
        lacking.map_or(Ok(()), |retry_after| Err(Exceeded::Client { retry_after }))
    }
}

fn lacking(admission: Admission) -> Option<Duration> {
    match admission {
        Admission::Pass => None,
        Admission::Wait(retry_after) | Admission::Refuse { retry_after } => Some(retry_after),
    }
}

#[cfg(test)]
mod tests;
