//! Every example must be accepted by the product as it is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use walkdir::WalkDir;

use crate::run::{cargo, root, run, succeeds};

/// Services that whoever runs the example starts itself: `weftway demo` for its own. Nothing
/// connects to the address.
const BACKENDS: &[(&str, &[&str])] =
    &[("examples/demo", &["greeter:8080=127.0.0.1:9", "greeter-v2:8080=127.0.0.1:9"])];

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
        let mut command = Command::new(&binary);
        command.current_dir(root()).arg("analyze").arg("-f").arg(group);
        for backend in backends(group) {
            command.args(["--backend", backend]);
        }
        run(&mut command)?;
    }
    println!("{} examples are accepted", groups.len());
    Ok(())
}

fn backends(group: &Path) -> &'static [&'static str] {
    BACKENDS.iter().find(|(name, _)| Path::new(name) == group).map_or(&[], |(_, backends)| backends)
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
