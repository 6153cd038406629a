//! Which parts of a message hold secrets, as far as their names tell, for what is kept of messages
//! and shown to people.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::known::Known;

/// Stands for a value that is not shown.
pub const HIDDEN: &str = "(hidden)";

/// Well-known fields that hold secrets.
const FIELDS: &[Known] = &[
    Known::Authorization,
    Known::Cookie,
    Known::ProxyAuthorization,
    Known::SetCookie,
    Known::XApiKey,
    Known::XForwardedTlsClientCert,
];

/// Well-known fields that hold an address, whose query may hold secrets.
const ADDRESSES: &[Known] =
    &[Known::Referer, Known::XForwardedUri, Known::XOriginalUrl, Known::XRewriteUrl];

/// Parts of the names of other fields, and of parameters, that hold secrets.
const PARTS: &[&str] = &[
    "assertion",
    "auth",
    "cookie",
    "credential",
    "jwt",
    "key",
    "oidc",
    "passw",
    "pwd",
    "saml",
    "secret",
    "session",
    "signature",
    "token",
];

/// Other parameters that hold secrets: OAuth's code, and the signature of addresses that are lent
/// out.
const PARAMETERS: &[&str] = &["code", "sig"];

/// What may be shown of a field's value: all of it, what stands before the query of an address, or
/// [`HIDDEN`].
pub fn shown<'v>(name: &str, value: &'v [u8]) -> &'v [u8] {
    match Known::from_bytes(name.as_bytes()) {
        Some(known) if FIELDS.contains(&known) => HIDDEN.as_bytes(),
        Some(known) if ADDRESSES.contains(&known) => {
            value.split(|byte| *byte == b'?').next().unwrap_or(value)
        }
        None if has_part(name) => HIDDEN.as_bytes(),
        Some(_) | None => value,
    }
}

/// What may be shown of a query: [`HIDDEN`] stands for the values that hold secrets.
///
/// Allocates only where there is one.
pub fn shown_query(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(is_secret_pair) {
        return Cow::Borrowed(query);
    }
    let mut shown = String::with_capacity(query.len());
    for pair in query.split('&') {
        if !shown.is_empty() {
            shown.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if is_secret_pair(pair) => {
                shown.extend([name, "=", HIDDEN]);
            }
            _ => shown.push_str(pair),
        }
    }
    Cow::Owned(shown)
}

fn is_secret_pair(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, value)| {
        let is_known = PARAMETERS.iter().any(|one| name.eq_ignore_ascii_case(one));
        // Of a name with escapes nobody knows what it says without reading them.
        !value.is_empty() && (is_known || name.contains('%') || has_part(name))
    })
}

fn has_part(name: &str) -> bool {
    PARTS.iter().any(|part| {
        let mut windows = name.as_bytes().windows(part.len());
        windows.any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    })
}
