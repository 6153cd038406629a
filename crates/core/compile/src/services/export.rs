//! Services of this cluster that are a part of those of several clusters (KEP-1645).

use weft_resources::kubernetes::Service;
use weft_resources::kubernetes::service::ServiceType;
use weft_resources::{Kind, Resource};

use super::part::{Found, meshed};
use super::{Meshed, Sources};
use crate::context::Output;
use crate::remark::Place;

/// Where a federated Service names its part.
const FIELD: &str = "metadata.annotations.multicluster.linkerd.io/local-discovery";

/// A Service of a namespace that is a part of another service, which it has the name of.
pub(super) struct Join {
    pub(super) namespace: Box<str>,
    pub(super) part: Box<str>,
    pub(super) whole: Box<str>,
}

/// Says why a Service cannot be a part of one of several clusters.
pub(crate) fn check_part(
    part: (&str, &str),
    service: Option<&Service>,
    place: Place<'_>,
    out: &mut Output,
) {
    let (namespace, name) = part;
    match service.map(|service| &service.kind) {
        Some(ServiceType::Cluster) => {}
        Some(ServiceType::ExternalName(_)) => {
            let message = format!(
                "the Service {namespace}/{name} is of type ExternalName, and no part of one of \
                 several clusters: it runs in none"
            );
            place.error_with(out, message, "name another one");
        }
        None => {
            let message = format!(
                "there is no Service {namespace}/{name} that could be a part of one of several \
                 clusters"
            );
            place.error_with(out, message, "add it");
        }
    }
}

/// What a document says of a part of a service of several clusters: its name, and where it says so.
pub(crate) fn part_of(resource: &Resource) -> Option<(&str, Place<'_>)> {
    match &resource.body {
        Kind::ServiceExport(_) => Some((resource.name(), Place::whole(resource))),
        Kind::Service(service) => {
            let part = service.local_part.as_ref()?;
            Some((&part.value, Place::new(resource, part.at, FIELD)))
        }
        _ => None,
    }
}

// === impl Found ===

impl Found {
    /// Lets Services be parts of those of several clusters. One that is exported is a whole by that
    /// alone.
    pub(super) fn join(&mut self, mesh: Meshed<'_>) {
        for Join { namespace, part, whole } in std::mem::take(&mut self.joins) {
            let Some(local) = self.get_mut(&namespace, &part) else { continue };
            let Some(service) = local.service.clone().filter(|_| local.is_exportable()) else {
                continue;
            };
            let (slices, endpoints) = (local.slices.clone(), local.endpoints.clone());
            self.sources(&namespace, &whole, |sources| {
                sources.service.get_or_insert(service);
                sources.slices.extend(slices);
                sources.endpoints = sources.endpoints.take().or(endpoints);
                sources.meshed = sources.meshed.take().or_else(|| meshed(&whole, mesh).cloned());
            });
        }
    }
}

// === impl Sources ===

impl Sources {
    /// Whether it may be a part of a service of several clusters.
    fn is_exportable(&self) -> bool {
        self.service().is_some_and(|service| service.kind == ServiceType::Cluster)
    }
}
