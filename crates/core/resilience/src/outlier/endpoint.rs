//! What passive health knows of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Ejection, Trigger, Verdict};
use crate::clock::{Epoch, nanos};
use crate::settings::OutlierSettings;

/// Slots of the windows in which failures are counted. A failure counts for at least nine tenths of
/// the window, and never longer than it.
const SLOTS: usize = 10;

/// Not on probation.
const FREE: u64 = 0;

/// On probation, and its request was not sent yet.
const AWAITED: u64 = 1;

/// When nothing is heard of the request of a probation for so long (its client went away), another
/// one may be sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one endpoint. Made once per endpoint and kept across changes of its set.
#[derive(Debug)]
pub struct EndpointHealth {
    epoch: Epoch,
    usable_at: AtomicU64,
    /// [`FREE`], [`AWAITED`], or until when the request of its probation is under way.
    probation: AtomicU64,
    /// Whether a success would change anything, so that it mostly costs one load.
    watched: AtomicBool,
    history: Mutex<History>,
}

/// The history of an endpoint, and what follows from it, while nobody else may change them.
pub(super) struct Locked<'a> {
    pub(super) history: MutexGuard<'a, History>,
    pub(super) present: u64,
    pub(super) on_probation: bool,
    endpoint: &'a EndpointHealth,
}

/// What is counted of an endpoint.
#[derive(Debug, Default)]
pub(super) struct History {
    consecutive: u32,
    consecutive_gateway: u32,
    consecutive_local: u32,
    in_window: Tally,
    rate: Tally,
    ejections: u32,
    /// When the last ejection ended or will end.
    returned_at: u64,
}

/// Failures and requests of a window.
#[derive(Debug, Default)]
struct Tally {
    /// The turn of the slot that is filled at present.
    turn: u64,
    slots: [Counts; SLOTS],
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    failed: u32,
    all: u32,
}

// === impl EndpointHealth ===

impl EndpointHealth {
    /// Usable, nothing known.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            usable_at: AtomicU64::new(0),
            probation: AtomicU64::new(FREE),
            watched: AtomicBool::new(false),
            history: Mutex::default(),
        }
    }

    /// Whether it is not set aside, and no request of a probation is under way.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        let now = self.epoch.nanos(now);
        let probed_until = self.probation.load(Ordering::Relaxed);
        self.usable_at.load(Ordering::Relaxed) <= now && probed_until <= now.max(AWAITED)
    }

    /// To be called before a request is sent to it: `false` when it is on probation and another
    /// request is the one that decides, so that this one had better go elsewhere.
    ///
    /// For an endpoint that is set aside, and was picked for want of others, it is `true`.
    #[must_use = "the request should go elsewhere if this is false"]
    pub fn begin(&self, now: Instant) -> bool {
        let seen = self.probation.load(Ordering::Relaxed);
        if seen == FREE {
            return true;
        }
        let now = self.epoch.nanos(now);
        if self.usable_at.load(Ordering::Relaxed) > now {
            return true;
        }
        if seen > now.max(AWAITED) {
            return false;
        }
        let until = now.saturating_add(nanos(PATIENCE)).max(AWAITED + 1);
        let order = Ordering::Relaxed;
        self.probation.compare_exchange(seen, until, order, order).is_ok()
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(super) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    pub(super) fn lock(&self, now: Instant) -> Locked<'_> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.epoch.nanos(now);
        let on_probation = self.probation.load(Ordering::Relaxed) != FREE;
        Locked { history, present, on_probation, endpoint: self }
    }
}

// === impl Locked ===

impl Locked<'_> {
    pub(super) fn is_ejected(&self) -> bool {
        self.endpoint.usable_at.load(Ordering::Relaxed) > self.present
    }

    /// Its probation is over, and all is forgotten.
    pub(super) fn readmit(&mut self) {
        *self.history = History::default();
        self.endpoint.set_watched(false);
        self.endpoint.probation.store(FREE, Ordering::Relaxed);
    }

    /// It is set aside, and comes back on probation or not.
    pub(super) fn eject(&mut self, ejection: &Ejection, probation: bool) {
        let returned_at = self.present.saturating_add(nanos(ejection.duration));
        *self.history = History { ejections: ejection.count, returned_at, ..History::default() };
        let state = if probation { AWAITED } else { FREE };
        self.endpoint.set_watched(probation);
        self.endpoint.usable_at.store(returned_at, Ordering::Relaxed);
        self.endpoint.probation.store(state, Ordering::Relaxed);
    }
}

