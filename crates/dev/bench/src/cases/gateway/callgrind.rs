//! Instructions for each request, which do not mind a noisy machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::Bench;
use crate::client::{self, Client};
use crate::lab::PROXY_CPU;
use crate::peers::Weftway;
use crate::process::{Process, pinned};
use crate::report::{Finding, Rows, Section, number};
use crate::table::Table;

const TABLES: [Table; 3] = [
    Table { hosts: 1, per_host: 1, is_tls: false },
    Table::REALISTIC,
    Table { hosts: 4000, per_host: 10, is_tls: false },
];

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        bail!("valgrind is not installed");
    }
    let requests = if bench.is_quick { 200 } else { 2000 };
    let mut rows = Rows::new(&["Routes", "Instructions a request"]);
    let mut counts = Vec::new();
    for table in TABLES {
        let count = one(bench, table, requests)?;
        eprintln!("    {} routes: {count:.0} instructions", table.routes());
        rows.add(&[table.routes().to_string(), number(count, "")]);
        counts.push(count);
    }
    let finding = |measure: &str, value, unit| Finding {
        case: "callgrind",
        measure: measure.to_owned(),
        value,
        interval: None,
        unit,
    };
    Ok(Section {
        title: "Instructions in user space for each request".to_owned(),
        body: format!(
            "valgrind's callgrind, one keep-alive connection; {} requests less {requests} \
             requests, so that what a count itself costs cancels out.\n\n{}",
            2 * requests,
            rows.finish()
        ),
        findings: vec![
            finding("instructions, 1 route", counts[0], ""),
            finding("instructions, 1,000 routes", counts[1], ""),
            finding("instructions, 40,000 routes", counts[2], ""),
            finding("instructions, 40,000 routes to 1", counts[2] / counts[0], "x"),
        ],
    })
}

fn one(bench: &Bench, table: Table, requests: u64) -> anyhow::Result<f64> {
    let folder = bench.lab.folder("routes")?;
    table.write(&folder)?;
    let out = bench.lab.path("callgrind.out");
    let weftway = bench.weftway()?;
    let mut command = pinned(PROXY_CPU, Path::new("valgrind"));
    command
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
        .arg(weftway.program());
    let weftway = Weftway::new(weftway.program(), folder, Some(bench.lab.origins[0]));
    let (mut process, addresses) = weftway.start_under(&bench.lab, command)?;
    let addr = addresses.listener("web")?;
    client::wait_ready(addr, &table.host(), &table.path(), &mut process)?;
    let mut client = Client::plain(addr)?;
    let mut send = |count: u64| -> anyhow::Result<()> {
        for _ in 0..count {
            if client.get(&table.host(), &table.path())? != 200 {
                bail!("a request was not answered with 200");
            }
        }
        Ok(())
    };
    let mut dumps = Dumps { out: &out, process: &process, number: 0 };
    send(requests / 4)?;
    dumps.next()?;
    send(requests)?;
    let once = dumps.next()?;
    send(2 * requests)?;
    let twice = dumps.next()?;
    Ok(twice.saturating_sub(once) as f64 / requests as f64)
}

/// Counts of callgrind; each starts from zero again.
struct Dumps<'a> {
    out: &'a Path,
    process: &'a Process,
    number: u32,
}

impl Dumps<'_> {
    /// Instructions since the last call.
    fn next(&mut self) -> anyhow::Result<u64> {
        let status = Command::new("callgrind_control")
            .arg("-d")
            .arg(self.process.id().to_string())
            .output()
            .context("cannot run callgrind_control")?;
        if !status.status.success() {
            bail!("callgrind_control: {}", String::from_utf8_lossy(&status.stdout));
        }
        self.number += 1;
        let path = format!("{}.{}", self.out.display(), self.number);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("callgrind wrote no {path}"))?;
        let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
        totals.context("callgrind wrote no totals")?.trim().parse().context("odd totals")
    }
}
