//! Running `cargo test`, with what failed said once more at the end: thousands of lines may follow
//! a failure, and who has only the last of them has to know where to look.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::run::{show, within};

/// Of a message that a test has failed with.
const MESSAGE_CHARS_MAX: usize = 800;

/// Which tests have failed, gathered from what harnesses print.
#[derive(Debug, Default)]
struct Failures {
    failed: Vec<Failure>,
    /// The line before has said where a test has panicked; this one says why.
    is_message_next: bool,
    /// A test that has begun, and of whose end nothing is known.
    under_way: Option<String>,
}

#[derive(Debug, Default)]
struct Failure {
    test: String,
    /// File and line of the first panic.
    place: Option<String>,
    message: String,
}

/// Runs tests for no longer than that, with their output shown as it comes.
///
/// # Errors
///
/// When one fails, with a line for each; or when they take longer.
pub(crate) fn run_tests(limit: Duration, command: &Command) -> anyhow::Result<()> {
    let mut limited = within(limit, command);
    println!("$ {}", show(&limited));
    let cannot_run = || format!("cannot run {}", show(command));
    let mut child = limited.stdout(Stdio::piped()).spawn().with_context(cannot_run)?;
    let mut failures = Failures::default();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.read_until(b'\n', &mut line).with_context(cannot_run)? > 0 {
            std::io::stdout().write_all(&line)?;
            failures.read(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let status = child.wait().with_context(cannot_run)?;
    if !status.success() {
        bail!("{} ended with {status}{}", show(command), failures.told());
    }
    Ok(())
}

// === impl Failures ===

impl Failures {
    fn read(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("test ") {
            self.under_way = test.strip_suffix(" ...").map(str::to_owned);
        } else if line.starts_with("test result:") {
            self.under_way = None;
        } else if let Some(test) = output_of(line) {
            self.failed.push(Failure { test: test.to_owned(), ..Failure::default() });
        }
        let is_message = std::mem::take(&mut self.is_message_next);
        let Some(failure) = self.failed.last_mut() else { return };
        if is_message {
            failure.message = line.chars().take(MESSAGE_CHARS_MAX).collect();
        } else if let Some((_, place)) = line.split_once(" panicked at ")
            && failure.place.is_none()
        {
            failure.place = Some(place.trim_end_matches(':').to_owned());
            self.is_message_next = true;
        }
    }

    /// A line for each.
    fn told(&self) -> String {
        let failed = self.failed.iter().map(|Failure { test, place, message }| {
            let place = place.as_deref().unwrap_or("no panic");
            format!("\n  {test}: {place}: {message}")
        });
        let under_way = self.under_way.iter().map(|test| format!("\n  {test}: did not end"));
        failed.chain(under_way).collect()
    }
}

/// Whose output begins after this line.
fn output_of(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

#[cfg(test)]
mod tests;
