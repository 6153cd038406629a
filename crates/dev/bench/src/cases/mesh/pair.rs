//! Pairs of proxies, and what a request costs them at saturation.

use crate::cases::throughput::{self, Lane, OURS, ratios};
use crate::load::{Shape, Target};
use crate::peers::Kind;
use crate::peers::envoy::start_pair;
use crate::peers::mesh::{Mesh, Size, http_host};
use crate::report::{Finding, Section};
use crate::stats::{median, median_interval};
use crate::table::Table;

use super::{Bench, ENVOY_PAIRS, pair_label};

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let mesh = Mesh::start(&bench.lab, bench.weftway()?.program(), Size::PAIR)?;
    let mut lanes = start_all(bench, &mesh)?;
    throughput::interleave(bench, &mut lanes, Shape::SMALL, bench.rounds)?;
    let title = "A pair at saturation: HTTP/1.1 keep-alive, 64 connections, 200 bytes";
    let mut section = throughput::section("pair-c64", title, &lanes, bench.rounds);
    section.findings.push(against_the_better(&lanes));
    Ok(section)
}

/// Our pair, and both of Envoy.
pub(super) fn start_all(bench: &Bench, mesh: &Mesh<'_>) -> anyhow::Result<Vec<Lane>> {
    let (weftway, envoy) = (bench.weftway()?, bench.peer(Kind::Envoy)?);
    let host = http_host(0);
    let lane = |name, version: &str, (processes, addr)| Lane {
        name,
        version: pair_label(version, name),
        processes,
        // The same request for all.
        target: Target { addr, host: host.clone(), path: Table::REALISTIC.path() },
        samples: Vec::new(),
    };
    let mut lanes = vec![lane(OURS, &weftway.version, mesh.pair()?)];
    for (name, between) in ENVOY_PAIRS {
        let pair = start_pair(envoy, &bench.lab, between, &host)?;
        lanes.push(lane(name, &envoy.version, pair));
    }
    Ok(lanes)
}

/// Our CPU time to that of the Envoy pair that needs less.
fn against_the_better(lanes: &[Lane]) -> Finding {
    let cpu = |lane: &Lane| lane.values(|sample| sample.cpu_micros);
    let (ours, others): (Vec<_>, Vec<_>) = lanes.iter().partition(|lane| lane.name == OURS);
    let ours: Vec<f64> = ours.into_iter().flat_map(cpu).collect();
    let others = others.into_iter().map(cpu);
    let better = others.min_by(|one, other| median(one).total_cmp(&median(other)));
    let pairs = ratios(&ours, &better.unwrap_or_default());
    Finding {
        case: "pair-c64",
        measure: "CPU ratio to the better Envoy pair".to_owned(),
        value: median(&pairs),
        interval: median_interval(&pairs),
        unit: "x",
    }
}
