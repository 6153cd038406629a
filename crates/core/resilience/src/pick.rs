//! Choosing an endpoint.
//!
//! A [`Picker`] chooses among [`Candidates`]: a list of endpoints whose weights, usability and load
//! may change between picks. All kinds keep the same promises:
//!
//! - an endpoint that is not usable is not picked, unless so many are unusable that the picker
//!   [panics](Picker::with_panic_ratio); with none usable there is no pick;
//! - an endpoint that the request tried already is not picked while another is usable;
//! - an endpoint with weight 0 is never picked;
//! - a pick does not allocate, once the first one has set up the picker's state.
//!
//! | Kind | Choice | A pick costs |
//! | --- | --- | --- |
//! | [`PickerKind::RoundRobin`] | in turn; exact shares, evenly spaced | log *n* |
//! | [`PickerKind::WeightedByLoad`] | the same, by what endpoints report | log *n* |
//! | [`PickerKind::LeastRequest`] | fewer in flight for its weight, of two | constant |
//! | [`PickerKind::PeakEwma`] | cheaper by latency and load, of two | constant |
//! | [`PickerKind::Random`] | by weight | constant |
//! | [`PickerKind::Rendezvous`] | by key; exact shares, least movement | *n* |
//! | [`PickerKind::RingHash`] | by key; about even, least movement | log of the ring |
//! | [`PickerKind::Maglev`] | by key; nearly even, a little more movement | constant |
//!
//! The last two keep a table, which is made anew when the candidates'
//! [version](Candidates::version) changes and not because of health: keys of an endpoint that is
//! unusable go to the next one in the table and come back with it. Both can bound how much an
//! endpoint may have in flight above its share, which costs a look at all endpoints: consistent
//! hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018).
//!
//! With [`Picker::with_locality`] endpoints stand in tiers, of which the first takes all while it
//! is able to, and in weighted localities inside of them.
//!
//! State is in cells: every worker has pickers of its own.

use std::time::Instant;

use crate::rng::Rng;
use crate::settings::{LocalitySettings, PickerKind};

mod kind;
mod layers;
mod maglev;
mod rendezvous;
mod reported;
mod ring;
mod round_robin;
mod table;
mod two;
mod view;

use kind::Kind;
use layers::Layers;
use view::View;

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

    /// Requests in flight for [`PickerKind::LeastRequest`] (not divided by weight) and for hashing
    /// with bounded load, a [cost](crate::load::PeakEwma::cost) for [`PickerKind::PeakEwma`]; not
    /// asked for by others.
    fn load(&self, index: usize) -> f64;

    /// A [stable hash](crate::hash::stable) of the endpoint's name for kinds that
    /// [hash](PickerKind::is_keyed); not asked for by others.
    fn hash(&self, index: usize) -> u64;

    /// The weight without slow start, for tables that are not made anew on each pick. The default
    /// is [`weight`](Self::weight).
    fn base_weight(&self, index: usize) -> f64 {
        self.weight(index)
    }

    /// The [weight](crate::load::ReportedLoad::weight) that its reports give it at present, for
    /// [`PickerKind::WeightedByLoad`]; not asked for by others. The default is that there is none.
    fn reported_weight(&self, _index: usize) -> Option<f64> {
        None
    }

    /// Its tier: those of a lower one come first. Used [with locality](Picker::with_locality) only;
    /// the default is 0 for all.
    fn tier(&self, _index: usize) -> u32 {
        0
    }

    /// A number for where it runs. Used [with locality](Picker::with_locality) only; the default is
    /// 0 for all.
    fn locality(&self, _index: usize) -> u32 {
        0
    }

    /// Share of a locality among the others of its tier. Used with
    /// [weighted](LocalitySettings::weighted) localities only; the default is 1 for each.
    fn locality_weight(&self, _locality: u32) -> f64 {
        1.0
    }

    /// A number that is another one after any change of the list, its base weights, hashes, tiers
    /// or localities. It spares kinds that keep tables a look at all endpoints on each pick;
    /// `None`, the default, makes them look.
    fn version(&self) -> Option<u64> {
        None
    }
}

/// What an endpoint is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The present.
    pub now: Instant,
    /// What keeps requests together (a number made of the client's address, say) for kinds that
    /// [hash](PickerKind::is_keyed); without one they pick at random.
    pub key: Option<u64>,
    /// Endpoints that this request was sent to before.
    pub tried: &'a [usize],
    /// Whether to leave the tiers and localities of those as well, if others can take it: Istio's
    /// `retryRemoteLocalities`.
    pub elsewhere: bool,
}

/// Chooses one endpoint for each request.
///
/// ```
/// # use std::time::Instant;
/// use weft_resilience::pick::{Ask, Candidates, Picker};
/// use weft_resilience::{rng::Rng, settings::PickerKind};
///
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
/// let ask = Ask::new(Instant::now());
/// let first = picker.pick(&Three, &ask, &rng).expect("two are usable");
/// let retry = picker.pick(&Three, &Ask { tried: &[first], ..ask }, &rng);
/// assert_eq!(first + retry.expect("another one is usable"), 2);
/// ```
#[derive(Debug)]
pub struct Picker {
    kind: PickerKind,
    shape: Shape,
    panic_ratio: f64,
}

/// Whether it matters where endpoints are.
#[derive(Debug)]
enum Shape {
    Flat(Kind),
    Layered(Layers),
}

// === impl Ask ===

impl Ask<'_> {
    /// For a request that was not tried yet and has no key.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { now, key: None, tried: &[], elsewhere: false }
    }
}

// === impl Picker ===

impl Picker {
    /// A picker of this kind, for one list of candidates at a time. It adapts to another list, at
    /// the cost of its state.
    #[must_use]
    pub fn new(kind: PickerKind) -> Self {
        Self { kind, shape: Shape::Flat(Kind::new(kind)), panic_ratio: 0.0 }
    }

    /// When less than this share of the candidates is usable, picks among all of them, since the
    /// few that are left could not carry the load and health may be misjudged. 0, the default,
    /// never does. With tiers, each has a panic of its own, which begins only when all tiers
    /// together cannot carry the load.
    ///
    /// Above 0, each pick counts the usable ones.
    #[must_use]
    pub fn with_panic_ratio(self, ratio: f64) -> Self {
        Self { panic_ratio: ratio, ..self }
    }

    /// Heeds [tiers](Candidates::tier) and, if set so, [localities](Candidates::locality).
    #[must_use]
    pub fn with_locality(self, settings: LocalitySettings) -> Self {
        Self { shape: Shape::Layered(Layers::new(self.kind, settings)), ..self }
    }

    /// An endpoint for a request; `None` when none is usable.
    pub fn pick<C: Candidates + ?Sized>(
        &self,
        candidates: &C,
        ask: &Ask<'_>,
        rng: &Rng,
    ) -> Option<usize> {
        let kind = match &self.shape {
            Shape::Flat(kind) => kind,
            Shape::Layered(layers) => return layers.pick(candidates, ask, self.panic_ratio, rng),
        };
        let panicking = self.panics(candidates);
        let pick = |tried| {
            let view = View { candidates, members: None, tried, panicking };
            kind.pick(&view, ask, rng)
        };
        match pick(ask.tried) {
            None if !ask.tried.is_empty() => pick(&[]),
            picked => picked,
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

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
