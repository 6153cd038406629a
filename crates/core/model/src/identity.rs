//! Who a workload is.
//!
//! Identities are SPIFFE ids of one fixed shape,
//! `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, as every mesh of the field writes
//! them (SPIFFE-ID specification, section 2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The longest SPIFFE id, bytes (SPIFFE-ID specification, section 2.3).
const ID_BYTES_MAX: usize = 2048;

/// The longest trust domain, bytes (SPIFFE-ID specification, section 2.1).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The name of a group of workloads that trust one authority: lower-case letters, digits, `.`, `-`
/// and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

/// Who a workload is. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

/// A text is not an identity of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// It does not begin with `spiffe://`.
    #[error("`{0}` is not a SPIFFE id: it does not begin with spiffe://")]
    Scheme(String),
    /// The trust domain is empty, too long or has a forbidden character.
    #[error("`{0}` is not a trust domain: it takes 1 to 255 of a-z, 0-9, `.`, `-` and `_`")]
    TrustDomain(String),
    /// The path is not `/ns/<namespace>/sa/<service account>`.
    #[error("the path of `{0}` is not /ns/<namespace>/sa/<service account>")]
    Path(String),
    /// A namespace or service account is empty, too long or has a forbidden character.
    #[error("`{0}` is not a name: it takes 1 to 253 of a-z, A-Z, 0-9, `.`, `-` and `_`")]
    Name(String),
    /// The whole is longer than 2048 bytes.
    #[error("a SPIFFE id of {0} bytes is too long: at most 2048 are allowed")]
    Length(usize),
}

// === impl TrustDomain ===

impl TrustDomain {
    /// The trust domain that is used where none is given, as in Istio.
    pub const DEFAULT: &'static str = "cluster.local";

    /// Checks and wraps a name.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentity::TrustDomain`].
    pub fn new(text: &str) -> Result<Self, InvalidIdentity> {
        let is_allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX || !text.bytes().all(is_allowed) {
            return Err(InvalidIdentity::TrustDomain(text.into()));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TrustDomain {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Identity ===

impl Identity {
    /// The identity of a service account.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentity::Name`] and [`InvalidIdentity::Length`].
    pub fn new(
        trust_domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, InvalidIdentity> {
        check_name(namespace)?;
        check_name(service_account)?;
        let text = format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}");
        if text.len() > ID_BYTES_MAX {
            return Err(InvalidIdentity::Length(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The whole: `spiffe://cluster.local/ns/shop/sa/payments`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.parts().0
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.parts().1
    }

    /// The service account.
    pub fn service_account(&self) -> &str {
        self.parts().2
    }

    fn parts(&self) -> (&str, &str, &str) {
        split(&self.0).expect("checked when it was made")
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        if text.len() > ID_BYTES_MAX {
            return Err(InvalidIdentity::Length(text.len()));
        }
        let (trust_domain, namespace, service_account) = split(text)?;
        TrustDomain::new(trust_domain)?;
        check_name(namespace)?;
        check_name(service_account)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Trust domain, namespace and service account, unchecked.
fn split(text: &str) -> Result<(&str, &str, &str), InvalidIdentity> {
    let rest =
        text.strip_prefix("spiffe://").ok_or_else(|| InvalidIdentity::Scheme(text.into()))?;
    let mut parts = rest.split('/');
    let trust_domain = parts.next().unwrap_or_default();
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("ns"), Some(namespace), Some("sa"), Some(service_account), None) => {
            Ok((trust_domain, namespace, service_account))
        }
        _ => Err(InvalidIdentity::Path(text.into())),
    }
}

/// A segment of the path of a SPIFFE id (section 2.2): no empty one, no `.` and `..`, few bytes.
fn check_name(name: &str) -> Result<(), InvalidIdentity> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_dots = name == "." || name == "..";
    if name.is_empty() || name.len() > 253 || is_dots || !name.bytes().all(is_allowed) {
        return Err(InvalidIdentity::Name(name.into()));
    }
    Ok(())
}
