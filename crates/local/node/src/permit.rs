//! Who besides root and the node's owner may run workloads, and as whom in the mesh.
//!
//! The kernel says which user calls on the node's socket; a name and a service account are what the
//! caller makes of itself. Without a permit, that is for nobody to choose: an identity is what
//! others let in.

use std::fmt;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// Lets a user run workloads of a namespace, as one or any of its service accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Which user, as it was written: a number or a name; every user if `None`.
    pub user: Option<String>,
    /// The user's number, once a name was looked up.
    pub uid: Option<u32>,
    /// Which namespace; every one if `None`.
    pub namespace: Option<Box<str>>,
    /// Which service account; every one if `None`.
    pub service_account: Option<Box<str>>,
}

/// A text is no permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write USER=NAMESPACE or USER=NAMESPACE/SERVICE-ACCOUNT, with `*` for any of them")]
pub struct InvalidPermit;

// === impl Permit ===

impl Permit {
    /// Whether it lets that user be that service account.
    pub fn allows(&self, uid: u32, namespace: &str, service_account: &str) -> bool {
        let Self { user, uid: permitted, namespace: within, service_account: account } = self;
        let is = |wanted: &Option<Box<str>>, given: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == given)
        };
        let is_user = user.is_none() || *permitted == Some(uid);
        is_user && is(within, namespace) && is(account, service_account)
    }
}

impl FromStr for Permit {
    type Err = InvalidPermit;

    fn from_str(text: &str) -> Result<Self, InvalidPermit> {
        let (user, scope) = text.split_once('=').ok_or(InvalidPermit)?;
        let (namespace, service_account) = scope.split_once('/').unwrap_or((scope, "*"));
        let any_or = |text: &str| match text {
            "" => Err(InvalidPermit),
            "*" => Ok(None),
            _ if text.contains(['*', '/', '=', ' ']) => Err(InvalidPermit),
            _ => Ok(Some(text.to_owned())),
        };
        let user = any_or(user)?;
        let uid = user.as_deref().and_then(|user| user.parse().ok());
        Ok(Self {
            user,
            uid,
            namespace: any_or(namespace)?.map(Into::into),
            service_account: any_or(service_account)?.map(Into::into),
        })
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, uid: _, namespace, service_account } = self;
        let user = user.as_deref().unwrap_or("*");
        let namespace = namespace.as_deref().unwrap_or("*");
        write!(f, "{user}={namespace}/{}", service_account.as_deref().unwrap_or("*"))
    }
}
