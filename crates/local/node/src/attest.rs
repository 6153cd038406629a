//! Who is that process? Answered by the kernel: the network namespace it is in, and where there is
//! none, the processes it descends from.
//!
//! The control plane asks it about those who call on its Unix socket, before it gives them a
//! workload's identity.

use std::collections::{BTreeMap, BTreeSet};

use crate::Name;
use crate::host::processes::{self, NamespaceId};
use crate::network::PROXY_UID;

#[cfg(test)]
mod tests;

/// A process, as a Unix socket shows who is at its other end (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
}

/// A process that belongs to a workload of this node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attested {
    /// The workload.
    pub workload: Name,
    /// Whether it is (of) its proxy or of its application.
    pub process: Side,
}

/// The two sides of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// A proxy of it: while one is upgraded in place there are two.
    Proxy,
    /// The application.
    Application,
}

/// What is known of a workload that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its network namespace, if it has its own.
    pub(crate) namespace: Option<NamespaceId>,
    /// The processes of its proxy, and of those that were it or are to be.
    pub(crate) proxies: BTreeSet<u32>,
    /// The process of its application.
    pub(crate) application: Option<u32>,
}

/// What the kernel says of a caller.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The user that the process of that number has now.
    pub(crate) uid: Option<u32>,
    pub(crate) namespace: Option<NamespaceId>,
    /// The caller first, then whom it descends from.
    pub(crate) ancestors: Vec<u32>,
}

// === impl Facts ===

impl Facts {
    pub(crate) fn of(caller: Caller) -> Self {
        // Real, effective, saved, of the file system; a socket tells of the effective one.
        let users = processes::status_field(caller.pid, "Uid:").unwrap_or_default();
        Self {
            uid: users.split_whitespace().nth(1).and_then(|uid| uid.parse().ok()),
            namespace: processes::namespace_of(caller.pid),
            ancestors: processes::ancestors(caller.pid),
        }
    }
}

/// Whose process it is. Nobody's, if the process has another user than the caller had when it
/// connected: who hands a socket on and ends leaves a number that a process of anybody gets. In a namespace of our own the user decides between proxy and application:
/// nothing else there may run as the proxy's user. In the machine's namespace only descent counts.
pub(crate) fn decide(
    caller: Caller,
    facts: &Facts,
    known: &BTreeMap<Name, Known>,
) -> Option<Attested> {
    if facts.uid != Some(caller.uid) {
        return None;
    }
    let attested = |workload: &Name, process| Attested { workload: workload.clone(), process };
    let by_namespace = known.iter().find(|(_, workload)| {
        workload.namespace.is_some() && workload.namespace == facts.namespace
    });
    if let Some((name, _)) = by_namespace {
        let is_proxy = caller.uid == PROXY_UID;
        let process = if is_proxy { Side::Proxy } else { Side::Application };
        return Some(attested(name, process));
    }
    // The nearest ancestor decides: a workload may have been started by another one.
    facts.ancestors.iter().find_map(|pid| {
        known.iter().filter(|(_, workload)| workload.namespace.is_none()).find_map(
            |(name, workload)| {
                if workload.proxies.contains(pid) {
                    Some(attested(name, Side::Proxy))
                } else if workload.application == Some(*pid) {
                    Some(attested(name, Side::Application))
                } else {
                    None
                }
            },
        )
    })
}
