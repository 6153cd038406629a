//! Weftway's own kinds, for what no other dialect can say.

pub mod traffic_policy;

use crate::kind::{Kind, KindInfo};

pub use traffic_policy::TrafficPolicy;

/// The group of all kinds here.
pub const GROUP: &str = "weftway.io";

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[KindInfo {
    group: GROUP,
    api_versions: &["weftway.io/v1alpha1"],
    kind: "TrafficPolicy",
    namespaced: true,
    decode: |reader| Some(Kind::TrafficPolicy(Box::new(traffic_policy::read(reader)))),
}];
