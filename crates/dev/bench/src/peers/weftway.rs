//! The product under test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Running;
use crate::client;
use crate::lab::{Lab, PROXY_CPU};
use crate::machine;
use crate::process::{Process, pinned};
use crate::table::{BACKEND, Table};

/// How to start `weftway gateway`.
pub(crate) struct Weftway<'a> {
    pub(crate) program: &'a Path,
    /// Documents, watched while it runs.
    pub(crate) folder: PathBuf,
    /// `None` leaves the backend to the documents.
    pub(crate) backend: Option<SocketAddr>,
    /// A port of Gateways that the system chooses another for.
    moved_port: Option<u16>,
}

/// The file that says where it listens.
#[derive(Debug, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) listeners: BTreeMap<String, SocketAddr>,
}

/// Longest start, with a large table under valgrind.
const START: Duration = Duration::from_secs(600);

pub(super) fn find(program: &Path) -> Option<(PathBuf, String)> {
    let line = machine::version_line(program.to_str()?, &["--version"], "weftway")?;
    Some((program.to_path_buf(), line.replace("weftway", "Weftway")))
}

pub(super) fn start(program: &Path, lab: &Lab, table: Table) -> anyhow::Result<Running> {
    let folder = lab.folder("routes")?;
    table.write(&folder)?;
    let weftway = Weftway::new(program, folder, Some(lab.origins[0]));
    let (mut process, addresses) = weftway.start(lab)?;
    let (plain, tls) = (addresses.listener("web")?, addresses.listener("websecure")?);
    let ready = if table.is_tls {
        let config = client::tls_config(lab.authority.pem().as_bytes())?;
        client::wait_ready_tls(tls, &config, &table.host(), &table.path(), &mut process)
    } else {
        client::wait_ready(plain, &table.host(), &table.path(), &mut process)
    };
    ready.with_context(|| log(lab))?;
    Ok(Running { process, plain, tls: Some(tls), h2c: Some(plain) })
}

/// What the program has said, for an error message.
fn log(lab: &Lab) -> String {
    let text = std::fs::read_to_string(lab.path("weftway.log")).unwrap_or_default();
    let tail: Vec<&str> = text.lines().rev().take(10).collect();
    format!("weftway: {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

// === impl Weftway ===

impl<'a> Weftway<'a> {
    pub(crate) fn new(program: &'a Path, folder: PathBuf, backend: Option<SocketAddr>) -> Self {
        Self { program, folder, backend, moved_port: None }
    }

    /// The same where documents ask for a port that is not to be had here.
    pub(crate) fn with_ports(self, moved: u16) -> Self {
        Self { moved_port: Some(moved), ..self }
    }

    /// Starts it on the proxy's CPU and waits until it says where it listens.
    pub(crate) fn start(&self, lab: &Lab) -> anyhow::Result<(Process, Addresses)> {
        self.start_under(lab, pinned(PROXY_CPU, self.program))
    }

    /// The same with a command that ends in the program, a tool in front of it for instance.
    pub(crate) fn start_under(
        &self,
        lab: &Lab,
        mut command: Command,
    ) -> anyhow::Result<(Process, Addresses)> {
        let file = lab.path("weftway-addresses.json");
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
        self.add_args(lab, &mut command);
        command.arg("--address-file").arg(&file);
        let mut process = Process::start(&mut command, &lab.path("weftway.log"))?;
        let deadline = Instant::now() + START;
        loop {
            if let Ok(text) = std::fs::read_to_string(&file)
                && let Ok(addresses) = serde_json::from_str(&text)
            {
                return Ok((process, addresses));
            }
            if process.has_ended() {
                bail!("{}", log(lab));
            }
            if Instant::now() > deadline {
                bail!("no address file within {START:?}; {}", log(lab));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn add_args(&self, lab: &Lab, command: &mut Command) {
        let cert = lab.cert();
        command
            .arg("gateway")
            .arg("-f")
            .arg(&self.folder)
            .args(["--http", "127.0.0.1:0", "--https", "127.0.0.1:0"])
            .arg("--cert")
            .arg(&cert.crt)
            .arg("--key")
            .arg(&cert.key)
            .args(["--admin", "127.0.0.1:0", "--workers", "1", "--access-log", "off"]);
        if let Some(port) = self.moved_port {
            command.args(["--bind", "127.0.0.1", "--port-map"]).arg(format!("{port}=0"));
        }
        if let Some(backend) = self.backend {
            command.arg("--backend").arg(format!("{BACKEND}={backend}"));
        }
    }
}

// === impl Addresses ===

impl Addresses {
    pub(crate) fn listener(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let addr = self.listeners.get(name).copied();
        addr.with_context(|| format!("weftway has no listener {name:?}"))
    }
}
