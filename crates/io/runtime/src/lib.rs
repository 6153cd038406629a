//! What every long-running role stands on: workers, drain, readiness, coarse deadlines, metrics
//! and logs.
//!
//! This is the only crate that spawns threads and tasks and the only one that reads a clock. A
//! worker is one thread with one single-threaded tokio runtime; what belongs to a worker is
//! `!Send` and needs no lock. Everything that is not traffic (configuration, admin, certificates)
//! lives on the thread of the control runtime.

pub mod deadline;
pub mod drain;
pub mod file;
pub mod log;
pub mod metrics;
pub mod ready;
pub mod signal;
pub mod task;
pub mod time;
pub mod worker;

pub use deadline::{Deadlines, Watchdog};
