//! Virtual addresses of services that documents give none.
//!
//! The place of an address in its range follows from the service's name, and goes up to the next
//! free one when two names fall on one. So a service gets the same address again, on every machine
//! and also where nothing was kept. What was given out stays: a service keeps its address while it
//! is there, and finds it again when it comes back unless the range has run out meanwhile.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use weft_model::Generation;
use weft_model::id::ServiceName;

/// Where virtual addresses come from; the n-th address of both families belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceRange {
    /// IPv4.
    pub v4: Ipv4Net,
    /// IPv6, unless there is none.
    pub v6: Option<Ipv6Net>,
}

/// Which service has which virtual address, and which had one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned {
    places: BTreeMap<ServiceName, Place>,
}

/// A text is not what [`Assigned::encode`] has made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAssigned {
    /// A line is not a place and a name.
    #[error("line {0} is not a place and a name")]
    Line(usize),
    /// Two services have one place, or one service has two.
    #[error("line {0} contradicts one before")]
    Contradiction(usize),
}

/// A place in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u32,
    /// The first generation without the service; `None` while it is there.
    left: Option<Generation>,
}

// === impl ServiceRange ===

impl ServiceRange {
    /// The addresses at a place.
    fn at(&self, offset: u32) -> impl Iterator<Item = IpAddr> {
        let v4 = Ipv4Addr::from_bits(self.v4.network().to_bits() + offset);
        let v6 =
            self.v6.map(|net| Ipv6Addr::from_bits(net.network().to_bits() + u128::from(offset)));
        std::iter::once(IpAddr::V4(v4)).chain(v6.map(IpAddr::V6))
    }

    /// The first place that is none any more. Place 0 is the range itself, the last one of IPv4 is
    /// broadcast.
    fn end(&self) -> u32 {
        let v4 = u32::MAX.checked_shr(self.v4.prefix_len().into()).unwrap_or(0);
        let v6_bits = self.v6.map_or(128, |net| 128 - u32::from(net.prefix_len()));
        let v6 = 1_u32.checked_shl(v6_bits).map_or(u32::MAX, |count| count - 1);
        v4.min(v6)
    }
}

impl Default for ServiceRange {
    /// 10.78.0.0/16 and fd78::/64.
    fn default() -> Self {
        Self {
            v4: Ipv4Net::new_assert(Ipv4Addr::new(10, 78, 0, 0), 16),
            v6: Some(Ipv6Net::new_assert(Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 0), 64)),
        }
    }
}

// === impl Assigned ===

impl Assigned {
    /// The places that result when just `names` want one. Those of addresses that are `taken`
    /// otherwise are nobody's.
    pub(super) fn update(
        &self,
        names: &BTreeSet<ServiceName>,
        taken: &HashSet<IpAddr>,
        range: &ServiceRange,
        generation: Generation,
    ) -> Self {
        let end = range.end();
        let is_usable = |offset: u32| {
            (1..end).contains(&offset) && !range.at(offset).any(|ip| taken.contains(&ip))
        };
        let mut wanted = names.iter();
        let is_as_before = |(name, place): (&ServiceName, &Place)| {
            wanted.next() == Some(name) && place.left.is_none() && is_usable(place.offset)
        };
        if self.places.iter().all(is_as_before) && wanted.next().is_none() {
            return self.clone();
        }
        let mut pool = Pool::default();
        for (name, place) in &self.places {
            if is_usable(place.offset) {
                let is_there = names.contains(name);
                let left = (!is_there).then(|| place.left.unwrap_or(generation));
                pool.insert(name.clone(), Place { offset: place.offset, left });
            }
        }
        for name in names {
            if pool.places.contains_key(name) {
                continue;
            }
            let offset = pool.free(start(name, end), end, is_usable).or_else(|| pool.evict());
            let Some(offset) = offset else { continue };
            pool.insert(name.clone(), Place { offset, left: None });
        }
        Self { places: pool.places }
    }

    /// The addresses of a service that is there; none when the range has run out.
    pub(super) fn addrs(&self, name: &ServiceName, range: &ServiceRange) -> Box<[IpAddr]> {
        let place = self.places.get(name).filter(|place| place.left.is_none());
        place.map(|place| range.at(place.offset).collect()).unwrap_or_default()
    }

    /// Everything as text, one service a line.
    pub fn encode(&self) -> String {
        let line = |(name, place): (&ServiceName, &Place)| match place.left {
            None => format!("{} {name}\n", place.offset),
            Some(left) => format!("{} {name} {left}\n", place.offset),
        };
        self.places.iter().map(line).collect()
    }

    /// Takes up what was kept. Generations begin anew, so that services that were gone have been
    /// gone for the longest.
    ///
    /// # Errors
    ///
    /// [`InvalidAssigned`] when the text is not what [`Assigned::encode`] has made.
    pub fn decode(text: &str) -> Result<Self, InvalidAssigned> {
        let mut pool = Pool::default();
        for (number, line) in (1..).zip(text.lines()) {
            let invalid = InvalidAssigned::Line(number);
            let mut parts = line.split(' ');
            let offset = parts.next().and_then(|text| text.parse().ok());
            let (Some(offset), Some(name)) = (offset, parts.next()) else { return Err(invalid) };
            let left = parts.next().map(|text| text.parse::<u64>());
            if name.is_empty() || parts.next().is_some() || matches!(left, Some(Err(_))) {
                return Err(invalid);
            }
            let name = ServiceName::new(name);
            if pool.places.contains_key(&name) || pool.by_offset.contains_key(&offset) {
                return Err(InvalidAssigned::Contradiction(number));
            }
            let left = left.map(|_| Generation::default());
            pool.insert(name, Place { offset, left });
        }
        Ok(Self { places: pool.places })
    }
}

/// Places by name and by number.
#[derive(Default)]
struct Pool {
    places: BTreeMap<ServiceName, Place>,
    by_offset: HashMap<u32, ServiceName>,
}

// === impl Pool ===

impl Pool {
    fn insert(&mut self, name: ServiceName, place: Place) {
        self.by_offset.insert(place.offset, name.clone());
        self.places.insert(name, place);
    }

    /// The first free place from `start` on, round the range.
    fn free(&self, start: u32, end: u32, is_usable: impl Fn(u32) -> bool) -> Option<u32> {
        let mut round = (start..end).chain(1..start);
        round.find(|offset| !self.by_offset.contains_key(offset) && is_usable(*offset))
    }

    /// The place of the service that has been gone for the longest, which loses it.
    fn evict(&mut self) -> Option<u32> {
        let gone = self.places.iter().filter_map(|(name, place)| Some((place.left?, name)));
        let name = gone.min()?.1.clone();
        let offset = self.places.remove(&name)?.offset;
        self.by_offset.remove(&offset);
        Some(offset)
    }
}

/// Where the search for a place begins: FNV-1a of the name, which is the same in every version.
fn start(name: &ServiceName, end: u32) -> u32 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = name
        .as_str()
        .bytes()
        .fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let count = u64::from(end.saturating_sub(1)).max(1);
    (hash % count) as u32 + 1
}
