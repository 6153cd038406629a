//! Types of the admin endpoint, as they are written to JSON and read back.
//!
//! Inert: no other crate of ours is known here, so that a tool can read an answer without the
//! gateway. A field is added, never renamed; readers skip what they do not know.

pub mod config;
pub mod readiness;

pub use config::ConfigDump;
pub use readiness::ReadinessView;

#[cfg(test)]
mod tests;
