//! What the places of caller and endpoint are to each other.

use crate::problem::Pos;
use crate::read::{Field, Reader};

/// What the places of caller and endpoint are to each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalityLb {
    /// Whether it holds; `None` for the default, which is that it does.
    pub enabled: Option<bool>,
    /// Which shares of calls go where, by the caller's place.
    pub distribute: Vec<Distribute>,
    /// Where calls go when a region has nobody left.
    pub failover: Vec<RegionFailover>,
    /// Labels that make endpoints nearer, each only with all before it.
    pub failover_priority: Vec<PriorityLabel>,
}

/// Fills zones by the callers that they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneAwareLb {
    /// Whether it holds; `None` for the default, which is that it does.
    pub enabled: Option<bool>,
    /// Where calls go when a region has nobody left.
    pub failover: Vec<RegionFailover>,
    /// Labels that make endpoints nearer, each only with all before it.
    pub failover_priority: Vec<PriorityLabel>,
    /// With fewer endpoints zones play no role; 6 by default.
    pub min_cluster_size: u64,
}

/// The shares of calls of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribute {
    /// The place of the caller.
    pub from: LocalityPattern,
    /// Places of endpoints, with percentages that add up to 100.
    pub to: Vec<(LocalityPattern, u32)>,
    /// Where it is written.
    pub at: Pos,
}

/// Where calls go when a region has nobody left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionFailover {
    /// The region.
    pub from: Box<str>,
    /// The one that takes its place.
    pub to: Box<str>,
    /// Where it is written.
    pub at: Pos,
}

/// Places: `region`, `region/zone`, `region/zone/subzone`, the last of which may be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalityPattern {
    /// The region; `None` for any.
    pub region: Option<Box<str>>,
    /// The zone; `None` for any.
    pub zone: Option<Box<str>>,
    /// The part of the zone; `None` for any.
    pub subzone: Option<Box<str>>,
}

/// A label that makes endpoints nearer that have the same as the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityLabel {
    /// Its name.
    pub name: Box<str>,
    /// The value that endpoints must have; `None` for that of the caller.
    pub value: Option<Box<str>>,
}

/// What [`ZoneAwareLb::min_cluster_size`] is by default.
const MIN_CLUSTER_SIZE: u64 = 6;

/// The labels that say where a workload is.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

// === impl LocalityLb ===

impl LocalityLb {
    /// Reads `localityLbSetting`.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let setting = Self {
            enabled: reader.bool("enabled"),
            distribute: reader.list("distribute", |item| item.nested(Distribute::read)),
            failover: RegionFailover::take_all(reader),
            failover_priority: PriorityLabel::take_all(reader),
        };
        if !setting.distribute.is_empty() && !setting.failover.is_empty() {
            let fix = Some("keep one of them".into());
            reader.error("`distribute` and `failover` exclude each other", fix);
        }
        let topology = setting.failover_priority.iter().find(|label| label.is_topology());
        if let Some(label) = topology.filter(|_| !setting.failover.is_empty()) {
            let message = format!("`failover` and the label `{}` exclude each other", label.name);
            reader.error(message, Some("keep one of them".into()));
        }
        let from = setting.distribute.iter().map(|one| &one.from);
        check_overlap(reader, &from.collect::<Vec<_>>());
        Some(setting)
    }
}

// === impl ZoneAwareLb ===

impl ZoneAwareLb {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let size = reader.take("minClusterSize").map(|field| field.int(1, i64::MAX));
        let setting = Self {
            enabled: reader.bool("enabled"),
            failover: RegionFailover::take_all(reader),
            failover_priority: PriorityLabel::take_all(reader),
            min_cluster_size: size.map_or(Some(MIN_CLUSTER_SIZE), |size| Some(size? as u64))?,
        };
        if let Some(label) = setting.failover_priority.iter().find(|label| label.is_topology()) {
            let message = format!("the label `{}` plays its role without being named", label.name);
            reader.error(message, Some("remove it".into()));
        }
        Some(setting)
    }
}

// === impl Distribute ===

