//! Closed-loop load on every proxy in turn, round after round.

use std::time::Duration;

use anyhow::{Context, bail};

use super::Bench;
use crate::load::{Seen, Shape, Target};
use crate::process::Process;
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

/// A proxy, or several one behind the other, with its rounds.
pub(super) struct Lane {
    /// In the names of numbers; `weftway` is what is compared with the others.
    pub(super) name: &'static str,
    /// For people; holds the version.
    pub(super) version: String,
    /// Those whose CPU time and memory count.
    pub(super) processes: Vec<Process>,
    pub(super) target: Target,
    pub(super) samples: Vec<Sample>,
}

/// The name of the product's lane.
pub(super) const OURS: &str = "weftway";

const WARM_UP_SECS: u64 = 1;

/// Adds `rounds` samples to each lane.
pub(super) fn interleave(
    bench: &Bench,
    lanes: &mut [Lane],
    shape: Shape,
    rounds: usize,
) -> anyhow::Result<()> {
    for lane in &*lanes {
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
    Ok(())
}

// === impl Lane ===

impl Lane {
    pub(super) fn load(&self, bench: &Bench, shape: Shape, secs: u64) -> anyhow::Result<Sample> {
        let before = self.cpu_secs();
        let seen = bench
            .generators
            .closed(&bench.lab, shape, &self.target, secs)
            .with_context(|| self.name)?;
        let cpu_secs = self.cpu_secs() - before;
        if seen.requests == 0 {
            bail!("{} answered nothing", self.name);
        }
        Ok(Sample {
            cpu_micros: cpu_secs * 1e6 / seen.requests as f64,
            per_sec: seen.per_sec,
            p50_micros: seen.p50_micros,
            p99_micros: seen.p99_micros,
            rss_kib: self.processes.iter().map(Process::rss_kib).sum::<u64>() as f64,
            failed: seen.failed,
        })
    }

    /// Open-loop load; what could not be sent counts as failed.
    pub(super) fn at_rate(&self, shape: Shape, rate: f64, secs: u64) -> anyhow::Result<Seen> {
        let mut options = shape.options(&self.target);
        options.rate_per_sec = Some(rate);
        options.duration = Some(Duration::from_secs(secs));
        let report = weft_load::run(&options, |_| {})?;
        let seen = Seen::from_report(&report);
        Ok(Seen { failed: seen.failed + report.missed, ..seen })
    }

    pub(super) fn values(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(of).collect()
    }

    fn cpu_secs(&self) -> f64 {
        self.processes.iter().map(Process::cpu_secs).sum()
    }

    fn failed(&self) -> u64 {
        self.samples.iter().map(|sample| sample.failed).sum()
    }
}

/// Pairs of the same round, divided.
pub(super) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// A table with a row for each lane, and our numbers and ratios.
pub(super) fn section(case: &'static str, title: &str, lanes: &[Lane], rounds: usize) -> Section {
    let mut rows = Rows::new(&[
        "Proxy",
        "CPU µs a request",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "RSS MiB",
        "Weftway's CPU to its CPU (95 %)",
    ]);
    let ours = lanes.iter().find(|lane| lane.name == OURS);
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
        let name = lane.name;
        let mid = |of: fn(&Sample) -> f64| number(median(&lane.values(of)), "");
        let mut ratio = "–".to_owned();
        if let Some(ours) = ours
            && lane.name != OURS
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
            0 => lane.version.clone(),
            failed => format!("{} (**{failed} requests failed**)", lane.version),
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
fn latency_ratios(case: &'static str, ours: &Lane, other: &Lane) -> Vec<Finding> {
    let name = other.name;
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
