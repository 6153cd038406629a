//! Rules for every file of text.

use std::path::Path;

use super::Finding;

/// Longest file of code, in lines.
const MAX_LINES: usize = 800;

/// Words that mark work left undone. Spelled in halves, so that this file has none of them.
const MARKERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Where builds and sessions of a single machine live; none of it means anything to a reader.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tmp", "/w/"), concat!("/ro", "ot/")];

pub(crate) fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let lines = text.lines().count();
    let is_code = matches!(ending, "rs" | "c" | "h" | "sh" | "py" | "go");
    if is_code && lines > MAX_LINES && !is_marked_long(text) {
        findings.push(Finding::new(0, format!("{lines} lines; {MAX_LINES} are allowed")));
    }
    for (index, line) in text.lines().enumerate() {
        for marker in MARKERS {
            if has_word(line, marker) {
                findings.push(Finding::new(index + 1, format!("{marker} marks unfinished work")));
            }
        }
        for machine in MACHINE_PATHS {
            if line.contains(machine) {
                findings.push(Finding::new(index + 1, "names a path of one machine"));
            }
        }
        if is_code && line.ends_with([' ', '\t']) {
            findings.push(Finding::new(index + 1, "blanks at the end of the line"));
        }
    }
    findings
}

/// Whether one of the first lines says why the file may be long.
fn is_marked_long(text: &str) -> bool {
    text.lines().take(20).any(is_long_mark)
}

/// `// long: because ...`
pub(crate) fn is_long_mark(line: &str) -> bool {
    let reason = line.split_once("// long:").map(|(_, reason)| reason.trim());
    reason.is_some_and(|reason| !reason.is_empty())
}

fn has_word(line: &str, word: &str) -> bool {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_inside) && !after.is_some_and(is_inside)
    })
}
