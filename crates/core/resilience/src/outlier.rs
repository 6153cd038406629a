//! Passive health: endpoints that fail real requests are set aside for a while.
//!
//! What counts as a failure, and how many of them eject, differs by dialect: consecutive ones
//! (Envoy, Istio, Linkerd), those within a window (Traefik), or a low share of successes (Linkerd's
//! `unified`). All are [triggers](crate::settings::OutlierSettings) of one mechanism. Each further
//! ejection lasts longer, up to a bound, and good behaviour takes that back. An endpoint returns
//! with its full share, or on probation: then one request is sent, and its outcome decides.
//!
//! A gate over the whole set bounds how many may be out at one time, since load that the rest
//! cannot carry is worse than some errors.
//!
//! What is out is shared by all workers of a process, so each does not have to fail for itself.
//! Asking whether an endpoint is usable is two relaxed loads, and so is a success that changes
//! nothing. A mutex per endpoint is held to count a failure (with a success rate, every answer),
//! and one per set to eject: short, and calling nothing outside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::settings::{EjectionSettings, Growth, OutlierSettings, StatusSet};
use crate::{grpc, jitter};

mod endpoint;

pub use endpoint::EndpointHealth;
use endpoint::History;

/// The gate over one set of endpoints.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::outlier::{EndpointHealth, Outlier, Signal};
/// use weft_resilience::settings::OutlierSettings;
///
/// let now = Instant::now();
/// let settings = OutlierSettings { consecutive: Some(2), ..OutlierSettings::ISTIO };
/// let outlier = Outlier::new(settings, 3);
/// let endpoint = EndpointHealth::new(now);
/// assert!(outlier.record(&endpoint, now, Signal::ConnectionFailure).is_none());
/// assert!(outlier.record(&endpoint, now, Signal::Status(503)).is_some());
/// assert!(!endpoint.is_usable(now));
/// assert!(endpoint.is_usable(now + Duration::from_secs(30)));
/// ```
#[derive(Debug)]
pub struct Outlier {
    settings: OutlierSettings,
    endpoints: AtomicUsize,
    /// Ends of the ejections under way.
    ejected_until: Mutex<Vec<Instant>>,
}

/// What a request showed about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// All went well, and nothing more will be heard of it.
    Success,
    /// It answered in a way that the caller calls a failure, whatever its status.
    Failure,
    /// It answered with this HTTP status.
    Status(u16),
    /// A connection to it was made; its answer is still to come.
    Connected,
    /// It could not be reached, broke off or did not answer in time.
    ConnectionFailure,
}

/// An endpoint was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// For so long.
    pub duration: Duration,
    /// Ejections in a row, this one included.
    pub count: u32,
    /// Why.
    pub trigger: Trigger,
}

/// Why an endpoint was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Failures in a row.
    Consecutive,
    /// Gateway errors in a row.
    ConsecutiveGateway,
    /// Failed connections in a row.
    ConsecutiveLocal,
    /// Failures within a window.
    InWindow,
    /// A low share of successes.
    SuccessRate,
    /// The request of its probation failed.
    Probe,
}

/// A signal in the terms of the settings.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    /// Whether the answer succeeded; `None` when the signal does not tell.
    answered: Option<bool>,
    /// Whether a failure was a gateway's.
    gateway: bool,
    /// Whether the connection succeeded, where that is counted apart.
    connected: Option<bool>,
    /// Whether it counts as a success for the success rate.
    rated: bool,
}

// === impl Outlier ===

impl Outlier {
    /// A gate over a set of so many endpoints.
    #[must_use]
    pub fn new(settings: OutlierSettings, endpoints: usize) -> Self {
        let endpoints = AtomicUsize::new(endpoints);
        Self { settings, endpoints, ejected_until: Mutex::default() }
    }

    /// The set has changed its size. Ejections under way stay.
    pub fn set_endpoints(&self, endpoints: usize) {
        self.endpoints.store(endpoints, Ordering::Relaxed);
    }

    /// Counts what a request showed; the ejection that follows from it, if any.
    pub fn record(
        &self,
        endpoint: &EndpointHealth,
        now: Instant,
        signal: Signal,
    ) -> Option<Ejection> {
        let verdict = Verdict::new(signal, &self.settings);
        let counted = !verdict.is_fine() || self.settings.success_rate.is_some();
        if !counted && !endpoint.is_watched() {
            return None;
        }
        let mut health = endpoint.lock(now);
        if health.is_ejected() {
            // Of a request begun before the ejection.
            return None;
        }
        let trigger = if health.on_probation {
            match verdict.outcome() {
                None => return None,
                Some(true) => {
                    health.readmit();
                    return None;
                }
                Some(false) => Trigger::Probe,
            }
        } else {
            let history = &mut health.history;
            let fired = history.count(&verdict, health.present, &self.settings);
            endpoint.set_watched(history.is_failing());
            fired?
        };
        let ejection = self.ejection(&health.history, health.present, trigger);
        // Refused by the gate, the failures still count: the next one asks again.
        self.pass_gate(now, ejection.duration).then(|| {
            health.eject(&ejection, self.settings.ejection.probation);
            ejection
        })
    }

