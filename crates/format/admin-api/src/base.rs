//! What a running mesh is compiled from, for whoever wants to know what a change would do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Answer to `GET /base`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BaseView {
    /// Files and folders that are followed.
    pub files: Vec<String>,
    /// What names of services end in.
    pub domain: String,
    /// The trust domain.
    pub trust_domain: String,
    /// Workloads that run here.
    pub workloads: Vec<WorkloadView>,
}

/// A workload that runs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadView {
    /// Namespace.
    pub namespace: String,
    /// Its own name in it.
    pub name: String,
    /// The name that it was asked for under.
    pub service: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The account that its identity is made of.
    pub service_account: String,
    /// Its addresses.
    pub addrs: Vec<IpAddr>,
    /// Where its application listens: number, name and protocol.
    pub ports: Vec<(u16, String, Option<String>)>,
    /// Where its proxy takes connections.
    pub proxy: Option<SocketAddr>,
    /// Zone.
    pub zone: Option<String>,
    /// Whether it takes calls.
    pub is_ready: bool,
}
