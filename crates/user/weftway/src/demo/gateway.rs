//! The demo's gateway: where it is to listen, and where it does.

use std::net::SocketAddr;

use anyhow::Context as _;

/// Where things are.
pub(super) struct Addresses {
    pub(super) listeners: Vec<(String, SocketAddr)>,
    pub(super) admin: SocketAddr,
}

// === impl Addresses ===

impl Addresses {
    /// Reads what a gateway has written.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let parse = |value: &serde_json::Value| -> anyhow::Result<SocketAddr> {
            Ok(value.as_str().context("an address is missing")?.parse()?)
        };
        let listeners = value["listeners"].as_object().context("the listeners are missing")?;
        let listeners = listeners
            .iter()
            .map(|(name, addr)| Ok((name.clone(), parse(addr)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { listeners, admin: parse(&value["admin"])? })
    }

    /// A listener's address, by the beginning of its name.
    pub(super) fn listener(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.listeners
            .iter()
            .find(|(have, _)| have.starts_with(name))
            .map(|(_, addr)| *addr)
            .with_context(|| format!("the gateway has no listener {name}"))
    }
}

/// What `weftway up` is told of it: the usual ports, unless it is to check itself beside whatever
/// has them.
pub(super) fn arguments(is_check: bool) -> Vec<String> {
    let port = |wanted: u16| if !is_check && is_free(wanted) { wanted } else { 0 };
    vec![
        format!("--http=127.0.0.1:{}", port(8080)),
        format!("--https=127.0.0.1:{}", port(8443)),
        "--bind=127.0.0.1".to_owned(),
        format!("--port-map=80={}", port(8090)),
        format!("--gateway-admin=127.0.0.1:{}", port(15000)),
    ]
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}
