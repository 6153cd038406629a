//! HTTP/2 without I/O (RFC 9113): strict, and one pass.
//!
//! A [`Session`] is one connection, of either side. Bytes that arrive go into
//! [`Session::receive`]; what is to be written is in [`Session::output`]; in between there are calls
//! for each stream, and [`Session::next_change`] says on which of them something has happened.
//! Frames are read where they lie; heads are decoded into the memory of [`Fields`], and encoded from
//! it. Time is an argument.
//!
//! A session holds memory only while there are streams, or bytes to be written; what it needs then
//! it borrows from the [`Spares`] of its thread.
//!
//! [`Fields`]: crate::Fields

mod encode;
mod failure;
mod flow;
mod frame;
mod head;
mod meter;
mod section;
mod session;
mod spares;
mod stream;
#[cfg(test)]
mod testing;

pub use failure::{Excess, Failure, Reason};
pub use frame::FrameKind;
pub use section::Section;
pub use session::{Body, Change, Config, Over, Session};
pub use spares::Spares;
pub use stream::Key;
