//! Backends at run time: endpoints, pickers, connection pools, health.
//!
//! Each worker has its own [`Backends`]: pools, load estimates and pickers are never shared, so a
//! request takes no lock. What must hold for the whole process (health of an endpoint, ejections)
//! lies in [`shared::Shared`] as atomics, keyed by backend and address, and survives a change of
//! configuration.
//!
//! A request picks a [`Lease`] on one endpoint, gets a connection from it, and reports how it went
//! by [`Lease::report`]; dropping the lease gives the load back.

mod backend;
mod backends;
mod connect;
mod endpoint;
pub mod error;
mod lease;
pub mod metrics;
pub mod health;
pub mod resolve;
mod pool;
pub mod shared;

pub use backend::Backend;
pub use backends::{Backends, Environment, Prepared, PreparedBackend};
pub use connect::{Connection, Dialled};
pub use endpoint::Endpoint;
pub use lease::{Lease, Report, Tried};
