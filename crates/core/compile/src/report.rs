//! What became of every resource.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weft_resources::set::Item;
use weft_resources::{Key, Pos, Problem, Severity};

/// What became of every resource, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// One entry for each resource.
    pub resources: Vec<ResourceReport>,
}

/// What became of one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceReport {
    /// What became of it.
    pub verdict: Verdict,
    item: Arc<Item>,
    /// What decoding did not know.
    further: Vec<Problem>,
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// In force as written; problems are warnings at most.
    Accepted,
    /// In force in part: some of it is not served, or is answered with an error.
    Degraded,
    /// Not in force.
    Rejected,
    /// Not in force as written; the last good form still is.
    LastGood,
    /// Of a kind that has no effect here.
    Ignored,
}

// === impl Report ===

impl Report {
    /// Whether there is any error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many problems of that severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        let problems = self.resources.iter().flat_map(ResourceReport::problems);
        problems.filter(|problem| problem.severity == severity).count()
    }

    /// The entry of a resource.
    pub fn find(&self, key: &Key) -> Option<&ResourceReport> {
        self.resources.iter().find(|entry| entry.key() == Some(key))
    }

    /// All problems, by file and line.
    pub fn problems(&self) -> Vec<&Problem> {
        let mut problems: Vec<&Problem> =
            self.resources.iter().flat_map(ResourceReport::problems).collect();
        problems.sort_by(|a, b| (&a.file, a.at, a.severity).cmp(&(&b.file, b.at, b.severity)));
        problems
    }
}

// === impl ResourceReport ===

impl ResourceReport {
    pub(crate) fn new(item: Arc<Item>, verdict: Verdict, further: Vec<Problem>) -> Self {
        Self { verdict, item, further }
    }

    /// Its name, if it could be read.
    pub fn key(&self) -> Option<&Key> {
        self.item.key()
    }

    /// Its file.
    pub fn file(&self) -> &Arc<str> {
        &self.item.file
    }

    /// Where it begins.
    pub fn at(&self) -> Pos {
        self.item.at
    }

    /// Everything to say about it.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.item.problems.iter().chain(&self.further)
    }
}

// === impl Verdict ===

impl Verdict {
    /// The word shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Degraded => "degraded",
            Self::Rejected => "rejected",
            Self::LastGood => "last good",
            Self::Ignored => "ignored",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All problems as plain text, by file and line, with the lines they point at; `source` gives the
/// text of a file.
pub fn render<'a>(report: &Report, source: impl Fn(&str) -> Option<&'a str>) -> String {
    report.problems().into_iter().map(|problem| problem.render(source(&problem.file))).collect()
}
