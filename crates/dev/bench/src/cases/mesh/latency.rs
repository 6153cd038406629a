//! What a pair adds to the latency of a request, beside other pairs and beside one gateway.

use std::collections::BTreeMap;

use crate::cases::throughput::{Lane, OURS};
use crate::load::{Seen, Shape, Target};
use crate::peers::mesh::{Mesh, Size};
use crate::report::{Finding, Rows, Section, number};
use crate::stats::{median, median_interval};
use crate::table::Table;

use super::{Bench, ENVOY_PAIRS, pair};

const CONNECTIONS: usize = 32;

/// The origin without a proxy.
const DIRECT: &str = "direct";

/// One gateway of ours, plain on both sides.
const HOP: &str = "hop";

/// What was seen of each lane, a round after the other.
struct Rounds(BTreeMap<&'static str, Vec<Seen>>);

/// A number of one round.
#[derive(Debug, Clone, Copy)]
struct Quantile {
    name: &'static str,
    of: fn(&Seen) -> f64,
}

const QUANTILES: [Quantile; 2] = [
    Quantile { name: "p50", of: |seen| seen.p50_micros },
    Quantile { name: "p99", of: |seen| seen.p99_micros },
];

pub(super) fn at_200(bench: &Bench) -> anyhow::Result<Section> {
    run(bench, "pair-200", 200.0)
}

pub(super) fn at_2000(bench: &Bench) -> anyhow::Result<Section> {
    run(bench, "pair-2000", 2000.0)
}

fn run(bench: &Bench, case: &'static str, rate: f64) -> anyhow::Result<Section> {
    let mesh = Mesh::start(&bench.lab, bench.weftway()?.program(), Size::PAIR)?;
    let mut lanes = pair::start_all(bench, &mesh)?;
    lanes.push(hop(bench)?);
    lanes.push(direct(bench));
    let shape = Shape { connections: CONNECTIONS, ..Shape::SMALL };
    let rounds = bench.few_rounds();
    let mut seen = Rounds(BTreeMap::new());
    for lane in &lanes {
        lane.at_rate(shape, rate, 1)?;
    }
    for round in 0..rounds {
        for turn in 0..lanes.len() {
            let lane = &lanes[(round + turn) % lanes.len()];
            let one = lane.at_rate(shape, rate, bench.seconds)?;
            seen.0.entry(lane.name).or_default().push(one);
        }
        eprintln!("    round {} of {rounds}", round + 1);
    }
    Ok(section(case, rate, rounds, &lanes, &seen))
}

fn hop(bench: &Bench) -> anyhow::Result<Lane> {
    let (weftway, table) = (bench.weftway()?, Table::REALISTIC);
    let running = weftway.start(&bench.lab, table)?;
    Ok(Lane {
        name: HOP,
        version: format!("one {} as a gateway, no TLS", weftway.version),
        target: table.target(running.plain),
        processes: vec![running.process],
        samples: Vec::new(),
    })
}

fn direct(bench: &Bench) -> Lane {
    let target: Target = Table::REALISTIC.target(bench.lab.origins[0]);
    let version = "no proxy".to_owned();
    Lane { name: DIRECT, version, processes: Vec::new(), target, samples: Vec::new() }
}

// === impl Rounds ===

impl Rounds {
    fn values(&self, lane: &str, quantile: Quantile) -> Vec<f64> {
        self.0.get(lane).into_iter().flatten().map(quantile.of).collect()
    }

    /// What a lane adds over the origin without a proxy, round by round.
    fn added(&self, lane: &str, quantile: Quantile) -> Vec<f64> {
        let direct = self.values(DIRECT, quantile);
        self.values(lane, quantile)
            .iter()
            .zip(direct)
            .map(|(with, without)| with - without)
            .collect()
    }

    /// The pair of Envoys that adds less.
    fn better(&self, quantile: Quantile) -> Vec<f64> {
        let pairs = ENVOY_PAIRS.iter().map(|(name, _)| self.added(name, quantile));
        pairs.min_by(|one, other| median(one).total_cmp(&median(other))).unwrap_or_default()
    }

    fn failed(&self, lane: &str) -> u64 {
        self.0.get(lane).into_iter().flatten().map(|seen| seen.failed).sum()
    }
}

fn section(case: &'static str, rate: f64, rounds: usize, lanes: &[Lane], seen: &Rounds) -> Section {
    let mut rows = Rows::new(&["Way", "p50 µs", "p99 µs", "adds p50 µs", "adds p99 µs", "failed"]);
    for lane in lanes {
        let mut cells = vec![lane.version.clone()];
        cells.extend(QUANTILES.map(|of| number(median(&seen.values(lane.name, of)), "")));
        cells.extend(QUANTILES.map(|of| number(median(&seen.added(lane.name, of)), "")));
        cells.push(seen.failed(lane.name).to_string());
        rows.add(&cells);
    }
    let mut findings = Vec::new();
    for quantile in QUANTILES {
        let ours = seen.added(OURS, quantile);
        let name = quantile.name;
        findings.push(Finding {
            case,
            measure: format!("added {name}"),
            value: median(&ours),
            interval: median_interval(&ours),
            unit: "µs",
        });
        let others = [("the better Envoy pair", seen.better(quantile))];
        for (other, theirs) in
            others.into_iter().chain([("one gateway hop", seen.added(HOP, quantile))])
        {
            // Differences of quantiles are noisy and may be next to nothing in one round; their
            // medians are not.
            findings.push(Finding {
                case,
                measure: format!("added {name} to that of {other}"),
                value: median(&ours) / median(&theirs),
                interval: None,
                unit: "x",
            });
        }
    }
    Section {
        title: format!("What a pair adds at {rate:.0} requests/s"),
        body: format!(
            "{CONNECTIONS} connections, open loop, latency from the intended start; medians of \
             {rounds} interleaved rounds.\n\n{}",
            rows.finish()
        ),
        findings,
    }
}
