//! Programs of the system that are run, as values and for real.

use std::fmt;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

#[cfg(test)]
mod tests;

/// Where `ip`, `nft` and their like are looked for. The caller's environment has no say: they run
/// as root, and what a user sets (`PATH`, `LD_PRELOAD`) must not reach them.
pub const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A program with its arguments and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name, looked for in [`SYSTEM_PATH`].
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads from standard input; nothing if empty.
    pub input: String,
}

/// A program could not be started, or said that it has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{command}` failed: {output}{}", way_out(.output))]
pub struct CommandError {
    /// What was run.
    pub command: String,
    /// What it wrote, or why it did not start.
    pub output: String,
}

// === impl Command ===

impl Command {
    /// A program with arguments separated by spaces.
    pub fn new(program: &'static str, args: &str) -> Self {
        let args = args.split_whitespace().map(str::to_owned).collect();
        Self { program, args, input: String::new() }
    }

    /// The same, reading `input`.
    pub fn reading(self, input: impl Into<String>) -> Self {
        Self { input: input.into(), ..self }
    }

    /// Runs it to its end and gives what it wrote to standard output.
    ///
    /// Not cancel safe: the program may have done half of its work.
    ///
    /// # Errors
    ///
    /// [`CommandError`] when it cannot be started or ends with another code than 0.
    pub async fn run(&self) -> Result<String, CommandError> {
        let failed = |output: String| CommandError { command: self.to_string(), output };
        let mut child = tokio::process::Command::new(self.program)
            .args(&self.args)
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C")
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read to the end says so by its code.
            let _ = stdin.write_all(self.input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let text = format!("{} {}", stderr.trim(), stdout.trim());
        let text = text.trim();
        Err(failed(if text.is_empty() { output.status.to_string() } else { text.to_owned() }))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// What a user may do about it, from what the programs of the field are known to write.
fn way_out(output: &str) -> &'static str {
    let known = [
        ("Operation not permitted", "; run as root (`sudo weftway up`)"),
        ("Permission denied", "; run as root (`sudo weftway up`)"),
        ("No such file or directory (os error 2)", "; scripts/install-mesh-tools.sh installs it"),
        (
            "Could not process rule",
            "; the kernel lacks nf_tables with NAT (modules nft_chain_nat, nft_redir)",
        ),
        ("Unknown device type", "; the kernel lacks this kind of link (modules veth, bridge)"),
        ("Operation not supported", "; the kernel lacks this (modules veth, bridge, nf_tables)"),
        (
            "File exists",
            "; something of that name is there already: `weftway up` removes its own leftovers when it starts",
        ),
    ];
    known.iter().find(|(text, _)| output.contains(text)).map_or("", |(_, way)| way)
}
