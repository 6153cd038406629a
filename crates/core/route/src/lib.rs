//! Match tables: find the route of a request in time that does not depend on their number; the
//! rule language.
//!
//! [`HttpTable`] and [`TcpTable`] are built when configuration changes and read by every request
//! or connection; they agree with a look at each route and are faster. [`rule`] reads Traefik's
//! rules into conditions; [`syntax`] is the part of its language that other expressions share.

mod explain;
mod http;
mod literal;
mod matching;
mod names;
mod query;
mod tcp;

#[cfg(test)]
mod testing;

pub mod rule;
pub mod syntax;

pub use explain::{Aspect, Candidate, Failure, Verdict};
pub use http::{HttpTable, Matched};
pub use matching::TcpAsk;
pub use tcp::TcpTable;
