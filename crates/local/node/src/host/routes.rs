//! Whether somebody else uses our addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::network::Range;

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    dst: String,
    #[serde(default)]
    dev: String,
}

/// The first route that leads into `range`, as `ip -json route` lists them; default routes lead
/// everywhere and do not count.
pub(super) fn taken(range: &Range, listings: &[&str]) -> Option<String> {
    let ours = [Some(IpNet::V4(range.v4)), range.v6.map(IpNet::V6)];
    let ours: Vec<IpNet> = ours.into_iter().flatten().collect();
    let routes = listings
        .iter()
        .flat_map(|listing| serde_json::from_str::<Vec<Route>>(listing).unwrap_or_default());
    for route in routes {
        let Some(net) = net(&route.dst) else { continue };
        let overlaps = |our: &IpNet| our.contains(&net) || net.contains(our);
        if net.prefix_len() > 0 && ours.iter().any(overlaps) {
            let Route { dst, dev } = route;
            let by =
                if dev.is_empty() { format!("the route {dst}") } else { format!("{dev} ({dst})") };
            return Some(by);
        }
    }
    None
}

/// `10.1.0.0/16`, or `10.1.0.7` for one host.
fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
