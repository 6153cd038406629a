//! One change, and until everybody has it. The fleet is in [`crate::fleet`], two processes.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::fleet::Outcome;
use crate::report::{Finding, Section};

use super::Bench;

/// `taskset` of control plane and proxies: a core for each, as the system sees fit.
const CPUS: &str = "0,1";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let (proxies, services, changes) =
        if bench.is_quick { (100, 100, 5) } else { (1000, 1000, 20) };
    let output = Command::new("taskset")
        .args(["-c", CPUS])
        .arg(std::env::current_exe()?)
        .args(["fleet", "control"])
        .args([proxies, services, changes].map(|number: usize| number.to_string()))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run the fleet")?;
    if !output.status.success() {
        bail!("the fleet ended with {}", output.status);
    }
    let outcome: Outcome = serde_json::from_slice(&output.stdout).context("the fleet's words")?;
    let Outcome { joined_secs, p50_millis, p99_millis, max_millis, cpu_millis, .. } = outcome;
    let finding = |measure: &str, value, unit| Finding {
        case: "fleet",
        measure: measure.to_owned(),
        value,
        interval: None,
        unit,
    };
    Ok(Section {
        title: format!("{proxies} proxies, {services} services"),
        body: format!(
            "Links of proxies in one process, the control plane in another, TCP with mutual TLS \
             between them, CPUs {CPUS}. All were there after {joined_secs:.1} s. One endpoint of a \
             service that all have dialled is another, {changes} times: it reached a proxy after \
             {p50_millis:.1} ms (p50), {p99_millis:.1} ms (p99), {max_millis:.1} ms (the last). A \
             change took {cpu_millis:.1} ms of the control plane's CPU time.\n"
        ),
        findings: vec![
            finding("published to everywhere, p50", p50_millis, "ms"),
            finding("published to everywhere, p99", p99_millis, "ms"),
            finding("memory of the control plane", outcome.resident_mb, "MB"),
        ],
    })
}
