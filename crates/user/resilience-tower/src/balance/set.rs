//! The endpoints of a set, as one pick sees them.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use weft_resilience::hash;
use weft_resilience::pick::{Ask, Candidates, Picker};
use weft_resilience::rng::Rng;
use weft_resilience::settings::{PickerKind, SlowStartSettings};
use weft_resilience::slow_start;

use super::member::{Known, Lease};
use super::{BalanceSettings, Tried};

/// All endpoints with the state of the picker.
pub(super) struct Set<K, S> {
    picker: Picker,
    kind: PickerKind,
    slow_start: Option<SlowStartSettings>,
    members: Vec<Member<K, S>>,
    /// Where each key is in `members`.
    places: HashMap<K, usize>,
    /// Grows with each change.
    version: u64,
    next_id: u64,
}

struct Member<K, S> {
    known: Arc<Known<K>>,
    service: S,
    weight: f64,
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
        let BalanceSettings { picker: kind, outlier, bias: _, slow_start } = settings;
        Self {
            picker: Picker::new(*kind).with_panic_ratio(outlier.usable_ratio_min),
            kind: *kind,
            slow_start: *slow_start,
            members: Vec::new(),
            places: HashMap::new(),
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
        key: Option<u64>,
        tried: Option<&Tried>,
        rng: &Rng,
    ) -> Result<(S, Lease<K>), usize>
    where
        S: Clone,
    {
        let mut avoided = tried.map(|tried| self.indexes(&tried.ids())).unwrap_or_default();
        // Each round avoids one more, so it ends. More than one is needed only for an endpoint on
        // probation that was picked although its one call is under way, for want of others.
        loop {
            let ask = Ask { key, tried: &avoided, ..Ask::new(now) };
            let picked = self.picker.pick(&Present { set: self, now }, &ask, rng);
            let index = picked.ok_or(self.len())?;
            let Member { known, service, .. } = &self.members[index];
            if known.health.begin(now) || avoided.contains(&index) {
                if let Some(tried) = tried {
                    tried.add(known.id);
                }
                return Ok((service.clone(), Lease::new(Arc::clone(known), now)));
            }
            avoided.push(index);
        }
    }

    /// Where the endpoints with these ids are now.
    fn indexes(&self, ids: &[u64]) -> Vec<usize> {
        if ids.is_empty() {
            return Vec::new();
        }
        let found = |(_, member): &(usize, &Member<K, S>)| ids.contains(&member.known.id);
        self.members.iter().enumerate().filter(found).map(|(index, _)| index).collect()
    }
}

impl<K: Eq + Hash + Clone + fmt::Debug, S> Set<K, S> {
    pub(super) fn insert(&mut self, key: K, service: S, weight: f64, now: Instant) {
        self.version += 1;
        if let Some(&place) = self.places.get(&key) {
            let member = &mut self.members[place];
            (member.service, member.weight) = (service, weight);
            return;
        }
        // What tells endpoints apart in a table must be the same in every process.
        let hash = hash::stable(format!("{key:?}").as_bytes());
        let known = Arc::new(Known::new(key.clone(), self.next_id, now));
        self.next_id += 1;
        self.places.insert(key, self.members.len());
        self.members.push(Member { known, service, weight, hash, joined: now });
    }

    pub(super) fn remove(&mut self, key: &K) -> bool {
        let before = self.len();
        self.retain(|known| known != key);
        self.len() < before
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.version += 1;
        self.members.retain(|member| keep(&member.known.key));
        let places = self.members.iter().enumerate();
        self.places = places.map(|(place, member)| (member.known.key.clone(), place)).collect();
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
        let warm = self.set.slow_start.map_or(1.0, |settings| slow_start::factor(&settings, age));
        member.weight * warm
    }

    fn usable(&self, index: usize) -> bool {
        self.set.members[index].known.health.is_usable(self.now)
    }

    fn load(&self, index: usize) -> f64 {
        let known = &self.set.members[index].known;
        match self.set.kind {
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

    fn version(&self) -> Option<u64> {
        Some(self.set.version)
    }
}
