//! The endpoints of a backend, and how a picker looks at them.

use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;
use weft_model::calling::Calling;
use weft_resilience::limits::Bound;
use weft_resilience::pick::Candidates;
use weft_resilience::settings::PickerKind;
use weft_resilience::slow_start;

use crate::endpoint::Endpoint;
use crate::lease::Tried;

/// The endpoints at one moment. Another list is another set.
#[derive(Debug, Default)]
pub(crate) struct EndpointSet {
    pub(crate) members: Box<[Member]>,
    /// By the members' numbers: the sum of their weights.
    locality_weights: Box<[f64]>,
    /// Another one for each set of a backend.
    version: u64,
}

/// An endpoint, and what the configuration says of it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) endpoint: Rc<Endpoint>,
    weight: f64,
    tier: u32,
    /// A number for where it runs.
    locality: u32,
}

/// A set as a picker sees it for one request.
pub(crate) struct View<'a> {
    pub(crate) set: &'a EndpointSet,
    pub(crate) calling: &'a Calling,
    pub(crate) now: Instant,
    pub(crate) is_retry: bool,
}

// === impl EndpointSet ===

impl EndpointSet {
    /// The set that follows this one: `make` gives the endpoint for each that is listed.
    pub(crate) fn follow<'a>(
        &self,
        listed: &'a [weft_model::backend::Endpoint],
        mut make: impl FnMut(&'a weft_model::backend::Endpoint) -> Rc<Endpoint>,
    ) -> Self {
        let mut places: Vec<Option<&str>> = Vec::new();
        let mut locality_weights: Vec<f64> = Vec::new();
        let members = listed.iter().map(|one| {
            let place = one.locality.as_deref();
            let locality = places.iter().position(|known| *known == place).unwrap_or_else(|| {
                places.push(place);
                locality_weights.push(0.0);
                places.len() - 1
            });
            let weight = f64::from(one.weight);
            locality_weights[locality] += weight;
            let (tier, locality) = (one.tier.into(), locality as u32);
            Member { endpoint: make(one), weight, tier, locality }
        });
        let members = members.collect();
        Self {
            members,
            locality_weights: locality_weights.into(),
            version: self.version.wrapping_add(1),
        }
    }

    /// The endpoints.
    pub(crate) fn endpoints(&self) -> impl ExactSizeIterator<Item = &Rc<Endpoint>> {
        self.members.iter().map(|member| &member.endpoint)
    }

    /// Where those are that were tried.
    pub(crate) fn positions(&self, tried: &Tried) -> SmallVec<[usize; 4]> {
        if tried.is_empty() {
            return SmallVec::new();
        }
        let all = self.endpoints().enumerate();
        all.filter(|(_, endpoint)| tried.contains(endpoint)).map(|(index, _)| index).collect()
    }
}

// === impl View ===

impl View<'_> {
    fn endpoint(&self, index: usize) -> &Endpoint {
        &self.set.members[index].endpoint
    }

    /// Whether it is up, as far as anybody knows.
    pub(crate) fn is_up(&self, index: usize) -> bool {
        let shared = &self.endpoint(index).shared;
        shared.is_healthy() && shared.passive.is_usable(self.now)
    }

    /// Whether it has as much to do as it may.
    pub(crate) fn is_full(&self, index: usize) -> bool {
        let limits = &self.calling.endpoint_limits;
        let under_way = &self.endpoint(index).shared.under_way;
        under_way.is_full(Bound::Requests, limits.requests)
            || (self.is_retry && under_way.is_full(Bound::Retries, limits.retries))
    }
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.set.members.len()
    }

    fn weight(&self, index: usize) -> f64 {
        let (weight, slow_start) = (self.base_weight(index), &self.calling.slow_start);
        if slow_start.window.is_zero() {
            return weight;
        }
        let age = self.endpoint(index).shared.age(self.now);
        age.map_or(weight, |age| weight * slow_start::factor(slow_start, age))
    }

    fn usable(&self, index: usize) -> bool {
        self.is_up(index) && !self.is_full(index)
    }

    fn load(&self, index: usize) -> f64 {
        let latency = &self.endpoint(index).latency;
        if self.calling.picker == PickerKind::PeakEwma {
            latency.cost(self.now)
        } else {
            f64::from(latency.in_flight())
        }
    }

    fn hash(&self, index: usize) -> u64 {
        self.endpoint(index).hash
    }

    fn base_weight(&self, index: usize) -> f64 {
        self.set.members[index].weight
    }

    fn reported_weight(&self, index: usize) -> Option<f64> {
        match &self.calling.picker {
            PickerKind::WeightedByLoad(settings) => {
                self.endpoint(index).shared.reported.weight(self.now, settings)
            }
            _ => None,
        }
    }

    fn tier(&self, index: usize) -> u32 {
        self.set.members[index].tier
    }

    fn locality(&self, index: usize) -> u32 {
        self.set.members[index].locality
    }

    fn locality_weight(&self, locality: u32) -> f64 {
        self.set.locality_weights[locality as usize]
    }

    fn version(&self) -> Option<u64> {
        Some(self.set.version)
    }
}

#[cfg(test)]
mod tests;
