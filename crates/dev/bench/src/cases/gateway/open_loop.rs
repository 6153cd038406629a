//! Latency at a fixed rate that every compared proxy can sustain.

use anyhow::Context;

use super::{Bench, start_all};
use crate::cases::throughput::{Lane, OURS, ratios};
use crate::load::{Seen, Shape};
use crate::report::{Finding, Rows, Section, number};
use crate::stats::{median, median_interval};

/// Of HAProxy's own rate in a closed loop.
const SHARE_OF_SATURATION: f64 = 0.8;

/// A proxy that can hardly do the rate would only show its queue.
const HEADROOM: f64 = 1.1;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape::SMALL;
    let lanes = start_all(bench, shape)?;
    let mut rates = Vec::with_capacity(lanes.len());
    for lane in &lanes {
        lane.load(bench, shape, 1)?;
        rates.push(lane.load(bench, shape, bench.seconds)?.per_sec);
    }
    let haproxy = lanes.iter().position(|lane| lane.name == "haproxy");
    let haproxy = haproxy.context("HAProxy, whose saturation sets the rate, is not installed")?;
    let rate = (rates[haproxy] * SHARE_OF_SATURATION).floor();
    let (fast, slow): (Vec<_>, Vec<_>) =
        lanes.iter().zip(&rates).partition(|(_, own)| **own > rate * HEADROOM);
    let fast: Vec<&Lane> = fast.into_iter().map(|(lane, _)| lane).collect();
    let rounds = bench.few_rounds();
    let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); fast.len()];
    for round in 0..rounds {
        for turn in 0..fast.len() {
            let index = (round + turn) % fast.len();
            seen[index].push(fast[index].at_rate(shape, rate, bench.seconds)?);
        }
        eprintln!("    round {} of {rounds}", round + 1);
    }
    let slow: Vec<&str> = slow.iter().map(|(lane, _)| lane.name).collect();
    Ok(section(&fast, &seen, rate, &slow))
}

fn section(lanes: &[&Lane], seen: &[Vec<Seen>], rate: f64, slow: &[&str]) -> Section {
    let p99 =
        |index: usize| -> Vec<f64> { seen[index].iter().map(|seen| seen.p99_micros).collect() };
    let of_name = |name: &str| lanes.iter().position(|lane| lane.name == name);
    let mut rows = Rows::new(&["Proxy", "p50 µs", "p99 µs", "failed or not sent"]);
    for (lane, seen) in lanes.iter().zip(seen) {
        let mid =
            |of: fn(&Seen) -> f64| number(median(&seen.iter().map(of).collect::<Vec<_>>()), "");
        let failed: u64 = seen.iter().map(|seen| seen.failed).sum();
        rows.add(&[
            lane.version.clone(),
            mid(|seen| seen.p50_micros),
            mid(|seen| seen.p99_micros),
            failed.to_string(),
        ]);
    }
    let mut findings = Vec::new();
    if let Some(ours) = of_name(OURS) {
        for name in ["haproxy", "nginx"] {
            let Some(theirs) = of_name(name) else { continue };
            let pairs = ratios(&p99(ours), &p99(theirs));
            findings.push(Finding {
                case: "open-loop",
                measure: format!("p99 ratio to {name}"),
                value: median(&pairs),
                interval: median_interval(&pairs),
                unit: "x",
            });
        }
    }
    let mut body = format!(
        "{rate:.0} requests/s over {} connections, latency from the intended start.\n",
        Shape::SMALL.connections
    );
    if !slow.is_empty() {
        body.push_str(&format!("Not fast enough for this rate: {}.\n", slow.join(", ")));
    }
    body.push_str(&format!("\n{}", rows.finish()));
    Section { title: "Open loop at 80 % of HAProxy's saturation".to_owned(), body, findings }
}
