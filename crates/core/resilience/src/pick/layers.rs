//! Tiers with spill-over, and weighted localities inside of them, by Envoy's rules.
//!
//! The health of a tier is its usable share times the overprovisioning factor, at most 1; what is
//! lacking goes to the next tier. When all tiers together cannot carry everything, each gets its
//! part of what they can. Inside of a tier, a locality's weight counts as much as its health says.
//!
//! Shares are looked at every few milliseconds, not on each pick. Who is usable is asked on each
//! pick all the same: when nobody in the chosen place is, others stand in.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::kind::Kind;
use super::view::View;
use super::{Ask, Candidates};
use crate::hash::{combine, ratio};
use crate::rng::Rng;
use crate::settings::{LocalitySettings, PickerKind};

/// Between two looks at the shares. Long beside the time that a look takes, short beside the time
/// that health takes to change.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// What makes a key's place among tiers and localities independent of that among endpoints.
const SALT: u64 = 0x6c6f_6361_6c69_7479;

/// Pickers for each place.
pub(super) struct Layers {
    kind: PickerKind,
    settings: LocalitySettings,
    /// Taken out for each pick and put back, so that no borrow can fail.
    map: Cell<Map>,
}

/// Which candidates are where, and how much each place gets.
#[derive(Default)]
struct Map {
    version: Option<(u64, usize)>,
    looked_at: Option<Instant>,
    /// Candidates by tier and locality.
    members: Vec<u32>,
    /// By tier and locality as well.
    places: Vec<Place>,
    /// Ascending.
    tiers: Vec<Tier>,
}

/// A tier, or a locality of one.
struct Place {
    members: std::ops::Range<usize>,
    tier: u32,
    weight: f64,
    /// Share of its tier's requests, relative to its siblings.
    share: f64,
    panicking: bool,
    kind: Kind,
}

struct Tier {
    places: std::ops::Range<usize>,
    /// Share of all requests, relative to the other tiers.
    share: f64,
    /// Of those in places with a weight.
    usable: usize,
    all: usize,
}

// === impl Layers ===

impl Layers {
    pub(super) fn new(kind: PickerKind, settings: LocalitySettings) -> Self {
        Self { kind, settings, map: Cell::default() }
    }

    pub(super) fn pick<C: Candidates + ?Sized>(
        &self,
        candidates: &C,
        ask: &Ask<'_>,
        panic_ratio: f64,
        rng: &Rng,
    ) -> Option<usize> {
        let mut map = self.map.take();
        let version = Some((version(candidates), candidates.len()));
        if map.version != version {
            map.draw(candidates, self.kind, self.settings.weighted);
            (map.version, map.looked_at) = (version, None);
        }
        let is_fresh = |at: Instant| ask.now.saturating_duration_since(at) < LOOK_PERIOD;
        if !map.looked_at.is_some_and(is_fresh) {
            map.look(candidates, &self.settings, panic_ratio);
            map.looked_at = Some(ask.now);
        }
        let picked = map.pick(candidates, ask, rng);
        self.map.set(map);
        picked
    }
}

impl std::fmt::Debug for Layers {
    /// Without the map, which a cell does not show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers").field("settings", &self.settings).finish_non_exhaustive()
    }
}

// === impl Map ===

impl Map {
    /// Finds out which candidates are where.
    fn draw<C: Candidates + ?Sized>(&mut self, candidates: &C, kind: PickerKind, weighted: bool) {
        let place = |index: u32| {
            let index = index as usize;
            let locality = if weighted { candidates.locality(index) } else { 0 };
            (candidates.tier(index), locality)
        };
        self.members.clear();
        self.members.extend(0..candidates.len() as u32);
        self.members.sort_by_key(|&index| place(index));
        self.places.clear();
        self.tiers.clear();
        let mut start = 0;
        for members in self.members.chunk_by(|one, two| place(*one) == place(*two)) {
            let (tier, locality) = place(members[0]);
            let weight = if weighted { candidates.locality_weight(locality) } else { 1.0 };
            self.places.push(Place {
                members: start..start + members.len(),
                tier,
                weight: if weight > 0.0 { weight } else { 0.0 },
                share: 0.0,
                panicking: false,
                kind: Kind::new(kind),
            });
            start += members.len();
        }
        let mut start = 0;
        for places in self.places.chunk_by(|one, two| one.tier == two.tier) {
            let weighty = places.iter().filter(|place| place.weight > 0.0);
            let all = weighty.map(|place| place.members.len()).sum();
            let places = start..start + places.len();
            start = places.end;
            self.tiers.push(Tier { places, share: 0.0, usable: 0, all });
        }
    }

