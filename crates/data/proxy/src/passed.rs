//! Which steps a request has passed: its response passes them in reverse.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::runtime::StepRuntime;

/// The steps that a request has come to: those of its route, then those of what was chosen on the
/// way to its backend. All but the last list it has passed whole.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    lists: SmallVec<[Rc<[StepRuntime]>; 2]>,
    /// How many of the last one.
    of_last: usize,
}

/// How far a request has got: to so many lists, and past so many steps of the last. While it passes
/// a step, that is the place of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    lists: usize,
    of_last: usize,
}

// === impl Passed ===

impl Passed {
    /// The request comes to these steps.
    pub(crate) fn enter(&mut self, steps: Rc<[StepRuntime]>) {
        self.lists.push(steps);
        self.of_last = 0;
    }

    /// It has passed so many of those it came to last.
    pub(crate) fn note(&mut self, count: usize) {
        self.of_last = count;
    }

    /// Where the request is.
    pub(crate) fn place(&self) -> Place {
        Place { lists: self.lists.len(), of_last: self.of_last }
    }

    /// Goes back to a place that the request was at.
    pub(crate) fn go_back(&mut self, place: Place) {
        let Place { lists, of_last } = place;
        self.lists.truncate(lists);
        self.of_last = of_last;
    }

    /// Nothing was passed.
    pub(crate) fn clear(&mut self) {
        self.go_back(Place { lists: 0, of_last: 0 });
    }

    /// What was passed, the outermost last, each step with its place.
    pub(crate) fn in_reverse(&self) -> impl Iterator<Item = (Place, &StepRuntime)> {
        let all = self.lists.len();
        self.lists.iter().enumerate().rev().flat_map(move |(index, steps)| {
            let lists = index + 1;
            let count = if lists == all { self.of_last } else { steps.len() };
            let place = move |of_last| Place { lists, of_last };
            let steps = steps[..count].iter().enumerate().rev();
            steps.map(move |(index, step)| (place(index), step))
        })
    }
}
