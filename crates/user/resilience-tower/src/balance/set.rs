//! The endpoints of a set, as one pick sees them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use weft_resilience::hash;
use weft_resilience::pick::{Ask, Candidates, Picker};
use weft_resilience::rng::Rng;
use weft_resilience::settings::PickerKind;
use weft_resilience::slow_start;

use super::hints::{ATTEMPTS, Wanted};
use super::member::{Known, Lease};
use super::{BalanceSettings, Place};

/// All endpoints with the state of the picker.
pub(super) struct Set<K, S> {
    settings: BalanceSettings,
    picker: Picker,
    /// Whether the picker looks at tiers and localities: not while all are in one place.
    is_layered: bool,
    members: Vec<Member<K, S>>,
    /// Where each key is in `members`.
    places: HashMap<K, usize>,
    /// With the sum of the weights in each; members have indexes.
    localities: Vec<(Cow<'static, str>, f64)>,
    /// Grows with each change.
    version: u64,
    next_id: u64,
}

struct Member<K, S> {
    known: Arc<Known<K>>,
    service: S,
    weight: f64,
    tier: u32,
    locality: u32,
    hash: u64,
    joined: Instant,
}

/// The set at one moment.
pub(super) struct Present<'a, K, S> {
    pub(super) set: &'a Set<K, S>,
    pub(super) now: Instant,
}

// === impl Set ===

impl<K, S> Set<K, S> {
    pub(super) fn new(settings: &BalanceSettings) -> Self {
        Self {
            settings: *settings,
            picker: picker(settings, false),
            is_layered: false,
            members: Vec::new(),
            places: HashMap::new(),
            localities: Vec::new(),
            version: 0,
            next_id: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.members.iter().map(|member| &member.known.key)
    }

    /// An endpoint for a call, or how many there are of which none will do.
    pub(super) fn pick(
        &self,
        now: Instant,
        wanted: &Wanted<'_>,
        rng: &Rng,
    ) -> Result<(S, Lease<K>), usize>
    where
        S: Clone,
    {
        let mut avoided: SmallVec<[usize; ATTEMPTS]> =
            wanted.tried.map(|tried| tried.with(|ids| self.indexes(ids))).unwrap_or_default();
        // Each round avoids one more, so it ends. More than one is needed only for an endpoint on
        // probation that was picked although its one call is under way, for want of others.
        loop {
            let elsewhere = self.settings.elsewhere;
            let ask = Ask { key: wanted.key, tried: &avoided, elsewhere, ..Ask::new(now) };
            let picked = self.picker.pick(&Present { set: self, now }, &ask, rng);
            let index = picked.ok_or(self.len())?;
            let Member { known, service, .. } = &self.members[index];
            if known.health.begin(now) || avoided.contains(&index) {
                if let Some(tried) = wanted.tried {
                    tried.add(known.id);
                }
                return Ok((service.clone(), Lease::new(Arc::clone(known), now)));
            }
            avoided.push(index);
        }
    }

    /// Where the endpoints with these ids are now.
    fn indexes(&self, ids: &[u64]) -> SmallVec<[usize; ATTEMPTS]> {
        if ids.is_empty() {
            return SmallVec::new();
        }
        let found = |(_, member): &(usize, &Member<K, S>)| ids.contains(&member.known.id);
        self.members.iter().enumerate().filter(found).map(|(index, _)| index).collect()
    }

    /// Follows a change of the members.
    pub(super) fn settle(&mut self) {
        self.version += 1;
        self.localities.iter_mut().for_each(|(_, weight)| *weight = 0.0);
        for member in &self.members {
            self.localities[member.locality as usize].1 += member.weight.max(0.0);
        }
        let weighted = self.settings.locality.weighted;
        let place = |member: &Member<K, S>| (member.tier, weighted.then_some(member.locality));
        let is_layered = self.members.windows(2).any(|two| place(&two[0]) != place(&two[1]));
        if is_layered != self.is_layered {
            self.picker = picker(&self.settings, is_layered);
            self.is_layered = is_layered;
        }
    }

    /// The index of a locality. Names are few and stay.
    fn locality(&mut self, name: Cow<'static, str>) -> u32 {
        let known = self.localities.iter().position(|(known, _)| *known == name);
        let index = known.unwrap_or_else(|| {
            self.localities.push((name, 0.0));
            self.localities.len() - 1
        });
        u32::try_from(index).expect("there are fewer localities than endpoints ever were")
    }
}

/// Changes, each of which wants a [`settle`](Set::settle) after it. They hand over the services that
/// are no longer in the set: dropping one may run anything, and the caller still holds a lock.
impl<K: Eq + Hash + Clone + fmt::Debug, S> Set<K, S> {
    pub(super) fn known(&self, key: &K) -> Option<&Known<K>> {
        self.places.get(key).map(|&place| &*self.members[place].known)
    }

