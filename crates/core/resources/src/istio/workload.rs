//! WorkloadEntry, also inside of a ServiceEntry, and WorkloadGroup.

use super::entry::EntryPort;
use crate::kubernetes::Labels;
use crate::read::Reader;

/// A workload that is no Pod, or one endpoint of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// An IP address, or a name to resolve.
    pub address: Box<str>,
    /// Ports by the name of the service's port, where they differ from its target.
    pub ports: Vec<(Box<str>, u16)>,
    /// Share among its siblings, at least 1.
    pub weight: u32,
    /// Zone, the second part of `locality`.
    pub zone: Option<Box<str>>,
    /// Labels.
    pub labels: Labels,
    /// The account that its identity is made of.
    pub service_account: Option<Box<str>>,
}

// === impl WorkloadEntry ===

impl WorkloadEntry {
    /// Its own port for one of a ServiceEntry's.
    pub fn port(&self, port: &EntryPort) -> u16 {
        self.named_port(&port.name).unwrap_or(port.target)
    }

    /// The port that it gives to a service port of that name.
    pub fn named_port(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(own, _)| **own == *name).map(|(_, number)| *number)
    }
}

/// Reads what stands in `spec`, or in an item of `endpoints`.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<WorkloadEntry> {
    reader.ignored("network", "all networks are reached directly");
    let weight = reader.int("weight", 1, u32::MAX.into()).unwrap_or(1) as u32;
    let locality = reader.string_or_empty("locality");
    let zone = locality.split('/').nth(1).filter(|zone| !zone.is_empty()).map(Into::into);
    let labels = reader.take("labels").map(|field| field.text_map()).unwrap_or_default().into();
    let service_account = reader.string("serviceAccount").filter(|name| !name.is_empty());
    let mut ports = Vec::new();
    reader.nested("ports", |map| {
        ports.extend(map.rest().filter_map(|(name, field)| Some((name.into(), field.port()?))));
        Some(())
    });
    let field = reader.require("address")?;
    let address = field.non_empty_string()?;
    if address.contains('/') {
        field.error("Unix sockets are not supported", None);
        return None;
    }
    Some(WorkloadEntry { address, ports, weight, zone, labels, service_account })
}

/// Reads a selector of Istio's networking kinds, which has `labels` alone.
pub(crate) fn labels(reader: &Reader<'_, '_>) -> Option<Labels> {
    Some(reader.take("labels").map(|field| field.text_map()).unwrap_or_default().into())
}
