//! Owned field names, and what may be used to look a field up.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::bytes::is_token;
use crate::known::Known;

/// A field name: a token (RFC 9110 section 5.1), kept in lower case.
///
/// Made when configuration is compiled; a request is never searched by unchecked text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FieldName(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Known(Known),
    Other(Box<str>),
}

/// The text is no field name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a field name must be a token of 1 to {} bytes", FieldName::BYTES_MAX)]
pub struct InvalidFieldName;

/// What fields are looked up by: [`Known`], [`FieldName`] or text in any case.
pub trait AsFieldName {
    /// The name, in any case.
    fn as_str(&self) -> &str;

    /// The id, when the name is well known.
    fn id(&self) -> Option<Known>;
}

// === impl FieldName ===

impl FieldName {
    /// Longest name taken.
    pub const BYTES_MAX: usize = 1024;

    /// Checks and lower-cases a name.
    ///
    /// # Errors
    ///
    /// When `name` is not a token or longer than [`FieldName::BYTES_MAX`].
    pub fn new(name: &str) -> Result<Self, InvalidFieldName> {
        if let Some(known) = Known::from_bytes(name.as_bytes()) {
            return Ok(Self::known(known));
        }
        if name.len() > Self::BYTES_MAX || !is_token(name.as_bytes()) {
            return Err(InvalidFieldName);
        }
        Ok(Self(Repr::Other(name.to_ascii_lowercase().into())))
    }

    /// A well-known name.
    pub const fn known(known: Known) -> Self {
        Self(Repr::Known(known))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(known) => known.as_str(),
            Repr::Other(text) => text,
        }
    }

    /// The id, when the name is well known.
    pub fn id(&self) -> Option<Known> {
        match self.0 {
            Repr::Known(known) => Some(known),
            Repr::Other(_) => None,
        }
    }
}

impl From<Known> for FieldName {
    fn from(known: Known) -> Self {
        Self::known(known)
    }
}

impl FromStr for FieldName {
    type Err = InvalidFieldName;

    fn from_str(text: &str) -> Result<Self, InvalidFieldName> {
        Self::new(text)
    }
}

impl PartialOrd for FieldName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FieldName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl AsFieldName ===

impl AsFieldName for Known {
    fn as_str(&self) -> &str {
        (*self).as_str()
    }

    #[inline]
    fn id(&self) -> Option<Known> {
        Some(*self)
    }
}

impl AsFieldName for FieldName {
    fn as_str(&self) -> &str {
        self.as_str()
    }

    #[inline]
    fn id(&self) -> Option<Known> {
        self.id()
    }
}

impl AsFieldName for str {
    fn as_str(&self) -> &str {
        self
    }

    #[inline]
    fn id(&self) -> Option<Known> {
        Known::from_bytes(self.as_bytes())
    }
}

impl<T: AsFieldName + ?Sized> AsFieldName for &T {
    fn as_str(&self) -> &str {
        (**self).as_str()
    }

    #[inline]
    fn id(&self) -> Option<Known> {
        (**self).id()
    }
}
