//! The rules of nftables in a workload's namespace.
//!
//! Capture is NAT by `redirect`: the kernel remembers where a connection was meant to go, and the
//! proxy asks for it (`SO_ORIGINAL_DST`). It decides once, on a connection's first packet.
//!
//! What leaves is redirected to loopback, what enters to the address it came in on. For datagrams
//! that matters: the answer is recognised only if it comes from there, so a proxy binds its DNS to
//! 127.0.0.1 and ::1, not to all addresses.

use std::fmt::Write as _;

use ipnet::IpNet;

use crate::network::{
    ADMIN_PORT, DNS_PORT, INBOUND_PORT, MESH_PORT, METRICS_PORT, Network, OUTBOUND_PORT, PROXY_UID,
    READY_PORT,
};
use crate::plan::Placement;

/// Where the proxy itself is served to others.
const PUBLIC: [u16; 3] = [MESH_PORT, METRICS_PORT, READY_PORT];

/// Where the proxy listens for what was captured, and for its own workload.
const PRIVATE: [u16; 4] = [ADMIN_PORT, OUTBOUND_PORT, INBOUND_PORT, DNS_PORT];

/// The rules as `nft -f` reads them. They replace what was there under the same name.
pub(super) fn ruleset(network: &Network, placement: &Placement) -> String {
    let table = &network.table;
    let mut out =
        format!("table inet {table}\ndelete table inet {table}\n\ntable inet {table} {{\n");
    let chains = [
        ("outbound", "type nat hook output priority -100", outbound(placement)),
        ("inbound", "type nat hook prerouting priority -100", inbound(placement)),
        ("refuse", "", refuse()),
        ("leave", "type filter hook output priority filter", leave(network, placement)),
        ("enter", "type filter hook input priority filter", enter()),
    ];
    for (name, hook, rules) in chains {
        chain(&mut out, name, hook, &rules);
    }
    out.push_str("}\n");
    out
}

/// What the application calls goes to its proxy. Calls to the workload's own addresses take the
/// loopback link and are nobody's business; a call to its own service's virtual address is captured
/// like any, and what the proxy makes of it is exempt, so there is no circle.
fn outbound(placement: &Placement) -> Vec<String> {
    let exclusions = &placement.exclusions;
    let mut rules = vec![format!("meta skuid {PROXY_UID} return"), "oifname \"lo\" return".into()];
    if let Some(ports) = set(exclusions.outbound.ranges()) {
        rules.push(format!("meta l4proto {{ tcp, udp }} th dport {ports} return"));
    }
    for net in &exclusions.networks {
        let family = match net {
            IpNet::V4(_) => "ip",
            IpNet::V6(_) => "ip6",
        };
        rules.push(format!("{family} daddr {} return", net.trunc()));
    }
    rules.push(format!("meta l4proto {{ tcp, udp }} th dport 53 redirect to :{DNS_PORT}"));
    rules.push(format!("meta l4proto tcp redirect to :{OUTBOUND_PORT}"));
    rules
}

/// What others call goes to the proxy, except what is meant for the proxy itself: its very ports and
/// no others near them, or an application that listened there would be past all policy.
fn inbound(placement: &Placement) -> Vec<String> {
    let mut rules = vec!["iifname \"lo\" return".to_owned()];
    let own: Vec<_> = PUBLIC.into_iter().chain(PRIVATE).map(|port| (port, port)).collect();
    rules.extend(set(&own).map(|ports| format!("tcp dport {ports} return")));
    let excluded = set(placement.exclusions.inbound.ranges());
    rules.extend(excluded.map(|ports| format!("tcp dport {ports} return")));
    rules.push(format!("meta l4proto tcp redirect to :{INBOUND_PORT}"));
    rules
}

/// TCP takes a reset at its word; after an error of ICMPv6 it would try again for a second.
fn refuse() -> Vec<String> {
    vec![
        "meta l4proto tcp reject with tcp reset".into(),
        "reject with icmpx type admin-prohibited".into(),
    ]
}

/// What has not been captured and can reach nobody is refused at once: virtual addresses, and, on a
/// machine that does not forward, everything beyond it.
fn leave(network: &Network, placement: &Placement) -> Vec<String> {
    let mut rules = vec![format!("ip daddr {} goto refuse", network.services.v4)];
    rules.extend(network.services.v6.map(|net| format!("ip6 daddr {net} goto refuse")));
    if !placement.external.v4 {
        let inside = network.workloads.v4;
        rules.push(format!("ip daddr != {{ 127.0.0.0/8, {inside} }} goto refuse"));
    }
    if let (false, Some(inside)) = (placement.external.v6, network.workloads.v6) {
        rules.push(format!("ip6 daddr != {{ ::1, fe80::/10, ff00::/8, {inside} }} goto refuse"));
    }
    rules
}

/// The ports that captured connections go to take nothing else from outside, or a neighbour could
/// use them as its own way out.
fn enter() -> Vec<String> {
    let ports = PRIVATE.map(|port| (port, port));
    let mut rules = vec!["iifname \"lo\" accept".into(), "ct status dnat accept".into()];
    rules.extend(set(&ports).map(|ports| format!("tcp dport {ports} reject with tcp reset")));
    rules.push(format!("udp dport {DNS_PORT} reject"));
    rules
}

/// A chain without a hook is one that others go to.
fn chain(out: &mut String, name: &str, hook: &str, rules: &[String]) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "  chain {name} {{");
    if !hook.is_empty() {
        let _ = writeln!(out, "    {hook}; policy accept;");
    }
    for rule in rules {
        let _ = writeln!(out, "    {rule}");
    }
    out.push_str("  }\n");
}

/// `{ 22, 9000-9010 }`; `None` for no ports, for which there is no notation.
fn set(ranges: &[(u16, u16)]) -> Option<String> {
    let ranges: Vec<String> = ranges
        .iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    (!ranges.is_empty()).then(|| format!("{{ {} }}", ranges.join(", ")))
}
