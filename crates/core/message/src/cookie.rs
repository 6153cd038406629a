//! Cookies (RFC 6265): finding one in a request, setting one in a response.

use std::io::Write;
use std::time::Duration;

use thiserror::Error;

use crate::bytes::{ByteSet, is_control, is_token, trim};
use crate::fields::{Fields, InvalidFieldValue};
use crate::known::Known;

/// A cookie to be set. The attributes are those of RFC 6265 section 4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// The name, a token.
    pub name: &'a str,
    /// The value: visible ASCII without quotes, comma, semicolon and backslash.
    pub value: &'a str,
    /// `Path`; left out when empty.
    pub path: &'a str,
    /// `Domain`; left out when empty: the cookie goes back to this host only.
    pub domain: &'a str,
    /// `Max-Age`, in whole seconds; `None` lasts until the browser ends. Zero deletes.
    pub max_age: Option<Duration>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: Option<SameSite>,
}

/// When a cookie is sent with requests that another site caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    Lax,
    /// Always; browsers want `Secure` with it.
    None,
}

/// The cookie cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidCookie {
    /// The name is not a token.
    #[error("the cookie's name is not a token")]
    Name,
    /// The value holds a byte that no cookie value has.
    #[error("the cookie's value holds a byte that it cannot have")]
    Value,
    /// The path or the domain holds a control byte or a semicolon.
    #[error("an attribute of the cookie holds a byte that it cannot have")]
    Attribute,
    /// The message cannot take another field.
    #[error("the cookie cannot be added")]
    Field(#[source] InvalidFieldValue),
}

/// `cookie-octet` besides letters and digits.
const OCTET: ByteSet = ByteSet::alphanumeric_and(b"!#$%&'()*+-./:<=>?@[]^_`{|}~");

// === impl SetCookie ===

impl<'a> SetCookie<'a> {
    /// A cookie for the session with no attribute at all.
    pub fn new(name: &'a str, value: &'a str) -> Self {
        Self {
            name,
            value,
            path: "",
            domain: "",
            max_age: None,
            secure: false,
            http_only: false,
            same_site: None,
        }
    }

    /// Adds a `Set-Cookie` field.
    ///
    /// # Errors
    ///
    /// When a part holds bytes that it cannot have; nothing changes then.
    pub fn append_to(&self, fields: &mut Fields) -> Result<(), InvalidCookie> {
        let text = self.to_bytes()?;
        fields.append(Known::SetCookie, &text).map_err(InvalidCookie::Field)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, InvalidCookie> {
        let Self { name, value, path, domain, max_age, secure, http_only, same_site } = self;
        if !is_token(name.as_bytes()) {
            return Err(InvalidCookie::Name);
        }
        if !OCTET.has_all(value.as_bytes()) {
            return Err(InvalidCookie::Value);
        }
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
        for (attribute, text) in [("; Path=", path), ("; Domain=", domain)] {
            if text.bytes().any(|byte| is_control(byte) || byte == b';') {
                return Err(InvalidCookie::Attribute);
            }
            if !text.is_empty() {
                out.extend_from_slice(attribute.as_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(age) = max_age {
            // Writing to a vector does not fail.
            let _ = write!(out, "; Max-Age={}", age.as_secs());
        }
        if *secure {
            out.extend_from_slice(b"; Secure");
        }
        if *http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        out.extend_from_slice(match same_site {
            None => b"",
            Some(SameSite::Strict) => b"; SameSite=Strict",
            Some(SameSite::Lax) => b"; SameSite=Lax",
            Some(SameSite::None) => b"; SameSite=None",
        });
        Ok(out)
    }
}

// === functions ===

/// The value of the first cookie of this name in a request, without quotes around it. Names are
/// case-sensitive.
pub fn find<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    pairs(fields).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// Every cookie of a request, in order, as name and value.
pub fn pairs(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    let crumbs = fields.get_all(Known::Cookie).flat_map(|value| value.split(|&b| b == b';'));
    crumbs.filter_map(|crumb| {
        let crumb = trim(crumb);
        let equals = memchr::memchr(b'=', crumb)?;
        let value = match trim(&crumb[equals + 1..]) {
            [b'"', inner @ .., b'"'] => inner,
            value => value,
        };
        Some((trim(&crumb[..equals]), value))
    })
}

#[cfg(test)]
mod tests;
