//! The proxies that are compared, each with the settings it is fast with.

pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod mesh;
mod nginx;
mod relay;
mod traefik;
mod weftway;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::client;
use crate::lab::{Lab, free_port};
use crate::load::Shape;
use crate::process::Process;
use crate::table::Table;

pub(crate) use weftway::Weftway;

/// One proxy of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    /// For people; holds the version.
    pub(crate) version: String,
    program: PathBuf,
}

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Weftway,
    Haproxy,
    Nginx,
    Envoy,
    Traefik,
    Relay,
}

/// A proxy that answers requests.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    /// HTTP/2 with prior knowledge.
    pub(crate) h2c: Option<SocketAddr>,
}

/// Ports that the configuration of a peer needs.
struct Ports {
    plain: u16,
    tls: u16,
    h2c: u16,
    admin: u16,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weftway => "weftway",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Relay => "relay",
        }
    }

    fn find(self, lab: &Lab, weftway: &Path) -> Option<Peer> {
        let (program, version) = match self {
            Self::Weftway => weftway::find(weftway)?,
            Self::Haproxy => haproxy::find()?,
            Self::Nginx => nginx::find()?,
            Self::Envoy => envoy::find()?,
            Self::Traefik => traefik::find()?,
            Self::Relay => (lab.relay(), "raw byte relay in C, no parsing".to_owned()),
        };
        Some(Peer { kind: self, version, program })
    }
}

/// The installed ones of `kinds`, but for those whose names are in `without`.
pub(crate) fn find(kinds: &[Kind], lab: &Lab, weftway: &Path, without: &[String]) -> Vec<Peer> {
    let is_wanted = |kind: &&Kind| without.iter().all(|name| name != kind.name());
    kinds.iter().filter(is_wanted).filter_map(|kind| kind.find(lab, weftway)).collect()
}

// === impl Peer ===

impl Peer {
    /// Starts it in front of the lab's first origin and waits until it answers. Weftway gets
    /// `table`; the peers get their few routes, which cost them nothing.
    pub(crate) fn start(&self, lab: &Lab, table: Table) -> anyhow::Result<Running> {
        let ports = Ports::new()?;
        let started = match self.kind {
            Kind::Weftway => return weftway::start(&self.program, lab, table),
            Kind::Haproxy => haproxy::start(&self.program, lab, &ports),
            Kind::Nginx => nginx::start(&self.program, lab, &ports),
            Kind::Envoy => envoy::start(&self.program, lab, &ports),
            Kind::Traefik => traefik::start(&self.program, lab, &ports),
            Kind::Relay => relay::start(&self.program, lab, &ports),
        };
        let mut process = started.with_context(|| self.kind.name())?;
        let plain = local(ports.plain);
        let host = table.host();
        client::wait_ready(plain, &host, &table.path(), &mut process).with_context(|| {
            let log = lab.path(&format!("{}.log", self.kind.name()));
            format!("{}: {}", self.kind.name(), std::fs::read_to_string(log).unwrap_or_default())
        })?;
        let is_relay = self.kind == Kind::Relay;
        Ok(Running {
            process,
            plain,
            tls: (!is_relay).then(|| local(ports.tls)),
            h2c: (!is_relay).then(|| local(ports.h2c)),
        })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }
}

// === impl Running ===

impl Running {
    /// Where it takes that load.
    pub(crate) fn addr(&self, shape: Shape) -> Option<SocketAddr> {
        if shape.is_tls {
            self.tls
        } else if shape.is_h2() {
            self.h2c
        } else {
            Some(self.plain)
        }
    }
}

// === impl Ports ===

impl Ports {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { plain: free_port()?, tls: free_port()?, h2c: free_port()?, admin: free_port()? })
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The full path of a program on the search path.
fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(extra)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// What a line of Python prints: some peers come as wheels.
fn python(code: &str) -> Option<PathBuf> {
    let output = std::process::Command::new("python3").args(["-c", code]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let path = PathBuf::from(text.trim());
    (output.status.success() && path.is_file()).then_some(path)
}
