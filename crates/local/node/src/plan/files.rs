//! The files that take the place of the machine's own in a workload's namespace.

use std::net::IpAddr;

use crate::network::{Addrs, Network};
use crate::plan::{Machine, Placement};

/// The name under which a workload reaches the machine it runs on.
const MACHINE_NAME: &str = "host.weftway.internal";

/// Name and text of each.
pub(super) fn files(network: &Network, placement: &Placement) -> Vec<(&'static str, String)> {
    let Placement { workload, addrs, machine, .. } = placement;
    let mut files = vec![
        ("resolv.conf", resolv(network, workload.namespace(), machine)),
        ("hosts", hosts(network, addrs, machine)),
    ];
    files.extend(machine.nsswitch.as_deref().map(|text| ("nsswitch.conf", nsswitch(text))));
    files
}

/// The server is any address that is not loopback, since every question is captured. Names are
/// searched as in a pod of Kubernetes (`ndots:5`), and then as on this machine.
fn resolv(network: &Network, namespace: &str, machine: &Machine) -> String {
    let domain = &network.domain;
    let mut search =
        vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    search.extend(searched(&machine.resolv).into_iter().filter(|name| name != "."));
    let server = network.gateway().v4;
    let search = search.join(" ");
    format!("nameserver {server}\nsearch {search}\noptions ndots:5\n")
}

/// The last `search` or `domain` line holds (resolv.conf(5)).
fn searched(resolv: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in resolv.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            found = words.map(str::to_owned).collect();
        }
    }
    found
}

/// The machine's own entries stay, unless they lead to its loopback, which is not the workload's,
/// or are its own name, which leads to the workload: that is where its programs are.
fn hosts(network: &Network, addrs: &Addrs, machine: &Machine) -> String {
    let hostname = &machine.hostname;
    let mut lines = vec![
        "127.0.0.1 localhost".to_owned(),
        "::1 localhost ip6-localhost ip6-loopback".to_owned(),
        format!("{} {MACHINE_NAME}", network.gateway().v4),
    ];
    if !hostname.is_empty() && hostname != "localhost" {
        lines.extend(addrs.iter().map(|ip| format!("{ip} {hostname}")));
    }
    for line in machine.hosts.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        let is_own = ip.is_loopback() || words.any(|name| name == hostname);
        if !is_own {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

/// Hosts come from `hosts` and DNS, and from no service that would ask beside the proxy (`resolve`,
/// `mdns4_minimal`); everything else stays.
fn nsswitch(text: &str) -> String {
    let is_hosts = |line: &&str| line.trim_start().starts_with("hosts:");
    let kept = text.lines().filter(|line| !is_hosts(line));
    let mut lines: Vec<&str> = kept.collect();
    lines.push("hosts: files dns");
    lines.join("\n") + "\n"
}
