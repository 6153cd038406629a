//! Backends at run time: endpoints, pickers, connection pools, health.
//!
//! Each worker has its own [`Backends`]: pools, load estimates and pickers are never shared, so a
//! request takes no lock. What must hold for the whole process (health of an endpoint, ejections,
//! budgets, bounds on what is under way) lies in [`shared::Shared`], keyed by backend and address,
//! and survives a change of configuration. On the control thread, [`health::Prober`] asks endpoints
//! how they are, and [`resolve::Resolver`] keeps the addresses of names.
//!
//! An endpoint beside which a proxy of the mesh runs is reached through it, with mutual TLS, by
//! connections that all backends of a worker share.
//!
//! A request begins a [`Call`], which its retries come from. For each attempt it picks a [`Lease`]
//! on one endpoint, gets a connection from it, and says how it went by [`Lease::answered`],
//! [`Lease::ended`] and [`Lease::failed`]; dropping the lease gives back what it counts as.
//!
//! Connections may be bounded. Who finds no place for one more waits in line: for a place, or for a
//! connection to the same endpoint that becomes free in the same worker, whichever comes first.

mod backend;
mod backends;
mod behalf;
mod bound;
mod call;
#[cfg(test)]
mod chaos;
mod connect;
mod copies;
mod dial;
mod dialled;
mod endpoint;
pub mod error;
pub mod health;
mod hear;
mod lease;
mod line;
mod load_report;
pub mod metrics;
mod peer;
mod pool;
pub mod resolve;
pub mod shared;
#[cfg(test)]
mod testing;
mod tunnel;
mod view;

pub use backend::Backend;
pub use backends::{Backends, Environment, Prepared, PreparedBackend};
pub use call::{Ask, Call, RetryRefused};
pub use connect::{Connection, Dialled, Speaks};
pub use copies::{COPIES_BYTES_MAX, COPIES_MAX, Copied};
pub use endpoint::Endpoint;
pub use lease::{Lease, Tried};
