//! The tests of the mesh in namespaces of the kernel. They need root and some programs of the
//! system; nothing is installed here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use crate::cargo_test::run_tests;
use crate::run::{cargo, output, within};

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

/// What building them may take, and then each of them.
const TESTS_MAX: Duration = Duration::from_secs(15 * 60);

/// A program of tests that cargo has built.
struct Program {
    name: String,
    path: PathBuf,
    /// Its package's.
    folder: PathBuf,
}

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
    // All that `cargo test` builds: for these programs alone it would build most of it anew, with
    // fewer features.
    let build = ["test", "--workspace", "--no-run", "--message-format=json"];
    let built = output(&mut within(TESTS_MAX, cargo().args(build)))?;
    let programs: Vec<Program> = built.lines().filter_map(Program::read).collect();
    for test in TESTS {
        if !programs.iter().any(|program| program.name == *test) {
            bail!("cargo has built no test program `{test}`");
        }
    }
    // One that fails does not hide the others.
    let failed: Vec<String> = programs
        .iter()
        .filter_map(|program| program.run().err())
        .map(|error| format!("{error:#}"))
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
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
    let mut command = Command::new("unshare");
    crate::run::succeeds(command.args(["--net", "--mount", "--pid", "--fork", "true"]))
}

// === impl Program ===

impl Program {
    /// What a line of cargo's says, if it is of one of [`TESTS`].
    fn read(line: &str) -> Option<Self> {
        let said: serde_json::Value = serde_json::from_str(line).ok()?;
        let name = said["target"]["name"].as_str().filter(|name| TESTS.contains(name))?;
        let is_test = said["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
        let folder = Path::new(said["manifest_path"].as_str()?).parent()?;
        let path = said["executable"].as_str().filter(|_| is_test)?;
        Some(Self { name: name.into(), path: path.into(), folder: folder.into() })
    }

    fn run(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.path);
        // As cargo does.
        command.current_dir(&self.folder).args(["--ignored", "--test-threads=1"]);
        run_tests(TESTS_MAX, &command)
    }
}
