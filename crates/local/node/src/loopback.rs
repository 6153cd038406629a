//! Without root: workloads on loopback addresses, told of their proxy by their environment.
//!
//! Nothing is captured then. An application that honours `HTTP_PROXY`, as most clients of HTTP do,
//! calls through its proxy; others are outside of the mesh.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::network::{Addrs, OUTBOUND_PORT, Range};

#[cfg(test)]
mod tests;

/// The addresses of workloads: 127.77.0.0/16, which is loopback on every machine.
pub fn range() -> Range {
    Range { v4: Ipv4Net::new_assert(Ipv4Addr::new(127, 77, 0, 0), 16), v6: None }
}

/// What the application is told, instead of what it had under these names.
pub fn environment(addrs: Addrs, domain: &str) -> Vec<(String, String)> {
    let proxy = format!("http://{}:{OUTBOUND_PORT}", addrs.v4);
    // Names of the mesh go through the proxy, whatever the user has excepted before.
    let direct = "localhost,127.0.0.1,::1";
    let pairs = [
        ("HTTP_PROXY", proxy.as_str()),
        ("http_proxy", &proxy),
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
        ("NO_PROXY", direct),
        ("no_proxy", direct),
        ("WEFTWAY_DOMAIN", domain),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
