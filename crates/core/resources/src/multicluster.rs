//! Services of several clusters: the kinds of the Multi-Cluster Services API (KEP-1645).

#[cfg(test)]
mod tests;

use crate::kind::{Kind, KindInfo};
use crate::kubernetes::service::{self, Service, ServiceType};
use crate::linkerd::{BalancerAnnotations, CallAnnotations};
use crate::read::Reader;

/// The group of both kinds.
pub const GROUP: &str = "multicluster.x-k8s.io";

/// The label of an imported EndpointSlice that names the ServiceImport of its namespace.
pub const SERVICE_NAME_LABEL: &str = "multicluster.kubernetes.io/service-name";

/// The label of an imported EndpointSlice that names the cluster it comes from.
pub const SOURCE_CLUSTER_LABEL: &str = "multicluster.kubernetes.io/source-cluster";

/// What names of services of several clusters end in, after their name and namespace.
pub const SUFFIX: &str = ".svc.clusterset.local";

const VERSIONS: &[&str] = &["multicluster.x-k8s.io/v1beta1", "multicluster.x-k8s.io/v1alpha1"];

/// Says that the Service of the same name and namespace is a part of the one of several clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceExport;

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: GROUP,
        api_versions: VERSIONS,
        kind: "ServiceImport",
        namespaced: true,
        decode: |reader| Some(Kind::ServiceImport(Box::new(read_import(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: VERSIONS,
        kind: "ServiceExport",
        namespaced: true,
        decode: |reader| {
            // Labels and annotations for the imports that a controller makes in other clusters.
            reader.skip("spec");
            Some(Kind::ServiceExport(ServiceExport))
        },
    },
];

/// The host by which the service of several clusters is called:
/// `NAME.NAMESPACE.svc.clusterset.local`.
pub fn host(namespace: &str, name: &str) -> String {
    [name, ".", namespace, SUFFIX].concat()
}

/// Reads a ServiceImport. It is a Service that nothing selects workloads for.
fn read_import(reader: &Reader<'_, '_>) -> Option<Service> {
    reader.require("spec")?.nested(|spec| {
        let is_headless =
            spec.require("type")?.choice(&[("ClusterSetIP", false), ("Headless", true)])?;
        spec.skip("ipFamilies");
        let ips = spec.strings("ips");
        let cluster_ips = match is_headless {
            true => Box::default(),
            false => ips.iter().filter_map(|text| text.parse().ok()).collect(),
        };
        Some(Service {
            kind: ServiceType::Cluster,
            ports: spec
                .list("ports", |item| item.nested(|reader| service::port_with(reader, None))),
            cluster_ips,
            is_headless,
            selector: Box::default(),
            publishes_unready: false,
            slow_start: None,
            distribution: service::written_distribution(spec),
            client_affinity: service::client_affinity(spec),
            local_part: None,
            calls: CallAnnotations::default(),
            balancer: BalancerAnnotations::default(),
        })
    })
}
