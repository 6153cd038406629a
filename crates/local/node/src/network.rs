//! The network of a machine: ranges of addresses, names of what is created, ports of a proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The user and group id that proxies run as; their own traffic is never captured.
pub const PROXY_UID: u32 = 2102;

/// Where a proxy answers questions about itself, on loopback only.
pub const ADMIN_PORT: u16 = 15000;
/// Where captured connections of the application go.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where captured connections to the application go.
pub const INBOUND_PORT: u16 = 15006;
/// Where proxies take each other's connections.
pub const MESH_PORT: u16 = weft_model::mesh::MESH_PORT;
/// Where a proxy shows its metrics.
pub const METRICS_PORT: u16 = 15020;
/// Where a proxy says whether it is ready.
pub const READY_PORT: u16 = 15021;
/// Where captured questions of DNS go.
pub const DNS_PORT: u16 = 15053;

/// The ports that are the proxy's, now or one day: an application cannot say to have one.
pub const PROXY_PORTS: [(u16, u16); 2] = [(ADMIN_PORT, READY_PORT), (DNS_PORT, DNS_PORT)];

/// The addresses of one workload or of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Addrs {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6, unless the network has none.
    pub v6: Option<Ipv6Addr>,
}

/// A range of addresses; the n-th address of both families belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// IPv4.
    pub v4: Ipv4Net,
    /// IPv6, unless there is none.
    pub v6: Option<Ipv6Net>,
}

/// The network that workloads share, and how everything in it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What names of namespaces and links begin with; at most 7 bytes, so that a link's name
    /// keeps the kernel's limit of 15.
    pub prefix: String,
    /// The bridge that joins all workloads.
    pub bridge: String,
    /// The table of nftables, in the workloads' namespaces and in the machine's own.
    pub table: String,
    /// Addresses of workloads. The first one is the machine's own, on the bridge.
    pub workloads: Range,
    /// Virtual addresses of services. Nothing ever listens on them: every connection to them is
    /// captured.
    pub services: Range,
    /// The domain that names of services end in.
    pub domain: String,
}

// === impl Addrs ===

impl Addrs {
    /// Those that there are, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(IpAddr::V4(self.v4)).chain(self.v6.map(IpAddr::V6))
    }
}

// === impl Range ===

impl Range {
    /// The address `offset` places behind the range's beginning, in both families. `None` beyond
    /// the end; the last IPv4 address (broadcast) is beyond it, too.
    pub fn at(&self, offset: u32) -> Option<Addrs> {
        if offset >= self.end() {
            return None;
        }
        let v4 = Ipv4Addr::from_bits(self.v4.network().to_bits() + offset);
        let v6 =
            self.v6.map(|net| Ipv6Addr::from_bits(net.network().to_bits() + u128::from(offset)));
        Some(Addrs { v4, v6 })
    }

    /// The first offset that is none of the range's any more.
    pub fn end(&self) -> u32 {
        let v4 = u32::MAX.checked_shr(u32::from(self.v4.prefix_len())).unwrap_or(0);
        let v6_bits = self.v6.map_or(128, |net| 128 - u32::from(net.prefix_len()));
        let v6 = 1_u32.checked_shl(v6_bits).map_or(u32::MAX, |count| count.saturating_sub(1));
        v4.min(v6)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.v6 {
            Some(v6) => write!(f, "{} and {v6}", self.v4),
            None => write!(f, "{}", self.v4),
        }
    }
}

// === impl Network ===

impl Network {
    /// The machine's own addresses on the bridge, which are the workloads' way out and, as far as
    /// they can see, their DNS server.
    pub fn gateway(&self) -> Addrs {
        self.workloads.at(1).unwrap_or(Addrs { v4: self.workloads.v4.network(), v6: None })
    }

    /// Takes IPv6 away, for machines whose kernel has none.
    pub fn without_v6(mut self) -> Self {
        self.workloads.v6 = None;
        self.services.v6 = None;
        self
    }
}

impl Default for Network {
    /// Namespaces and links `wf-*`, bridge `weft0`, table `weft`; workloads in 10.77.0.0/16 and
    /// fd77::/64, services in 10.78.0.0/16 and fd78::/64, below `cluster.local`.
    fn default() -> Self {
        let v4 = |second| Ipv4Net::new_assert(Ipv4Addr::new(10, second, 0, 0), 16);
        let v6 = |first| Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), 64);
        Self {
            prefix: "wf-".into(),
            bridge: "weft0".into(),
            table: "weft".into(),
            workloads: Range { v4: v4(77), v6: Some(v6(0xfd77)) },
            services: Range { v4: v4(78), v6: Some(v6(0xfd78)) },
            domain: "cluster.local".into(),
        }
    }
}
