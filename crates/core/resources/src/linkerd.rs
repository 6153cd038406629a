//! Linkerd's kinds and annotations: who may call, and how calls are made.
//!
//! A Server closes a port to everybody whom no authorization lets in. Authorizations only open, so
//! where they are not evaluated there is nothing to read of them.

pub mod annotations;
pub mod egress;
pub mod profile;
pub mod rate_limit;
pub mod route;
pub mod server;
#[cfg(test)]
mod tests;
pub mod workload;

use crate::kind::{Kind, KindInfo};

pub use annotations::{BalancerAnnotations, CallAnnotations};
pub use egress::EgressNetwork;
pub use profile::ServiceProfile;
pub use rate_limit::RateLimitPolicy;
pub use route::HttpRoute;
pub use server::{
    Access, DEFAULT_INBOUND_POLICY, DEFAULT_OPAQUE_PORTS, OPAQUE_PORTS, ProxyProtocol, Server,
};
pub use workload::ExternalWorkload;

/// The group of Linkerd's policy kinds.
pub const GROUP: &str = "policy.linkerd.io";

/// The group of ServiceProfile.
pub const PROFILE_GROUP: &str = "linkerd.io";

/// The group of ExternalWorkload.
pub const WORKLOAD_GROUP: &str = "workload.linkerd.io";

/// The namespace whose EgressNetworks are for the callers of every other.
pub const EGRESS_NAMESPACE: &str = "linkerd-egress";

const SERVER_VERSIONS: &[&str] =
    &["policy.linkerd.io/v1beta3", "policy.linkerd.io/v1beta2", "policy.linkerd.io/v1beta1"];

const ROUTE_VERSIONS: &[&str] = &[
    "policy.linkerd.io/v1beta3",
    "policy.linkerd.io/v1beta2",
    "policy.linkerd.io/v1beta1",
    "policy.linkerd.io/v1alpha1",
];

const AUTHORIZATION_VERSIONS: &[&str] =
    &["policy.linkerd.io/v1beta1", "policy.linkerd.io/v1alpha1"];

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: PROFILE_GROUP,
        api_versions: &["linkerd.io/v1alpha2"],
        kind: "ServiceProfile",
        namespaced: true,
        decode: |reader| Some(Kind::ServiceProfile(Box::new(profile::read(reader)?))),
    },
    KindInfo {
        group: GROUP,
        api_versions: SERVER_VERSIONS,
        kind: "Server",
        namespaced: true,
        decode: |reader| Some(Kind::Server(Box::new(server::read(reader)))),
    },
    KindInfo {
        group: GROUP,
        api_versions: ROUTE_VERSIONS,
        kind: "HTTPRoute",
        namespaced: true,
        decode: |reader| Some(Kind::LinkerdHttpRoute(Box::new(route::read(reader)))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &["policy.linkerd.io/v1alpha1"],
        kind: "HTTPLocalRateLimitPolicy",
        namespaced: true,
        decode: |reader| Some(Kind::RateLimitPolicy(Box::new(rate_limit::read(reader)))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &["policy.linkerd.io/v1alpha1"],
        kind: "EgressNetwork",
        namespaced: true,
        decode: |reader| Some(Kind::EgressNetwork(Box::new(egress::read(reader)))),
    },
    KindInfo {
        group: WORKLOAD_GROUP,
        api_versions: &["workload.linkerd.io/v1beta1", "workload.linkerd.io/v1alpha1"],
        kind: "ExternalWorkload",
        namespaced: true,
        decode: |reader| Some(Kind::ExternalWorkload(Box::new(workload::read(reader)?))),
    },
    authorization("ServerAuthorization"),
    authorization("AuthorizationPolicy"),
    authorization("MeshTLSAuthentication"),
    authorization("NetworkAuthentication"),
];

/// A kind that opens what a Server closes.
const fn authorization(kind: &'static str) -> KindInfo {
    KindInfo {
        group: GROUP,
        api_versions: AUTHORIZATION_VERSIONS,
        kind,
        namespaced: true,
        decode: |reader| {
            reader.skip("spec");
            let why =
                "authorizations are not evaluated, and the Servers that they open stay closed";
            Some(Kind::Unsupported { why })
        },
    }
}
