//! What is measured, in the order of the document.

mod callgrind;
mod change;
mod churn;
mod memory;
mod open_loop;
mod start;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::GatewayArgs;
use crate::lab::Lab;
use crate::load::{Generators, Shape};
use crate::peers::{self, Kind, Peer};
use crate::report::{self, Section};
use crate::table::Table;
use crate::{bars, machine};

/// One measurement.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    about: &'static str,
    run: fn(&Bench) -> anyhow::Result<Section>,
}

/// Everything a case works with.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) peers: Vec<Peer>,
    pub(crate) generators: Generators,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) is_quick: bool,
}

/// All cases; `build` runs only when it is asked for.
pub(crate) const ALL: &[Case] = &[
    Case { name: "h1-c64", about: "HTTP/1.1, 64 connections, small answers", run: h1_c64 },
    Case { name: "h1-c1", about: "HTTP/1.1, one connection", run: h1_c1 },
    Case { name: "get-100k", about: "answers of 100 KB", run: answers_100k },
    Case { name: "post-10k", about: "requests of 10 KB", run: post_10k },
    Case { name: "tls-c64", about: "TLS 1.3 terminated, 64 connections", run: tls_c64 },
    Case { name: "h2c", about: "HTTP/2, 8 connections of 32 streams, to HTTP/1.1", run: h2c },
    Case {
        name: "open-loop",
        about: "latency at 80 % of HAProxy's saturation",
        run: open_loop::run,
    },
    Case { name: "idle", about: "memory of an idle connection", run: memory::idle_plain },
    Case { name: "idle-tls", about: "memory of an idle TLS connection", run: memory::idle_tls },
    Case { name: "start", about: "start to ready with 1,000 routes", run: start::ready },
    Case { name: "memory", about: "memory with 5,000 routes", run: memory::routes },
    Case {
        name: "change",
        about: "one route of 5,000 changed: until it is served",
        run: change::run,
    },
    Case {
        name: "change-one-file",
        about: "the same with all of them in one file, which a line moves",
        run: change::run_in_one_file,
    },
    Case { name: "churn", about: "changes under load: failed requests", run: churn::run },
    Case { name: "callgrind", about: "instructions for each request", run: callgrind::run },
    Case { name: "build", about: "clean release build (only with --build)", run: start::build },
];

