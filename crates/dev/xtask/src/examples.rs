//! Every example must be accepted by the product as it is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use walkdir::WalkDir;

use crate::run::{cargo, root, run, succeeds};

/// Builds the binary and lints every folder of documents under `examples/`.
pub(crate) fn run_examples() -> anyhow::Result<()> {
    let folder = root().join("examples");
    let groups = groups(&folder)?;
    if groups.is_empty() {
        bail!("there are no documents under examples/");
    }
    run(cargo().args(["build", "--package", "weftway"]))?;
    let binary = root().join("target/debug/weftway");
    if !succeeds(Command::new(&binary).args(["analyze", "--help"])) {
        bail!("the weftway binary has no command `analyze`: the examples cannot be checked");
    }
    for group in &groups {
        run(Command::new(&binary).current_dir(root()).arg("analyze").arg("-f").arg(group))?;
    }
    println!("{} examples are accepted", groups.len());
    Ok(())
}

/// The folders below `examples/` that hold YAML, or single files directly in it.
fn groups(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.context("cannot read examples/")?;
        let path = entry.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if !is_yaml {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        let group = if parent == folder { path } else { parent };
        let relative = group.strip_prefix(root()).unwrap_or(group).to_path_buf();
        if !found.contains(&relative) {
            found.push(relative);
        }
    }
    Ok(found)
}
