//! Listening sockets and passing them on, original destinations, PROXY protocol, protocol detection,
//! buffers and byte copying.
//!
//! Nothing here spawns a task or reads a clock: what waits is an async function or a poll function
//! of the caller, what times out is a [`copy::Deadline`] that the caller brings. Parsers are
//! sans-I/O: bytes in, a verdict out.
//!
//! The memory rule of the data path starts here: a connection owns a buffer only while bytes are
//! in it. So a [`stream::Stream`] says that it has bytes before anybody takes a [`buffer::Buffer`]
//! from the worker's [`buffer::BufferPool`].

pub mod buffer;
pub mod copy;
pub mod detect;
pub mod listen;
pub mod original;
#[cfg(target_os = "linux")]
pub mod pass;
pub mod proxy_protocol;
pub mod stream;

pub use buffer::{Buffer, BufferPool, Inbox};
pub use original::{OriginalDst, original_dst};
pub use stream::Stream;
