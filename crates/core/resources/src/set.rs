//! All resources of all files, and what is wrong with them.

mod decode;
mod index;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use rapidhash::fast::SeedableState;

use crate::problem::{Pos, Problem, Severity};
use crate::resource::{Key, Resource};
use crate::yaml;

pub use index::Index;

/// All resources of all files, in the order of file names and then of lines.
#[derive(Debug, Clone, Default)]
pub struct ResourceSet {
    files: Vec<Arc<SourceFile>>,
    items: Vec<Arc<Item>>,
    index: Index,
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
    /// provider.
    pub items: Vec<Arc<Item>>,
}

/// One resource, or what is left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The name of a rejected resource, when it could be read.
    pub rejected: Option<Box<Key>>,
    /// File it stands in.
    pub file: Arc<str>,
    /// Where it begins.
    pub at: Pos,
    /// The resource; `None` when an error rejects it.
    pub resource: Option<Arc<Resource>>,
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

/// The set that results from `previous` when some files change. Documents whose text and place did
/// not change are not parsed again and keep their `Arc`s, as do resources that come out equal.
pub fn load_incremental(previous: &ResourceSet, changes: &[Change<'_>]) -> ResourceSet {
    let mut files: Vec<Arc<SourceFile>> = previous
        .files
        .iter()
        .filter(|file| !changes.iter().any(|(path, _)| **path == *file.path))
        .map(Arc::clone)
        .collect();
    for (path, text) in changes {
        let Some(text) = text else { continue };
        let old = previous.file(path);
        match old {
            Some(old) if *old.text == **text => files.push(Arc::clone(old)),
            _ => files.push(Arc::new(read_file(path, text, old))),
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files.dedup_by(|later, first| later.path == first.path);
    ResourceSet::from_files(files)
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
    pub fn items(&self) -> &[Arc<Item>] {
        &self.items
    }

    /// The accepted resources, in order.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.items.iter().filter_map(|item| item.resource.as_ref())
    }

    /// A resource by name.
    pub fn get(&self, key: &Key) -> Option<&Arc<Resource>> {
        self.index.get(key)
    }

    /// All problems, in the order of files and lines.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.items.iter().flat_map(|item| item.problems.iter().cloned()).collect();
        problems.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        problems
    }

    fn from_files(files: Vec<Arc<SourceFile>>) -> Self {
        let mut set = Self { files, ..Self::default() };
        let documents = set.files.iter().flat_map(|file| &file.documents);
        let count = documents.map(|document| document.items.len()).sum();
        set.items.reserve_exact(count);
        let mut seen: HashMap<&Key, &Item, SeedableState<'static>> =
            HashMap::with_capacity_and_hasher(count, SeedableState::default());
        for document in set.files.iter().flat_map(|file| &file.documents) {
            for item in &document.items {
                let Some(key) = item.key() else {
                    set.items.push(Arc::clone(item));
                    continue;
                };
                if let Some(first) = seen.insert(key, item) {
                    seen.insert(key, first);
                    set.items.push(Arc::new(duplicate(item, first)));
                    continue;
                }
                if let Some(resource) = &item.resource {
                    set.index.insert(Arc::clone(resource));
                }
                set.items.push(Arc::clone(item));
            }
        }
        set
    }
}

impl PartialEq for ResourceSet {
    /// The same files say the same, however they were loaded.
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

// === impl SourceFile ===

impl std::fmt::Debug for SourceFile {
    /// Leaves the text out: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile")
            .field("path", &self.path)
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

// === impl Item ===

impl Item {
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

fn read_file(path: &str, text: &str, old: Option<&Arc<SourceFile>>) -> SourceFile {
    let path: Arc<str> = old.map_or_else(|| Arc::from(path), |old| Arc::clone(&old.path));
    let known = old.map(|old| Known::new(old));
    let mut by_key = None;
    let base = text.as_ptr() as usize;
    let mut documents = Vec::new();
    for (position, chunk) in yaml::split(text).into_iter().enumerate() {
        let start = chunk.text.as_ptr() as usize - base;
        let range = start..start + chunk.text.len();
        let same = known.as_ref().and_then(|known| known.find(position, chunk));
        let items = match (same, old) {
            (Some(document), _) => document.items.clone(),
            (None, None) => decode::items(&path, chunk).into_iter().map(Arc::new).collect(),
            (None, Some(old)) => {
                let by_key = by_key.get_or_insert_with(|| items_by_key(old));
                let items = decode::items(&path, chunk).into_iter();
                items.map(|item| keep_equal(item, by_key)).collect()
            }
        };
        documents.push(Document { line: chunk.line, range, items });
    }
    documents.shrink_to_fit();
    SourceFile { path, text: text.into(), documents }
}

/// The documents of a file as it was before.
struct Known<'a> {
    file: &'a SourceFile,
    by_line: HashMap<u32, &'a Document>,
}

impl<'a> Known<'a> {
    fn new(file: &'a SourceFile) -> Self {
        let by_line = file.documents.iter().map(|document| (document.line, document)).collect();
        Self { file, by_line }
    }

    /// The document with the same text at the same place.
    fn find(&self, position: usize, chunk: yaml::Chunk<'_>) -> Option<&'a Document> {
        let is_same = |document: &&Document| {
            document.line == chunk.line && self.file.text[document.range.clone()] == *chunk.text
        };
        // Most often nothing has moved.
        self.file
            .documents
            .get(position)
            .filter(is_same)
            .or_else(|| self.by_line.get(&chunk.line).copied().filter(is_same))
    }
}

fn items_by_key(file: &SourceFile) -> HashMap<&Key, &Arc<Item>> {
    let items = file.documents.iter().flat_map(|document| &document.items);
    items.filter_map(|item| Some((item.key()?, item))).collect()
}

/// The old item where the new one says the same.
fn keep_equal(item: Item, old: &HashMap<&Key, &Arc<Item>>) -> Arc<Item> {
    let same = item.key().and_then(|key| old.get(key)).filter(|old| ****old == item);
    same.map_or_else(|| Arc::new(item), |old| Arc::clone(old))
}

fn duplicate(item: &Item, first: &Item) -> Item {
    let mut item = item.clone();
    let name = item.key().map(ToString::to_string).unwrap_or_default();
    item.rejected = item.key().cloned().map(Box::new);
    let message = format!(
        "{name} is already defined in {}:{}; this one is not used",
        first.file, first.at.line
    );
    item.problems.push(
        Problem::new(Severity::Error, &item.file, item.at, "metadata.name", message)
            .with_fix("rename or remove one of the two"),
    );
    item.resource = None;
    item
}
