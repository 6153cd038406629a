//! Where workloads run, as `region/zone/subzone`: what is not known at the end is left out, what is
//! not known before it is empty.

use weft_resources::istio::WorkloadEntry;

use crate::mesh::scene::Labels;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";

/// By the labels of a workload; `zone` is what somebody else knows of it.
pub(super) fn of_labels(labels: &Labels, zone: Option<&str>) -> Option<Box<str>> {
    let label = |wanted: &str| {
        let found = labels.iter().find(|(name, _)| **name == *wanted);
        found.map(|(_, value)| &**value)
    };
    join([label(REGION), label(ZONE).or(zone), label(SUBZONE)])
}

/// By what a WorkloadEntry says.
pub(super) fn of_entry(entry: &WorkloadEntry) -> Option<Box<str>> {
    join([entry.region.as_deref(), entry.zone.as_deref(), entry.subzone.as_deref()])
}

fn join(parts: [Option<&str>; 3]) -> Option<Box<str>> {
    let known = parts.map(|part| part.unwrap_or_default());
    let last = known.iter().rposition(|part| !part.is_empty())?;
    Some(known[..=last].join("/").into())
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn what_is_not_known_is_left_out_or_empty() {
        let cases = [
            ([None, None, None], None),
            ([Some("eu"), None, None], Some("eu")),
            ([None, Some("a"), None], Some("/a")),
            ([Some("eu"), Some("a"), Some("1")], Some("eu/a/1")),
            ([Some("eu"), None, Some("1")], Some("eu//1")),
        ];
        for (parts, expected) in cases {
            assert_eq!(join(parts).as_deref(), expected);
        }
    }
}
