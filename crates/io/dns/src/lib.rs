//! DNS beside a workload: names of the mesh are answered here, all others elsewhere.
//!
//! [`answer()`] decides, without input or output: a query and the [`Names`] in, a reply or what else
//! to do out. [`Server`] moves the bytes: it listens, asks the [`Upstreams`] for what is not ours,
//! and gets new names whenever they change. Nothing is cached: the mesh's names are in memory, and
//! upstream resolvers have caches of their own.

mod answer;
mod forward;
mod metrics;
mod names;
mod question;
mod server;
#[cfg(test)]
mod testing;
mod upstreams;

pub use answer::{Answer, Outcome, Reply, answer};
pub use metrics::DnsMetrics;
pub use names::{InvalidDomain, Names, Zone};
pub use question::{Question, Transport};
pub use server::{BindError, Limits, Server, Settings, Sockets};
pub use upstreams::Upstreams;
