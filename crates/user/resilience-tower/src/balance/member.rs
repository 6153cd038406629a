//! One endpoint of a set, and a call to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use weft_resilience::inflight::{InFlight, Permit};
use weft_resilience::load::{LatencyEwma, PeakEwma};
use weft_resilience::outlier::{Ejection, EndpointHealth, Outlier};
use weft_resilience::settings::BiasSettings;

use crate::classify::{Class, Verdict};

/// What is known of an endpoint, for as long as its key is in the set or a call to it runs.
#[derive(Debug)]
pub(super) struct Known<K> {
    pub(super) key: K,
    /// Never given to another endpoint of the set.
    pub(super) id: u64,
    pub(super) health: EndpointHealth,
    calls: InFlight,
    /// Held for a few multiplications.
    latency: Mutex<LatencyEwma>,
}

/// A call to an endpoint. Dropped, it no longer counts as one of the endpoint's.
#[derive(Debug)]
pub struct Lease<K> {
    known: Arc<Known<K>>,
    begun: Instant,
    _call: Option<Permit>,
}

// === impl Known ===

impl<K> Known<K> {
    pub(super) fn new(key: K, id: u64, now: Instant) -> Self {
        Self {
            key,
            id,
            health: EndpointHealth::new(now),
            calls: InFlight::new(u32::MAX),
            latency: Mutex::new(LatencyEwma::new(PeakEwma::DECAY, now)),
        }
    }

    /// Calls under way.
    pub(super) fn calls(&self) -> u32 {
        self.calls.count()
    }

    /// What one more call costs, by its latency and calls under way.
    pub(super) fn cost(&self, now: Instant) -> f64 {
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.cost(now, self.calls())
    }
}

// === impl Lease ===

impl<K> Lease<K> {
    pub(super) fn new(known: Arc<Known<K>>, begun: Instant) -> Self {
        let call = known.calls.acquire().ok();
        Self { known, begun, _call: call }
    }

    pub(super) fn key(&self) -> &K {
        &self.known.key
    }

    /// The call has ended; the ejection that follows, if any.
    pub(super) fn ended(
        &self,
        now: Instant,
        verdict: &Verdict,
        outlier: &Outlier,
        bias: &BiasSettings,
    ) -> Option<Ejection> {
        let signal = verdict.signal()?;
        let took = now.saturating_duration_since(self.begun);
        let latency = self.known.latency.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict.class {
            Class::Success => latency.observe(now, took),
            _ => latency.penalize(now, took, verdict.retry_after, bias),
        }
        drop(latency);
        outlier.record(&self.known.health, now, signal)
    }
}
