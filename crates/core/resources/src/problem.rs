//! What is wrong with a document, and where.

use std::fmt;
use std::sync::Arc;

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pos {
    /// Line, from 1; 0 when unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 when unknown.
    pub column: u32,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The resource, or the part of it named by the path, is not in force.
    Error,
    /// In force, but not as the user may think.
    Warning,
    /// Worth knowing; nothing to do.
    Note,
}

/// Something to tell the user about one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// File as given.
    pub file: Arc<str>,
    /// Where in the file.
    pub at: Pos,
    /// Field, such as `spec.routes[0].match`; empty for the document as a whole.
    pub path: Box<str>,
    /// What is wrong: one sentence, lower case, no full stop.
    pub message: Box<str>,
    /// What to write instead.
    pub fix: Option<Box<str>>,
    /// The line holds a secret and is not to be shown.
    pub is_secret: bool,
}

// === impl Pos ===

impl Pos {
    /// A position from its parts, both from 1.
    pub fn new(line: u32, column: u32) -> Self {
        Self { line, column }
    }
}

// === impl Severity ===

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

// === impl Problem ===

impl Problem {
    /// A problem without a fix.
    pub fn new(
        severity: Severity,
        file: &Arc<str>,
        at: Pos,
        path: impl Into<Box<str>>,
        message: impl Into<Box<str>>,
    ) -> Self {
        let (path, message) = (path.into(), message.into());
        Self { severity, file: Arc::clone(file), at, path, message, fix: None, is_secret: false }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<Box<str>>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Whether it keeps something from being in force.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The same problem as plain text over several lines, with the line of `source` (the file's
    /// text) that it points at, unless that holds a secret.
    pub fn render(&self, source: Option<&str>) -> String {
        let mut out = self.to_string();
        out.push('\n');
        let source = source.filter(|_| !self.is_secret);
        let line = (self.at.line as usize)
            .checked_sub(1)
            .and_then(|index| source.and_then(|text| text.lines().nth(index)));
        if let Some(line) = line {
            let number = self.at.line.to_string();
            let gutter = " ".repeat(number.len());
            out.push_str(&format!("  {number} | {}\n", shorten(line)));
            let column = (self.at.column.max(1) as usize - 1).min(EXCERPT_COLUMNS_MAX);
            // The marker line repeats tabs, so that it lines up however wide they are shown.
            let indent: String = line
                .chars()
                .chain(std::iter::repeat(' '))
                .take(column)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            out.push_str(&format!("  {gutter} | {indent}^\n"));
        }
        if let Some(fix) = &self.fix {
            out.push_str(&format!("  fix: {fix}\n"));
        }
        out
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if self.at.line > 0 {
                write!(f, "{}:", self.at.line)?;
            }
            if self.at.column > 0 {
                write!(f, "{}:", self.at.column)?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}: ", self.severity)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Longer lines are cut in excerpts.
const EXCERPT_COLUMNS_MAX: usize = 160;

fn shorten(line: &str) -> String {
    line.chars().take(EXCERPT_COLUMNS_MAX).filter(|c| *c == '\t' || !c.is_control()).collect()
}
