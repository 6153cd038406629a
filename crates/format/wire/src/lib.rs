//! What control plane and proxies say to each other.
//!
//! The transport is the incremental aggregated discovery service of xDS
//! (`envoy.service.discovery.v3`, [`discovery`]); what it carries are resources of our own
//! ([`resource`]), because they are an order of magnitude smaller than Envoy's and say what the mesh
//! means. Certificates are asked for by a service of its own ([`certificate`]).
//!
//! Only this crate knows protobuf. The control plane uses [`encode`], proxies use [`decode`]; both
//! speak in values of the model.
//!
//! # Versions
//!
//! Peers of neighbouring versions work together. A proxy says in [`discovery::Node`] which
//! [`VERSION`] it speaks; a control plane answers in the older of both. Within a version fields are
//! only ever added, and a reader passes over what it does not know; an enum value that it does not
//! know makes that one resource invalid, never the stream. What narrows something (an audience) comes
//! with such a value, so that nobody takes it for more than is meant.

pub mod certificate;
pub mod decode;
pub mod discovery;
pub mod encode;
pub mod resource;
pub mod workload_api;

#[cfg(test)]
mod tests;

/// The version of the messages that this build writes.
pub const VERSION: u32 = 1;

/// The oldest version that this build reads.
pub const VERSION_MIN: u32 = 1;

/// The version that two peers speak: the older of both.
///
/// `None` when there is none that both know.
pub fn common_version(ours: u32, theirs: u32) -> Option<u32> {
    Some(ours.min(theirs)).filter(|version| *version >= VERSION_MIN)
}
