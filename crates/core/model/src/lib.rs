//! The compiled truth that the data plane obeys.
//!
//! Everything here is an inert value: built by `compile` (later also decoded from the wire), read by
//! everyone after. Nothing opens a socket, reads a clock or calls back. A [`Snapshot`] is one
//! generation of configuration; unchanged parts of the next one keep their `Arc`, so that the data
//! plane can tell by pointer what it may keep.
//!
//! Live state (load estimates, breakers, buckets, pools) is not here. It lives outside the
//! snapshot, keyed by the ids of [`id`], and survives a change of generation.

pub mod backend;
pub mod calling;
pub mod id;
pub mod identity;
pub mod listener;
pub mod mesh;
pub mod outcome;
pub mod policy;
pub mod route;
pub mod snapshot;
pub mod text;

pub use snapshot::{Generation, Snapshot};
