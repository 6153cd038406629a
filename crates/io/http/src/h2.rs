//! HTTP/2 connections, either side, on the `h2` crate.
//!
//! Heads are converted at the border: what the layers above see is the same [`RequestHead`] and
//! [`ResponseHead`] as on HTTP/1.1, so that one canonical view serves both.
//!
//! [`RequestHead`]: weft_message::RequestHead
//! [`ResponseHead`]: weft_message::ResponseHead

mod budget;
mod client;
mod convert;
mod excess;
pub mod frames;
mod meter;
mod server;
mod stream;
mod tap;
#[cfg(test)]
mod tests;
mod tunnel;

pub use client::{Client, ClientConnection};
pub use excess::Excess;
pub use server::{Accepted, Ended, Server, ServerSettings};
pub use stream::Stream;
pub use tunnel::{OpenError, Tunnel};
