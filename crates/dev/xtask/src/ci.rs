//! Every check in one go. A failed step does not hide the ones after it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::cargo_test::run_tests;
use crate::run::{cargo, run};
use crate::{FuzzLength, compatibility, deny, fuzz, layers, mesh, status, tidy};

type Step = (&'static str, fn() -> anyhow::Result<()>);

/// Cheap ones first.
const STEPS: &[Step] = &[
    ("format", || run(cargo().args(["fmt", "--all", "--check"]))),
    ("tidy", tidy::run_tidy),
    ("layers", layers::run_layers),
    ("deny", deny::run_deny),
    ("status", status::run_status),
    ("compatibility", compatibility::check),
    ("features", features),
    ("clippy", clippy),
    ("test", test),
    ("mesh", mesh::run_mesh_if_possible),
    ("doc", doc),
    ("fuzz smoke", || fuzz::run_fuzz(FuzzLength::Smoke, None)),
];

/// What building and running all tests may take; a third of it is usual.
const TESTS_MAX: Duration = Duration::from_secs(40 * 60);

/// Everything that must pass before a change goes in.
pub(crate) fn run_ci() -> anyhow::Result<()> {
    run_all(STEPS)
}

/// Runs all steps and fails when one of them has failed, with what they have failed with.
fn run_all(steps: &[Step]) -> anyhow::Result<()> {
    let mut summary = String::new();
    let mut failures = Vec::new();
    for (name, step) in steps {
        println!("\n=== {name} ===");
        let start = Instant::now();
        let result = step();
        let state = if result.is_ok() { "ok    " } else { "FAILED" };
        summary += &format!("{state} {name} ({} s)\n", start.elapsed().as_secs());
        if let Err(error) = result {
            println!("FAILED {name}: {error:#}");
            failures.push(format!("\n{name}: {error:#}"));
        }
    }
    print!("\n=== summary ===\n{summary}");
    if !failures.is_empty() {
        bail!("{} of {} steps failed{}", failures.len(), steps.len(), failures.concat());
    }
    Ok(())
}

fn test() -> anyhow::Result<()> {
    run_tests(TESTS_MAX, cargo().args(["test", "--workspace", "--no-fail-fast"]))
}

/// The library for other programs with fewer features than anything else here switches on.
fn features() -> anyhow::Result<()> {
    let library = ["check", "--package", "resilience-tower", "--lib", "--no-default-features"];
    run(cargo().args(library))?;
    run(cargo().args(library).args(["--features", "http"]))
}

fn clippy() -> anyhow::Result<()> {
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn doc() -> anyhow::Result<()> {
    let mut command: Command = cargo();
    run(command
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        // The library's page on the web has all features.
        .args(["--features", "resilience-tower/tonic"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}