    pub(super) fn insert(&mut self, key: K, service: S, at: Place, now: Instant) -> Option<S> {
        let Place { weight, tier, locality } = at;
        let locality = self.locality(locality);
        if let Some(&place) = self.places.get(&key) {
            let member = &mut self.members[place];
            (member.weight, member.tier, member.locality) = (weight, tier, locality);
            return Some(std::mem::replace(&mut member.service, service));
        }
        // What tells endpoints apart in a table must be the same in every process.
        let hash = hash::stable(format!("{key:?}").as_bytes());
        let known = Arc::new(Known::new(key.clone(), self.next_id, now));
        self.next_id += 1;
        self.places.insert(key, self.members.len());
        self.members.push(Member { known, service, weight, tier, locality, hash, joined: now });
        None
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) -> Vec<S> {
        let (kept, gone): (Vec<_>, Vec<_>) =
            self.members.drain(..).partition(|member| keep(&member.known.key));
        self.members = kept;
        let places = self.members.iter().enumerate();
        self.places = places.map(|(place, member)| (member.known.key.clone(), place)).collect();
        gone.into_iter().map(|member| member.service).collect()
    }
}

// === impl Present ===

impl<K, S> Candidates for Present<'_, K, S> {
    fn len(&self) -> usize {
        self.set.members.len()
    }

    fn weight(&self, index: usize) -> f64 {
        let member = &self.set.members[index];
        let age = self.now.saturating_duration_since(member.joined);
        let slow_start = &self.set.settings.slow_start;
        let warm = slow_start.map_or(1.0, |settings| slow_start::factor(&settings, age));
        member.weight * warm
    }

    fn usable(&self, index: usize) -> bool {
        self.set.members[index].known.health.is_usable(self.now)
    }

    fn load(&self, index: usize) -> f64 {
        let known = &self.set.members[index].known;
        match self.set.settings.picker {
            PickerKind::PeakEwma => known.cost(self.now),
            _ => f64::from(known.calls()),
        }
    }

    fn hash(&self, index: usize) -> u64 {
        self.set.members[index].hash
    }

    fn base_weight(&self, index: usize) -> f64 {
        self.set.members[index].weight
    }

    fn reported_weight(&self, index: usize) -> Option<f64> {
        let settings = self.set.settings.reports()?;
        self.set.members[index].known.reported.weight(self.now, &settings)
    }

    fn tier(&self, index: usize) -> u32 {
        self.set.members[index].tier
    }

    fn locality(&self, index: usize) -> u32 {
        self.set.members[index].locality
    }

    fn locality_weight(&self, locality: u32) -> f64 {
        self.set.localities[locality as usize].1
    }

    fn version(&self) -> Option<u64> {
        Some(self.set.version)
    }
}

fn picker(settings: &BalanceSettings, is_layered: bool) -> Picker {
    let picker = Picker::new(settings.picker).with_panic_ratio(settings.outlier.usable_ratio_min);
    if is_layered { picker.with_locality(settings.locality) } else { picker }
}
