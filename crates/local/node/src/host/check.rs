//! What a machine must have for workloads in namespaces of their own.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::command::SYSTEM_PATH;

/// Capabilities of a process (capabilities(7)) by number, which making namespaces, links and rules
/// and acting for other users takes.
const CAPABILITIES: [(u32, &str); 5] = [
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (12, "CAP_NET_ADMIN"),
    (21, "CAP_SYS_ADMIN"),
];

/// Something that the machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What: `the program nft`.
    pub what: String,
    /// The way to get it: `install the package nftables`.
    pub way_out: String,
}

/// What [`check`] looks at.
pub(super) struct Facts<'a> {
    /// Whether the process is root's.
    pub(super) is_root: bool,
    /// Its effective capabilities.
    pub(super) capabilities: u64,
    /// Whether there is a program of that name.
    pub(super) has_program: &'a dyn Fn(&str) -> bool,
    /// Whether there is something under that path.
    pub(super) exists: &'a dyn Fn(&str) -> bool,
}

/// Looks at this machine.
pub(super) fn check() -> Vec<Missing> {
    let facts = Facts {
        is_root: rustix::process::geteuid().is_root(),
        // A kernel that does not tell has none to withhold.
        capabilities: effective_capabilities().unwrap_or(u64::MAX),
        has_program: &|name| find_program(name).is_some(),
        exists: &|path| Path::new(path).exists(),
    };
    missing(&facts)
}

pub(super) fn missing(facts: &Facts<'_>) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut add = |what: String, way_out: String| missing.push(Missing { what, way_out });
    let withheld = CAPABILITIES.iter().filter(|(bit, _)| facts.capabilities & (1 << bit) == 0);
    let withheld: Vec<&str> = withheld.map(|(_, name)| *name).collect();
    if !facts.is_root {
        let way = "run it with sudo, or do without namespaces on loopback addresses";
        add("the rights of root".into(), way.into());
    } else if !withheld.is_empty() {
        let way = "a container needs --privileged, or these added by --cap-add";
        add(format!("the capabilities {}", withheld.join(", ")), way.into());
    }
    for (program, package) in
        [("ip", "iproute2"), ("nft", "nftables"), ("setpriv", "util-linux"), ("sh", "dash")]
    {
        if !(facts.has_program)(program) {
            add(format!("the program {program}"), format!("install the package {package}"));
        }
    }
    for (path, what, way) in [
        ("/proc/self/ns/net", "network namespaces", "use a kernel with CONFIG_NET_NS"),
        ("/proc/sys/net/ipv4", "/proc/sys/net", "mount proc: `mount -t proc proc /proc`"),
        ("/sys/class/net", "/sys/class/net", "mount sysfs: `mount -t sysfs sysfs /sys`"),
    ] {
        if !(facts.exists)(path) {
            add(what.into(), way.into());
        }
    }
    missing
}

/// Where a program of the system is.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    SYSTEM_PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(effective.trim(), 16).ok()
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.way_out)
    }
}
