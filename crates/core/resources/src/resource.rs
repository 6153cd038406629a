//! A typed resource and its name.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::kind::Kind;
use crate::problem::Pos;

/// The namespace of resources that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// One resource as a user wrote it.
///
/// All places in it are counted from its own first line, so it is the same wherever it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its name among all.
    pub key: Key,
    /// `apiVersion` as written.
    pub api_version: Box<str>,
    /// `metadata.labels`.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// `metadata.annotations`.
    pub annotations: Box<[(Box<str>, Box<str>)]>,
    /// `metadata.creationTimestamp` as written (RFC 3339, so that text order is time order); empty
    /// when absent.
    pub created: Box<str>,
    /// File it came from.
    pub file: Arc<str>,
    /// What it says.
    pub body: Kind,
}

/// What identifies a resource: two with the same key are the same resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// API group without version, with old groups replaced by their successors: `traefik.io`; empty
    /// for the core group.
    pub group: Cow<'static, str>,
    /// Kind.
    pub kind: Cow<'static, str>,
    /// Namespace; empty for kinds that have none.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
}

/// A value and where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub at: Pos,
}

// === impl Resource ===

impl Resource {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        find(&self.labels, name)
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        find(&self.annotations, name)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.key.name
    }
}

// === impl Key ===

impl Key {
    /// A key from its parts.
    pub fn new(
        group: &'static str,
        kind: &'static str,
        namespace: impl Into<Box<str>>,
        name: impl Into<Box<str>>,
    ) -> Self {
        let (group, kind) = (Cow::Borrowed(group), Cow::Borrowed(kind));
        Self { group, kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

// === impl Spanned ===

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, at: Pos) -> Self {
        Self { value, at }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

fn find<'a>(pairs: &'a [(Box<str>, Box<str>)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
}
