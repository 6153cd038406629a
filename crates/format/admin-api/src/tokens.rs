//! Join tokens, by which a proxy that nothing else attests gets its first certificate.

use serde::{Deserialize, Serialize};

/// Body of `POST /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whom the token admits, once: a SPIFFE id, or one that ends in `*`.
    pub scope: String,
    /// For how many seconds it is good. The authority has a maximum.
    pub lifetime_secs: u64,
}

/// Answer to it. It is shown once, and is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// The token.
    pub token: String,
    /// Whom it admits.
    pub scope: String,
}

// === impl TokenView ===

impl std::fmt::Debug for TokenView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenView").field("scope", &self.scope).finish_non_exhaustive()
    }
}
