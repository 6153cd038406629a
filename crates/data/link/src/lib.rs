//! A proxy's line to the control plane.
//!
//! [`Client`] is the proxy's end of the stream, without input or output: messages in, messages and a
//! [`State`] out. [`start`] makes a [`Link`] that runs it over a socket, on the control thread: it
//! connects again whenever the connection breaks, gets the proxy's certificate and renews it, and
//! says which services are used. Whoever builds the plan reads the state; [`assemble()`] makes a
//! snapshot of it, [`files`] of the machine complete that, and [`settle()`] puts what it says of
//! services into the plan of a gateway. What was once in force is kept on disk ([`saved`]) and holds
//! until something newer comes, for as long as that takes.

mod assemble;
mod backoff;
mod channel;
mod client;
mod endpoint;
pub mod files;
mod held;
mod resolve;
pub mod saved;
mod settings;
mod settle;
mod shell;
mod state;
mod usage;

#[cfg(test)]
mod tests;

pub use assemble::{Mode, Ports, ProxyRole, assemble};
pub use client::{Client, Taken};
pub use endpoint::{Connect, Connecting, ControlPeer, Endpoint, Transport};
pub use settings::{Settings, Times};
pub use settle::{services, settle};
pub use shell::{Demand, Link, LinkStatus, start};
pub use state::{State, Versioned};
