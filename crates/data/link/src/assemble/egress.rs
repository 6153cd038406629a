//! What a workload may call, where a document says so (Istio's `Sidecar`).
//!
//! The rest is as if the mesh did not know it; names of it still resolve.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weft_model::mesh::{Changes, Directory, Egress, IndexEntry, Workload};

/// What a workload may call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a>(Option<&'a [Egress]>);

// === impl Scope ===

impl<'a> Scope<'a> {
    /// That of this workload: everything, as long as nothing is known.
    pub(super) fn new(workload: Option<&'a Workload>) -> Self {
        Self(workload.and_then(|own| own.egress.as_deref()))
    }

    /// Whether it may call a port of a service; without one, those that the service does not list.
    pub(super) fn has(self, name: &str, port: Option<u16>) -> bool {
        let Some(all) = self.0 else { return true };
        let is_meant = |egress: &&Egress| {
            is_namespace(&egress.namespace, name)
                && is_host(&egress.host, name)
                && (egress.port.is_none() || port.is_none() || egress.port == port)
        };
        let (excluded, included): (Vec<_>, Vec<_>) =
            all.iter().filter(is_meant).partition(|egress| egress.excluded);
        !included.is_empty() && excluded.is_empty()
    }

    /// Whether it may call workloads by their addresses.
    pub(super) fn has_addresses(self) -> bool {
        let is_all =
            |egress: &Egress| !egress.excluded && *egress.namespace == *"*" && *egress.host == *"*";
        self.0.is_none_or(|all| all.iter().any(is_all))
    }

    /// A service with those of its ports that it may call; `None` when it may not call it at all.
    pub(super) fn seen(self, mut entry: IndexEntry) -> Option<IndexEntry> {
        if entry.ports.is_empty() {
            return self.has(entry.name.as_str(), None).then_some(entry);
        }
        let name = entry.name.as_str();
        let ports = entry.ports.into_iter();
        entry.ports = ports.filter(|port| self.has(name, Some(port.number))).collect();
        (!entry.ports.is_empty()).then_some(entry)
    }

    /// The services that it may call, of these.
    pub(super) fn directory(self, index: &Arc<Directory>) -> Arc<Directory> {
        if self.0.is_none() {
            return Arc::clone(index);
        }
        let mut changes = Changes::default();
        for listed in index.iter() {
            if let Some(entry) = self.seen(listed.entry()) {
                changes.put(&entry, listed.version());
            }
        }
        let seen = Directory::default().with(changes);
        // Most often everything is seen after all; then there is no second copy.
        if seen == **index { Arc::clone(index) } else { Arc::new(seen) }
    }
}

/// Whether a service is of that namespace. A name that says nothing of one is of none.
fn is_namespace(wanted: &str, name: &str) -> bool {
    let mut labels = name.split('.');
    let (_, namespace, kind) = (labels.next(), labels.next(), labels.next());
    wanted == "*" || (kind == Some("svc") && namespace == Some(wanted))
}

fn is_host(wanted: &str, name: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix),
        None => wanted == name,
    }
}
