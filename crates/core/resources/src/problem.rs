//! What is wrong with a document, and where.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::key::Key;

/// A position in a file, or in a part of one, whose first line is then 1.
///
/// What is read from a part of a file speaks of places in that part. So it stays the same when the
/// part moves, and where it stands now is added when somebody wants to know
/// ([`Pos::from_line`]).
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
    /// Where in the file; of a problem that a resource keeps, where in the resource.
    pub at: Pos,
    /// Field, such as `spec.routes[0].match`; empty for the document as a whole.
    pub path: Box<str>,
    /// What is wrong: one sentence, lower case, no full stop.
    pub message: Box<str>,
    /// What to write instead.
    pub fix: Option<Box<str>>,
    /// The resource that is looked for and not there. What was perhaps meant instead follows from
    /// all others, so whoever knows them makes a fix of it.
    pub wanted: Option<Box<Key>>,
    /// The line holds a secret and is not to be shown.
    pub is_secret: bool,
}

// === impl Pos ===

impl Pos {
    /// Where a file or a part of one begins.
    pub const FIRST: Self = Self { line: 1, column: 1 };

    /// A position from its parts, both from 1.
    pub fn new(line: u32, column: u32) -> Self {
        Self { line, column }
    }

    /// Where this place of a file is in the part that begins at `first_line`.
    ///
    /// A place before that part, which an alias leads to, has a line that wraps round;
    /// [`Pos::from_line`] finds it again. A place that is not known stays so.
    #[must_use]
    pub fn within(self, first_line: u32) -> Self {
        if self == Self::default() {
            return self;
        }
        Self { line: self.line.wrapping_sub(first_line).wrapping_add(1), ..self }
    }

    /// Where this place of a part is in the file in which the part begins at `first_line`.
    #[must_use]
    pub fn from_line(self, first_line: u32) -> Self {
        if self == Self::default() {
            return self;
        }
        Self { line: self.line.wrapping_add(first_line).wrapping_sub(1), ..self }
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
        let file = Arc::clone(file);
        Self { severity, file, at, path, message, fix: None, wanted: None, is_secret: false }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<Box<str>>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same for a part of the file that begins at `first_line`.
    #[must_use]
    pub fn from_line(mut self, first_line: u32) -> Self {
        self.at = self.at.from_line(first_line);
        self
    }

    /// Whether it keeps something from being in force.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The same problem as plain text over several lines, with the line of the file that it points
    /// at, unless that holds a secret.
    pub fn render(&self, line: Option<&str>) -> String {
        let mut out = self.to_string();
        out.push('\n');
        if let Some(line) = line.filter(|_| !self.is_secret) {
            let number = self.at.line.to_string();
            let gutter = " ".repeat(number.len());
            let column = self.at.column.max(1) as usize - 1;
            let (line, column) = cut(line, column);
            out.push_str(&format!("  {number} | {line}\n"));
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

/// Of longer lines, the part around the place is shown.
const EXCERPT_COLUMNS_MAX: usize = 160;

/// The part of a line that is shown, and where in it the column is.
fn cut(line: &str, column: usize) -> (String, usize) {
    let shown = |text: &str, from: usize| -> String {
        let part = text.chars().skip(from).take(EXCERPT_COLUMNS_MAX);
        part.map(|c| if c == '\t' || !c.is_control() { c } else { ' ' }).collect()
    };
    // The file may have changed since.
    let column = column.min(line.chars().count());
    if column < EXCERPT_COLUMNS_MAX {
        return (shown(line, 0), column);
    }
    let from = column - EXCERPT_COLUMNS_MAX / 2;
    (format!("… {}", shown(line, from)), column - from + 2)
}
