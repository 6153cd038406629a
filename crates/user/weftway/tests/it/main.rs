//! The real binary from end to end: a gateway process on a folder of documents, clients that send
//! exact bytes and frames, and origins that report the bytes they got.
//!
//! One program for all subjects, so that the workspace is linked once. `cargo test -p weftway --test
//! it tls::` runs one subject.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bench;
mod changes;
mod cli;
mod common;
mod drain;
mod errors;
mod explain;
mod gateway_api;
mod gateway_api_filters;
mod gateway_api_l4;
mod http1;
mod http2;
mod http2_floods;
mod ingress;
mod istio;
mod mesh_certs;
mod middlewares;
mod observe;
mod pools;
mod proxy;
mod refuse;
mod running;
mod tcp;
mod tls;
mod traefik;
mod traffic_policy;
mod upgrade;
mod upstreams;
