//! What a Service says of itself.

use std::sync::Arc;
use std::time::Duration;

use weft_model::calling::{HashKey, Locality, LocalityOrder};
use weft_resilience::settings::PickerKind;
use weft_resources::kubernetes::service::{Distribution, Service};

use super::layers::{From, Layers, Part};
use crate::context::Output;

/// How long a client stays at its endpoint where a Service does not say.
const AFFINITY_TIMEOUT: Duration = Duration::from_secs(10_800);

/// Puts what a Service says on top.
pub(crate) fn apply<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    service: &Service,
    out: &mut Output,
) {
    if let Some(affinity) = &service.client_affinity {
        // By a hash, which needs no memory of clients and no timeout.
        let from = from.field("spec.sessionAffinity", affinity.at);
        if affinity.value != AFFINITY_TIMEOUT {
            let message = "`timeoutSeconds` has no effect: clients are kept by their addresses for \
                           as long as the endpoints stay";
            from.report().note(out, message);
        }
        let calling = layers.decide(Part::Balancing, from, out);
        (calling.picker, calling.key) = (PickerKind::Rendezvous, HashKey::ClientAddr);
    }
    if let Some(distribution) = &service.distribution {
        let from = from.field("spec.trafficDistribution", distribution.at);
        if distribution.value == Distribution::SameNode {
            let message = "endpoints of the same zone are preferred, not those of the same node";
            from.report().warn(out, message);
        }
        let order = LocalityOrder::SameZone;
        layers.decide(Part::Balancing, from, out).locality =
            Some(Arc::new(Locality { order, ..Locality::default() }));
    }
}
