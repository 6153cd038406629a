//! What an endpoint reports of its own load (ORCA).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::clock::{Epoch, nanos};
use crate::settings::LoadReportSettings;

/// No report has come since the last gap.
const NEVER: u64 = u64::MAX;

/// A report of an endpoint, as the fields of ORCA's `OrcaLoadReport` (xDS) have it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LoadReport {
    /// `rps_fractional`.
    pub requests_per_sec: f64,
    /// `eps`.
    pub errors_per_sec: f64,
    /// `application_utilization`: 1 is full, more is too much.
    pub application_utilization: f64,
    /// `cpu_utilization`, which counts where the application's is not reported.
    pub cpu_utilization: f64,
}

/// The weight of an endpoint by its reports: the requests that it served per share of itself that
/// they took (gRFC A58).
///
/// Shared by threads; they may see parts of two reports that come at one moment.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::load::{LoadReport, ReportedLoad};
/// use weft_resilience::settings::LoadReportSettings;
///
/// let (settings, now) = (LoadReportSettings::DEFAULT, Instant::now());
/// let load = ReportedLoad::new(now);
/// let report =
///     LoadReport { requests_per_sec: 90.0, cpu_utilization: 0.5, ..LoadReport::default() };
/// load.record(now, &report, &settings);
/// assert_eq!(load.weight(now, &settings), None); // one report is not enough
/// let later = now + Duration::from_secs(10);
/// load.record(later, &report, &settings);
/// assert_eq!(load.weight(later, &settings), Some(180.0));
/// ```
#[derive(Debug)]
pub struct ReportedLoad {
    epoch: Epoch,
    /// When the first report since the last gap came.
    since: AtomicU64,
    updated_at: AtomicU64,
    weight: AtomicU64,
}

// === impl LoadReport ===

impl LoadReport {
    /// Requests per second that it could serve by itself; `None` when it does not say.
    #[must_use]
    pub fn weight(&self, settings: &LoadReportSettings) -> Option<f64> {
        let application = self.application_utilization;
        let utilization = if application > 0.0 { application } else { self.cpu_utilization };
        let is_known = self.requests_per_sec > 0.0 && utilization > 0.0;
        let errors = (self.errors_per_sec / self.requests_per_sec).max(0.0);
        let penalty = errors * f64::from(settings.error_penalty_percent) / 100.0;
        let weight = self.requests_per_sec / (utilization + penalty);
        (is_known && weight.is_finite() && weight > 0.0).then_some(weight)
    }
}

// === impl ReportedLoad ===

impl ReportedLoad {
    /// Nothing reported yet.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            since: AtomicU64::new(NEVER),
            updated_at: AtomicU64::new(0),
            weight: AtomicU64::new(0),
        }
    }

    /// Takes in a report; one that says nothing changes nothing.
    pub fn record(&self, now: Instant, report: &LoadReport, settings: &LoadReportSettings) {
        let Some(weight) = report.weight(settings) else { return };
        let now_nanos = self.epoch.nanos(now);
        if self.is_expired(now_nanos, settings) {
            self.since.store(now_nanos, Ordering::Relaxed);
        }
        self.weight.store(weight.to_bits(), Ordering::Relaxed);
        self.updated_at.store(now_nanos, Ordering::Relaxed);
    }

    /// The weight, for [`Candidates::reported_weight`](crate::pick::Candidates::reported_weight);
    /// `None` while reports have come for less than the blackout, and when none has come for the
    /// expiration.
    #[must_use]
    pub fn weight(&self, now: Instant, settings: &LoadReportSettings) -> Option<f64> {
        let now = self.epoch.nanos(now);
        let age = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let counts = !self.is_expired(now, settings) && age >= nanos(settings.blackout);
        counts.then(|| f64::from_bits(self.weight.load(Ordering::Relaxed)))
    }

    /// Forgets all: to be called when the endpoint was away.
    pub fn clear(&self) {
        self.since.store(NEVER, Ordering::Relaxed);
    }

    fn is_expired(&self, now: u64, settings: &LoadReportSettings) -> bool {
        let age = now.saturating_sub(self.updated_at.load(Ordering::Relaxed));
        self.since.load(Ordering::Relaxed) == NEVER || age >= nanos(settings.expiration)
    }
}

#[cfg(test)]
mod tests;
