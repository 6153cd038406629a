//! Closed-loop load on every proxy in turn, round after round.

use std::net::SocketAddr;

use anyhow::{Context, bail};

use super::{Bench, table_for};
use crate::load::Shape;
use crate::peers::{Kind, Peer, Running};
use crate::report::{Finding, Rows, Section, number};
use crate::stats::{median, median_interval};

/// What one round of one proxy gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) cpu_micros: f64,
    pub(super) per_sec: f64,
    pub(super) p50_micros: f64,
    pub(super) p99_micros: f64,
    pub(super) rss_kib: f64,
    pub(super) failed: u64,
}

/// A proxy with its rounds.
pub(super) struct Lane<'a> {
    pub(super) peer: &'a Peer,
    pub(super) running: Running,
    pub(super) addr: SocketAddr,
    pub(super) samples: Vec<Sample>,
}

const WARM_UP_SECS: u64 = 1;

pub(super) fn run(
    bench: &Bench,
    case: &'static str,
    title: &str,
    shape: Shape,
    rounds: usize,
) -> anyhow::Result<Section> {
    let mut lanes = start_all(bench, shape)?;
    for lane in &lanes {
        lane.load(bench, shape, WARM_UP_SECS)?;
    }
    for round in 0..rounds {
        let count = lanes.len();
        for turn in 0..count {
            // Each round begins with another one: none is always measured after the same.
            let lane = &mut lanes[(round + turn) % count];
            let sample = lane.load(bench, shape, bench.seconds)?;
            lane.samples.push(sample);
        }
        eprintln!("    round {} of {rounds}", round + 1);
    }
    Ok(section(case, title, &lanes, rounds))
}

/// Starts every proxy that can serve the shape.
pub(super) fn start_all(bench: &Bench, shape: Shape) -> anyhow::Result<Vec<Lane<'_>>> {
    let mut lanes = Vec::new();
    for peer in &bench.peers {
        let running = peer.start(&bench.lab, table_for(shape))?;
        if let Some(addr) = running.addr(shape) {
            lanes.push(Lane { peer, running, addr, samples: Vec::new() });
        }
    }
    if lanes.is_empty() {
        bail!("no proxy to measure");
    }
    Ok(lanes)
}

// === impl Running ===

impl Running {
    fn addr(&self, shape: Shape) -> Option<SocketAddr> {
        if shape.is_tls {
            self.tls
        } else if shape.is_h2() {
            self.h2c
        } else {
            Some(self.plain)
        }
    }
}

// === impl Lane ===

impl Lane<'_> {
    pub(super) fn load(&self, bench: &Bench, shape: Shape, secs: u64) -> anyhow::Result<Sample> {
        let process = &self.running.process;
        let before = process.cpu_secs();
        let seen = bench
            .generators
            .closed(&bench.lab, shape, table_for(shape), self.addr, secs)
            .with_context(|| self.peer.kind.name())?;
        let cpu_secs = process.cpu_secs() - before;
        if seen.requests == 0 {
            bail!("{} answered nothing", self.peer.kind.name());
        }
        Ok(Sample {
            cpu_micros: cpu_secs * 1e6 / seen.requests as f64,
            per_sec: seen.per_sec,
            p50_micros: seen.p50_micros,
            p99_micros: seen.p99_micros,
            rss_kib: process.rss_kib() as f64,
            failed: seen.failed,
        })
    }

    pub(super) fn values(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(of).collect()
    }

    fn failed(&self) -> u64 {
        self.samples.iter().map(|sample| sample.failed).sum()
    }
}

/// Pairs of the same round, divided.
pub(super) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

fn section(case: &'static str, title: &str, lanes: &[Lane<'_>], rounds: usize) -> Section {
    let mut rows = Rows::new(&[
        "Proxy",
        "CPU µs a request",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "RSS MiB",
        "Weftway's CPU to its CPU (95 %)",
    ]);
    let ours = lanes.iter().find(|lane| lane.peer.kind == Kind::Weftway);
    let mut findings = Vec::new();
    if let Some(ours) = ours {
        let values = ours.values(|sample| sample.cpu_micros);
        let interval = median_interval(&values);
        findings.push(Finding {
            case,
            measure: "CPU of a request".to_owned(),
            value: median(&values),
            interval,
            unit: "µs",
        });
    }
    for lane in lanes {
        let name = lane.peer.kind.name();
        let mid = |of: fn(&Sample) -> f64| number(median(&lane.values(of)), "");
        let mut ratio = "–".to_owned();
        if let Some(ours) = ours
            && lane.peer.kind != Kind::Weftway
        {
            let of = |sample: &Sample| sample.cpu_micros;
            let pairs = ratios(&ours.values(of), &lane.values(of));
            let (value, interval) = (median(&pairs), median_interval(&pairs));
            ratio = match interval {
                Some((low, high)) => format!("{value:.2} ({low:.2} to {high:.2})"),
                None => format!("{value:.2}"),
            };
            let measure = format!("CPU ratio to {name}");
            findings.push(Finding { case, measure, value, interval, unit: "x" });
            findings.extend(latency_ratios(case, ours, lane));
        }
        let label = match lane.failed() {
            0 => lane.peer.version.clone(),
            failed => format!("{} (**{failed} requests failed**)", lane.peer.version),
        };
        rows.add(&[
            label,
            mid(|sample| sample.cpu_micros),
            mid(|sample| sample.per_sec),
            mid(|sample| sample.p50_micros),
            mid(|sample| sample.p99_micros),
            mid(|sample| sample.rss_kib / 1024.0),
            ratio,
        ]);
    }
    let body = format!("Medians of {rounds} interleaved rounds.\n\n{}", rows.finish());
    Section { title: title.to_owned(), body, findings }
}

/// Our latencies to another's, round by round.
fn latency_ratios(case: &'static str, ours: &Lane<'_>, other: &Lane<'_>) -> Vec<Finding> {
    let name = other.peer.kind.name();
    ["p50", "p99"]
        .into_iter()
        .map(|quantile| {
            let of = |sample: &Sample| match quantile {
                "p50" => sample.p50_micros,
                _ => sample.p99_micros,
            };
            let pairs = ratios(&ours.values(of), &other.values(of));
            Finding {
                case,
                measure: format!("{quantile} ratio to {name}"),
                value: median(&pairs),
                interval: median_interval(&pairs),
                unit: "x",
            }
        })
        .collect()
}
