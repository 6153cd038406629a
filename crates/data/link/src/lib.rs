//! A proxy's line to the control plane.
//!
//! [`Client`] is the proxy's end of the stream, without input or output: messages in, messages and a
//! [`State`] out. Whoever owns the socket moves the messages; whoever builds the plan reads the
//! state. What was once in force is kept on disk ([`saved`]) and holds until something newer comes,
//! for as long as that takes.

mod client;
pub mod saved;
mod state;

#[cfg(test)]
mod tests;

pub use client::{Client, Taken};
pub use state::{State, Versioned};
