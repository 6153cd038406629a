//! Networks that cover addresses.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// More than these are no help: every proxy knows them, and looks through them.
const NETWORKS_MAX: usize = 64;

/// Lengths of prefixes: of what is usually one node's, and coarser ones.
const V4: [u8; 6] = [24, 20, 16, 12, 8, 0];
const V6: [u8; 5] = [64, 56, 48, 32, 0];

/// Few networks that hold all of these addresses, and not many others: of each family the closest
/// ones of which so many do.
pub(super) fn cover(addrs: impl IntoIterator<Item = IpAddr>) -> Box<[IpNet]> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addrs.into_iter().partition(IpAddr::is_ipv4);
    let networks = closest(&v4, &V4).into_iter().chain(closest(&v6, &V6));
    networks.collect()
}

fn closest(addrs: &[IpAddr], lengths: &[u8]) -> BTreeSet<IpNet> {
    let of = |length: &u8| -> BTreeSet<IpNet> {
        let network = |ip: &IpAddr| IpNet::new(*ip, *length).ok();
        addrs.iter().filter_map(network).map(|network| network.trunc()).collect()
    };
    let mut found = lengths.iter().map(of);
    found.find(|networks| networks.len() <= NETWORKS_MAX).unwrap_or_default()
}
