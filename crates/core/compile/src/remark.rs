//! Saying something about a place of a resource.

use weft_resources::{Key, Pos, Problem, Resource, Severity};

use crate::context::Output;

/// What to do about a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fix {
    /// As these words say.
    Advice(Box<str>),
    /// Name what exists, or add this. What comes nearest to it is looked for when all is known.
    Find(Key),
}

/// A place of a resource: where problems are reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The resource.
    pub(crate) resource: &'a Resource,
    /// Line and column.
    pub(crate) at: Pos,
    /// Path of the field.
    pub(crate) path: &'a str,
}

// === impl Fix ===

impl Fix {
    /// Puts it on a problem.
    pub(crate) fn apply(self, problem: &mut Problem) {
        match self {
            Self::Advice(words) => problem.fix = Some(words),
            Self::Find(key) => problem.wanted = Some(Box::new(key)),
        }
    }
}

impl From<&str> for Fix {
    fn from(words: &str) -> Self {
        Self::Advice(words.into())
    }
}

impl From<String> for Fix {
    fn from(words: String) -> Self {
        Self::Advice(words.into())
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    /// A place of `resource`; without a line of its own it is the resource's first.
    pub(crate) fn new(resource: &'a Resource, at: Pos, path: &'a str) -> Self {
        let at = if at == Pos::default() { Pos::FIRST } else { at };
        Self { resource, at, path }
    }

    /// The resource as a whole.
    pub(crate) fn whole(resource: &'a Resource) -> Self {
        Self::new(resource, Pos::default(), "")
    }

    /// Reports an error: something is not in force.
    pub(crate) fn error(self, out: &mut Output, message: impl Into<Box<str>>) {
        self.say(out, Severity::Error, message, None);
    }

    /// Reports an error with advice.
    pub(crate) fn error_with(self, out: &mut Output, message: impl Into<Box<str>>, fix: &str) {
        self.say(out, Severity::Error, message, Some(fix.into()));
    }

    /// Reports an error of which it may be known what to do.
    pub(crate) fn error_fixed_by(
        self,
        out: &mut Output,
        message: impl Into<Box<str>>,
        fix: Option<Fix>,
    ) {
        self.say(out, Severity::Error, message, fix);
    }

    /// Reports a warning: something is in force, but not as one may think.
    pub(crate) fn warn(self, out: &mut Output, message: impl Into<Box<str>>) {
        self.say(out, Severity::Warning, message, None);
    }

    /// Reports a warning with advice.
    pub(crate) fn warn_with(self, out: &mut Output, message: impl Into<Box<str>>, fix: &str) {
        self.say(out, Severity::Warning, message, Some(fix.into()));
    }

    /// Reports something worth knowing.
    pub(crate) fn note(self, out: &mut Output, message: impl Into<Box<str>>) {
        self.say(out, Severity::Note, message, None);
    }

    fn say(
        self,
        out: &mut Output,
        severity: Severity,
        message: impl Into<Box<str>>,
        fix: Option<Fix>,
    ) {
        let file = &self.resource.file;
        let mut problem = Problem::new(severity, file, self.at, self.path, message);
        if let Some(fix) = fix {
            fix.apply(&mut problem);
        }
        // Several routes and listeners may find the same fault of what they share.
        out.problem_once(&self.resource.key, &problem);
    }
}
