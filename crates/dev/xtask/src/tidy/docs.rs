//! What a document names must exist: paths of this repository, our crates, linked pages.

use std::path::{Component, Path, PathBuf};

use super::Finding;

/// First folders of a path that is meant to be one of ours.
const TOP_FOLDERS: &[&str] = &[
    "crates",
    "docs",
    "examples",
    "scripts",
    "fuzz",
    ".ci",
    "charts",
    "conformance",
    "ui",
    ".cargo",
];

pub(crate) fn check(
    path: &Path,
    text: &str,
    crates: &[String],
    exists: &dyn Fn(&Path) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        for span in code_spans(line) {
            if let Some(named) = named_path(span)
                && !exists(&named)
            {
                findings.push(Finding::new(index + 1, format!("{span} does not exist")));
            }
        }
        for name in crate_names(line) {
            if !crates.iter().any(|member| member == name) {
                findings.push(Finding::new(index + 1, format!("there is no crate {name}")));
            }
        }
        for target in links(line) {
            if let Some(linked) = linked_path(path, target)
                && !exists(&linked)
            {
                findings.push(Finding::new(index + 1, format!("the link {target} leads nowhere")));
            }
        }
    }
    findings
}

/// What stands between backquotes.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The path that a span means, if it means one of ours: `crates/core/model/src/id.rs:12` does,
/// `crates/*/src` and `application/json` do not.
fn named_path(span: &str) -> Option<PathBuf> {
    let is_pattern = span.contains(['*', '<', '>', '{', ' ', '$', '…']);
    let (top, _) = span.split_once('/')?;
    if is_pattern || !TOP_FOLDERS.contains(&top) {
        return None;
    }
    let path = span.split(['#', ':']).next().unwrap_or(span);
    Some(PathBuf::from(path.trim_end_matches('/')))
}

/// Words like `weft-model`.
fn crate_names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .filter(|word| word.strip_prefix("weft-").is_some_and(|role| !role.is_empty()))
}

/// Targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The file that a relative link means; other links are not ours to check.
fn linked_path(page: &Path, target: &str) -> Option<PathBuf> {
    let is_foreign = target.contains("://")
        || target.starts_with(['#', '/', '<'])
        || target.starts_with("mailto:");
    let file = target.split('#').next().unwrap_or(target);
    if is_foreign || file.is_empty() {
        return None;
    }
    let mut path = page.parent()?.to_path_buf();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    Some(path)
}
