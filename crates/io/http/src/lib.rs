//! Drives HTTP connections: HTTP/1.1 on our own codec, HTTP/2 on the `h2` crate.
//!
//! Both give the same thing to the layers above: a [`Leg`], one side of an exchange, from which a
//! body can be read and to which one can be written, by polling. There is no routing here and no
//! policy, and nothing is spawned. Everything is polled by one task, so that a request and its
//! response can flow at the same time without locks or channels.
//!
//! Dropping a leg before its message is complete closes the connection (HTTP/1.1) or resets the
//! stream (HTTP/2).

pub mod buffers;
pub mod error;
#[cfg(test)]
mod fixtures;
pub mod h1;
pub mod h2;
pub mod io;
pub mod leg;
pub mod pump;

pub use leg::{BodyEvent, Leg};
