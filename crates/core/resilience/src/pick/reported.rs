//! Round robin by what endpoints report of their load (gRFC A58).
//!
//! Weights are looked at once per period, so that picks in between share exactly. An endpoint
//! without a weight of its own gets the mean of the others; with fewer than two weights, all are
//! alike. No weight is more than ten times above or below the mean.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Candidates;
use super::round_robin::RoundRobin;
use super::view::View;
use crate::rng::Rng;
use crate::settings::LoadReportSettings;

/// Least time between two looks.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// Bounds of a weight, as a share of the mean: one odd report cannot draw or shut off all traffic.
const RATIO_RANGE: std::ops::RangeInclusive<f64> = 0.1..=10.0;

/// Round robin with the weights of the last look.
pub(super) struct Reported {
    period: Duration,
    round_robin: RoundRobin,
    /// Taken out for each pick and put back, so that no borrow can fail.
    look: Cell<Look>,
}

#[derive(Default)]
struct Look {
    at: Option<Instant>,
    /// For each candidate its weight as a share of the mean.
    ratios: Vec<f64>,
}

// === impl Reported ===

impl Reported {
    pub(super) fn new(settings: LoadReportSettings) -> Self {
        Self {
            period: settings.update_period.max(PERIOD_MIN),
            round_robin: RoundRobin::default(),
            look: Cell::default(),
        }
    }

    pub(super) fn pick<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        now: Instant,
        rng: &Rng,
    ) -> Option<usize> {
        let mut look = self.look.take();
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < self.period;
        if !look.at.is_some_and(is_fresh) || look.ratios.len() != view.len() {
            look.take(view, now);
        }
        let weigh = |index: usize| Some(view.any_weight(index)? * look.ratios[index]);
        let picked = self.round_robin.pick(view, weigh, rng);
        self.look.set(look);
        picked
    }
}

impl std::fmt::Debug for Reported {
    /// Without the weights, which a cell does not show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reported").field("period", &self.period).finish_non_exhaustive()
    }
}

// === impl Look ===

impl Look {
    fn take<C: Candidates + ?Sized>(&mut self, view: &View<'_, C>, now: Instant) {
        self.at = Some(now);
        self.ratios.clear();
        let weight = |index| view.reported_weight(index).filter(|weight| *weight > 0.0);
        let (mut sum, mut count) = (0.0, 0u32);
        for weight in (0..view.len()).filter_map(weight) {
            (sum, count) = (sum + weight, count + 1);
        }
        let mean = sum / f64::from(count);
        // A single one is the mean, and all are alike; without any the mean is not a number.
        let ratio = |index| match weight(index) {
            Some(weight) if mean.is_finite() => {
                (weight / mean).clamp(*RATIO_RANGE.start(), *RATIO_RANGE.end())
            }
            _ => 1.0,
        };
        self.ratios.extend((0..view.len()).map(ratio));
    }
}

#[cfg(test)]
mod tests;
