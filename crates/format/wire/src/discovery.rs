//! Messages of the incremental aggregated discovery service, with the field numbers of
//! `envoy.service.discovery.v3`. Fields that neither side uses are left out; protobuf passes over
//! them.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The path of the service's one call, a stream both ways.
pub const DELTA_PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Who a proxy is (`envoy.config.core.v3.Node`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Node {
    /// The workload: `shop/payments-7d4`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The identity that the proxy believes to have; the control plane trusts its own attestation.
    #[prost(string, tag = "2")]
    pub cluster: String,
    /// `weftway`.
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
    /// The product's version, for people.
    #[prost(string, tag = "7")]
    pub user_agent_version: String,
    /// [`Node::feature`] of the version that is spoken.
    #[prost(string, repeated, tag = "10")]
    pub client_features: Vec<String>,
}

/// What a proxy says: what it wants from now on, what it has, and whether it took the last
/// response.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    /// In the first message of a stream only.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The kind of resources that this message is about.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Names wanted from now on; `*` is all of the kind.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Names not wanted any more.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// Versions that the proxy has from an earlier stream, by name; in the first message of a kind.
    #[prost(btree_map = "string, string", tag = "5")]
    pub initial_resource_versions: BTreeMap<String, String>,
    /// The response that this one acknowledges, or refuses together with `error_detail`.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Why the response was refused.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
    /// Ours: what became of single resources of the acknowledged response. A number that no other
    /// peer uses.
    #[prost(message, repeated, tag = "1000")]
    pub rejected: Vec<Rejected>,
    /// Ours: the newest generation of which all is in force on the proxy.
    #[prost(uint64, tag = "1001")]
    pub generation: u64,
}

/// What a control plane says: resources that are new or changed, and those that are gone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeltaDiscoveryResponse {
    /// The generation that the proxy has when it has taken this, as a decimal number.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// New and changed ones.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// Their kind.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// What the proxy answers with.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names of those that are gone, or that never were.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// One resource.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Resource {
    /// Its version: equal versions of one name are equal resources.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The resource itself.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// A message and its type (`google.protobuf.Any`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// The type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, encoded; shared by all who are sent it.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Why something was refused (`google.rpc.Status`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// A gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// One resource that a proxy could not take. Its last good form stays in force there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rejected {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version that was refused.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Why.
    #[prost(string, tag = "3")]
    pub reason: String,
}

// === impl Node ===

impl Node {
    /// What a node says of a version in `client_features`.
    pub fn feature(version: u32) -> String {
        format!("weftway.wire/{version}")
    }

    /// The newest version that this node speaks; `None` when it speaks none of ours.
    pub fn version(&self) -> Option<u32> {
        let versions = self
            .client_features
            .iter()
            .filter_map(|feature| feature.strip_prefix("weftway.wire/")?.parse::<u32>().ok());
        versions.max()
    }
}
