//! How long until it serves, and how long until it is built.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::bail;

use super::Bench;
use crate::report::{Finding, Section};
use crate::stats::{median, median_interval};
use crate::table::Table;

pub(super) fn ready(bench: &Bench) -> anyhow::Result<Section> {
    let tries = if bench.is_quick { 3 } else { 10 };
    let weftway = bench.weftway()?;
    let mut millis = Vec::with_capacity(tries);
    for _ in 0..tries {
        // Writing the documents is not part of a start: the second time they are there.
        drop(weftway.start(&bench.lab, Table::REALISTIC)?);
        let folder = bench.lab.path("routes");
        let program = weftway.program();
        let weftway = crate::peers::Weftway::new(program, folder, Some(bench.lab.origins[0]));
        let start = Instant::now();
        let (mut process, addresses) = weftway.start(&bench.lab)?;
        let (host, path) = (Table::REALISTIC.host(), Table::REALISTIC.path());
        crate::client::wait_ready(addresses.listener("web")?, &host, &path, &mut process)?;
        millis.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let value = median(&millis);
    Ok(Section {
        title: "Start to the first answer with 1,000 routes".to_owned(),
        body: format!("Median of {tries} starts: {value:.1} ms from the start of the process.\n"),
        findings: vec![Finding {
            case: "start",
            measure: "start to ready with 1,000 routes".to_owned(),
            value,
            interval: median_interval(&millis),
            unit: "ms",
        }],
    })
}

pub(super) fn build(bench: &Bench) -> anyhow::Result<Section> {
    let cpus = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let start = Instant::now();
    // This process keeps to one CPU; the build may have all.
    let status = Command::new("taskset")
        .args(["-c", cpus.trim(), "cargo", "build", "--release", "--package", "weftway"])
        .env("CARGO_TARGET_DIR", bench.lab.folder("build")?)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("the build failed");
    }
    let secs = start.elapsed().as_secs_f64();
    Ok(Section {
        title: "Clean release build".to_owned(),
        body: format!(
            "`cargo build --release --package weftway`, CPUs {}: {secs:.0} s.\n",
            cpus.trim()
        ),
        findings: vec![Finding {
            case: "build",
            measure: "clean release build".to_owned(),
            value: secs / 60.0,
            interval: None,
            unit: "min",
        }],
    })
}
