//! The mesh from end to end: `weftway up`, workloads that `weftway run` adds, and their traffic
//! through real namespaces, rules and proxies.
//!
//! Each test has a machine of its own ([`machine::Machine`]): namespaces of network, mounts and
//! processes that end with the test, however it ends. So nothing stays behind, and no mesh of the
//! developer is in the way. `cargo xtask mesh` runs all of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and shows what its processes have logged"
)]

mod calls;
mod chain;
mod chaos;
mod conformance;
mod control;
mod demo;
mod dialects;
mod echo;
mod explain;
mod external;
mod failure;
mod gateway;
mod http;
mod identity;
mod life;
mod loopback;
mod machine;
mod mesh;
mod plan;
mod policy;
mod role;
mod rotation;
mod shared;
mod tcp;
mod traffic;
mod upgrade;
