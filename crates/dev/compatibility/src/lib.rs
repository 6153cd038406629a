//! What becomes of every field of every kind that is accepted, and the tests that show it.
//!
//! The fields are those of [`weft_resources::catalogue`]. What becomes of each is written in
//! `fields/*.toml`, one file for each dialect ([`table`]), and [`page`] makes docs/COMPATIBILITY.md
//! of it. Nothing there is taken on trust:
//!
//! - Every field has a row, no row is for nothing, and a field that the reader calls without effect
//!   cannot be called honoured ([`table::Table::read`]).
//! - What is called honoured makes another gateway or mesh, and what is called ignored is said in
//!   the report (`tests/fields.rs`, which compiles every sample with each field and without it).
//! - The tests that rows name exist (`cargo xtask compatibility --check`).

pub mod dialect;
pub mod page;
pub mod table;

#[cfg(test)]
mod tests;
