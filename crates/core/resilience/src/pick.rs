//! Choosing an endpoint.
//!
//! A [`Picker`] chooses among [`Candidates`]: a fixed list of endpoints whose weights, usability
//! and load may change between picks. All kinds keep the same promises:
//!
//! - an endpoint that is not usable is not picked, unless so many are unusable that the picker
//!   [panics](Picker::with_panic_ratio); with none usable there is no pick;
//! - an endpoint that the request tried already is not picked while another is usable;
//! - an endpoint with weight 0 is never picked;
//! - a pick does not allocate, once the first one has set up the picker's state.
//!
//! State is in cells: every worker has pickers of its own.

use crate::rng::Rng;
use crate::settings::PickerKind;

mod rendezvous;
mod round_robin;
mod two;

use round_robin::RoundRobin;
use two::Two;

/// Weights outside are clamped: shares stay exact and sums finite.
const WEIGHT_RANGE: std::ops::RangeInclusive<f64> = 1e-6..=1e9;

/// The endpoints to choose from. Indexes run from 0 to [`len`](Self::len).
///
/// Answers should not change during one pick: read the clock before it.
pub trait Candidates {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Share among the others, with [`slow_start`](crate::slow_start) in it. What is not above zero
    /// is never picked.
    fn weight(&self, index: usize) -> f64;

    /// Whether it may be picked: healthy, not set aside, not full.
    fn usable(&self, index: usize) -> bool;

    /// Requests in flight for [`PickerKind::LeastRequest`] (not divided by weight), a
    /// [cost](crate::load::PeakEwma::cost) for [`PickerKind::PeakEwma`]; not asked for by others.
    fn load(&self, index: usize) -> f64;

    /// A [stable hash](crate::hash::stable) of the endpoint's name for [`PickerKind::Rendezvous`];
    /// not asked for by others.
    fn hash(&self, index: usize) -> u64;
}

/// Chooses one endpoint for each request.
///
/// ```
/// # use weft_resilience::{pick::{Candidates, Picker}, rng::Rng, settings::PickerKind};
/// struct Three;
///
/// impl Candidates for Three {
///     fn len(&self) -> usize { 3 }
///     fn weight(&self, _: usize) -> f64 { 1.0 }
///     fn usable(&self, index: usize) -> bool { index != 1 }
///     fn load(&self, _: usize) -> f64 { 0.0 }
///     fn hash(&self, index: usize) -> u64 { index as u64 }
/// }
///
/// let (picker, rng) = (Picker::new(PickerKind::RoundRobin), Rng::new(1));
/// let first = picker.pick(&Three, None, &[], &rng).expect("two are usable");
/// let retry = picker.pick(&Three, None, &[first], &rng).expect("another one is usable");
/// assert_eq!(first + retry, 2);
/// ```
#[derive(Debug)]
pub struct Picker {
    kind: Kind,
    panic_ratio: f64,
}

#[derive(Debug)]
enum Kind {
    RoundRobin(RoundRobin),
    LeastRequest(Two),
    PeakEwma(Two),
    Rendezvous,
}

/// The candidates as one pick may see them.
struct View<'a, C: ?Sized> {
    candidates: &'a C,
    tried: &'a [usize],
    /// Whether it matters no longer who is usable.
    panicking: bool,
}

// === impl Picker ===

impl Picker {
    /// A picker of this kind, for one list of candidates at a time. It adapts to a list of another
    /// length, at the cost of its state.
    #[must_use]
    pub fn new(kind: PickerKind) -> Self {
        let kind = match kind {
            PickerKind::RoundRobin => Kind::RoundRobin(RoundRobin::default()),
            PickerKind::LeastRequest => Kind::LeastRequest(Two::default()),
            PickerKind::PeakEwma => Kind::PeakEwma(Two::default()),
            PickerKind::Rendezvous => Kind::Rendezvous,
        };
        Self { kind, panic_ratio: 0.0 }
    }

    /// When less than this share of the candidates is usable, picks among all of them, since the
    /// few that are left could not carry the load and health may be misjudged. 0, the default,
    /// never does.
    ///
    /// Above 0, each pick counts the usable ones.
    #[must_use]
    pub fn with_panic_ratio(self, ratio: f64) -> Self {
        Self { panic_ratio: ratio, ..self }
    }

    /// An endpoint for a request; `None` when none is usable.
    ///
    /// - `key`: what keeps requests together (a hash of the client's address) for
    ///   [`PickerKind::Rendezvous`]; without one it picks at random.
    /// - `tried`: endpoints that this request was sent to before.
    pub fn pick<C: Candidates + ?Sized>(
        &self,
        candidates: &C,
        key: Option<u64>,
        tried: &[usize],
        rng: &Rng,
    ) -> Option<usize> {
        let panicking = self.panics(candidates);
        let pick = |tried| self.pick_from(&View { candidates, tried, panicking }, key, rng);
        match pick(tried) {
            None if !tried.is_empty() => pick(&[]),
            picked => picked,
        }
    }

    fn pick_from<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        key: Option<u64>,
        rng: &Rng,
    ) -> Option<usize> {
        match &self.kind {
            Kind::RoundRobin(round_robin) => round_robin.pick(view, rng),
            Kind::LeastRequest(two) => two.less_busy(view, rng),
            Kind::PeakEwma(two) => two.less_costly(view, rng),
            Kind::Rendezvous => rendezvous::pick(view, key.unwrap_or_else(|| rng.word())),
        }
    }

    fn panics<C: Candidates + ?Sized>(&self, candidates: &C) -> bool {
        if self.panic_ratio.is_nan() || self.panic_ratio <= 0.0 {
            return false;
        }
        let usable = (0..candidates.len()).filter(|&index| candidates.usable(index)).count();
        (usable as f64) < candidates.len() as f64 * self.panic_ratio
    }
}

// === impl View ===

impl<C: Candidates + ?Sized> View<'_, C> {
    fn len(&self) -> usize {
        self.candidates.len()
    }

    /// The weight of a candidate that may be picked.
    fn weight(&self, index: usize) -> Option<f64> {
        if self.was_tried(index) || !(self.panicking || self.candidates.usable(index)) {
            return None;
        }
        self.any_weight(index)
    }

    /// The weight of a candidate, pickable or not; `None` for zero.
    fn any_weight(&self, index: usize) -> Option<f64> {
        let weight = self.candidates.weight(index);
        (weight > 0.0).then(|| weight.clamp(*WEIGHT_RANGE.start(), *WEIGHT_RANGE.end()))
    }

    fn was_tried(&self, index: usize) -> bool {
        self.tried.contains(&index)
    }
}

#[cfg(test)]
mod tests;
