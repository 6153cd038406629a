//! Serves the mesh to its proxies.
//!
//! Nothing here does input or output. [`Published`] is one generation of the mesh, every resource
//! encoded once for all proxies; a [`Session`] is one proxy's stream: what it wants, what it has,
//! what it is owed next, and what it said of what it got. Whoever owns the sockets moves messages
//! between the two and the network.
//!
//! # What holds
//!
//! - A proxy has at most one response that it has not acknowledged. What changes meanwhile is not
//!   queued: the next response leads from what the proxy has to the newest generation, so a slow
//!   proxy skips, costs no memory, and holds nobody back.
//! - The responses of one generation end with one that names it. A proxy puts nothing in force
//!   before that one, so it never mixes two.
//! - A version is a hash of the resource. A proxy that comes back after this process was restarted
//!   says what it has, and is sent what differs.

mod published;
mod session;

#[cfg(test)]
mod tests;

pub use published::{Encoded, Kind, Published};
pub use session::{ProtocolError, ProxyStatus, Session};
