//! One route changes among 5,000: how long until requests see it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Bench;
use crate::client::Client;
use crate::report::{Finding, Section};
use crate::stats::quantile;
use crate::table::{Table, rule};

const HOST: &str = "change.bench.test";

/// A change that is not seen by then is lost.
const LOST: Duration = Duration::from_secs(30);

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let changes = if bench.is_quick { 10 } else { 100 };
    let table = Table { hosts: 100, per_host: 50, is_tls: false };
    let running = bench.weftway()?.start(&bench.lab, table)?;
    let folder = bench.lab.path("routes");
    let mut client = Client::plain(running.plain)?;
    // The first one adds the file, which is another kind of change.
    let mut millis = Vec::with_capacity(changes);
    for number in 0..=changes {
        let elapsed = one(&folder, &mut client, number)?;
        if number > 0 {
            millis.push(elapsed.as_secs_f64() * 1000.0);
        }
    }
    let (p50, p99) = (quantile(&millis, 0.5), quantile(&millis, 0.99));
    let finding = |measure: &str, value| Finding {
        case: "change",
        measure: measure.to_owned(),
        value,
        interval: None,
        unit: "ms",
    };
    Ok(Section {
        title: "One route changed among 5,000".to_owned(),
        body: format!(
            "From the write of the file to the first answer by the new route, {changes} changes: \
             p50 {p50:.1} ms, p99 {p99:.1} ms.\n"
        ),
        findings: vec![
            finding("file write to served, p50", p50),
            finding("file write to served, p99", p99),
        ],
    })
}

/// Moves the route to a new path and asks until it answers there.
fn one(folder: &Path, client: &mut Client, number: usize) -> anyhow::Result<Duration> {
    let path = format!("/v{number}");
    let text = route(&path);
    let start = Instant::now();
    replace(folder, "change.yaml", &text)?;
    while start.elapsed() < LOST {
        match client.get(HOST, &path)? {
            200 => return Ok(start.elapsed()),
            404 => {}
            status => bail!("status {status} instead of the old or the new route"),
        }
    }
    bail!("change {number} was not served within {LOST:?}")
}

fn route(path: &str) -> String {
    let rule = rule(&format!("Host(`{HOST}`) && Path(`{path}`)"));
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: change\nspec:\n  \
         entryPoints: [web]\n  routes:\n{rule}"
    )
}

/// Writes beside and renames, as careful tools do: no reader sees half a document.
pub(super) fn replace(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let (new, old) = (folder.join(format!(".{name}.new")), folder.join(name));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, &old)?;
    Ok(())
}
