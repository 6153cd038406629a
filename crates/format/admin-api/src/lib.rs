//! Types of the admin endpoint and of the control plane's status socket, as they are written to
//! JSON and read back.
//!
//! Inert: no other crate of ours is known here, so that a tool can read an answer without the
//! gateway. A field is added, never renamed; readers skip what they do not know.

pub mod base;
pub mod certificates;
pub mod config;
pub mod control;
pub mod explain;
pub mod proxies;
pub mod readiness;
pub mod rotation;
pub mod supply;
pub mod tokens;

pub use base::BaseView;
pub use certificates::CertificatesView;
pub use config::ConfigDump;
pub use control::ControlDump;
pub use explain::{ExplanationView, RecentView};
pub use proxies::ProxiesView;
pub use readiness::ReadinessView;
pub use rotation::RotationView;
pub use supply::{IntermediateRequest, IssuerRequest, PemText};
pub use tokens::{TokenRequest, TokenView};

#[cfg(test)]
mod tests;
