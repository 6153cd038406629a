//! Weftway: service mesh and API gateway in one binary.
//!
//! This crate is thin on purpose: it parses arguments, wires the parts together and prints. What
//! it decides are exit codes: 0 fine, 1 found a problem, 2 wrong usage.

mod admin;
mod analyze;
mod args;
mod ask;
mod authority;
mod bench;
mod certs;
mod control;
mod demo;
mod descriptors;
mod documents;
mod engine;
mod exchange;
mod explain;
mod fleet;
mod folder;
mod gateway;
mod inspect;
mod link;
mod offline;
mod plan;
mod proxies;
mod proxy;
mod run;
mod source;
mod status;
mod table;
mod takeover;
mod up;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Args, Command};

/// Small allocations of equal sizes come and go with every HTTP/2 stream; this allocator is quicker
/// at that than the system's (figures in docs/BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse_and_check();
    weft_tls::install_provider();
    match run(args.command) {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Gateway(_) | Command::Proxy(_) | Command::Control(_) = command {
        descriptors::raise();
    }
    match command {
        Command::Gateway(args) => gateway::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoService(args) => demo::run_sample(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Control(args) => control::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Proxies(args) => proxies::run(&args),
        Command::Completion { shell } => {
            // Into memory first: the generator panics when its reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "weftway", &mut script);
            print_line(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            print_line(&format!("weftway {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints a line. A reader that went away (`weftway ... | head`) is not an error.
pub(crate) fn print_line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The same beside what was asked for.
pub(crate) fn eprint_line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// Prints an error with its causes, one a line.
pub(crate) fn print_error(error: &anyhow::Error) {
    use std::io::Write as _;
    let mut out = std::io::stderr();
    let _ = writeln!(out, "error: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(out, "  because: {cause}");
    }
}