    /// Finds out how much each place gets.
    fn look<C: Candidates + ?Sized>(
        &mut self,
        candidates: &C,
        settings: &LocalitySettings,
        panic_ratio: f64,
    ) {
        let factor = f64::from(settings.overprovisioning_percent.max(100)) / 100.0;
        let health =
            |usable: usize, all: usize| (usable as f64 * factor / all.max(1) as f64).min(1.0);
        for tier in &mut self.tiers {
            tier.usable = 0;
            let places = &mut self.places[tier.places.clone()];
            for place in places.iter_mut().filter(|place| place.weight > 0.0) {
                let members = &self.members[place.members.clone()];
                let usable = |index: &&u32| candidates.usable(**index as usize);
                let usable = members.iter().filter(usable).count();
                place.share = place.weight * health(usable, members.len());
                tier.usable += usable;
            }
        }
        let total: f64 = self.tiers.iter().map(|tier| health(tier.usable, tier.all)).sum();
        let panics = |tier: &Tier| (tier.usable as f64) < tier.all as f64 * panic_ratio;
        let all_panic = total < 1.0 && self.tiers.iter().all(panics);
        let mut left = total.min(1.0);
        for tier in &mut self.tiers {
            let panicking = total < 1.0 && panics(tier);
            tier.share =
                if all_panic { tier.all as f64 } else { health(tier.usable, tier.all).min(left) };
            left -= tier.share;
            for place in &mut self.places[tier.places.clone()] {
                place.panicking = panicking;
                if panicking {
                    place.share = place.weight;
                }
            }
        }
    }

    /// From the place that a point of chance leads to, or else from another one.
    fn pick<C: Candidates + ?Sized>(
        &self,
        candidates: &C,
        ask: &Ask<'_>,
        rng: &Rng,
    ) -> Option<usize> {
        let chance = |salt| ask.key.map_or_else(|| rng.ratio(), |key| ratio(combine(key, salt)));
        let points = [chance(SALT), chance(!SALT)];
        let pick = |place: &Place, tried| {
            let members = Some(&self.members[place.members.clone()]);
            let view = View { candidates, members, tried, panicking: place.panicking };
            place.kind.pick(&view, ask, rng)
        };
        if ask.elsewhere && !ask.tried.is_empty() {
            let is_new = |place: &Place| {
                let members = &self.members[place.members.clone()];
                !ask.tried.iter().any(|tried| members.contains(&(*tried as u32)))
            };
            let share = |place: &Place| if is_new(place) { place.share } else { 0.0 };
            let has_new = |tier: &Tier| self.places[tier.places.clone()].iter().any(is_new);
            let tier_share = |tier: &Tier| if has_new(tier) { tier.share } else { 0.0 };
            let mut others = self.in_order(points, tier_share, share).filter(|place| is_new(place));
            if let Some(picked) = others.find_map(|place| pick(place, ask.tried)) {
                return Some(picked);
            }
        }
        let in_order = || self.in_order(points, |tier| tier.share, |place| place.share);
        let fresh = in_order().find_map(|place| pick(place, ask.tried));
        if fresh.is_some() || ask.tried.is_empty() {
            return fresh;
        }
        in_order().find_map(|place| pick(place, &[]))
    }

    /// The places with a weight: first the one that the points lead to, by the shares of its tier
    /// and of itself, then the others of that tier, then those of other tiers.
    fn in_order(
        &self,
        points: [f64; 2],
        tier_share: impl Fn(&Tier) -> f64,
        place_share: impl Fn(&Place) -> f64,
    ) -> impl Iterator<Item = &Place> {
        let tier = chosen(&self.tiers, points[0], tier_share);
        let places = tier.map_or(0..0, |tier| self.tiers[tier].places.clone());
        let place = chosen(&self.places[places.clone()], points[1], place_share);
        let first = place.map(|place| places.start + place);
        let siblings = places.clone().filter(move |place| Some(*place) != first);
        let others = (0..self.places.len()).filter(move |place| !places.contains(place));
        let order = first.into_iter().chain(siblings).chain(others);
        order.map(|place| &self.places[place]).filter(|place| place.weight > 0.0)
    }
}

/// The one that a point in `[0, 1)` leads to, each with its share of the way; `None` when all
/// shares are zero.
fn chosen<T>(all: &[T], point: f64, share: impl Fn(&T) -> f64) -> Option<usize> {
    let mut way = point * all.iter().map(&share).sum::<f64>();
    let mut chosen = None;
    for (index, one) in all.iter().enumerate() {
        let share = share(one);
        if share > 0.0 {
            chosen = Some(index);
            if way < share {
                break;
            }
        }
        way -= share;
    }
    chosen
}

/// A number that changes with all that maps and tables are made of.
fn version<C: Candidates + ?Sized>(candidates: &C) -> u64 {
    candidates.version().unwrap_or_else(|| {
        (0..candidates.len()).fold(0, |version, index| {
            let locality = candidates.locality(index);
            let place = u64::from(candidates.tier(index)) << 32 | u64::from(locality);
            let weight = candidates.locality_weight(locality).to_bits();
            combine(version, combine(place, weight))
        })
    })
}

#[cfg(test)]
mod tests;
