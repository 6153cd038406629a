//! `cargo xtask bench gateway`: one gateway in front of one origin.

mod callgrind;
mod change;
mod churn;
mod memory;
mod open_loop;
mod start;

use super::throughput::{self, Lane};
use super::{Bench, Case, Suite, settle};
use crate::GatewayArgs;
use crate::load::Shape;
use crate::peers::Kind;
use crate::report::Section;
use crate::table::Table;

/// The gateway beside other gateways.
pub(crate) const SUITE: Suite = Suite {
    name: "gateway",
    cases: CASES,
    peers: &[Kind::Weftway, Kind::Haproxy, Kind::Nginx, Kind::Envoy, Kind::Traefik, Kind::Relay],
    setting: "Proxy on CPU 0 with one worker; origin and load on CPU 1; rounds interleaved",
};

const CASES: &[Case] = &[
    Case::new("h1-c64", "HTTP/1.1, 64 connections, small answers", h1_c64),
    Case::new("h1-c1", "HTTP/1.1, one connection", h1_c1),
    Case::new("get-100k", "answers of 100 KB", answers_100k),
    Case::new("post-10k", "requests of 10 KB", post_10k),
    Case::new("tls-c64", "TLS 1.3 terminated, 64 connections", tls_c64),
    Case::new("h2c", "HTTP/2, 8 connections of 32 streams, to HTTP/1.1", h2c),
    Case::new("open-loop", "latency at 80 % of HAProxy's saturation", open_loop::run),
    Case::new("idle", "memory of an idle connection", memory::idle_plain),
    Case::new("idle-tls", "memory of an idle TLS connection", memory::idle_tls),
    Case::new("start", "start to ready with 1,000 routes", start::ready),
    Case::new("memory", "memory with 5,000 routes", memory::routes),
    Case::new("change", "one route of 5,000 changed: until it is served", change::run),
    Case::new(
        "change-one-file",
        "the same with all of them in one file, which a line moves",
        change::run_in_one_file,
    ),
    Case::new("churn", "changes under load: failed requests", churn::run),
    Case::new("callgrind", "instructions for each request", callgrind::run),
    Case { is_extra: true, ..Case::new("build", "clean release build", start::build) },
];

/// Runs the chosen cases.
pub(crate) fn run(args: &GatewayArgs) -> anyhow::Result<()> {
    SUITE.run(&args.run, if args.build { &["build"] } else { &[] })
}

/// Closed-loop load on every proxy in turn.
fn throughput(
    bench: &Bench,
    case: &'static str,
    title: &str,
    shape: Shape,
    rounds: usize,
) -> anyhow::Result<Section> {
    let mut lanes = start_all(bench, shape)?;
    throughput::interleave(bench, &mut lanes, shape, rounds)?;
    Ok(throughput::section(case, title, &lanes, rounds))
}

/// Starts every proxy that can serve the shape.
fn start_all(bench: &Bench, shape: Shape) -> anyhow::Result<Vec<Lane>> {
    let table = table_for(shape);
    let mut lanes = Vec::new();
    for peer in &bench.peers {
        let running = peer.start(&bench.lab, table)?;
        if let Some(addr) = running.addr(shape) {
            lanes.push(Lane {
                name: peer.kind.name(),
                version: peer.version.clone(),
                processes: vec![running.process],
                target: table.target(addr),
                samples: Vec::new(),
            });
        }
    }
    if lanes.is_empty() {
        anyhow::bail!("no proxy to measure");
    }
    Ok(lanes)
}

fn h1_c64(bench: &Bench) -> anyhow::Result<Section> {
    throughput(
        bench,
        "h1-c64",
        "HTTP/1.1 keep-alive, 64 connections, 200 bytes",
        Shape::SMALL,
        bench.rounds,
    )
}

fn h1_c1(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { connections: 1, ..Shape::SMALL };
    throughput(
        bench,
        "h1-c1",
        "HTTP/1.1 keep-alive, one connection, 200 bytes",
        shape,
        bench.few_rounds(),
    )
}

fn answers_100k(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { path: Some("/100k"), ..Shape::SMALL };
    throughput(
        bench,
        "get-100k",
        "HTTP/1.1 keep-alive, 64 connections, 100 KB answers",
        shape,
        bench.few_rounds(),
    )
}

fn post_10k(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { method: "POST", body_bytes: 10 * 1024, ..Shape::SMALL };
    throughput(
        bench,
        "post-10k",
        "HTTP/1.1 keep-alive, 64 connections, 10 KB requests",
        shape,
        bench.few_rounds(),
    )
}

fn tls_c64(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { is_tls: true, ..Shape::SMALL };
    throughput(
        bench,
        "tls-c64",
        "TLS 1.3 terminated, keep-alive, 64 connections, 200 bytes",
        shape,
        bench.few_rounds(),
    )
}

fn h2c(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { connections: 8, streams: 32, ..Shape::SMALL };
    throughput(
        bench,
        "h2c",
        "HTTP/2 without TLS, 8 connections of 32 streams, to HTTP/1.1",
        shape,
        bench.few_rounds(),
    )
}

/// The table that a shape of load needs.
fn table_for(shape: Shape) -> Table {
    Table { is_tls: shape.is_tls, ..Table::REALISTIC }
}
