//! The rules of nftables in the machine's own namespace.

use crate::network::Network;
use crate::plan::External;

/// The rules as `nft -f` reads them.
///
/// Workloads reach each other and, under the machine's address, what is beyond it. Nobody beyond
/// reaches a workload but in answer; the gateway is the way in. `is_guarded`: the machine did not
/// forward before, and does not begin to for anybody else.
pub(super) fn rules(network: &Network, external: External, is_guarded: bool) -> String {
    let Network { bridge, table, workloads, .. } = network;
    let mut forward = vec![format!("iifname \"{bridge}\" oifname \"{bridge}\" accept")];
    // The way out may take smaller packets than the bridge.
    forward.push(format!("iifname \"{bridge}\" tcp flags syn tcp option maxseg size set rt mtu"));
    forward.push(format!("iifname \"{bridge}\" accept"));
    forward.push(format!("oifname \"{bridge}\" ct state established,related accept"));
    forward.push(format!("oifname \"{bridge}\" drop"));
    if is_guarded {
        forward.push("meta nfproto ipv4 drop".into());
    }

    let mut leave = Vec::new();
    if external.v4 {
        leave.push(format!("ip saddr {} oifname != \"{bridge}\" masquerade", workloads.v4));
    }
    if let (true, Some(net)) = (external.v6, workloads.v6) {
        leave.push(format!("ip6 saddr {net} oifname != \"{bridge}\" masquerade"));
    }
    format!(
        "table inet {table} {{\n  chain forward {{\n    \
         type filter hook forward priority filter; policy accept;\n{}  }}\n\n  chain leave {{\n    \
         type nat hook postrouting priority srcnat; policy accept;\n{}  }}\n}}\n",
        lines(&forward),
        lines(&leave),
    )
}

fn lines(rules: &[String]) -> String {
    rules.iter().map(|rule| format!("    {rule}\n")).collect()
}
