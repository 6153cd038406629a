//! Kubernetes' own kinds, as far as a gateway or a mesh needs them.
//!
//! What only the cluster acts on (a Pod's volumes, a Secret's `immutable`) is taken and left out: it
//! asks nothing of either.

pub mod data;
pub mod endpoints;
pub mod ingress;
pub mod network_policy;
pub mod pod;
pub mod selector;
pub mod service;
#[cfg(test)]
mod tests;

use crate::kind::{Kind, KindInfo};

pub use data::{ConfigMap, Namespace, Secret, ServiceAccount};
pub use endpoints::{EndpointSlice, Endpoints};
pub use ingress::{Ingress, IngressClass};
pub use network_policy::NetworkPolicy;
pub use pod::Pod;
pub use selector::{LabelSelector, Labels};
pub use service::Service;

/// The group of Ingress, IngressClass and NetworkPolicy.
pub const NETWORKING: &str = "networking.k8s.io";

/// The group of EndpointSlice.
pub const DISCOVERY: &str = "discovery.k8s.io";

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "Service",
        namespaced: true,
        decode: |reader| Some(Kind::Service(Box::new(service::read(reader)?))),
    },
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "Endpoints",
        namespaced: true,
        decode: |reader| Some(Kind::Endpoints(Box::new(endpoints::read_endpoints(reader)?))),
    },
    KindInfo {
        group: DISCOVERY,
        api_versions: &["discovery.k8s.io/v1", "discovery.k8s.io/v1beta1"],
        kind: "EndpointSlice",
        namespaced: true,
        decode: |reader| Some(Kind::EndpointSlice(Box::new(endpoints::read_slice(reader)?))),
    },
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "Secret",
        namespaced: true,
        decode: |reader| Some(Kind::Secret(Box::new(data::read_secret(reader)?))),
    },
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "ConfigMap",
        namespaced: true,
        decode: |reader| Some(Kind::ConfigMap(Box::new(data::read_config_map(reader)?))),
    },
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "Namespace",
        namespaced: false,
        decode: |reader| Some(Kind::Namespace(data::read_namespace(reader))),
    },
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "Pod",
        namespaced: true,
        decode: |reader| Some(Kind::Pod(Box::new(pod::read(reader)?))),
    },
    KindInfo {
        group: "",
        api_versions: &["v1"],
        kind: "ServiceAccount",
        namespaced: true,
        decode: |reader| {
            ["secrets", "imagePullSecrets", "automountServiceAccountToken"]
                .iter()
                .for_each(|name| reader.skip(name));
            Some(Kind::ServiceAccount(ServiceAccount))
        },
    },
    KindInfo {
        group: NETWORKING,
        api_versions: &["networking.k8s.io/v1"],
        kind: "Ingress",
        namespaced: true,
        decode: |reader| Some(Kind::Ingress(Box::new(ingress::read(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: &["networking.k8s.io/v1"],
        kind: "IngressClass",
        namespaced: false,
        decode: |reader| Some(Kind::IngressClass(Box::new(ingress::read_class(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: &["networking.k8s.io/v1"],
        kind: "NetworkPolicy",
        namespaced: true,
        decode: |reader| Some(Kind::NetworkPolicy(Box::new(network_policy::read(reader)))),
    },
];
