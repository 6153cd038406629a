//! The tests of the mesh in namespaces of the kernel. They need root and some programs of the
//! system; nothing is installed here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::run::{cargo, run_within};

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

/// Each package with its program of tests.
const TESTS: &[(&str, &str)] = &[("weft-node", "namespaces"), ("weftway", "mesh")];

/// What building and running one program of tests may take.
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
    for (package, test) in TESTS {
        let mut command = cargo();
        command.args(["test", "--package", package, "--test", test]);
        run_within(TESTS_MAX, command.args(["--", "--ignored", "--test-threads=1"]))?;
    }
    Ok(())
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
