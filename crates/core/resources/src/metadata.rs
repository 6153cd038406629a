//! `apiVersion`, `kind` and `metadata`: what all Kubernetes objects share.

use crate::read::{Field, Reader};
use crate::resource::DEFAULT_NAMESPACE;

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
    pub annotations: Box<[(Box<str>, Box<str>)]>,
    /// `metadata.creationTimestamp` as written.
    pub created: Box<str>,
}

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
        let annotations = pairs(metadata.take("annotations"));
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

fn pairs(field: Option<Field<'_, '_>>) -> Box<[(Box<str>, Box<str>)]> {
    let mut pairs = field.map(|field| field.text_map()).unwrap_or_default();
    pairs.retain(|(name, _)| **name != *LAST_APPLIED);
    pairs.into()
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
