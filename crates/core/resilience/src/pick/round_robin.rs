//! Weighted round robin without bursts.
//!
//! Small lists use the smooth algorithm that nginx made known: each pick adds to every candidate
//! its weight, and takes the sum from the one that is highest. Weights 5, 1, 1 give `aabacaa`.
//! Larger lists use earliest deadline first: a candidate's next turn is `1 / weight` after its last
//! one, and a heap knows whose turn is next. Both give exact shares in the long run and need no
//! memory for the sum of the weights.
//!
//! The phase is drawn at random, or all workers of all proxies would begin with the same endpoint.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::Candidates;
use super::view::View;
use crate::rng::Rng;

/// Longest list for the smooth algorithm, which looks at all of them.
const SMOOTH_MAX: usize = 16;

/// Rounds of the smooth algorithm among which its phase is drawn.
const PHASES: usize = 64;

/// Deadlines start at zero again beyond this, to keep their precision.
const DEADLINE_MAX: f64 = 1e6;

/// Multiples of it modulo 1 lie evenly spread: random first turns would form clusters that stay.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;

/// Weighted round robin.
#[derive(Default)]
pub(super) struct RoundRobin {
    /// Taken out for each pick and put back, so that no borrow can fail.
    state: Cell<State>,
}

enum State {
    /// What each candidate is owed.
    Smooth(Vec<f64>),
    Earliest(Schedule),
}

struct Schedule {
    turns: BinaryHeap<Turn>,
    /// Room for those that are passed over in one pick.
    skipped: Vec<Turn>,
    /// Mean weight when the list was new; deadlines are in rounds of such.
    weight_unit: f64,
}

/// The next turn of a candidate. The earliest is the greatest, as the heap has that on top.
#[derive(Debug, Clone, Copy)]
struct Turn {
    at: f64,
    index: usize,
}

// === impl RoundRobin ===

impl RoundRobin {
    /// The next one, with shares by `weigh`.
    pub(super) fn pick<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        weigh: impl Fn(usize) -> Option<f64>,
        rng: &Rng,
    ) -> Option<usize> {
        let mut state = self.state.take();
        if state.len() != view.len() {
            state = State::new(view.len(), &weigh, rng);
        }
        let free = |index| if view.is_free(index) { weigh(index) } else { None };
        let picked = match &mut state {
            State::Smooth(owed) => pick_smooth(owed, free),
            State::Earliest(schedule) => schedule.pick(view, &weigh),
        };
        self.state.set(state);
        picked
    }
}

impl std::fmt::Debug for RoundRobin {
    /// Without the state, which a cell does not show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoundRobin").finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn new(len: usize, weigh: &impl Fn(usize) -> Option<f64>, rng: &Rng) -> Self {
        if len > SMOOTH_MAX {
            return Self::Earliest(Schedule::new(len, weigh, rng));
        }
        let mut owed = vec![0.0; len];
        for _ in 0..rng.below(PHASES) {
            pick_smooth(&mut owed, weigh);
        }
        Self::Smooth(owed)
    }

    fn len(&self) -> usize {
        match self {
            Self::Smooth(owed) => owed.len(),
            Self::Earliest(schedule) => schedule.turns.len(),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Smooth(Vec::new())
    }
}

/// One pick of the smooth algorithm. Those that may not be picked neither gain nor lose.
fn pick_smooth(owed: &mut [f64], weight: impl Fn(usize) -> Option<f64>) -> Option<usize> {
    let (mut total, mut best) = (0.0, None);
    for index in 0..owed.len() {
        let Some(weight) = weight(index) else { continue };
        owed[index] += weight;
        total += weight;
        if best.is_none_or(|best: usize| owed[index] > owed[best]) {
            best = Some(index);
        }
    }
    let best = best?;
    owed[best] -= total;
    Some(best)
}

// === impl Schedule ===

impl Schedule {
    fn new(len: usize, weigh: &impl Fn(usize) -> Option<f64>, rng: &Rng) -> Self {
        let weights = || (0..len).map(|index| weigh(index).unwrap_or(0.0));
        let total: f64 = weights().sum();
        let weight_unit = if total > 0.0 { total / len as f64 } else { 1.0 };
        let phase = rng.ratio();
        let first = |(index, weight): (usize, f64)| {
            let period = if weight > 0.0 { weight_unit / weight } else { 1.0 };
            Turn { at: (phase + index as f64 * GOLDEN_RATIO).fract() * period, index }
        };
        Self {
            turns: weights().enumerate().map(first).collect(),
            skipped: Vec::with_capacity(len),
            weight_unit,
        }
    }

    /// The earliest that may be picked. Those before it keep their turn if they were tried already,
    /// and lose it if they are not usable.
    fn pick<C: Candidates + ?Sized>(
        &mut self,
        view: &View<'_, C>,
        weigh: &impl Fn(usize) -> Option<f64>,
    ) -> Option<usize> {
        let mut picked = None;
        while let Some(mut turn) = self.turns.peek_mut() {
            let free = view.is_free(turn.index);
            if let Some(weight) = weigh(turn.index).filter(|_| free) {
                picked = Some(*turn);
                turn.at += self.weight_unit / weight;
                break;
            }
            self.skipped.push(PeekMut::pop(turn));
            // Once per pick, instead of taking the whole heap apart when there is nothing to find.
            let first = self.skipped.len() == 1;
            if first && view.is_exhausted() {
                break;
            }
        }
        let now = picked.map(|turn| turn.at);
        for mut turn in self.skipped.drain(..) {
            if let Some(now) = now.filter(|_| !view.was_tried(turn.index)) {
                turn.at = now + self.weight_unit / weigh(turn.index).unwrap_or(1.0);
            }
            self.turns.push(turn);
        }
        if now.is_some_and(|now| now > DEADLINE_MAX) {
            self.rebase();
        }
        picked.map(|turn| turn.index)
    }

    /// Moves all deadlines back, in place.
    fn rebase(&mut self) {
        let earliest = self.turns.peek().map_or(0.0, |turn| turn.at);
        let mut turns = std::mem::take(&mut self.turns).into_vec();
        for turn in &mut turns {
            turn.at -= earliest;
        }
        self.turns = turns.into();
    }
}

// === impl Turn ===

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

#[cfg(test)]
mod tests;
