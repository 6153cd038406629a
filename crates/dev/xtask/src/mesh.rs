//! The tests of the mesh in namespaces of the kernel. They need root and some programs of the
//! system; nothing is installed here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::cargo_test::run_tests;
use crate::run::cargo;

/// What the tests start, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ps", "procps"),
    ("curl", "curl"),
];

/// The tests' services and clients are scripts; the interpreter has to be one for all users.
const PYTHON: &str = "/usr/bin/python3";

/// The programs of tests: the node's, and the whole's.
const TESTS: &[&str] = &["namespaces", "mesh"];

/// What building and running them may take.
const TESTS_MAX: Duration = Duration::from_secs(15 * 60);

/// Runs the tests, one at a time.
///
/// # Errors
///
/// When something is missing, or a test has failed.
pub(crate) fn run_mesh() -> anyhow::Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        bail!("the mesh cannot be tested here: {}", missing.join("; "));
    }
    let mut command = cargo();
    // Of the whole workspace, so that dependencies are not built anew with fewer features.
    command.args(["test", "--workspace", "--no-fail-fast"]);
    for test in TESTS {
        command.args(["--test", test]);
    }
    run_tests(TESTS_MAX, command.args(["--", "--ignored", "--test-threads=1"]))
}

/// The same where it can be done; says why where it cannot.
pub(crate) fn run_mesh_if_possible() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return run_mesh();
    }
    println!("SKIPPED: {}", missing.join("; "));
    Ok(())
}

/// What this machine lacks, with the way to get it.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("these tests need root (run them with sudo)".to_owned());
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            missing.push(format!("{program} is missing (install the package {package})"));
        }
    }
    if !Path::new(PYTHON).exists() {
        missing.push(format!("{PYTHON} is missing (install the package python3)"));
    }
    if missing.is_empty() && !can_unshare() {
        missing.push("namespaces cannot be made (a container needs --privileged)".to_owned());
    }
    missing
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists())
}

fn can_unshare() -> bool {
    let mut command = std::process::Command::new("unshare");
    crate::run::succeeds(command.args(["--net", "--mount", "--pid", "--fork", "true"]))
}
