//! One route changes among 5,000: how long until requests see it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

/// Where the changing route stands.
struct Place {
    folder: PathBuf,
    file: &'static str,
    /// What stands below it in its file.
    rest: String,
}

/// Routes in many files; the one that changes has a file of its own.
pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let table = Table { hosts: 100, per_host: 50, is_tls: false };
    let running = bench.weftway()?.start(&bench.lab, table)?;
    let place =
        Place { folder: bench.lab.path("routes"), file: "change.yaml", rest: String::new() };
    let millis = changes(bench, running.plain, &place)?;
    Ok(section("change", "One route changed among 5,000", &millis))
}

/// All routes in one file, each a document. The one that changes stands at the top, and each
/// change adds a line above it, so that every other route moves.
pub(super) fn run_in_one_file(bench: &Bench) -> anyhow::Result<Section> {
    let table = Table { hosts: 5_000, per_host: 1, is_tls: false };
    let first = Table { hosts: 1, ..table };
    let running = bench.weftway()?.start(&bench.lab, first)?;
    let place = Place {
        folder: bench.lab.path("routes"),
        file: "change.yaml",
        rest: table.documents_from(first.hosts),
    };
    let millis = changes(bench, running.plain, &place)?;
    Ok(section("change-one-file", "One route changed among 5,000 in one file", &millis))
}

/// How long each change took to be served.
fn changes(bench: &Bench, addr: SocketAddr, place: &Place) -> anyhow::Result<Vec<f64>> {
    let count = if bench.is_quick { 10 } else { 100 };
    let mut client = Client::plain(addr)?;
    let mut millis = Vec::with_capacity(count);
    for number in 0..=count {
        let elapsed = place.change(&mut client, number)?;
        // The first one adds the file, which is another kind of change.
        if number > 0 {
            millis.push(elapsed.as_secs_f64() * 1000.0);
        }
    }
    Ok(millis)
}

fn section(case: &'static str, title: &str, millis: &[f64]) -> Section {
    let (p50, p99) = (quantile(millis, 0.5), quantile(millis, 0.99));
    let finding = |measure: &str, value| Finding {
        case,
        measure: measure.to_owned(),
        value,
        interval: None,
        unit: "ms",
    };
    Section {
        title: title.to_owned(),
        body: format!(
            "From the write of the file to the first answer by the new route, {} changes: \
             p50 {p50:.1} ms, p99 {p99:.1} ms.\n",
            millis.len()
        ),
        findings: vec![
            finding("file write to served, p50", p50),
            finding("file write to served, p99", p99),
        ],
    }
}

// === impl Place ===

impl Place {
    /// Moves the route to a new path and asks until it answers there.
    fn change(&self, client: &mut Client, number: usize) -> anyhow::Result<Duration> {
        let path = format!("/v{number}");
        let above = "# one change\n".repeat(number);
        let text = format!("{above}{}{}", route(&path), self.rest);
        let start = Instant::now();
        replace(&self.folder, self.file, &text)?;
        while start.elapsed() < LOST {
            match client.get(HOST, &path)? {
                200 => return Ok(start.elapsed()),
                404 => {}
                status => bail!("status {status} instead of the old or the new route"),
            }
        }
        bail!("change {number} was not served within {LOST:?}")
    }
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
