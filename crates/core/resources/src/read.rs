//! Taking a document apart field by field.
//!
//! A [`Reader`] stands on a map. Whoever decodes a kind takes the fields by name and type; whatever
//! is wrong is collected, so that a user sees every problem at once. When a reader goes away, each
//! field that was never taken is reported as unknown, with the name it was perhaps meant to be.
//! Forgetting a field is therefore loud.

mod field;
mod record;
mod suggest;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::problem::{Pos, Problem, Severity};
use crate::yaml::{Entry, Node};

pub use field::Field;
pub use record::{Asked, FieldPath, Record, Step, Taken};
pub use suggest::nearest;

/// Where problems of one part of a file go.
#[derive(Debug)]
pub struct Sink {
    file: Arc<str>,
    first_line: u32,
    problems: RefCell<Vec<Problem>>,
    /// An item of a list could not be read and is missing in what was.
    has_gaps: Cell<bool>,
    /// Where it is written down what readers ask for.
    record: Option<Rc<Record>>,
}

/// One step from the document's root to a value.
#[derive(Debug, Clone, Copy)]
pub enum Path<'p> {
    /// The document.
    Root,
    /// A field of a map.
    Key(&'p Path<'p>, &'p str),
    /// A field of a map whose keys the user chooses.
    Any(&'p Path<'p>, &'p str),
    /// An item of a list, from 0.
    Index(&'p Path<'p>, usize),
    /// The first, whose fields are those of what is at the second.
    Like(&'p Path<'p>, &'p Path<'p>),
}

/// A map whose fields are taken one by one.
#[derive(Debug)]
pub struct Reader<'d, 'p> {
    entries: &'d [Entry],
    at: Pos,
    path: Path<'p>,
    sink: &'p Sink,
    taken: Box<[Cell<bool>]>,
    /// Names that were asked for, to suggest one for an unknown field.
    asked: RefCell<Vec<&'static str>>,
}

// === impl Sink ===

impl Sink {
    /// A sink for problems of the part of `file` that begins at `first_line`. Whatever is read
    /// through it has its places counted from there.
    pub fn new(file: Arc<str>, first_line: u32) -> Self {
        Self {
            file,
            first_line,
            problems: RefCell::default(),
            has_gaps: Cell::new(false),
            record: None,
        }
    }

    /// A sink that also writes down what readers ask for.
    pub fn recording(file: Arc<str>, record: &Rc<Record>) -> Self {
        Self { record: Some(Rc::clone(record)), ..Self::new(file, 1) }
    }

    /// A sink for a part of the same file that begins at `first_line`.
    pub fn part(&self, first_line: u32) -> Self {
        Self { record: self.record.clone(), ..Self::new(Arc::clone(&self.file), first_line) }
    }

    /// The file.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Where a place of the text is in the part that is read.
    fn place(&self, at: Pos) -> Pos {
        at.within(self.first_line)
    }

    /// Writes down that a field of the map at `parent` was asked for.
    pub(crate) fn note(&self, parent: &Path<'_>, name: &str, taken: Taken, is_there: bool) {
        if let Some(record) = &self.record {
            record.note(parent, Step::Field(name.into()), taken, is_there);
        }
    }

    /// Adds a problem.
    pub fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a problem from its parts.
    pub fn report(
        &self,
        severity: Severity,
        at: Pos,
        path: Path<'_>,
        message: impl Into<Box<str>>,
        fix: Option<String>,
    ) {
        let mut problem = Problem::new(severity, &self.file, at, path.to_string(), message);
        problem.fix = fix.map(Into::into);
        self.push(problem);
    }

    /// How many errors were added so far.
    pub fn error_count(&self) -> usize {
        self.problems.borrow().iter().filter(|problem| problem.is_error()).count()
    }

    /// Whether items of lists are missing in what was read, because they could not be.
    pub fn has_gaps(&self) -> bool {
        self.has_gaps.get()
    }

    /// Takes the problems that were added so far.
    pub fn take_problems(&self) -> Vec<Problem> {
        self.problems.take()
    }

    /// All problems.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

// === impl Path ===

impl Path<'_> {
    /// Whether it leads through a map that has the shape of another.
    fn is_like_another(&self) -> bool {
        match self {
            Self::Root => false,
            Self::Key(parent, _) | Self::Any(parent, _) | Self::Index(parent, _) => {
                parent.is_like_another()
            }
            Self::Like(path, shape) => path.len() > shape.len(),
        }
    }

    /// The number of its steps.
    fn len(&self) -> usize {
        match self {
            Self::Root => 0,
            Self::Key(parent, _) | Self::Any(parent, _) | Self::Index(parent, _) => {
                1 + parent.len()
            }
            Self::Like(path, _) => path.len(),
        }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Path::Root, name) | Self::Any(Path::Root, name) => f.write_str(name),
            Self::Key(parent, name) | Self::Any(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Like(path, _) => path.fmt(f),
        }
    }
}

