//! Gateway API, of every version that is served or still found in charts.

pub mod filter;
pub mod gateway;
pub mod grpc;
pub mod http;
pub mod l4;
pub mod policy;
pub mod reference;
#[cfg(test)]
mod tests;

use crate::kind::{Kind, KindInfo};

pub use filter::{Filter, FilterKind};
pub use gateway::{Gateway, GatewayClass, Listener, ListenerSet};
pub use grpc::GrpcRoute;
pub use http::HttpRoute;
pub use l4::L4Route;
pub use policy::{BackendTlsPolicy, BackendTrafficPolicy, ReferenceGrant};
pub use reference::{BackendRef, ObjectRef, ParentRef};

/// The group of all kinds here.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// The group of kinds that are not settled yet.
pub const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

const V1: &str = "gateway.networking.k8s.io/v1";
const V1BETA1: &str = "gateway.networking.k8s.io/v1beta1";
const V1ALPHA2: &str = "gateway.networking.k8s.io/v1alpha2";
const V1ALPHA3: &str = "gateway.networking.k8s.io/v1alpha3";
const EXPERIMENTAL: &str = "gateway.networking.x-k8s.io/v1alpha1";

/// How the kinds are decoded. The versions differ in nothing that is read here.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1BETA1],
        kind: "GatewayClass",
        namespaced: false,
        decode: |reader| Some(Kind::GatewayClass(Box::new(gateway::read_class(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1BETA1],
        kind: "Gateway",
        namespaced: true,
        decode: |reader| Some(Kind::Gateway(Box::new(gateway::read(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1],
        kind: "ListenerSet",
        namespaced: true,
        decode: |reader| Some(Kind::ListenerSet(Box::new(gateway::read_set(reader)?))),
    },
    KindInfo {
        group: EXPERIMENTAL_GROUP,
        api_versions: &[EXPERIMENTAL],
        kind: "XListenerSet",
        namespaced: true,
        decode: |reader| Some(Kind::ListenerSet(Box::new(gateway::read_set(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1BETA1],
        kind: "HTTPRoute",
        namespaced: true,
        decode: |reader| Some(Kind::HttpRoute(Box::new(http::read(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1ALPHA2],
        kind: "GRPCRoute",
        namespaced: true,
        decode: |reader| Some(Kind::GrpcRoute(Box::new(grpc::read(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1BETA1, V1ALPHA3, V1ALPHA2],
        kind: "TLSRoute",
        namespaced: true,
        decode: |reader| Some(Kind::TlsRoute(Box::new(l4::read_tls(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1BETA1, V1ALPHA3, V1ALPHA2],
        kind: "TCPRoute",
        namespaced: true,
        decode: |reader| Some(Kind::TcpRoute(Box::new(l4::read_tcp(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1ALPHA2],
        kind: "UDPRoute",
        namespaced: true,
        decode: |reader| {
            reader.skip("spec");
            Some(Kind::Unsupported { why: "UDP is not proxied" })
        },
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1BETA1, V1ALPHA2],
        kind: "ReferenceGrant",
        namespaced: true,
        decode: |reader| Some(Kind::ReferenceGrant(Box::new(policy::read_grant(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &[V1, V1ALPHA3],
        kind: "BackendTLSPolicy",
        namespaced: true,
        decode: |reader| Some(Kind::BackendTlsPolicy(Box::new(policy::read_tls(reader)?))),
    },
    traffic_policy("XBackendTrafficPolicy"),
    traffic_policy("BackendTrafficPolicy"),
];

/// A BackendTrafficPolicy under one of its names.
const fn traffic_policy(kind: &'static str) -> KindInfo {
    KindInfo {
        group: EXPERIMENTAL_GROUP,
        api_versions: &[EXPERIMENTAL],
        kind,
        namespaced: true,
        decode: |reader| Some(Kind::BackendTrafficPolicy(Box::new(policy::read_traffic(reader)?))),
    }
}
