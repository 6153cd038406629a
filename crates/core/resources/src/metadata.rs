//! `apiVersion`, `kind` and `metadata`: what all Kubernetes objects share.

use crate::problem::Severity;
use crate::read::{Field, Path, Reader, nearest};
use crate::resource::{Annotation, DEFAULT_NAMESPACE, Spanned};

/// The head of a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.namespace`, `default` when absent.
    pub namespace: Box<str>,
    /// `metadata.labels`.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// `metadata.annotations`.
    pub annotations: Box<[Annotation]>,
    /// `metadata.creationTimestamp` as written.
    pub created: Box<str>,
}

/// What annotations of ours begin with.
const OWN_PREFIX: &str = "weftway.io/";

/// How long the share of a new endpoint takes to grow to its full weight.
pub(crate) const SLOW_START: &str = "weftway.io/slow-start";

/// Annotations of ours, and the kinds that have them.
const OWN: &[(&str, &[&str])] = &[(SLOW_START, &["Service", "ServiceEntry"])];

/// What the API server or `kubectl` adds; it says nothing about what the user wants.
const BOOKKEEPING: &[&str] = &[
    "uid",
    "resourceVersion",
    "generation",
    "managedFields",
    "selfLink",
    "finalizers",
    "ownerReferences",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "clusterName",
];

/// The annotation in which `kubectl apply` keeps a copy of the document; large and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes `metadata` of a document.
pub fn metadata(reader: &Reader<'_, '_>) -> Option<Metadata> {
    reader.require("metadata")?.nested(|metadata| {
        let name = metadata.require_string("name").filter(|name| is_name(name, metadata));
        let namespace = metadata.string("namespace").filter(|text| !text.is_empty());
        let labels = pairs(metadata.take("labels"));
        let annotations = annotations(metadata.take("annotations"));
        let created = metadata.take("creationTimestamp").and_then(|field| field.text());
        BOOKKEEPING.iter().for_each(|name| metadata.skip(name));
        Some(Metadata {
            name: name?,
            namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
            labels,
            annotations,
            created: created.unwrap_or_default(),
        })
    })
}

/// The text of an annotation of the document that `reader` stands on, with its place.
pub(crate) fn annotation(reader: &Reader<'_, '_>, name: &str) -> Option<Spanned<Box<str>>> {
    let metadata = reader.take("metadata")?;
    let value = metadata.node().find("annotations")?.find(name)?;
    let text = value.as_scalar()?.text.clone();
    Some(Spanned { value: text, at: value.at })
}

/// Says which annotations of ours have no effect on an object of this kind.
pub(crate) fn check_own_annotations(reader: &Reader<'_, '_>, kind: &str) {
    let Some(metadata) = reader.take("metadata") else { return };
    let entries = metadata.node().find("annotations").and_then(|node| node.as_map());
    for entry in entries.unwrap_or_default() {
        if !entry.key.starts_with(OWN_PREFIX) {
            continue;
        }
        let (message, fix) = match OWN.iter().find(|(name, _)| **name == *entry.key) {
            Some((_, kinds)) if kinds.contains(&kind) => continue,
            Some((_, kinds)) => (
                format!("it has no effect on a {kind}"),
                Some(format!("put it on the {}", kinds[0])),
            ),
            None => {
                let known = nearest(&entry.key, OWN.iter().map(|(name, _)| *name));
                let fix = known.map(|name| format!("did you mean `{name}`?"));
                ("it is not known and has no effect".to_owned(), fix)
            }
        };
        let metadata = Path::Key(&Path::Root, "metadata");
        let annotations = Path::Key(&metadata, "annotations");
        let path = Path::Key(&annotations, &entry.key);
        reader.sink().report(Severity::Warning, entry.at, path, message, fix);
    }
}

fn pairs(field: Option<Field<'_, '_>>) -> Box<[(Box<str>, Box<str>)]> {
    field.map(|field| field.text_map()).unwrap_or_default().into()
}

fn annotations(field: Option<Field<'_, '_>>) -> Box<[Annotation]> {
    let Some(field) = field else { return Box::default() };
    let Some(reader) = field.reader() else { return Box::default() };
    let read = |(name, field): (&str, Field<'_, '_>)| {
        let value = if field.is_null() { "".into() } else { field.text()? };
        Some(Annotation { name: name.into(), value, at: field.key_at() })
    };
    reader.rest().filter_map(read).filter(|annotation| *annotation.name != *LAST_APPLIED).collect()
}

/// Kubernetes names (RFC 1123 subdomains); `/` and `@` would make our own ids ambiguous.
fn is_name(name: &str, reader: &Reader<'_, '_>) -> bool {
    const NAME_BYTES_MAX: usize = 253;
    let valid = name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.']);
    if !valid {
        let fix = "use lower-case letters, digits, `-` and `.`".into();
        reader.error(format!("`{name}` is not a valid name"), Some(fix));
    }
    valid
}
