//! Istio kinds: where services are, where calls of them go and how they are made, and who may call
//! whom.

pub mod destination;
pub mod destination_rule;
pub mod entry;
pub mod extension;
pub mod gateway;
pub mod group;
pub mod header;
pub mod mesh_config;
pub mod security;
pub mod server;
pub mod sidecar;
#[cfg(test)]
mod tests;
pub mod value;
pub mod virtual_service;
pub mod workload;

use crate::kind::{Kind, KindInfo};

pub use destination::Destination;
pub use destination_rule::DestinationRule;
pub use entry::{EntryPort, Resolution, ServiceEntry};
pub use gateway::Gateway;
pub use group::WorkloadGroup;
pub use mesh_config::MeshConfig;
pub use security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
pub use sidecar::Sidecar;
pub use virtual_service::VirtualService;
pub use workload::WorkloadEntry;

/// The group of Istio's traffic kinds.
pub const NETWORKING: &str = "networking.istio.io";

/// The versions of Istio's traffic kinds, which differ in nothing that is read here.
const NETWORKING_VERSIONS: &[&str] =
    &["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"];

/// The versions of Istio's security kinds.
const SECURITY_VERSIONS: &[&str] = &["security.istio.io/v1", "security.istio.io/v1beta1"];

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "VirtualService",
        namespaced: true,
        decode: |reader| Some(Kind::VirtualService(Box::new(virtual_service::read(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "DestinationRule",
        namespaced: true,
        decode: |reader| Some(Kind::DestinationRule(Box::new(destination_rule::read(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "Gateway",
        namespaced: true,
        decode: |reader| Some(Kind::IstioGateway(Box::new(gateway::read(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "ServiceEntry",
        namespaced: true,
        decode: |reader| Some(Kind::ServiceEntry(Box::new(entry::read(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "WorkloadEntry",
        namespaced: true,
        decode: |reader| {
            let entry = reader.require("spec")?.nested(workload::read)?;
            Some(Kind::WorkloadEntry(Box::new(entry)))
        },
    },
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "WorkloadGroup",
        namespaced: true,
        decode: |reader| Some(Kind::WorkloadGroup(Box::new(group::read(reader)?))),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: NETWORKING_VERSIONS,
        kind: "Sidecar",
        namespaced: true,
        decode: |reader| Some(Kind::Sidecar(Box::new(sidecar::read(reader)?))),
    },
    KindInfo {
        group: security::GROUP,
        api_versions: SECURITY_VERSIONS,
        kind: "PeerAuthentication",
        namespaced: true,
        decode: |reader| Some(Kind::PeerAuthentication(Box::new(security::read_peer(reader)))),
    },
    KindInfo {
        group: security::GROUP,
        api_versions: SECURITY_VERSIONS,
        kind: "AuthorizationPolicy",
        namespaced: true,
        decode: |reader| {
            Some(Kind::AuthorizationPolicy(Box::new(security::read_authorization(reader))))
        },
    },
    KindInfo {
        group: security::GROUP,
        api_versions: SECURITY_VERSIONS,
        kind: "RequestAuthentication",
        namespaced: true,
        decode: |reader| {
            Some(Kind::RequestAuthentication(Box::new(security::read_request(reader))))
        },
    },
    KindInfo {
        group: extension::GROUP,
        api_versions: &["extensions.istio.io/v1alpha1"],
        kind: "WasmPlugin",
        namespaced: true,
        decode: |reader| Some(extension::read_plugin(reader)),
    },
    KindInfo {
        group: NETWORKING,
        api_versions: &["networking.istio.io/v1alpha3"],
        kind: "EnvoyFilter",
        namespaced: true,
        decode: |reader| Some(extension::read_filter(reader)),
    },
];
