//! `apiVersion`, `kind` and `metadata`: what all Kubernetes objects share.

use crate::linkerd;
use crate::read::{Field, Path, Reader, Sink, Taken, nearest};
use crate::resource::{Annotation, DEFAULT_NAMESPACE, Spanned};
use crate::yaml::Entry;

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

/// Annotations that are read by whoever compiles objects of these kinds
/// ([`Resource::find_annotation`](crate::Resource::find_annotation)).
const READ_LATER: &[(&str, &[&str])] = &[
    (linkerd::OPAQUE_PORTS, &["Namespace", "Service", "Pod"]),
    (linkerd::DEFAULT_INBOUND_POLICY, &["Namespace", "Pod"]),
];

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

/// The annotations of a document, to be taken one by one.
///
/// What is wrong with the text of one is a warning: the object is there without it.
pub(crate) struct Annotations<'d, 'p> {
    entries: &'d [Entry],
    sink: &'p Sink,
}

/// Where annotations are.
static PATH: Path<'static> = Path::Key(&Path::Key(&Path::Root, "metadata"), "annotations");

// === impl Annotations ===

impl<'d, 'p> Annotations<'d, 'p> {
    /// Those of the document that `reader` stands on.
    pub(crate) fn of(reader: &Reader<'d, 'p>) -> Self {
        let metadata = reader.take("metadata").map(|field| field.node());
        let node = metadata.and_then(|metadata| metadata.find("annotations"));
        let entries = node.and_then(|node| node.as_map()).unwrap_or_default();
        Self { entries, sink: reader.sink() }
    }

    /// Takes one.
    pub(crate) fn take<'r>(&'r self, name: &'static str) -> Option<Field<'d, 'r>> {
        let entry = self.entries.iter().find(|entry| *entry.key == *name);
        self.sink.note(&PATH, name, Taken::Read, entry.is_some());
        entry.map(|entry| self.field(entry))
    }

    /// Takes one and reads its text.
    pub(crate) fn parse<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let field = self.take(name)?;
        let text = field.node().as_scalar().map(|scalar| scalar.text.trim()).unwrap_or_default();
        parse(text).map_err(|error| field.warn(format!("{error}: it has no effect"), None)).ok()
    }

    /// Takes one that has commas between its items. Items that cannot be read are left out.
    pub(crate) fn parse_list<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let items = self.take(name).map(|field| {
            let text = field.node().as_scalar().map(|scalar| &*scalar.text).unwrap_or_default();
            let items = text.split(',').map(|item| parse(item.trim()));
            let warn = |error| field.warn(format!("{error}: it has no effect"), None);
            items.filter_map(|item| item.map_err(warn).ok()).collect()
        });
        items.unwrap_or_default()
    }

    /// Says that some have no effect because another is not there.
    pub(crate) fn without(&self, names: &[&'static str], missing: &str) {
        for name in names {
            self.warn(name, &format!("it has no effect without {missing}"));
        }
    }

    /// Says something about one, if it is there.
    pub(crate) fn warn(&self, name: &'static str, message: &str) {
        if let Some(field) = self.take(name) {
            field.warn(message, None);
        }
    }

    fn field<'r>(&'r self, entry: &'d Entry) -> Field<'d, 'r> {
        Field::new(&entry.value, entry.at, Path::Key(&PATH, &entry.key), self.sink)
    }
}

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
pub(crate) fn annotation(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<Box<str>>> {
    let annotations = Annotations::of(reader);
    let field = annotations.take(name)?;
    field.node().as_scalar().map(|scalar| field.spanned(scalar.text.clone()))
}

/// Says which annotations that are about traffic have no effect on an object of this kind.
pub(crate) fn check_annotations(reader: &Reader<'_, '_>, kind: &str) {
    let known = || OWN.iter().chain(linkerd::annotations::ALL);
    let annotations = Annotations::of(reader);
    for (name, _) in READ_LATER.iter().filter(|(_, kinds)| kinds.contains(&kind)) {
        annotations.take(name);
    }
    for entry in annotations.entries {
        let prefixes = linkerd::annotations::PREFIXES.iter().chain(&[OWN_PREFIX]);
        let Some(prefix) = prefixes.copied().find(|prefix| entry.key.starts_with(prefix)) else {
            continue;
        };
        let (message, fix) = match known().find(|(name, _)| **name == *entry.key) {
            Some((_, kinds)) if kinds.contains(&kind) => continue,
            Some((_, kinds)) => (
                format!("it has no effect on a {kind}"),
                Some(format!("put it on the {}", kinds[0])),
            ),
            None => {
                let same = known().map(|(name, _)| *name).filter(|name| name.starts_with(prefix));
                let fix = nearest(&entry.key, same).map(|name| format!("did you mean `{name}`?"));
                ("it is not known and has no effect".to_owned(), fix)
            }
        };
        annotations.field(entry).warn(message, fix);
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
