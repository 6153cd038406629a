//! Names of workloads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use weft_model::id::WorkloadName;

#[cfg(test)]
mod tests;

/// The namespace of workloads that are not given one.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The longest name of a workload or namespace, bytes (a label of DNS, RFC 1035 section 2.3.4).
const BYTES_MAX: usize = 63;

/// A workload of this machine, by namespace and name. Both are labels of DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    namespace: String,
    name: String,
}

/// A text cannot be the name of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: it takes 1 to 63 of a-z, 0-9 and `-`, with no `-` at either end")]
pub struct InvalidName(pub String);

// === impl Name ===

impl Name {
    /// Checks and joins both parts.
    ///
    /// # Errors
    ///
    /// When one of them is not a label of DNS (RFC 1123 section 2.1, lower case).
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidName> {
        check(namespace)?;
        check(name)?;
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name without its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As the rest of the mesh calls it.
    pub fn workload(&self) -> WorkloadName {
        WorkloadName::new(self.to_string())
    }

    /// As files, links and namespaces of the kernel are called after it: `payments`, or
    /// `shop.payments` in another namespace than `default`. Two names never share one.
    pub fn handle(&self) -> String {
        if self.namespace == DEFAULT_NAMESPACE {
            self.name.clone()
        } else {
            format!("{}.{}", self.namespace, self.name)
        }
    }

    /// The same with a number behind, for the `number`-th instance of it. The first has none.
    pub fn instance(&self, number: u32) -> Result<Self, InvalidName> {
        match number {
            0 | 1 => Ok(self.clone()),
            more => Self::new(&self.namespace, &format!("{}-{more}", self.name)),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    /// Reads `payments` or `shop/payments`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('/') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Self::new(DEFAULT_NAMESPACE, text),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

fn check(label: &str) -> Result<(), InvalidName> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_hyphen_at_end = label.starts_with('-') || label.ends_with('-');
    let is_label = (1..=BYTES_MAX).contains(&label.len()) && label.bytes().all(is_allowed);
    if !is_label || has_hyphen_at_end {
        return Err(InvalidName(label.into()));
    }
    Ok(())
}
