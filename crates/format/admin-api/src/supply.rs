//! Authorities that an operator supplies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Body of `POST /rotation/prepare`: the root that takes over. Without a body one is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerRequest {
    /// Its certificate.
    pub root: PemText,
    /// Its key. Without it there must be an intermediate.
    pub root_key: Option<PemText>,
    /// What signs under it. Without it one is made.
    pub intermediate: Option<IntermediateRequest>,
}

/// Body of `POST /intermediate`: what signs under the root that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntermediateRequest {
    /// Its certificate, then whatever leads from it to the root.
    pub chain: PemText,
    /// Its key.
    pub key: PemText,
}

/// A text of PEM. It may be a key, so it is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PemText {
    /// What it is called in errors: the name of its file.
    pub name: String,
    /// The text.
    pub text: String,
}

// === impl PemText ===

impl fmt::Debug for PemText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemText").field("name", &self.name).finish_non_exhaustive()
    }
}
