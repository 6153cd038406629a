//! All resources of all files, and what is wrong with them.

pub(crate) mod decode;
mod index;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapidhash::fast::SeedableState;

use crate::key::Key;
use crate::problem::{Pos, Problem, Severity};
use crate::resource::Resource;
use crate::yaml;

pub use index::Index;

/// All resources of all files, in the order of file names and then of lines.
#[derive(Debug, Clone, Default)]
pub struct ResourceSet {
    files: Vec<Arc<SourceFile>>,
    items: Vec<Placed>,
    index: Index,
    parsed: usize,
}

/// A file and its documents.
pub struct SourceFile {
    /// Path as given.
    pub path: Arc<str>,
    /// The text.
    pub text: Box<str>,
    /// The documents, in order.
    pub documents: Vec<Document>,
}

/// A part of a file between two `---` lines.
#[derive(Debug, Clone)]
pub struct Document {
    /// Line of its beginning, from 1.
    pub line: u32,
    /// Where its text stands in the file's.
    pub range: std::ops::Range<usize>,
    /// What it holds: one resource, or the many of a `List` or of a file of Traefik's file
    /// provider. Their places are counted from the document's first line, so that a document that
    /// only moved keeps them as they are.
    pub items: Arc<[Placed]>,
}

/// An item and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Where it begins.
    pub at: Pos,
    /// What stands there.
    pub item: Arc<Item>,
}

/// One resource, or what is left of it. Places in it are counted from its own first line.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The name of a rejected resource, when it could be read.
    pub rejected: Option<Box<Key>>,
    /// File it stands in.
    pub file: Arc<str>,
    /// The resource; `None` when an error rejects it.
    pub resource: Option<Arc<Resource>>,
    /// What could be read of a rejected resource, to look for what else is wrong with it. There
    /// when nothing is missing in it that was written; never in force.
    pub draft: Option<Arc<Resource>>,
    /// Nothing could be read of it but that it may say who may call workloads, and not of which.
    pub may_protect: bool,
    /// Everything to say about it.
    pub problems: Vec<Problem>,
}

/// A file that is there, was changed, or is gone (`None`).
pub type Change<'a> = (&'a str, Option<&'a str>);

/// Reads all resources of `files` (path and text).
pub fn load<P: AsRef<str>, T: AsRef<str>>(files: &[(P, T)]) -> ResourceSet {
    let changes: Vec<Change<'_>> =
        files.iter().map(|(path, text)| (path.as_ref(), Some(text.as_ref()))).collect();
    load_incremental(&ResourceSet::default(), &changes)
}

