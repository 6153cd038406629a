//! Candidates of tests.

use std::cell::Cell;

use super::{Ask, Candidates, Picker};
use crate::hash::stable;
use crate::rng::Rng;
use crate::settings::PickerKind;
use crate::virtual_clock::start;

/// Candidates that a test can change between picks.
pub(super) struct Set(pub(super) Vec<Member>);

pub(super) struct Member {
    pub(super) weight: Cell<f64>,
    pub(super) usable: Cell<bool>,
    pub(super) load: Cell<f64>,
    pub(super) hash: u64,
    pub(super) reported: Cell<Option<f64>>,
    pub(super) tier: u32,
    pub(super) locality: u32,
}

impl Set {
    pub(super) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let member = |(index, weight): (usize, f64)| Member {
            weight: Cell::new(weight),
            usable: Cell::new(true),
            load: Cell::new(0.0),
            hash: stable(format!("10.0.{}.{}:8080", index / 250, index % 250).as_bytes()),
            reported: Cell::new(None),
            tier: 0,
            locality: 0,
        };
        Self(weights.into_iter().enumerate().map(member).collect())
    }

    pub(super) fn equal(len: usize) -> Self {
        Self::new((0..len).map(|_| 1.0))
    }

    pub(super) fn shut(&self, indexes: impl IntoIterator<Item = usize>) {
        indexes.into_iter().for_each(|index| self.0[index].usable.set(false));
    }

    pub(super) fn total(&self) -> f64 {
        self.0.iter().map(|member| member.weight.get()).sum()
    }
}

impl Candidates for Set {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self, index: usize) -> f64 {
        self.0[index].weight.get()
    }

    fn usable(&self, index: usize) -> bool {
        self.0[index].usable.get()
    }

    fn load(&self, index: usize) -> f64 {
        self.0[index].load.get()
    }

    fn hash(&self, index: usize) -> u64 {
        self.0[index].hash
    }

    fn reported_weight(&self, index: usize) -> Option<f64> {
        self.0[index].reported.get()
    }

    fn tier(&self, index: usize) -> u32 {
        self.0[index].tier
    }

    fn locality(&self, index: usize) -> u32 {
        self.0[index].locality
    }

    fn locality_weight(&self, locality: u32) -> f64 {
        f64::from(locality % 10)
    }
}

/// A pick without a key for a request that was not tried, at some moment.
pub(super) fn ask() -> Ask<'static> {
    thread_local!(static NOW: std::time::Instant = start());
    Ask::new(NOW.with(|now| *now))
}

/// How often each was picked in so many picks.
pub(super) fn counts(picker: &Picker, set: &Set, picks: usize, rng: &Rng) -> Vec<u32> {
    let mut counts = vec![0; set.len()];
    for _ in 0..picks {
        counts[picker.pick(set, &ask(), rng).expect("some are usable")] += 1;
    }
    counts
}

/// Compares counts with the shares that the weights promise.
pub(super) fn assert_shares(counts: &[u32], set: &Set, tolerance: f64) {
    let picks: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    for (index, count) in counts.iter().enumerate() {
        let expected = picks * set.weight(index) / set.total();
        let off = (f64::from(*count) - expected).abs();
        assert!(off <= tolerance, "{index}: {count} instead of {expected}");
    }
}

/// The choices for so many keys.
pub(super) fn choices(kind: PickerKind, set: &Set, keys: u64) -> Vec<usize> {
    let (picker, rng) = (Picker::new(kind), Rng::new(20));
    let ask = |key: u64| Ask { key: Some(stable(&key.to_le_bytes())), ..ask() };
    let choice = |key| picker.pick(set, &ask(key), &rng).expect("some are usable");
    (0..keys).map(choice).collect()
}
