//! How long certificates live.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use crate::validity::Validity;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Shorter leaves would be renewed all the time.
const LEAF_MIN: Duration = Duration::from_secs(10);

/// Longer leaves would outlive what they say; the most that Istio allows.
const LEAF_MAX: Duration = DAY.saturating_mul(90);

/// A fresh leaf is valid so long ago already: clocks in the mesh may differ by that much.
const LEAF_BACKDATE: Duration = Duration::from_secs(60);

/// The same for authorities, which are made once and used long after.
const CA_BACKDATE: Duration = Duration::from_secs(3600);

/// How long certificates live from the moment they are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a root. Default: ten years.
    pub root: Duration,
    /// Of an intermediate, at most as long as the root's. Default: one year.
    pub intermediate: Duration,
    /// Of a workload's certificate, from 10 s to 90 days and at most as long as the intermediate's.
    /// Default: 24 hours.
    pub leaf: Duration,
}

/// Lifetimes that make no sense together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLifetimes {
    /// The leaf's.
    #[error("the lifetime of workload certificates is {} s: it must be 10 s to 90 days", .0.as_secs())]
    Leaf(Duration),
    /// The intermediate's.
    #[error("the intermediate must live at least as long as workload certificates")]
    Intermediate,
    /// The root's.
    #[error("the root must live at least as long as the intermediate")]
    Root,
}

// === impl Lifetimes ===

impl Lifetimes {
    /// Checks them against each other.
    pub(crate) fn check(&self) -> Result<(), InvalidLifetimes> {
        let Self { root, intermediate, leaf } = *self;
        if !(LEAF_MIN..=LEAF_MAX).contains(&leaf) {
            return Err(InvalidLifetimes::Leaf(leaf));
        }
        if intermediate < leaf {
            return Err(InvalidLifetimes::Intermediate);
        }
        if root < intermediate {
            return Err(InvalidLifetimes::Root);
        }
        Ok(())
    }

    /// From when until when a root that is made now is valid.
    pub(crate) fn of_root(&self, now: SystemTime) -> Validity {
        Validity::new(earlier(now, CA_BACKDATE), later(now, self.root))
    }

    /// The same of an intermediate under a root that ends at `root_end`.
    pub(crate) fn of_intermediate(&self, now: SystemTime, root_end: SystemTime) -> Validity {
        let end = later(now, self.intermediate).min(root_end);
        Validity::new(earlier(now, CA_BACKDATE), end)
    }

    /// The same of a leaf under authorities of which one ends at `ca_end`.
    pub(crate) fn of_leaf(&self, now: SystemTime, ca_end: SystemTime) -> Validity {
        // Of a life of seconds, as tests have them, most must lie ahead.
        let backdate = LEAF_BACKDATE.min(self.leaf / 4);
        Validity::new(earlier(now, backdate), later(now, self.leaf).min(ca_end))
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { root: DAY * 3650, intermediate: DAY * 365, leaf: DAY }
    }
}

fn earlier(now: SystemTime, by: Duration) -> SystemTime {
    now.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What no clock can name is cut by [`Validity`] anyway.
fn later(now: SystemTime, by: Duration) -> SystemTime {
    now.checked_add(by.min(DAY * 365 * 1000)).unwrap_or(now)
}
