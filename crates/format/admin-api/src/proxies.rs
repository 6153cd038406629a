//! What every proxy has of the configuration.

use serde::{Deserialize, Serialize};

/// Answer of `/proxies`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxiesView {
    /// The newest generation.
    pub generation: u64,
    /// On how many of the connected proxies it is in force.
    pub in_force: usize,
    /// How many proxies are connected.
    pub connected: usize,
    /// The proxies that are connected, or were not long ago, by workload.
    pub proxies: Vec<ProxyView>,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyView {
    /// Its workload, `namespace/name`.
    pub workload: String,
    /// Whether it is there.
    pub is_connected: bool,
    /// For how many seconds it has been connected, or gone.
    pub since_secs: u64,
    /// How many seconds ago it last said something.
    pub last_seen_secs: u64,
    /// Where it comes, or came, from.
    pub peer: String,
    /// Its version, as it says.
    pub product_version: String,
    /// The generation that it was last sent whole.
    pub sent: u64,
    /// The generation of which it said that all is in force.
    pub in_force: u64,
    /// How many services it uses.
    pub services: usize,
    /// What it could not take.
    pub rejected: Vec<RejectedView>,
    /// Fingerprints of the roots that it trusts, as it says.
    pub trusts: Vec<String>,
    /// Fingerprint of the root that its certificate chains to, as it says.
    pub root: Option<String>,
}

/// A resource that a proxy could not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedView {
    /// `index`, `service` or `workload`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why, in the words of the proxy.
    pub reason: String,
}
