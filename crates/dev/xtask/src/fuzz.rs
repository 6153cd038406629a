//! Runs the fuzz targets with cargo-fuzz, which it installs into the target folder when missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::FuzzLength;
use crate::run::{cargo, root, run, succeeds};

/// The version that was seen to work with the stable toolchain.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

const SMOKE_SECS: u64 = 10;
const LONG_SECS: u64 = 3600;

/// Runs one target or all of them.
pub(crate) fn run_fuzz(length: FuzzLength, only: Option<&str>) -> anyhow::Result<()> {
    let all = targets(&root().join("fuzz/fuzz_targets"))?;
    let chosen: Vec<&String> =
        all.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        bail!("no such fuzz target; there are: {}", all.join(", "));
    }
    let tool = cargo_fuzz()?;
    let secs = if length == FuzzLength::Smoke { SMOKE_SECS } else { LONG_SECS };
    for target in chosen {
        // What is found goes to the first folder; the seeds in the repository stay as they are.
        let found = format!("target/fuzz/corpus/{target}");
        std::fs::create_dir_all(root().join(&found))?;
        // Sanitizers are switched on by unstable flags; the stable compiler has the code.
        run(Command::new(&tool)
            .current_dir(root())
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir", "target/fuzz", target])
            .args([&found, &format!("fuzz/corpus/{target}")])
            .arg("--")
            .arg(format!("-max_total_time={secs}")))?;
    }
    Ok(())
}

fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("there are no fuzz targets: cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn cargo_fuzz() -> anyhow::Result<PathBuf> {
    let tools = root().join("target/tools");
    let tool = tools.join("bin/cargo-fuzz");
    if !succeeds(Command::new(&tool).arg("--version")) {
        run(cargo()
            .args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION])
            .arg("--root")
            .arg(&tools)
            .env("CARGO_TARGET_DIR", root().join("target/tools/build")))?;
    }
    Ok(tool)
}
