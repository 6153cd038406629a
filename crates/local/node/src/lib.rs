//! Runs workloads on this machine: plain processes, each with an address of its own and a proxy
//! beside it that takes over its traffic.
//!
//! What has to exist is decided by values and can be looked at: [`plan`] says which network
//! interfaces, rules and files a workload needs, [`life`] who is started, signalled and waited for
//! at which moment, [`pool`] who has which address. [`host`] executes a plan with the programs `ip`
//! and `nft`, and [`node`] runs lives. Applications come from the caller itself or through a Unix
//! socket ([`api`], [`client`]).
//!
//! Whatever this crate creates can be told by its name (`wf-` and `weft`, see
//! [`network::Network`]), so that what a crash left behind is found and removed, and nothing else
//! is ever touched.

pub mod api;
pub mod attest;
pub mod client;
pub mod command;
pub mod host;
pub mod launch;
pub mod life;
mod listens;
pub mod loopback;
pub mod name;
pub mod network;
pub mod node;
pub mod permit;
pub mod plan;
pub mod pool;
pub mod ports;
mod supervise;

pub use name::Name;
pub use network::Network;
pub use node::Node;