/// The set that results from `previous` when some files change. Documents whose text the file
/// already held, wherever in it, are not parsed again and keep their `Arc`s, as do resources that
/// come out equal.
pub fn load_incremental(previous: &ResourceSet, changes: &[Change<'_>]) -> ResourceSet {
    let changed: HashSet<&str> = changes.iter().map(|(path, _)| *path).collect();
    let mut files: Vec<Arc<SourceFile>> =
        previous.files.iter().filter(|file| !changed.contains(&*file.path)).cloned().collect();
    let mut parsed = 0;
    for (path, text) in changes {
        let Some(text) = text else { continue };
        match previous.file(path) {
            Some(old) if *old.text == **text => files.push(Arc::clone(old)),
            old => {
                let mut reading = Reading::new(path, old);
                files.push(Arc::new(reading.file(text)));
                parsed += reading.parsed;
            }
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files.dedup_by(|later, first| later.path == first.path);
    ResourceSet::from_files(files, parsed)
}

// === impl ResourceSet ===

impl ResourceSet {
    /// The files, by path.
    pub fn files(&self) -> &[Arc<SourceFile>] {
        &self.files
    }

    /// One file.
    pub fn file(&self, path: &str) -> Option<&Arc<SourceFile>> {
        let index = self.files.binary_search_by(|file| (*file.path).cmp(path)).ok()?;
        self.files.get(index)
    }

    /// Everything that was found, rejected or not, in order.
    pub fn items(&self) -> &[Placed] {
        &self.items
    }

    /// How many documents were parsed to make this set of the one before.
    pub fn parsed(&self) -> usize {
        self.parsed
    }

    /// The accepted resources, in order.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.items.iter().filter_map(|placed| placed.item.resource.as_ref())
    }

    /// A resource by name.
    pub fn get(&self, key: &Key) -> Option<&Arc<Resource>> {
        self.index.get(key)
    }

    /// The line that a problem points at.
    pub fn line_of(&self, problem: &Problem) -> Option<&str> {
        self.file(&problem.file)?.line(problem.at.line)
    }

    /// All problems, in the order of files and lines.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.items.iter().flat_map(Placed::problems).collect();
        problems.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        problems
    }

    /// What there is once the resources of `change` are applied: each is added, or takes the place
    /// of the one of its name; those that `goes` names are gone.
    #[must_use]
    pub fn overlaid(&self, change: &Self, goes: impl Fn(&Key) -> bool) -> Self {
        let named: HashSet<&Key> =
            change.items.iter().filter_map(|placed| placed.item.key()).collect();
        let stays = |placed: &&Placed| match placed.item.key() {
            Some(key) => !named.contains(key) && !goes(key),
            None => true,
        };
        let left = self.files.iter().map(|file| {
            let documents = file.documents.iter().map(|document| Document {
                items: document.items.iter().filter(stays).cloned().collect(),
                ..document.clone()
            });
            let documents = documents.collect();
            let (path, text) = (Arc::clone(&file.path), file.text.clone());
            Arc::new(SourceFile { path, text, documents })
        });
        let mut files: Vec<Arc<SourceFile>> = left.chain(change.files.iter().cloned()).collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Self::from_files(files, change.parsed)
    }

    fn from_files(files: Vec<Arc<SourceFile>>, parsed: usize) -> Self {
        let documents = files.iter().flat_map(|file| &file.documents);
        let count = documents.clone().map(|document| document.items.len()).sum();
        let mut items = Vec::with_capacity(count);
        let mut index = Index::with_capacity(count);
        let mut seen: HashMap<&Key, (&Item, u32), SeedableState<'static>> =
            HashMap::with_capacity_and_hasher(count, SeedableState::default());
        for document in documents {
            for Placed { at, item } in &*document.items {
                let at = at.from_line(document.line);
                let Some(key) = item.key() else {
                    items.push(Placed { at, item: Arc::clone(item) });
                    continue;
                };
                match seen.entry(key) {
                    Entry::Occupied(first) => {
                        let item = Arc::new(duplicate(item, at, *first.get()));
                        items.push(Placed { at, item });
                        continue;
                    }
                    Entry::Vacant(vacant) => {
                        vacant.insert((item, at.line));
                    }
                }
                if let Some(resource) = &item.resource {
                    index.insert(Arc::clone(resource), at.line);
                }
                items.push(Placed { at, item: Arc::clone(item) });
            }
        }
        Self { files, items, index, parsed }
    }
}

impl PartialEq for ResourceSet {
    /// The same files say the same, however they were loaded.
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

// === impl SourceFile ===

impl SourceFile {
    /// A line of a document, from 1.
    pub fn line(&self, number: u32) -> Option<&str> {
        let after = self.documents.partition_point(|document| document.line <= number);
        let document = &self.documents[after.checked_sub(1)?];
        self.text_of(document).lines().nth((number - document.line) as usize)
    }

    fn text_of(&self, document: &Document) -> &str {
        &self.text[document.range.clone()]
    }
}

impl std::fmt::Debug for SourceFile {
    /// Leaves the text out: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile")
            .field("path", &self.path)
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

// === impl Placed ===

impl Placed {
    /// Everything to say about it, with its places in the file.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        self.item.problems.iter().map(|problem| problem.clone().from_line(self.at.line))
    }
}

// === impl Item ===

impl Item {
    /// Something of which nothing could be read.
    pub fn unread(file: &Arc<str>, problems: Vec<Problem>) -> Self {
        let file = Arc::clone(file);
        Self { rejected: None, file, resource: None, draft: None, may_protect: false, problems }
    }

    /// Its name, when it could be read.
    pub fn key(&self) -> Option<&Key> {
        match &self.resource {
            Some(resource) => Some(&resource.key),
            None => self.rejected.as_deref(),
        }
    }

    /// Whether the resource is not in force as written.
    pub fn is_rejected(&self) -> bool {
        self.resource.is_none()
    }
}

/// Reads one file, with what is known of its documents as they were before.
struct Reading<'a> {
    path: Arc<str>,
    before: Option<&'a SourceFile>,
    /// The documents before, by their text; made when something has moved or changed.
    by_text: Option<HashMap<&'a str, &'a Document, SeedableState<'static>>>,
    /// The items before; made when something has changed.
    by_key: Option<HashMap<&'a Key, &'a Arc<Item>, SeedableState<'static>>>,
    /// How many documents were parsed.
    parsed: usize,
}

// === impl Reading ===

impl<'a> Reading<'a> {
    fn new(path: &str, before: Option<&'a Arc<SourceFile>>) -> Self {
        let path = before.map_or_else(|| Arc::from(path), |before| Arc::clone(&before.path));
        Self { path, before: before.map(|file| &**file), by_text: None, by_key: None, parsed: 0 }
    }

    fn file(&mut self, text: &str) -> SourceFile {
        let base = text.as_ptr() as usize;
        let mut documents = Vec::new();
        for (position, chunk) in yaml::split(text).into_iter().enumerate() {
            let start = chunk.text.as_ptr() as usize - base;
            let range = start..start + chunk.text.len();
            let items = match self.known(position, chunk.text) {
                Some(document) => Arc::clone(&document.items),
                None => self.parse(chunk.text),
            };
            documents.push(Document { line: chunk.line, range, items });
        }
        documents.shrink_to_fit();
        SourceFile { path: Arc::clone(&self.path), text: text.into(), documents }
    }

    /// A document with this text. Places in it are its own, so any will do.
    fn known(&mut self, position: usize, text: &str) -> Option<&'a Document> {
        let before = self.before?;
        // Most often nothing has moved.
        if let Some(document) = before.documents.get(position)
            && before.text_of(document) == text
        {
            return Some(document);
        }
        let by_text = self.by_text.get_or_insert_with(|| {
            let documents = before.documents.iter();
            documents.map(|document| (before.text_of(document), document)).collect()
        });
        by_text.get(text).copied()
    }

    fn parse(&mut self, text: &str) -> Arc<[Placed]> {
        self.parsed += 1;
        let mut items = decode::items(&self.path, text);
        if let Some(before) = self.before {
            let by_key = self.by_key.get_or_insert_with(|| {
                let items = before.documents.iter().flat_map(|document| &*document.items);
                items.filter_map(|placed| Some((placed.item.key()?, &placed.item))).collect()
            });
            for placed in &mut items {
                let old = placed.item.key().and_then(|key| by_key.get(key).copied());
                if let Some(old) = old.filter(|old| **old == placed.item) {
                    placed.item = Arc::clone(old);
                }
            }
        }
        items.into()
    }
}

fn duplicate(item: &Item, at: Pos, (first, first_line): (&Item, u32)) -> Item {
    let mut item = item.clone();
    let name = item.key().map(ToString::to_string).unwrap_or_default();
    item.rejected = item.key().cloned().map(Box::new);
    let message =
        format!("{name} is already defined in {}:{first_line}; this one is not used", first.file);
    let at = at.within(at.line);
    item.problems.push(
        Problem::new(Severity::Error, &item.file, at, "metadata.name", message)
            .with_fix("rename or remove one of the two"),
    );
    item.resource = None;
    item.draft = None;
    item
}
