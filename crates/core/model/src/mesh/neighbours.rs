//! Where other workloads are, for those who call them by their addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::id::ServiceName;

/// Where workloads are that may be called by their addresses, although nothing is known of them
/// here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Neighbours {
    /// Where workloads have their addresses.
    pub networks: Box<[IpNet]>,
    /// What was asked for and does not exist, addresses that are nobody's among it.
    pub missing: Arc<BTreeSet<ServiceName>>,
}

// === impl Neighbours ===

impl Neighbours {
    /// The name by which to ask whose address that is, if it may be that of a workload.
    pub fn unlearned(&self, ip: IpAddr) -> Option<ServiceName> {
        if !self.networks.iter().any(|network| network.contains(&ip)) {
            return None;
        }
        let name = ServiceName::new(ip.to_string());
        (!self.missing.contains(&name)).then_some(name)
    }
}
