//! PEM texts (RFC 7468).

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Characters in a line of base64 (RFC 7468, section 2).
const LINE_CHARS: usize = 64;

/// PEM text that an operator supplies, and what to call it in errors.
#[derive(Debug, Clone, Copy)]
pub struct Pem<'a> {
    /// A file name, or whatever tells the operator where it came from.
    pub name: &'a str,
    /// The text.
    pub text: &'a [u8],
}

/// A text holds no usable PEM block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPem {
    #[error("it is not valid PEM: {0}")]
    Syntax(String),
    #[error("it has no `BEGIN CERTIFICATE` block")]
    NoCertificate,
    #[error("it has no `BEGIN PRIVATE KEY` block")]
    NoKey,
    #[error("its key is encrypted; write it in the clear with `openssl pkey`, and seal that")]
    EncryptedKey,
}

/// The certificates of a text, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| BadPem::Syntax(error.to_string()))?;
    if found.is_empty() { Err(BadPem::NoCertificate) } else { Ok(found) }
}

/// The private key of a text.
pub(crate) fn private_key(text: &[u8]) -> Result<Zeroizing<PrivateKeyDer<'static>>, BadPem> {
    PrivateKeyDer::from_pem_slice(text).map(Zeroizing::new).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(text) => BadPem::EncryptedKey,
        pem::Error::NoItemsFound => BadPem::NoKey,
        error => BadPem::Syntax(error.to_string()),
    })
}

/// Writes one block.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

fn is_encrypted(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}
