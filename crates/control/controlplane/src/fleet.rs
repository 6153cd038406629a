//! Who presents which certificate, and trusts which roots: what a rotation of the root has to wait
//! for. Kept on disk, so that a control plane that was started anew does not take a proxy that it
//! cannot hear for one that does not exist.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use weft_authority::{Fingerprint, LeafReport, ProxyReport, Validity};
use weft_model::id::WorkloadName;
use weft_model::identity::Identity;

/// Certificates of one workload that are remembered. It has one, two while it renews, and more when
/// it is started anew again and again; each is a full certificate as far as others can tell.
const PER_WORKLOAD_MAX: usize = 16;

/// How much longer than valid a certificate counts: the clocks of those who verify differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How long the holder of a certificate that has ended may come back with it, to get another one. A
/// key that was of use until yesterday is hardly less safe today, and nobody has to go to a machine
/// that was cut off for a week.
pub(crate) const RETURNING: Duration = Duration::from_secs(7 * 24 * 3600);

/// Workloads with nothing but certificates that have ended, of which so many are remembered.
const ENDED_MAX: usize = 10_000;

/// Who presents which certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fleet {
    by_workload: BTreeMap<WorkloadName, Vec<Known>>,
    /// Those that have ended, and whose holders may come back.
    ended: BTreeMap<WorkloadName, Vec<Known>>,
}

/// One certificate of a workload, and what its holder trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    report: ProxyReport,
    /// The holder has said so itself; else it was given it, and has not said what became of it.
    is_reported: bool,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    workload: String,
    trusts: Vec<String>,
    identity: String,
    root: String,
    not_before_secs: u64,
    not_after_secs: u64,
    reported_at_secs: u64,
    is_reported: bool,
}

/// A file is not of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not what this program has written")]
pub(crate) struct InvalidFleet {
    line: usize,
}

// === impl Fleet ===

impl Fleet {
    /// A workload is given a certificate. Until it says more, it may use it or what it had.
    pub(crate) fn issued(
        &mut self,
        workload: &WorkloadName,
        trusts: &[Fingerprint],
        leaf: LeafReport,
        now: SystemTime,
    ) {
        let known = self.by_workload.entry(workload.clone()).or_default();
        if known.len() >= PER_WORKLOAD_MAX {
            known.remove(0);
        }
        let report = ProxyReport {
            proxy: workload.clone(),
            trusts: trusts.iter().copied().collect(),
            leaf: Some(leaf),
            reported_at: now,
        };
        known.push(Known { report, is_reported: false });
    }

    /// A workload says what it presents. What it was given before that is used no more.
    pub(crate) fn reported(&mut self, mut report: ProxyReport) {
        let Some(leaf) = &mut report.leaf else {
            // It has no certificate. Others of its workload may.
            return;
        };
        let known = self.by_workload.entry(report.proxy.clone()).or_default();
        if let Some(issued) = known
            .iter()
            .find_map(|it| it.report.leaf.as_ref().filter(|issued| is_same(issued, leaf)))
        {
            leaf.validity = issued.validity;
        }
        known.retain(|it| !it.is_replaced_by(leaf));
        give_up(&mut self.ended, &report.proxy, leaf);
        known.push(Known { report, is_reported: true });
    }

    /// A workload presents that certificate no more, nor any older one.
    pub(crate) fn goodbye(&mut self, workload: &WorkloadName, leaf: Option<&LeafReport>) {
        let Some(leaf) = leaf else { return };
        give_up(&mut self.by_workload, workload, leaf);
        give_up(&mut self.ended, workload, leaf);
    }

    /// A workload has ended, whatever it said: nobody presents its certificates.
    pub(crate) fn forget(&mut self, workload: &WorkloadName) {
        self.by_workload.remove(workload);
        self.ended.remove(workload);
    }

    /// Sets certificates aside that nobody accepts any more, and forgets those whose holders come too
    /// late.
    pub(crate) fn forget_ended(&mut self, now: SystemTime) {
        for (workload, known) in &mut self.by_workload {
            let mut ended = known.extract_if(.., |it| it.end() + CLOCK_SKEW <= now).peekable();
            if ended.peek().is_some() {
                self.ended.entry(workload.clone()).or_default().extend(ended);
            }
        }
        self.by_workload.retain(|_, known| !known.is_empty());
        self.ended.retain(|_, known| {
            known.retain(|it| it.end() + RETURNING > now);
            !known.is_empty()
        });
        if let Some(excess) = self.ended.len().checked_sub(ENDED_MAX).filter(|excess| *excess > 0) {
            let end = |known: &[Known]| known.iter().map(Known::end).max();
            let mut all: Vec<_> =
                self.ended.iter().map(|(name, known)| (end(known), name.clone())).collect();
            all.sort();
            for (_, name) in all.into_iter().take(excess) {
                self.ended.remove(&name);
            }
        }
    }