impl Distribute {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let from = reader
            .require("from")
            .and_then(|field| LocalityPattern::read(&field, &field.non_empty_string()?));
        let field = reader.require("to")?;
        let map = field.reader()?;
        let mut to = Vec::new();
        for (text, share) in map.rest() {
            let share = share.int(1, 100).map(|share| share as u32);
            let place = LocalityPattern::read(&field, text);
            if let (Some(place), Some(share)) = (place, share) {
                to.push((place, share));
            }
        }
        let total: u32 = to.iter().map(|(_, share)| share).sum();
        if total != 100 {
            field.error(format!("the shares add up to {total} instead of 100"), None);
        }
        check_overlap(reader, &to.iter().map(|(place, _)| place).collect::<Vec<_>>());
        Some(Self { from: from?, to, at: reader.at() })
    }
}

// === impl RegionFailover ===

impl RegionFailover {
    fn take_all(reader: &Reader<'_, '_>) -> Vec<Self> {
        reader.list("failover", |item| item.nested(Self::read))
    }

    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let region = |name| {
            let field = reader.require(name)?;
            let region = field.non_empty_string()?;
            if region.contains(['/', '*']) {
                let fix = Some("write the region alone".into());
                field.error(format!("`{region}` is not the name of a region"), fix);
                return None;
            }
            Some(region)
        };
        let (from, to) = (region("from"), region("to"));
        let (from, to) = (from?, to?);
        if from == to {
            reader.error(format!("`{from}` cannot take its own place"), None);
        }
        Some(Self { from, to, at: reader.at() })
    }
}

// === impl LocalityPattern ===

impl LocalityPattern {
    /// Whether it is a place of that region, zone and part of the zone, each perhaps empty.
    pub fn is_match(&self, region: &str, zone: &str, subzone: &str) -> bool {
        let fits = |wanted: &Option<Box<str>>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| **wanted == *found)
        };
        fits(&self.region, region) && fits(&self.zone, zone) && fits(&self.subzone, subzone)
    }

    fn read(field: &Field<'_, '_>, text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(3, '/').collect();
        let (last, front) = parts.split_last()?;
        let has_star = |part: &&str| part.contains('*');
        let is_wrong = parts.iter().any(|part| part.is_empty())
            || front.iter().any(has_star)
            || has_star(last) && *last != "*";
        if is_wrong {
            let fix = Some("write region/zone/subzone, or `*` as the last of them".into());
            field.error(format!("`{text}` is not a place"), fix);
            return None;
        }
        let part = |index: usize| {
            parts.get(index).filter(|part| **part != "*").map(|part| Box::from(*part))
        };
        Some(Self { region: part(0), zone: part(1), subzone: part(2) })
    }

    fn overlaps(&self, other: &Self) -> bool {
        let pairs = [
            (&self.region, &other.region),
            (&self.zone, &other.zone),
            (&self.subzone, &other.subzone),
        ];
        pairs.iter().all(|(one, other)| one.is_none() || other.is_none() || one == other)
    }
}

impl std::fmt::Display for LocalityPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [&self.region, &self.zone, &self.subzone];
        for (index, part) in parts.iter().enumerate() {
            let slash = if index > 0 { "/" } else { "" };
            match part {
                Some(part) => write!(f, "{slash}{part}")?,
                None => return write!(f, "{slash}*"),
            }
        }
        Ok(())
    }
}

/// Says of which places nobody knows which line holds.
fn check_overlap(reader: &Reader<'_, '_>, places: &[&LocalityPattern]) {
    for (index, place) in places.iter().enumerate() {
        if let Some(other) = places[..index].iter().find(|other| other.overlaps(place)) {
            reader.error(format!("`{place}` and `{other}` have places in common"), None);
        }
    }
}

// === impl PriorityLabel ===

impl PriorityLabel {
    fn take_all(reader: &Reader<'_, '_>) -> Vec<Self> {
        reader.list("failoverPriority", |item| {
            let text = item.non_empty_string()?;
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (&*text, None),
            };
            Some(Self { name: name.into(), value: value.map(Into::into) })
        })
    }

    fn is_topology(&self) -> bool {
        TOPOLOGY.contains(&&*self.name)
    }
}
