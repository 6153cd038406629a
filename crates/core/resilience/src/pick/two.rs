//! The better of two chosen at random.
//!
//! Comparing two is nearly as good as comparing all, and avoids the herd that follows one best
//! endpoint (Mitzenmacher, "The power of two choices in randomized load balancing", 1996).

use std::cell::Cell;

use super::Candidates;
use super::view::View;
use crate::rng::Rng;

/// Up to so many candidates, looking at all is as quick as drawing.
const SCANNED_MAX: usize = 16;

/// Draws that may fail (unusable, tried, or too light) before all candidates are looked at.
const DRAWS_MAX: usize = 8;

/// Chooses two by weight and compares them.
#[derive(Debug, Default)]
pub(super) struct Two {
    /// The highest weight seen; 0 before the first pick.
    weight_max: Cell<f64>,
}

/// A candidate with its weight.
#[derive(Clone, Copy)]
struct Drawn {
    index: usize,
    weight: f64,
}

// === impl Two ===

impl Two {
    /// The one with fewer requests in flight for its weight; of equals the first drawn, which keeps
    /// the shares of idle endpoints by weight.
    pub(super) fn less_busy<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        rng: &Rng,
    ) -> Option<usize> {
        let (first, second) = self.draw_two(view, rng)?;
        let busyness = |drawn: Drawn| view.load(drawn.index) / drawn.weight;
        let better = busyness(second) < busyness(first);
        Some(if better { second.index } else { first.index })
    }

    /// The one with the lower cost.
    ///
    /// Costs are hardly ever equal, so among endpoints alike the choice would ignore the weights of
    /// the two. A lighter one therefore wins only in proportion to how much better it is for its
    /// weight; with equal weights that is always, and with a heavy one that hangs it is too.
    pub(super) fn less_costly<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        rng: &Rng,
    ) -> Option<usize> {
        let (first, second) = self.draw_two(view, rng)?;
        let cost = |drawn: Drawn| view.load(drawn.index);
        let (first_cost, second_cost) = (cost(first), cost(second));
        let better = second_cost < first_cost
            && rng.ratio() * first.weight * second_cost < second.weight * first_cost;
        Some(if better { second.index } else { first.index })
    }

    /// The first drawn.
    pub(super) fn any<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        rng: &Rng,
    ) -> Option<usize> {
        self.draw(view, None, rng).map(|drawn| drawn.index)
    }

    /// Two different candidates, or the only one twice.
    fn draw_two<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        rng: &Rng,
    ) -> Option<(Drawn, Drawn)> {
        let first = self.draw(view, None, rng)?;
        let second = self.draw(view, Some(first.index), rng);
        Some((first, second.unwrap_or(first)))
    }

    /// A candidate by weight, other than `except`.
    fn draw<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        except: Option<usize>,
        rng: &Rng,
    ) -> Option<Drawn> {
        if view.len() > SCANNED_MAX && self.weight_max.get() > 0.0 {
            for _ in 0..DRAWS_MAX {
                let index = rng.below(view.len());
                if let Some(weight) = view.weight(index).filter(|_| Some(index) != except) {
                    self.weight_max.set(self.weight_max.get().max(weight));
                    if rng.ratio() * self.weight_max.get() < weight {
                        return Some(Drawn { index, weight });
                    }
                }
            }
        }
        self.scan(view, except, rng)
    }

    /// Like [`draw`](Self::draw), by looking at all of them.
    fn scan<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        except: Option<usize>,
        rng: &Rng,
    ) -> Option<Drawn> {
        let (mut total, mut weight_max) = (0.0, 0.0f64);
        for index in 0..view.len() {
            let Some(weight) = view.weight(index) else { continue };
            weight_max = weight_max.max(weight);
            if Some(index) != except {
                total += weight;
            }
        }
        self.weight_max.set(weight_max);
        let mut point = rng.ratio() * total;
        let mut picked = None;
        for index in (0..view.len()).filter(|&index| Some(index) != except) {
            let Some(weight) = view.weight(index) else { continue };
            picked = Some(Drawn { index, weight });
            if point < weight {
                break;
            }
            point -= weight;
        }
        picked
    }
}
