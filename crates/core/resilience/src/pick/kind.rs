//! One way of choosing, with what it remembers of one list.

use super::maglev::Maglev;
use super::reported::Reported;
use super::ring::Ring;
use super::round_robin::RoundRobin;
use super::two::Two;
use super::view::View;
use super::{Ask, Candidates, rendezvous};
use crate::hash::combine;
use crate::rng::Rng;
use crate::settings::PickerKind;

/// A kind of picker with its state.
#[derive(Debug)]
pub(super) enum Kind {
    RoundRobin(RoundRobin),
    LeastRequest(Two),
    PeakEwma(Two),
    Random(Two),
    Rendezvous,
    RingHash(Ring),
    Maglev(Maglev),
    WeightedByLoad(Reported),
}

// === impl Kind ===

impl Kind {
    pub(super) fn new(kind: PickerKind) -> Self {
        match kind {
            PickerKind::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            PickerKind::LeastRequest => Self::LeastRequest(Two::default()),
            PickerKind::PeakEwma => Self::PeakEwma(Two::default()),
            PickerKind::Random => Self::Random(Two::default()),
            PickerKind::Rendezvous => Self::Rendezvous,
            PickerKind::RingHash(settings) => Self::RingHash(Ring::new(settings)),
            PickerKind::Maglev(settings) => Self::Maglev(Maglev::new(settings)),
            PickerKind::WeightedByLoad(settings) => Self::WeightedByLoad(Reported::new(settings)),
        }
    }

    /// One of those in the view, as an index among all candidates.
    pub(super) fn pick<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        ask: &Ask<'_>,
        rng: &Rng,
    ) -> Option<usize> {
        // Places in tables are by all bits of a key; who gives a small number has one all the same.
        let key = || ask.key.map_or_else(|| rng.word(), |key| combine(key, 0));
        let picked = match self {
            Self::RoundRobin(round_robin) => {
                round_robin.pick(view, |index| view.any_weight(index), rng)
            }
            Self::LeastRequest(two) => two.less_busy(view, rng),
            Self::PeakEwma(two) => two.less_costly(view, rng),
            Self::Random(two) => two.any(view, rng),
            Self::Rendezvous => rendezvous::pick(view, key()),
            Self::RingHash(ring) => ring.pick(view, key()),
            Self::Maglev(maglev) => maglev.pick(view, key()),
            Self::WeightedByLoad(reported) => reported.pick(view, ask.now, rng),
        };
        picked.map(|index| view.original(index))
    }
}
