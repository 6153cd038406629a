//! What a proxy proves its identity with.

use std::fmt;
use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use weft_model::identity::Identity;
use zeroize::Zeroizing;

/// A certificate with its key, and whom to trust.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The leaf, then its issuers up to but without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: Pkcs8Key,
    /// The roots that peers may chain to.
    pub bundle: Vec<CertificateDer<'static>>,
    /// Whom the leaf names; peers have to be of its trust domain.
    pub identity: Identity,
    /// Until when the leaf is valid.
    pub not_after: SystemTime,
}

/// A private key, PKCS#8 DER. Wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct Pkcs8Key(Zeroizing<Vec<u8>>);

// === impl Pkcs8Key ===

impl Pkcs8Key {
    /// Wraps the DER of a key; whether it is one shows when it is used.
    pub fn new(der: Vec<u8>) -> Self {
        Self(Zeroizing::new(der))
    }

    /// The key itself.
    pub fn secret_der(&self) -> &[u8] {
        &self.0
    }
}

impl From<&PrivatePkcs8KeyDer<'_>> for Pkcs8Key {
    fn from(key: &PrivatePkcs8KeyDer<'_>) -> Self {
        Self::new(key.secret_pkcs8_der().to_vec())
    }
}

impl fmt::Debug for Pkcs8Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs8Key")
    }
}
