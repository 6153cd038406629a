//! Real clients against the real binary: curl, nghttp, h2load, OpenSSL, gRPC and WebSocket clients
//! in Python, over HTTP/1.1, HTTP/2 and TLS; and an application in Go on the SPIFFE Workload API. Everything listens on loopback, on ports that the
//! system chooses, and lives in a temporary folder.

mod curl;
mod curl_special;
mod nghttp;
mod openssl;
mod program;
mod python;
mod report;
mod spiffe;
mod stage;
mod tools;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use self::report::Report;
use self::stage::Stage;
use self::tools::Tools;
use crate::run::{cargo, root, run};

/// What `cargo xtask interop` takes.
#[derive(Args)]
pub(crate) struct InteropArgs {
    /// Check the release build instead of the debug build.
    #[arg(long, conflicts_with = "binary")]
    release: bool,
    /// Check this weftway binary instead of building one.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Fail when a tool is missing; without it the checks that need the tool are named as skipped.
    #[arg(long)]
    require_all: bool,
    /// Run only the checks whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Adds the outcome of some checks to the report.
type Group = fn(&Stage, &Tools, &mut Report);

const GROUPS: &[Group] = &[
    curl::run,
    curl_special::run,
    nghttp::run,
    openssl::run,
    python::websocket,
    python::grpc,
    spiffe::run,
];

/// Builds the binary, starts it with its origins, and runs all checks.
pub(crate) fn run_interop(args: &InteropArgs) -> anyhow::Result<()> {
    let tools = Tools::find();
    let missing = tools.missing_for_stage();
    if !missing.is_empty() {
        let mut report = Report::new(None, args.require_all);
        report.skip("everything", &missing.join(" and "));
        return report.finish();
    }
    let binary = binary(args)?;
    tools.print_versions();
    let stage = Stage::start(&binary, &tools)?;
    let mut report = Report::new(args.only.clone(), args.require_all);
    report.show_access_log(stage.path(stage::ACCESS_LOG));
    for group in GROUPS {
        group(&stage, &tools, &mut report);
    }
    let log = stage.end(&mut report);
    if report.has_failed() && !log.is_empty() {
        println!("\nthe gateway's log ends so:\n{log}");
    }
    report.finish()
}

fn binary(args: &InteropArgs) -> anyhow::Result<PathBuf> {
    if let Some(binary) = &args.binary {
        if !binary.is_file() {
            bail!("there is no file {}", binary.display());
        }
        return Ok(binary.clone());
    }
    let profile = if args.release { "release" } else { "dev" };
    run(cargo().args(["build", "--package", "weftway", "--profile", profile]))?;
    let folder = if args.release { "release" } else { "debug" };
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(target.unwrap_or_else(|| root().join("target")).join(folder).join("weftway"))
}
