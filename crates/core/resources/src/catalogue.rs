//! Every kind that is accepted, every field of it, and documents that have them all.
//!
//! The fields are those that the readers ask for when they read the samples (`samples/` of this
//! crate, one file for each kind), so none can be forgotten: a test fails when a reader asks for a
//! field that the samples of its kind lack, or the samples have one that nobody asks for. A field
//! that excludes another stands in a further document of the same file. Values differ from the
//! defaults, so that a document without the field says something else.
//!
//! All samples live in one scene: the namespace `shop` with the Services `web`, `web-v2` and `api`
//! (port 80, named `http`), workloads labelled `app: web`, and the Gateway `public`.

mod samples;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use crate::istio::mesh_config;
use crate::kind;
use crate::problem::Problem;
use crate::read::{Asked, Path, Reader, Record, Sink};
use crate::set::decode;
use crate::traefik;
use crate::yaml::{self, Node};

pub use crate::read::{FieldPath, Step, Taken};

/// A kind with its fields.
#[derive(Debug)]
pub struct Subject {
    /// API group; empty for the core. Traefik's file provider has [`traefik::file::GROUP`].
    pub group: &'static str,
    /// Kind. [`EVERY_OBJECT`] is what all have, [`FILE_PROVIDER`] a whole file of that, and
    /// [`MESH_CONFIG`] the text in a ConfigMap.
    pub kind: &'static str,
    /// Accepted values of `apiVersion`; empty for what has none.
    pub api_versions: &'static [&'static str],
    /// Documents that have all fields, as YAML.
    pub sample: &'static str,
    /// The fields, by path.
    pub fields: Vec<FieldUse>,
    documents: Vec<Node>,
}

/// A field of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldUse {
    /// Which.
    pub path: FieldPath,
    /// What the reader does with it.
    pub taken: Taken,
}

/// A document of a sample with a field and without it. Everything else stands at the same place in
/// both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The document as it is.
    pub with: String,
    /// Without the field, wherever it is in the document.
    pub without: String,
}

/// The kind of the subject that has the fields which every object has.
pub const EVERY_OBJECT: &str = "ObjectMeta";

/// The kind of the subject that is a file of Traefik's file provider.
pub const FILE_PROVIDER: &str = "File";

/// The kind of the subject that is Istio's MeshConfig. Its paths begin in the text that a ConfigMap
/// holds.
pub const MESH_CONFIG: &str = "MeshConfig";

/// All kinds, in the order in which the dialects come before one another.
pub fn kinds() -> &'static [Subject] {
    static KINDS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
        let objects = Subject::new("", EVERY_OBJECT, &[]);
        let kinds =
            kind::infos().map(|info| Subject::new(info.group, info.kind, info.api_versions));
        let config = Subject::new("", MESH_CONFIG, &[]);
        let file = Subject::new(traefik::file::GROUP, FILE_PROVIDER, &[]);
        [objects].into_iter().chain(kinds).chain([config, file]).collect()
    });
    &KINDS
}

/// One kind.
pub fn find(group: &str, kind: &str) -> Option<&'static Subject> {
    kinds().iter().find(|subject| (subject.group, subject.kind) == (group, kind))
}

// === impl Subject ===

impl Subject {
    fn new(group: &'static str, kind: &'static str, api_versions: &'static [&'static str]) -> Self {
        let sample = samples::find(group, kind);
        let documents = documents(kind, sample).0;
        let asked = record(kind, &documents).into_iter();
        let is_meant = |path: &FieldPath| match kind {
            EVERY_OBJECT => is_of_every_object(path),
            _ => !is_of_every_object(path),
        };
        let fields = asked.filter(|(path, _)| is_meant(path));
        let fields = fields.map(|(path, asked)| FieldUse { path, taken: asked.taken }).collect();
        Self { group, kind, api_versions, sample, fields, documents }
    }

    /// The documents of the sample that have a field, each with and without it.
    pub fn deletions(&self, path: &FieldPath) -> Vec<Deletion> {
        let deletion = |document: &Node| {
            let without = write::document(document, Some(path))?;
            let with = write::document(document, None)?;
            Some(Deletion { with: self.whole(with), without: self.whole(without) })
        };
        self.documents.iter().filter_map(deletion).collect()
    }

    /// The document that `text` stands in.
    fn whole(&self, text: String) -> String {
        if self.kind == MESH_CONFIG { write::mesh_config(&text) } else { text }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group {
            "" => f.write_str(self.kind),
            group => write!(f, "{} ({group})", self.kind),
        }
    }
}

/// Whether every object has that field. A named annotation is one of its kind.
fn is_of_every_object(path: &FieldPath) -> bool {
    let [Step::Field(first), rest @ ..] = &*path.steps else { return false };
    match (&**first, rest) {
        ("apiVersion" | "kind" | "status", []) => true,
        ("metadata", [Step::Field(name), Step::Field(_)]) => **name != *"annotations",
        ("metadata", _) => true,
        _ => false,
    }
}

/// The documents of a sample, and what is wrong with it as YAML.
fn documents(kind: &str, text: &str) -> (Vec<Node>, Vec<Problem>) {
    let (documents, problems) = yaml::parse_stream("sample.yaml", text);
    if kind != MESH_CONFIG {
        return (documents, problems);
    }
    let text = |node: &Node| {
        let scalar = node.find("data")?.find(mesh_config::CONFIG_MAP_KEY)?.as_scalar()?;
        Some(scalar.text.to_string())
    };
    let inner = documents.iter().filter_map(text).collect::<Vec<_>>().join("---\n");
    let (documents, found) = yaml::parse_stream("sample.yaml", &inner);
    (documents, [problems, found].concat())
}

/// What readers ask these documents for.
fn record(kind: &str, documents: &[Node]) -> BTreeMap<FieldPath, Asked> {
    let record = Rc::new(Record::default());
    for node in documents {
        let sink = Sink::recording(Arc::from("sample.yaml"), &record);
        match kind {
            FILE_PROVIDER => drop(traefik::file::read(node, &sink)),
            MESH_CONFIG => {
                drop(Reader::new(node, Path::Root, &sink).map(|r| mesh_config::read(&r)))
            }
            _ => drop(decode::decode(node, &sink)),
        }
    }
    record.fields()
}
