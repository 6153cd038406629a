//! Processes of the machine, as `/proc` shows them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A network namespace, by device and inode of its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NamespaceId(u64, u64);

/// The namespace that a handle stands for.
pub(crate) fn namespace_of_handle(handle: &Path) -> Option<NamespaceId> {
    let metadata = fs::metadata(handle).ok()?;
    Some(NamespaceId(metadata.dev(), metadata.ino()))
}

/// The network namespace of a process.
pub(crate) fn namespace_of(pid: u32) -> Option<NamespaceId> {
    namespace_of_handle(&Path::new("/proc").join(pid.to_string()).join("ns/net"))
}

/// Every process in the namespace of a handle.
pub(crate) fn in_namespace(handle: &Path) -> Vec<u32> {
    let Some(namespace) = namespace_of_handle(handle) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace_of(*pid) == Some(namespace))
        .collect()
}

/// Signals them all. Who is gone meanwhile is fine.
pub(crate) fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, signal);
    }
}

/// A process, its parent, its parent's parent and so on. Bounded, since pids are reused while it
/// looks.
pub(crate) fn ancestors(pid: u32) -> Vec<u32> {
    let mut line = vec![pid];
    while line.len() < 64
        && let Some(parent) = line.last().and_then(|pid| parent(*pid))
        && parent > 1
    {
        line.push(parent);
    }
    line
}

fn parent(pid: u32) -> Option<u32> {
    status_field(pid, "PPid:")?.parse().ok()
}

/// A line of `/proc/PID/status`.
pub(crate) fn status_field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}
