//! What would become of a request, and why; and what a change of configuration would change.
//!
//! Everything here is asked of a [`Snapshot`](weft_model::Snapshot), the value that a proxy serves
//! by: of one that runs, or of one that was compiled a moment ago and is in force nowhere. So the
//! answer is that of the data path itself, which searches the same tables.
//!
//! - [`explain`] takes one request along the line that docs/life-of-a-request.md describes.
//! - [`plan()`] compares two snapshots: their rules, and what becomes of requests under each.

pub mod answer;
pub mod plan;
pub mod question;
pub mod words;

#[cfg(test)]
mod testing;

pub use answer::{Explanation, explain, unlearned};
pub use plan::{Difference, plan};
pub use question::{InvalidQuestion, Question, Standpoint};
