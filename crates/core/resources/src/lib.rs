//! The documents users write: YAML with positions, and the kinds of every dialect.
//!
//! [`load`] turns texts into a [`ResourceSet`]: typed resources, each with the file and line it came
//! from, and every problem found on the way. A document that does not decode rejects only itself.
//! Nothing here decides what a resource *means*; that is `compile`.
//!
//! Reading is strict: the [`read::Reader`] reports each field that nobody asked for, so nothing a
//! user wrote is ignored silently.

pub mod catalogue;
mod clause;
pub mod duration;
pub mod gateway_api;
pub mod istio;
mod key;
pub mod kind;
pub mod kubernetes;
pub mod linkerd;
pub mod metadata;
pub mod multicluster;
pub mod problem;
pub mod read;
pub mod resource;
pub mod set;
pub mod smi;
pub mod traefik;
pub mod weftway;
pub mod yaml;

pub use clause::Clause;
pub use key::Key;
pub use kind::Kind;
pub use problem::{Pos, Problem, Severity};
pub use resource::{Annotation, Resource, Spanned};
pub use set::{Document, ResourceSet, load, load_incremental};