    /// Whether a workload was given a certificate of that identity that ends then, and has not said
    /// since that it has a later one.
    pub(crate) fn is_last(
        &self,
        workload: &WorkloadName,
        identity: &Identity,
        not_after: SystemTime,
    ) -> bool {
        let all = [&self.by_workload, &self.ended].into_iter().filter_map(|all| all.get(workload));
        let own: Vec<&Known> = all.flatten().filter(|it| it.is_of(identity)).collect();
        let end = secs(not_after);
        own.iter().any(|it| secs(it.end()) == end)
            && !own.iter().any(|it| it.is_reported && secs(it.end()) > end)
    }

    /// Whether somebody has to be waited for.
    pub(crate) fn contains(&self, workload: &WorkloadName) -> bool {
        self.by_workload.contains_key(workload)
    }

    /// How many workloads there are.
    pub(crate) fn len(&self) -> usize {
        self.by_workload.len()
    }

    /// How many of them have that identity.
    pub(crate) fn names_of(&self, identity: &Identity) -> usize {
        self.by_workload.values().filter(|known| known.iter().any(|it| it.is_of(identity))).count()
    }

    /// What a workload has last said itself.
    pub(crate) fn reported_by(&self, workload: &WorkloadName) -> Option<&ProxyReport> {
        let known = self.by_workload.get(workload)?;
        known.iter().rev().find(|it| it.is_reported).map(|it| &it.report)
    }

    /// All of it, as the authority takes it.
    pub(crate) fn reports(&self) -> Vec<ProxyReport> {
        self.by_workload.values().flatten().map(|it| it.report.clone()).collect()
    }

    /// The content of the file: a line of JSON for each certificate.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let all = self.by_workload.values().chain(self.ended.values());
        for line in all.flatten().filter_map(Line::of) {
            serde_json::to_writer(&mut bytes, &line).expect("texts and numbers are always JSON");
            bytes.push(b'\n');
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidFleet> {
        let mut fleet = Self::default();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (number, line) in lines.enumerate() {
            let known = serde_json::from_slice::<Line>(line).ok().and_then(|line| line.read());
            let known = known.ok_or(InvalidFleet { line: number + 1 })?;
            fleet.by_workload.entry(known.report.proxy.clone()).or_default().push(known);
        }
        Ok(fleet)
    }
}

// === impl Known ===

impl Known {
    /// When it ends. What is no certificate has ended.
    fn end(&self) -> SystemTime {
        self.report.leaf.as_ref().map_or(UNIX_EPOCH, |leaf| leaf.validity.not_after)
    }

    fn is_of(&self, identity: &Identity) -> bool {
        self.report.leaf.as_ref().is_some_and(|leaf| leaf.identity == *identity)
    }

    /// Whether who presents `leaf` presents this no more. Nobody speaks for another identity, whatever
    /// workload it says to be.
    fn is_replaced_by(&self, leaf: &LeafReport) -> bool {
        let own = self.report.leaf.as_ref();
        own.is_none_or(|own| {
            own.identity == leaf.identity && own.validity.not_after <= leaf.validity.not_after
        })
    }
}

// === impl Line ===

impl Line {
    fn of(known: &Known) -> Option<Self> {
        let Known { report, is_reported } = known;
        let leaf = report.leaf.as_ref()?;
        Some(Self {
            workload: report.proxy.to_string(),
            trusts: report.trusts.iter().map(ToString::to_string).collect(),
            identity: leaf.identity.to_string(),
            root: leaf.root.to_string(),
            not_before_secs: secs(leaf.validity.not_before),
            not_after_secs: secs(leaf.validity.not_after),
            reported_at_secs: secs(report.reported_at),
            is_reported: *is_reported,
        })
    }

    fn read(self) -> Option<Known> {
        let trusts: Result<BTreeSet<Fingerprint>, _> =
            self.trusts.iter().map(|text| text.parse()).collect();
        let leaf = LeafReport {
            identity: self.identity.parse().ok()?,
            root: self.root.parse().ok()?,
            validity: Validity::new(at(self.not_before_secs), at(self.not_after_secs)),
        };
        let report = ProxyReport {
            proxy: WorkloadName::new(self.workload),
            trusts: trusts.ok()?,
            leaf: Some(leaf),
            reported_at: at(self.reported_at_secs),
        };
        Some(Known { report, is_reported: self.is_reported })
    }
}

/// Forgets what a workload presents no more when it presents `leaf`.
fn give_up(
    all: &mut BTreeMap<WorkloadName, Vec<Known>>,
    workload: &WorkloadName,
    leaf: &LeafReport,
) {
    if let Some(known) = all.get_mut(workload) {
        known.retain(|it| !it.is_replaced_by(leaf));
        if known.is_empty() {
            all.remove(workload);
        }
    }
}

/// Whether two are one, as far as a proxy says: it says nothing of the beginning.
fn is_same(one: &LeafReport, two: &LeafReport) -> bool {
    one.identity == two.identity
        && one.root == two.root
        && secs(one.validity.not_after) == secs(two.validity.not_after)
}

fn secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn at(secs: u64) -> SystemTime {
    // Later than the year 10,000 no certificate ends, and the clock of the system may not reach.
    UNIX_EPOCH + Duration::from_secs(secs.min(253_402_300_800))
}
