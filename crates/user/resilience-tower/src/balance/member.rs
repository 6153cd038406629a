//! One endpoint of a set, and a call to it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use weft_resilience::inflight::{InFlight, Permit};
use weft_resilience::load::{LatencyEwma, LoadReport, PeakEwma, ReportedLoad};
use weft_resilience::outlier::{EndpointHealth, Outlier};
use weft_resilience::settings::{BiasSettings, LoadReportSettings};

use super::BalanceSettings;
use crate::classify::{Class, Verdict};
use crate::observe::{Event, Observed};

/// What is known of an endpoint, for as long as its key is in the set or a call to it runs.
#[derive(Debug)]
pub(super) struct Known<K> {
    pub(super) key: K,
    /// Never given to another endpoint of the set.
    pub(super) id: u64,
    pub(super) health: EndpointHealth,
    pub(super) reported: ReportedLoad,
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

/// What follows for an endpoint from how its calls end.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) outlier: Outlier,
    pub(super) bias: BiasSettings,
    /// Whether reports of load matter, and how.
    pub(super) reports: Option<LoadReportSettings>,
}

// === impl Known ===

impl<K> Known<K> {
    pub(super) fn new(key: K, id: u64, now: Instant) -> Self {
        Self {
            key,
            id,
            health: EndpointHealth::new(now),
            reported: ReportedLoad::new(now),
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

    pub(super) fn known(&self) -> &Known<K> {
        &self.known
    }
}

// === impl Judge ===

impl Judge {
    pub(super) fn new(settings: &BalanceSettings) -> Self {
        Self {
            outlier: Outlier::new(settings.outlier, 0),
            bias: settings.bias,
            reports: settings.reports(),
        }
    }

    /// The endpoint has answered so, or did not.
    pub(super) fn answered<K>(&self, now: Instant, lease: &Lease<K>, verdict: &Verdict) {
        let took = now.saturating_duration_since(lease.begun);
        let latency = lease.known.latency.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict.class {
            Class::Refused => {}
            Class::Success => latency.observe(now, took),
            Class::Failure | Class::Overload | Class::Unreachable => {
                latency.penalize(now, took, verdict.retry_after, &self.bias);
            }
        }
    }

    /// That is how the call has ended.
    pub(super) fn ended<K: fmt::Debug>(
        &self,
        now: Instant,
        lease: &Lease<K>,
        verdict: &Verdict,
        observed: &Observed,
    ) {
        let known = &lease.known;
        let Some(signal) = verdict.signal() else { return };
        let Some(ejection) = self.outlier.record(&known.health, now, signal) else { return };
        // What it said of its load is old when it comes back.
        known.reported.clear();
        observed.event(&Event::Ejected {
            endpoint: &known.key,
            duration: ejection.duration,
            count: ejection.count,
        });
    }

    /// The endpoint says how busy it is; `report` is only asked for where that matters.
    pub(super) fn reported<K>(
        &self,
        now: Instant,
        known: &Known<K>,
        report: impl FnOnce() -> Option<LoadReport>,
    ) {
        if let Some(settings) = &self.reports
            && let Some(report) = report()
        {
            known.reported.record(now, &report, settings);
        }
    }
}