/// Runs the chosen cases and prints or writes the result.
pub(crate) fn run_gateway(args: &GatewayArgs) -> anyhow::Result<()> {
    if args.list {
        for case in ALL {
            println!("{:<15} {}", case.name, case.about);
        }
        return Ok(());
    }
    let chosen = choose(args)?;
    let bars = bars::load()?;
    let bench = Bench::new(args)?;
    let (header, missing) = (bench.header(args), bench.missing(args));
    for line in header.iter().chain(&missing) {
        eprintln!("{line}");
    }
    let header: Vec<String> = header.into_iter().chain(missing).collect();
    let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
    let mut sections = Vec::new();
    let mut failed = Vec::new();
    for case in &chosen {
        eprintln!("--- {}: {}", case.name, case.about);
        match (case.run)(&bench) {
            Ok(section) => sections.push(section),
            Err(error) => {
                eprintln!("{}: {error:#}", case.name);
                failed.push(format!("{} could not be measured: {error:#}", case.name));
                sections.push(Section {
                    title: case.about.to_owned(),
                    body: format!("Not measured: {error:#}.\n"),
                    findings: Vec::new(),
                });
            }
        }
    }
    let result = report::document(&header, &names, &sections, &bars);
    println!("{result}");
    if let Some(out) = &args.out {
        report::update(out, &result)?;
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

fn choose(args: &GatewayArgs) -> anyhow::Result<Vec<&'static Case>> {
    for name in &args.only {
        if !ALL.iter().any(|case| case.name == name) {
            bail!("there is no case {name:?}; --list shows them");
        }
    }
    let is_chosen = |case: &&Case| {
        if args.only.is_empty() {
            case.name != "build" || args.build
        } else {
            args.only.iter().any(|name| name == case.name)
        }
    };
    Ok(ALL.iter().filter(is_chosen).collect())
}

// === impl Bench ===

impl Bench {
    fn new(args: &GatewayArgs) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let peers = peers::find(&lab, &weftway_program(args)?, &args.without);
        Ok(Self {
            lab,
            peers,
            generators: Generators::find(),
            rounds: if args.quick { 2 } else { args.rounds.max(1) },
            seconds: if args.quick { 1 } else { args.seconds.max(1) },
            is_quick: args.quick,
        })
    }

    /// Where, when, with what.
    fn header(&self, args: &GatewayArgs) -> Vec<String> {
        let command: Vec<String> = std::env::args().skip(1).collect();
        let mut lines = vec![
            format!("Command: `cargo xtask bench {}`", command.join(" ")),
            format!("Machine: {}; {}", machine::describe(), machine::today()),
            format!(
                "Proxies: {}",
                self.peers.iter().map(|peer| peer.version.as_str()).collect::<Vec<_>>().join(", ")
            ),
            format!("Load: {}", self.generators.describe()),
            "Proxy on CPU 0 with one worker; origin and load on CPU 1; rounds interleaved".into(),
        ];
        if args.quick {
            lines.push("Quick run: too short to compare".into());
        }
        lines.extend(self.lab.notes.iter().cloned());
        lines
    }

    fn missing(&self, args: &GatewayArgs) -> Vec<String> {
        let is_present = |kind: Kind| self.peers.iter().any(|peer| peer.kind == kind);
        let absent: Vec<&str> =
            Kind::ALL.iter().filter(|kind| !is_present(**kind)).map(|kind| kind.name()).collect();
        let (left_out, missing): (Vec<&str>, Vec<&str>) =
            absent.into_iter().partition(|name| args.without.iter().any(|other| other == name));
        let mut lines = Vec::new();
        if !missing.is_empty() {
            lines.push(format!("Not installed, so not compared: {}", missing.join(", ")));
        }
        if !left_out.is_empty() {
            lines.push(format!("Left out on request: {}", left_out.join(", ")));
        }
        lines
    }

    /// The product; most cases are about it alone.
    pub(crate) fn weftway(&self) -> anyhow::Result<&Peer> {
        let found = self.peers.iter().find(|peer| peer.kind == Kind::Weftway);
        found.context("the weftway binary was not found")
    }

    /// Rounds of the cases beside the main one.
    fn few_rounds(&self) -> usize {
        if self.is_quick { self.rounds } else { (self.rounds / 3).max(5) }
    }
}

fn weftway_program(args: &GatewayArgs) -> anyhow::Result<PathBuf> {
    match &args.weftway {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("weftway")),
    }
}

/// Waits for something that has no event, memory settling for instance.
fn settle(secs: u64) {
    std::thread::sleep(Duration::from_secs(secs));
}

fn h1_c64(bench: &Bench) -> anyhow::Result<Section> {
    throughput::run(
        bench,
        "h1-c64",
        "HTTP/1.1 keep-alive, 64 connections, 200 bytes",
        Shape::SMALL,
        bench.rounds,
    )
}

fn h1_c1(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { connections: 1, ..Shape::SMALL };
    throughput::run(
        bench,
        "h1-c1",
        "HTTP/1.1 keep-alive, one connection, 200 bytes",
        shape,
        bench.few_rounds(),
    )
}

fn answers_100k(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { path: Some("/100k"), ..Shape::SMALL };
    throughput::run(
        bench,
        "get-100k",
        "HTTP/1.1 keep-alive, 64 connections, 100 KB answers",
        shape,
        bench.few_rounds(),
    )
}

fn post_10k(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { method: "POST", body_bytes: 10 * 1024, ..Shape::SMALL };
    throughput::run(
        bench,
        "post-10k",
        "HTTP/1.1 keep-alive, 64 connections, 10 KB requests",
        shape,
        bench.few_rounds(),
    )
}

fn tls_c64(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { is_tls: true, ..Shape::SMALL };
    throughput::run(
        bench,
        "tls-c64",
        "TLS 1.3 terminated, keep-alive, 64 connections, 200 bytes",
        shape,
        bench.few_rounds(),
    )
}

fn h2c(bench: &Bench) -> anyhow::Result<Section> {
    let shape = Shape { connections: 8, streams: 32, ..Shape::SMALL };
    throughput::run(
        bench,
        "h2c",
        "HTTP/2 without TLS, 8 connections of 32 streams, to HTTP/1.1",
        shape,
        bench.few_rounds(),
    )
}

/// The table that a shape of load needs.
fn table_for(shape: Shape) -> Table {
    Table { is_tls: shape.is_tls, ..Table::REALISTIC }
}
