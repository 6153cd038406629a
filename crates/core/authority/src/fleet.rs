//! What the live proxies say of themselves.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use weft_model::id::WorkloadName;
use weft_model::identity::Identity;

use crate::fingerprint::Fingerprint;
use crate::validity::{Validity, since};

/// How far the clock of a peer may be behind ours: so much longer it accepts what has ended.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What one live proxy has last reported.
///
/// A proxy is listed from the moment it is given a certificate until it has said goodbye or its
/// certificate has ended: one that is cut off from the control plane goes on serving, with the
/// bundle that it has. While it has not reported a certificate that it has been given, it is listed
/// once with that and once with what it has reported. Whoever else holds a certificate of this authority and is to be kept from
/// being stranded, such as the client of a Workload API socket, is listed the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyReport {
    /// The workload beside it.
    pub proxy: WorkloadName,
    /// The certificates that it accepts as roots of others.
    pub trusts: BTreeSet<Fingerprint>,
    /// What it presents itself; `None` until it has been given one.
    pub leaf: Option<LeafReport>,
    /// When it said so.
    pub reported_at: SystemTime,
}

/// What a proxy presents to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafReport {
    /// Who it says it is.
    pub identity: Identity,
    /// The root that it chains to.
    pub root: Fingerprint,
    /// From when until when.
    pub validity: Validity,
}

// === impl ProxyReport ===

impl ProxyReport {
    /// The certificate that others may still accept. Without one a proxy takes no part in the
    /// mesh, and gets the bundle of the moment along with its next certificate.
    pub(crate) fn live_leaf(&self, now: SystemTime) -> Option<&LeafReport> {
        self.leaf.as_ref().filter(|leaf| leaf.validity.not_after + CLOCK_SKEW > now)
    }

    /// How long ago it was heard of.
    pub(crate) fn reported_ago(&self, now: SystemTime) -> Duration {
        since(self.reported_at, now)
    }
}
