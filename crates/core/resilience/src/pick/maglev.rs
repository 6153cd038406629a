//! Maglev hashing: a table with nearly the same number of places for each candidate of one weight.
//!
//! Each candidate has a permutation of all places and takes turns in claiming the next free one on
//! it. Shares are more even than on a ring, and a key is found in one step; when a candidate comes
//! or goes, somewhat more keys move than its own.
//!
//! Source: Eisenbud et al., "Maglev: a fast and reliable software network load balancer" (NSDI
//! 2016), section 3.4; with weights as more or fewer turns.

use std::cell::Cell;

use super::Candidates;
use super::table::{around, walk};
use super::view::View;
use crate::hash::combine;
use crate::settings::MaglevSettings;

/// A place that nobody claimed yet.
const VACANT: u32 = u32::MAX;

/// What makes two hashes out of that of a candidate.
const SALTS: [u64; 2] = [0x6f66_6673_6574, 0x736b_6970];

/// The table of one list.
pub(super) struct Maglev {
    load_max_percent: Option<u32>,
    size: u32,
    /// Taken out for each pick and put back, so that no borrow can fail.
    table: Cell<Table>,
}

#[derive(Default)]
struct Table {
    version: Option<(u64, usize)>,
    owners: Vec<u32>,
}

/// A candidate while it claims places.
struct Claimant {
    index: u32,
    /// Its weight as a share of the highest.
    weight: f64,
    /// Turns that it has been granted, and those it has used.
    granted: f64,
    used: f64,
    /// The next place on its permutation, and the way to the one after it.
    next: u64,
    skip: u64,
}

// === impl Maglev ===

impl Maglev {
    pub(super) fn new(settings: MaglevSettings) -> Self {
        let MaglevSettings { size, load_max_percent } = settings;
        let size = next_prime(size.min(MaglevSettings::SIZE_MAX));
        Self { load_max_percent, size, table: Cell::default() }
    }

    pub(super) fn pick<C: Candidates + ?Sized>(
        &self,
        view: &View<'_, C>,
        key: u64,
    ) -> Option<usize> {
        let mut table = self.table.take();
        let version = Some((view.version(), view.len()));
        if table.version != version {
            table.fill(view, self.size);
            table.version = version;
        }
        let owners = &table.owners;
        // By multiplication instead of division, and with all bits of the key.
        let place = ((u128::from(key) * owners.len() as u128) >> 64) as usize;
        let owners = around(owners.len(), place).map(|place| owners[place]);
        let picked = walk(view, owners, self.load_max_percent);
        self.table.set(table);
        picked
    }
}

impl std::fmt::Debug for Maglev {
    /// Without the table, which a cell does not show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maglev").field("size", &self.size).finish_non_exhaustive()
    }
}

// === impl Table ===

impl Table {
    fn fill<C: Candidates + ?Sized>(&mut self, view: &View<'_, C>, size: u32) {
        self.owners.clear();
        let weights = (0..view.len()).filter_map(|index| view.base_weight(index));
        let highest = weights.fold(0.0, f64::max);
        let claimant = |index| {
            let hash = view.hash(index);
            let [offset, skip] = SALTS.map(|salt| combine(hash, salt));
            let weight = view.base_weight(index)? / highest;
            let (next, skip) = (offset % u64::from(size), skip % u64::from(size - 1) + 1);
            Some(Claimant { index: index as u32, weight, granted: 0.0, used: 0.0, next, skip })
        };
        let mut claimants: Vec<Claimant> = (0..view.len()).filter_map(claimant).collect();
        if claimants.is_empty() {
            return;
        }
        // In the order of their hashes, so that the order of the list makes no difference.
        claimants.sort_unstable_by_key(|claimant| view.hash(claimant.index as usize));
        self.owners.resize(size as usize, VACANT);
        let mut vacant = size;
        loop {
            for claimant in &mut claimants {
                claimant.granted += claimant.weight;
                // The heaviest has a turn in each round, one of half its weight in every second.
                if claimant.granted < claimant.used + 1.0 - 1e-9 {
                    continue;
                }
                claimant.used += 1.0;
                let place = claimant.claim(&self.owners, size);
                self.owners[place] = claimant.index;
                vacant -= 1;
                if vacant == 0 {
                    return;
                }
            }
        }
    }
}

// === impl Claimant ===

impl Claimant {
    /// The next vacant place on its permutation. There is one: the size is a prime, so the
    /// permutation comes by every place.
    fn claim(&mut self, owners: &[u32], size: u32) -> usize {
        loop {
            let place = self.next as usize;
            self.next = (self.next + self.skip) % u64::from(size);
            if owners[place] == VACANT {
                return place;
            }
        }
    }
}

/// The least prime that is not below, at least 2.
fn next_prime(number: u32) -> u32 {
    let is_prime = |number: &u32| {
        (2..)
            .take_while(|factor| factor * factor <= *number)
            .all(|factor| !number.is_multiple_of(factor))
    };
    (number.max(2)..).find(is_prime).unwrap_or(2)
}

#[cfg(test)]
mod tests;
