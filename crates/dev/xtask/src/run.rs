//! Running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// The folder that holds the workspace manifest.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(3).unwrap_or(manifest).to_path_buf()
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Prints the command, runs it with our own output, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    println!("$ {}", show(command));
    let status = command.status().with_context(|| format!("cannot run {}", show(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", show(command));
    }
    Ok(())
}

/// The command, ended with what it started when it takes longer: a check that hangs is one that
/// fails, and the ones after it still have their turn.
pub(crate) fn within(limit: Duration, command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.arg("--kill-after=10").arg(limit.as_secs().to_string());
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().unwrap_or(&root()));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

/// Whether the command can be started and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What the command prints.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", show(command), output.status);
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// Builds what the benchmarks need with full optimisation, then runs the harness.
pub(crate) fn bench(args: &[String]) -> anyhow::Result<()> {
    run(cargo().args(["build", "--release", "--package", "weftway", "--package", "weft-bench"]))?;
    let target = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let target: serde_json::Value = serde_json::from_str(&target)?;
    let target = target["target_directory"].as_str().context("cargo names no target folder")?;
    run(Command::new(Path::new(target).join("release/weft-bench")).current_dir(root()).args(args))
}

pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(name.to_string_lossy()).chain(args).collect::<Vec<_>>().join(" ")
}
