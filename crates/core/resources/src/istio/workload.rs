//! WorkloadEntry, also inside of a ServiceEntry and as the template of a WorkloadGroup.

use super::entry::EntryPort;
use super::value::text;
use crate::kubernetes::Labels;
use crate::read::Reader;
use crate::resource::Spanned;

/// A workload that is no Pod, or one endpoint of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// An IP address, or a name to resolve; empty in the template of a WorkloadGroup.
    pub address: Box<str>,
    /// Ports by the name of the service's port, where they differ from its target.
    pub ports: Vec<(Box<str>, u16)>,
    /// Share among its siblings, at least 1.
    pub weight: u32,
    /// Region, the first part of `locality`.
    pub region: Option<Box<str>>,
    /// Zone, its second part.
    pub zone: Option<Box<str>>,
    /// Part of the zone, its third part.
    pub subzone: Option<Box<str>>,
    /// The network that its address is of, when that is not everybody's.
    pub network: Option<Spanned<Box<str>>>,
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
    let entry = read_template(reader)?;
    reader.require("address")?;
    Some(entry)
}

/// Reads the template of a WorkloadGroup, which has no address most often.
pub(crate) fn read_template(reader: &Reader<'_, '_>) -> Option<WorkloadEntry> {
    let network = text(reader, "network");
    reader.ignored("network", "all networks are reached directly");
    // Zero is the default, as in all of protobuf's JSON.
    let weight = reader.int("weight", 0, u32::MAX.into()).unwrap_or(1).max(1) as u32;
    let locality = reader.string_or_empty("locality");
    let mut places =
        locality.splitn(3, '/').map(|place| Some(place).filter(|p| !p.is_empty()).map(Box::from));
    let mut place = || places.next().flatten();
    let (region, zone, subzone) = (place(), place(), place());
    let labels = reader.take("labels").map(|field| field.text_map()).unwrap_or_default().into();
    let service_account = reader.string("serviceAccount").filter(|name| !name.is_empty());
    let mut ports = Vec::new();
    reader.nested("ports", |map| {
        ports.extend(map.rest().filter_map(|(name, field)| Some((name.into(), field.port()?))));
        Some(())
    });
    let mut address = Box::default();
    if let Some(field) = reader.take("address") {
        address = field.non_empty_string()?;
        if address.contains('/') {
            field.error("Unix sockets are not supported", None);
            return None;
        }
    }
    Some(WorkloadEntry {
        address,
        ports,
        weight,
        region,
        zone,
        subzone,
        network,
        labels,
        service_account,
    })
}

/// Reads a selector of Istio's networking kinds, which has `labels` alone.
pub(crate) fn labels(reader: &Reader<'_, '_>) -> Option<Labels> {
    Some(reader.take("labels").map(|field| field.text_map()).unwrap_or_default().into())
}
