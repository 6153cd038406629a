//! Documents of files, as they are read again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_resources::set::Change;
use weft_resources::{Problem, ResourceSet};
use weft_source_file::Files;

/// The documents of some files, decoded. What is not written anew is not read anew.
#[derive(Default)]
pub(crate) struct Documents {
    texts: BTreeMap<String, Arc<str>>,
    set: ResourceSet,
}

// === impl Documents ===

impl Documents {
    /// The documents as they were last read.
    pub(crate) fn set(&self) -> &ResourceSet {
        &self.set
    }

    /// A problem with the line it points at.
    pub(crate) fn render(&self, problem: &Problem) -> String {
        problem.render(self.set.line_of(problem))
    }

    /// Reads those that are not as they were.
    pub(crate) fn read(&mut self, files: &Files) {
        let texts: BTreeMap<String, Arc<str>> = files
            .documents
            .iter()
            .map(|document| (document.path.clone(), document.text.clone()))
            .collect();
        let is_same = |path: &String, text: &Arc<str>| {
            self.texts.get(path).is_some_and(|have| Arc::ptr_eq(have, text) || have == text)
        };
        let written = texts.iter().filter(|(path, text)| !is_same(path, text));
        let written = written.map(|(path, text)| (path.as_str(), Some(&**text)));
        let gone = self.texts.keys().filter(|path| !texts.contains_key(*path));
        let gone = gone.map(|path| (path.as_str(), None));
        let changes: Vec<Change<'_>> = written.chain(gone).collect();
        self.set = weft_resources::load_incremental(&self.set, &changes);
        self.texts = texts;
    }
}
