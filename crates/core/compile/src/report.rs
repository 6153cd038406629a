//! What became of every resource.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use weft_resources::set::Placed;
use weft_resources::{Key, Pos, Problem, Severity};

/// What became of every resource, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// One entry for each resource.
    pub resources: Vec<ResourceReport>,
}

/// What became of one resource.
///
/// Nothing in it depends on where the resource stands but the place itself, which is applied when
/// the problems are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceReport {
    /// What became of it.
    pub verdict: Verdict,
    placed: Placed,
    /// What decoding did not know, with places in the resource.
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
        let problems = self.resources.iter().flat_map(ResourceReport::written);
        problems.filter(|problem| problem.severity == severity).count()
    }

    /// The entry of a resource.
    pub fn find(&self, key: &Key) -> Option<&ResourceReport> {
        self.resources.iter().find(|entry| entry.key() == Some(key))
    }

    /// What became of every resource when two have looked at the same set: a gateway and a mesh,
    /// say. What has no effect on the one is what the other says of it.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        // Both have the order of the set; what is no resource comes last.
        let pairs = self.resources.iter().zip(&other.resources);
        let mut resources: Vec<ResourceReport> = pairs
            .take_while(|(own, other)| is_same(&own.placed, &other.placed))
            .map(|(own, other)| own.merge(other))
            .collect();
        let common = resources.len();
        resources.extend(self.resources.iter().skip(common).cloned());
        resources.extend(other.resources.iter().skip(common).cloned());
        Self { resources }
    }

    /// All problems, by file and line.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.resources.iter().flat_map(ResourceReport::problems).collect();
        sort(&mut problems);
        problems
    }

    /// The problems that `before` does not have, by file and line. A problem that only moved is not
    /// new.
    pub fn news(&self, before: &Self) -> Vec<Problem> {
        let known: HashSet<_> = before.resources.iter().flat_map(ResourceReport::said).collect();
        let is_new = |entry: &&ResourceReport| entry.said().any(|said| !known.contains(&said));
        let mut problems: Vec<Problem> =
            self.resources.iter().filter(is_new).flat_map(ResourceReport::problems).collect();
        sort(&mut problems);
        problems
    }
}

// === impl ResourceReport ===

impl ResourceReport {
    pub(crate) fn new(placed: Placed, verdict: Verdict, further: Vec<Problem>) -> Self {
        Self { verdict, placed, further }
    }

    /// Its name, if it could be read.
    pub fn key(&self) -> Option<&Key> {
        self.placed.item.key()
    }

    /// Its file.
    pub fn file(&self) -> &Arc<str> {
        &self.placed.item.file
    }

    /// Where it begins.
    pub fn at(&self) -> Pos {
        self.placed.at
    }

    /// Everything to say about it, with places in the file.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        let first_line = self.placed.at.line;
        self.written().map(move |problem| problem.clone().from_line(first_line))
    }

    fn merge(&self, other: &Self) -> Self {
        match (self.verdict, other.verdict) {
            (own, Verdict::Ignored) if own != Verdict::Ignored => return self.clone(),
            (Verdict::Ignored, other_verdict) if other_verdict != Verdict::Ignored => {
                return other.clone();
            }
            _ => {}
        }
        let mut merged = self.clone();
        merged.verdict = self.verdict.worse(other.verdict);
        let news = other.further.iter().filter(|problem| !self.further.contains(problem));
        merged.further.extend(news.cloned());
        merged
    }

    /// Who says what, wherever it stands.
    fn said(&self) -> impl Iterator<Item = (Option<&Key>, &str, &str, &str)> {
        let (key, file) = (self.key(), &**self.file());
        self.written().map(move |problem| (key, file, &*problem.path, &*problem.message))
    }

    /// The same with places in the resource.
    fn written(&self) -> impl Iterator<Item = &Problem> {
        self.placed.item.problems.iter().chain(&self.further)
    }
}

// === impl Verdict ===

impl Verdict {
    /// The one of two that is farther from what the user wants.
    fn worse(self, other: Self) -> Self {
        let badness = |verdict: Self| match verdict {
            Self::Accepted => 0,
            Self::Ignored => 1,
            Self::Degraded => 2,
            Self::LastGood => 3,
            Self::Rejected => 4,
        };
        if badness(other) > badness(self) { other } else { self }
    }

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

/// Whether two entries are about one resource at one place.
fn is_same(one: &Placed, other: &Placed) -> bool {
    one.at == other.at && (Arc::ptr_eq(&one.item, &other.item) || one.item == other.item)
}

fn sort(problems: &mut [Problem]) {
    problems.sort_by(|a, b| (&a.file, a.at, a.severity).cmp(&(&b.file, b.at, b.severity)));
}

/// All problems as plain text, by file and line, with the lines they point at, which `line` finds.
pub fn render<'a>(report: &Report, line: impl Fn(&Problem) -> Option<&'a str>) -> String {
    report.problems().iter().map(|problem| problem.render(line(problem))).collect()
}
