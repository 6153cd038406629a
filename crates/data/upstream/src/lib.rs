//! Backends at run time: endpoints, pickers, connection pools, health.
//!
//! Each worker has its own [`Backends`]: pools, load estimates and pickers are never shared, so a
//! request takes no lock. What must hold for the whole process (health of an endpoint, ejections)
//! lies in [`shared::Shared`] as atomics, keyed by backend and address, and survives a change of
//! configuration. On the control thread, [`health::Prober`] asks endpoints how they are, and
//! [`resolve::Resolver`] keeps the addresses of names.
//!
//! An endpoint beside which a proxy of the mesh runs is reached through it, with mutual TLS, by
//! connections that all backends of a worker share.
//!
//! A request picks a [`Lease`] on one endpoint, gets a connection from it, and reports how it went
//! by [`Lease::report`]; dropping the lease gives the load back.

mod backend;
mod backends;
mod connect;
mod dialled;
mod endpoint;
pub mod error;
pub mod health;
mod lease;
pub mod metrics;
mod peer;
mod pool;
pub mod resolve;
pub mod shared;
#[cfg(test)]
mod testing;

pub use backend::Backend;
pub use backends::{Backends, Environment, Prepared, PreparedBackend};
pub use connect::{Connection, Dialled, Speaks};
pub use endpoint::Endpoint;
pub use lease::{Lease, Report, Tried};
