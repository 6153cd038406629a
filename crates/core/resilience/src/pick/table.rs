//! What tables of owners have in common: walking on from one that cannot be taken.

use super::Candidates;
use super::view::View;

/// What bounds the load of each, so that a popular key does not drown its endpoint.
struct Bound {
    /// Requests in flight that each may have per unit of weight, this one included.
    per_weight: f64,
}

/// The first owner that may be picked, in the order of the table from the place of a key.
///
/// With a bound, the first that has not reached it. The bounds of all sum up to more than what is
/// in flight, so there is one; were there none, it would be the first one of all.
pub(super) fn walk<C: Candidates + ?Sized>(
    view: &View<'_, C>,
    owners: impl Iterator<Item = u32>,
    load_max_percent: Option<u32>,
) -> Option<usize> {
    if view.is_exhausted() {
        return None;
    }
    let bound = load_max_percent.map(|percent| Bound::new(view, percent));
    let mut first = None;
    for owner in owners {
        let owner = owner as usize;
        let Some(weight) = view.weight(owner) else { continue };
        match &bound {
            Some(bound) if !bound.admits(view.load(owner), weight) => {
                first.get_or_insert(owner);
            }
            _ => return Some(owner),
        }
    }
    first
}

/// The next place of a ring or table after `place`, and so on once around.
pub(super) fn around(len: usize, place: usize) -> impl Iterator<Item = usize> {
    (place..len).chain(0..place)
}

// === impl Bound ===

impl Bound {
    fn new<C: Candidates + ?Sized>(view: &View<'_, C>, percent: u32) -> Self {
        let (mut load, mut weights) = (0.0, 0.0);
        for index in 0..view.len() {
            if let Some(weight) = view.weight(index) {
                load += view.load(index);
                weights += weight;
            }
        }
        Self { per_weight: (load + 1.0) / weights * f64::from(percent.max(100)) / 100.0 }
    }

    /// Whether one more stays within the bound, rounded up to whole requests.
    fn admits(&self, load: f64, weight: f64) -> bool {
        // The epsilon keeps 125 % of 8 at 10, whatever the rounding of the division.
        load + 1.0 <= (self.per_weight * weight - 1e-9).ceil()
    }
}
