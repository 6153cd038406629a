//! A typed resource and its name.

use std::sync::Arc;

use crate::key::Key;
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
    pub annotations: Box<[Annotation]>,
    /// `metadata.creationTimestamp` as written (RFC 3339, so that text order is time order); empty
    /// when absent.
    pub created: Box<str>,
    /// File it came from.
    pub file: Arc<str>,
    /// What it says.
    pub body: Kind,
}

/// An annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Box<str>,
    /// Where its name is written.
    pub at: Pos,
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
        self.find_annotation(name).map(|annotation| &*annotation.value)
    }

    /// An annotation with its place.
    pub fn find_annotation(&self, name: &str) -> Option<&Annotation> {
        self.annotations.iter().find(|annotation| *annotation.name == *name)
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
