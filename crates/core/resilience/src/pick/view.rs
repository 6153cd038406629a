//! The candidates as one pick may see them.

use super::Candidates;
use crate::hash::combine;

/// Weights outside are clamped: shares stay exact and sums finite.
const WEIGHT_RANGE: std::ops::RangeInclusive<f64> = 1e-6..=1e9;

/// All candidates, or some of them, as one pick may see them.
pub(super) struct View<'a, C: ?Sized> {
    pub(super) candidates: &'a C,
    /// The indexes of those that are seen; `None` sees all.
    pub(super) members: Option<&'a [u32]>,
    /// In the candidates' indexes.
    pub(super) tried: &'a [usize],
    /// Whether it matters no longer who is usable.
    pub(super) panicking: bool,
}

// === impl View ===

/// Indexes are the view's own, from 0 to its length.
impl<C: Candidates + ?Sized> View<'_, C> {
    pub(super) fn len(&self) -> usize {
        self.members.map_or_else(|| self.candidates.len(), <[u32]>::len)
    }

    /// The index among all candidates.
    pub(super) fn original(&self, index: usize) -> usize {
        self.members.map_or(index, |members| members[index] as usize)
    }

    /// Whether a candidate is usable and was not tried.
    pub(super) fn is_free(&self, index: usize) -> bool {
        let usable = self.panicking || self.candidates.usable(self.original(index));
        usable && !self.was_tried(index)
    }

    /// The weight of a candidate that may be picked.
    pub(super) fn weight(&self, index: usize) -> Option<f64> {
        if self.is_free(index) { self.any_weight(index) } else { None }
    }

    /// The weight of a candidate, pickable or not; `None` for zero.
    pub(super) fn any_weight(&self, index: usize) -> Option<f64> {
        clamped(self.candidates.weight(self.original(index)))
    }

    /// The same without slow start.
    pub(super) fn base_weight(&self, index: usize) -> Option<f64> {
        clamped(self.candidates.base_weight(self.original(index)))
    }

    pub(super) fn was_tried(&self, index: usize) -> bool {
        !self.tried.is_empty() && self.tried.contains(&self.original(index))
    }

    /// Whether none may be picked. Mostly the first one may.
    pub(super) fn is_exhausted(&self) -> bool {
        !(0..self.len()).any(|index| self.weight(index).is_some())
    }

    pub(super) fn load(&self, index: usize) -> f64 {
        self.candidates.load(self.original(index))
    }

    pub(super) fn hash(&self, index: usize) -> u64 {
        self.candidates.hash(self.original(index))
    }

    pub(super) fn reported_weight(&self, index: usize) -> Option<f64> {
        self.candidates.reported_weight(self.original(index))
    }

    /// A number that changes with all that tables are made of.
    pub(super) fn version(&self) -> u64 {
        let looked_at = || {
            (0..self.len()).fold(0, |version, index| {
                let weight = self.base_weight(index).unwrap_or(0.0).to_bits();
                combine(version, combine(self.hash(index), weight))
            })
        };
        self.candidates.version().unwrap_or_else(looked_at)
    }
}

fn clamped(weight: f64) -> Option<f64> {
    (weight > 0.0).then(|| weight.clamp(*WEIGHT_RANGE.start(), *WEIGHT_RANGE.end()))
}
