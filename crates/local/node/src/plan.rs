//! What has to exist for one workload, as a value.
//!
//! A workload lives in a network namespace that is joined to the machine's bridge by a pair of
//! links. Rules of nftables in there hand its connections to its proxy. Three files take the place
//! of the machine's own for whatever runs in the namespace (`ip netns exec` mounts them), so that
//! names resolve through the proxy.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Name;
use crate::command::Command;
use crate::network::{Addrs, Network};
use crate::ports::Ports;

mod files;
mod ruleset;

#[cfg(test)]
mod tests;

/// Where `ip netns exec` looks for the files of a namespace.
pub const NETNS_FILES: &str = "/etc/netns";

/// The link's name inside of the namespace.
const INSIDE: &str = "eth0";

/// A workload that is to get a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Its name.
    pub workload: Name,
    /// Its addresses.
    pub addrs: Addrs,
    /// What is not captured.
    pub exclusions: Exclusions,
    /// What lies beyond the machine.
    pub external: External,
    /// What it inherits from the machine.
    pub machine: Machine,
}

/// What is not captured and passes by the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exclusions {
    /// Ports of the application that take connections directly.
    pub inbound: Ports,
    /// Ports of others that the application calls directly, 53 for its own way of DNS.
    pub outbound: Ports,
    /// Addresses of others that the application calls directly.
    pub networks: Vec<IpNet>,
}

/// Whether packets get out of the machine and answers back. Where they do not, connections are
/// refused at once; otherwise they would hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct External {
    /// By IPv4.
    pub v4: bool,
    /// By IPv6.
    pub v6: bool,
}

/// Files of the machine that those of a namespace are derived from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Its own name.
    pub hostname: String,
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/nsswitch.conf`; `None` where there is none, and none is made then.
    pub nsswitch: Option<String>,
    /// `/etc/resolv.conf`.
    pub resolv: String,
}

/// What has to exist for one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The network namespace.
    pub namespace: String,
    /// The link on the machine's side.
    pub link: String,
    /// What makes it, in order.
    pub create: Vec<Step>,
    /// What unmakes it. Each step may fail because there is nothing to unmake.
    pub remove: Vec<Step>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Runs a program.
    Run(Command),
    /// Writes a file and the folders above it.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// Removes a folder and what is in it.
    RemoveFolder(PathBuf),
}

/// The plan for one workload.
pub fn plan(network: &Network, placement: &Placement) -> Plan {
    let Placement { workload, addrs, .. } = placement;
    let namespace = namespace(network, workload);
    let link = link(network, addrs);
    let folder = Path::new(NETNS_FILES).join(&namespace);

    let mut create = vec![
        Step::ip(format!("netns add {namespace}")),
        Step::Run(settings(&namespace, addrs.v6.is_some())),
        Step::ip(format!(
            "link add {link} type veth peer name {INSIDE} address {} netns {namespace}",
            hardware_addr(addrs)
        )),
    ];
    create.extend(addresses(network, &namespace, addrs));
    create.push(Step::Run(
        Command::new("ip", &format!("netns exec {namespace} nft -f -"))
            .reading(ruleset::ruleset(network, placement)),
    ));
    let files = files::files(network, placement);
    create.extend(
        files.into_iter().map(|(name, text)| Step::Write { path: folder.join(name), text }),
    );
    // The link comes up last: nothing passes before the rules are in force.
    create.push(Step::ip(format!("link set {link} master {} up", network.bridge)));

    let remove = vec![
        Step::ip(format!("link delete {link}")),
        Step::ip(format!("netns delete {namespace}")),
        Step::RemoveFolder(folder),
    ];
    Plan { namespace, link, create, remove }
}

/// How the namespace of a workload is called.
pub fn namespace(network: &Network, workload: &Name) -> String {
    format!("{}{}", network.prefix, workload.handle())
}

/// How its link is called on the machine's side. Names of workloads are too long for a link
/// (15 bytes), addresses are as unique.
fn link(network: &Network, addrs: &Addrs) -> String {
    let offset = addrs.v4.to_bits() - network.workloads.v4.network().to_bits();
    format!("{}{offset:x}", network.prefix)
}

/// The same for an address at all times: a workload that is replaced is where its neighbours
/// remember it, and they do not talk to its predecessor's until that memory fades. Locally
/// administered (IEEE 802, the second bit), and the IPv4 address behind it.
fn hardware_addr(addrs: &Addrs) -> String {
    let [a, b, c, d] = addrs.v4.octets();
    format!("02:77:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Sets the kernel's switches for a namespace. IPv6 addresses work at once, without waiting for
/// duplicates to answer; ports below 1024 are free for everybody, as there is nobody to protect
/// them from.
fn settings(namespace: &str, has_v6: bool) -> Command {
    let mut lines = vec!["echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start".to_owned()];
    if has_v6 {
        for scope in ["all", "default"] {
            let folder = format!("/proc/sys/net/ipv6/conf/{scope}");
            lines.push(format!("echo 0 > {folder}/disable_ipv6"));
            lines.push(format!("echo 0 > {folder}/accept_dad"));
            lines.push(format!("echo 0 > {folder}/accept_ra"));
        }
    }
    Command::new("ip", &format!("netns exec {namespace} sh -e")).reading(lines.join("\n") + "\n")
}

fn addresses(network: &Network, namespace: &str, addrs: &Addrs) -> Vec<Step> {
    let gateway = network.gateway();
    let inside = |args: String| Step::ip(format!("-netns {namespace} {args}"));
    let mut steps = vec![
        inside("link set lo up".into()),
        inside(format!(
            "address add {}/{} dev {INSIDE}",
            addrs.v4,
            network.workloads.v4.prefix_len()
        )),
    ];
    if let (Some(v6), Some(net)) = (addrs.v6, network.workloads.v6) {
        steps.push(inside(format!("address add {v6}/{} dev {INSIDE} nodad", net.prefix_len())));
    }
    steps.push(inside(format!("link set {INSIDE} up")));
    steps.push(inside(format!("route add default via {}", gateway.v4)));
    if let (Some(_), Some(v6)) = (addrs.v6, gateway.v6) {
        steps.push(inside(format!("-6 route add default via {v6}")));
    }
    steps
}

// === impl Step ===

impl Step {
    /// Runs `ip` with arguments separated by spaces.
    fn ip(args: impl AsRef<str>) -> Self {
        Self::Run(Command::new("ip", args.as_ref()))
    }
}
