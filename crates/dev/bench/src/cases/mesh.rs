//! `cargo xtask bench mesh`: client, sidecar, mutual TLS, sidecar, origin.

mod fleet;
mod issue;
mod latency;
mod pair;
mod sidecar;
mod tcp;

use super::{Bench, Case, Suite, settle};
use crate::RunArgs;
use crate::peers::Kind;
use crate::peers::envoy::Between;

/// The mesh beside other meshes.
pub(crate) const SUITE: Suite = Suite {
    name: "mesh",
    cases: CASES,
    peers: &[Kind::Weftway, Kind::Haproxy, Kind::Envoy],
    setting: "Both proxies of a pair on CPU 0 with one worker each; origin and load on CPU 1; \
              mutual TLS 1.3 with P-256 between them; rounds interleaved",
};

const CASES: &[Case] = &[
    Case::new("pair-c64", "HTTP/1.1 through a pair, 64 connections, small answers", pair::run),
    Case::new("pair-200", "what a pair adds at 200 requests/s", latency::at_200),
    Case::new("pair-2000", "what a pair adds at 2,000 requests/s", latency::at_2000),
    Case::new("pair-tcp", "bytes through a pair", tcp::run),
    Case::new("sidecar", "memory of a sidecar", sidecar::run),
    Case::new("fleet", "one change reaches 1,000 proxies", fleet::run),
    Case::new("issue", "certificates issued on one core", issue::run),
];

/// The pairs to compare with, by the names in numbers.
const ENVOY_PAIRS: [(&str, Between); 2] =
    [("envoy-h2", Between::Http2), ("envoy-h1", Between::Http1)];

/// Runs the chosen cases.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    SUITE.run(args, &[])
}

/// For people.
fn pair_label(version: &str, name: &str) -> String {
    match name {
        "envoy-h2" => format!("two {version}, HTTP/2 between"),
        "envoy-h1" => format!("two {version}, HTTP/1.1 between"),
        _ => format!("two {version}"),
    }
}
