//! The files that are ours: neither built nor fetched.

use std::path::PathBuf;

use walkdir::{DirEntry, WalkDir};

use crate::run::root;

/// Folders that hold what tools made.
const SKIPPED: &[&str] =
    &["target", ".git", "node_modules", "artifacts", "corpus", "coverage", "dist"];

/// Paths relative to the root of all files with one of these endings, sorted.
pub(crate) fn files(endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let root = root();
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !SKIPPED.contains(&name.as_ref())
    };
    let mut found = Vec::new();
    for entry in WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(is_ours) {
        let entry = entry?;
        let path = entry.path();
        let is_wanted = path
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| endings.contains(&ending));
        if entry.file_type().is_file() && is_wanted {
            found.push(path.strip_prefix(&root)?.to_path_buf());
        }
    }
    Ok(found)
}
