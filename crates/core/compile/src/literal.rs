//! Paths and hosts as requests have them.

#[cfg(test)]
mod tests;

use weft_message::{InvalidTarget, PathRules, canonical_path};

/// A path of configuration in the form in which requests are compared.
///
/// People write `/a b` and `/café`, clients send them escaped; what must be escaped is.
///
/// # Errors
///
/// When no request can have this path, or it has more than one reading.
pub(crate) fn path(text: &str) -> Result<Box<str>, InvalidTarget> {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x21..=0x7e => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    canonical_path(&escaped, &PathRules::PERMISSIVE).map(Into::into)
}
