//! Which endpoints come first, by where they and the caller run.
//!
//! The order becomes [`Endpoint::tier`], the shares of places become [`Endpoint::weight`]. Neither
//! asks whether endpoints are set aside when they fail: that is the picker's part.

#[cfg(test)]
mod tests;

use weft_model::backend::Endpoint;
use weft_model::calling::{Distribute, Labels, Locality, LocalityOrder};
use weft_model::mesh::MeshEndpoint;

use super::{Caller, endpoint};

/// What weights of endpoints are multiplied with where places share by percentages: shares are right
/// to a ten thousandth, and a hundred percent fit.
const WEIGHT_SCALE: u64 = 10_000;

/// Labels that everything has because of where it runs.
const PLACES: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// The tier of endpoints that are not of the caller's region.
const OTHER_REGION: u8 = 3;

/// A place: region, zone, subzone; empty where it is not known.
type Place<'a> = [&'a str; 3];

/// The endpoints that a caller uses for a port of the service, in tiers.
pub(super) fn placed<'a>(
    known: impl Iterator<Item = &'a MeshEndpoint>,
    port: u16,
    caller: &Caller<'_>,
    locality: Option<&Locality>,
) -> Vec<Endpoint> {
    let known = known.filter_map(|known| Some((known, endpoint(known, port)?)));
    let Some(Locality { distribute, order, failover, zones_from }) = locality else {
        return known.map(|(_, endpoint)| endpoint).collect();
    };
    let here = caller.locality.map(place);
    let from = here.unwrap_or_default();
    if let Some(shares) = distribute.iter().find(|entry| fits(&entry.from, from)) {
        return distributed(known.map(|(_, endpoint)| endpoint).collect(), shares);
    }
    match (order, here) {
        (LocalityOrder::Labels(labels), _) => {
            let tier = |known: &MeshEndpoint| by_labels(labels, caller, known);
            known.map(|(known, endpoint)| Endpoint { tier: tier(known), ..endpoint }).collect()
        }
        (LocalityOrder::Place, Some(here)) => {
            let mut all: Vec<Endpoint> = known.map(|(_, endpoint)| endpoint).collect();
            for endpoint in &mut all {
                let there = endpoint.locality.as_deref().map(place).unwrap_or_default();
                endpoint.tier = by_place(here, there, failover);
            }
            let is_of_region = |endpoint: &&mut Endpoint| endpoint.tier < OTHER_REGION;
            if (all.iter_mut().filter(is_of_region).count() as u64) < u64::from(*zones_from) {
                all.iter_mut().filter(is_of_region).for_each(|endpoint| endpoint.tier = 0);
            }
            all
        }
        (LocalityOrder::SameZone, Some(here)) => {
            let all: Vec<Endpoint> = known.map(|(_, endpoint)| endpoint).collect();
            let is_near = |endpoint: &Endpoint| {
                let there = endpoint.locality.as_deref().map(place).unwrap_or_default();
                !here[1].is_empty() && there[..2] == here[..2]
            };
            match all.iter().any(is_near) {
                true => all.into_iter().filter(is_near).collect(),
                false => all,
            }
        }
        // Nobody knows what is near to a caller of whom it is not known where it runs.
        (LocalityOrder::None, _) | (LocalityOrder::Place | LocalityOrder::SameZone, None) => {
            known.map(|(_, endpoint)| endpoint).collect()
        }
    }
}

fn place(locality: &str) -> Place<'_> {
    let mut parts = locality.splitn(3, '/');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Whether a place is one of those that `pattern` means: `*`, and what is left out, is any.
fn fits(pattern: &str, place: Place<'_>) -> bool {
    let wanted = self::place(pattern);
    wanted.iter().zip(place).enumerate().all(|(level, (wanted, part))| {
        *wanted == "*" || *wanted == part || (wanted.is_empty() && level > 0)
    })
}

/// Endpoints of the places that get a share, weighted so that they get it.
fn distributed(all: Vec<Endpoint>, shares: &Distribute) -> Vec<Endpoint> {
    let share_of = |endpoint: &Endpoint| {
        let there = endpoint.locality.as_deref().map(place).unwrap_or_default();
        shares.to.iter().position(|(to, _)| fits(to, there))
    };
    let mut totals = vec![0_u64; shares.to.len()];
    for endpoint in &all {
        if let Some(share) = share_of(endpoint) {
            totals[share] += u64::from(endpoint.weight);
        }
    }
    let weighted = |endpoint: Endpoint| {
        let share = share_of(&endpoint)?;
        let percent = u64::from(shares.to[share].1.min(100));
        let part = u64::from(endpoint.weight) * percent * WEIGHT_SCALE / totals[share].max(1);
        let weight = u32::try_from(part.max(1)).unwrap_or(u32::MAX);
        (percent > 0).then_some(Endpoint { weight, ..endpoint })
    };
    all.into_iter().filter_map(weighted).collect()
}

/// Subzone, zone, region, then the region that stands in, if one does, then others.
fn by_place(here: Place<'_>, there: Place<'_>, failover: &[(Box<str>, Box<str>)]) -> u8 {
    let shared = here.iter().zip(there).take_while(|(here, there)| **here == *there).count();
    if shared > 0 {
        return OTHER_REGION - shared as u8;
    }
    match failover.iter().find(|(from, _)| **from == *here[0]) {
        Some((_, to)) if **to != *there[0] => OTHER_REGION + 1,
        _ => OTHER_REGION,
    }
}

/// How many of the labels are left from the first on that differs.
fn by_labels(labels: &[Box<str>], caller: &Caller<'_>, known: &MeshEndpoint) -> u8 {
    let is_shared = |label: &str| {
        let (key, wanted) = match label.split_once('=') {
            Some((key, value)) => (key, value),
            None => (label, value(label, caller.labels, caller.locality)),
        };
        value(key, &known.labels, known.locality.as_deref()) == wanted
    };
    let shared = labels.iter().take_while(|label| is_shared(label)).count();
    u8::try_from(labels.len() - shared).unwrap_or(u8::MAX)
}

/// The value of a label; empty without it.
fn value<'a>(key: &str, labels: &'a Labels, locality: Option<&'a str>) -> &'a str {
    if let Some((_, value)) = labels.iter().find(|(known, _)| **known == *key) {
        return value;
    }
    let level = PLACES.iter().position(|place| *place == key);
    level.zip(locality).map_or("", |(level, locality)| place(locality)[level])
}
