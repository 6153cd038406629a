//! `cargo xtask`: the project's own checks and chores. `cargo xtask ci` is what the continuous
//! integration runs.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command line tool for developers prints, measures and reads its environment"
)]

mod cargo_test;
mod ci;
mod compatibility;
mod deny;
mod fuzz;
mod interop;
mod layers;
mod mesh;
mod metadata;
mod run;
mod status;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// The project's checks and chores.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must pass before a change goes in.
    Ci,
    /// Check which crate may depend on which.
    Layers,
    /// Check sizes, docs, house bans and the paths that documents name.
    Tidy,
    /// Check licences and banned crates.
    Deny,
    /// Check that every test named in docs/STATUS.md exists.
    Status,
    /// Write docs/COMPATIBILITY.md, which says what becomes of every field.
    Compatibility {
        /// Only check that it is up to date, and that the tests which it names exist.
        #[arg(long)]
        check: bool,
    },
    /// Run the tests of the mesh in namespaces; needs root, ip and nft.
    Mesh,
    /// Run the fuzz targets.
    Fuzz {
        /// How long each target runs.
        #[arg(value_enum, default_value_t = FuzzLength::Smoke)]
        length: FuzzLength,
        /// One target; all without it.
        target: Option<String>,
    },
    /// Check that real clients get through: curl, nghttp, h2load, OpenSSL, gRPC and WebSocket.
    Interop(interop::InteropArgs),
    /// Compare with other proxies: `gateway --help`, `mesh --help`.
    Bench {
        /// What to measure, and options of the harness.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<String>,
    },
    /// Count the instructions of one request (valgrind).
    Count {
        /// Options of the harness.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FuzzLength {
    /// A few seconds: does the target build, and does its corpus still pass?
    Smoke,
    /// An hour: looks for new inputs.
    Long,
}

fn main() -> ExitCode {
    match dispatch(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Ci => ci::run_ci(),
        Command::Layers => layers::run_layers(),
        Command::Tidy => tidy::run_tidy(),
        Command::Deny => deny::run_deny(),
        Command::Status => status::run_status(),
        Command::Compatibility { check: true } => compatibility::check(),
        Command::Compatibility { check: false } => compatibility::write(),
        Command::Mesh => mesh::run_mesh(),
        Command::Fuzz { length, target } => fuzz::run_fuzz(length, target.as_deref()),
        Command::Interop(args) => interop::run_interop(&args),
        Command::Bench { args } => run::bench(&args),
        Command::Count { args } => {
            let mut all = vec!["gateway".to_owned(), "--only".to_owned(), "callgrind".to_owned()];
            all.extend(args);
            run::bench(&all)
        }
    }
}
