//! Saying something about a place of a resource.

use weft_resources::{Pos, Problem, Resource, Severity};

use crate::context::Output;

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
        self.say(out, Severity::Error, message, Some(fix));
    }

    /// Reports a warning: something is in force, but not as one may think.
    pub(crate) fn warn(self, out: &mut Output, message: impl Into<Box<str>>) {
        self.say(out, Severity::Warning, message, None);
    }

    /// Reports a warning with advice.
    pub(crate) fn warn_with(self, out: &mut Output, message: impl Into<Box<str>>, fix: &str) {
        self.say(out, Severity::Warning, message, Some(fix));
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
        fix: Option<&str>,
    ) {
        let file = &self.resource.file;
        let mut problem = Problem::new(severity, file, self.at, self.path, message);
        problem.fix = fix.map(Into::into);
        // Several routes and listeners may find the same fault of what they share.
        let said = out.problems.get(&self.resource.key);
        if said.is_some_and(|problems| problems.contains(&problem)) {
            return;
        }
        out.problem(&self.resource.key, problem);
    }
}
