//! Real proxies' links against the real control plane, on a paused clock: connections are pipes
//! inside the process, TLS and HTTP/2 on them are as ever.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bounds;
mod certificates;
mod harness;
mod metrics;
mod rotation;
mod rules;
mod sockets;
mod stream;
