//! Memory of one sidecar that is its alone.

use anyhow::{Context, bail};

use crate::client::{Client, wait_ready};
use crate::peers::mesh::{Mesh, Sidecar, Size, http_host};
use crate::report::{Finding, Rows, Section, number};
use crate::stats::median;

use super::{Bench, settle};

/// Services of the large mesh.
const SERVICES: usize = 1000;

/// How many of them are called; each has a workload with a sidecar of its own.
const DIALLED: usize = 100;

/// Starts of which the median counts.
const STARTS: usize = 3;

/// What is known is saved a second later, and memory that is free is given back after another.
const SETTLE_SECS: u64 = 4;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let program = bench.weftway()?.program();
    let idle = alone(&Mesh::start(&bench.lab, program, Size { services: 0 })?)?;
    let mesh = Mesh::start(&bench.lab, program, Size { services: SERVICES })?;
    let large = alone(&mesh)?;
    let count = if bench.is_quick { DIALLED / 10 } else { DIALLED };
    let dialled = dial(&mesh, count)?;
    let mut rows = Rows::new(&["A sidecar", "RssAnon MB"]);
    rows.add(&["of a mesh without services", &number(idle, "")]);
    rows.add(&[&format!("of a mesh with {SERVICES} services"), &number(large, "")]);
    rows.add(&[&format!("there, after it has called {count} of them"), &number(dialled, "")]);
    let finding = |measure: &str, value| Finding {
        case: "sidecar",
        measure: measure.to_owned(),
        value,
        interval: None,
        unit: "MB",
    };
    Ok(Section {
        title: "Memory of a sidecar".to_owned(),
        body: format!(
            "Anonymous memory (RssAnon of /proc/PID/status) {SETTLE_SECS} s after it was ready, in \
             10^6 bytes; medians of {STARTS} starts.\n\n{}",
            rows.finish()
        ),
        findings: vec![
            finding("idle", idle),
            finding("more with 1,000 services", large - idle),
            finding("after dialling 100 of them", dialled),
        ],
    })
}

/// That of a sidecar that nobody uses.
fn alone(mesh: &Mesh<'_>) -> anyhow::Result<f64> {
    let mut seen = Vec::new();
    for _ in 0..STARTS {
        let sidecar = mesh.client()?;
        settle(SETTLE_SECS);
        seen.push(anonymous_mb(&sidecar)?);
    }
    Ok(median(&seen))
}

/// That of a sidecar that has called `count` services.
fn dial(mesh: &Mesh<'_>, count: usize) -> anyhow::Result<f64> {
    let mut client = mesh.client()?;
    let mut servers = Vec::new();
    for number in 0..count {
        servers.push(mesh.server(number)?);
        wait_ready(client.addr, &http_host(number), "/", &mut client.process)
            .with_context(|| format!("service {number}"))?;
    }
    // On one connection, as an application does that keeps some.
    let mut calls = Client::plain(client.addr)?;
    for number in 0..count {
        if calls.get(&http_host(number), "/")? != 200 {
            bail!("service {number} does not answer");
        }
    }
    settle(SETTLE_SECS);
    anonymous_mb(&client)
}

fn anonymous_mb(sidecar: &Sidecar) -> anyhow::Result<f64> {
    Ok(sidecar.process.anonymous_kib()? as f64 * 1024.0 / 1e6)
}