    /// Endpoints that are out at present.
    #[must_use]
    pub fn ejected(&self, now: Instant) -> usize {
        let ejected = self.ejected_until.lock().unwrap_or_else(PoisonError::into_inner);
        ejected.iter().filter(|until| **until > now).count()
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &OutlierSettings {
        &self.settings
    }

    fn ejection(&self, history: &History, present: u64, trigger: Trigger) -> Ejection {
        let EjectionSettings { base, max, growth, jitter_ratio, forgiven_after, .. } =
            self.settings.ejection;
        let before = history.ejections_at(present, forgiven_after);
        let grown = match growth {
            Growth::Linear => base.saturating_mul(before.saturating_add(1)),
            Growth::Double => base.saturating_mul(2u32.saturating_pow(before)),
        };
        let chance = jitter::chance_of(present, u64::from(before));
        let jitter = jitter::scale(grown, jitter_ratio * chance);
        let duration = grown.saturating_add(jitter).min(max);
        Ejection { duration, count: before.saturating_add(1), trigger }
    }

    /// Takes a place among those that may be out, if there is one.
    fn pass_gate(&self, now: Instant, duration: Duration) -> bool {
        let mut ejected = self.ejected_until.lock().unwrap_or_else(PoisonError::into_inner);
        ejected.retain(|until| *until > now);
        let endpoints = self.endpoints.load(Ordering::Relaxed);
        let passes = ejected.len() < ejected_max(endpoints, self.settings.ejected_ratio_max);
        if passes {
            // What the clock cannot express is not needed: nothing lives that long.
            ejected.extend(now.checked_add(duration));
        }
        passes
    }
}

// === impl Signal ===

impl Signal {
    /// A gRPC status code, as the [HTTP status](grpc::http_status) that Envoy takes it for.
    #[must_use]
    pub const fn grpc(code: u32) -> Self {
        Self::Status(grpc::http_status(code))
    }
}

// === impl Verdict ===

impl Verdict {
    fn new(signal: Signal, settings: &OutlierSettings) -> Self {
        let (answered, connected) = match signal {
            Signal::Success => (Some(true), Some(true)),
            Signal::Failure => (Some(false), Some(true)),
            Signal::Status(status) => (Some(!settings.errors.contains(status)), Some(true)),
            Signal::Connected => (None, Some(true)),
            Signal::ConnectionFailure if settings.split_local => (None, Some(false)),
            Signal::ConnectionFailure => (Some(false), Some(false)),
        };
        let gateway = match signal {
            Signal::Status(status) => StatusSet::GATEWAY_ERRORS.contains(status),
            Signal::ConnectionFailure => true,
            Signal::Success | Signal::Failure | Signal::Connected => false,
        };
        let softly = match (signal, &settings.success_rate) {
            (Signal::Status(status), Some(rate)) => rate.errors.contains(status),
            _ => false,
        };
        Self {
            answered,
            gateway,
            connected: connected.filter(|_| settings.split_local),
            rated: answered != Some(false) && !softly,
        }
    }

    /// Whether nothing failed.
    fn is_fine(&self) -> bool {
        self.answered != Some(false) && self.connected != Some(false)
    }

    /// What it says of an endpoint on probation.
    fn outcome(&self) -> Option<bool> {
        let answered = self.answered.map(|_| self.rated);
        answered.or(self.connected.filter(|connected| !connected))
    }
}

/// How many may be out at one time.
///
/// One at least where others remain: a tenth of three replicas means one, not none. The only
/// endpoint of a set stays in, unless the ratio says all.
fn ejected_max(endpoints: usize, ratio: f64) -> usize {
    if ratio.is_nan() || ratio <= 0.0 {
        return 0;
    }
    // The epsilon makes 29 % of 100 be 29, whatever the rounding of 0.29.
    let share = (endpoints as f64 * ratio.min(1.0) + 1e-9) as usize;
    share.max(usize::from(endpoints > 1))
}

#[cfg(test)]
mod tests;
