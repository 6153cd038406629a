//! All resources of all files, and what is wrong with them.

mod decode;
mod index;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

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
#[derive(Debug)]
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
    /// Its name, when it could be read.
    pub key: Option<Key>,
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
        let mut seen: HashMap<&Key, &Item> = HashMap::new();
        for document in set.files.iter().flat_map(|file| &file.documents) {
            for item in &document.items {
                let Some(key) = &item.key else {
                    set.items.push(Arc::clone(item));
                    continue;
                };
                if let Some(first) = seen.get(key) {
                    set.items.push(Arc::new(duplicate(item, first)));
                    continue;
                }
                seen.insert(key, item);
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

// === impl Item ===

impl Item {
    /// Whether the resource is not in force as written.
    pub fn is_rejected(&self) -> bool {
        self.resource.is_none()
    }
}

fn read_file(path: &str, text: &str, old: Option<&Arc<SourceFile>>) -> SourceFile {
    let path: Arc<str> = old.map_or_else(|| Arc::from(path), |old| Arc::clone(&old.path));
    let mut known: HashMap<(u32, &str), &Document> = HashMap::new();
    let mut by_key: HashMap<&Key, &Arc<Item>> = HashMap::new();
    for document in old.iter().flat_map(|old| &old.documents) {
        let file = old.expect("its documents were just listed");
        known.insert((document.line, &file.text[document.range.clone()]), document);
        by_key.extend(document.items.iter().filter_map(|item| Some((item.key.as_ref()?, item))));
    }
    let base = text.as_ptr() as usize;
    let documents = yaml::split(text)
        .into_iter()
        .map(|chunk| {
            let start = chunk.text.as_ptr() as usize - base;
            let range = start..start + chunk.text.len();
            let items = match known.get(&(chunk.line, chunk.text)) {
                Some(document) => document.items.clone(),
                None => decode::items(&path, chunk)
                    .into_iter()
                    .map(|item| keep_equal(item, &by_key))
                    .collect(),
            };
            Document { line: chunk.line, range, items }
        })
        .collect();
    SourceFile { path, text: text.into(), documents }
}

/// The old item where the new one says the same.
fn keep_equal(item: Item, old: &HashMap<&Key, &Arc<Item>>) -> Arc<Item> {
    let same = item.key.as_ref().and_then(|key| old.get(key)).filter(|old| ****old == item);
    same.map_or_else(|| Arc::new(item), |old| Arc::clone(old))
}

fn duplicate(item: &Item, first: &Item) -> Item {
    let mut item = item.clone();
    let name = item.key.as_ref().map(ToString::to_string).unwrap_or_default();
    let message =
        format!("{name} is already defined in {}:{}; this one is not used", first.file, first.at.line);
    item.problems.push(
        Problem::new(Severity::Error, &item.file, item.at, "metadata.name", message)
            .with_fix("rename or remove one of the two"),
    );
    item.resource = None;
    item
}
