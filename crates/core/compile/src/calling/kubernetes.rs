//! What a Service, a ServiceEntry or its Namespace says of itself.

use std::sync::Arc;
use std::time::Duration;

use weft_model::calling::{HashKey, Locality, LocalityOrder};
use weft_resilience::settings::PickerKind;
use weft_resources::kubernetes::service::{Distribution, Service};
use weft_resources::{Kind, Resource, Spanned};

use super::layers::{From, Layers, Part};
use crate::context::Output;

/// Where ServiceEntries and Namespaces say where traffic stays.
const ANNOTATION: &str = "metadata.annotations.networking.istio.io/traffic-distribution";

/// How long a client stays at its endpoint where a Service does not say.
const AFFINITY_TIMEOUT: Duration = Duration::from_secs(10_800);

/// Keeps clients at their endpoints, if the Service wants it.
pub(crate) fn affinity<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    service: &Service,
    out: &mut Output,
) {
    let Some(affinity) = &service.client_affinity else { return };
    // By a hash, which needs no memory of clients and no timeout.
    let from = from.field("spec.sessionAffinity", affinity.at);
    if affinity.value != AFFINITY_TIMEOUT {
        let message = "`timeoutSeconds` has no effect: clients are kept by their addresses for as \
                       long as the endpoints stay";
        from.report().note(out, message);
    }
    let calling = layers.decide(Part::Balancing, from, out);
    (calling.picker, calling.key) = (PickerKind::Rendezvous, HashKey::ClientAddr);
}

/// Which endpoints come first, as a document says where its traffic stays.
pub(crate) fn distribute<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    distribution: Distribution,
    out: &mut Output,
) {
    if distribution == Distribution::SameNode {
        let message = "endpoints of the same zone are preferred, not those of the same node";
        from.report().warn(out, message);
    }
    let order = LocalityOrder::SameZone;
    layers.decide(Part::Locality, from, out).locality =
        Some(Arc::new(Locality { order, ..Locality::default() }));
}

/// What a Service, a ServiceEntry or a Namespace says of where traffic stays, with the field.
pub(crate) fn distribution(resource: &Resource) -> Option<(&'static str, Spanned<Distribution>)> {
    let (field, found) = match &resource.body {
        Kind::Service(service) | Kind::ServiceImport(service) => {
            ("spec.trafficDistribution", service.distribution)
        }
        Kind::ServiceEntry(entry) => (ANNOTATION, entry.distribution),
        Kind::Namespace(namespace) => (ANNOTATION, namespace.distribution),
        _ => return None,
    };
    found.map(|found| (field, found))
}
