//! House rules that no other tool checks: sizes, docs, bans, and what documents name.

mod docs;
mod rust;
mod text;
pub(crate) mod tree;

use std::path::Path;

use anyhow::{Context, bail};

use crate::metadata::Metadata;
use crate::run::root;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Counted from 1; 0 means the file as a whole.
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// Endings of the files that are text of ours.
const TEXT: &[&str] = &["rs", "md", "toml", "yaml", "yml", "json", "sh", "c", "h", "py", "go"];

/// Checks the whole tree.
pub(crate) fn run_tidy() -> anyhow::Result<()> {
    let crates: Vec<String> =
        Metadata::load()?.members().map(|package| package.name.clone()).collect();
    let files = tree::files(TEXT)?;
    let mut broken = 0;
    for path in &files {
        let text = std::fs::read_to_string(root().join(path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        for Finding { line, what } in check(path, &text, &crates) {
            println!("{}:{line}: {what}", path.display());
            broken += 1;
        }
    }
    if broken > 0 {
        bail!("{broken} findings");
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

/// What is wrong with one file; `path` is relative to the root.
fn check(path: &Path, text: &str, crates: &[String]) -> Vec<Finding> {
    let mut findings = text::check(path, text);
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("rs") => findings.extend(rust::check(path, text)),
        Some("md") => {
            findings.extend(docs::check(path, text, crates, &|path| root().join(path).exists()))
        }
        _ => {}
    }
    findings.sort();
    findings
}

// === impl Finding ===

impl Finding {
    pub(crate) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

#[cfg(test)]
mod tests;
