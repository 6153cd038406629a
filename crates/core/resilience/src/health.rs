//! Active health: when to probe an endpoint, and what the answers mean.

use std::time::{Duration, Instant};

use crate::jitter;
use crate::rng::Rng;
use crate::settings::ActiveSettings;

/// Periods vary by this share either way, so that probes of many endpoints do not keep step.
const JITTER_RATIO: f64 = 0.1;

/// First probes are spread over at most this time.
const FIRST_PROBE_SPREAD: Duration = Duration::from_secs(1);

/// The health of one endpoint as its probes show it.
///
/// The first answer decides alone; then it takes as many in a row as the thresholds say. The caller
/// probes when [`due`](Self::due), one probe at a time, and [`record`](Self::record)s its answer, a
/// timeout included.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::{health::{Active, Change}, rng::Rng, settings::ActiveSettings};
///
/// let settings = ActiveSettings {
///     interval: Duration::from_secs(30),
///     unhealthy_interval: Duration::from_secs(5),
///     unhealthy_threshold: 1,
///     healthy_threshold: 2,
/// };
/// let (now, rng) = (Instant::now(), Rng::new(1));
/// let mut health = Active::new(&settings, true, now, &rng);
/// assert_eq!(health.record(&settings, now, false, &rng), Some(Change::Unhealthy));
/// assert_eq!(health.record(&settings, now, true, &rng), None);
/// assert_eq!(health.record(&settings, now, true, &rng), Some(Change::Healthy));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    healthy: bool,
    /// Answers in a row that contradict `healthy`.
    against: u32,
    probed: bool,
    due: Instant,
}

/// The health of an endpoint changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It may be used again.
    Healthy,
    /// It should not be used.
    Unhealthy,
}

// === impl Active ===

impl Active {
    /// An endpoint that was not probed yet. Its first probe is due within a second (within an
    /// interval, if that is shorter), and until then it counts as `healthy` or not.
    #[must_use]
    pub fn new(settings: &ActiveSettings, healthy: bool, now: Instant, rng: &Rng) -> Self {
        let spread = settings.interval.min(FIRST_PROBE_SPREAD);
        Self { healthy, against: 0, probed: false, due: now + jitter::full(spread, rng) }
    }

    /// When the next probe should begin.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Whether the endpoint may be used.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Whether any probe was answered.
    #[must_use]
    pub const fn is_probed(&self) -> bool {
        self.probed
    }

    /// Takes in the result of a probe and plans the next one, counted from `now`; the change of
    /// health that follows, if any.
    pub fn record(
        &mut self,
        settings: &ActiveSettings,
        now: Instant,
        passed: bool,
        rng: &Rng,
    ) -> Option<Change> {
        let threshold = match (self.probed, self.healthy) {
            (false, _) => 1,
            (true, true) => settings.unhealthy_threshold,
            (true, false) => settings.healthy_threshold,
        };
        self.probed = true;
        self.against = if passed == self.healthy { 0 } else { self.against.saturating_add(1) };
        let changed = self.against >= threshold.max(1);
        if changed {
            self.healthy = passed;
            self.against = 0;
        }
        let period = if self.healthy { settings.interval } else { settings.unhealthy_interval };
        let period = jitter::around(period, JITTER_RATIO, rng);
        // A period that the clock cannot express is as good as a day: it is asked again then.
        self.due = now.checked_add(period).unwrap_or(now + Duration::from_secs(86_400));
        changed.then_some(if passed { Change::Healthy } else { Change::Unhealthy })
    }
}

#[cfg(test)]
mod tests;
