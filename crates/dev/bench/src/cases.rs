//! What is measured, in the order of the document.

pub(crate) mod gateway;
pub(crate) mod mesh;
pub(crate) mod policy;

mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::RunArgs;
use crate::lab::Lab;
use crate::load::Generators;
use crate::peers::{self, Kind, Peer};
use crate::report::{self, Section};
use crate::{bars, machine};

/// What one command measures.
pub(crate) struct Suite {
    /// The command, and the marks in the document.
    pub(crate) name: &'static str,
    pub(crate) cases: &'static [Case],
    /// The proxies that take part.
    peers: &'static [Kind],
    /// One line: where what runs.
    setting: &'static str,
}

/// One measurement.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    about: &'static str,
    run: fn(&Bench) -> anyhow::Result<Section>,
    /// Runs only when it is asked for.
    is_extra: bool,
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

/// All suites, in the order of the document.
#[cfg(test)]
pub(crate) const SUITES: [&Suite; 3] = [&gateway::SUITE, &mesh::SUITE, &policy::SUITE];

// === impl Suite ===

impl Suite {
    /// Runs the chosen cases, and those of `extra`, and prints or writes the result.
    fn run(&self, args: &RunArgs, extra: &[&str]) -> anyhow::Result<()> {
        if args.list {
            for case in self.cases {
                println!("{:<15} {}", case.name, case.about);
            }
            return Ok(());
        }
        let chosen = self.choose(args, extra)?;
        let bars = bars::load()?;
        let bench = Bench::new(self, args)?;
        let header: Vec<String> =
            bench.header(self, args).into_iter().chain(bench.missing(self, args)).collect();
        for line in &header {
            eprintln!("{line}");
        }
        let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
        let mut sections = Vec::new();
        let mut failed = Vec::new();
        for case in &chosen {
            eprintln!("--- {}: {}", case.name, case.about);
            let measured = (case.run)(&bench);
            if let Err(error) = &measured {
                eprintln!("{}: {error:#}", case.name);
                failed.push(format!("{} could not be measured: {error:#}", case.name));
            }
            sections.push(measured.unwrap_or_else(|error| Section {
                title: case.about.to_owned(),
                body: format!("Not measured: {error:#}.\n"),
                findings: Vec::new(),
            }));
        }
        let result = report::document(&header, &names, &sections, &bars);
        println!("{result}");
        if let Some(out) = &args.out {
            report::update(out, self.name, &result)?;
        }
        if !failed.is_empty() {
            bail!("{}", failed.join("; "));
        }
        Ok(())
    }

    fn choose(&self, args: &RunArgs, extra: &[&str]) -> anyhow::Result<Vec<&'static Case>> {
        for name in &args.only {
            if !self.cases.iter().any(|case| case.name == name) {
                bail!("there is no case {name:?}; --list shows them");
            }
        }
        let is_chosen = |case: &&Case| {
            if args.only.is_empty() {
                !case.is_extra || extra.contains(&case.name)
            } else {
                args.only.iter().any(|name| name == case.name)
            }
        };
        Ok(self.cases.iter().filter(is_chosen).collect())
    }
}

// === impl Case ===

impl Case {
    const fn new(
        name: &'static str,
        about: &'static str,
        run: fn(&Bench) -> anyhow::Result<Section>,
    ) -> Self {
        Self { name, about, run, is_extra: false }
    }
}

// === impl Bench ===

impl Bench {
    fn new(suite: &Suite, args: &RunArgs) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let peers = peers::find(suite.peers, &lab, &weftway_program(args)?, &args.without);
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
    fn header(&self, suite: &Suite, args: &RunArgs) -> Vec<String> {
        let command: Vec<String> = std::env::args().skip(1).collect();
        let mut lines = vec![
            format!("Command: `cargo xtask bench {}`", command.join(" ")),
            format!("Machine: {}; {}", machine::describe(), machine::today()),
            format!(
                "Proxies: {}",
                self.peers.iter().map(|peer| peer.version.as_str()).collect::<Vec<_>>().join(", ")
            ),
            format!("Load: {}", self.generators.describe()),
            suite.setting.to_owned(),
        ];
        if args.quick {
            lines.push("Quick run: too short to compare".into());
        }
        lines.extend(self.lab.notes.iter().cloned());
        lines
    }

    fn missing(&self, suite: &Suite, args: &RunArgs) -> Vec<String> {
        let is_present = |kind: Kind| self.peers.iter().any(|peer| peer.kind == kind);
        let absent = suite.peers.iter().filter(|kind| !is_present(**kind));
        let (left_out, missing): (Vec<&str>, Vec<&str>) = absent
            .map(|kind| kind.name())
            .partition(|name| args.without.iter().any(|other| other == name));
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
        self.peer(Kind::Weftway)
    }

    /// A proxy that a case cannot do without.
    pub(crate) fn peer(&self, kind: Kind) -> anyhow::Result<&Peer> {
        let found = self.peers.iter().find(|peer| peer.kind == kind);
        found.with_context(|| format!("{} was not found, or is left out", kind.name()))
    }

    /// Rounds of the cases beside the main one.
    fn few_rounds(&self) -> usize {
        if self.is_quick { self.rounds } else { (self.rounds / 3).max(5) }
    }
}

fn weftway_program(args: &RunArgs) -> anyhow::Result<PathBuf> {
    match &args.weftway {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("weftway")),
    }
}

/// Waits for something that has no event, memory settling for instance.
fn settle(secs: u64) {
    std::thread::sleep(Duration::from_secs(secs));
}
