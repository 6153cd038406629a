//! Passive health: endpoints that fail real requests are set aside for a while.
//!
//! Failures are counted per endpoint. Enough of them within the window eject the endpoint; each
//! further ejection lasts longer by the first one's length, up to a bound, and good behaviour for
//! as long as an ejection takes one back. A gate over the whole set bounds how many may be out at
//! one time, since load that the rest cannot carry is worse than some errors.
//!
//! What is out is shared by all workers of a process, so each does not have to fail for itself.
//! Asking whether an endpoint is usable is one relaxed load. A mutex per endpoint is held to count
//! a failure, and one per set to eject: both are rare, short and call nothing outside.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Epoch, nanos};
use crate::settings::OutlierSettings;

/// Slots of the window in which failures are counted. A failure counts for at least nine tenths of
/// the window, and never longer than it.
const SLOTS: usize = 10;

/// The gate over one set of endpoints.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::outlier::{EndpointHealth, Outlier, Signal};
/// use weft_resilience::settings::OutlierSettings;
///
/// let settings = OutlierSettings {
///     failures: 2,
///     window: Duration::from_secs(10),
///     ejection: Duration::from_secs(30),
///     ejection_max: Duration::from_secs(300),
///     ejected_ratio_max: 0.5,
///     on_server_error: true,
///     consecutive: false,
/// };
/// let now = Instant::now();
/// let outlier = Outlier::new(settings, 3);
/// let endpoint = EndpointHealth::new(now);
/// assert!(outlier.record(&endpoint, now, Signal::ConnectionFailure).is_none());
/// assert!(outlier.record(&endpoint, now, Signal::ServerError).is_some());
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

/// What is known of one endpoint. Made once per endpoint and kept across changes of its set.
#[derive(Debug)]
pub struct EndpointHealth {
    epoch: Epoch,
    usable_at: AtomicU64,
    /// Whether failures are counted, so that a success mostly costs one load.
    failing: AtomicBool,
    history: Mutex<History>,
}

/// What a request showed about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// It answered, and not with a server error.
    Success,
    /// It answered with a server error (5xx).
    ServerError,
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
}

#[derive(Debug, Default)]
struct History {
    tally: [(u64, u32); SLOTS],
    ejections: u32,
    /// When the last ejection ended or will end.
    returned_at: u64,
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
        let failed = match signal {
            Signal::Success => false,
            Signal::ServerError => self.settings.on_server_error,
            Signal::ConnectionFailure => true,
        };
        if !failed {
            if self.settings.consecutive && endpoint.failing.load(Ordering::Relaxed) {
                endpoint.forget_failures();
            }
            return None;
        }
        if !endpoint.is_usable(now) {
            // Of a request begun before the ejection.
            return None;
        }
        self.record_failure(endpoint, now)
    }

    /// Endpoints that are out at present.
    #[must_use]
    pub fn ejected(&self, now: Instant) -> usize {
        let ejected = self.ejected_until.lock().unwrap_or_else(PoisonError::into_inner);
        ejected.iter().filter(|until| **until > now).count()
    }

    fn record_failure(&self, endpoint: &EndpointHealth, now: Instant) -> Option<Ejection> {
        let (settings, present) = (&self.settings, endpoint.epoch.nanos(now));
        let width = (nanos(settings.window) / SLOTS as u64).max(1);
        let mut history = endpoint.history.lock().unwrap_or_else(PoisonError::into_inner);
        endpoint.failing.store(true, Ordering::Relaxed);
        if history.add_failure(present / width) < settings.failures.max(1) {
            return None;
        }
        let count = history.ejections_at(present, settings).saturating_add(1);
        let duration = settings.ejection.saturating_mul(count).min(settings.ejection_max);
        // Refused by the gate, the failures still count: the next one asks again.
        self.pass_gate(now, duration).then(|| {
            let returned_at = present.saturating_add(nanos(duration));
            *history = History { ejections: count, returned_at, ..History::default() };
            endpoint.failing.store(false, Ordering::Relaxed);
            endpoint.usable_at.store(returned_at, Ordering::Relaxed);
            Ejection { duration, count }
        })
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

// === impl EndpointHealth ===

impl EndpointHealth {
    /// Usable, nothing known.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            usable_at: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            history: Mutex::default(),
        }
    }

    /// Whether it is not set aside.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        self.usable_at.load(Ordering::Relaxed) <= self.epoch.nanos(now)
    }

    fn forget_failures(&self) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.tally = Default::default();
        self.failing.store(false, Ordering::Relaxed);
    }
}

// === impl History ===

impl History {
    /// Failures in the window, with this one.
    fn add_failure(&mut self, turn: u64) -> u32 {
        let slot = &mut self.tally[(turn % SLOTS as u64) as usize];
        *slot = (turn, if slot.0 == turn { slot.1.saturating_add(1) } else { 1 });
        let oldest = (turn + 1).saturating_sub(SLOTS as u64);
        let live = self.tally.iter().filter(|(held, _)| (oldest..=turn).contains(held));
        live.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Ejections in a row, less those made good by time without one.
    fn ejections_at(&self, now: u64, settings: &OutlierSettings) -> u32 {
        let good = now.saturating_sub(self.returned_at) / nanos(settings.ejection).max(1);
        self.ejections.saturating_sub(u32::try_from(good).unwrap_or(u32::MAX))
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
