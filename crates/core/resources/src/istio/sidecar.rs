//! Sidecar.

use super::workload;
use crate::kubernetes::Labels;
use crate::problem::Pos;
use crate::read::{Field, Reader};

/// A Sidecar, as far as it says what becomes of calls to what the mesh does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// Labels of the workloads that it is about, all of which must fit; empty for its whole
    /// namespace.
    pub selector: Labels,
    /// What becomes of such calls; `None` leaves it to others.
    pub outbound: Option<OutboundMode>,
    /// Where `outboundTrafficPolicy` is written.
    pub at: Pos,
}

/// What becomes of calls to what the mesh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundMode {
    /// They pass (`ALLOW_ANY`).
    AllowAny,
    /// They are refused (`REGISTRY_ONLY`).
    RegistryOnly,
}

/// Reads a Sidecar.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Sidecar> {
    let mut sidecar = Sidecar { selector: Box::default(), outbound: None, at: reader.at() };
    reader.nested("spec", |spec| {
        spec.ignored("egress", "a proxy learns of a service when it is first called");
        spec.ignored("ingress", "inbound connections are captured on every port");
        spec.ignored("inboundConnectionPool", "inbound connections are not limited");
        sidecar.selector = spec.nested("workloadSelector", workload::labels).unwrap_or_default();
        if let Some(field) = spec.take("outboundTrafficPolicy") {
            sidecar.at = field.key_at();
            sidecar.outbound = outbound(&field);
        }
        Some(())
    });
    Some(sidecar)
}

/// Reads `outboundTrafficPolicy`, here and in MeshConfig.
pub(crate) fn outbound(field: &Field<'_, '_>) -> Option<OutboundMode> {
    let choices =
        [("ALLOW_ANY", OutboundMode::AllowAny), ("REGISTRY_ONLY", OutboundMode::RegistryOnly)];
    field.nested(|policy| {
        policy.ignored("egressProxy", "unknown destinations are called directly");
        policy.take("mode")?.choice(&choices)
    })
}
