//! What a resource is known by.

use std::borrow::Cow;
use std::fmt;

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
