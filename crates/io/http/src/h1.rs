//! HTTP/1.1 connections, either side.
//!
//! A [`Conn`] is a byte stream with at most one buffer each way and the state of the one message
//! that is being read and the one that is being written. It plays server or client; the difference
//! is which head is read and which is written.

mod conn;
#[cfg(test)]
mod tests;
mod wire;

pub use conn::{Conn, Sending};
pub use wire::{Filled, Wire};
