//! Side-by-side benchmarks: Weftway and every installed peer, on the same machine, in the same
//! minutes, with the same origin and the same load.
//!
//! The proxies under test have CPU 0 and one worker each; origin and load share CPU 1. The figure to
//! compare is the proxies' own CPU time for each request: rates of the fastest are capped by CPU 1.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring tool prints, reads the clock, waits and starts threads"
)]

mod bars;
mod cases;
mod client;
mod fleet;
mod lab;
mod load;
mod machine;
mod peers;
mod process;
mod report;
mod stats;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks against other proxies.
#[derive(Parser)]
#[command(name = "weft-bench", bin_name = "cargo xtask bench")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One gateway in front of one origin.
    Gateway(GatewayArgs),
    /// Two sidecars between client and origin, and what is behind them.
    Mesh(RunArgs),
    /// What policies cost a request, and what rules cost the control plane.
    Policy(RunArgs),
    /// A part of the mesh's case `fleet`, in a process of its own.
    #[command(hide = true)]
    Fleet(fleet::FleetArgs),
}

/// What to measure of the gateway.
#[derive(clap::Args, Debug, Clone)]
struct GatewayArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Also time a clean release build.
    #[arg(long)]
    build: bool,
}

/// What to measure and how long.
#[derive(clap::Args, Debug, Clone)]
struct RunArgs {
    /// Interleaved rounds of the main case; the other cases with rounds take a third, 5 at least.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Seconds of load in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Few and short rounds: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only these cases, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these proxies out, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Write the result into this document, between its markers.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The binary under test. Default: `weftway` beside this program.
    #[arg(long)]
    weftway: Option<PathBuf>,
    /// List the cases and end.
    #[arg(long)]
    list: bool,
}

/// The fleet's control plane is measured with the allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Gateway(args) => cases::gateway::run(&args),
        Command::Mesh(args) => cases::mesh::run(&args),
        Command::Policy(args) => cases::policy::run(&args),
        Command::Fleet(args) => fleet::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
