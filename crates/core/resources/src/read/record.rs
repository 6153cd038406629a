//! What readers ask a document for, written down.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::Path;

/// A field of a kind, wherever in a document of it: `spec.rules[].name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    /// From the document's root.
    pub steps: Box<[Step]>,
}

/// A step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Every item of a list.
    Item,
    /// Every key of a map whose keys the user chooses.
    Any,
    /// The field of this name.
    Field(Box<str>),
}

/// How a reader takes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// It asks for nothing of anybody here: what the API server writes, or what only the cluster
    /// acts on. Nothing is said.
    Skipped,
    /// It is read.
    Read,
    /// It has no effect, and that is said.
    Ignored,
}

/// What readers asked for.
#[derive(Debug, Default)]
pub struct Record {
    asked: RefCell<BTreeMap<FieldPath, Asked>>,
}

/// How a field was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The last of the ways in which it was taken.
    pub taken: Taken,
    /// Whether it was there once.
    pub is_there: bool,
}

// === impl FieldPath ===

impl FieldPath {
    /// The field `step` of the map at `parent`.
    fn new(parent: &Path<'_>, step: Step) -> Self {
        let mut steps = vec![step];
        let mut path = *parent;
        loop {
            path = match path {
                Path::Root => break,
                Path::Key(parent, name) => {
                    steps.push(Step::Field(name.into()));
                    *parent
                }
                Path::Any(parent, _) => {
                    steps.push(Step::Any);
                    *parent
                }
                Path::Index(parent, _) => {
                    steps.push(Step::Item);
                    *parent
                }
                Path::Like(_, shape) => *shape,
            };
        }
        steps.reverse();
        Self { steps: steps.into() }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match step {
                Step::Field(name) => write!(f, "{dot}{name}")?,
                Step::Any => write!(f, "{dot}*")?,
                Step::Item => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

// === impl Record ===

impl Record {
    /// Notes that a field of the map at `parent` was asked for.
    pub(super) fn note(&self, parent: &Path<'_>, step: Step, taken: Taken, is_there: bool) {
        let mut asked = self.asked.borrow_mut();
        // What is there in a condition within a condition is not at the path of the outermost.
        let new = Asked { taken, is_there: is_there && !parent.is_like_another() };
        let known = asked.entry(FieldPath::new(parent, step)).or_insert(new);
        known.taken = known.taken.max(taken);
        known.is_there |= new.is_there;
    }

    /// Everything that was asked for.
    pub fn fields(&self) -> BTreeMap<FieldPath, Asked> {
        self.asked.borrow().clone()
    }
}
