//! What all measurements share: a folder, certificates, CPUs, origins.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use crate::client;
use crate::process::{Process, pinned};

/// The CPU of the proxy under test.
pub(crate) const PROXY_CPU: usize = 0;

/// The CPU of origin and load.
pub(crate) const LOAD_CPU: usize = 1;

/// A prepared machine.
pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) authority: Authority,
    /// Two origins that answer alike; most cases use the first only.
    pub(crate) origins: [SocketAddr; 2],
    /// What a reader of the numbers must know.
    pub(crate) notes: Vec<String>,
    _origins: [Process; 2],
}

/// Certificate files: `srv.crt`, `srv.key`, and `srv.pem` with both.
pub(crate) struct CertFiles {
    pub(crate) crt: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) pem: PathBuf,
}

// === impl Lab ===

impl Lab {
    pub(crate) fn new() -> anyhow::Result<Self> {
        pin_self()?;
        let dir = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
        let mut notes = Vec::new();
        let authority = Authority::new()?;
        write_certificate(dir.path(), &authority)?;
        let backend = compile(dir.path(), "backend", include_str!("../c/backend.c"))?;
        compile(dir.path(), "relay", include_str!("../c/relay.c"))?;
        let is_realtime = can_be_realtime();
        if !is_realtime {
            notes.push("the origin runs without real-time priority: p99 includes the load".into());
        }
        let (first, first_process) = start_origin(&backend, dir.path(), 1, is_realtime)?;
        let (second, second_process) = start_origin(&backend, dir.path(), 2, is_realtime)?;
        Ok(Self {
            dir,
            authority,
            origins: [first, second],
            notes,
            _origins: [first_process, second_process],
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new empty folder.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    pub(crate) fn cert(&self) -> CertFiles {
        CertFiles {
            crt: self.path("srv.crt"),
            key: self.path("srv.key"),
            pem: self.path("srv.pem"),
        }
    }

    pub(crate) fn relay(&self) -> PathBuf {
        self.path("relay")
    }
}

/// A port that is free now. Peers need it in their configuration, so it cannot be chosen by them.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The authority of one run, ECDSA P-256 as all keys here.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than that of a leaf: some would take a leaf for one that has signed itself.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority of the benchmarks");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new certificate for localhost and the sample hosts, and its key, both as PEM.
    pub(crate) fn issue(&self) -> anyhow::Result<(String, String)> {
        let names = ["localhost", "*.example.com", "*.bench.test"].map(str::to_owned);
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        Ok((leaf.pem(), key.serialize_pem()))
    }
}

fn write_certificate(dir: &Path, authority: &Authority) -> anyhow::Result<()> {
    let (chain, key) = authority.issue()?;
    std::fs::write(dir.join("srv.crt"), &chain)?;
    std::fs::write(dir.join("srv.key"), &key)?;
    std::fs::write(dir.join("srv.pem"), format!("{chain}{key}"))?;
    Ok(())
}

fn pin_self() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None)?;
    if !allowed.is_set(PROXY_CPU) || !allowed.is_set(LOAD_CPU) {
        bail!("the benchmarks need CPU {PROXY_CPU} for the proxy and CPU {LOAD_CPU} for the load");
    }
    let mut own = CpuSet::new();
    own.set(LOAD_CPU);
    sched_setaffinity(None, &own)?;
    Ok(())
}

fn compile(dir: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let (from, to) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&from, source)?;
    let status = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&to)
        .arg(&from)
        .status()
        .context("the benchmarks need a C compiler (cc)")?;
    if !status.success() {
        bail!("cc could not compile {name}.c");
    }
    Ok(to)
}

fn can_be_realtime() -> bool {
    let status = Command::new("chrt").args(["-f", "10", "true"]).output();
    status.is_ok_and(|output| output.status.success())
}

fn start_origin(
    program: &Path,
    dir: &Path,
    number: usize,
    is_realtime: bool,
) -> anyhow::Result<(SocketAddr, Process)> {
    let port = free_port()?;
    let mut command = if is_realtime {
        // The load must not starve the origin, or its waits would look like the proxy's.
        let mut command = Command::new("chrt");
        command.args(["-f", "10", "taskset", "-c", &LOAD_CPU.to_string()]).arg(program);
        command
    } else {
        pinned(LOAD_CPU, program)
    };
    command.arg(port.to_string());
    let mut process = Process::start(&mut command, &dir.join(format!("origin{number}.log")))?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    client::wait_ready(addr, "localhost", "/", &mut process)?;
    Ok((addr, process))
}
