//! A hash ring: each candidate owns points on it, and a key goes to the owner of the next point.
//!
//! When a candidate comes or goes, about its own share of the keys moves, from or to it. Points are
//! placed as Envoy does it, so that the lightest has a whole number of them: ketama's consistent
//! hashing with weights.

use std::cell::Cell;

use super::Candidates;
use super::table::{around, walk};
use super::view::View;
use crate::hash::combine;
use crate::settings::RingHashSettings;

/// The ring of one list.
pub(super) struct Ring {
    settings: RingHashSettings,
    /// Taken out for each pick and put back, so that no borrow can fail.
    points: Cell<Points>,
}

#[derive(Default)]
struct Points {
    version: Option<(u64, usize)>,
    /// Places and their owners, ascending.
    sorted: Vec<(u64, u32)>,
}

// === impl Ring ===

impl Ring {
    pub(super) fn new(settings: RingHashSettings) -> Self {
        Self { settings, points: Cell::default() }
    }

    pub(super) fn pick<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        key: u64,
    ) -> Option<usize> {
        let mut points = self.points.take();
        let version = Some((view.version(), view.len()));
        if points.version != version {
            points.place(view, &self.settings);
            points.version = version;
        }
        let sorted = &points.sorted;
        let place = sorted.partition_point(|(place, _)| *place < key);
        let owners = around(sorted.len(), place).map(|place| sorted[place].1);
        let picked = walk(view, owners, self.settings.load_max_percent);
        self.points.set(points);
        picked
    }
}

impl std::fmt::Debug for Ring {
    /// Without the points, which a cell does not show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("settings", &self.settings).finish_non_exhaustive()
    }
}

// === impl Points ===

impl Points {
    /// Gives each candidate points in proportion to its weight.
    fn place<C: Candidates + ?Sized>(&mut self, view: &View<'_, C>, settings: &RingHashSettings) {
        self.sorted.clear();
        let weights = || (0..view.len()).filter_map(|index| view.base_weight(index));
        let total: f64 = weights().sum();
        let least = weights().fold(f64::INFINITY, f64::min) / total;
        if !least.is_finite() {
            return;
        }
        let size_max = f64::from(settings.size_max.clamp(1, RingHashSettings::SIZE_MAX));
        let size_min = f64::from(settings.size_min.max(1)).min(size_max);
        // The smallest ring, not below the minimum, on which the lightest has whole points.
        let size = ((least * size_min).ceil() / least).min(size_max);
        let (mut owed, mut placed) = (0.0, 0u64);
        for index in 0..view.len() {
            let Some(weight) = view.base_weight(index) else { continue };
            owed += size * weight / total;
            let mut point = 0;
            // A ring at its largest may have no point to give; each has one all the same, or it
            // would have no key at all.
            while point == 0 || (placed as f64) < (owed - 1e-6).round() {
                self.sorted.push((combine(view.hash(index), point), index as u32));
                (point, placed) = (point + 1, placed + 1);
            }
        }
        self.sorted.sort_unstable();
    }
}

#[cfg(test)]
mod tests;
