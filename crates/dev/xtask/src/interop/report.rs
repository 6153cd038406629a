//! The outcome of each check, printed as it comes.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::bail;

/// What was found so far.
#[derive(Debug)]
pub(super) struct Report {
    /// Only names that contain this are run.
    only: Option<String>,
    require_all: bool,
    /// Shown beside a failure: what was written to it meanwhile.
    access_log: Option<PathBuf>,
    ok: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

/// Lines of the access log that are shown beside a failure.
const ACCESS_LOG_LINES: usize = 3;

// === impl Report ===

impl Report {
    pub(super) fn new(only: Option<String>, require_all: bool) -> Self {
        Self { only, require_all, access_log: None, ok: 0, failed: Vec::new(), skipped: Vec::new() }
    }

    /// Runs a check unless it is not wanted.
    pub(super) fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<()>) {
        if !self.wants(name) {
            return;
        }
        let start = self.access_log.as_deref().map_or(0, length);
        let outcome = check().map_err(|error| format!("{error:#}"));
        let has_failed = outcome.is_err();
        self.record(name, outcome);
        if let Some(path) = self.access_log.as_deref().filter(|_| has_failed) {
            let text = written_since(path, start).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(ACCESS_LOG_LINES)..] {
                println!("     access log meanwhile: {line}");
            }
        }
    }

    /// Failures come with the lines that this file gets during the check.
    pub(super) fn show_access_log(&mut self, path: PathBuf) {
        self.access_log = Some(path);
    }

    /// Whether a check of that name is to be run.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| name.contains(only))
    }

    /// Whether a group whose checks begin with that name may have a wanted one. The names of its
    /// checks are known only after it has run.
    pub(super) fn wants_some_of(&self, group: &str) -> bool {
        let words = |only: &str| group.contains(only) || only.starts_with(group);
        self.only.as_deref().is_none_or(words)
    }

    /// Adds an outcome: nothing, or what is wrong.
    pub(super) fn record(&mut self, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.ok += 1;
                println!("ok   {name}");
            }
            Err(what) => {
                println!("FAIL {name}: {what}");
                self.failed.push(name.into());
            }
        }
    }

    /// Adds checks that cannot be run here, and why.
    pub(super) fn skip(&mut self, name: &str, missing: &str) {
        if self.wants_some_of(name) {
            println!("skip {name}: {missing} is not installed (scripts/install-peers.sh)");
            self.skipped.push(name.into());
        }
    }

    /// Names a check that would find only what is wrong with the client.
    pub(super) fn leave_out(&self, name: &str, client: &str, why: &str) {
        if self.wants(name) {
            println!("n/a  {name}: {client} cannot: {why}");
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// The summary.
    ///
    /// # Errors
    ///
    /// When a check has failed, none has run, or one was skipped although all were required.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { only: _, access_log: _, require_all, ok, failed, skipped } = self;
        println!("\n{ok} ok, {} failed, {} skipped", failed.len(), skipped.len());
        if !failed.is_empty() {
            bail!("failed: {}", failed.join("; "));
        }
        if require_all && !skipped.is_empty() {
            bail!("skipped although all are required: {}", skipped.join("; "));
        }
        if ok == 0 && skipped.is_empty() {
            bail!("no check has that name");
        }
        Ok(())
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |facts| facts.len())
}

fn written_since(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
