//! The demo's gateway: how it is started, and where it listens.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::process::{Plan, Process};
use super::services::Service;
use crate::args::DemoArgs;

/// A running gateway.
pub(super) struct Gateway {
    process: Process,
    pub(super) addresses: Addresses,
}

/// Where things are.
pub(super) struct Addresses {
    pub(super) listeners: Vec<(String, SocketAddr)>,
    pub(super) admin: SocketAddr,
}

/// A gateway that is not ready by then has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

// === impl Gateway ===

impl Gateway {
    /// Starts one on the files of `folder`, and waits until it is ready.
    pub(super) async fn start(
        args: &DemoArgs,
        folder: &Path,
        services: &[Service],
    ) -> anyhow::Result<Self> {
        let address_file = folder.join("addresses.json");
        let [http, https, gateway, admin] = if args.once {
            ["127.0.0.1:0", "127.0.0.1:0", "80=0", "127.0.0.1:0"].map(String::from)
        } else {
            let port = |wanted: u16| if is_free(wanted) { wanted } else { 0 };
            [
                format!("127.0.0.1:{}", port(8080)),
                format!("127.0.0.1:{}", port(8443)),
                format!("80={}", port(8081)),
                format!("127.0.0.1:{}", port(15000)),
            ]
        };
        let mut plan = Plan::new("gateway")?
            .args(["--log", "warn", "--access-log", "off", "-f"])
            .arg(folder.join("gateway"))
            .arg("--address-file")
            .arg(&address_file)
            .args(["--http", &http, "--https", &https, "--bind", "127.0.0.1"])
            .args(["--port-map", &gateway, "--admin", &admin]);
        for service in services {
            plan = plan.arg("--backend").arg(format!("{}:8080={}", service.name, service.addr));
        }
        let mut process = plan.start(&folder.join("gateway.log"))?;
        let written = async || fs::read_to_string(&address_file).ok();
        let text = process.until(READY_TIMEOUT, written).await?;
        Ok(Self { process, addresses: parse_addresses(&text)? })
    }

    /// Ends it in order.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

// === impl Addresses ===

impl Addresses {
    /// A listener's address, by the beginning of its name.
    pub(super) fn listener(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.listeners
            .iter()
            .find(|(have, _)| have.starts_with(name))
            .map(|(_, addr)| *addr)
            .with_context(|| format!("the gateway has no listener {name}"))
    }
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn parse_addresses(text: &str) -> anyhow::Result<Addresses> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let parse = |value: &serde_json::Value| -> anyhow::Result<SocketAddr> {
        Ok(value.as_str().context("an address is missing")?.parse()?)
    };
    let listeners = value["listeners"].as_object().context("the listeners are missing")?;
    let listeners = listeners
        .iter()
        .map(|(name, addr)| Ok((name.clone(), parse(addr)?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Addresses { listeners, admin: parse(&value["admin"])? })
}
