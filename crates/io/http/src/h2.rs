//! HTTP/2 connections, either side, on the state machine of [`weft_message::h2`].
//!
//! One task drives a connection: it reads, lets the state machine take what came, wakes the streams
//! to which something has happened, and writes what they have left. The streams are held by whoever
//! serves or sends requests, on the same thread. A connection that waits owns no buffer.

mod client;
mod conn;
mod error;
mod link;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod tunnel;

pub use client::{Client, ClientConnection};
pub use error::Error;
pub use server::{Accepted, Ended, Server, ServerSettings};
pub use stream::Stream;
pub use tunnel::{OpenError, Tunnel};
pub use weft_message::h2::{Excess, FrameKind, Reason};
