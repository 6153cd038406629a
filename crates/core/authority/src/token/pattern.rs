//! For whom a token is.

use std::fmt;
use std::str::FromStr;

use weft_model::identity::{Identity, InvalidIdentity};

/// What stands for any namespace or any service account.
const ANY: &str = "*";

/// Takes the place of [`ANY`] while the rest is checked.
const SOME: &str = "any";

/// An identity, or all of a namespace or trust domain: `spiffe://cluster.local/ns/shop/sa/*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdentityPattern {
    /// With [`SOME`] in the place of what may be anything.
    identity: Identity,
    any_namespace: bool,
    any_service_account: bool,
}

/// A text is not a pattern of identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an identity; `*` may stand for the service account, or for it and the namespace"
)]
pub struct InvalidPattern {
    text: Box<str>,
    source: InvalidIdentity,
}

// === impl IdentityPattern ===

impl IdentityPattern {
    /// Whether it stands for that identity.
    pub fn matches(&self, identity: &Identity) -> bool {
        let own = &self.identity;
        own.trust_domain() == identity.trust_domain()
            && (self.any_namespace || own.namespace() == identity.namespace())
            && (self.any_service_account || own.service_account() == identity.service_account())
    }
}

impl From<Identity> for IdentityPattern {
    fn from(identity: Identity) -> Self {
        Self { identity, any_namespace: false, any_service_account: false }
    }
}

impl FromStr for IdentityPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let (rest, any_service_account) = match text.strip_suffix("/sa/*") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        // Any namespace with one service account would be a trap: a stranger's namespace has it too.
        let (rest, any_namespace) = match rest.strip_suffix("/ns/*") {
            Some(rest) if any_service_account => (rest, true),
            _ => (rest, false),
        };
        let mut whole = rest.to_owned();
        if any_namespace {
            whole = format!("{whole}/ns/{SOME}");
        }
        if any_service_account {
            whole = format!("{whole}/sa/{SOME}");
        }
        let identity =
            whole.parse().map_err(|source| InvalidPattern { text: text.into(), source })?;
        Ok(Self { identity, any_namespace, any_service_account })
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, any_namespace, any_service_account } = self;
        let namespace = if *any_namespace { ANY } else { identity.namespace() };
        let account = if *any_service_account { ANY } else { identity.service_account() };
        write!(f, "spiffe://{}/ns/{namespace}/sa/{account}", identity.trust_domain())
    }
}