// === impl History ===

impl History {
    /// Counts what was seen; the trigger that it pulls, if any.
    pub(super) fn count(
        &mut self,
        seen: &Verdict,
        present: u64,
        settings: &OutlierSettings,
    ) -> Option<Trigger> {
        if let Some(succeeded) = seen.answered {
            let gateway = !succeeded && seen.gateway;
            self.consecutive = run(self.consecutive, succeeded);
            self.consecutive_gateway = run(self.consecutive_gateway, !gateway);
        }
        if let Some(succeeded) = seen.connected {
            self.consecutive_local = run(self.consecutive_local, succeeded);
        }
        let reached = |run: u32, max: Option<u32>| max.is_some_and(|max| run >= max.max(1));
        let failed = seen.answered == Some(false);
        let in_window = settings.in_window.filter(|_| failed).is_some_and(|trigger| {
            let counts = self.in_window.add(present, trigger.window, true);
            counts.failed >= trigger.failures.max(1)
        });
        let rated = settings.success_rate.filter(|_| seen.answered.is_some());
        let low_rate = rated.is_some_and(|trigger| {
            let Counts { failed, all } = self.rate.add(present, trigger.window, !seen.rated);
            let successes = f64::from(all - failed);
            all >= trigger.requests_min && successes < f64::from(all) * trigger.ratio_min
        });
        let disconnected = seen.connected == Some(false);
        let fired = [
            (failed && reached(self.consecutive, settings.consecutive), Trigger::Consecutive),
            (
                failed && reached(self.consecutive_gateway, settings.consecutive_gateway),
                Trigger::ConsecutiveGateway,
            ),
            (
                disconnected && reached(self.consecutive_local, settings.consecutive_local),
                Trigger::ConsecutiveLocal,
            ),
            (in_window, Trigger::InWindow),
            (low_rate, Trigger::SuccessRate),
        ];
        fired.into_iter().find(|(fired, _)| *fired).map(|(_, trigger)| trigger)
    }

    /// Whether a success would end a run of failures.
    pub(super) fn is_failing(&self) -> bool {
        self.consecutive > 0 || self.consecutive_gateway > 0 || self.consecutive_local > 0
    }

    /// Ejections in a row, less those made good by time without one.
    pub(super) fn ejections_at(&self, now: u64, forgiven_after: Duration) -> u32 {
        let elapsed = now.saturating_sub(self.returned_at);
        let good = elapsed.checked_div(nanos(forgiven_after)).unwrap_or(0);
        self.ejections.saturating_sub(u32::try_from(good).unwrap_or(u32::MAX))
    }
}

// === impl Tally ===

impl Tally {
    /// Counts a request; all counts of the window with it.
    fn add(&mut self, present: u64, window: Duration, failed: bool) -> Counts {
        let turn = present / (nanos(window) / SLOTS as u64).max(1);
        // A turn that is over already (threads read the clock in turn) counts as the present one.
        let passed = turn.saturating_sub(self.turn).min(SLOTS as u64);
        self.turn = self.turn.max(turn);
        for back in 0..passed {
            self.slots[slot(self.turn - back)] = Counts::default();
        }
        let present = &mut self.slots[slot(self.turn)];
        present.all = present.all.saturating_add(1);
        present.failed = present.failed.saturating_add(u32::from(failed));
        self.slots.iter().fold(Counts::default(), |sum, counts| Counts {
            failed: sum.failed.saturating_add(counts.failed),
            all: sum.all.saturating_add(counts.all),
        })
    }
}

fn slot(turn: u64) -> usize {
    (turn % SLOTS as u64) as usize
}

/// The length of a run of failures after another outcome.
fn run(length: u32, succeeded: bool) -> u32 {
    if succeeded { 0 } else { length.saturating_add(1) }
}