// === impl Reader ===

impl<'d, 'p> Reader<'d, 'p> {
    /// Stands on `node`, which must be a map; otherwise that is reported.
    pub fn new(node: &'d Node, path: Path<'p>, sink: &'p Sink) -> Option<Self> {
        let Some(entries) = node.as_map() else {
            let message = format!("expected a map, found {}", node.describe());
            sink.report(Severity::Error, sink.place(node.at), path, message, None);
            return None;
        };
        let taken = entries.iter().map(|_| Cell::new(false)).collect();
        Some(Self {
            entries,
            at: sink.place(node.at),
            path,
            sink,
            taken,
            asked: RefCell::default(),
        })
    }

    /// Where the map begins.
    pub fn at(&self) -> Pos {
        self.at
    }

    /// The path of the map.
    pub fn path(&self) -> &Path<'p> {
        &self.path
    }

    /// Where problems go.
    pub fn sink(&self) -> &'p Sink {
        self.sink
    }

    /// Takes a field; `None` when it is absent or null.
    pub fn take<'r>(&'r self, name: &'static str) -> Option<Field<'d, 'r>>
    where
        'p: 'r,
    {
        self.take_even_null(name).filter(|field| !field.is_null())
    }

    /// Takes a field, and notes how.
    fn take_as<'r>(&'r self, name: &'static str, taken: Taken) -> Option<Field<'d, 'r>>
    where
        'p: 'r,
    {
        self.asked.borrow_mut().push(name);
        let index = self.entries.iter().position(|entry| *entry.key == *name);
        self.sink.note(&self.path, name, taken, index.is_some());
        let index = index?;
        self.taken[index].set(true);
        let entry = &self.entries[index];
        Some(Field::new(&entry.value, entry.at, Path::Key(&self.path, &entry.key), self.sink))
    }

    /// Takes a field that means something even without a value, such as `tls:`.
    pub fn take_even_null<'r>(&'r self, name: &'static str) -> Option<Field<'d, 'r>>
    where
        'p: 'r,
    {
        self.take_as(name, Taken::Read)
    }

    /// Takes a field and reports it when it is missing.
    pub fn require<'r>(&'r self, name: &'static str) -> Option<Field<'d, 'r>>
    where
        'p: 'r,
    {
        self.needed(name, self.take(name))
    }

    fn needed<'r>(
        &'r self,
        name: &'static str,
        field: Option<Field<'d, 'r>>,
    ) -> Option<Field<'d, 'r>> {
        if field.is_none() {
            let message = format!("the field `{name}` is required");
            self.sink.report(Severity::Error, self.at, self.path, message, None);
        }
        field
    }

    /// Whether a field is there (also when null), without taking it.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| *entry.key == *name)
    }

    /// Whether the map has no field at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes every field that is left: a map whose keys the user chooses.
    pub fn rest<'r>(&'r self) -> impl Iterator<Item = (&'d str, Field<'d, 'r>)> + 'r
    where
        'p: 'r,
    {
        self.note_rest(Taken::Read);
        self.entries.iter().zip(&self.taken).filter(|(_, taken)| !taken.replace(true)).map(
            |(entry, _)| {
                let path = Path::Any(&self.path, &entry.key);
                (&*entry.key, Field::new(&entry.value, entry.at, path, self.sink))
            },
        )
    }

    /// Takes every field that is left and says nothing.
    pub fn skip_rest(&self) {
        self.note_rest(Taken::Skipped);
        self.taken.iter().for_each(|taken| taken.set(true));
    }

    fn note_rest(&self, taken: Taken) {
        if let Some(record) = &self.sink.record {
            let is_there = self.taken.iter().any(|taken| !taken.get());
            record.note(&self.path, Step::Any, taken, is_there);
        }
    }

    /// Takes a text.
    pub fn string(&self, name: &'static str) -> Option<Box<str>> {
        self.take(name)?.string()
    }

    /// Takes a text, empty when absent.
    pub fn string_or_empty(&self, name: &'static str) -> Box<str> {
        self.string(name).unwrap_or_default()
    }

    /// Takes a text that must be there and not be empty.
    pub fn require_string(&self, name: &'static str) -> Option<Box<str>> {
        self.require(name)?.non_empty_string()
    }

    /// Takes a string that must be there and not empty, and of which nothing comes but that it is
    /// told from others of its sort: bookkeeping.
    pub fn require_label(&self, name: &'static str) -> Option<Box<str>> {
        let field = self.take_as(name, Taken::Skipped).filter(|field| !field.is_null());
        self.needed(name, field)?.non_empty_string()
    }

    /// Takes a boolean.
    pub fn bool(&self, name: &'static str) -> Option<bool> {
        self.take(name)?.bool()
    }

    /// Takes a boolean, with its default.
    pub fn bool_or(&self, name: &'static str, default: bool) -> bool {
        self.bool(name).unwrap_or(default)
    }

    /// Takes an integer within bounds, both included.
    pub fn int(&self, name: &'static str, min: i64, max: i64) -> Option<i64> {
        self.take(name)?.int(min, max)
    }

    /// Takes a list of texts, empty when absent.
    pub fn strings(&self, name: &'static str) -> Vec<Box<str>> {
        self.list(name, |item| item.string())
    }

    /// Takes a list; `item` decodes one and answers `None` after it has reported why not.
    pub fn list<T>(
        &self,
        name: &'static str,
        item: impl FnMut(&Field<'d, '_>) -> Option<T>,
    ) -> Vec<T> {
        self.take(name).map(|field| field.list(item)).unwrap_or_default()
    }

    /// Takes a map and reads it with `read`.
    pub fn nested<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Reader<'d, '_>) -> Option<T>,
    ) -> Option<T> {
        self.take(name)?.nested(read)
    }

    /// Takes a field that is accepted and has no effect here, and says so.
    pub fn ignored(&self, name: &'static str, why: &str) {
        let field = self.take_as(name, Taken::Ignored).filter(|field| !field.is_null());
        if let Some(field) = field {
            field.warn(format!("`{name}` has no effect: {why}"), None);
        }
    }

    /// Takes a field that is a name and nothing else, and is shown nowhere: says so, as something
    /// worth knowing.
    pub fn label(&self, name: &'static str, why: &str) {
        let field = self.take_as(name, Taken::Ignored).filter(|field| !field.is_null());
        if let Some(field) = field {
            field.note(format!("`{name}` has no effect: {why}"));
        }
    }

    /// Takes a field that is bookkeeping (`status`, `metadata.uid`) and says nothing.
    pub fn skip(&self, name: &'static str) {
        self.take_as(name, Taken::Skipped);
    }

    /// Reports an error about the map as a whole.
    pub fn error(&self, message: impl Into<Box<str>>, fix: Option<String>) {
        self.sink.report(Severity::Error, self.at, self.path, message, fix);
    }

    /// Reports a warning about the map as a whole.
    pub fn warn(&self, message: impl Into<Box<str>>, fix: Option<String>) {
        self.sink.report(Severity::Warning, self.at, self.path, message, fix);
    }

    /// Ends reading: fields never taken are reported. Dropping the reader does the same.
    pub fn finish(self) {}

    fn report_unknown(&self) {
        let asked = self.asked.borrow();
        for (entry, _) in self.entries.iter().zip(&self.taken).filter(|(_, taken)| !taken.get()) {
            let fix = match nearest(&entry.key, asked.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None if asked.is_empty() => "remove it".into(),
                None => format!("known here: {}", listed(&asked)),
            };
            let path = Path::Key(&self.path, &entry.key);
            let message = format!("unknown field `{}`", entry.key);
            self.sink.report(Severity::Error, self.sink.place(entry.at), path, message, Some(fix));
        }
    }
}

impl Drop for Reader<'_, '_> {
    fn drop(&mut self) {
        self.report_unknown();
    }
}

fn listed(names: &[&str]) -> String {
    const NAMES_MAX: usize = 12;
    let mut names: Vec<&str> = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let text = names.join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}
