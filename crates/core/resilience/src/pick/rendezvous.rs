//! Rendezvous hashing: each key ranks all endpoints, and the highest takes it.
//!
//! When an endpoint comes or goes, only its own keys move. Weighted by the logarithmic method
//! (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005): each share is
//! exactly proportional, and a changed weight moves no key between two others.

use super::Candidates;
use super::view::View;
use crate::hash::combine;

/// The candidate that ranks highest for a key.
pub(super) fn pick<C: Candidates + ?Sized>(view: &View<'_, C>, key: u64) -> Option<usize> {
    // Mostly all weights are equal, and then the order of the hashes is the order of the scores: a
    // logarithm for each candidate would cost ten times as much.
    let mut best: Option<(u64, usize)> = None;
    let mut common = None;
    for index in 0..view.len() {
        let Some(weight) = view.weight(index) else { continue };
        if *common.get_or_insert(weight) != weight {
            return pick_weighted(view, key);
        }
        let hash = combine(key, view.hash(index));
        if best.is_none_or(|(highest, _)| hash > highest) {
            best = Some((hash, index));
        }
    }
    best.map(|(_, index)| index)
}

fn pick_weighted<C: Candidates + ?Sized>(view: &View<'_, C>, key: u64) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for index in 0..view.len() {
        let Some(weight) = view.weight(index) else { continue };
        let hash = combine(key, view.hash(index));
        // In (0, 1), so that the logarithm is below zero and finite. Exponentially distributed
        // times: the earliest of several wins in proportion to its rate.
        let even = ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
        let time = -even.ln() / weight;
        if best.is_none_or(|(earliest, _)| time < earliest) {
            best = Some((time, index));
        }
    }
    best.map(|(_, index)| index)
}
